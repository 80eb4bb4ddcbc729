"""Rules for activations: one scale each, and what some operators demand of their outputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from liteproof.tflite.arithmetic import type_range
from liteproof.tflite.reader import Tensor
from liteproof.tflite.specification.rule import (
    CODE_TYPES,
    CONVERTER,
    KERNELS,
    LAYERS,
    SPECIFICATION,
    Finding,
    Node,
    Rule,
    channel,
    number,
    parameters,
)

# (scale, zero point) of an output, by its type. All are powers of two, so float32 holds them exactly.
FIXED_OUTPUTS: dict[tuple[str, str], tuple[float, int]] = {
    ("SOFTMAX", "INT8"): (1 / 256, -128),
    ("LOGISTIC", "INT8"): (1 / 256, -128),
    ("TANH", "INT8"): (1 / 128, 0),
    ("L2_NORMALIZATION", "INT8"): (1 / 128, 0),
    ("LOG_SOFTMAX", "INT8"): (16 / 256, 127),
    ("SOFTMAX", "INT16"): (1 / 32768, 0),
    ("LOGISTIC", "INT16"): (1 / 32768, 0),
    ("TANH", "INT16"): (1 / 32768, 0),
}

# The specification's list, then what the converter restricts as well, then operators whose kernels copy codes as they
# are: in all of them, different parameters in and out would change the values.
SAME_SCALE = frozenset(
    {"AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "RESHAPE", "RESIZE_BILINEAR", "SPACE_TO_DEPTH", "PAD", "PADV2"}
    | {"GATHER", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "TRANSPOSE", "SQUEEZE", "SLICE", "MAXIMUM", "MINIMUM"}
    | {"SPLIT", "SPLIT_V", "PACK", "UNPACK", "STRIDED_SLICE", "MIRROR_PAD", "REDUCE_MAX", "REDUCE_MIN"}
    | {"RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER_ND", "TILE", "REVERSE_V2", "BROADCAST_TO"}
    | {"SELECT", "SELECT_V2", "DYNAMIC_UPDATE_SLICE"}
)

# Operators that mean nothing on codes without a scale. Others may move plain integers.
_ARITHMETIC = LAYERS.keys() | {operator for operator, _ in FIXED_OUTPUTS} | {"AVERAGE_POOL_2D", "MEAN"}

# Operators whose tensors differ in type by their nature: conversions, control flow and recurrent cells.
_MIXED = frozenset(
    {"QUANTIZE", "DEQUANTIZE", "CAST", "WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE"}
    | {"LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "SVDF"}
    | {"RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"}
)


def _scale_value(node: Node) -> Iterator[Finding]:
    for tensor in (*node.inputs, *node.outputs):
        scales = tensor.quantization.scales
        if tensor.type not in CODE_TYPES:
            continue
        usable = np.isfinite(scales) & (scales > 0)
        if not usable.all():
            usable |= (scales == 0) & _zeros(node, tensor)
        wrong = np.flatnonzero(~usable)
        if wrong.size:
            yield Finding(tensor, f"scale {number(scales[wrong[0]])}{channel(tensor, wrong[0])}", "positive and finite")


def _zeros(node: Node, tensor: Tensor) -> npt.NDArray[np.bool_]:
    """Where each scale stands for nothing but zeros: the converter gives those the scale 0 beside int16 activations.

    A tensor that is copied from another is as good as that one, which is judged by itself.
    """
    quantization = tensor.quantization
    if not node.graph.is_constant(tensor):
        writer = node.graph.writers.get(tensor.index)
        copied = writer is not None and (writer.name in SAME_SCALE or writer.name == "FILL")
        return np.full(quantization.scales.size, copied)
    codes = node.graph.model.constant(tensor)
    if codes is None:
        return np.zeros(quantization.scales.size, bool)
    if quantization.kind == "per_tensor":
        return np.array([bool((codes == quantization.zero_points[0]).all())])
    rows = np.moveaxis(codes, quantization.axis, 0).reshape(codes.shape[quantization.axis], -1)
    if len(rows) != quantization.scales.size:
        return np.zeros(quantization.scales.size, bool)
    return np.asarray((rows == quantization.zero_points[:, None]).all(axis=1))


def _activation_type(node: Node) -> Iterator[Finding]:
    if not node.promise.quantized_activations or node.name in _MIXED or node.operator.custom:
        return
    expected = node.promise.activations.upper()
    for tensor in node.activations:
        if tensor.quantization.kind != "none" and tensor.type != expected:
            yield Finding(tensor, tensor.type, f"{expected}, as the recipe {node.promise.name} has inside")


def _activation_per_tensor(node: Node) -> Iterator[Finding]:
    for tensor in node.activations:
        kind = tensor.quantization.kind
        if kind in ("per_axis", "blockwise") or (kind == "none" and node.name in _ARITHMETIC):
            yield Finding(tensor, parameters(tensor), "one scale and one zero point")


def _zero_point_range(node: Node) -> Iterator[Finding]:
    for tensor in node.activations:
        low, high = type_range(tensor.type)
        beyond = [point for point in tensor.quantization.zero_points.tolist() if not low <= point <= high]
        if beyond:
            yield Finding(tensor, f"zero point {beyond[0]}", f"in [{low}, {high}], the range of {tensor.type}")


def _int16_zero_point(node: Node) -> Iterator[Finding]:
    for tensor in node.activations:
        wrong = [point for point in tensor.quantization.zero_points.tolist() if point]
        if tensor.type == "INT16" and wrong:
            yield Finding(tensor, f"zero point {wrong[0]}", "0")


def _fixed_output_params(node: Node) -> Iterator[Finding]:
    for tensor in node.outputs:
        fixed = FIXED_OUTPUTS.get((node.name, tensor.type))
        quantization = tensor.quantization
        if fixed is None or quantization.kind != "per_tensor":
            continue
        if (float(quantization.scales[0]), int(quantization.zero_points[0])) != fixed:
            yield Finding(tensor, parameters(tensor), f"scale {number(fixed[0])}, zero point {fixed[1]}")


def _same_scale(node: Node) -> Iterator[Finding]:
    quantized = [
        tensor
        for tensor in (*node.outputs, *node.inputs)
        if tensor.type in CODE_TYPES and tensor.quantization.kind != "none"
    ]
    if node.name not in SAME_SCALE or not quantized:
        return
    # A converter takes an operator's parameters from its input if that is the only one, else from its output.
    inputs = [tensor for tensor in quantized if tensor in node.inputs]
    model = inputs[0] if len(inputs) == 1 else quantized[0]
    expected = f"{parameters(model)}, as tensor {model.index} '{model.name}' has"
    for tensor in quantized:
        if tensor.type == model.type and not _equal(tensor, model):
            yield Finding(tensor, parameters(tensor), expected)


def _equal(one: Tensor, other: Tensor) -> bool:
    a, b = one.quantization, other.quantization
    return np.array_equal(a.scales, b.scales) and np.array_equal(a.zero_points, b.zero_points)


RULES = (
    Rule(
        "scale_value",
        "Scales are positive and finite; 0 stands for nothing but zeros.",
        SPECIFICATION,
        "the calibration set holds NaN or infinity, or none of its samples reached this tensor",
        _scale_value,
    ),
    Rule(
        "activation_type",
        "Inside, activations are of the type that the recipe promises: int8, or int16 for int16x8.",
        SPECIFICATION,
        "a tensor's type was changed without a QUANTIZE, or part of the graph comes from another recipe",
        _activation_type,
    ),
    Rule(
        "activation_per_tensor",
        "An int8 or int16 activation has one scale and one zero point.",
        SPECIFICATION,
        "the quantizer gives activations a scale for each channel, or none",
        _activation_per_tensor,
    ),
    Rule(
        "zero_point_range",
        "The zero point of an activation is a code of its type: [-128, 127] for int8.",
        SPECIFICATION,
        "the tensor's type was changed (uint8 to int8) without its zero point",
        _zero_point_range,
    ),
    Rule(
        "int16_zero_point",
        "The zero point of an int16 activation is 0.",
        KERNELS,
        "int16 activations were quantized asymmetrically",
        _int16_zero_point,
    ),
    Rule(
        "fixed_output_params",
        "Outputs have these parameters: SOFTMAX and LOGISTIC (1/256, -128), TANH and L2_NORMALIZATION (1/128, "
        "0), LOG_SOFTMAX (16/256, 127); in int16 SOFTMAX, LOGISTIC and TANH (1/32768, 0).",
        f"{SPECIFICATION}; {CONVERTER} for int16",
        "the quantizer took this output's range from the calibration set, or the parameters were edited",
        _fixed_output_params,
    ),
    Rule(
        "same_scale",
        "Operators that move values or choose among them have the same scale and zero point in and out.",
        f"{SPECIFICATION}; {CONVERTER} and {KERNELS} for operators that the specification leaves out",
        "the scale or zero point of one of the two tensors was changed without the other",
        _same_scale,
    ),
)
