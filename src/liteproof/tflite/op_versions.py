"""Which operators each runtime knows, and in which versions: told before a file is sent anywhere.

    >>> known_versions("FULLY_CONNECTED", "tflite_runtime", "2.14.0")
    range(1, 11)
    >>> lacking(OperatorCode("FULLY_CONNECTED", 12, custom=False), "tflite_runtime", "2.14.0")
    True
    >>> lacking(OperatorCode("FULLY_CONNECTED", 12, custom=False), "ai_edge_litert", "2.1.4")
    False

The table beside this file is what the runtimes themselves answer (`benchmarks/op_versions.py` asks them): a runtime
refuses a file that lists an operator it lacks, before it looks at the graph.

A version that is not in the table is judged by its neighbours. Runtimes only ever gain: what an older release takes, a
newer one takes; what a newer one refuses, an older one refuses.
"""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from importlib import resources
from pathlib import Path

from liteproof.tflite.reader import OperatorCode

TABLE = Path(str(resources.files("liteproof.tflite") / "op_versions.csv"))

Version = tuple[int, ...]


def read_table() -> dict[str, dict[str, str]]:
    """The table by column ("ai_edge_litert 2.3.0"), each with the versions of its operators ("1-14")."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "operator"]
    return {name: {row["operator"]: row[name] for row in rows if row[name]} for name in names}


def column_order(name: str) -> tuple[str, Version]:
    """A column's runtime and version, to sort columns by."""
    runtime, _, version = name.partition(" ")
    return runtime, _parse(version)


def known_versions(operator: str, runtime: str, version: str) -> range | None:
    """The versions of a builtin operator that a runtime takes, by its own column of the table.

    Returns:
        The versions, an empty range if the runtime lacks the operator; None if the table has no such column.
    """
    column = _columns(runtime).get(_parse(version))
    return None if column is None else _range(column.get(operator, ""))


def lacking(code: OperatorCode, runtime: str, version: str) -> bool | None:
    """Whether a runtime lacks an operator that a file lists.

    Custom operators are not in question here: no runtime has them.

    Args:
        code: As the file lists it.
        runtime: "ai_edge_litert", "tflite_runtime" or "tensorflow".
        version: The runtime's version, "2.14.0".

    Returns:
        None if the table cannot tell: a release newer than the table's, or older, or between two that differ.
    """
    if code.custom:
        return False
    columns, this = _columns(runtime), _parse(version)
    if any(code.version in _range(columns[v].get(code.name, "")) for v in columns if v <= this):
        return False
    newer = [v for v in columns if v >= this]
    if newer and not any(code.version in _range(columns[v].get(code.name, "")) for v in newer[:1]):
        return True
    return None


@lru_cache
def _columns(runtime: str) -> dict[Version, dict[str, str]]:
    """The columns of one runtime by version, oldest first."""
    found = {column_order(name)[1]: column for name, column in read_table().items() if column_order(name)[0] == runtime}
    return dict(sorted(found.items()))


def _parse(version: str) -> Version:
    """The leading numbers of a version: "2.14.0" and "2.14.0.dev20240101" are (2, 14, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", re.match(r"[\d.]*", version)[0]))  # type: ignore[index]


def _range(versions: str) -> range:
    """The versions of "1-14"; none of ""."""
    low, _, high = versions.partition("-")
    return range(int(low), int(high) + 1) if versions else range(0)
