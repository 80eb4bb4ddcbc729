"""The calibration set, which fixes every scale of a calibrated variant, is fit for it.

docs/suites/calibration.md says where each rule comes from and what to do when it fails.
"""

import pytest

from liteproof.measure import activations, calibration
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("calibration_samples", "calibration_duplicates")
def test_enough_samples(case: Subject, check: Check) -> None:
    """At least a hundred samples, each of them once."""
    check(calibration.calibration_samples(case.calibration))
    check(calibration.calibration_duplicates(case.calibration))


@pytest.mark.measures("calibration_overlap")
def test_no_evaluation_sample(case: Subject, check: Check) -> None:
    """Nothing that the variant is judged on has tuned it."""
    check(calibration.calibration_overlap(case.calibration, case.evaluation))


@pytest.mark.measures("calibration_classes_missing")
def test_every_class(case: Subject, check: Check) -> None:
    """Every class that the variant is judged on has a sample."""
    classes, known = case.calibration_classes
    check(calibration.calibration_classes_missing(classes, case.evaluation_classes, known, case.model.labels))


@pytest.mark.measures("calibration_accuracy_drop")
def test_samples_are_what_the_network_reads(case: Subject, check: Check) -> None:
    """Where it has labels, the network is right on it nearly as often as on the evaluation set."""
    if (labels := case.calibration.labels) is not None:
        check(calibration.calibration_accuracy_drop(*case.right_on_both_sets(labels)))


@pytest.mark.measures("calibration_range_overlap", "calibration_stretch")
def test_same_range(case: Subject, check: Check) -> None:
    """Its values lie where the evaluation set's lie: normalised once, and the same way."""
    check(calibration.calibration_range_overlap(case.calibration, case.evaluation))
    check(calibration.calibration_stretch(case.calibration, case.evaluation))


@pytest.mark.measures("activation_clipping_lsb")
def test_decides_the_ranges(case: Subject, check: Check) -> None:
    """Every activation's range holds what the float32 variant's activation takes on this very set, to half a step."""
    check(activations.activation_clipping_lsb(case.activation_ranges("calibration")))
