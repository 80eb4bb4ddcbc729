"""Samples are drawn by a seed, in proportion, and the same everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteproof.manifest.sampling import draw, shares


def test_what_a_seed_draws_never_changes():
    """Keys of the store and accepted baselines rely on it."""
    assert draw(10, 4, seed=0).tolist() == [2, 3, 5, 7]
    assert draw(10, 4, seed=1).tolist() == [0, 3, 8, 9]


def test_samples_come_in_the_order_of_the_set_and_none_twice():
    drawn = draw(1000, 300, seed=3)
    assert (np.diff(drawn) > 0).all()
    assert len(drawn) == 300


def test_classes_are_drawn_in_proportion_and_none_is_forgotten():
    labels = np.repeat([7, 3, 5], [890, 100, 10])
    drawn = draw(1000, 50, seed=0, labels=labels)
    assert {c: int((labels[drawn] == c).sum()) for c in (7, 3, 5)} == {7: 44, 3: 5, 5: 1}


def test_fewer_samples_than_classes():
    labels = np.arange(10)
    assert len(draw(10, 3, seed=0, labels=labels)) == 3


def test_samples_that_are_left_out_are_never_drawn():
    evaluation = draw(100, 60, seed=0)
    calibration = draw(100, 40, seed=0, without=evaluation)
    assert sorted([*evaluation, *calibration]) == list(range(100))


@pytest.mark.parametrize("without", [None, np.array([1, 2])])
def test_more_than_there_are(without):
    with pytest.raises(ValueError, match="out of"):
        draw(5, 6 if without is None else 4, seed=0, without=without)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30), st.data())
def test_shares_are_as_many_as_asked_for_and_nearly_in_proportion(counts, data):
    counts = np.array(counts)
    samples = data.draw(st.integers(1, int(counts.sum())))
    found = shares(counts, samples)
    assert found.sum() == samples
    assert ((found >= (1 if samples >= len(counts) else 0)) & (found <= counts)).all()
    if samples >= len(counts):
        fair = counts * samples / counts.sum()
        assert (found <= np.ceil(fair) + 1).all()
