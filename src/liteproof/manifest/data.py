"""Looking at evaluation and calibration arrays without loading them.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "evaluation.npz"
    >>> np.savez(path, x=np.zeros((3, 2), np.float32), y=np.array([0, 2, 1]))
    >>> arrays = find_arrays(path)
    >>> arrays.samples, [(array.name, array.shape, array.dtype) for array in arrays.inputs], arrays.labels.highest
    (3, [('x', (3, 2), 'float32')], 2)

Only labels are ever loaded; inputs are read through once, a piece at a time, for values that are no numbers. Nothing is
ever unpickled.
"""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.lib import format as npy

from liteproof.arrays import UNREADABLE, as_text, is_packed, read_header
from liteproof.errors import UsageError
from liteproof.manifest.place import clean, nearest, shown
from liteproof.manifest.source import Input

LABELS = "y"
SINGLE = "x"
_NUMBERS = "numbers: a float, integer or boolean dtype; y may hold the names of classes"
_MOST_NAMES = 10_000
_READABLE = "an .npz of plain arrays, as numpy.savez writes it, or an .npy"
_PIECE = 1 << 20

# Opens an array's bytes, header first.
_Open = Callable[[str], AbstractContextManager[IO[bytes]]]


class Array(msgspec.Struct, frozen=True):
    """An array's header. `shape` begins with the number of samples."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Labels(msgspec.Struct, frozen=True):
    """The lowest and the highest label of a set, and the first sample that has each."""

    lowest: int
    lowest_at: int
    highest: int
    highest_at: int


class Arrays(msgspec.Struct, frozen=True):
    """What an `.npz`, an `.npy` or several of them hold.

    Attributes:
        arrays: Headers in the order of the file, y included.
        labels: What y holds, where it is a vector of integers or booleans.
        names: Where y is a vector of text: each label and the first sample that has it.
        packed: Bytes of those that are compressed, once they are unpacked: these cannot be read without being loaded.
    """

    arrays: tuple[Array, ...]
    labels: Labels | None = None
    packed: int = 0
    names: tuple[tuple[str, int], ...] = ()

    @property
    def inputs(self) -> tuple[Array, ...]:
        """The arrays that go into the model."""
        return tuple(array for array in self.arrays if array.name != LABELS)

    @property
    def y(self) -> Array | None:
        """The labels' header; None where there are none."""
        return next((array for array in self.arrays if array.name == LABELS), None)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.inputs[0].shape[0]


