"""What a weight tensor that is off looks like: a wrong scale, swapped channels, another training run.

Each defect leaves its own trace in the difference from the float32 variant, and what is told as a cause is that trace:

| trace | cause |
|---|---|
| all zero | the tensor (or a channel) was zeroed |
| off only where codes are pinned to the ends | the scale was optimised for another error, or the range was cut |
| a few elements are off | single values were changed |
| float32's times one factor, within rounding | a scale is wrong by that factor; negative: the sign is flipped |
| proportional to another channel of float32's | channels are swapped |
| off by the same number of steps everywhere | a zero point is off |
| off by less than a step, all toward zero | values were cut instead of rounded |
| correlates, and none of these | fine-tuning, quantizing twice, another checkpoint |
| does not correlate | other weights |

    >>> errors = ...                                                   # doctest: +SKIP
    >>> likely_causes(errors)                                          # doctest: +SKIP
    ("weight 'conv' of CONV_2D #0: channel 3 is 2.00 times what it should be: its scale is wrong",)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liteproof.tflite.arithmetic import type_range
from liteproof.tflite.facts import FLOAT_TYPES
from liteproof.tflite.matching import WeightPair, cosine

Floats = npt.NDArray[np.float64]

# Half a step, and a hair for arithmetic on both sides.
HALF_STEP = 0.501

# From here on two weight vectors are the same but for their length.
_SAME_DIRECTION = 0.985
_RELATED = 0.9
# Half a step of rounding, and a little for the estimate of a factor.
_ROUNDING = 0.6
_TENSORS_NAMED = 3
_ELEMENTS_NAMED = 3


@dataclass(frozen=True, eq=False)
class TensorError:
    """How far one tensor is off.

    Attributes:
        pair: The tensor and its partner.
        steps: (channels, elements of one channel), or (channels, 1) with each channel's worst for a tensor that is in
            order; one channel where `axis` is None.
        axis: The dimension of the channels.
    """

    pair: WeightPair
    steps: Floats
    axis: int | None

    @property
    def largest(self) -> float:
        """The worst element, in steps."""
        return float(self.steps.max(initial=0.0))

    @property
    def channel(self) -> int:
        """The channel of the worst element."""
        return int(np.argmax(self.steps.max(axis=1, initial=0.0)))

    @property
    def channels_off(self) -> list[int]:
        """Channels with an element that is off by more than half a step."""
        return [int(c) for c in np.flatnonzero(self.steps.max(axis=1, initial=0.0) > HALF_STEP)]

    def by_channel(self, values: npt.NDArray[np.generic]) -> Floats:
        """An array of the tensor's shape as (channels, elements)."""
        real = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
        return (
            np.moveaxis(real, self.axis, 0).reshape(self.steps.shape) if self.axis is not None else real.reshape(1, -1)
        )


def likely_causes(errors: Iterable[TensorError]) -> tuple[str, ...]:
    """Why tensors are off, the most likely first.

    Args:
        errors: Of all tensors that were compared, those in order too.
    """
    everything = list(errors)
    off = sorted((e for e in everything if e.largest > HALF_STEP), key=lambda e: e.largest, reverse=True)
    general = _of_the_whole_file(off, len(everything))
    if general is not None:
        return (general,)
    return tuple(f"{_called(error)}: {_trace(error)}" for error in off[:_TENSORS_NAMED])


def _of_the_whole_file(off: Sequence[TensorError], compared: int) -> str | None:
    """The cause if most tensors are off: then it is the file, not a tensor. Few tensors tell nothing about a file."""
    if len(off) <= max(compared / 2, 2):
        return None
    found = f"{len(off)} of {compared} tensors are off, by {off[-1].largest:.3g} to {off[0].largest:.3g} steps"
    likeness = float(np.median([cosine(e.pair.float32.values, e.pair.variant.values) for e in off]))
    if likeness < _RELATED:
        return f"weights of another training run, or of another network: {found}, median correlation {likeness:.2f}"
    if all(map(_only_pinned, off)):
        return f"{_PINNED}: {found}, all of them at the ends of the range"
    if all(map(_cut, off)):
        return f"{_CUT}: {found}"
    return f"{_MOVED}: {found}, median correlation {likeness:.4f}"


_PINNED = "a recipe that optimises scales (MSE, OCTAV, GPTQ), or a range that was cut"
_CUT = "values were cut toward zero instead of rounded to the nearest"
_MOVED = "weights moved after the float32 conversion (fine-tuning, another checkpoint), or were quantized twice"


def _trace(error: TensorError) -> str:
    ours = error.by_channel(error.pair.variant.values)
    theirs = error.by_channel(error.pair.float32.values)
    off = error.channels_off
    which = _which(error, off)
    if not ours[off].any():
        return f"{which} all zero"
    if _only_pinned(error):
        return f"{which} off only where codes are pinned to the ends of {error.pair.variant.tensor.type}: {_PINNED}"
    single = _single_values(error, ours, theirs)
    if single:
        return single
    gains = _gains(ours[off], theirs[off], _step(error)[off])
    if gains is not None:
        return f"{which} {_factor(gains)}"
    swapped = _swapped(ours, theirs, off)
    if swapped:
        return swapped
    shift = _shift(error, ours - theirs)
    if shift:
        return f"{which} off by {shift:+d} steps everywhere: the zero point is wrong"
    likeness = cosine(ours[off], theirs[off])
    if _cut(error):
        return f"{which} off by less than a step: {_CUT}"
    if likeness > _RELATED:
        return f"{which} off, correlation {likeness:.4f}: {_MOVED}"
    return f"{which} other weights than float32's: correlation {likeness:.2f}"


