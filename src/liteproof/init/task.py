"""What a source's outputs mean, told from its last activation and from the labels.

>>> classes = np.array([0, 2, 1])
>>> task_of(Output((None, 3), "softmax"), classes).name, task_of(Output((None, 1), "sigmoid"), None).name
('classification', 'binary')
>>> task_of(Output((None, 3), "linear"), classes)
Task(name='classification', outputs='logits', reason='3 linear outputs, and y holds class numbers')
>>> task_of(Output((None, 1), "linear"), np.array([0.3, 1.7, 2.2])).name
'regression'
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from liteproof.errors import UsageError
from liteproof.init.samples import Samples, Values, is_classes
from liteproof.manifest.description import Output


@dataclass(frozen=True)
class Task:
    """A task, what the outputs are ("probabilities", "logits"; None for a regression), and how both were told."""

    name: str
    outputs: str | None
    reason: str


def task_of(output: Output | None, y: Values | None) -> Task:
    """What the outputs mean.

    Args:
        output: The source's first output; None where its file does not tell.
        y: Labels as the data has them, of shape (n,) or (n, …).
    """
    values = output.values if output else None
    activation = (output.activation if output else None) or "linear"
    if output is not None and output.shape is not None and len(output.shape) != 2:
        return Task("regression", None, f"outputs of shape {_shape(output.shape)} are no vector of classes")
    if activation == "softmax":
        return Task("classification", "probabilities", f"softmax over {values or 'several'} outputs")
    highest = int(y.max()) if is_classes(y) and y is not None and len(y) else None
    if values == 1:
        return _one_value(activation, highest)
    if highest is not None and (values is None or highest < values):
        means = "probabilities" if activation == "sigmoid" else "logits"
        return Task("classification", means, f"{values or 'several'} {activation} outputs, and y holds class numbers")
    return Task("regression", None, f"{values or 'several'} {activation} outputs, and y holds no class numbers")


def _one_value(activation: str, highest: int | None) -> Task:
    if activation == "sigmoid":
        return Task("binary", "probabilities", "one sigmoid output")
    if highest is not None and highest <= 1:
        return Task("binary", "logits", f"one {activation} output, and y holds 0 and 1")
    return Task("regression", None, f"one {activation} output")


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def text_labels(*sets: Samples | None) -> tuple[str, ...]:
    """The labels of some sets that are text, each once, in alphabetical order; () where none is.

    >>> text_labels(Samples({}, np.array(["rose", "daisy", "rose"])), None)
    ('daisy', 'rose')
    """
    return tuple(sorted({str(label) for y in map(_text, sets) if y is not None for label in np.unique(y)}))


def class_numbers(samples: Samples, names: tuple[str, ...] = ()) -> Samples:
    """Labels as class numbers where they are such in another form: text, one-hot, floats, a column.

    Args:
        samples: With labels of any form.
        names: The classes in the order of the outputs, for labels that are text.

    Raises:
        UsageError: if a label is none of the names.
    """
    y = samples.y
    if y is None:
        return samples
    if _text(samples) is not None:
        return replace(samples, y=_numbered(y, names), names=names)
    if y.ndim == 2 and y.shape[1] > 1 and bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
        return replace(samples, y=y.argmax(axis=1)).noting("y was one-hot: the class's number was taken")
    if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind in "biu":
        return replace(samples, y=y[:, 0])
    flat = y.reshape(len(y), -1)
    if y.dtype.kind == "f" and flat.shape[1] == 1 and bool(((flat == 0) | (flat == 1)).all()):
        return replace(samples, y=flat[:, 0].astype(np.int64)).noting("y was 0.0 and 1.0: taken for class numbers")
    return samples


def _text(samples: Samples | None) -> Values | None:
    y = samples.y if samples is not None else None
    return y if y is not None and y.ndim == 1 and y.dtype.kind in "US" else None


def _numbered(y: Values, names: tuple[str, ...]) -> Values:
    """The number of each label among the names."""
    held, places = np.unique(y, return_inverse=True)
    numbers = {name: number for number, name in enumerate(names)}
    for label in held:
        if str(label) not in numbers:
            raise UsageError(
                f"y holds the label {str(label)!r}, which is none of the classes",
                expected=f"one of {listed(names)}",
                where="--data",
                next="name every class in the labels' file, one a line, in the order of the outputs",
            )
    return np.array([numbers[str(label)] for label in held], np.int64)[places]


def listed(names: tuple[str, ...]) -> str:
    """Names for a message: all of a few, the first of many.

    >>> listed(("idle", "walk")), listed(tuple("abcdefgh"))
    ('idle, walk', 'a, b, c, d, e, …')
    """
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def by_names(samples: Samples, named: tuple[str, ...] | None) -> Samples:
    """Class numbers in the order of a file of labels, where the samples number the same names in another order.

    >>> found = by_names(Samples({}, np.array([0, 1]), ("daisy", "rose")), ("rose", "daisy"))
    >>> found.y.tolist(), found.names
    ([1, 0], ('rose', 'daisy'))
    """
    names, y = samples.names, samples.y
    if not named or not names or names == named or set(names) != set(named) or not is_classes(y):
        return samples
    places = np.array([named.index(name) for name in names])
    note = "classes were numbered in the order of the labels' file"
    return replace(samples, y=places[y], names=named).noting(note)


def require_outputs(task: Task, y: Values | None, values: int | None) -> None:
    """Each label is the number of an output.

    Raises:
        UsageError: if one is not.
    """
    classes = 2 if task.name == "binary" else values
    if task.name == "regression" or not is_classes(y) or y is None or classes is None:
        return
    for sample in (int(y.argmin()), int(y.argmax())):
        if not 0 <= y[sample] < classes:
            raise UsageError(
                f"sample {sample} has the label {y[sample]}",
                expected=f"0 to {classes - 1}: the model has {classes} classes",
                where="y",
                next="number the classes from 0, in the order of the outputs",
            )


def labels_for(
    task: Task, samples: Samples, values: int | None, named: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Names of the classes, where there are as many as outputs.

    Args:
        task: What the outputs mean.
        samples: May know names.
        values: Number of outputs.
        named: Names from a file of labels that the user named or that lies beside the source.

    Raises:
        UsageError: if there are names, and more or fewer than outputs.
    """
    if task.name == "regression":
        return None
    classes = 2 if task.name == "binary" else values
    for names in (named, samples.names):
        if names and classes and len(names) != classes:
            raise UsageError(
                f"there are {len(names)} names of classes: {listed(names)}",
                expected=f"{classes}, as many as the model has classes",
                where="the labels",
                next="correct the labels, one a line, in the order of the outputs",
            )
    return named or samples.names
