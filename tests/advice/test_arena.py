import numpy as np

from liteproof.advice.arena import arena
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build


def chain(*sizes):
    """Tensors of so many floats, each computed from the one before."""
    tensors = [TensorSpec(f"t{i}", (1, size)) for i, size in enumerate(sizes)]
    operators = [OperatorSpec("RELU", (i,), (i + 1,)) for i in range(len(sizes) - 1)]
    return tensors, operators


def test_only_neighbours_live_at_once():
    found = arena(read_model(build(*chain(64, 16, 256, 32))))
    assert found.bytes == 4 * (256 + 32)
    assert found.operator == "RELU #2"
    assert arena(read_model(build(*chain(64, 16, 256, 32))), bytes_per_value=1).bytes == 256 + 32


def test_what_is_read_later_stays():
    tensors, operators = chain(64, 16, 256)
    tensors.append(TensorSpec("sum", (1, 64)))
    operators.append(OperatorSpec("ADD", (0, 2), (3,)))
    assert arena(read_model(build(tensors, operators))).bytes == 4 * (64 + 256 + 64)


def test_constants_take_no_arena_and_small_tensors_a_whole_line():
    weights = TensorSpec("w", (1, 1000), data=np.zeros((1, 1000), np.float32).tobytes())
    tensors = [TensorSpec("x", (1, 1)), weights, TensorSpec("y", (1, 1))]
    assert arena(read_model(build(tensors, [OperatorSpec("ADD", (0, 1), (2,))]))).bytes == 2 * 16
