"""The variant is as right as the source, where labels tell what is right."""

import pytest

from liteproof.measure import accuracy
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("accuracy")
def test_accuracy(case: Subject, check: Check) -> None:
    """The variant decides for the label."""
    check(accuracy.accuracy(case.outputs, case.labels, case.threshold, reference=case.reference))


@pytest.mark.measures("accuracy_drop")
def test_accuracy_drop(case: Subject, check: Check) -> None:
    """The variant lost little of the source's accuracy, on the same samples."""
    check(accuracy.accuracy_drop(case.reference, case.outputs, case.labels, case.threshold))


@pytest.mark.measures("worst_class_recall_drop")
def test_worst_class(case: Subject, check: Check) -> None:
    """No single class pays for the others."""
    check(
        accuracy.worst_class_recall_drop(case.reference, case.outputs, case.labels, case.threshold, case.model.labels)
    )
