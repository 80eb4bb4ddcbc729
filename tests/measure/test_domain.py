"""What is fed to a variant whose input domain is not the source's."""

import numpy as np
import pytest

from liteproof.errors import Unmeasured
from liteproof.measure.domain import fed, likely_domains
from liteproof.measure.tensors import TensorSpec, encode
from liteproof.plan import InputDomain

PIXELS = InputDomain((127.5,), (127.5,))
FLOAT = TensorSpec("x", (1, 2), "float32")
RAW = TensorSpec("x", (1, 2), "uint8")


def quantized(dtype, scale, zero_point):
    return TensorSpec("x", (1, 2), dtype, scales=(scale,), zero_points=(zero_point,))


def test_pixels_come_back_as_the_pixels_they_were():
    """A pixel over 127.5 less 1 in float32, as sources are fed, is the pixel again."""
    pixels = np.arange(256)
    source = (pixels / np.float32(127.5) - np.float32(1)).astype(np.float32)
    for spec in (RAW, quantized("uint8", 1.0, 0), quantized("uint8", 2 / 255, 128), quantized("uint8", 0.03, 7)):
        assert np.array_equal(encode(spec, fed(spec, source, PIXELS)), pixels), spec


def test_float_inputs_take_the_real_values():
    assert np.array_equal(fed(FLOAT, np.array([[-1.0, 0.5]]), PIXELS), np.array([[0, 191.25]], np.float32))


def test_a_number_for_each_channel():
    domain = InputDomain((2.0, 3.0), (0.0, 1.0))
    assert fed(FLOAT, np.ones((1, 2)), domain).tolist() == [[2.0, 4.0]]
    with pytest.raises(Unmeasured, match="2 numbers, the input 3 channels"):
        fed(FLOAT, np.ones((1, 3)), domain)


def test_what_a_quantized_input_would_pin_stays_beyond_its_range():
    """Else `saturation` would not see it."""
    values = fed(quantized("uint8", 1.0, 0), np.array([[2.0, -2.0]]), PIXELS)
    assert values.tolist() == [[382.0, -128.0]]


def test_an_integer_input_without_a_scale_refuses_what_it_cannot_hold():
    with pytest.raises(Unmeasured, match="would be fed with -128 to 382"):
        fed(RAW, np.array([[2.0, -2.0]]), PIXELS)


def test_likely_domains_of_values_from_minus_one_to_one():
    domains = [str(domain) for domain in likely_domains(np.array([-0.9, 1.0]))]
    assert domains[0] == "source × 1 + 0"
    assert "source × 127.5 + 127.5" in domains
    assert "source × 0.5 + 0.5" in domains
    assert [str(d) for d in likely_domains(np.array([-1e4, 3.0]))] == ["source × 1 + 0"]
