"""Is the arithmetic between real values and integer codes right at the model's ends?

real = (code − zero point) × scale: the TensorFlow Lite 8-bit quantization specification.

    >>> import numpy as np
    >>> spec = TensorSpec("x", (1,), "int8", scales=(1 / 255,), zero_points=(-128,))
    >>> saturation([(spec, np.array([0.0, 0.4, 2.0], np.float32))]).value
    0.3333333333333333
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.blocks import blocks
from liteproof.measure.tensors import Array, TensorSpec, decode, encode

Ends = Sequence[tuple[TensorSpec, Array]]


def _range(spec: TensorSpec) -> tuple[float, float]:
    """The real values of the lowest and the highest code."""
    info, step = np.iinfo(spec.dtype), _step(spec)
    return (info.min - spec.zero_point) * step, (info.max - spec.zero_point) * step


def _step(spec: TensorSpec) -> float:
    """The real value of one code: 1 for integers that are fed as they are (token ids)."""
    return spec.scale or 1.0


def _beyond(spec: TensorSpec, values: Array) -> npt.NDArray[np.bool_]:
    """Where a value lies beyond the range. Half a step beyond the last code still rounds to it: that is rounding."""
    low, high = _range(spec)
    half = 0.5 * _step(spec)
    outside: npt.NDArray[np.bool_] = (values < low - half) | (values > high + half)
    return outside


def roundtrip_error_lsb(ends: Ends) -> Measurement:
    """Largest error of an evaluation input after quantizing and dequantizing, in steps, where nothing saturates.

    Args:
        ends: Each integer input with its evaluation array, shape (n, …).

    Raises:
        Unmeasured: if no input is an integer one, or every value saturates.
    """
    worst, name = -1.0, ""
    for spec, values in ends:
        for _, rows in blocks(values):
            error = np.abs(decode(spec, encode(spec, rows)).astype(np.float64) - rows) / _step(spec)
            inside = error[~_beyond(spec, rows)]
            if inside.size and float(inside.max()) > worst:
                worst, name = float(inside.max()), str(spec)
    if not name:
        raise Unmeasured(
            "roundtrip_error_lsb: every input value saturates",
            expected="evaluation inputs within the range of the input tensor",
            next="compare the range of the evaluation set with that of the calibration set",
        )
    return Measurement("roundtrip_error_lsb", worst, detail=f"input {name}")


def saturation(ends: Ends) -> Measurement:
    """Share of input values beyond the range of the input tensor, so that they are pinned to its ends.

    Raises:
        Unmeasured: if there is no value.
    """
    beyond = total = 0
    worst = ""
    for spec, values in ends:
        outside = sum(int(np.count_nonzero(_beyond(spec, rows))) for _, rows in blocks(values))
        beyond += outside
        total += values.size
        if outside:
            low, high = _range(spec)
            found = f"[{values.min():.4g}, {values.max():.4g}]"
            worst = f"input {spec} takes [{low:.4g}, {high:.4g}], the data has {found}"
    if total == 0:
        raise Unmeasured("saturation: the evaluation inputs hold no value")
    causes = ("the calibration set does not cover the evaluation set's range: " + worst,) if worst else ()
    return Measurement("saturation", beyond / total, detail=worst or None, causes=causes)


def io_mismatch(integer_outputs: Array, float_outputs: Array, scale: float) -> Measurement:
    """Share of outputs by which an integer-ended variant differs from its float-ended twin.

    Args:
        integer_outputs: The integer-ended variant's, dequantized to float32, shape (n, …).
        float_outputs: The twin's outputs on the dequantized codes of the same inputs, so that no input lies on a
            tie, shape (n, …).
        scale: The integer output's scale.
    """
    different, largest, first = 0, 0.0, None
    for start, ours, theirs in blocks(integer_outputs, float_outputs):
        wrong = ours != theirs.astype(np.float32)
        if wrong.any():
            rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
            first = int(rows[0]) + start if first is None else first
            steps = np.abs(ours[wrong].astype(np.float64) - theirs[wrong]) / scale
            largest = float(np.maximum(largest, steps.max()))
            different += int(np.count_nonzero(wrong))
    share = different / integer_outputs.size
    if first is None:
        return Measurement("io_mismatch", share, samples=len(integer_outputs))
    return Measurement(
        "io_mismatch",
        share,
        samples=len(integer_outputs),
        detail=f"by up to {largest:.3g} steps, first in sample {first}",
        causes=("the output's scale or zero point is not the one that the network was quantized with",),
    )


def dequantize_mismatch(answers: Sequence[tuple[TensorSpec, Array, Array]]) -> Measurement:
    """How many codes the runtime's own DEQUANTIZE operator turns into another value than (code − zero point) × scale.

    Values may differ by float32's rounding: kernels for Arm compute code × scale − zero point × scale.

    Args:
        answers: For each quantized input and output: the tensor, every code of its type, shape (codes,), and the values
            that the runtime made of them with the tensor's own scale and zero point.

    Raises:
        Unmeasured: if no input or output is quantized.
    """
    if not answers:
        raise Unmeasured(
            "dequantize_mismatch: no input and no output is quantized",
            expected="integer inputs and outputs with a scale; see recipe_mismatches",
        )
    wrong = [
        (spec, int(np.count_nonzero(~(np.abs(decode(spec, codes) - values) <= _rounding(spec, codes)))))
        for spec, codes, values in answers
    ]
    named = [f"{count} codes of {spec}" for spec, count in wrong if count]
    total = sum(len(codes) for _, codes, _ in answers)
    return Measurement(
        "dequantize_mismatch",
        float(sum(count for _, count in wrong)),
        samples=total,
        detail=", ".join(named) or None,
        causes=("the runtime computes DEQUANTIZE in another way: what an application dequantizes by hand differs",)
        if named
        else (),
    )


def _rounding(spec: TensorSpec, codes: Array) -> Array:
    """Largest difference of (q − z) s and q s − z s in float32, for each code: half a unit for each rounded term."""
    q, z = codes.astype(np.float64), float(spec.zero_point)
    bound: Array = 2.0**-24 * spec.scale * (np.abs(q) + abs(z) + 2 * np.abs(q - z))
    return bound
