"""The end of a run on the terminal: one table, and the missed gates under it. Fits 80 columns.

>>> import io
>>> from liteproof.report.results import Results, Run
>>> out = io.StringIO()
>>> show(Results(Run("r", "", "", True, "0.1.0", None)), out, width=80, color=False)
>>> out.getvalue()
''
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from liteproof.checks import Check, Verdict
from liteproof.report import comparison, table, wording
from liteproof.report.comparison import Comparison
from liteproof.report.markdown import outputs_apart
from liteproof.report.results import Results

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLES = {
    Verdict.PASS: "green",
    Verdict.PROVISIONAL: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.UNMEASURED: "bold magenta",
}


def show(results: Results, stream: TextIO, *, width: int, color: bool) -> None:
    """Print the table and the missed gates."""
    from rich.text import Text

    console = _console(stream, width=width, color=color)
    for section in table.sections(results):
        grid = _grid(section.title)
        for number, heading in enumerate(section.headings):
            last = number == len(section.headings) - 1
            grid.add_column(heading, justify="left" if number == 0 or last else "right", no_wrap=number > 0)
        for row, verdict in zip(section.rows, section.verdicts, strict=True):
            style = STYLES.get(verdict, "") if verdict else ""
            grid.add_row(*(Text(text) for text in row[:-1]), Text(row[-1], style=style))
        console.print(grid)
        _gates([c for c in table.missed(results) if (c.model, c.target) == (section.model, section.target)], console)


def show_comparison(compared: Comparison, stream: TextIO, *, width: int, color: bool) -> None:
    """Print what changed: what makes the two sides less comparable first, then the changes, worst first."""
    from rich.text import Text

    console = _console(stream, width=width, color=color)
    for note in compared.notes:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    for label, cases in (("before", compared.only_before), ("after", compared.only_after)):
        for case in cases:
            console.print(Text(f"only {label}: {case}"), soft_wrap=True)
    grid = _grid(f"{compared.before} → {compared.after}")
    for heading in ("model / variant", "on", "metric", "before", "after", "change", "verdict"):
        grid.add_column(heading, justify="right" if heading in ("before", "after") else "left", overflow="fold")
    for change in compared.changes:
        moved = f"{change.arrow} {comparison.difference(change)} {change.effect}".rstrip() if change.difference else ""
        before, after = (comparison.number(change, value) for value in (change.before, change.after))
        style = {"worse": "red", "better": "green"}.get(change.effect, "")
        verdict = Text(comparison.verdicts(change), style="bold" if change.verdict_changed else "")
        case = Text(f"{change.model} / {change.variant}")
        grid.add_row(case, Text(change.where), change.metric, before, after, Text(moved, style=style), verdict)
    if compared.changes:
        console.print(grid)
    for flips in compared.flips:
        named = ", ".join(f"{sample}: {a} → {b}" for sample, a, b in flips.samples[:5])
        more = f" and {len(flips.samples) - 5} more" if len(flips.samples) > 5 else ""
        text = f"{flips.model} / {flips.variant}, {flips.where}: {len(flips.samples)} samples decided differently"
        console.print(Text(f"{text} ({named}{more})"), soft_wrap=True)
    for outputs in compared.outputs:
        if outputs.different:
            text = f"{outputs.model} / {outputs.variant}, {outputs.where}: {outputs_apart(outputs)}"
            console.print(Text(text), soft_wrap=True)
    console.print(Text(f"{len(compared.changes)} values changed, {compared.unchanged} are the same"))


def _console(stream: TextIO, *, width: int, color: bool) -> Console:
    from rich.console import Console

    return Console(
        file=stream, width=width, force_terminal=color, no_color=not color, highlight=False, markup=False, emoji=False
    )


def _grid(title: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )


def _gates(blocking: list[Check], console: Console) -> None:
    from rich.text import Text

    for check in blocking:
        verdict = check.verdict or Verdict.PASS
        line = Text.assemble((f"{verdict}", STYLES[verdict]), f" {check.variant}: {wording.gate_line(check)}")
        console.print(line, soft_wrap=True)
        note = wording.unsure(check.samples_to_settle) if verdict is Verdict.PROVISIONAL else check.detail
        if note:
            console.print(Text(f"  {note.splitlines()[0]}", style="dim"), soft_wrap=True)
    console.print()
