import numpy as np
import pytest

from liteproof.errors import UsageError
from liteproof.init.samples import Samples
from liteproof.init.task import Task, class_numbers, labels_for, task_of
from liteproof.manifest.description import Output

CLASSES, FLOATS, YES_NO = np.array([0, 2, 1]), np.array([0.1, 7.2, 3.3]), np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("shape", "activation", "y", "expected"),
    [
        ((None, 5), "softmax", None, ("classification", "probabilities")),
        ((None, 3), "linear", CLASSES, ("classification", "logits")),
        ((None, 3), "sigmoid", CLASSES, ("classification", "probabilities")),
        ((None, 1), "sigmoid", None, ("binary", "probabilities")),
        ((None, 1), "linear", YES_NO, ("binary", "logits")),
        ((None, 1), "linear", FLOATS, ("regression", None)),
        ((None, 1), "linear", np.array([3, 4, 9]), ("regression", None)),
        ((None, 2), "linear", CLASSES, ("regression", None)),  # class 2 of two outputs: these are no classes
        ((None, 4), "sigmoid", np.eye(4), ("regression", None)),
        ((None, 28, 28, 1), "sigmoid", None, ("regression", None)),
        ((None, 28, 28, 5), "softmax", None, ("regression", None)),
    ],
)
def test_the_task_follows_from_outputs_and_labels(shape, activation, y, expected):
    task = task_of(Output(shape, activation), y)
    assert (task.name, task.outputs) == expected


def test_labels_become_class_numbers():
    def numbered(y):
        return class_numbers(Samples({"x": np.zeros((len(y), 2))}, y))

    assert numbered(np.eye(3)[[2, 0]]).y.tolist() == [2, 0]
    assert numbered(np.array([[1], [0]])).y.tolist() == [1, 0]
    assert numbered(np.array([1.0, 0.0])).y.tolist() == [1, 0]
    assert numbered(FLOATS).y is FLOATS


def test_text_is_numbered_in_the_order_of_the_outputs():
    flowers = Samples({"x": np.zeros((3, 2))}, np.array(["rose", "daisy", "rose"]))
    assert class_numbers(flowers, ("daisy", "rose")).y.tolist() == [1, 0, 1]
    some = class_numbers(flowers, ("tulip", "rose", "daisy"))  # the set does not hold every class
    assert (some.y.tolist(), some.names) == ([1, 2, 1], ("tulip", "rose", "daisy"))
    with pytest.raises(UsageError, match="'daisy', which is none of the classes"):
        class_numbers(flowers, ("rose", "tulip"))


def test_names_that_are_not_as_many_as_classes_are_refused():
    task = Task("classification", "probabilities", "")
    assert labels_for(task, Samples({}, names=("a", "b")), 2, None) == ("a", "b")
    with pytest.raises(UsageError, match="3 names of classes"):
        labels_for(task, Samples({}), 2, ("a", "b", "c"))
    assert labels_for(Task("regression", None, ""), Samples({}), 2, ("a",)) is None
