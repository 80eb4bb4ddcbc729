"""Two machines' answers compared: what counts as a difference, and which kernels it is laid on."""

import numpy as np
import pytest

from liteproof.errors import Unmeasured
from liteproof.measure.outputs import Codes
from liteproof.measure.parity import difference, parity_lsb, parity_top1

CODES = Codes(step=0.25, low=-32.0, high=31.75)
HOST = np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.25]], np.float32)


def moved(sample, column, by):
    here = HOST.copy()
    here[sample, column] += by
    return here


def test_equal_answers_have_no_difference():
    found = difference(HOST, HOST.copy(), CODES)
    assert (found.share, found.largest, found.steps, found.flips) == (0.0, 0.0, 0.0, 0)


def test_one_step_without_a_flip():
    found = difference(HOST, moved(0, 0, -0.25), CODES)
    assert (found.share, found.steps, found.flips) == (pytest.approx(1 / 6), 1.0, 0)


def test_flip_is_counted_and_lowers_top1():
    pairs = {"default": (HOST, moved(2, 1, 0.5))}
    assert parity_top1(pairs, CODES).value == pytest.approx(2 / 3)
    assert parity_lsb(pairs, CODES).value == 2.0


def test_nan_here_is_a_difference_and_nan_on_both_sides_is_none():
    assert difference(HOST, moved(0, 0, np.nan)).flips == 1
    assert difference(moved(0, 0, np.nan), moved(0, 0, np.nan)).share == 0.0


def test_cause_follows_the_reference_kernels():
    alike = {"default": (HOST, moved(2, 1, 0.5)), "reference": (HOST, HOST.copy())}
    unlike = {"default": (HOST, moved(2, 1, 0.5)), "reference": (HOST, moved(2, 1, 0.5))}
    assert "optimised kernels" in parity_top1(alike).causes[0]
    assert "define an operator" in parity_top1(unlike).causes[0]
    assert parity_top1({"default": (HOST, HOST.copy())}).causes == ()


def test_without_the_hosts_answers_nothing_is_measured():
    with pytest.raises(Unmeasured):
        parity_top1({})
    with pytest.raises(Unmeasured):
        difference(HOST, HOST[:, :1])
