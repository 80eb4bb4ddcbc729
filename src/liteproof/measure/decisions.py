"""What outputs decide: classes, probabilities, and which cases are clear.

>>> import numpy as np
>>> decisions(np.array([[0.9, 0.1], [np.nan, 1.0]]))
array([ 0, -1])
>>> clear_cases(np.array([[0.9, 0.1], [0.6, 0.4]]))
array([ True, False])
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.measure.blocks import by_row

Floats = npt.NDArray[np.floating[Any]]
Classes = npt.NDArray[np.int64]

UNDECIDED = -1

# A case is clear where the source prefers its class by half the probability. Kernels differ by up to 0.11 on healthy
# files, so that only less clear ones may flip.
CLEAR = 0.5
# float32 sums of a softmax are within 1e-6 of one, int16's within 1e-4; this is for models that stop at float16.
SUM_TOLERANCE = 1e-3


def decisions(outputs: Floats, threshold: float | None = None) -> Classes:
    """The class that each row decides for, shape (n,); `UNDECIDED` where the row holds NaN or infinity.

    Args:
        outputs: Shape (n, classes), or (n,) or (n, 1) for one score a sample.
        threshold: For one score a sample: class 1 at or above it.
    """
    return by_row(lambda some: _decisions(some, threshold), outputs)


def _decisions(outputs: Floats, threshold: float | None) -> Classes:
    rows = outputs.reshape(len(outputs), -1)
    if rows.shape[1] == 1:
        classes = (rows[:, 0] >= (0.5 if threshold is None else threshold)).astype(np.int64)
    else:
        classes = np.argmax(rows, axis=1).astype(np.int64)
    classes[~np.isfinite(rows).all(axis=1)] = UNDECIDED
    return classes


def are_probabilities(outputs: Floats, tolerance: float = SUM_TOLERANCE) -> npt.NDArray[np.bool_]:
    """Which rows are probabilities: within [0, 1], and summing to one where there are several. Shape (n,).

    Args:
        outputs: Shape (n, classes), or one score a sample.
        tolerance: How far a sum may be off.
    """
    return by_row(lambda some: _are_probabilities(some, tolerance), outputs)


def _are_probabilities(outputs: Floats, tolerance: float) -> npt.NDArray[np.bool_]:
    rows = outputs.reshape(len(outputs), -1).astype(np.float64)
    inside = ((rows >= -SUM_TOLERANCE) & (rows <= 1 + SUM_TOLERANCE)).all(axis=1)
    if rows.shape[1] == 1:
        return np.asarray(inside)
    return np.asarray(inside & (np.abs(rows.sum(axis=1) - 1) <= tolerance))


def probabilities(outputs: Floats, *, logits: bool) -> npt.NDArray[np.float64]:
    """Outputs as probabilities: as they are, or the softmax (for one score, the logistic function) of logits.

    Args:
        outputs: Shape (n, classes), or one score a sample.
        logits: Whether they are logits; `are_logits` tells it of all samples together.

    Returns:
        The same shape, rows of at least two dimensions.
    """
    rows = outputs.reshape(len(outputs), -1).astype(np.float64)
    if not logits:
        return rows
    if rows.shape[1] == 1:
        return np.asarray(1 / (1 + np.exp(-rows)))
    return _softmax(rows)


def are_logits(outputs: Floats) -> bool:
    """Whether outputs of a classifier are logits rather than probabilities, by their values."""
    return not are_probabilities(outputs).all()


def _softmax(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def clear_cases(reference: Floats, threshold: float | None = None) -> npt.NDArray[np.bool_]:
    """Samples for which the source prefers its class by half the probability or more. Shape (n,).

    Args:
        reference: Probabilities or logits, told apart by their values; shape (n, classes), or one score a sample.
        threshold: For one score a sample, on its own scale. A case is clear from half the way to the end of the
            scale on.
    """
    logits = are_logits(reference)
    return by_row(lambda some: _clear_cases(some, threshold, logits=logits), reference)


def _clear_cases(reference: Floats, threshold: float | None, *, logits: bool) -> npt.NDArray[np.bool_]:
    scores = probabilities(reference, logits=logits)
    if scores.shape[1] > 1:
        best = np.partition(scores, -2, axis=1)[:, -2:]
        return np.asarray(best[:, 1] - best[:, 0] >= CLEAR)
    middle = 0.5 if threshold is None else threshold
    if threshold is not None and logits:
        middle = 1 / (1 + float(np.exp(-threshold)))
    room = np.where(scores[:, 0] >= middle, 1 - middle, middle)
    return np.asarray(np.abs(scores[:, 0] - middle) >= CLEAR * room)
