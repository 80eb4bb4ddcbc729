"""Rules for files that promise to compute with integers only."""

from __future__ import annotations

from collections.abc import Iterator

from liteproof.tflite.facts import FLOAT_TYPES
from liteproof.tflite.reader import Tensor
from liteproof.tflite.specification.rule import Finding, Node, Rule

_RECIPE = "the recipe's promise (full integer quantization)"


def _integer_only(node: Node) -> Iterator[Finding]:
    if not node.promise.quantized_activations:
        return
    for tensor in (*node.inputs, *node.outputs):
        if tensor.type in FLOAT_TYPES and not (_converted_end(node, tensor) or _read_for_shape(node, tensor)):
            ends = "" if node.promise.integer_io else " between QUANTIZE and DEQUANTIZE at the ends"
            yield Finding(tensor, tensor.type, f"integers only{ends}, as the recipe {node.promise.name} promises")


def _converted_end(node: Node, tensor: Tensor) -> bool:
    """Whether a float tensor is an end that QUANTIZE takes in or DEQUANTIZE gives out, where the recipe has it."""
    graph = node.graph
    if node.promise.integer_io or not graph.entry:
        return False
    if tensor.index in graph.subgraph.inputs:
        return node.name == "QUANTIZE"
    return tensor.index in graph.subgraph.outputs and node.name == "DEQUANTIZE"


def _read_for_shape(node: Node, tensor: Tensor) -> bool:
    """Whether nothing reads the values: LiteRT Quantizer puts a DEQUANTIZE before a SHAPE."""
    readers = [operator.name for operator in node.graph.subgraph.operators if tensor.index in operator.inputs]
    return bool(readers) and set(readers) <= {"SHAPE", "RANK"} and tensor.index not in node.graph.subgraph.outputs


def _ends_type(node: Node) -> Iterator[Finding]:
    graph, promise = node.graph, node.promise
    if not promise.quantized_activations or not graph.entry:
        return
    expected = promise.inputs.upper()
    ends = [tensor for tensor in node.inputs if tensor.index in graph.subgraph.inputs]
    ends += [tensor for tensor in node.outputs if tensor.index in graph.subgraph.outputs]
    for tensor in ends:
        real_valued = tensor.type in FLOAT_TYPES or tensor.quantization.kind != "none"
        if real_valued and tensor.type != expected:
            yield Finding(tensor, tensor.type, f"{expected}, as the recipe {promise.name} promises")


RULES = (
    Rule(
        "integer_only",
        "No float tensor, unless it is read for its shape alone; where the recipe has float ends, a QUANTIZE "
        "reads each float input and a DEQUANTIZE writes each float output.",
        _RECIPE,
        "the toolchain has no integer version of this operator, or does not quantize it, and fell back to float",
        _integer_only,
    ),
    Rule(
        "ends_type",
        "Inputs and outputs that carry real values are of the type that the recipe promises.",
        _RECIPE,
        "the conversion did not set the types of inputs and outputs, or the file was made by another recipe",
        _ends_type,
    ),
)
