"""What an application feeds to a variant whose input domain is not the source's: its values, scaled and shifted.

A source that takes [-1, 1], and a variant with a uint8 input that is fed with raw pixels:

    >>> spec = TensorSpec("image:0", (1, 3), "uint8", scales=(2 / 255,), zero_points=(128,))
    >>> pixels = fed(spec, np.array([[-1.0, 0.0, 1.0]]), InputDomain((127.5,), (127.5,)))
    >>> codes_fed(np.array([[-1.0, 0.0, 1.0]]), InputDomain((127.5,), (127.5,)))
    array([[  0., 128., 255.]])
    >>> pixels.round(3)                  # what those codes stand for by the input's own scale and zero point
    array([[-1.004,  0.   ,  0.996]], dtype=float32)

A float input is fed with `source × scale + offset`; an integer input with the nearest whole number to that, as a
program does that copies pixels into it: the input's own scale and zero point do not come in.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from liteproof.errors import Unmeasured
from liteproof.measure.tensors import Array, TensorSpec
from liteproof.plan import InputDomain

# Ranges that images and other inputs are usually brought to.
USUAL: tuple[tuple[float, float], ...] = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0))


def fed(spec: TensorSpec, values: Array, domain: InputDomain) -> Array:
    """What the file's input is given for values of the source's domain, as real values of the file's own.

    Those of a quantized input are what its codes stand for, beyond its range too, so that what is pinned shows.

    Args:
        spec: The input.
        values: Shape (n, …), in the source's domain.
        domain: What the manifest says of this input.

    Raises:
        Unmeasured: if an integer input without a scale cannot hold a value.
    """
    if np.dtype(spec.dtype).kind not in "iu":
        return _affine(values, domain).astype(np.float32)
    codes = codes_fed(values, domain)
    if spec.quantized:
        return ((codes - spec.zero_point) * spec.scale).astype(np.float32)
    low, high = np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max
    if codes.min(initial=low) < low or codes.max(initial=high) > high:
        raise Unmeasured(
            f"input {spec} is {spec.dtype} and would be fed with {codes.min():g} to {codes.max():g}",
            expected=f"numbers from {low} to {high}",
            where="input_scale and input_offset of the variant",
        )
    return codes.astype(spec.dtype)


def codes_fed(values: Array, domain: InputDomain) -> npt.NDArray[np.float64]:
    """The whole numbers that an integer input is fed with, halves to even; not pinned to the type's ends."""
    return np.asarray(np.rint(_affine(values, domain)))


def _affine(values: Array, domain: InputDomain) -> npt.NDArray[np.float64]:
    scale, offset = np.asarray(domain.scale), np.asarray(domain.offset)
    channels = max(scale.size, offset.size)
    if channels > 1 and values.shape[-1] != channels:
        raise Unmeasured(
            f"input_scale, input_offset have {channels} numbers, the input {values.shape[-1]} channels",
            expected="one number, or one for each channel (the last axis)",
        )
    # A product in float64 that is a whole number but for rounding, as a pixel's, is that number.
    exact = values.astype(np.float64) * scale + offset
    near = np.rint(exact)
    return np.where(np.abs(exact - near) < 1e-4, near, exact)


def likely_domains(values: Array) -> Iterator[InputDomain]:
    """The ways from the range that these values seem to have to each of the usual ranges; the identity first."""
    yield InputDomain()
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    holding = [(a, b) for a, b in USUAL if a <= low and high <= b]
    if not holding:
        return
    here = min(holding, key=lambda ends: ends[1] - ends[0])
    for a, b in USUAL:
        if (a, b) != here:
            scale = (b - a) / (here[1] - here[0])
            yield InputDomain((scale,), (a - here[0] * scale,))
