"""How often the variant is right, and how much of the source's accuracy it lost on the same samples.

>>> import numpy as np
>>> labels = np.array([0, 1, 1])
>>> source = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
>>> variant = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
>>> round(accuracy_drop(source, variant, labels).value, 3)
0.333
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.agreement import share
from liteproof.measure.decisions import Floats, decisions
from liteproof.statistics import mcnemar_exact, paired_drop, paired_drop_upper, paired_samples_to_settle

Labels = npt.NDArray[np.integer[Any]]


def _require_classes(labels: Labels, outputs: Floats, metric: str) -> None:
    """Labels are numbers of classes that the outputs have, and of more than one: else no accuracy says anything."""
    truth = labels.ravel()
    if len(np.unique(truth)) < 2:
        raise Unmeasured(
            f"{metric}: every evaluation sample has the label {truth[0] if len(truth) else 'none'}",
            expected="labels of at least two classes",
            next="evaluate on a set that covers the classes",
        )
    classes = max(2, int(np.prod(outputs.shape[1:])))
    highest = int(truth.argmax())
    if truth[highest] >= classes:
        raise Unmeasured(
            f"{metric}: sample {highest} has the label {truth[highest]}, the outputs are of {classes} classes",
            expected=f"labels from 0 to {classes - 1}",
            next="number the classes of y from 0, in the order of the outputs",
        )


def accuracy(
    outputs: Floats, labels: Labels, threshold: float | None = None, *, reference: Floats | None = None
) -> Measurement:
    """Share of samples for which the variant decides for the label.

    Where the source is no better on these samples, that is the cause of a miss: no layer of the variant is.

    Args:
        outputs: The variant's, shape (n, classes), or (n, 1) for a binary decision.
        labels: Shape (n,).
        threshold: As `decisions` takes it.
        reference: The source's outputs.

    Raises:
        Unmeasured: if the labels hold one class only (a constant model would be right), or a class that is no output's.
    """
    _require_classes(labels, outputs, "accuracy")
    truth = labels.ravel()
    right = decisions(outputs, threshold) == truth
    found = share("accuracy", right)
    if reference is None:
        return found
    source_right = decisions(reference, threshold) == truth
    found = replace(found, detail=f"the source: {source_right.mean():.4f}")
    if source_right.mean() > right.mean():
        return found
    return replace(
        found,
        causes=("the source is no better on these samples: are labels and scaling those of its training?",),
        next="compare y and x of the evaluation set with what the source was trained on",
    )


def accuracy_drop(reference: Floats, outputs: Floats, labels: Labels, threshold: float | None = None) -> Measurement:
    """The source's accuracy less the variant's, on the same samples, with a paired interval (Tango 1998).

    Raises:
        Unmeasured: as `accuracy`.
    """
    _require_classes(labels, outputs, "accuracy_drop")
    truth = labels.ravel()
    source_right = decisions(reference, threshold) == truth
    variant_right = decisions(outputs, threshold) == truth
    n = len(truth)
    lost = int(np.count_nonzero(source_right & ~variant_right))
    won = int(np.count_nonzero(variant_right & ~source_right))
    return Measurement(
        "accuracy_drop",
        (lost - won) / n,
        samples=n,
        interval=paired_drop(lost, won, n),
        bound=paired_drop_upper(lost, won, n),
        settle=partial(_settle, lost, won, n),
        detail=f"{source_right.mean():.4f} → {variant_right.mean():.4f}: {lost} lost, {won} won, "
        f"McNemar p = {mcnemar_exact(lost, won):.3g}",
    )


def _settle(lost: int, won: int, n: int, limit: float) -> int | None:
    return paired_samples_to_settle(lost, won, n, limit)


def worst_class_recall_drop(
    reference: Floats,
    outputs: Floats,
    labels: Labels,
    threshold: float | None = None,
    names: tuple[str, ...] | None = None,
) -> Measurement:
    """The largest loss of recall in one class, in the source's recall less the variant's.

    Raises:
        Unmeasured: as `accuracy`.
    """
    _require_classes(labels, outputs, "worst_class_recall_drop")
    truth = labels.ravel()
    source, variant = decisions(reference, threshold), decisions(outputs, threshold)
    drops = {
        int(c): float((source[truth == c] == c).mean() - (variant[truth == c] == c).mean()) for c in np.unique(truth)
    }
    worst = max(drops, key=lambda c: drops[c])
    name = names[worst] if names and worst < len(names) else str(worst)
    members = int(np.count_nonzero(truth == worst))
    return Measurement(
        "worst_class_recall_drop", drops[worst], samples=members, detail=f"class {name} ({members} samples)"
    )
