"""The variant answers with numbers that can be used."""

import pytest

from liteproof.measure import agreement


@pytest.mark.measures("nonfinite_outputs")
def test_outputs_are_finite(case, check):
    """No NaN and no infinity where the source has none."""
    check(agreement.nonfinite_outputs(case.reference, case.outputs))
