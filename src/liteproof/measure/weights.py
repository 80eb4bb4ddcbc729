"""Are the variant's weights and biases the float32 variant's, rounded?

real = (code − zero point) × scale, and rounding to the nearest code is off by half a step at most. No network, no data
set and no runtime is needed to see it: a file of another training run passes every agreement gate and is off by
hundreds of steps here.

    >>> matching = match_weights(read_model("float32.tflite"), read_model("int8.tflite"))   # doctest: +SKIP
    >>> weight_error_lsb(matching).value, weight_error_lsb(matching).detail                 # doctest: +SKIP
    (0.49997, "worst: weight 'digits_1/hidden_1/MatMul' of FULLY_CONNECTED #8, channel 17, 10 of 10 compared")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import ModelError, Unmeasured
from liteproof.measure.weight_faults import HALF_STEP, TensorError, likely_causes
from liteproof.tflite.facts import FLOAT_TYPES
from liteproof.tflite.matching import Matching, Parameter, WeightPair, cosine_of

Floats = npt.NDArray[np.float64]

# On the way from a float to the dequantized code stand four roundings to float32 (the scale, the quotient, the code of
# large values, the product), each by 2⁻²⁴ of the value at most. They outgrow half a step where codes pass 2²⁰: biases
# of int16x8 files (0.79 of a step measured) and 32-bit codes near 2³⁰ (100 steps), all of them harmless.
FLOAT32_ROUNDINGS = 4 * 2.0**-24

# Floats that a recipe leaves in float32 are the float32 variant's own; folding batch norms in another order moves the
# last bits. They are counted in steps of 16 bits of the tensor's largest value, which leaves eight bits to that.
_FLOAT32_STEP = 2.0**-16
_ALL = slice(None)
_MANTISSA_BITS = {"FLOAT16": (10, -24), "BFLOAT16": (7, -133)}

# Operators whose constant operand has a scale of its own. Elsewhere (CONCATENATION, MAXIMUM, PADV2 …) the specification
# ties it to the activations' scale, and a constant may well be pinned.
_FREE_OPERANDS = frozenset({"ADD", "SUB", "MUL", "DIV", "PRELU", "SQUARED_DIFFERENCE"})

# As many decimal places as tell half a step from a defect.
_NAMED = 5


def weight_error_lsb(matching: Matching) -> Measurement:
    """The largest distance of a weight from the float32 variant's, in steps of its own channel.

    A step is the channel's scale for integer weights, a unit in the last place for float16. Min-max recipes
    (TFLiteConverter's, LiteRT Quantizer's default) round to nearest within the range: 0.5. Recipes that optimise
    scales (MSE, OCTAV, GPTQ) give up a channel's largest elements for the sake of the others: up to 2.8 steps
    measured at 4 bits.

    Raises:
        Unmeasured: The float32 variant has weights, and none of them could be matched.
    """
    pairs = [pair for pair in matching.of("weight", "operand") if _has_own_scale(pair)]
    return _largest("weight_error_lsb", matching, pairs, ("weight", "operand"))


def bias_error_lsb(matching: Matching) -> Measurement:
    """The largest distance of a bias from the float32 variant's beyond float32's own rounding, in steps.

    A step is input scale × weight scale, which the file carries as the bias's own scale.

    Raises:
        Unmeasured: The float32 variant has biases, and none of them could be matched.
    """
    return _largest("bias_error_lsb", matching, matching.of("bias"), ("bias",))


def weight_correlation(matching: Matching) -> Measurement:
    """The smallest cosine between a weight tensor and the float32 variant's.

    Near 1 for conversions of the same training (0.99 at 4 bits), near 0 for another training run of the same network,
    and between for fine-tuned weights. It needs no scale to be right, and so decides where weights were changed by
    design (quantization-aware training, pruning).

    Raises:
        Unmeasured: The float32 variant has weights, and none of them could be matched.
    """
    pairs = matching.of("weight")
    if not pairs:
        return _nothing("weight_correlation", 1.0, matching, ("weight",))
    cosines = [cosine_of(pair) for pair in pairs]
    worst = int(np.argmin(cosines))
    low = [c for c in cosines if c < 0.9]
    causes = []
    if len(low) > len(cosines) / 2:
        causes.append(f"weights of another training run: {len(low)} of {len(cosines)} tensors do not correlate")
    elif low:
        causes.append(
            f"{len(low)} of {len(cosines)} weight tensors were replaced, zeroed or permuted; the others are the same"
        )
    return Measurement(
        "weight_correlation",
        cosines[worst],
        detail=f"lowest: {_name(pairs[worst])}; median {float(np.median(cosines)):.4f}"
        + _coverage(matching, ("weight",)),
        causes=tuple(causes),
        next=f"liteproof inspect {pairs[worst].variant.model.where}",
    )


def unusable_weights(matching: Matching) -> Measurement:
    """How many weights and biases are NaN or infinite, or have no positive scale, where float32's are in order."""
    found = [(pair.variant, *_unusable(pair)) for pair in matching.of("weight", "bias")]
    found += [(p, *_not_finite(p)) for p in matching.unmatched_variant if p.role != "operand"]
    named = [f"{count} {what} in {_called(parameter)}" for parameter, count, what in found if count]
    total = sum(count for _, count, _ in found)
    return Measurement(
        "unusable_weights",
        float(total),
        detail=_listed(named) or None,
        causes=("the file was edited or damaged after its conversion", "the training diverged") if total else (),
        next="convert the model again" if total else None,
    )


