"""The variant is still the same model: its outputs against the source's on the same samples."""

import pytest

from liteproof.checks import worst_of
from liteproof.measure import agreement, layers
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


@pytest.mark.measures("max_abs_error", "mean_abs_error", "cosine_similarity")
def test_output_error(case: Subject, check: Check) -> None:
    """The values of every output stay close to the source's; the worst output counts."""
    for error in (agreement.max_abs_error, agreement.mean_abs_error, agreement.cosine_similarity):
        check(worst_of({output.name: error(output.reference, output.values) for output in case.every_output}))


@pytest.mark.measures("sqnr_db")
def test_output_noise(case: Subject, check: Check) -> None:
    """Every output stands out from the noise of quantization; how it builds up from layer to layer is told beside."""
    noise = {output.name: agreement.sqnr_db(output.reference, output.values) for output in case.every_output}
    check(layers.beside(worst_of(noise), case.drift))


@pytest.mark.measures("r_squared")
def test_regression_is_reproduced(case: Subject, check: Check) -> None:
    """What a regression predicts goes up and down as the source's does; the worst output counts."""
    found = {output.name: agreement.r_squared(output.reference, output.values) for output in case.every_output}
    check(worst_of(found))
