"""Is the arithmetic between real values and integer codes right at the model's ends?

real = (code − zero point) × scale: the TensorFlow Lite 8-bit quantization specification.

    >>> import numpy as np
    >>> x = np.array([0.0, 0.4, 2.0], np.float32)
    >>> saturation([End("x", 1 / 255, -128, np.dtype("int8"))], {"x": x}).value
    0.3333333333333333
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.tflite.arithmetic import dequantize, quantize

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class End:
    """One integer input of a model: its scale (> 0), zero point and type."""

    name: str
    scale: float
    zero_point: int
    dtype: np.dtype[Any]


def _steps(end: End, x: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Error of each value after the round trip in steps of the scale, and where the value lies beyond the range."""
    info = np.iinfo(end.dtype)
    low, high = (info.min - end.zero_point) * end.scale, (info.max - end.zero_point) * end.scale
    back = dequantize(quantize(x, end.scale, end.zero_point, end.dtype), end.scale, end.zero_point)
    error = np.abs(back.astype(np.float64) - x.astype(np.float64)) / end.scale
    # Half a step beyond the last code still rounds to it: that is rounding, not saturation.
    beyond = (x < low - 0.5 * end.scale) | (x > high + 0.5 * end.scale)
    return error, beyond


def roundtrip_error_lsb(ends: Sequence[End], inputs: Mapping[str, Array]) -> Measurement:
    """Largest error of an evaluation input after quantizing and dequantizing, in steps, where nothing saturates.

    Args:
        ends: The integer inputs.
        inputs: Evaluation arrays by input name, shape (n, …).
    """
    worst, name = 0.0, ""
    for end in ends:
        error, beyond = _steps(end, inputs[end.name])
        inside = error[~beyond]
        if inside.size and float(inside.max()) >= worst:
            worst, name = float(inside.max()), end.name
    if not name:
        raise Unmeasured(
            "roundtrip_error_lsb: every input value saturates",
            expected="evaluation inputs within the range of the input tensor",
            next="compare the range of the evaluation set with that of the calibration set",
        )
    return Measurement("roundtrip_error_lsb", worst, detail=f"input {name}")


def saturation(ends: Sequence[End], inputs: Mapping[str, Array]) -> Measurement:
    """Share of input values that lie beyond the range of the input tensor, so that they are pinned to its ends."""
    beyond = total = 0
    worst = ""
    for end in ends:
        _, outside = _steps(end, inputs[end.name])
        beyond += int(np.count_nonzero(outside))
        total += outside.size
        if outside.any():
            info = np.iinfo(end.dtype)
            low, high = (info.min - end.zero_point) * end.scale, (info.max - end.zero_point) * end.scale
            x = inputs[end.name]
            worst = f"input {end.name} takes [{low:.4g}, {high:.4g}], the data has [{x.min():.4g}, {x.max():.4g}]"
    if total == 0:
        raise Unmeasured("saturation: the evaluation inputs hold no value")
    causes = ("the calibration set does not cover the evaluation set's range: " + worst,) if worst else ()
    return Measurement("saturation", beyond / total, detail=worst or None, causes=causes)


def io_mismatch(integer_outputs: Array, float_outputs: Array, scale: float, zero_point: int) -> Measurement:
    """Share of outputs by which an integer-ended variant differs from its float-ended twin.

    Args:
        integer_outputs: Codes of the integer-ended variant, shape (n, …).
        float_outputs: The twin's outputs on the dequantized codes of the same inputs, so that no input lies on a tie, shape (n, …).
        scale: The integer output's scale.
        zero_point: The integer output's zero point.
    """
    ours = dequantize(integer_outputs, scale, zero_point)
    different = ours != float_outputs.astype(np.float32)
    share = float(np.count_nonzero(different)) / different.size
    if not different.any():
        return Measurement("io_mismatch", share, samples=len(ours))
    steps = np.abs(ours.astype(np.float64) - float_outputs) / scale
    first = int(np.flatnonzero(different.reshape(len(different), -1).any(axis=1))[0])
    return Measurement(
        "io_mismatch",
        share,
        samples=len(ours),
        detail=f"by up to {float(steps.max()):.3g} steps, first in sample {first}",
        causes=("the output's scale or zero point is not the one that the network was quantized with",),
    )
