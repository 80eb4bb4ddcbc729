"""Some operators of a `.tflite` file as a file of their own, fed and read at ends of one's choice.

A layer can so be run on inputs other than those that the layers before it compute. Constants, options and tensors stay
where they are: only the lists of operators, inputs and outputs change.

    >>> data = Path("digits_float32.tflite").read_bytes()                     # doctest: +SKIP
    >>> second = excerpt(data, operators=[1], inputs=[7], outputs=[8])        # doctest: +SKIP
    >>> session = open_session(second)                                        # doctest: +SKIP
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from liteproof.tflite import schema

# Slots of the schema's tables Model and SubGraph.
_MODEL_METADATA, _MODEL_SIGNATURES = 16, 18
_GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 6, 8, 10


def excerpt(data: bytes, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    """A file that runs these operators of the first subgraph only.

    Args:
        data: A whole `.tflite`, as `liteproof.tflite.reader.read_model` takes it.
        operators: Indices into the first subgraph's operators, at least one; they run in the graph's order.
        inputs: Tensors that are fed. None of them may be written by one of the operators.
        outputs: Tensors that are read.

    Returns:
        The file, without signatures and metadata, which speak of the whole graph.

    Raises:
        ValueError: No operator, or the graph has no ends to replace.
    """
    if not operators:
        raise ValueError("an excerpt has at least one operator")
    file = bytearray(data)
    root = schema.Model.GetRootAs(file, 0)
    for slot in (_MODEL_METADATA, _MODEL_SIGNATURES):
        if at := root._tab.Offset(slot):
            _put(file, root._tab.Vector(at) - 4, 0)
    table = root.Subgraphs(0)._tab
    _keep(file, table, sorted(operators))
    for slot, indices in ((_GRAPH_INPUTS, inputs), (_GRAPH_OUTPUTS, outputs)):
        _replace(file, table, slot, indices)
    return bytes(file)


def with_outputs(data: bytes, outputs: Sequence[int]) -> bytes:
    """The same file with other outputs of the first subgraph; signatures and metadata stay as they are.

    Args:
        data: A whole `.tflite`, as `liteproof.tflite.reader.read_model` takes it.
        outputs: Tensors that are read.

    Raises:
        ValueError: The graph has no list of outputs to replace.
    """
    file = bytearray(data)
    _replace(file, schema.Model.GetRootAs(file, 0).Subgraphs(0)._tab, _GRAPH_OUTPUTS, outputs)
    return bytes(file)


def _keep(file: bytearray, table: Any, operators: Sequence[int]) -> None:
    """Shorten the list of operators. Offsets count from where they stand, so each is written anew."""
    start = table.Vector(table.Offset(_GRAPH_OPERATORS))
    places = [table.Indirect(start + 4 * operator) for operator in operators]
    _put(file, start - 4, len(places))
    for i, place in enumerate(places):
        _put(file, start + 4 * i, place - (start + 4 * i))


def _replace(file: bytearray, table: Any, slot: int, indices: Sequence[int]) -> None:
    """Point a field at a new list of integers behind the end of the file: the old one may be too short."""
    field = table.Offset(slot)
    if not field:
        raise ValueError("the graph has no inputs or no outputs")
    file.extend(bytes(-len(file) % 4))
    _put(file, table.Pos + field, len(file) - (table.Pos + field))
    file.extend(struct.pack(f"<I{len(indices)}i", len(indices), *indices))


def _put(file: bytearray, at: int, number: int) -> None:
    struct.pack_into("<I", file, at, number)
