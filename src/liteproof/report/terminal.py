"""The end of a run on the terminal: one table, and the missed gates under it. Fits 80 columns.

>>> import io
>>> from liteproof.report.results import Results, Run
>>> out = io.StringIO()
>>> show(Results(Run("r", "", "", True, "0.1.0", None)), out, width=80, color=False)
>>> out.getvalue()
''
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from liteproof.checks import Verdict
from liteproof.report import comparison, recommendation, signoff, table, wording
from liteproof.report.comparison import Comparison
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


# The table's usual width, and what a column of a manifest's own metric takes: those for which there is room are shown.
_WITHOUT_OWN, _OWN_COLUMN = 74, 12


def show(results: Results, stream: TextIO, *, width: int, color: bool) -> None:
    """Print the table and the missed gates."""
    from rich.text import Text

    console = _console(stream, width=width, color=color)
    gates = table.gates(results)
    for section in table.sections(results, most_own=max(0, (width - _WITHOUT_OWN) // _OWN_COLUMN)):
        grid = _grid(section.title)
        for number, heading in enumerate(section.headings):
            last = number == len(section.headings) - 1
            grid.add_column(heading, justify="left" if number == 0 or last else "right", no_wrap=number > 0)
        for row, verdict in zip(section.rows, section.verdicts, strict=True):
            style = STYLES.get(verdict, "") if verdict else ""
            grid.add_row(*(Text(text) for text in row[:-1]), Text(row[-1], style=style))
        console.print(grid)
        _gates([g for g in gates if (g.check.model, g.check.target) == (section.model, section.target)], console)


def decision(results: Results) -> list[str]:
    """The last lines: which variant to ship where, and what came of a sign-off."""
    head, *rest = signoff.lines(results) or [""]
    return [*recommendation.lines(results), *([head] if head else []), *(f"  {sentence}" for sentence in rest)]


def show_comparison(compared: Comparison, stream: TextIO, *, width: int, color: bool) -> None:
    """Print what changed: what makes the two sides less comparable first, then the changes, worst first."""
    from rich.text import Text

    console = _console(stream, width=width, color=color)
    for note in comparison.caveats(compared):
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    grid = _grid(f"{compared.before} → {compared.after}")
    several = len({change.where for change in compared.changes}) > 1
    shown = [heading for heading in comparison.HEADINGS if several or heading != "on"]
    for heading in shown:
        grid.add_column(
            heading,
            justify="right" if heading in ("before", "after") else "left",
            overflow="fold",
            no_wrap=heading in comparison.NAMES,
        )
    for change in compared.changes:
        styles = {"change": {"worse": "red", "better": "green"}.get(change.effect, "")}
        cells = dict(zip(comparison.HEADINGS, comparison.row(change), strict=True))
        grid.add_row(*(Text(cells[heading], style=styles.get(heading, "")) for heading in shown))
    if compared.changes:
        console.print(grid)
    for finding in comparison.findings(compared):
        console.print(Text(finding), soft_wrap=True)
    console.print(Text(comparison.summary(compared)))


def show_rows(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    stream: TextIO,
    *,
    width: int,
    whole: Sequence[str] = (),
) -> None:
    """Print a plain table; columns of the headings that are `whole` are folded last."""
    from rich.text import Text

    grid = _grid(title)
    for heading in headings:
        grid.add_column(heading, overflow="fold", no_wrap=heading in whole)
    for row in rows:
        grid.add_row(*map(Text, row))
    _console(stream, width=width, color=False).print(grid)


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


def _gates(blocking: list[table.Gate], console: Console) -> None:
    from rich.text import Text

    for gate in blocking:
        check, verdict = gate.check, gate.check.verdict or Verdict.PASS
        line = Text.assemble((f"{verdict}", STYLES[verdict]), f" {check.variant}: {gate.line}")
        console.print(line, soft_wrap=True)
        note = wording.unsure(check.samples_to_settle) if verdict is Verdict.PROVISIONAL else check.detail
        if note:
            console.print(Text(f"  {note.splitlines()[0]}", style="dim"), soft_wrap=True)
    console.print()
