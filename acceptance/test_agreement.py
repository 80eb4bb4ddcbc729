"""The variant is still the same model: its outputs against the source's on the same samples."""

import pytest

from liteproof.measure import agreement
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("top1_agreement")
def test_top1_agreement(case: Subject, check: Check) -> None:
    """The variant decides for the class that the source decides for."""
    check(agreement.top1_agreement(case.reference, case.outputs, case.threshold, case.model.labels))


@pytest.mark.measures("top5_agreement")
def test_top5_agreement(case: Subject, check: Check) -> None:
    """The variant's class is among the source's five best."""
    check(agreement.top5_agreement(case.reference, case.outputs))


@pytest.mark.measures("confidence_drift")
def test_confidence(case: Subject, check: Check) -> None:
    """Where the class stays, so does its probability."""
    check(agreement.confidence_drift(case.reference, case.outputs, case.threshold))


@pytest.mark.measures("max_abs_error", "mean_abs_error", "cosine_similarity", "sqnr_db")
def test_output_error(case: Subject, check: Check) -> None:
    """The variant's output values stay close to the source's."""
    check(agreement.max_abs_error(case.reference, case.outputs))
    check(agreement.mean_abs_error(case.reference, case.outputs))
    check(agreement.cosine_similarity(case.reference, case.outputs))
    check(agreement.sqnr_db(case.reference, case.outputs))
