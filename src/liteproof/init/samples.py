"""One file of samples, read as the source takes them and parted into an evaluation and a calibration set.

>>> x, y = np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20) % 2
>>> given = Samples({"x": x}, y)
>>> evaluation, calibration = part(given, calibrate_on=6, seed=0)
>>> len(evaluation), len(calibration), np.bincount(calibration.y).tolist()
(14, 6, [3, 3])

The two sets are disjoint by content, not by number: samples that repeat another one are left out first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.arrays import UNREADABLE, open_arrays
from liteproof.errors import UsageError
from liteproof.manifest import sampling
from liteproof.manifest.data import Array, Arrays, require_fit
from liteproof.manifest.place import clean, shown
from liteproof.manifest.source import Input

Values = npt.NDArray[Any]

# By what names users keep inputs and labels; what sets aside a part to judge on comes with such an ending.
_INPUTS = ("x", "images", "image", "features", "inputs", "data", "samples")
_LABELS = ("y", "labels", "label", "targets", "target", "classes", "class")
_HELD_OUT = ("test", "evaluation", "eval", "validation", "valid", "val")
_TRAINING = ("calibration", "train", "training")
_NAMES = ("class_names", "label_names", "target_names", "names", "labels", "classes")
# Calibration samples by default: the gate `calibration_samples` asks for 100, the usual advice for 100 to 500.
CALIBRATION = 200


@dataclass(frozen=True)
class Samples:
    """Inputs by name, each of shape (n, …), labels of shape (n, …) if there are any, and names of the classes if told.

    `notes` says what was done to them on the way, for the user to check.
    """

    inputs: Mapping[str, Values]
    y: Values | None = None
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def at(self, chosen: Values) -> Samples:
        """Only these samples."""
        inputs = {name: array[chosen] for name, array in self.inputs.items()}
        return replace(self, inputs=inputs, y=None if self.y is None else self.y[chosen])

    def noting(self, *notes: str) -> Samples:
        """The same samples, with more to tell."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True)
class Given:
    """What a data file holds: samples to judge on, and those to calibrate on where the file keeps some apart."""

    evaluation: Samples
    calibration: Samples | None = None


# -- reading ----------------------------------------------------------------------------------------------------------


def read_samples(path: Path, inputs: Sequence[Input] | None) -> Given:
    """The samples of an `.npz` or `.npy`.

    Args:
        path: The file.
        inputs: What the source takes, where its file tells.

    Raises:
        UsageError: if the file cannot be read, or has no array that can be the input.
    """
    arrays = _arrays(path)
    names = next((_strings(arrays[name]) for name in _NAMES if name in arrays and _is_names(arrays[name])), None)
    held_out, training = _part_of(arrays, _HELD_OUT), _part_of(arrays, _TRAINING)
    if held_out and training:
        return Given(_samples(held_out, inputs, names, path), _samples(training, inputs, names, path))
    return Given(_samples(held_out or training or dict(arrays), inputs, names, path))


def _arrays(path: Path) -> dict[str, Values]:
    if not path.is_file():
        raise UsageError(f"there is no file {shown(path)}", expected="a file with samples", where="--data")
    if path.suffix not in (".npz", ".npy"):
        raise UsageError(
            f"{shown(path)} is of no kind that can be read",
            expected="an .npz, an .npy, a .csv, or a folder of images by class",
            where="--data",
            next='numpy.savez("data.npz", x=x, y=y)',
        )
    try:
        return open_arrays(path)
    except UNREADABLE as error:
        raise UsageError(
            f"cannot read the arrays: {clean(str(error))}",
            expected="plain arrays of numbers; objects are never unpickled",
            where=shown(path),
        ) from error


def _is_names(array: Values) -> bool:
    return array.dtype.kind in "US" and array.ndim == 1 and len(np.unique(array)) == len(array)


def _strings(array: Values) -> tuple[str, ...]:
    return tuple(text.decode() if isinstance(text, bytes) else str(text) for text in array)


def _part_of(arrays: Mapping[str, Values], endings: Sequence[str]) -> dict[str, Values]:
    """The arrays of one part of a data set: x_test and y_test, say, as x and y."""
    for ending in endings:
        found = {
            name[: -len(ending)].rstrip("_"): array
            for name, array in arrays.items()
            if name.lower().endswith(f"_{ending}")
        }
        if found:
            return found
    return {}


def _samples(
    arrays: Mapping[str, Values], inputs: Sequence[Input] | None, names: tuple[str, ...] | None, path: Path
) -> Samples:
    label = next((name for name in arrays if name.lower() in _LABELS and not _is_names(arrays[name])), None)
    y = arrays[label] if label else None
    known = [given.name for given in inputs or ()]
    notes = [] if label in (None, "y") else [f"array {label!r} was taken for the labels, y"]
    if len(known) > 1:
        missing = [name for name in known if name not in arrays]
        if missing:
            raise UsageError(
                f"there is no array {missing[0]!r}",
                expected=f"an array for each input of the model: {', '.join(known)}",
                where=shown(path),
                next=f'numpy.savez("data.npz", {", ".join(f"{name}={name}" for name in known)}, y=y)',
            )
        chosen = {name: arrays[name] for name in known}
    else:
        name = _single(arrays, known, label, path)
        notes += [] if name in ("x", *known) else [f"array {name!r} was taken for the input, x"]
        chosen = {"x": arrays[name]}
    _require_one_length(chosen, y, path)
    samples = Samples(chosen, y, names, tuple(notes))
    samples = _fitted(samples, inputs) if inputs else samples
    headers = Arrays(tuple(Array(name, array.shape, array.dtype.name) for name, array in samples.inputs.items()))
    require_fit(headers, inputs, path)
    _require_finite(samples.inputs, path)
    return samples


