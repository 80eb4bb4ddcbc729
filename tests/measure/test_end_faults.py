import numpy as np
import pytest

from liteproof.measure.end_faults import coarse_channels
from liteproof.measure.tensors import TensorSpec

SPEC = TensorSpec("x", (1, 2), "int8", scales=(4.0,), zero_points=(-128,))
RANDOM = np.random.default_rng(5)
WIDE, NARROW = RANDOM.uniform(0, 1000, (50, 1)), RANDOM.normal(0, 0.01, (50, 1))


def test_a_channel_that_another_ones_range_drowns_is_named():
    (said,) = coarse_channels([(SPEC, np.hstack([WIDE, NARROW]))])
    assert said.startswith("channel 1 of input x spans 0.0")
    assert "channel 0 decides the one step of 4" in said


@pytest.mark.parametrize(
    "values",
    [
        np.hstack([WIDE, WIDE / 4]),  # 62 steps are enough
        np.hstack([NARROW, NARROW]),  # all alike: the scale is no channel's fault
        np.hstack([WIDE, np.zeros((50, 1))]),  # says nothing in float either
        WIDE,
        WIDE[:, 0],
    ],
)
def test_channels_that_can_be_told_apart_are_not(values):
    assert coarse_channels([(SPEC, values)]) == ()


def test_integers_that_are_fed_as_they_are_have_no_scale():
    assert coarse_channels([(TensorSpec("tokens", (1, 2), "int32"), np.hstack([WIDE, NARROW]))]) == ()
