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

An int16 activation has no zero point to move (rule `int16_zero_point`): its range reaches as far below zero as above,
and a tensor behind a ReLU has half of it for nothing. That is the type's price and not the calibration's, so `use`
counts how long a range of the type has to be: twice the largest magnitude.

    >>> behind_relu = ActivationRange("CONV_2D #0", "relu", 0.001, -32.768, 32.767, seen=(0.0, 32.7), symmetric=True)
    >>> round(activation_range_use([behind_relu]).value, 3)
    0.998
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.batches import count
from liteproof.measure.runtime import Session
from liteproof.measure.tensors import Values, match
from liteproof.tflite.arithmetic import type_range
from liteproof.tflite.facts import FLOAT_TYPES
from liteproof.tflite.layers import LayerPair, align_layers
from liteproof.tflite.reader import Model, Subgraph, Tensor
from liteproof.tflite.specification.activations import FIXED_OUTPUTS, SAME_SCALE

Seen = Mapping[int, tuple[float, float]]

# Healthy conversions by TFLiteConverter and LiteRT Quantizer stay within half a step, which is the rounding of the zero
# point; float32 sums in another order add a thousandth of a step.
CLIPPING_LIMIT = 0.51

_CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})
_CODES = ("INT8", "UINT8", "INT16")
# Types whose activations have the zero point 0 by the specification.
_SYMMETRIC = frozenset({"INT16"})
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
        symmetric: Whether its type leaves it no zero point but 0, as int16 does.
        readers: The layers that read it, each with the smallest and largest value that it writes in float32.
        shared: Smallest and largest value of all tensors that must have its scale (the inputs and the output of a
            CONCATENATION, say); None where there are no others.
    """

    place: str
    tensor: str
    step: float
    low: float
    high: float
    seen: tuple[float, float]
    symmetric: bool = False
    readers: tuple[tuple[str, tuple[float, float]], ...] = ()
    shared: tuple[float, float] | None = None

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
        """The length of the shortest range of its type that holds the float32 values, over that of its own.

        Those of the tensors that must have the same scale count as well.
        """
        return self._use(self.shared or self.seen)

    @property
    def overwritten_by(self) -> str | None:
        """The layer whose output decided the range of what it reads, where that explains a range twice too long.

        TFLiteConverter (seen in 2.21) notes the values of an operator's inputs before and after it has run
        (`LoggingEval` in TensorFlow Lite's calibrator.cc), and the kernels of ADD, SUB, MUL and DIV write over an input
        that nobody else reads: the input's range becomes what holds both.
        """
        both = [(place, _hull([self.seen, written])) for place, written in self.readers]
        return next((place for place, seen in both if max(0.5, 2 * self.use) < self._use(seen) < 2.0), None)

    def _use(self, seen: tuple[float, float]) -> float:
        below, above = max(-seen[0], 0.0), max(seen[1], 0.0)  # 0 is in every range, as in a quantized tensor's
        needed = 2 * max(below, above) if self.symmetric else below + above
        return needed / (self.high - self.low)


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

    What a QUANTIZE makes of an activation on its way to the next layer holds the same values, so its range is looked at
    too: at the borders of mixed precision, say. Left out are outputs whose parameters the specification fixes
    (SOFTMAX …), and inputs of operators that can narrow a range but must not change the scale (MINIMUM …).

    Args:
        float32: The float32 variant.
        variant: The variant under judgement.
        seen: Smallest and largest value of the float32 variant's tensors, by index.
    """
    found = dict(_ranges(float32, variant, seen))
    spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
    groups = _of_one_scale(variant.subgraphs[0])
    for index, range_ in found.items():
        spans[groups.get(index, index)].append(range_.seen)
    return tuple(
        replace(range_, shared=_hull(spans[groups[index]])) if index in groups else range_
        for index, range_ in found.items()
    )


def _of_one_scale(graph: Subgraph) -> dict[int, int]:
    """For each tensor that an operator demands to have another's scale: one tensor that stands for all of these."""
    found: dict[int, int] = {}
    for operator in graph.operators:  # in the order in which they run
        if operator.name in SAME_SCALE - _NARROWING:
            values = {i for i in (*operator.inputs, *operator.outputs) if i >= 0 and _has_range(graph.tensors[i])}
            before = {found[index] for index in values & found.keys()}
            tied = values | {index for index, other in found.items() if other in before}
            found |= dict.fromkeys(tied, operator.outputs[0])
    return found


def _hull(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in spans), max(high for _, high in spans)


def _ranges(float32: Model, variant: Model, seen: Seen) -> Iterator[tuple[int, ActivationRange]]:
    """Each with the index of its tensor."""
    graph = variant.subgraphs[0]
    narrowed = {index for operator in graph.operators if operator.name in _NARROWING for index in operator.inputs}
    for theirs, ours in zip(float32.subgraphs[0].inputs, graph.inputs, strict=False):
        quantize = [op for op in graph.operators if op.name == "QUANTIZE" and ours in op.inputs]
        tensor = graph.tensors[quantize[0].outputs[0] if quantize else ours]
        if theirs in seen and _has_range(tensor):
            yield tensor.index, _range("input", tensor, seen[theirs])
    aligned = align_layers(float32, variant)
    readers = _readers(aligned, seen)
    for pair in aligned:
        theirs, ours = pair.float32.output, pair.variant.output
        if theirs not in seen or (pair.variant.operator.name, graph.tensors[ours].type) in FIXED_OUTPUTS:
            continue
        for place, index in ((pair.variant.place, ours), *_converted(graph, ours)):
            if _has_range(graph.tensors[index]) and index not in narrowed:
                found = _range(place, graph.tensors[index], seen[theirs])
                yield index, replace(found, readers=tuple(readers[theirs]))


def _converted(graph: Subgraph, index: int) -> Iterator[tuple[str, int]]:
    """The conversions that follow an activation, and the tensors that they write."""
    held = {index}
    for operator in graph.operators:  # in the order in which they run
        if operator.name in _CONVERSIONS and operator.inputs[0] in held:
            held.add(operator.outputs[0])
            yield f"{operator.name} #{operator.index}", operator.outputs[0]


def _readers(aligned: Iterable[LayerPair], seen: Seen) -> Mapping[int, list[tuple[str, tuple[float, float]]]]:
    """For each tensor of the float32 variant: the variant's places that read it, and what they write in float32."""
    found = defaultdict(list)
    for pair in aligned:
        for tensor in pair.float32.inputs.values():
            if pair.float32.output in seen:
                found[tensor].append((pair.variant.place, seen[pair.float32.output]))
    return found


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
    ends = (low - zero_point) * step, (high - zero_point) * step
    return ActivationRange(place, tensor.name, step, *ends, seen, symmetric=tensor.type in _SYMMETRIC)


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
    """The smallest share of a range that the float32 variant's activations need: 0.25 leaves two bits unused.

    What they need is the shortest range of the tensor's type that holds them. For int8 that is their span. The
    specification's section "Symmetric vs asymmetric" names the zero point's worth: up to one bit. The kernels for int16
    have none (rule `int16_zero_point`), so what is needed there is twice the largest magnitude.

    Healthy ranges are used to 0.67 and more, in int8 as in int16, with one exception: TFLiteConverter gives a tensor
    that ADD, SUB, MUL or DIV overwrites the range of both (`ActivationRange.overwritten_by`). That costs MobileNetV2's
    residuals a bit and a half. Behind a ReLU whose batch normalization multiplies by ten it costs four, and that is a
    loss that the limit is there to show.

    Raises:
        Unmeasured: if no activation of the variant has a partner in the float32 variant.
    """
    _require("activation_range_use", ranges)
    # A tensor that is zero for every sample (a recurrent layer's first state) has no range that it could fill.
    worst = min((found for found in ranges if any(found.seen)), key=lambda found: found.use, default=None)
    if worst is None:
        return Measurement("activation_range_use", 1.0, detail="every activation is zero in float32")
    causes, advice = _too_wide(worst)
    return Measurement("activation_range_use", worst.use, detail=_told(worst), causes=causes, next=advice)


def _too_wide(found: ActivationRange) -> tuple[tuple[str, ...], str]:
    """Why a range is too wide, and what to do."""
    if not found.overwritten_by:
        calibrated = "an outlier in the calibration set, or a calibration set in other units, made the range too wide"
        trained = "after quantization-aware training: it ended before the range had come down from where it began"
        return (calibrated, trained), "look at the calibration set's largest values"
    cause = f"its range is that of what {found.overwritten_by} makes of it: TFLiteConverter looks at a tensor once more"
    advice = 'convert by LiteRT Quantizer, whose ranges are each tensor\'s own: toolchain = "litert" or a recipe file'
    return (f"{cause} after an operator has overwritten it",), advice


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
