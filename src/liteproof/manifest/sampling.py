"""Drawing samples out of a set: so many, by a seed, in proportion to the classes.

    >>> labels = np.array([0] * 90 + [1] * 10)
    >>> drawn = draw(100, 20, seed=0, labels=labels)
    >>> len(drawn), np.bincount(labels[drawn]).tolist()
    (20, [18, 2])
    >>> set(draw(100, 80, seed=1, without=drawn)) & set(drawn)
    set()

The order comes from `random.Random(seed).random()`, whose sequence Python promises to keep, so that the same samples
are drawn wherever and whenever that is done. Numpy's generators make no such promise.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def draw(
    total: int,
    samples: int,
    *,
    seed: int,
    labels: npt.NDArray[Any] | None = None,
    without: Indices | None = None,
) -> Indices:
    """Which samples are drawn, in the order of the set.

    Args:
        total: How many there are.
        samples: How many are drawn.
        seed: Of the order in which they come.
        labels: Classes, shape (total,), to draw in proportion to; None: whatever comes.
        without: Samples that are left out.

    Raises:
        ValueError: if there are not as many.
    """
    generator = random.Random(seed)  # noqa: S311 - nothing here is a secret
    order = np.fromiter((generator.random() for _ in range(total)), np.float64, total).argsort(kind="stable")
    if without is not None:
        order = order[~np.isin(order, without)]
    if samples > len(order):
        raise ValueError(f"{samples} samples out of {len(order)}")
    if labels is None:
        return np.sort(order[:samples])
    classes, members = np.unique(np.asarray(labels).ravel()[order], return_inverse=True)
    wanted = shares(np.bincount(members, minlength=len(classes)), samples)
    parts = [order[members == number][:count] for number, count in enumerate(wanted)]
    return np.sort(np.concatenate(parts))


def shares(counts: npt.NDArray[Any], samples: int) -> Indices:
    """How many to draw of each class: in proportion, by largest remainders, and of each at least one if they suffice.

    >>> shares(np.array([970, 20, 10]), 10).tolist(), shares(np.array([5, 5]), 5).sum()
    ([8, 1, 1], 5)

    Args:
        counts: Members of each class, none of them 0.
        samples: How many are drawn, at most as many as there are.
    """
    fair = counts * (samples / counts.sum())
    least = np.full(len(counts), 1 if samples >= len(counts) else 0)
    wanted: Indices = np.maximum(np.floor(fair).astype(np.int64), least)
    while wanted.sum() > samples:
        wanted[np.where(wanted > least, wanted - fair, -np.inf).argmax()] -= 1
    while wanted.sum() < samples:
        wanted[np.where(wanted < counts, fair - wanted, -np.inf).argmax()] += 1
    return wanted
