"""The variant is as right as the source, where labels tell what is right."""

import pytest

from liteproof.measure import accuracy


@pytest.mark.measures("accuracy")
def test_accuracy(case, check):
    """The variant decides for the label."""
    check(accuracy.accuracy(case.outputs, case.labels, case.threshold))


@pytest.mark.measures("accuracy_drop")
def test_accuracy_drop(case, check):
    """The variant lost little of the source's accuracy, on the same samples."""
    check(accuracy.accuracy_drop(case.reference, case.outputs, case.labels, case.threshold))


@pytest.mark.measures("worst_class_recall_drop")
def test_worst_class(case, check):
    """No single class pays for the others."""
    check(
        accuracy.worst_class_recall_drop(case.reference, case.outputs, case.labels, case.threshold, case.model.labels)
    )
