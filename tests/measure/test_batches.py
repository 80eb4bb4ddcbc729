import doctest

import numpy as np
import pytest

from liteproof.errors import ModelError, UsageError
from liteproof.measure import batches
from liteproof.measure.batches import block_of, candidates, count, grouped, takes, ungrouped
from liteproof.measure.tensors import TensorSpec

PAIR = TensorSpec("x", (1, 2), "float32", shape_signature=(-1, 2))
SCALAR = TensorSpec("t", (), "float32")


def test_examples_run():
    assert doctest.testmod(batches).failed == 0


@pytest.mark.parametrize("shape", [(3, 3), (3,), (3, 1, 1, 2), (2, 3, 2, 1)])
def test_samples_of_another_shape_are_refused(shape):
    with pytest.raises(ModelError, match=r"of shape \[-1, 2\] and cannot take samples"):
        count([PAIR], [np.zeros(shape)])


def test_open_dimensions_take_any_size():
    spec = TensorSpec("x", (1, 1, 2), "float32", shape_signature=(-1, -1, 2))
    assert count([spec], [np.zeros((3, 7, 2))]) == 3


@pytest.mark.parametrize("shape", [(1, 2), (9, 2)])
def test_an_input_takes_any_batch(shape):
    assert takes(PAIR, shape)


@pytest.mark.parametrize("shape", [(1, 3), (2,), (1, 1, 2), ()])
def test_an_input_takes_no_other_shape(shape):
    assert not takes(PAIR, shape)


@pytest.mark.parametrize("counts", [(3, 4), (0, 0)])
def test_inputs_need_as_many_samples_and_some(counts):
    with pytest.raises(UsageError, match="samples"):
        count([PAIR, SCALAR], [np.zeros((counts[0], 2)), np.zeros(counts[1])])


def test_an_input_without_a_batch_dimension_is_fed_one_by_one():
    arrays = [np.zeros((5, 2)), np.zeros(5)]
    assert list(candidates([PAIR, SCALAR], arrays, 4)) == [1]
    assert grouped(SCALAR, arrays[1], 1).shape == (5,)


def test_batches_are_tried_from_the_one_asked_for_to_the_one_in_the_file():
    fixed = TensorSpec("x", (4, 2), "float32", shape_signature=(4, 2))
    assert list(candidates([fixed], [np.zeros((9, 2))], 8)) == [8, 1, 4]
    assert list(candidates([PAIR], [np.zeros((9, 2))], 1)) == [1]


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 9])
def test_grouping_loses_and_adds_nothing(batch):
    samples = np.arange(14.0).reshape(7, 2)
    groups = grouped(PAIR, samples, batch)
    assert groups.shape[1:] == (batch, 2)
    assert np.array_equal(ungrouped(groups, batch)[:7], samples)


def test_an_output_without_a_batch_dimension_belongs_to_its_sample_whole():
    assert ungrouped(np.zeros((5, 3, 2)), 1).shape == (5, 3, 2)
    assert ungrouped(np.zeros((5,)), 1).shape == (5,)


def test_blocks_hold_whole_batches_and_shrink_with_the_sample():
    small, large = np.zeros((100, 2)), np.zeros((2, 1 << 20))
    assert block_of([small], [small[:32]], 32) % 32 == 0
    assert block_of([large], [small[:1]], 1) == 1
