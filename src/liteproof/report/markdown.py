r"""`summary.md`: the decision, the missed gates and the table, fit for a pull-request comment and a job summary.

>>> cell("a|b <script>")
'a\\|b &lt;script&gt;'
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from liteproof.checks import Check, Verdict
from liteproof.report import comparison, recommendation, signoff, table, wording
from liteproof.report.comparison import Change, Comparison
from liteproof.report.results import Results

MARKS = {Verdict.PASS: "✅", Verdict.PROVISIONAL: "⚠️", Verdict.FAIL: "❌", Verdict.UNMEASURED: "❓"}

# A GitHub comment holds 65,536 characters, a job summary 1 MiB; counted in bytes, a text of the first size fits both.
LIMIT = 65_536
_LONGEST_LINE = 600
_BLOCKERS = 20
_ROOM_FOR_NOTE = 400


@dataclass(frozen=True)
class Block:
    """A part of the summary that can be cut: what stands above its items, the items, and what they are called.

    `share` is how much of the room that is left the items may take, so that a thousand gates do not push out the table.
    """

    above: str
    items: tuple[str, ...]
    name: str
    share: float = 1.0


def document(results: Results, limit: int = LIMIT) -> str:
    """The whole file, at most `limit` bytes in UTF-8: what is left out to fit is counted at its end."""
    gates = table.gates(results)
    blocking = [gate for gate in gates if gate.check.verdict is not Verdict.PROVISIONAL]
    unsure = [gate for gate in gates if gate.check.verdict is Verdict.PROVISIONAL]
    blocks = [
        Block("\n### Missed gates\n", tuple(map(_gate, blocking)), "missed gates", share=0.5),
        Block(
            "\n### Since the accepted baseline\n\n" + _CHANGES_HEAD,
            tuple(map(_change, comparison.since_accepted(results))),
            "changes",
            share=0.5,
        ),
        Block("", tuple(map(_table, _worst_first(results))), "tables", share=0.8),
        Block("\n### Within the limit, but too few samples to be sure\n", tuple(map(_gate, unsure)), "unsure gates"),
    ]
    return _fit("\n".join(_head(results)), blocks, _foot(results), limit)


def headline(results: Results) -> str:
    """The decision in one line."""
    cases = [verdict for variants in results.verdicts.values() for t in variants.values() for verdict in t.values()]
    accepted = sum(verdict in (Verdict.PASS, Verdict.PROVISIONAL) for verdict in cases)
    parts = [f"{accepted} of {len(cases)} accepted"]
    unsure = sum(verdict is Verdict.PROVISIONAL for verdict in cases)
    if unsure:
        parts.append(f"{unsure} of them provisionally")
    left = len(table.not_judged(results))
    if left:
        parts.append(f"{left} not judged")
    return ", ".join(parts)


def comparison_document(compared: Comparison) -> str:
    """A comparison as Markdown."""
    lines = [f"## liteproof: {cell(compared.before)} → {cell(compared.after)}", ""]
    lines += [f"- {cell(note)}" for note in comparison.caveats(compared)]
    lines.append(f"\n{comparison.summary(compared)}.")
    if compared.changes:
        lines += ["", _CHANGES_HEAD + "\n".join(map(_change, compared.changes)), ""]
    lines += [f"- {cell(finding)}" for finding in comparison.findings(compared)]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """A value as a table cell: no markup of its own, no line break, no column border, no mention of anybody."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    for mark in "\\|`*[]":
        escaped = escaped.replace(mark, "\\" + mark)
    return escaped.replace("@", "@\u200b")


def _head(results: Results) -> Iterator[str]:
    yield f"## liteproof: {headline(results)}"
    if not results.run.complete:
        ran = f" ({results.run.ran} of {results.run.selected} tests ran)" if results.run.selected else ""
        yield f"\n**This run was cut off{ran}: what is missing below was not judged.**"
    if reused := wording.taken_over(results.checks):
        yield f"\n{cell(reused)}."
    decision, *blockers = signoff.lines(results) or [""]
    if decision:
        yield f"\n**{cell(decision)}**\n"
        yield from (f"- {cell(blocker)}" for blocker in blockers[:_BLOCKERS])
        if len(blockers) > _BLOCKERS:
            yield f"- and {len(blockers) - _BLOCKERS} more, in report.html"
    shipped = recommendation.lines(results)
    if shipped:
        yield ""
        yield from (f"- {cell(line)}" for line in shipped[:_BLOCKERS])


def _foot(results: Results) -> str:
    revision = f", commit {cell(results.run.git)}" if results.run.git else ""
    return f"\n<sub>liteproof {results.run.liteproof}, run {cell(results.run.id)}{revision}</sub>\n"


def _fit(head: str, blocks: Iterable[Block], foot: str, limit: int) -> str:
    room = limit - _bytes(head) - _bytes(foot) - _ROOM_FOR_NOTE
    parts, left_out = [head], []
    for block in blocks:
        kept, used = [], _bytes(block.above)
        for item in block.items:
            if used + _bytes(item) > room * block.share:
                break
            kept.append(item)
            used += _bytes(item)
        if kept:
            parts.append(block.above + "\n".join(kept))
            room -= used
        if len(kept) < len(block.items):
            left_out.append(f"{len(block.items) - len(kept)} of {len(block.items)} {block.name}")
    if left_out:
        parts.append(f"\n**Left out to fit: {', '.join(left_out)}.** All of it is in report.html and results.json.")
    return "\n".join([*parts, foot])


def _bytes(text: str) -> int:
    return len(text.encode()) + 1


def _worst_first(results: Results) -> list[table.Section]:
    """Tables with something missed before those without; otherwise as the manifests have them."""
    good = (Verdict.PASS, Verdict.PROVISIONAL, None)
    return sorted(table.sections(results), key=lambda section: all(v in good for v in section.verdicts))


def _table(section: table.Section) -> str:
    lines = [f"\n### {cell(section.title)}\n", "| " + " | ".join(section.headings) + " |"]
    lines.append("|---" + "|---:" * (len(section.headings) - 2) + "|---|")
    for row, verdict in zip(section.rows, section.verdicts, strict=True):
        cells = [cell(text) for text in row]
        if verdict is not None:
            cells[-1] = f"{MARKS[verdict]} {verdict}"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gate(gate: table.Gate) -> str:
    check = gate.check
    note = wording.unsure(check.samples_to_settle) if check.verdict is Verdict.PROVISIONAL else check.detail
    text = (
        f"- {_mark(check)} **{cell(check.model)} / {cell(check.variant)}** on {cell(check.target)}: "
        + cell(_cut(gate.line))
        + (f" — {cell(_cut(note.splitlines()[0]))}" if note else "")
    )
    return text + (f"<br>next: <code>{cell(_cut(check.next))}</code>" if check.next else "")


_CHANGES_HEAD = "| " + " | ".join(comparison.HEADINGS) + " |\n|---|---|---|---:|---:|---|---|\n"


def _change(change: Change) -> str:
    return "| " + " | ".join(map(cell, comparison.row(change))) + " |"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"


def _mark(check: Check) -> str:
    return MARKS[check.verdict] if check.verdict else ""
