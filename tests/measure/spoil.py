"""Defects of one layer, made by editing a `.tflite` where it stands: same length, same tables, other numbers.

>>> file = Spoiled(Path("int8.tflite").read_bytes())                         # doctest: +SKIP
>>> file.codes(file.weights("CONV_2D #0"))[2] *= -1                          # doctest: +SKIP
>>> file.write(path)                                                         # doctest: +SKIP
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tflite as schema

from liteproof.tflite.reader import Operator, read_model

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
DTYPES = {"INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FLOAT32": np.float32}


class Spoiled:
    """A copy of a file whose numbers can be written to."""

    def __init__(self, content: bytes) -> None:
        self.model = read_model(content)
        self.graph = self.model.subgraphs[0]
        self._content = bytearray(content)
        self._tables = schema.Model.GetRootAs(self._content, 0).Subgraphs(0)

    def operator(self, place: str) -> Operator:
        return self.graph.operators[int(place.split("#")[1])]

    def weights(self, place: str) -> int:
        return self.operator(place).inputs[1]

    def bias(self, place: str) -> int:
        return self.operator(place).inputs[2]

    def scales(self, tensor: int) -> np.ndarray:
        return self._tables.Tensors(tensor).Quantization().ScaleAsNumpy()

    def zero_points(self, tensor: int) -> np.ndarray:
        return self._tables.Tensors(tensor).Quantization().ZeroPointAsNumpy()

    def codes(self, tensor: int) -> np.ndarray:
        entry = self.graph.tensors[tensor]
        buffer = self.model.buffers[entry.buffer]
        assert buffer.size
        return np.ndarray(entry.shape, DTYPES[entry.type], self._content, buffer.offset)

    def by_channel(self, place: str) -> np.ndarray:
        """The weights of an operator, output channels first."""
        return np.moveaxis(self.codes(self.weights(place)), CHANNELS[self.operator(place).name], 0)

    def inputs(self, place: str) -> np.ndarray:
        return self._tables.Operators(self.operator(place).index).InputsAsNumpy()

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def write(self, path: Path) -> Path:
        path.write_bytes(self._content)
        return path


@dataclass(frozen=True)
class Defect:
    """A defect of one layer: the operators at which it may be named, and the edit."""

    name: str
    places: frozenset[str]
    edit: Callable[[Spoiled], None]


def defects(content: bytes) -> Iterator[Defect]:
    """Defects of every layer with weights, each in a random channel that is not zero."""
    random = np.random.default_rng(0)
    healthy = Spoiled(content)
    for operator in healthy.graph.operators:
        if operator.name in CHANNELS:
            yield from _of_layer(healthy, operator, random)


def _of_layer(healthy: Spoiled, operator: Operator, random: np.random.Generator) -> Iterator[Defect]:
    place = f"{operator.name} #{operator.index}"
    (output,) = operator.outputs
    weights = healthy.graph.tensors[operator.inputs[1]]
    if weights.type == "INT8":
        strong = np.argsort(-np.abs(healthy.by_channel(place).reshape(len(healthy.by_channel(place)), -1)).sum(axis=1))
        one, other = random.choice(strong[: max(2, len(strong) // 2)], 2, replace=False)
        here = frozenset({place})
        yield Defect("one channel's scale doubled", here, lambda f: _double(f.scales(f.weights(place)), one))
        yield Defect("scales doubled", here, lambda f: _double(f.scales(f.weights(place)), slice(None)))
        yield Defect("one filter's sign flipped", here, lambda f: _negate(f.by_channel(place), one))
        yield Defect("two channels swapped", here, lambda f: _swap(f.by_channel(place), one, other))
        yield Defect("weights zeroed", here, lambda f: f.codes(f.weights(place)).fill(0))
    yield Defect("bias dropped", frozenset({place}), lambda f: f.codes(f.bias(place)).fill(0))
    if healthy.graph.tensors[output].type in ("INT8", "INT16"):
        readers = {f"{op.name} #{op.index}" for op in healthy.graph.operators if output in op.inputs}
        around = frozenset({place, *readers})
        yield Defect("inner scale doubled", around, lambda f: _double(f.scales(output), 0))
        yield Defect("inner range clipped to a quarter", around, lambda f: _quarter(f.scales(output)))
        if healthy.graph.tensors[output].type == "INT8":
            yield Defect("inner zero point off by ten", around, lambda f: _shift(f.zero_points(output)))


def _double(scales: np.ndarray, where: object) -> None:
    scales[where if scales.size > 1 else 0] *= 2


def _quarter(scales: np.ndarray) -> None:
    scales /= 4


def _negate(rows: np.ndarray, channel: int) -> None:
    rows[channel] = -rows[channel]


def _swap(rows: np.ndarray, one: int, other: int) -> None:
    rows[[one, other]] = rows[[other, one]]


def _shift(zero_points: np.ndarray) -> None:
    zero_points += 10 if zero_points[0] < 100 else -10
