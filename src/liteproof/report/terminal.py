"""The end of a run on the terminal: one table, and the missed gates under it. Fits 80 columns.

>>> import io
>>> from liteproof.report.results import Results, Run
>>> out = io.StringIO()
>>> show(Results(Run("r", "", "", True, "0.1.0", None)), out, width=80, color=False)
>>> out.getvalue()
''
"""

from __future__ import annotations

from typing import TextIO

from liteproof.checks import Check, Verdict
from liteproof.report import table, wording
from liteproof.report.results import Results

STYLES = {
    Verdict.PASS: "green",
    Verdict.PROVISIONAL: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.UNMEASURED: "bold magenta",
}


def show(results: Results, stream: TextIO, *, width: int, color: bool) -> None:
    """Print the table and the missed gates."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(
        file=stream, width=width, force_terminal=color, no_color=not color, highlight=False, markup=False, emoji=False
    )
    for section in table.sections(results):
        grid = Table(
            title=Text(section.title, style="bold"),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
        )
        for number, heading in enumerate(section.headings):
            last = number == len(section.headings) - 1
            grid.add_column(heading, justify="left" if number == 0 or last else "right", no_wrap=number > 0)
        for row, verdict in zip(section.rows, section.verdicts, strict=True):
            style = STYLES.get(verdict, "") if verdict else ""
            grid.add_row(*(Text(text) for text in row[:-1]), Text(row[-1], style=style))
        console.print(grid)
        _gates([c for c in table.missed(results) if (c.model, c.target) == (section.model, section.target)], console)


def _gates(blocking: list[Check], console: object) -> None:
    from rich.console import Console
    from rich.text import Text

    assert isinstance(console, Console)  # noqa: S101 - narrows the type; rich is imported late
    for check in blocking:
        verdict = check.verdict or Verdict.PASS
        line = Text.assemble((f"{verdict}", STYLES[verdict]), f" {check.variant}: {wording.gate_line(check)}")
        console.print(line, soft_wrap=True)
        note = wording.unsure(check.samples_to_settle) if verdict is Verdict.PROVISIONAL else check.detail
        if note:
            console.print(Text(f"  {note.splitlines()[0]}", style="dim"), soft_wrap=True)
    console.print()
