"""The arrays that a variant is judged on, mapped into memory rather than loaded, and never unpickled.

>>> import numpy as np, tempfile
>>> path = Path(tempfile.mkdtemp()) / "evaluation.npz"
>>> np.savez(path, x=np.zeros((3, 2), np.float32), y=np.array([0, 1, 1]))
>>> evaluation = read_evaluation(path)
>>> len(evaluation), evaluation.inputs["x"].shape, evaluation.labels.tolist()
(3, (3, 2), [0, 1, 1])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.arrays import UNREADABLE, open_arrays
from liteproof.errors import Unmeasured, UsageError
from liteproof.plan import Samples
from liteproof.store import Store

LABELS = "y"
SINGLE_INPUT = "x"


@dataclass(frozen=True)
class Evaluation:
    """Inputs by name, each of shape (n, …) in the source model's own domain, and labels of shape (n, …) if known."""

    inputs: Mapping[str, npt.NDArray[Any]]
    labels: npt.NDArray[Any] | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def x(self) -> npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]:
        """What a model takes: the one array, or the mapping of several."""
        return self.inputs[SINGLE_INPUT] if set(self.inputs) == {SINGLE_INPUT} else self.inputs

    def at(self, samples: Sequence[int] | npt.NDArray[np.int64]) -> Evaluation:
        """Only these samples, in this order."""
        inputs = {name: array[samples] for name, array in self.inputs.items()}
        return Evaluation(MappingProxyType(inputs), None if self.labels is None else self.labels[samples])

    def between(self, start: int, stop: int) -> Evaluation:
        """The samples from one number up to, and without, another: views, nothing is copied."""
        inputs = {name: np.asarray(array[start:stop]) for name, array in self.inputs.items()}
        return Evaluation(MappingProxyType(inputs), None if self.labels is None else self.labels[start:stop])

    def feed(self, start: int, stop: int) -> npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]:
        """What a model takes, of these samples."""
        return self.between(start, stop).x

    def evenly(self, most: int) -> npt.NDArray[np.int64]:
        """At most so many samples, spread evenly over the set: one that is sorted by class is covered."""
        return np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).round().astype(np.int64))


def read_samples(samples: Samples, store: Store) -> Evaluation:
    """The arrays of a set that a plan names, mapped into memory where that is possible.

    Raises:
        Unmeasured: if they had to be made, and could not be.
        UsageError: if a file cannot be read.
    """
    if samples.key is not None:
        entry = store.get(samples.key)
        if entry is None:
            reason = store.failure(samples.key) or "its arrays are not in the store"
            raise Unmeasured(f"{samples.path}: {reason}", where=samples.path)
        return read_evaluation(entry.path)
    if not samples.arrays:
        return read_evaluation(Path(samples.path))
    return _evaluation({name: _opened(Path(file.path))[SINGLE_INPUT] for name, file in samples.arrays.items()})


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation or calibration `.npz`, or an `.npy` of inputs alone.

    Raises:
        UsageError: if the file cannot be read, holds pickled objects, or has no input array.
    """
    arrays = _opened(path)
    if not set(arrays) - {LABELS}:
        raise UsageError("no input array", expected="an array x, or one for each input", where=str(path))
    return _evaluation(arrays)


def _opened(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        return open_arrays(path, SINGLE_INPUT)
    except UNREADABLE as error:
        raise UsageError(
            f"cannot read the arrays: {error}", expected="an .npz of plain arrays (numpy.savez)", where=str(path)
        ) from error


def _evaluation(arrays: Mapping[str, npt.NDArray[Any]]) -> Evaluation:
    inputs = {name: array for name, array in arrays.items() if name != LABELS}
    labels = arrays.get(LABELS)
    if labels is not None and labels.dtype.kind in "iub":
        labels = labels.ravel().astype(np.int64)
    return Evaluation(MappingProxyType(inputs), labels)