def _single_values(error: TensorError, ours: Floats, theirs: Floats) -> str | None:
    """What the file holds, where only a few elements are off."""
    places = np.argwhere(error.steps > HALF_STEP)
    if len(places) > _ELEMENTS_NAMED:
        return None
    named = (f"{ours[c, i]:.4g} where float32 has {theirs[c, i]:.4g} (channel {c})" for c, i in places.tolist())
    return f"{len(places)} of {error.steps.size} elements are off: it holds " + ", ".join(named)


def _which(error: TensorError, off: Sequence[int]) -> str:
    count = len(error.steps)
    if len(off) == count:
        return "it is"
    if len(off) == 1:
        return f"channel {off[0]} is"
    return f"{len(off)} of {count} channels are"


def _swapped(ours: Floats, theirs: Floats, off: Sequence[int]) -> str | None:
    """Which channels of the float32 variant the off ones hold instead; None if not every one holds one.

    Directions decide, not lengths: where codes were swapped, scales may have stayed.
    """
    # A channel of one or two elements points the same way as many others by chance.
    if ours.shape[1] < 4 or len(off) < 2:
        return None
    likeness = _unit(ours[off]) @ _unit(theirs).T
    best = likeness.argmax(axis=1)
    foreign = best != np.asarray(off)
    if not foreign.all() or not (likeness.max(axis=1) > _SAME_DIRECTION).all():
        return None
    named = ", ".join(f"{c} holds {d}" for c, d in zip(off[:4], best[:4].tolist(), strict=True))
    return f"channels are permuted: {named}" + (" …" if len(off) > 4 else "")


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def _step(error: TensorError) -> Floats:
    """The step of each element as (channels, elements); for floats a hundredth of the largest value."""
    tensor = error.pair.variant.tensor
    if tensor.type in FLOAT_TYPES:
        largest = float(np.abs(error.by_channel(error.pair.float32.values)).max(initial=0.0))
        return np.full(error.steps.shape, 0.01 * largest or 1.0)
    step = error.by_channel(np.broadcast_to(error.pair.variant.steps, tensor.shape))
    return np.where(step > 0, step, np.inf)


def _gains(ours: Floats, theirs: Floats, step: Floats) -> Floats | None:
    """The factor by which each channel is float32's, within rounding; None where one is not, or is by 1."""
    if ours.shape[1] == 1:
        # One element is proportional to any other; but a factor that all channels share is a trace all the same.
        ours, theirs, step = ours.T, theirs.T, step.T
        if ours.shape[1] < 3:
            return None
    power = np.square(theirs).sum(axis=1)
    if not power.all():
        return None
    gains: Floats = (ours * theirs).sum(axis=1) / power
    # One factor for all channels, if it explains them as well: at 4 bits each channel's own is a rough estimate.
    weight = np.square(1.0 / step)
    common = float((weight * ours * theirs).sum() / (weight * theirs * theirs).sum())
    if (np.abs(ours - common * theirs) / step).max() < _ROUNDING:
        gains = np.full_like(gains, common)
    rest = np.abs(ours - gains[:, None] * theirs) / step
    # A factor so near to 1 that it moves no element by half a step explains nothing.
    moved = (np.abs((gains - 1.0)[:, None] * theirs) / step).max(axis=1)
    return gains if rest.max() < _ROUNDING and moved.min() > HALF_STEP else None


def _factor(gains: Floats) -> str:
    if (gains < 0).all():
        times = "" if np.allclose(gains, -1.0, atol=0.05) else f", times {float(np.median(-gains)):.3g}"
        return f"float32's with the sign flipped{times}"
    low, high = float(gains.min()), float(gains.max())
    if high - low < 0.02 * abs(high):
        return f"{float(np.median(gains)):.3g} times what it should be: the scale is wrong"
    return f"{low:.3g} to {high:.3g} times what it should be: the scales are wrong, or in other channels' places"


def _shift(error: TensorError, difference: Floats) -> int:
    """By how many whole steps all elements lie beside float32's, pinned ones apart; 0 where it is not the same."""
    if error.pair.role == "bias" and len(error.channels_off) < len(error.steps):
        return 0
    steps = (difference / _step(error))[error.channels_off][~_pinned(error)[error.channels_off]]
    middle = round(float(np.median(steps))) if steps.size else 0
    return middle if middle and np.abs(steps - middle).max() < HALF_STEP else 0


def _cut(error: TensorError) -> bool:
    """Whether every element that is off is off by less than a step, and nearer to zero than float32's."""
    off = error.steps > HALF_STEP
    ours = np.abs(error.by_channel(error.pair.variant.values))[off]
    theirs = np.abs(error.by_channel(error.pair.float32.values))[off]
    return error.largest < 1.01 and bool((ours <= theirs).all())


def _only_pinned(error: TensorError) -> bool:
    """Whether every element that is off has the lowest or the highest code of its type."""
    return bool(_pinned(error)[error.steps > HALF_STEP].all())


def _pinned(error: TensorError) -> npt.NDArray[np.bool_]:
    """Which elements have the lowest or the highest code, as (channels, elements); none of a float tensor."""
    kind = error.pair.variant.tensor.type
    if kind in FLOAT_TYPES:
        return np.zeros(error.steps.shape, np.bool_)
    low, high = type_range(kind)
    codes = error.by_channel(error.pair.variant.codes)
    # Symmetric ranges end at −high.
    pinned: npt.NDArray[np.bool_] = (codes <= max(low, -high)) | (codes >= high)
    return pinned


def _called(error: TensorError) -> str:
    return f"{error.pair.role} '{error.pair.variant.tensor.name}' of {error.pair.operator}"
