r"""`summary.md`: the table and the missed gates, fit for a pull-request comment.

>>> cell("a|b <script>")
'a\\|b &lt;script&gt;'
"""

from __future__ import annotations

import html
from collections.abc import Iterator

from liteproof.checks import Check, Verdict
from liteproof.report import table, wording
from liteproof.report.results import Results

MARKS = {Verdict.PASS: "✅", Verdict.PROVISIONAL: "⚠️", Verdict.FAIL: "❌", Verdict.UNMEASURED: "❓"}


def document(results: Results) -> str:
    """The whole file."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    yield f"## liteproof: {headline(results)}"
    if not results.run.complete:
        yield "\n**This run was cut off: what is missing below was not judged.**"
    for section in table.sections(results):
        yield f"\n### {cell(section.title)}\n"
        yield "| " + " | ".join(section.headings) + " |"
        yield "|---" + "|---:" * (len(section.headings) - 2) + "|---|"
        for row, verdict in zip(section.rows, section.verdicts, strict=True):
            cells = [cell(text) for text in row]
            if verdict is not None:
                cells[-1] = f"{MARKS[verdict]} {verdict}"
            yield "| " + " | ".join(cells) + " |"
    yield from _missed(results)
    yield f"\n<sub>liteproof {results.run.liteproof}, run {cell(results.run.id)}</sub>"


def headline(results: Results) -> str:
    """The decision in one line."""
    cases = [verdict for variants in results.verdicts.values() for t in variants.values() for verdict in t.values()]
    accepted = sum(verdict in (Verdict.PASS, Verdict.PROVISIONAL) for verdict in cases)
    text = f"{accepted} of {len(cases)} accepted"
    unsure = sum(verdict is Verdict.PROVISIONAL for verdict in cases)
    return f"{text}, {unsure} of them provisionally" if unsure else text


def _missed(results: Results) -> Iterator[str]:
    blocking = table.missed(results)
    if not blocking:
        return
    yield "\n### Gates\n"
    for check in blocking:
        yield (
            f"- {_mark(check)} **{cell(check.model)} / {cell(check.variant)}** on {cell(check.target)}: "
            + cell(wording.gate_line(check))
            + (f" — {cell(check.detail.splitlines()[0])}" if check.detail else "")
        )


def _mark(check: Check) -> str:
    return MARKS[check.verdict] if check.verdict else ""


def cell(text: str) -> str:
    """A value as a table cell: no markup of its own, no line break, no column border."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|").replace("`", "\\`")
