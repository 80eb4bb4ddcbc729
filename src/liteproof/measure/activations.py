"""Do the ranges of a variant's activations come from its calibration set?

A calibrated recipe gives each activation the range that the float32 network's activation takes on the calibration set.
So a tensor that the float32 network leaves there was given another scale or zero point, and one that it hardly fills
wastes codes. Both leave every rule of the specification unbroken, and top-1 agreement often as it was.

    >>> clipped = ActivationRange("CONV_2D #0", "relu", step=0.1, low=0.0, high=25.5, seen=(0.0, 26.5))
    >>> round(activation_clipping_lsb([clipped]).value, 3)
    10.0
    >>> wide = ActivationRange("CONV_2D #0", "relu", step=1.0, low=0.0, high=255.0, seen=(0.0, 25.5))
    >>> activation_range_use([wide]).value
    0.1
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.batches import count
from liteproof.measure.runtime import Session
from liteproof.measure.tensors import Values, match
from liteproof.tflite.arithmetic import type_range
from liteproof.tflite.facts import FLOAT_TYPES
from liteproof.tflite.layers import align_layers
from liteproof.tflite.reader import Model, Tensor
from liteproof.tflite.specification.activations import FIXED_OUTPUTS

Seen = Mapping[int, tuple[float, float]]

# Healthy conversions by TFLiteConverter and LiteRT Quantizer stay within half a step, which is the rounding of the zero
# point; float32 sums in another order add a thousandth of a step.
CLIPPING_LIMIT = 0.51

_CODES = ("INT8", "UINT8", "INT16")
# Operators whose output can be narrower than an input that must have the same scale.
_NARROWING = frozenset({"MINIMUM", "MAXIMUM", "SELECT", "SELECT_V2"})


@dataclass(frozen=True)
class ActivationRange:
    """What an activation can represent, and what it takes in float32.

    Attributes:
        place: The operator that writes it, "CONV_2D #3", or "input".
        tensor: Its name.
        step: Real value of one code.
        low: Real value of the lowest code.
        high: Real value of the highest code.
        seen: Smallest and largest value in the float32 variant.
    """

    place: str
    tensor: str
    step: float
    low: float
    high: float
    seen: tuple[float, float]

    @property
    def clipping(self) -> float:
        """By how many steps the float32 values go beyond an end of the range."""
        return max(0.0, self.low - self.seen[0], self.seen[1] - self.high) / self.step

    @property
    def overflow(self) -> float:
        """The same over the length of the range."""
        return self.clipping * self.step / (self.high - self.low)

    @property
    def use(self) -> float:
        """The share of the range that the float32 values span; 0 is always in it, as in a quantized tensor's."""
        return (max(self.seen[1], 0.0) - min(self.seen[0], 0.0)) / (self.high - self.low)


def observe(session: Session, model: Model, values: Values) -> dict[int, tuple[float, float]]:
    """Smallest and largest value of each float tensor of a file's first subgraph.

    Args:
        session: The float32 variant, opened with `preserve_all_tensors`.
        model: The same file.
        values: Samples, shape (n, …), or such an array for each input's name.
    """
    graph = model.subgraphs[0]
    wanted = [index for operator in graph.operators for index in operator.outputs]
    wanted = [index for index in wanted if graph.tensors[index].type in FLOAT_TYPES]
    arrays = match(session.inputs, values)
    seen = {spec.index: _span(array) for spec, array in zip(session.inputs, arrays, strict=True)}
    for i in range(count(session.inputs, arrays)):
        session.predict({spec.name: array[i : i + 1] for spec, array in zip(session.inputs, arrays, strict=True)})
        for index in wanted:
            low, high = _span(session.fetch_tensor(index))
            before = seen.get(index, (math.inf, -math.inf))
            seen[index] = min(before[0], low), max(before[1], high)
    return seen


def _span(array: np.ndarray) -> tuple[float, float]:  # type: ignore[type-arg]
    return (float(array.min()), float(array.max())) if array.size else (math.inf, -math.inf)


def activation_ranges(float32: Model, variant: Model, seen: Seen) -> tuple[ActivationRange, ...]:
    """The quantized activations of a variant, in its order, beside what they take in float32.

    Left out are outputs whose parameters the specification fixes (SOFTMAX …), and inputs of operators that can narrow a
    range but must not change the scale (MINIMUM …).

    Args:
        float32: The float32 variant.
        variant: The variant under judgement.
        seen: Smallest and largest value of the float32 variant's tensors, by index.
    """
    return tuple(_ranges(float32, variant, seen))


