"""The inputs and outputs of a model: their names, and the way from real values to what a tensor holds and back.

    >>> spec = TensorSpec("serving_default_image:0", shape=(1, 2), dtype="int8", scales=(0.5,), zero_points=(-1,))
    >>> spec.plain_name
    'image'
    >>> encode(spec, np.array([[0.5, 9.0]]))
    array([[ 0, 17]], dtype=int8)
    >>> decode(spec, np.array([[0, 17]], np.int8))
    array([[0.5, 9. ]], dtype=float32)
    >>> tokens = TensorSpec("ids:0", shape=(1, 2), dtype="int32")
    >>> encode(tokens, np.array([[3.0, 4.0]]))
    array([[3, 4]], dtype=int32)

Pure functions; `liteproof.measure.runtime` applies them to a loaded model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.errors import ModelError
from liteproof.tflite.arithmetic import dequantize, quantize

Array = npt.NDArray[Any]
Values = Array | Mapping[str, Array]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output, as the file declares it.

    Attributes:
        name: The tensor's name in the graph.
        key: Its name in the signature; empty where the model has none.
        index: Its number in the runtime.
        shape: Its shape as loaded; a dimension that the file leaves open counts 1.
        shape_signature: The same with -1 for each open dimension.
        dtype: numpy's name of its type. Runtimes report int4 as int8; "bytes" is a string tensor.
        scales, zero_points: One each, one for each slice along `axis`, or none.
        axis: The quantized dimension of a tensor with several scales.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    key: str = ""
    index: int = 0
    shape_signature: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int | None = None

    @property
    def quantized(self) -> bool:
        """Whether it holds codes. A scale of 0 means that it does not."""
        return any(self.scales)

    @property
    def scale(self) -> float:
        """The one scale; 0.0 where there is none, or one for each slice."""
        return self.scales[0] if self.quantized and len(self.scales) == 1 else 0.0

    @property
    def zero_point(self) -> int:
        """The one zero point; 0 where there is none, or one for each slice."""
        return self.zero_points[0] if self.quantized and len(self.zero_points) == 1 else 0

    @property
    def open_sized(self) -> bool:
        """Whether the file leaves a size open beside the batch's: a length, a height. Only samples tell it."""
        return -1 in self.shape_signature[1:]

    @property
    def plain_name(self) -> str:
        """The tensor's name without what the converter puts around it."""
        return re.sub(r":\d+$", "", self.name.removeprefix("serving_default_"))

    def __str__(self) -> str:
        own = self.key or self.plain_name
        return repr(self.name) if own == self.name else f"{own!r} (tensor {self.name!r})"


def encode(spec: TensorSpec, values: Array) -> Array:
    """What the tensor holds for these values of the source model's own domain.

    A quantized tensor takes codes by its own scale and zero point, halves to even, pinned to the ends of its type.
    Any other takes the values themselves: floats rounded to the type, integers only if the type holds each exactly.

    Args:
        spec: The tensor.
        values: Of any shape: the whole tensor, or samples of it.

    Raises:
        ModelError: The tensor cannot take a value: it is NaN in a quantized tensor, or would change in the cast.
    """
    values = np.asarray(values)
    if spec.dtype == "bytes":
        return _strings(spec, values)
    if values.dtype.kind not in "biufc":
        raise ModelError(f"input {spec} is {spec.dtype} and cannot take {values.dtype}", expected="numbers")
    if not spec.quantized:
        return _cast(spec, values)
    try:
        return quantize(values, spec.scales, spec.zero_points, spec.dtype.upper(), spec.axis)
    except ValueError as error:
        raise ModelError(f"input {spec}: {error}", where=_first(np.isnan(values), values)) from error


def decode(spec: TensorSpec, raw: Array) -> npt.NDArray[np.float32]:
    """The real values of what the tensor holds, in float32.

    Raises:
        ModelError: The tensor's scales do not fit it, or it holds strings.
    """
    if spec.dtype == "bytes":
        raise ModelError(f"{spec} is a string tensor", expected="numbers")
    if not spec.quantized:
        return raw.real.astype(np.float32, copy=False)
    if not all(map(math.isfinite, spec.scales)):
        raise ModelError(f"{spec}: its scale is {spec.scales[0]}", expected="a positive, finite scale")
    try:
        return dequantize(raw, spec.scales, spec.zero_points, spec.axis)
    except ValueError as error:
        raise ModelError(f"{spec}: {error}") from error


def match(specs: Sequence[TensorSpec], values: Values) -> list[Array]:
    """The array for each input, in the inputs' order.

    Args:
        specs: The inputs.
        values: One array for a model of one input; or arrays by name, where a name is the signature's, the tensor's, or
            the tensor's without the converter's decorations.

    Raises:
        ModelError: The names do not fit the inputs one to one.
    """
    if not isinstance(values, Mapping):
        if len(specs) != 1:
            raise _no_match(specs, "one array without a name")
        return [np.asarray(values)]
    found = []
    for spec in specs:
        arrays = [values[name] for name in names_of(spec) if name in values]
        if len(arrays) != 1:
            raise _no_match(specs, "arrays " + ", ".join(map(repr, values)))
        found.append(np.asarray(arrays[0]))
    if len(values) != len(specs):
        raise _no_match(specs, "arrays " + ", ".join(map(repr, values)))
    return found


def in_source_order(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The outputs in the order of the source model.

    Converters shuffle the outputs of the graph; what tells them apart are the signature's names, `output_0`,
    `output_1` … Names without a number keep the graph's order.
    """
    numbered = [re.search(r"(\d+)$", spec.key) for spec in specs]
    if not all(numbered):
        return tuple(specs)
    return tuple(sorted(specs, key=lambda spec: int(re.findall(r"\d+$", spec.key)[0])))


def names_of(spec: TensorSpec) -> tuple[str, ...]:
    """What an input or output is called: by the signature, in the graph, and there without decorations."""
    return tuple(dict.fromkeys(name for name in (spec.key, spec.name, spec.plain_name) if name))


def _no_match(specs: Sequence[TensorSpec], found: str) -> ModelError:
    return ModelError(
        f"{found} for a model with {len(specs)} input{'s' if len(specs) != 1 else ''}",
        expected="one array for each of: " + ", ".join(map(str, specs)),
        next="name the arrays of the data file after the inputs",
    )


def _cast(spec: TensorSpec, values: Array) -> Array:
    dtype = np.dtype(spec.dtype)
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.real.astype(dtype) if dtype.kind != "c" else values.astype(dtype)
        changed = np.isfinite(values) & ~np.isfinite(cast) if dtype.kind in "fc" else cast != values
    if changed.any():
        raise ModelError(
            f"input {spec} is {spec.dtype} without a scale and cannot take {_first(changed, values)}",
            expected=f"values that {spec.dtype} represents exactly, or a tensor with a scale",
            next="check with which input type the model was converted",
        )
    return cast


def _strings(spec: TensorSpec, values: Array) -> Array:
    if values.dtype.kind not in "SU":
        raise ModelError(f"input {spec} is a string tensor and cannot take {values.dtype}", expected="strings")
    return values


def _first(wrong: npt.NDArray[np.bool_], values: Array) -> str:
    """The first wrong value and where it stands."""
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{values[place]!s} at {list(place)}"
