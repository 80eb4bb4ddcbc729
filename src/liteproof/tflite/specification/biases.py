"""Rules for biases, which are added to sums of products of input and weight codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from liteproof.tflite.reader import Tensor
from liteproof.tflite.specification.rule import KERNELS, SPECIFICATION, Finding, Node, Rule, channel, number

# Input scale, weight scale and their product are rounded to float32 once each, which moves a healthy bias scale by at
# most 3 * 2**-24 = 1.8e-7 of the product of the rounded two. 1e-6 is what the kernels' own check allowed
# (GetQuantizedConvolutionMultipler).
SCALE_TOLERANCE = 1e-6
# Products too small for a normal float32 are rounded to a multiple of this: channels of zeros, or nearly so.
_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


def _bias(node: Node) -> Tensor | None:
    return node.bias if node.integer else None


def _bias_type(node: Node) -> Iterator[Finding]:
    bias = _bias(node)
    if bias is None or node.input is None:
        return
    allowed = ("INT32", "INT64") if node.input.type == "INT16" else ("INT32",)
    if bias.type not in allowed:
        yield Finding(bias, bias.type, " or ".join(allowed))


def _bias_zero_point(node: Node) -> Iterator[Finding]:
    bias = _bias(node)
    if bias is None:
        return
    wrong = np.flatnonzero(bias.quantization.zero_points)
    if wrong.size:
        yield Finding(bias, f"{bias.quantization.zero_points[wrong[0]]}{channel(bias, wrong[0])}", "0")


def _bias_scale(node: Node) -> Iterator[Finding]:
    bias, expected = _bias(node), _scale_products(node)
    if bias is None or expected is None:
        return
    found = bias.quantization.scales.astype(np.float64)
    if found.size != expected.size:
        count = "no scale" if not found.size else f"{found.size} scales"
        yield Finding(bias, count, f"{expected.size}, one for each of the weights")
        return
    error = np.abs(found - expected)
    wrong = np.flatnonzero(~(error <= SCALE_TOLERANCE * expected + _SMALLEST))
    if wrong.size:
        worst = int(wrong[np.argmax(error[wrong] / (expected[wrong] + _SMALLEST))])
        more = f" (and {wrong.size - 1} more channels)" if wrong.size > 1 else ""
        yield Finding(
            bias,
            f"scale {number(found[worst])}{channel(bias, worst)}{more}",
            f"input scale times weight scale, {number(expected[worst])}",
        )


def _scale_products(node: Node) -> npt.NDArray[np.float64] | None:
    """Input scale times each weight scale, in float64; None where one of them is missing or beyond use."""
    weights = node.operand(node.layer.weights) if node.layer else None
    if node.input is None or weights is None:
        return None
    inputs, scales = node.input.quantization, weights.quantization.scales.astype(np.float64)
    if inputs.kind != "per_tensor" or not scales.size:
        return None
    with np.errstate(invalid="ignore"):  # scales that are 0 or infinite are another rule's
        products: npt.NDArray[np.float64] = float(inputs.scales[0]) * scales
    return products if np.isfinite(products).all() else None


RULES = (
    Rule(
        "bias_type",
        "Biases are int32; beside int16 activations int32 or int64.",
        f"{SPECIFICATION}; {KERNELS} for int16",
        "the bias was left in float, or cut to fewer bits",
        _bias_type,
    ),
    Rule(
        "bias_zero_point",
        "Zero points of biases are 0.",
        SPECIFICATION,
        "the bias was quantized asymmetrically, or its zero point was edited",
        _bias_zero_point,
    ),
    Rule(
        "bias_scale",
        "Each scale of a bias is the input's scale times the weights' scale of the same channel.",
        SPECIFICATION,
        "the scale of the bias, of the weights or of the input was changed without the other two",
        _bias_scale,
    ),
)