def _ranges(float32: Model, variant: Model, seen: Seen) -> Iterator[ActivationRange]:
    graph = variant.subgraphs[0]
    narrowed = {index for operator in graph.operators if operator.name in _NARROWING for index in operator.inputs}
    for theirs, ours in zip(float32.subgraphs[0].inputs, graph.inputs, strict=False):
        readers = [op for op in graph.operators if op.name == "QUANTIZE" and ours in op.inputs]
        tensor = graph.tensors[readers[0].outputs[0] if readers else ours]
        if theirs in seen and _has_range(tensor):
            yield _range("input", tensor, seen[theirs])
    for pair in align_layers(float32, variant):
        tensor = graph.tensors[pair.variant.output]
        fixed = (pair.variant.operator.name, tensor.type) in FIXED_OUTPUTS
        if pair.float32.output in seen and _has_range(tensor) and not fixed and tensor.index not in narrowed:
            yield _range(pair.variant.place, tensor, seen[pair.float32.output])


def _has_range(tensor: Tensor) -> bool:
    """Whether a tensor has one scale of use, and a zero point among its codes (a rule of the specification's own)."""
    scales, zero_points = tensor.quantization.scales, tensor.quantization.zero_points
    if tensor.type not in _CODES or scales.size != 1:
        return False
    low, high = type_range(tensor.type)
    return bool(np.isfinite(scales[0]) and scales[0] > 0 and low <= zero_points[0] <= high)


def _range(place: str, tensor: Tensor, seen: tuple[float, float]) -> ActivationRange:
    low, high = type_range(tensor.type)
    step, zero_point = float(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0])
    return ActivationRange(place, tensor.name, step, (low - zero_point) * step, (high - zero_point) * step, seen)


def activation_clipping_lsb(ranges: Sequence[ActivationRange]) -> Measurement:
    """By how many steps the float32 variant's activations go beyond the range of a variant's tensor, at most.

    Raises:
        Unmeasured: if no activation of the variant has a partner in the float32 variant.
    """
    _require("activation_clipping_lsb", ranges)
    worst = max(ranges, key=lambda found: found.clipping)
    others = sum(found.clipping > CLIPPING_LIMIT for found in ranges) - 1
    causes = (
        "its scale or zero point is not the one that the calibration set gives",
        "the file was calibrated on other samples, or by a method that cuts outliers off",
    )
    return Measurement(
        "activation_clipping_lsb",
        worst.clipping,
        detail=_told(worst) + (f", and {others} more tensors" if others > 0 else ""),
        causes=causes if worst.clipping > CLIPPING_LIMIT else (),
        next="calibrate again, or liteproof explain, to see what it costs",
    )


def activation_overflow(ranges: Sequence[ActivationRange]) -> Measurement:
    """How far the float32 variant's activations go beyond a range of a variant's, at most, over the range's length.

    Samples that a file was not calibrated on go a little beyond its ranges: by 0.13 at most in healthy conversions of
    the example models, calibrated on 200 samples. By half and more they do where calibration has seen other data.

    Raises:
        Unmeasured: if no activation of the variant has a partner in the float32 variant.
    """
    _require("activation_overflow", ranges)
    worst = max(ranges, key=lambda found: found.overflow)
    return Measurement(
        "activation_overflow",
        worst.overflow,
        detail=_told(worst),
        causes=(
            "the calibration set does not hold what the network will see: too few samples, or other ones",
            "its scale or zero point is not the one that calibration gave",
        ),
        next="calibrate on 100 to 500 samples of the training data, drawn at random",
    )


def activation_range_use(ranges: Sequence[ActivationRange]) -> Measurement:
    """The smallest share of a range that the float32 variant's activations span: 0.25 leaves two bits unused.

    They span nearly all of the ranges of a healthy int8 conversion, half of int16x8's behind a ReLU. TFLiteConverter
    2.21 gives a convolution whose output is added to a residual the sum's range: 0.4 in MobileNetV2.

    Raises:
        Unmeasured: if no activation of the variant has a partner in the float32 variant.
    """
    _require("activation_range_use", ranges)
    # A tensor that is zero for every sample (a recurrent layer's first state) has no range that it could fill.
    worst = min((found for found in ranges if any(found.seen)), key=lambda found: found.use, default=None)
    if worst is None:
        return Measurement("activation_range_use", 1.0, detail="every activation is zero in float32")
    return Measurement(
        "activation_range_use",
        worst.use,
        detail=_told(worst),
        causes=("an outlier in the calibration set, or a calibration set in other units, made the range too wide",),
        next="look at the calibration set's largest values",
    )


def _require(metric: str, ranges: Sequence[ActivationRange]) -> None:
    if not ranges:
        raise Unmeasured(
            f"{metric}: no quantized activation has a partner in the float32 variant",
            expected="conversions of one network",
        )


def _told(found: ActivationRange) -> str:
    low, high = found.seen
    return (
        f"'{found.tensor}' of {found.place} can hold [{found.low:.4g}, {found.high:.4g}], "
        f"float32 takes [{low:.4g}, {high:.4g}] there"
    )
