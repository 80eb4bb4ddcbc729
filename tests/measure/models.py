"""The tiny models that the tests of this folder run: committed conversions (data/make.py) and graphs built here."""

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import tflite as schema

from tests.tflite.build import OperatorSpec, TensorSpec, build, bytes_of, conv_options

DATA = Path(__file__).parent / "data"
RUNTIMES = ("ai_edge_litert", "tflite_runtime")


def data(name: str) -> Path:
    return DATA / f"{name}.tflite"


def identity_like(operator: str, shape: tuple[int, ...], signature: tuple[int, ...] | None = None) -> bytes:
    """One operator from x to y, both float32 of one shape."""
    return build(
        [TensorSpec("x", shape, signature=signature), TensorSpec("y", shape)], [OperatorSpec(operator, (0,), (1,))]
    )


def quantizer(type_: str, scale: float, zero_point: int) -> bytes:
    """QUANTIZE alone: four float32 values in, their codes out."""
    y = TensorSpec("y", (4,), type_, scales=(scale,), zero_points=(zero_point,))
    return build([TensorSpec("x", (4,)), y], [OperatorSpec("QUANTIZE", (0,), (1,), version=2)])


def dequantizer(type_: str, scale: float, zero_point: int) -> bytes:
    """DEQUANTIZE alone: four codes in, float32 out."""
    x = TensorSpec("x", (4,), type_, scales=(scale,), zero_points=(zero_point,))
    return build([x, TensorSpec("y", (4,))], [OperatorSpec("DEQUANTIZE", (0,), (1,), version=2)])


def running_sum() -> bytes:
    """A recurrent cell over two steps, state = input + state; the state outlives an inference."""
    one, zero = bytes_of(1.0), bytes_of(0.0)
    tensors = [
        TensorSpec("series", (1, 2, 1)),
        TensorSpec("weights", (1, 1), data=one),
        TensorSpec("recurrent_weights", (1, 1), data=one),
        TensorSpec("bias", (1,), data=zero),
        TensorSpec("state", (1, 1), is_variable=True),
        TensorSpec("sums", (1, 2, 1)),
    ]
    cell = OperatorSpec("UNIDIRECTIONAL_SEQUENCE_RNN", (0, 1, 2, 3, 4), (5,), options=_table("SequenceRNNOptions"))
    return build(tensors, [cell])


def fixed_batch_of_four() -> bytes:
    """RESHAPE to a written (4, 2): neither one sample nor eight can be fed."""
    tensors = [
        TensorSpec("x", (4, 2)),
        TensorSpec("shape", (2,), "INT32", data=bytes_of(4, 2, dtype=np.int32)),
        TensorSpec("y", (4, 2)),
    ]
    return build(tensors, [OperatorSpec("RESHAPE", (0, 1), (2,))])


def positives() -> bytes:
    """WHERE: the places of the true values, as many rows as there are."""
    return build(
        [TensorSpec("x", (1, 3), "BOOL"), TensorSpec("places", (1, 2), "INT64", signature=(-1, 2))],
        [OperatorSpec("WHERE", (0,), (1,))],
    )


def fully_convolutional(bias: float = 0.1) -> bytes:
    """Three means over an image of any size, behind a convolution of 7 by 7: the 1 by 1 of its tables is refused."""
    weights = np.random.default_rng(5).normal(0.05, 0.1, (3, 7, 7, 3)).astype(np.float32)
    tensors = [
        TensorSpec("image", (1, 1, 1, 3), signature=(-1, -1, -1, 3)),
        TensorSpec("weights", (3, 7, 7, 3), data=weights.tobytes()),
        TensorSpec("bias", (3,), data=bytes_of(bias, 0.2, 0.3)),
        TensorSpec("filtered", (1, 1, 1, 3), signature=(-1, -1, -1, 3)),
        TensorSpec("axes", (2,), "INT32", data=bytes_of(1, 2, dtype=np.int32)),
        TensorSpec("means", (1, 3), signature=(-1, 3)),
    ]
    operators = [
        OperatorSpec("CONV_2D", (0, 1, 2), (3,), options=conv_options),
        OperatorSpec("MEAN", (3, 4), (5,), options=_table("ReducerOptions")),
    ]
    return build(tensors, operators)


def large(megabytes: int) -> bytes:
    """A small file whose tensors take twice this much memory."""
    count = np.array([megabytes << 18], np.int32)
    tensors = [
        TensorSpec("value", ()),
        TensorSpec("shape", (1,), "INT32", data=count.tobytes()),
        TensorSpec("filled", (int(count[0]),)),
        TensorSpec("negated", (int(count[0]),)),
    ]
    return build(tensors, [OperatorSpec("FILL", (1, 0), (2,)), OperatorSpec("NEG", (2,), (3,))])


def overwritten() -> bytes:
    """y = |2 · -x + 3|. MUL and ADD may write over what they read, since nobody else does."""
    tensors = [
        TensorSpec("x", (1, 4)),
        TensorSpec("two", (1,), data=bytes_of(2.0)),
        TensorSpec("three", (1,), data=bytes_of(3.0)),
        *(TensorSpec(name, (1, 4)) for name in ("negated", "doubled", "raised", "y")),
    ]
    operators = [
        OperatorSpec("NEG", (0,), (3,)),
        OperatorSpec("MUL", (3, 1), (4,), options=_table("MulOptions")),
        OperatorSpec("ADD", (4, 2), (5,), options=_table("AddOptions")),
        OperatorSpec("ABS", (5,), (6,)),
    ]
    return build(tensors, operators)


def _table(name: str) -> Callable[[flatbuffers.Builder], tuple[int, int]]:
    """An operator's options with nothing set."""

    def write(builder: flatbuffers.Builder) -> tuple[int, int]:
        getattr(schema, f"{name}Start")(builder)
        return getattr(schema.BuiltinOptions, name), getattr(schema, f"{name}End")(builder)

    return write
