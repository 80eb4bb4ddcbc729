r"""A CSV of samples: a row each, numbers in the columns, a column of labels.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "gestures.csv"
    >>> _ = path.write_text("x,y,gesture\n0.5,1,wave\n0.25,2,point\n")
    >>> table = find_table(path, "gesture")
    >>> table.columns, table.rows, [value for value, _ in table.labels]
    (('x', 'y', 'gesture'), 2, ['wave', 'point'])
    >>> [samples.tolist() for samples, _ in read_table(path, ("y", "x"), "gesture")]
    [[[1.0, 0.5], [2.0, 0.25]]]

The first line names the columns. Columns are separated by a comma, a semicolon or a tab, whichever the first line has
most of. Files are read a row at a time.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from liteproof.errors import UsageError
from liteproof.manifest.place import clean, nearest, shown

_SEPARATORS = ",;\t"
_MOST_CLASSES = 10_000
_BLOCK = 1024


class Table(msgspec.Struct, frozen=True):
    """What a CSV holds.

    Attributes:
        columns: Names, in order.
        rows: Number of samples.
        labels: Each value of the labels' column, and the line that has it first.
    """

    columns: tuple[str, ...]
    rows: int
    labels: tuple[tuple[str, int], ...] = ()


def find_table(path: Path, labels: str | None = None, *, classes: bool = True) -> Table:
    """What a CSV holds; of its cells only the labels are looked at.

    Args:
        path: The file.
        labels: The labels' column.
        classes: Whether the labels are classes, so that their values are collected.

    Raises:
        UsageError: if it is no table of named columns with at least one row, or has no such column of labels.
    """
    lines = _lines(path)
    _, columns = next(lines, (1, []))
    _require_names(columns, path)
    if labels is not None and labels not in columns:
        raise _no_column(labels, columns, path, "labels")
    at, rows, found = columns.index(labels) if labels is not None else 0, 0, dict[str, int]()
    for line, cells in lines:
        rows += 1
        if labels is not None and classes:
            found.setdefault(cells[at].strip(), line)
            if len(found) > _MOST_CLASSES:
                raise _wrong(path, f"column '{clean(labels)}' has over {_MOST_CLASSES} values", "classes", line)
    if rows == 0:
        raise _wrong(path, "the table has no rows", "a row for each sample")
    return Table(tuple(columns), rows, tuple(found.items()))


def read_table(
    path: Path, columns: Sequence[str], labels: str | None = None
) -> Iterator[tuple[npt.NDArray[np.float32], list[str]]]:
    """The samples in blocks: numbers of shape (n, columns), float32, and the cells of the labels' column.

    Raises:
        UsageError: if a cell is no finite number; with line and column.
    """
    lines = _lines(path)
    _, names = next(lines)
    at = [names.index(column) for column in columns]
    label_at = names.index(labels) if labels is not None else None
    numbers: list[list[float]] = []
    cells_of_labels: list[str] = []
    for line, cells in lines:
        numbers.append([_number(cells[i], names[i], line, path) for i in at])
        if label_at is not None:
            cells_of_labels.append(cells[label_at].strip())
        if len(numbers) == _BLOCK:
            yield np.array(numbers, np.float32), cells_of_labels
            numbers, cells_of_labels = [], []
    if numbers:
        yield np.array(numbers, np.float32), cells_of_labels


def choose_columns(table: Table, columns: Sequence[str] | None, labels: str | None, path: Path) -> tuple[str, ...]:
    """The features' columns: those that are named, else all but the labels'.

    Raises:
        UsageError: if one that is named is not there, or if none is left.
    """
    for column in columns or ():
        if column not in table.columns:
            raise _no_column(column, table.columns, path, "columns")
        if column == labels:
            raise _wrong(path, f"column '{clean(column)}' is a feature and the labels", "one of the two")
    chosen = tuple(columns or (column for column in table.columns if column != labels))
    if not chosen:
        raise _wrong(path, "there is no column but the labels'", "a column for each feature")
    return chosen


def _number(cell: str, name: str, line: int, path: Path) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and abs(value) <= _LARGEST:
        return value
    found = f"'{clean(cell)}'" if cell.strip() else "nothing"
    comma = "a decimal point, not a comma" if cell.replace(",", ".", 1).replace(".", "", 1).strip("-").isdigit() else ""
    raise _wrong(
        path,
        f"line {line}, column '{clean(name)}' holds {found}",
        "a finite number",
        next=comma or "correct the cell, or name the columns that are features: columns = [...] in [data]",
    )


_LARGEST = float(np.finfo(np.float32).max)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its last line; all have as many cells as the first."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            rows = csv.reader(stream, delimiter=max(_SEPARATORS, key=first.count), strict=True)
            width = 0
            for cells in rows:
                if not cells:
                    continue
                width = width or len(cells)
                if len(cells) != width:
                    raise _wrong(path, f"line {rows.line_num} has {len(cells)} cells", f"{width}, as the first line")
                yield rows.line_num, cells
    except UnicodeDecodeError as error:
        raise _wrong(path, f"byte {error.object[error.start]:#04x} is not UTF-8", "a CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise _wrong(path, f"cannot read the table: {error}", "a CSV with a line of names first") from error


def _require_names(columns: Sequence[str], path: Path) -> None:
    if not columns:
        raise _wrong(path, "the table is empty", "a line of names, then a row for each sample")
    seen: set[str] = set()
    for column in columns:
        if not column.strip() or _is_number(column):
            raise _wrong(
                path,
                f"line 1 names a column '{clean(column)}'",
                "names of the columns in the first line",
                next="write a line of names above the numbers",
            )
        if column in seen:
            raise _wrong(path, f"two columns are named '{clean(column)}'", "different names")
        seen.add(column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _no_column(column: str, columns: Sequence[str], path: Path, key: str) -> UsageError:
    close = nearest(column, columns)
    known = f"; nearest: '{close}'" if close else f": {', '.join(map(clean, columns[:20]))}"
    return _wrong(path, f"there is no column '{clean(column)}'", f"a column{known}", next=f"correct {key} in [data]")


def _wrong(path: Path, found: str, expected: str, line: int = 0, next: str = "") -> UsageError:  # noqa: A002
    return UsageError(f"line {line}: {found}" if line else found, expected=expected, where=shown(path), next=next)
