"""What `liteproof explain` shows: the layers of a variant, the most suspicious first, with cause and cure.

>>> import io
>>> out = io.StringIO()
>>> show((), out, title="digits / int8", samples=32, width=80, color=False)
>>> print(out.getvalue().splitlines()[0])
digits / int8: 0 layers beside float32's, 32 samples
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TextIO

from liteproof.measure.diagnosis import Finding, summary
from liteproof.measure.layers import EXACT_DB

SCHEMA = "liteproof.explain/1"
PATH = (
    "Inner tensors can only be read with XNNPACK switched off: this is the path of the built-in kernels, not the one "
    "that ships."
)
LEGEND = (
    "SQNR: the layer's output against float32's, errors before it included. own: its own error alone, on the inputs "
    "that it got: as SQNR, as root mean square and largest value in steps of its tensor, and of the worst channel as a "
    "share of the layer's range. Layers are ranked by the last, after those that the file itself accuses."
)

# Rows on a terminal, and layers that are explained below them.
ROWS, EXPLAINED = 16, 3

# Headings; ">" is for numbers.
_COLUMNS = ("layer", "name", "type", "SQNR>", "own>", "rms>", "max>", "sat.>", "range>")


def show(found: Sequence[Finding], stream: TextIO, *, title: str, samples: int, width: int, color: bool) -> None:
    """Print the table and, below it, what is the matter with the first layers.

    Args:
        found: As `liteproof.measure.diagnosis.diagnose` gives them.
        stream: Where to.
        title: Model and variant.
        samples: Number of samples looked at.
        width: Columns of the terminal; 80 is enough.
        color: Whether the terminal shows colours.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=stream, width=width, color_system="auto" if color else None, force_terminal=color, highlight=False
    )
    console.print(Text(f"{title}: {len(found)} layers beside float32's, {samples} samples"))
    console.print(Text(PATH))
    console.print(_grid(found[:ROWS], width))
    if len(found) > ROWS:
        console.print(Text(f"… and {len(found) - ROWS} more layers with less error; --json FILE has them all"))
    console.print(Text("\n" + LEGEND, style="dim"))
    for rank, finding in enumerate((f for f in found[:EXPLAINED] if f.suspicious), 1):
        layer = finding.layer
        console.print(Text(f"\n{rank}. {layer.place}, {layer.name}, writes {layer.type} {list(layer.shape)}", "bold"))
        for fault in finding.faults or (finding.cause,):
            console.print(Text(f"   likely cause: {fault}"))
        console.print(Text(f"   what helps:   {finding.cure}"))
    if found and not any(f.suspicious for f in found):
        console.print(Text("\n" + summary(found)[0]))


def _grid(found: Sequence[Finding], width: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    rows = [_cells(finding) for finding in found]
    headings = [heading.rstrip(">") for heading in _COLUMNS]
    widths = [max(map(len, cells)) for cells in zip(headings, *rows, strict=True)]
    # The name gives way where the terminal is narrow: the place tells the layer.
    name = _COLUMNS.index("name")
    widths[name] = min(widths[name], max(len("name"), width - sum(widths) + widths[name] - len(widths) + 1))
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading, wide in zip(_COLUMNS, widths, strict=True):
        justify: Literal["left", "right"] = "right" if heading.endswith(">") else "left"
        grid.add_column(heading.rstrip(">"), justify=justify, width=wide, no_wrap=True, overflow="ellipsis")
    for finding, row in zip(found, rows, strict=True):
        grid.add_row(*(Text(cell, style="bold" if finding.suspicious else "") for cell in row))
    return grid


def _cells(finding: Finding) -> tuple[str, ...]:
    layer = finding.layer
    return (
        _short(layer.place),
        layer.name,
        layer.type.lower(),
        _decibels(layer.sqnr_db),
        _decibels(layer.own_sqnr_db),
        _number(layer.own_rms_steps, ".3g"),
        _number(layer.own_max_steps, ".3g"),
        f"{layer.saturated:.1%}" if layer.step else "",
        f"{layer.severity:.2%}" if math.isfinite(layer.severity) else "NaN" if layer.nonfinite else "all",
    )


def _short(place: str) -> str:
    """An input's name stands in its own column."""
    return "input" if place.startswith("input ") else place


def _decibels(value: float | None) -> str:
    return "exact" if value == EXACT_DB else _number(value, ".1f")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def document(found: Sequence[Finding], *, model: str, variant: str, samples: int, runtime: str) -> dict[str, object]:
    """The same for programs, all layers; numbers that are not finite are None."""
    return {
        "schema": SCHEMA,
        "model": model,
        "variant": variant,
        "samples": samples,
        "runtime": runtime,
        "kernels": "builtin",
        "summary": list(summary(found)),
        "layers": [_layer(finding) for finding in found],
    }


def _layer(finding: Finding) -> Mapping[str, object]:
    layer = finding.layer
    return {
        "layer": layer.place,
        "name": layer.name,
        "tensor": layer.tensor,
        "type": layer.type,
        "shape": list(layer.shape),
        "step": layer.step or None,
        "sqnr_db": layer.sqnr_db,
        "own_sqnr_db": layer.own_sqnr_db,
        "own_rms_steps": layer.own_rms_steps,
        "own_max_steps": layer.own_max_steps,
        "severity": layer.severity if math.isfinite(layer.severity) else None,
        "worst_channel": layer.worst_channel,
        "saturated": layer.saturated,
        "nonfinite": layer.nonfinite,
        "range": [layer.low, layer.high] if math.isfinite(layer.low) else None,
        "faults": list(finding.faults),
        "cause": finding.cause,
        "cure": finding.cure,
        "suspicious": finding.suspicious,
    }
