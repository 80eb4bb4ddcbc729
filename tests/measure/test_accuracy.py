import numpy as np
import pytest

from liteproof.errors import Unmeasured
from liteproof.measure.accuracy import accuracy

LABELS = np.array([0, 1, 2, 0])
RIGHT = np.eye(3)[LABELS]
SHIFTED = np.eye(3)[(LABELS + 1) % 3]


def test_the_sources_accuracy_stands_beside_the_variants():
    found = accuracy(SHIFTED, LABELS, reference=RIGHT)
    assert (found.value, found.detail) == (0.0, "the source: 1.0000")
    assert found.causes == ()
    assert found.next is None  # a layer of the variant may be to blame


def test_where_the_source_is_as_wrong_no_layer_is_blamed():
    found = accuracy(SHIFTED, LABELS, reference=SHIFTED)
    assert "the source is no better on these samples" in found.causes[0]
    assert "evaluation set" in found.next


def test_labels_of_one_class_tell_nothing():
    with pytest.raises(Unmeasured, match="every evaluation sample has the label 1"):
        accuracy(RIGHT[:2], np.array([1, 1]))


@pytest.mark.parametrize("classes", [3, 1])
def test_labels_that_no_output_has_tell_nothing(classes):
    with pytest.raises(Unmeasured, match="sample 2 has the label 3, the outputs are of"):
        accuracy(np.zeros((4, classes)), LABELS + 1)
