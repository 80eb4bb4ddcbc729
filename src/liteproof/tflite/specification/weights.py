"""Rules for weights: symmetric, and quantized along the dimension of output channels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from liteproof.tflite.specification.rule import KERNELS, SPECIFICATION, Finding, Node, Rule, channel

_SYMMETRIC = {"INT8": 127}


def _weight_type(node: Node) -> Iterator[Finding]:
    weights = node.weights
    expected = "INT4" if node.promise.weights == "int4" else "INT8"
    if node.integer and weights is not None and weights.type != expected:
        yield Finding(weights, weights.type, expected)


def _weight_zero_point(node: Node) -> Iterator[Finding]:
    weights = node.weights
    if weights is None:
        return
    wrong = np.flatnonzero(weights.quantization.zero_points)
    if wrong.size:
        first = f"{weights.quantization.zero_points[wrong[0]]}{channel(weights, wrong[0])}"
        yield Finding(weights, first if wrong.size == 1 else f"{first} and {wrong.size - 1} more", "0")


def _weight_range(node: Node) -> Iterator[Finding]:
    weights = node.weights
    if weights is None or weights.type not in _SYMMETRIC:
        return
    largest = _SYMMETRIC[weights.type]
    codes = node.graph.model.constant(weights)
    beyond = 0 if codes is None else int(np.count_nonzero(codes < -largest))
    if beyond:
        found = f"{beyond} of {weights.elements} codes are {-largest - 1}"
        yield Finding(weights, found, f"codes in [{-largest}, {largest}]")


def _weight_per_axis(node: Node) -> Iterator[Finding]:
    weights, layer = node.weights, node.layer
    if weights is None or layer is None or not node.integer or layer.axis >= len(weights.shape):
        return
    channels, scales = weights.shape[layer.axis], weights.quantization.scales.size
    one_each = f"{channels} scales, one for each output channel"
    if scales == 0 and weights.quantization.kind == "none":
        yield Finding(weights, "no scale", one_each if layer.per_axis else f"{one_each}, or one for all")
    elif scales == 1 and channels > 1 and layer.per_axis:
        yield Finding(weights, "1 scale for the whole tensor", one_each)


def _per_axis_dimension(node: Node) -> Iterator[Finding]:
    weights, layer = node.weights, node.layer
    if weights is None or layer is None or weights.quantization.kind != "per_axis":
        return
    if weights.quantization.axis != layer.axis:
        found = f"scales along dimension {weights.quantization.axis} of shape {list(weights.shape)}"
        yield Finding(weights, found, f"along dimension {layer.axis}")


def _per_axis_scales(node: Node) -> Iterator[Finding]:
    weights = node.weights
    if weights is None or weights.quantization.kind != "per_axis":
        return
    axis, scales = weights.quantization.axis, weights.quantization.scales.size
    if scales != weights.shape[axis]:
        yield Finding(weights, f"{scales} scales", f"{weights.shape[axis]}, the length of dimension {axis}")


RULES = (
    Rule(
        "weight_type",
        "Weights that meet integer activations are int8.",
        SPECIFICATION,
        "the layer was left in float, or converted by another recipe",
        _weight_type,
    ),
    Rule(
        "weight_zero_point",
        "Zero points of weights are 0.",
        SPECIFICATION,
        "the weights were quantized asymmetrically, or their zero points were edited",
        _weight_zero_point,
    ),
    Rule(
        "weight_range",
        "Codes of int8 weights lie in [-127, 127].",
        SPECIFICATION,
        "the quantizer uses the full range of int8, or codes were edited",
        _weight_range,
    ),
    Rule(
        "weight_per_axis",
        "Weights of CONV_2D and DEPTHWISE_CONV_2D that meet integer activations have a scale for each output "
        "channel; those of FULLY_CONNECTED and TRANSPOSE_CONV one for each or one for all.",
        SPECIFICATION,
        "per-channel quantization was switched off for this layer",
        _weight_per_axis,
    ),
    Rule(
        "per_axis_dimension",
        "Scales of weights lie along the output channels: dimension 3 for DEPTHWISE_CONV_2D, 0 for CONV_2D, "
        "FULLY_CONNECTED and TRANSPOSE_CONV.",
        f"{SPECIFICATION}; {KERNELS} for FULLY_CONNECTED and TRANSPOSE_CONV",
        "the weights were transposed, or the quantized dimension was edited",
        _per_axis_dimension,
    ),
    Rule(
        "per_axis_scales",
        "Weights have as many scales as their quantized dimension is long.",
        SPECIFICATION,
        "channels were removed without their scales, or the scales are another layer's",
        _per_axis_scales,
    ),
)
