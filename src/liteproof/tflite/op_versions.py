"""Which operators a file needs, and which each runtime knows in which versions: told before a file is sent anywhere.

    >>> known_versions("FULLY_CONNECTED", "tflite_runtime", "2.14.0")
    range(1, 11)
    >>> lacking(OperatorCode("FULLY_CONNECTED", 12, custom=False), "tflite_runtime", "2.14.0")
    True
    >>> lacking(OperatorCode("FULLY_CONNECTED", 12, custom=False), "ai_edge_litert", "2.1.4")
    False

The table beside this file is what the runtimes themselves answer (`benchmarks/op_versions.py` asks them): a runtime
refuses a file that lists an operator it lacks, before it looks at the graph. A release that is not in the table is
judged by its neighbours. Runtimes only ever gain: what an older release takes, a newer one takes; what a newer one
refuses, an older one refuses.

What a file lists is not always what it needs. LiteRT Quantizer keeps the float32 file's version 1 for whatever it
quantizes, and a runtime that believes it computes nonsense without a word: of its dynamic-range file of `digits`,
tflite_runtime 2.14 gets 9% of the classes right. So the versions that types and scales imply count as well, and so does
one kernel that never got a version of its own (`FOUR_BIT_CONVOLUTION`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path

from liteproof.tflite.reader import Model, Operator, OperatorCode, Subgraph

TABLE = Path(str(resources.files("liteproof.tflite") / "op_versions.csv"))

Version = tuple[int, ...]

# Has a row of its own in the table, as if it were an operator: wrong or NaN on tflite_runtime 2.14.0 and ai_edge_litert
# 1.0.1, right on ai_edge_litert 1.1.2 and later.
FOUR_BIT_CONVOLUTION = "CONV_2D of float activations and INT4 weights"

# The first version of an operator for activations and weights of these types, and whether each channel has a scale.
# Source: GetBuiltinOperatorVersion in LiteRT's tools/versioning/op_version.cc.
_IMPLIED = {
    ("CONV_2D", "FLOAT32", "INT8", False): 2,
    ("CONV_2D", "FLOAT32", "INT8", True): 5,
    ("CONV_2D", "INT8", "INT8", False): 3,
    ("CONV_2D", "INT8", "INT8", True): 3,
    ("CONV_2D", "INT8", "INT4", True): 7,
    ("DEPTHWISE_CONV_2D", "FLOAT32", "INT8", False): 4,
    ("DEPTHWISE_CONV_2D", "FLOAT32", "INT8", True): 6,
    ("DEPTHWISE_CONV_2D", "INT8", "INT8", False): 3,
    ("DEPTHWISE_CONV_2D", "INT8", "INT8", True): 3,
    ("DEPTHWISE_CONV_2D", "INT8", "INT4", True): 7,
    ("FULLY_CONNECTED", "FLOAT32", "INT8", False): 3,
    ("FULLY_CONNECTED", "FLOAT32", "INT8", True): 12,
    ("FULLY_CONNECTED", "INT8", "INT8", False): 4,
    ("FULLY_CONNECTED", "INT8", "INT8", True): 4,
    ("FULLY_CONNECTED", "INT8", "INT4", True): 10,
    ("FULLY_CONNECTED", "INT16", "INT4", True): 13,
    # One input, which stands for both.
    ("DEQUANTIZE", "INT8", "INT8", True): 5,
    ("DEQUANTIZE", "INT4", "INT4", False): 6,
    ("DEQUANTIZE", "INT4", "INT4", True): 6,
}


def needed(model: Model) -> tuple[OperatorCode, ...]:
    """The operators that a file needs, each in the highest version that it lists or implies; none twice."""
    listed = [code for code in model.operator_codes if not code.custom]
    implied = [code for graph in model.subgraphs for op in graph.operators for code in _implied(graph, op)]
    highest: dict[str, OperatorCode] = {}
    for code in (*listed, *implied):
        if code.name not in highest or code.version > highest[code.name].version:
            highest[code.name] = code
    return tuple(highest.values())


def _implied(graph: Subgraph, operator: Operator) -> Iterator[OperatorCode]:
    inputs = operator.inputs[:2]
    if not inputs or min(inputs) < 0:
        return
    activation, weights = graph.tensors[inputs[0]], graph.tensors[inputs[-1]]
    per_axis = weights.quantization.kind == "per_axis"
    version = _IMPLIED.get((operator.name, activation.type, weights.type, per_axis))
    if version is not None:
        yield OperatorCode(operator.name, version, custom=False)
    if (operator.name, activation.type, weights.type) == ("CONV_2D", "FLOAT32", "INT4"):
        yield OperatorCode(FOUR_BIT_CONVOLUTION, 1, custom=False)


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
