"""The memory that a network's activations need at once: its tensor arena.

    >>> arena(read_model(Path("float32.tflite")), bytes_per_value=1).bytes    # doctest: +SKIP
    55296

A tensor lives from the operator that writes it to the last that reads it. What lives during one operator must be there
at once; the largest such sum is what no planner can do without. TensorFlow Lite Micro's planner (`GreedyMemoryPlanner`)
comes close to it; the interpreter's own structures come on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from liteproof.tflite.reader import Model, Subgraph, Tensor, bits_per_element

# Both runtimes lay tensors at multiples of 16 bytes.
ALIGNMENT = 16


@dataclass(frozen=True)
class Arena:
    """The largest sum of live activations in bytes, the operator during which they live, and their names."""

    bytes: int
    operator: str
    tensors: tuple[str, ...]


def arena(model: Model, bytes_per_value: int | None = None) -> Arena:
    """The arena of the first subgraph, batch 1.

    Args:
        model: A `.tflite`.
        bytes_per_value: What a float value is going to take, 1 for int8; None: what the file says.
    """
    graph = model.subgraphs[0]
    last = _last_uses(graph)
    live = {index for index in graph.inputs if not _constant(model, graph.tensors[index])}
    largest = Arena(0, "", ())
    for operator in graph.operators:
        live |= {index for index in operator.outputs if index >= 0 and not _constant(model, graph.tensors[index])}
        needed = sum(_bytes(graph.tensors[index], bytes_per_value) for index in live)
        if needed > largest.bytes:
            names = tuple(graph.tensors[index].name for index in sorted(live))
            largest = Arena(needed, f"{operator.name} #{operator.index}", names)
        live = {index for index in live if last.get(index, -1) > operator.index}
    return largest


def _last_uses(graph: Subgraph) -> dict[int, int]:
    """For each tensor the number of the operator that reads it last; outputs and state are kept to the end."""
    last = {index: operator.index for operator in graph.operators for index in operator.inputs}
    kept = [*graph.outputs, *(tensor.index for tensor in graph.tensors if tensor.is_variable)]
    return {**last, **dict.fromkeys(kept, len(graph.operators))}


def _constant(model: Model, tensor: Tensor) -> bool:
    return model.buffers[tensor.buffer].size > 0 and not tensor.is_variable


def _bytes(tensor: Tensor, bytes_per_value: int | None) -> int:
    bits = bits_per_element(tensor.type) or 8
    if bytes_per_value is not None and tensor.type in ("FLOAT32", "FLOAT16"):
        bits = 8 * bytes_per_value
    return math.ceil(math.ceil(tensor.elements * bits / 8) / ALIGNMENT) * ALIGNMENT