def _single(arrays: Mapping[str, Values], known: Sequence[str], label: str | None, path: Path) -> str:
    """The array that is the one input."""
    others = [name for name in arrays if name != label and arrays[name].dtype.kind in "biuf" and arrays[name].ndim > 1]
    for name in (*known, *arrays):
        if name in others and (name in known or name.lower() in _INPUTS):
            return name
    if len(others) == 1:
        return others[0]
    held = ", ".join(f"{clean(name)} {array.shape} of {_kind(array)}" for name, array in arrays.items()) or "nothing"
    raise UsageError(
        f"no array can be told to be the input; the file holds {held}",
        expected="an array x of numbers of shape (n, …), and y for labels if there are any",
        where=shown(path),
        next='numpy.savez("data.npz", x=x, y=y)',
    )


def _kind(array: Values) -> str:
    return "text" if array.dtype.kind in "US" else array.dtype.name


def _require_one_length(arrays: Mapping[str, Values], y: Values | None, path: Path) -> None:
    lengths = {name: len(array) for name, array in {**arrays, **({"y": y} if y is not None else {})}.items()}
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        told = ", ".join(f"{clean(name)} has {n}" for name, n in lengths.items())
        raise UsageError(f"samples do not go together: {told}", expected="as many in each array", where=shown(path))


def _require_finite(arrays: Mapping[str, Values], path: Path) -> None:
    for name, array in arrays.items():
        wrong = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
        if len(wrong):
            raise UsageError(
                f"sample {wrong[0]} of array '{name}' holds NaN or infinity",
                expected="finite numbers",
                where=shown(path),
                next="correct the sample, or leave it out",
            )


def _fitted(samples: Samples, inputs: Sequence[Input]) -> Samples:
    """An axis of length one is added where that alone is missing: grey images of a model with channels."""
    fitted, notes = {}, []
    for given, (name, array) in zip(inputs, samples.inputs.items(), strict=True):
        wanted = given.shape[1:]
        if array.ndim == len(wanted) and wanted[-1] == 1 and _fits(array.shape[1:], wanted[:-1]):
            notes.append(f"{name} has shape {array.shape}: an axis for the one channel was added")
            array = array[..., None]
        fitted[name] = array
    return replace(samples, inputs=fitted).noting(*notes)


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))


# -- parting ----------------------------------------------------------------------------------------------------------


def calibrated_on(samples: int) -> int:
    """How many of so many samples are set aside for calibration: a quarter, at least 100 where half of them are.

    >>> [calibrated_on(n) for n in (60, 300, 797, 5000)]
    [30, 100, 199, 200]
    """
    return min(CALIBRATION, max(samples // 4, min(100, samples // 2)))


def distinct(samples: Samples) -> Samples:
    """Each sample once, in the order of the file."""
    seen: dict[bytes, int] = {}
    for number, digest in enumerate(_digests(samples)):
        seen.setdefault(digest, number)
    repeated = len(samples) - len(seen)
    if not repeated:
        return samples
    note = f"{repeated} samples repeat another one and were left out"
    return samples.at(np.fromiter(seen.values(), np.int64)).noting(note)


def part(samples: Samples, calibrate_on: int, seed: int) -> tuple[Samples, Samples]:
    """An evaluation and a calibration set that share no sample.

    Args:
        samples: Each once.
        calibrate_on: Size of the calibration set. With labels that are class numbers each class has its share, and
            one sample at least where it has two.
        seed: Which samples are drawn; the same one draws the same again.

    Returns:
        Evaluation and calibration set, each in the order of the file.
    """
    chosen = draw(samples.y, len(samples), calibrate_on, seed)
    rest = np.setdiff1d(np.arange(len(samples)), chosen)
    return samples.at(rest), samples.at(chosen)


def draw(y: Values | None, samples: int, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """Numbers of samples that are drawn, in order: in proportion where y holds class numbers, and never all of one."""
    if y is None or not is_classes(y):
        return sampling.draw(samples, wanted, seed=seed)
    classes = len(np.unique(y))
    kept = sampling.draw(samples, classes, seed=seed, labels=y)  # one of each
    return sampling.draw(samples, min(wanted, samples - classes), seed=seed, labels=y, without=kept)


def is_classes(y: Values | None) -> bool:
    """Whether labels are class numbers: one integer or boolean a sample."""
    return y is not None and y.ndim == 1 and y.dtype.kind in "biu"


def without(samples: Samples, others: Samples) -> Samples:
    """The samples that the others do not hold."""
    held = set(_digests(others))
    kept = np.array([digest not in held for digest in _digests(samples)])
    if kept.all():
        return samples
    note = f"{int(np.count_nonzero(~kept))} calibration samples are evaluation samples too and were left out"
    return samples.at(np.flatnonzero(kept)).noting(note)


def _digests(samples: Samples) -> Iterator[bytes]:
    arrays = list(samples.inputs.values())
    for row in zip(*arrays, strict=True):
        digest = hashlib.blake2b(digest_size=16)
        for value in row:
            digest.update(np.ascontiguousarray(value).tobytes())
        yield digest.digest()
