"""A small network in every recipe, to be spoiled: convolution, depthwise convolution, dense layer and softmax.

    >>> float32, int8 = network("float32"), network("int8")
    >>> spoiled = network("int8", spoil={"conv/weights": lambda stored: replace(stored, scales=2 * stored.scales)})

Only the tables are real: nothing here is meant to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from liteproof.tflite.reader import Model, read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build

# operator, shape of the weights, dimension of the channels
LAYERS = {
    "conv": ("CONV_2D", (8, 3, 3, 4), 0),
    "depthwise": ("DEPTHWISE_CONV_2D", (1, 3, 3, 8), 3),
    "dense": ("FULLY_CONNECTED", (5, 64), 0),
}
DTYPES = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8"}
ENDS = {"int8": "INT8", "uint8": "UINT8"}
ACTIVATIONS = {"int8": "INT8", "uint8": "INT8", "int8_float_io": "INT8", "int16x8": "INT16"}
ACTIVATION_SCALE = 0.05


@dataclass(frozen=True)
class Stored:
    """What the file holds for a constant."""

    type: str
    values: np.ndarray
    scales: np.ndarray = field(default_factory=lambda: np.zeros(0))
    zero_points: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    axis: int = 0

    def spec(self, name: str) -> TensorSpec:
        return TensorSpec(
            name,
            self.values.shape,
            self.type,
            data=pack(self),
            scales=tuple(self.scales.tolist()),
            zero_points=tuple(self.zero_points.tolist()),
            axis=self.axis,
        )


Spoil = Mapping[str, Callable[[Stored], Stored]]


def pack(stored: Stored) -> bytes:
    if stored.type != "INT4":
        return np.ascontiguousarray(stored.values, DTYPES[stored.type]).tobytes()
    codes = stored.values.ravel().astype(np.int8)
    codes = np.append(codes, np.zeros(codes.size % 2, np.int8)).view(np.uint8) & 0xF
    return (codes[0::2] | codes[1::2] << 4).tobytes()


def trained(seed: int = 0) -> dict[str, np.ndarray]:
    """Weights and biases by name; another seed is another training run."""
    random = np.random.default_rng(seed)
    values = {}
    for name, (_, shape, axis) in LAYERS.items():
        values[f"{name}/weights"] = random.normal(0, 0.3, shape).astype(np.float32)
        values[f"{name}/bias"] = random.normal(0, 0.5, shape[axis]).astype(np.float32)
    return values


def network(
    recipe: str = "float32", values: Mapping[str, np.ndarray] | None = None, *, spoil: Spoil | None = None
) -> Model:
    """The network converted by a recipe, read."""
    return read_model(network_bytes(recipe, values, spoil=spoil))


def network_bytes(
    recipe: str = "float32",
    values: Mapping[str, np.ndarray] | None = None,
    *,
    spoil: Spoil | None = None,
    versions: Mapping[str, int] | None = None,
    custom: str | None = None,
    outside: bool = False,
) -> bytes:
    """The network converted by a recipe.

    Args:
        values: Weights and biases by name.
        spoil: What to do to a constant, by its name, before it is written.
        versions: Of operators, by name.
        custom: Name of a custom operator in the softmax's place.
        outside: Keep the constants outside the flatbuffer's tables.
    """
    real = values or trained()
    recipe = {"qat_int8": "int8", "pruned_int8": "int8", "pruned_float32": "float32"}.get(recipe, recipe)
    stored = {name: store(recipe, name, real) for name in real}
    for name, change in (spoil or {}).items():
        stored[name] = change(stored[name])
    inner = ACTIVATIONS.get(recipe, "FLOAT32")
    ends = ENDS.get(recipe, "FLOAT32")
    graph = _Graph()
    x = graph.add(_activation("input", (1, 8, 8, 4), ends))
    if ends != inner:
        x = graph.then("QUANTIZE", x, _activation("quantized", (1, 8, 8, 4), inner))
    for name, (operator, shape, axis) in LAYERS.items():
        inputs = [x, *(graph.constant(stored[f"{name}/{part}"], f"{name}/{part}") for part in ("weights", "bias"))]
        x = graph.then(operator, inputs, _activation(name, (1, shape[axis]), inner), (versions or {}).get(operator, 1))
    x = graph.then(custom or "SOFTMAX", x, _activation("probabilities", (1, 5), inner), custom=custom is not None)
    if ends != inner:
        x = graph.then("DEQUANTIZE" if ends == "FLOAT32" else "QUANTIZE", x, _activation("output", (1, 5), ends))
    return build(graph.tensors, graph.operators, outputs=(x,), outside=outside)


class _Graph:
    def __init__(self) -> None:
        self.tensors: list[TensorSpec] = []
        self.operators: list[OperatorSpec] = []

    def add(self, spec: TensorSpec) -> int:
        self.tensors.append(spec)
        return len(self.tensors) - 1

    def then(self, name, inputs, output, version=1, *, custom=False) -> int:
        inputs = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        index = self.add(output)
        self.operators.append(OperatorSpec(name, inputs, (index,), version, custom=custom))
        return index

    def constant(self, stored: Stored, name: str) -> int:
        """A constant as its operator reads it: float16 behind a DEQUANTIZE."""
        index = self.add(stored.spec(name))
        if stored.type == "FLOAT16":
            return self.then("DEQUANTIZE", index, TensorSpec(f"{name}_dequantized", stored.values.shape))
        return index


def _activation(name: str, shape: tuple[int, ...], kind: str) -> TensorSpec:
    scales = () if kind == "FLOAT32" else (ACTIVATION_SCALE,)
    return TensorSpec(name, shape, kind, scales=scales, zero_points=(0,) * len(scales))


def store(recipe: str, name: str, real: Mapping[str, np.ndarray]) -> Stored:
    """A constant as a min-max recipe stores it."""
    values, (layer, _, part) = real[name], name.partition("/")
    axis = LAYERS[layer][2]
    if recipe == "float32" or (recipe in ("dynamic_range", "int4") and part == "bias"):
        return Stored("FLOAT32", values)
    if recipe == "float16":
        return Stored("FLOAT16", values.astype(np.float16))
    if part == "weights":
        bits = 4 if recipe == "int4" and layer != "depthwise" else 8
        if recipe == "int4" and layer == "depthwise":
            return Stored("FLOAT32", values)
        return rounded(values, scales_of(values, axis, bits), f"INT{bits}", axis)
    scales = ACTIVATION_SCALE * scales_of(real[f"{layer}/weights"], axis, 8)
    return rounded(values, scales, "INT64" if recipe == "int16x8" else "INT32", 0)


def scales_of(values: np.ndarray, axis: int, bits: int) -> np.ndarray:
    """The scale of each channel, by its largest value."""
    others = tuple(d for d in range(values.ndim) if d != axis)
    return (np.abs(values).max(axis=others) / (2 ** (bits - 1) - 1)).astype(np.float32)


def rounded(values: np.ndarray, scales: np.ndarray, kind: str, axis: int) -> Stored:
    """Codes to the nearest, zero points 0."""
    across = [1] * values.ndim
    across[axis] = -1
    steps = np.where(scales > 0, scales, 1).astype(np.float64)
    codes = np.rint(values.astype(np.float64) / steps.reshape(across))
    return Stored(kind, codes, scales, np.zeros(scales.size, np.int64), axis)


def channels(stored: Stored) -> np.ndarray:
    """The codes with the channels first; a copy."""
    return np.moveaxis(stored.values, stored.axis, 0).copy()


def with_channels(stored: Stored, codes: np.ndarray) -> Stored:
    """The constant with these codes, channels first."""
    return replace(stored, values=np.moveaxis(codes, 0, stored.axis))
