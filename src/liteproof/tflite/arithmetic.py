"""Between real values and codes: real = (code - zero point) * scale, as the runtimes compute it.

    >>> codes = quantize(np.array([-1.0, 0.0, 0.25, 9.0], np.float32), 0.5, -1, "INT8")
    >>> codes
    array([-3, -1, -1, 17], dtype=int8)
    >>> dequantize(codes, 0.5, -1)
    array([-1.,  0.,  0.,  9.], dtype=float32)
    >>> type_range("INT4")
    (-8, 7)

One scale serves a whole tensor, or one each slice along `axis`. Tensor types go by their names in the schema; a numpy
type serves as well.
Source: TensorFlow Lite 8-bit quantization specification, and the LiteRT kernels QUANTIZE and DEQUANTIZE.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Bits and signedness of the types that carry codes.
_CODE_TYPES = {
    "INT2": (2, True),
    "INT4": (4, True),
    "UINT4": (4, False),
    "INT8": (8, True),
    "UINT8": (8, False),
    "INT16": (16, True),
    "UINT16": (16, False),
    "INT32": (32, True),
    "INT64": (64, True),
}


def carries_codes(tensor_type: str) -> bool:
    """Whether a tensor of this type can hold codes; a damaged file may name a type that is none."""
    return tensor_type in _CODE_TYPES


def type_range(tensor_type: str | npt.DTypeLike) -> tuple[int, int]:
    """The smallest and the largest code of a tensor type, such as "INT4" or `np.int8`.

    Raises:
        ValueError: The type does not carry codes.
    """
    name = tensor_type if isinstance(tensor_type, str) else np.dtype(tensor_type).name
    if name.upper() not in _CODE_TYPES:
        raise ValueError(f"{name} carries no codes; these do: {', '.join(_CODE_TYPES)}")
    bits, signed = _CODE_TYPES[name.upper()]
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def code_dtype(tensor_type: str | npt.DTypeLike) -> np.dtype[Any]:
    """The numpy type that holds one code: int8 for INT8, and for INT4 and INT2, which numpy has no type for."""
    low, high = type_range(tensor_type)
    # numpy takes a positive number for unsigned; of a signed type, the smallest code tells the width.
    return np.min_scalar_type(low if low else high)


def quantize(
    values: npt.ArrayLike,
    scale: npt.ArrayLike,
    zero_point: npt.ArrayLike,
    tensor_type: str | npt.DTypeLike,
    axis: int | None = None,
) -> npt.NDArray[Any]:
    """Codes of real values: round(value / scale) + zero point, pinned to the ends of the type.

    Codes of up to 16 bits are computed in float32, as LiteRT's QUANTIZE does, those of biases (32 and 64 bits) in
    float64, as converters do. Ties go to the even code. Runtimes differ from each other by one step on ties (and a
    few units in the last place beside them, where some multiply by 1 / scale); everywhere else they agree with this.
    Values of more than 2**31 steps, infinities among them, are pinned to the end they lie at; kernels without XNNPACK
    pin them to either end.

    Args:
        values: Real values, any shape.
        scale: One, or (channels,) along `axis`.
        zero_point: As many as scales.
        tensor_type: "INT8", "UINT8", "INT16", "INT4" …, or a numpy type.
        axis: The quantized dimension; None for one scale.

    Returns:
        Codes of the values' shape, in `code_dtype(tensor_type)`.

    Raises:
        ValueError: A value is NaN; a scale is not positive and finite (0 stands for "not quantized"); scales do not
            fit the shape.
    """
    low, high = type_range(tensor_type)
    precision = np.dtype(np.float32 if high <= 0xFFFF else np.float64)
    real = np.asarray(values, precision)
    if np.isnan(real).any():
        raise ValueError(f"{np.isnan(real).sum()} of {real.size} values are NaN, which has no code")
    scales, zero_points = _along(real.shape, scale, zero_point, axis, precision)
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise ValueError("a scale must be positive and finite; 0 stands for 'not quantized'")
    # A quotient too large for the precision becomes infinite and is pinned like any other large one.
    with np.errstate(over="ignore"):
        codes = np.rint(real / scales) + zero_points
    # 2**63 - 1 is no float64; the one below it is the largest code that a float64 can become.
    top = float(high) if high < 1 << 53 else float(np.nextafter(float(high), 0.0))
    return np.asarray(np.clip(codes, low, top), code_dtype(tensor_type))


def dequantize(
    codes: npt.ArrayLike, scale: npt.ArrayLike, zero_point: npt.ArrayLike, axis: int | None = None
) -> npt.NDArray[np.float32]:
    """Real values of codes: (code - zero point) * scale in float32, equal to the runtimes' DEQUANTIZE.

    Equal to the bit to ai-edge-litert 2.3, tflite-runtime 2.14 and TensorFlow 2.21 as they come, and to their reference
    kernels; ai-edge-litert's optimised kernel without XNNPACK may be off by a unit in the last place.

    Args:
        codes: Integer codes, any shape.
        scale: One, or (channels,) along `axis`.
        zero_point: As many as scales.
        axis: The quantized dimension; None for one scale.

    Raises:
        ValueError: The codes are not integers; the only scale is 0 ("not quantized"); scales do not fit the shape.
    """
    given = np.asarray(codes)
    if given.dtype.kind not in "iu":
        raise ValueError(f"codes are integers, these are {given.dtype}")
    # The kernels multiply in double and round once. Differences of 17 bits are exact in float32, so that its product
    # is rounded once too; the longer codes of biases need the double.
    precision = np.dtype(np.float32 if given.dtype.itemsize <= 2 else np.float64)
    scales, zero_points = _along(given.shape, np.asarray(scale, np.float32), zero_point, axis, precision)
    if scales.size == 1 and not scales.item():
        raise ValueError("scale 0 stands for 'not quantized': there is nothing to dequantize")
    values: npt.NDArray[Any] = given.astype(precision)
    values -= zero_points
    with np.errstate(invalid="ignore"):  # 0 × the infinite scale of a broken file is NaN, and told as such
        values *= scales
    return values.astype(np.float32, copy=False)


def _along(
    shape: tuple[int, ...],
    scale: npt.ArrayLike,
    zero_point: npt.ArrayLike,
    axis: int | None,
    precision: np.dtype[Any],
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Scales and zero points in this precision and in a shape that broadcasts along `axis` of `shape`."""
    scales, zero_points = np.asarray(scale, precision), np.asarray(zero_point, precision)
    if scales.size != zero_points.size:
        raise ValueError(f"{scales.size} scales and {zero_points.size} zero points")
    if scales.size == 1:
        return scales.reshape(()), zero_points.reshape(())
    if axis is None or not 0 <= axis < len(shape) or shape[axis] != scales.size:
        raise ValueError(f"{scales.size} scales do not fit shape {list(shape)} along axis {axis}")
    across = [1] * len(shape)
    across[axis] = -1
    return scales.reshape(across), zero_points.reshape(across)
