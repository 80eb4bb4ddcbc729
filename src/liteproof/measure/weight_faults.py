"""What a weight tensor that is off looks like: a wrong scale, swapped channels, another training run.

Each defect leaves its own trace in the difference from the float32 variant, and what is told as a cause is that trace:

| trace | cause |
|---|---|
| all zero | the tensor (or a channel) was zeroed |
| proportional to float32's, by one factor | a scale is wrong by that factor; negative: the sign is flipped |
| proportional to another channel of float32's | channels are swapped |
| off by the same amount everywhere | a zero point is off |
| off only where codes are pinned to the ends | the scale was optimised for another error, or the range was cut |
| correlates, but is not proportional | weights moved after the float32 conversion: fine-tuning, another checkpoint |
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
_TENSORS_NAMED = 3


@dataclass(frozen=True, eq=False)
class TensorError:
    """How far one tensor is off.

    Attributes:
        pair: The tensor and its partner.
        steps: (channels, elements of one channel); one channel where `axis` is None.
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
    likeness = float(np.median([cosine(e.pair.float32.values, e.pair.variant.values) for e in off]))
    found = f"{len(off)} of {compared} tensors are off, by {off[-1].largest:.3g} to {off[0].largest:.3g} steps"
    if likeness < _RELATED:
        return f"weights of another training run, or of another network: {found}, median correlation {likeness:.2f}"
    if all(_only_pinned(error) for error in off):
        return f"a recipe that optimises scales (MSE, OCTAV, GPTQ): {found}, all of them at the ends of the range"
    return f"weights moved after conversion (fine-tuning, another checkpoint): {found}, correlation {likeness:.4f}"


def _trace(error: TensorError) -> str:
    ours = error.by_channel(error.pair.variant.values)
    theirs = error.by_channel(error.pair.float32.values)
    off = error.channels_off
    which = _which(error, off)
    if not ours[off].any():
        return f"{which} all zero"
    if _only_pinned(error):
        return (
            f"{which} off only where codes are pinned to the ends of {error.pair.variant.tensor.type}: "
            "a recipe that optimises scales (MSE, OCTAV, GPTQ), or a range that was cut"
        )
    step = _step(error)
    gains = _gains(ours[off], theirs[off], step[off])
    if gains is not None:
        return f"{which} {_factor(gains)}"
    swapped = _swapped(ours, theirs, off)
    if swapped:
        return swapped
    shift = _shift((ours - theirs)[off] / step[off])
    if shift:
        return f"{which} off by {shift:+d} steps everywhere: the zero point is wrong"
    likeness = cosine(ours[off], theirs[off])
    if likeness > _RELATED:
        return f"{which} moved after the float32 conversion: correlation {likeness:.4f}"
    return f"{which} other weights than float32's: correlation {likeness:.2f}"


def _which(error: TensorError, off: Sequence[int]) -> str:
    count = len(error.steps)
    if count == 1:
        return "it is"
    if len(off) == 1:
        return f"channel {off[0]} is"
    return f"all {count} channels are" if len(off) == count else f"{len(off)} of {count} channels are"


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
    rest = np.abs(ours - gains[:, None] * theirs) / step
    # Half a step of rounding, and a little for the estimate of the factor.
    return gains if rest.max() < 0.6 else None


def _factor(gains: Floats) -> str:
    if (gains < 0).all():
        times = "" if np.allclose(gains, -1.0, atol=0.05) else f", times {float(np.median(-gains)):.3g}"
        return f"float32's with the sign flipped{times}"
    low, high = float(gains.min()), float(gains.max())
    if high - low < 0.02 * abs(high):
        return f"{float(np.median(gains)):.3g} times what it should be: the scale is wrong"
    return f"{low:.3g} to {high:.3g} times what it should be: the scales are wrong, or in other channels' places"


def _shift(steps: Floats) -> int:
    """By how many whole steps all elements lie beside float32's; 0 where it is not the same everywhere."""
    middle = round(float(np.median(steps)))
    return middle if np.abs(steps - middle).max() < HALF_STEP else 0


def _only_pinned(error: TensorError) -> bool:
    """Whether every element that is off has the lowest or the highest code of its type."""
    kind = error.pair.variant.tensor.type
    if kind in FLOAT_TYPES:
        return False
    low, high = type_range(kind)
    codes = error.by_channel(error.pair.variant.codes)[error.steps > HALF_STEP]
    # Symmetric ranges end at −high.
    return bool(((codes <= max(low, -high)) | (codes >= high)).all())


def _called(error: TensorError) -> str:
    return f"{error.pair.role} '{error.pair.variant.tensor.name}' of {error.pair.operator}"