def _not_finite(parameter: Parameter) -> tuple[int, str]:
    """How many values are NaN or infinite; all, if they cannot be read. With a word for what they are."""
    try:
        pieces = (parameter.rows(rows) for rows in parameter.pieces())
        return sum(int(np.count_nonzero(~np.isfinite(values))) for values in pieces), "not finite"
    except ModelError as error:
        why = error.found.rpartition(f"{parameter.place} ")[2]
        return parameter.tensor.elements, f"unreadable ({why})"


def _unusable(pair: WeightPair) -> tuple[int, str]:
    count = 0
    for rows in pair.variant.pieces():
        reference = pair.float32.rows(rows)
        try:
            values = pair.variant.rows(rows)
        except ModelError:
            return _not_finite(pair.variant)
        bad = ~np.isfinite(values)
        if pair.variant.tensor.type not in FLOAT_TYPES:
            # A scale of 0 stands for zeros in some files; it is in order where the weights are zero.
            bad |= ~(pair.variant.steps_of(rows) > 0) & (values != reference)
        count += int(np.count_nonzero(bad & np.isfinite(reference)))
    return count, "not finite or without a scale"


def errors_in_steps(pair: WeightPair, rows: slice = _ALL, largest: float | None = None) -> Floats:
    """The distance of each element from the float32 variant's, in steps, of the tensor's shape.

    For codes: (|v − f| − 2⁻²² |f|) / step, not below 0. Elements that `unusable_weights` counts are 0 here.

    Args:
        pair: The tensor and its partner.
        rows: Of the first dimension.
        largest: The float32 tensor's largest absolute value, where it is known.
    """
    reference = pair.float32.rows(rows).astype(np.float64)
    values = pair.variant.rows(rows).astype(np.float64)
    distance = np.abs(values - reference)
    kind = pair.variant.tensor.type
    if kind in _MANTISSA_BITS:
        unit = _unit_in_the_last_place(reference, *_MANTISSA_BITS[kind])
    elif kind in FLOAT_TYPES:
        largest = _largest_finite(pair.float32) if largest is None else largest
        unit = np.full(reference.shape, max(largest * _FLOAT32_STEP, 2.0**-126))
    else:
        unit = np.broadcast_to(pair.variant.steps_of(rows), reference.shape)
        distance = np.maximum(distance - FLOAT32_ROUNDINGS * np.abs(reference), 0.0)
    sound = np.isfinite(distance) & (unit > 0)
    steps: Floats = np.divide(distance, unit, out=np.zeros_like(distance), where=sound)
    return steps


def _largest_finite(parameter: Parameter) -> float:
    pieces = (parameter.rows(rows) for rows in parameter.pieces())
    return max(float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) for values in pieces)


