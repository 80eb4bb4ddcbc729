"""The arrays that a variant is judged on, read without ever unpickling.

>>> import numpy as np, tempfile
>>> path = Path(tempfile.mkdtemp()) / "evaluation.npz"
>>> np.savez(path, x=np.zeros((3, 2), np.float32), y=np.array([0, 1, 1]))
>>> evaluation = read_evaluation(path)
>>> len(evaluation), evaluation.inputs["x"].shape, evaluation.labels.tolist()
(3, (3, 2), [0, 1, 1])
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.errors import UsageError

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

    def evenly(self, most: int) -> npt.NDArray[np.int64]:
        """At most so many samples, spread evenly over the set: one that is sorted by class is covered."""
        return np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).round().astype(np.int64))


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation or calibration `.npz`.

    Raises:
        UsageError: if the file cannot be read, holds pickled objects, or has no input array.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UsageError(
            f"cannot read the arrays: {error}", expected="an .npz of plain arrays (numpy.savez)", where=str(path)
        ) from error
    labels = arrays.pop(LABELS, None)
    if not arrays:
        raise UsageError("no input array", expected="an array x, or one for each input", where=str(path))
    if labels is not None and labels.dtype.kind in "iub":
        labels = labels.ravel().astype(np.int64)
    return Evaluation(MappingProxyType(arrays), labels)
