"""The arithmetic between real values and integer codes is right: real = (code − zero point) × scale.

docs/suites/dequantization.md says where each rule comes from and what to do when it fails.
"""

import pytest

from liteproof.checks import worst_of
from liteproof.measure import activations, dequantization, weights
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("roundtrip_error_lsb")
def test_inputs_round_trip(case: Subject, check: Check) -> None:
    """An input comes back from its code within half a step."""
    check(dequantization.roundtrip_error_lsb(case.ends))


@pytest.mark.measures("saturation")
def test_inputs_fit_their_range(case: Subject, check: Check) -> None:
    """Few inputs lie beyond the range that the calibration set gave the input tensor."""
    check(dequantization.saturation(case.ends))


@pytest.mark.measures("activation_overflow", "activation_range_use")
def test_activations_fit_their_range(case: Subject, check: Check) -> None:
    """Every activation's range holds what the float32 variant's activation takes, and is not much wider."""
    ranges = case.activation_ranges("evaluation")
    check(activations.activation_overflow(ranges))
    check(activations.activation_range_use(ranges))


@pytest.mark.measures("io_mismatch")
def test_integer_ends_equal_float_ends(case: Subject, check: Check) -> None:
    """Integer outputs, dequantized, are the float-ended twin's outputs on the same codes."""
    check(worst_of({name: dequantization.io_mismatch(*both) for name, both in case.beside_float_twin().items()}))


@pytest.mark.measures("dequantize_mismatch")
def test_formula_is_the_runtimes(case: Subject, check: Check) -> None:
    """Every code of an input or output means what the runtime's own DEQUANTIZE makes of it."""
    check(dequantization.dequantize_mismatch(case.dequantized_by_runtime()))


@pytest.mark.measures("weight_error_lsb", "unusable_weights")
def test_weights_are_rounded(case: Subject, check: Check) -> None:
    """Every weight is the float32 variant's, rounded to the nearest step of its own channel."""
    check(weights.weight_error_lsb(case.rounding))
    check(weights.unusable_weights(case.rounding))


@pytest.mark.measures("bias_error_lsb")
def test_biases_are_rounded(case: Subject, check: Check) -> None:
    """Every bias is the float32 variant's, rounded to the nearest step."""
    check(weights.bias_error_lsb(case.rounding))