def _unit_in_the_last_place(values: Floats, bits: int, smallest: int) -> Floats:
    """The spacing of a float type with `bits` of mantissa at these values; 2**smallest among its subnormals."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.floor(np.log2(np.abs(values))) - bits
    spacing: Floats = np.exp2(np.maximum(np.nan_to_num(exponent, neginf=smallest, posinf=smallest), smallest))
    return spacing


def _has_own_scale(pair: WeightPair) -> bool:
    return pair.role == "weight" or pair.variant.operator in _FREE_OPERANDS or pair.variant.tensor.type in FLOAT_TYPES


def _tensor_error(pair: WeightPair) -> TensorError:
    # Of a tensor that is in order the worst of each channel is enough to keep.
    largest = _largest_finite(pair.float32)
    pieces = [
        _by_channel(errors_in_steps(pair, rows, largest), pair.axis).max(axis=1, keepdims=True, initial=0.0)
        for rows in pair.variant.pieces()
    ]
    worst = np.concatenate(pieces) if pair.axis == 0 else np.maximum.reduce(pieces)
    in_order = worst.max(initial=0.0) <= HALF_STEP
    return TensorError(pair, worst if in_order else _by_channel(errors_in_steps(pair), pair.axis), pair.axis)


def _by_channel(steps: Floats, axis: int | None) -> Floats:
    """Shape (channels, elements of one channel)."""
    channels = 1 if axis is None else steps.shape[axis]
    return (steps if axis is None else np.moveaxis(steps, axis, 0)).reshape(channels, -1)


def _largest(metric: str, matching: Matching, pairs: Sequence[WeightPair], roles: tuple[str, ...]) -> Measurement:
    if not pairs:
        return _nothing(metric, 0.0, matching, roles)
    errors = sorted((_tensor_error(pair) for pair in pairs), key=lambda error: error.largest, reverse=True)
    worst = errors[0]
    channel = "" if worst.axis is None else f", channel {worst.channel}"
    off = [error for error in errors if error.largest > HALF_STEP]
    return Measurement(
        metric,
        worst.largest,
        detail=f"worst: {_name(worst.pair)}{channel}" + _coverage(matching, roles),
        causes=likely_causes(errors) if off else (),
        next=f"liteproof inspect {worst.pair.variant.model.where}",
        evidence={
            "tensors": len(errors),
            "off": len(off),
            "worst": [_evidence(error) for error in errors[:_NAMED]],
        },
    )


def _evidence(error: TensorError) -> dict[str, object]:
    pair = error.pair
    return {
        "tensor": pair.variant.tensor.name,
        "operator": pair.operator,
        "type": pair.variant.tensor.type,
        "channel": error.channel if error.axis is not None else None,
        "lsb": round(error.largest, 4),
        "channels_off": len(error.channels_off),
    }


def _nothing(metric: str, value: float, matching: Matching, roles: Iterable[str]) -> Measurement:
    """The measurement of a network that has no such constants; it is unsound where they were not found."""
    missing = [p for p in (*matching.unmatched_float32, *matching.unmatched_variant) if p.role in roles]
    if missing:
        raise Unmeasured(
            f"{metric}: none of the float32 variant's constants has a partner in the variant",
            expected="the operators of the float32 variant, in order, with weights of the same shapes",
            where=_listed([_called(p) for p in missing]),
            next="see parameter_mismatch: this is another network, or was converted by other fusions",
        )
    return Measurement(metric, value, detail="the network has none")


def _coverage(matching: Matching, roles: Iterable[str]) -> str:
    """How many of the float32 variant's constants were compared, if not all."""
    alone = [p for p in matching.unmatched_float32 if p.role in roles]
    if not alone:
        return ""
    compared = sum(pair.role in roles for pair in matching.pairs)
    return f"; {compared} of {compared + len(alone)} compared, without partner: {_listed([_called(p) for p in alone])}"


def _name(pair: WeightPair) -> str:
    return _called(pair.variant)


def _called(parameter: Parameter) -> str:
    return f"{parameter.role} '{parameter.tensor.name}' of {parameter.place}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