def find_arrays(path: Path, *, labels: str = LABELS) -> Arrays:
    """What an `.npz` holds, or an `.npy`, whose one array is named x.

    Args:
        path: The file.
        labels: The array that holds the labels; it is y in what is returned.

    Raises:
        UsageError: if it is not a sound file of its kind, holds objects (which would have to be unpickled), text or
            other values that are not numbers, has no input array, no samples, or arrays of different lengths.
    """
    if path.suffix == ".npy":
        return join_arrays([find_array(path, SINGLE)], path)
    with _reading(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        arrays = tuple(_member_header(archive, member, path) for member in members)
        if len({array.name for array in arrays}) < len(arrays):
            raise ValueError("two arrays have one name")
        arrays = tuple(_renamed(array, labels, arrays, path) for array in arrays)
        _require_numbers(arrays, path)
        _require_samples(arrays, path)
        packed = sum(member.file_size for member in members if is_packed(member))
        _require_room(packed, path)
        for array, member in zip(arrays, members, strict=True):
            _require_finite(lambda _, member=member: archive.open(member), array, path)  # type: ignore[misc]
        names = {array.name: member for array, member in zip(arrays, members, strict=True)}
        labels_, texts = _labels(lambda name: archive.open(names[name]), arrays)
        return Arrays(arrays, labels_, packed, texts)


def find_array(path: Path, name: str) -> Arrays:
    """What an `.npy` holds, under the name that it is to have.

    Raises:
        UsageError: as `find_arrays`, but that it may be y alone.
    """
    with _reading(path):
        with path.open("rb") as stream:
            array = _header(stream, name, path.stat().st_size, path)
        _require_numbers((array,), path)
        _require_finite(lambda _: path.open("rb"), array, path)
        labels, names = _labels(lambda _: path.open("rb"), (array,))
        return Arrays((array,), labels, names=names)


def join_arrays(parts: Sequence[Arrays], path: Path) -> Arrays:
    """What several files hold together.

    Args:
        parts: Of each file, in the order of the inputs, with the labels' last.
        path: What the first one is read from, for messages.

    Raises:
        UsageError: if there is no input, or if one has other samples than the rest.
    """
    arrays = tuple(array for part in parts for array in part.arrays)
    _require_samples(arrays, path)
    return Arrays(arrays, parts[-1].labels, sum(part.packed for part in parts), parts[-1].names)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise _wrong(path, f"cannot read the arrays: {clean(str(error))}", _READABLE) from error


def _renamed(array: Array, labels: str, arrays: Sequence[Array], path: Path) -> Array:
    """The labels' array under its usual name."""
    if labels == LABELS:
        return array
    names = [other.name for other in arrays]
    if labels not in names:
        close = nearest(labels, names)
        raise _wrong(
            path,
            f"there is no array '{clean(labels)}' for the labels",
            f"one of {', '.join(names)}" + (f"; nearest: '{close}'" if close else ""),
            "correct labels in [data]",
        )
    if array.name == LABELS:
        raise _wrong(path, f"labels = '{clean(labels)}', and there is an array y", "one array of labels", "rename y")
    return msgspec.structs.replace(array, name=LABELS) if array.name == labels else array


def _wrong(path: Path, found: str, expected: str, next: str = "") -> UsageError:  # noqa: A002
    return UsageError(found, expected=expected, where=shown(path), next=next)


def _member_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Array:
    name = clean(member.filename.removesuffix(".npy"))
    if not member.filename.endswith(".npy"):
        raise _wrong(path, f"'{name}' is not an array", _READABLE)
    with archive.open(member) as stream:
        return _header(stream, name, member.file_size, path)


def _header(stream: IO[bytes], name: str, size: int, path: Path) -> Array:
    """An array's header, from where it begins.

    Args:
        stream: There.
        name: Its name.
        size: Bytes of header and values together.
        path: The file, for messages.
    """
    begins = stream.tell()
    shape, _, dtype = read_header(stream)
    begins = stream.tell() - begins
    if dtype.hasobject:
        raise _wrong(
            path,
            f"array '{name}' holds Python objects, which are never unpickled",
            "an array of numbers of one shape",
            f"save it with numpy.stack(...) as numbers, not as dtype=object (found: {dtype}, shape {shape})",
        )
    if dtype.kind not in "biufUS":
        raise _wrong(path, f"array '{name}' is of dtype {dtype}", _NUMBERS)
    if any(extent < 0 for extent in shape) or size != begins + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"array '{name}' has another length than its header says")
    kind = {"U": "str", "S": "bytes"}.get(dtype.kind, dtype.newbyteorder("=").name)
    return Array(name, tuple(int(extent) for extent in shape), kind)


def _require_numbers(arrays: Sequence[Array], path: Path) -> None:
    """Text can only be labels: a vector y of the classes' names."""
    for array in arrays:
        if np.dtype(array.dtype).kind in "US" and (array.name != LABELS or len(array.shape) != 1):
            raise _wrong(path, f"array '{array.name}' is of dtype {array.dtype}", _NUMBERS)


def _require_samples(arrays: Sequence[Array], path: Path) -> None:
    inputs = [array for array in arrays if array.name != LABELS]
    if not inputs:
        held = ", ".join(array.name for array in arrays) or "nothing"
        raise _wrong(
            path, f"there is no input array; the file holds {held}", "an array x, or one for each input's name"
        )
    for array in arrays:
        if not array.shape:
            raise _wrong(path, f"array '{array.name}' is a single number", "an array whose first axis counts samples")
        if array.shape[0] != inputs[0].shape[0]:
            raise _wrong(
                path,
                f"array '{array.name}' has {array.shape[0]} samples, '{inputs[0].name}' has {inputs[0].shape[0]}",
                "as many in each array",
            )
    if inputs[0].shape[0] == 0:
        raise _wrong(path, f"array '{inputs[0].name}' has no samples", "at least one sample")


