"""What a rule of the quantization specification is, and what it looks at: one operator with its tensors.

    >>> Violation("bias_zero_point", 0, 3, "CONV_2D", 7, "conv/bias", "5", "0").place
    "CONV_2D #3, tensor 7 'conv/bias'"

A rule is a function from a `Node` to its `Finding`s. It says nothing where it has nothing to say: a rule for weights
passes over an operator without weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from liteproof.recipes import RECIPES, Recipe
from liteproof.tflite.reader import Model, Operator, Subgraph, Tensor

SPECIFICATION = "TensorFlow Lite 8-bit quantization specification"
KERNELS = "LiteRT kernels"
CONVERTER = "TensorFlow Lite quantizer, operator_property.cc"

ACTIVATION_TYPES = frozenset({"INT8", "UINT8", "INT16"})
CODE_TYPES = ACTIVATION_TYPES | {"INT2", "INT4", "UINT4", "INT32", "INT64"}


class Finding(NamedTuple):
    """A broken rule at one tensor of a node: what is there and what should be."""

    tensor: Tensor
    found: str
    expected: str


@dataclass(frozen=True)
class Violation:
    """A broken rule: where, what is there, and what should be.

    Attributes:
        rule: Its id, a key of `liteproof.tflite.specification.RULES`.
        subgraph: Index of the subgraph.
        operator_index: Position of the operator in the subgraph.
        operator: The operator's name.
        tensor_index: Position of the tensor in the subgraph.
        tensor: The tensor's name.
        found: What the file has.
        expected: What the rule demands.
    """

    rule: str
    subgraph: int
    operator_index: int
    operator: str
    tensor_index: int
    tensor: str
    found: str
    expected: str

    @property
    def place(self) -> str:
        """Operator and tensor, as messages name them."""
        graph = f"subgraph {self.subgraph}, " if self.subgraph else ""
        return f"{graph}{self.operator} #{self.operator_index}, tensor {self.tensor_index} '{self.tensor}'"

    def __str__(self) -> str:
        return f"{self.rule}: {self.place}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True)
class Rule:
    """One rule that a file can break.

    Attributes:
        id: Its name in messages and waivers.
        text: What it demands, in one sentence.
        source: Who says so.
        cause: The likely cause where it is broken.
        check: Yields what breaks it at one operator.
    """

    id: str
    text: str
    source: str
    cause: str
    check: Callable[[Node], Iterator[Finding]]


class Layer(NamedTuple):
    """Where an operator with weights has them: positions among its inputs, and the dimension of output channels."""

    input: int
    weights: int
    bias: int
    axis: int
    per_axis: bool


# The specification's entries; TRANSPOSE_CONV, which it leaves out, as the converter and the kernels have it.
LAYERS: Mapping[str, Layer] = {
    "CONV_2D": Layer(0, 1, 2, axis=0, per_axis=True),
    "DEPTHWISE_CONV_2D": Layer(0, 1, 2, axis=3, per_axis=True),
    "FULLY_CONNECTED": Layer(0, 1, 2, axis=0, per_axis=False),
    "TRANSPOSE_CONV": Layer(2, 1, 3, axis=0, per_axis=False),
}

# Their constant operands are activations like the computed ones, not weights.
_ELEMENTWISE = frozenset(
    {"ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM", "PRELU", "CONCATENATION", "PACK", "PADV2"}
    | {"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"}
)


@dataclass(frozen=True)
class Graph:
    """A subgraph of a file that promises a recipe: of every layer the same, or, in a mixed one, of each its own."""

    model: Model
    index: int
    promise: Recipe
    layers: Mapping[int, Recipe] | None = None

    @property
    def subgraph(self) -> Subgraph:
        """The subgraph itself."""
        return self.model.subgraphs[self.index]

    @cached_property
    def writers(self) -> Mapping[int, Operator]:
        """The operator that computes each computed tensor."""
        return {index: operator for operator in self.subgraph.operators for index in operator.outputs}

    @property
    def entry(self) -> bool:
        """Whether an interpreter's caller sees its ends; those of bodies of loops and branches nobody sees."""
        return self.index == 0 or any(signature.subgraph == self.index for signature in self.model.signatures)

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether the file holds its values."""
        return self.model.buffers[tensor.buffer].size > 0 and not tensor.is_variable

    def nodes(self) -> Iterator[Node]:
        """Its operators, in the order of execution."""
        return (Node(self, operator) for operator in self.subgraph.operators)


@dataclass(frozen=True)
class Node:
    """One operator with its tensors."""

    graph: Graph
    operator: Operator

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.operator.name

    @property
    def promise(self) -> Recipe:
        """What the file promises of this operator."""
        graph = self.graph
        if graph.layers is None:
            return graph.promise
        rule = graph.layers.get(self.operator.index) if graph.index == 0 else None
        return rule or RECIPES["float32"]

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        """The input tensors, without those left out."""
        return tuple(self.graph.subgraph.tensors[i] for i in self.operator.inputs if i >= 0)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """The output tensors."""
        return tuple(self.graph.subgraph.tensors[i] for i in self.operator.outputs if i >= 0)

    @property
    def layer(self) -> Layer | None:
        """Where its weights are; None for an operator without weights."""
        return LAYERS.get(self.name)

    def operand(self, position: int) -> Tensor | None:
        """The input at a position; None where it is left out."""
        indices = self.operator.inputs
        if position >= len(indices) or indices[position] < 0:
            return None
        return self.graph.subgraph.tensors[indices[position]]

    @property
    def input(self) -> Tensor | None:
        """What an operator with weights applies them to."""
        return self.operand(self.layer.input) if self.layer else None

    @property
    def integer(self) -> bool:
        """Whether this is an operator with weights that reads integer activations."""
        return self.input is not None and self.input.type in ACTIVATION_TYPES

    @cached_property
    def weights(self) -> Tensor | None:
        """Its constant weights, also where a DEQUANTIZE or DENSIFY lies between; None where they are computed."""
        tensor = self.operand(self.layer.weights) if self.layer else None
        for _ in range(2):
            writer = self.graph.writers.get(tensor.index) if tensor else None
            if writer is None or writer.name not in ("DEQUANTIZE", "DENSIFY") or not writer.inputs:
                break
            tensor = self.graph.subgraph.tensors[writer.inputs[0]]
        return tensor if tensor is not None and self.graph.is_constant(tensor) else None

    @property
    def bias(self) -> Tensor | None:
        """Its bias; None where it has none."""
        return self.operand(self.layer.bias) if self.layer else None

    @cached_property
    def activations(self) -> tuple[Tensor, ...]:
        """The 8 and 16-bit tensors that it computes with, without weights; constants where they are operands."""
        apart = {id(tensor) for tensor in (self.weights, self.bias)}
        tensors = [tensor for tensor in (*self.inputs, *self.outputs) if tensor.type in ACTIVATION_TYPES]
        return tuple(
            tensor
            for tensor in tensors
            if id(tensor) not in apart and (self.name in _ELEMENTWISE or not self.graph.is_constant(tensor))
        )


def parameters(tensor: Tensor) -> str:
    """A tensor's scales and zero points, in short.

    Returns:
        "no scale", "scale 0.5, zero point 3", or "8 scales along dimension 0".
    """
    quantization = tensor.quantization
    if quantization.kind == "none":
        return "no scale"
    if quantization.kind == "per_tensor":
        return f"scale {number(quantization.scales[0])}, zero point {quantization.zero_points[0]}"
    if quantization.kind == "blockwise":
        return f"scales for blocks of {quantization.block_size}"
    return f"{quantization.scales.size} scales along dimension {quantization.axis}"


def number(value: float | np.float32 | np.float64) -> str:
    """A float32 with all the digits that tell it from its neighbours."""
    return f"{float(value):.9g}"


def channel(tensor: Tensor, index: int) -> str:
    """Names one of several channels; nothing where there is one."""
    return f" in channel {index}" if tensor.quantization.scales.size > 1 else ""
