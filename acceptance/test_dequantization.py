"""The arithmetic between real values and integer codes is right: real = (code − zero point) × scale."""

import pytest

from liteproof.measure import dequantization


@pytest.mark.measures("roundtrip_error_lsb")
def test_inputs_round_trip(case, check):
    """An input comes back from its code within half a step."""
    check(dequantization.roundtrip_error_lsb(case.ends))


@pytest.mark.measures("saturation")
def test_inputs_fit_their_range(case, check):
    """Few inputs lie beyond the range that the calibration set gave the input tensor."""
    check(dequantization.saturation(case.ends))


@pytest.mark.measures("io_mismatch")
def test_integer_ends_equal_float_ends(case, check):
    """Integer outputs, dequantized, are the float-ended twin's outputs on the same codes."""
    check(dequantization.io_mismatch(*case.beside_float_twin()))