def _require_room(packed: int, path: Path) -> None:
    """What is compressed may claim any size in a few bytes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if packed > memory:
        raise _wrong(
            path,
            f"the compressed arrays take {packed / 1e9:.1f} GB, this machine has {memory / 1e9:.1f} GB of memory",
            "arrays that fit into memory, or that are not compressed",
            "save them with numpy.savez, which does not compress, or fewer: a few thousand samples settle most limits",
        )


def _require_finite(open_array: _Open, array: Array, path: Path) -> None:
    """No NaN and no infinity, which a model would answer with NaN or with anything."""
    if np.dtype(array.dtype).kind != "f":
        return
    with open_array(array.name) as stream:
        _, by_column, stored = read_header(stream)
        at = 0
        while piece := stream.read(_PIECE // stored.itemsize * stored.itemsize):
            values = np.frombuffer(piece, stored)
            finite = np.isfinite(values)
            if not finite.all():
                first = int(finite.argmin())
                sample = (at + first) % array.shape[0] if by_column else (at + first) // math.prod(array.shape[1:])
                raise _wrong(
                    path,
                    f"sample {sample} of array '{array.name}' holds {values[first]}",
                    "finite numbers",
                    "correct the sample, or leave it out",
                )
            at += len(values)


def _labels(open_array: _Open, arrays: Sequence[Array]) -> tuple[Labels | None, tuple[tuple[str, int], ...]]:
    """What y holds: numbers of classes, or their names with the first sample of each."""
    header = next((array for array in arrays if array.name == LABELS), None)
    if header is None or len(header.shape) != 1 or np.dtype(header.dtype).kind not in "biuUS" or not header.shape[0]:
        return None, ()
    with open_array(LABELS) as stream:
        y = npy.read_array(stream, allow_pickle=False)  # type: ignore[no-untyped-call]
    if y.dtype.kind not in "US":
        return labels_of(y), ()
    names, first = np.unique(as_text(y), return_index=True)
    if len(names) > _MOST_NAMES:
        raise ValueError(f"the labels have over {_MOST_NAMES} different values")
    return None, tuple((str(name), int(at)) for name, at in zip(names, first, strict=True))


def labels_of(y: Any) -> Labels:
    """What is to be known of labels, an integer vector that is not empty."""
    lowest, highest = int(y.argmin()), int(y.argmax())
    return Labels(int(y[lowest]), lowest, int(y[highest]), highest)


def require_fit(arrays: Arrays, inputs: Sequence[Input] | None, path: Path) -> None:
    """The arrays are what the model takes: named `x` or after its inputs, of their shapes, of types that cast to it.

    Raises:
        UsageError: if not; with array, shape found and shape expected.
    """
    if inputs is None:
        return
    by_name = {given.name: given for given in inputs}
    if len(inputs) == 1:
        by_name[SINGLE] = inputs[0]
    for array in arrays.inputs:
        if array.name not in by_name:
            raise _unknown_array(array, inputs, path)
        _require_input(array, by_name[array.name], path)
    if len(inputs) == 1 and len(arrays.inputs) > 1:
        raise _wrong(path, f"arrays '{arrays.inputs[0].name}' and '{arrays.inputs[1].name}'", "the one input only once")
    missing = [given.name for given in inputs if given.name not in {array.name for array in arrays.inputs}]
    if len(inputs) > 1 and missing:
        raise _wrong(path, f"there is no array '{clean(missing[0])}'", f"an array for each input: {_names(inputs)}")


def _names(inputs: Sequence[Input]) -> str:
    return ", ".join(clean(given.name) for given in inputs)


def _unknown_array(array: Array, inputs: Sequence[Input], path: Path) -> UsageError:
    if len(inputs) == 1:
        expected = f"{SINGLE} (or the input's name, {_names(inputs)}), and y for labels"
        return _wrong(path, f"array '{array.name}' is no input of the model", expected, f"rename it to {SINGLE}")
    close = nearest(array.name, [given.name for given in inputs])
    expected = f"the model's inputs: {_names(inputs)}" + (f"; nearest: '{clean(close)}'" if close else "")
    return _wrong(path, f"array '{array.name}' is no input of the model", expected, "rename it, or leave it out")


def _require_input(array: Array, given: Input, path: Path) -> None:
    found, expected = array.shape[1:], given.shape[1:]
    fits = len(found) == len(expected) and all(want in (None, size) for size, want in zip(found, expected, strict=True))
    if not fits:
        raise _wrong(
            path,
            f"array '{array.name}' has shape {_shape(array.shape)}",
            f"{_shape(('n', *expected))}, as the model's input '{clean(given.name)}' has",
            _cure(array.name, found, expected),
        )
    try:
        casts = np.can_cast(np.dtype(array.dtype), np.dtype(given.dtype), "same_kind")
    except TypeError:  # bfloat16, string and other types that numpy has not
        return
    if not casts:
        raise _wrong(
            path,
            f"array '{array.name}' is of dtype {array.dtype}",
            f"{given.dtype}, as the model's input '{clean(given.name)}' is, or a type of the same kind",
            f"save {array.name}.astype({given.dtype!r})",
        )


def _shape(sizes: Sequence[int | str | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in sizes)}{',' if len(sizes) == 1 else ''})"


def _cure(name: str, found: tuple[int, ...], expected: tuple[int | None, ...]) -> str:
    """What would make the shape fit, where it can be guessed."""

    def fits(shape: tuple[int, ...]) -> bool:
        return len(shape) == len(expected) and all(w in (None, s) for s, w in zip(shape, expected, strict=True))

    if len(found) > 1 and fits((*found[1:], found[0])):
        return f"the channels come first (NCHW): save numpy.moveaxis({name}, 1, -1)"
    if len(found) > 1 and fits((found[-1], *found[:-1])):
        return f"the channels come last (NHWC): save numpy.moveaxis({name}, -1, 1)"
    if fits((*found, 1)):
        return f"an axis of length 1 is missing: save {name}[..., None]"
    sizes = [size for size in expected if size is not None]
    if len(sizes) == len(expected) and math.prod(found) == math.prod(sizes):
        return f"the sizes agree: {name}.reshape({_shape((-1, *sizes))}), if the order of the values does too"
    return "shape the arrays as they are fed to the source model"


def require_labels(arrays: Arrays, classes: int | None, path: Path, *, named: bool) -> None:
    """The labels of a classification or binary set are class numbers.

    Args:
        arrays: What the file holds.
        classes: The number of classes, where it is known beforehand.
        path: The file, for messages.
        named: Whether the number of classes comes from `labels` in the manifest.

    Raises:
        UsageError: if they are not integers, or if one is outside the classes; with the sample.
    """
    if arrays.y is None:
        return
    labels = arrays.labels
    if labels is None:
        advice = "y.argmax(axis=1) for one-hot labels" if len(arrays.y.shape) == 2 else "y.astype('int64')"
        raise _wrong(
            path,
            f"array 'y' has shape {_shape(arrays.y.shape)} and dtype {arrays.y.dtype}",
            "shape (n,) of integers or booleans: the number of the class, from 0",
            f"save {advice}",
        )
    if labels.lowest < 0:
        raise _wrong(
            path, f"sample {labels.lowest_at} has label {labels.lowest} in array 'y'", "the number of a class, from 0"
        )
    if classes is not None and labels.highest >= classes:
        raise _wrong(
            path,
            f"sample {labels.highest_at} has label {labels.highest} in array 'y'",
            f"0 to {classes - 1}: " + (f"there are {classes} labels" if named else f"there are {classes} classes"),
            "add the missing labels to [model], or correct y" if named else "correct y",
        )
