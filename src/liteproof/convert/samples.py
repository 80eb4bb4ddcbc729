"""Arrays made of what a manifest names: decoded, drawn, preprocessed, and written a block at a time.

    >>> make(model.evaluation, Path("evaluation.npz"), model, root=".")   # doctest: +SKIP
    {'samples': 200, 'pillow': '11.0.0'}

Every form gives its samples in blocks; one place scales them and writes them, so that source and variants, evaluation
and calibration cannot be fed differently. However many samples there are, memory holds a block of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from liteproof.arrays import Writer, as_text, open_arrays
from liteproof.convert.data import load_callable, unchanged
from liteproof.errors import UsageError
from liteproof.manifest.data import LABELS, SINGLE, find_arrays
from liteproof.manifest.images import list_images
from liteproof.manifest.place import clean, shown
from liteproof.manifest.sampling import Indices, draw
from liteproof.manifest.tables import read_table
from liteproof.packages import installed
from liteproof.plan import Making, Model, Samples

Array = npt.NDArray[Any]
Block = Mapping[str, Array]
Progress = Callable[[int, int], None]

# A block's bytes, and the most samples in it; fewer images, which take their time.
_BLOCK_BYTES = 8 << 20
_BLOCK = 1024
_IMAGES_A_BLOCK = 32


class Opened(Protocol):
    """Samples in one of the forms.

    Attributes:
        total: How many there are.
        labels: Their labels, shape (total, …); None where there are none.
    """

    total: int
    labels: Array | None

    def blocks(self, chosen: Indices) -> Iterator[Block]:
        """The inputs of these samples, in their order, as they are before preprocessing."""


def make(samples: Samples, path: Path, model: Model, root: str, tell: Progress | None = None) -> dict[str, Any]:
    """Write the arrays of a set.

    Args:
        samples: The set.
        model: The model that it is of.
        path: The `.npz` that is written.
        root: The folder that callables are imported from.
        tell: Hears how many of how many are done.

    Returns:
        How it was made, for the store.

    Raises:
        UsageError: if a file has changed or cannot be read, an image or a cell is broken, a callable fails, or there
            are not as many samples as are asked for; with file, row and column.
    """
    making = samples.making
    assert making is not None  # noqa: S101 - of every set that is made
    with ExitStack() as held:

        def reopen(making: Making) -> Opened:
            return _open(making, model, root, held)

        opened = reopen(making)
        chosen = _chosen(making, opened, reopen)
        at = 0
        with Writer(path) as out:
            for block in opened.blocks(chosen):
                count = len(next(iter(block.values())))
                part = chosen[at : at + count]
                labels = {} if opened.labels is None else {LABELS: np.asarray(opened.labels[part])}
                out.append({**_preprocessed(block, making), **labels})
                at += count
                if tell is not None:
                    tell(at, len(chosen))
    pillow = {"pillow": installed("pillow")} if making.form == "images" else {}
    return {"samples": len(chosen), **pillow}


def _chosen(making: Making, opened: Opened, reopen: Callable[[Making], Opened]) -> Indices:
    """Which samples are wanted, in their order."""
    if making.samples is None:
        return np.arange(opened.total)
    without = None
    if making.apart_from is not None:
        theirs = making.apart_from
        without = _chosen(theirs, opened if _alike(making, theirs) else reopen(theirs), reopen)
    labels = opened.labels if making.stratify else None
    if making.stratify and (labels is None or labels.ndim != 1 or labels.dtype.kind not in "biu"):
        raise UsageError("stratify needs labels that are classes", where=_where(making))
    try:
        return draw(opened.total, making.samples, seed=making.seed, labels=labels, without=without)
    except ValueError as error:
        raise UsageError(
            f"there are not as many samples as are asked for: {error}",
            expected=f"at least {making.samples}",
            where=_where(making),
            next="ask for fewer: samples = … in [data]",
        ) from error


def _alike(making: Making, theirs: Making) -> bool:
    """Whether both have the same samples and labels to draw from."""
    return (making.files, making.labels, making.callable) == (theirs.files, theirs.labels, theirs.callable)


def _where(making: Making) -> str:
    return making.callable or shown(Path(next(iter(making.files.values())).path))


def _open(making: Making, model: Model, root: str, held: ExitStack) -> Opened:
    paths = {name: unchanged(file) for name, file in making.files.items()}
    opened: Opened
    if making.form == "arrays":
        opened = _Arrays(paths, making.labels or LABELS, making.classes)
    elif making.form == "images":
        opened = _Images(paths[SINGLE], making)
    elif making.form == "table":
        opened = _Table(paths[SINGLE], making)
    else:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="liteproof-")))
        opened = _Arrays({SINGLE: _run(making, model, root, folder / "yielded.npz")}, LABELS)
    return opened


# -- preprocessing ----------------------------------------------------------------------------------------------------


def _preprocessed(block: Block, making: Making) -> dict[str, Array]:
    """The block scaled as the manifest says: x × scale + offset, in float32."""
    return {
        name: _scaled(array, making.scale.get(name, (1.0,)), making.offset.get(name, (0.0,)))
        for name, array in block.items()
    }


def _scaled(array: Array, scale: Sequence[float], offset: Sequence[float]) -> Array:
    """Computed in double precision, so that the rounding is that of the result alone.

    >>> _scaled(np.array([[0, 255]], np.uint8), (2 / 255,), (-1.0,)).tolist()
    [[-1.0, 1.0]]
    """
    if set(scale) == {1.0} and set(offset) == {0.0}:
        return array
    return np.asarray(array.astype(np.float64) * np.array(scale) + np.array(offset), np.float32)


# -- .npz and .npy ----------------------------------------------------------------------------------------------------


class _Arrays:
    """Arrays in files."""

    def __init__(self, paths: Mapping[str, Path], labels: str, classes: Sequence[str] = ()) -> None:
        arrays: dict[str, Array] = {}
        for name, path in paths.items():
            held = open_arrays(path, name)
            arrays |= {LABELS if array == labels else array: values for array, values in held.items()}
        self.labels = arrays.pop(LABELS, None)
        if self.labels is not None and classes:
            number = {name: at for at, name in enumerate(classes)}
            self.labels = np.array([number[name] for name in as_text(self.labels)], np.int64)
        self._inputs = arrays
        self.total = len(next(iter(arrays.values())))

    def blocks(self, chosen: Indices) -> Iterator[Block]:
        """The inputs of these samples."""
        each = sum(array[:1].nbytes for array in self._inputs.values())
        size = max(1, min(_BLOCK, _BLOCK_BYTES // max(1, each)))
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            yield {name: np.asarray(array[part]) for name, array in self._inputs.items()}


# -- images -----------------------------------------------------------------------------------------------------------


class _Images:
    """A folder of images."""

    def __init__(self, folder: Path, making: Making) -> None:
        listing = list_images(folder, allow_outside=True)  # a link that leads out was refused when the plan was made
        self._folder, self._making = folder, making
        self._images = [path for path, _ in listing.images]
        self.total = len(self._images)
        names = [name for _, name in listing.images]
        number = {name: at for at, name in enumerate(making.classes)}
        self.labels = np.array([number[name or ""] for name in names], np.int64) if making.classes else None

    def blocks(self, chosen: Indices) -> Iterator[Block]:
        """These images, uint8 of shape (n, height, width, channels)."""
        from liteproof.convert.images import read_image

        making = self._making
        height, width, channels = making.sample or (1, 1, 3)
        size = max(1, min(_IMAGES_A_BLOCK, _BLOCK_BYTES // (height * width * channels)))

        def read(at: int) -> Array:
            return read_image(
                self._folder / self._images[at],
                (height, width),
                color=making.color or "rgb",
                resize=making.size is not None,
                interpolation=making.interpolation or "bilinear",
            )

        with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow decodes without Python's lock
            for start in range(0, len(chosen), size):
                yield {SINGLE: np.stack(list(threads.map(read, chosen[start : start + size])))}


# -- CSV --------------------------------------------------------------------------------------------------------------


class _Table:
    """A CSV. Its labels are read first, then the features of the samples that are wanted."""

    def __init__(self, path: Path, making: Making) -> None:
        self._path, self._making = path, making
        cells: list[str] = []
        self.total = 0
        for numbers, labels in read_table(path, making.columns, making.labels):
            cells += labels
            self.total += len(numbers)
        self.labels = self._numbers(cells) if making.labels is not None else None

    def _numbers(self, cells: Sequence[str]) -> Array:
        if self._making.classes:
            number = {name: at for at, name in enumerate(self._making.classes)}
            return np.array([number[cell] for cell in cells], np.int64)
        try:
            return np.array([int(cell) for cell in cells], np.int64)
        except ValueError:
            pass
        columns = (self._making.labels or "",)
        return np.concatenate([numbers[:, 0] for numbers, _ in read_table(self._path, columns)])

    def blocks(self, chosen: Indices) -> Iterator[Block]:
        """The features of these samples, shaped as the input is."""
        making, at = self._making, 0
        for numbers, _ in read_table(self._path, making.columns):
            mine = chosen[np.searchsorted(chosen, at) : np.searchsorted(chosen, at + len(numbers))] - at
            if len(mine):
                rows = numbers[mine]
                yield {SINGLE: _whole(rows, making, self._path).reshape(len(rows), *(making.sample or rows.shape[1:]))}
            at += len(numbers)


def _whole(rows: Array, making: Making, path: Path) -> Array:
    """Rows for an input of whole numbers, in its type."""
    if making.dtype is None:
        return rows
    limits = np.iinfo(making.dtype)
    wrong = (rows != np.round(rows)) | (rows < limits.min) | (rows > limits.max)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise UsageError(
            f"column '{clean(making.columns[int(column)])}' holds {rows[row, column]:g}",
            expected=f"whole numbers from {limits.min} to {limits.max}: the model's input is {making.dtype}",
            where=shown(path),
        )
    return rows.astype(making.dtype)


# -- callables --------------------------------------------------------------------------------------------------------


def _run(making: Making, model: Model, root: str, path: Path) -> Path:
    """What a callable yields, as an `.npz`.

    Raises:
        UsageError: if it yields nothing, what is no array, or fails; with the batch.
    """
    name = making.callable or ""
    found = load_callable(name, "from", model, root)
    at = 0
    with Writer(path) as out:
        try:
            for batch in found():
                at += 1
                out.append(_named(batch, making))
        except UsageError:
            raise
        except OSError as error:
            raise UsageError(f"what {name} yields cannot be kept: {error.strerror or error}", where=name) from error
        except Exception as error:  # a function of the user's may raise anything
            import traceback

            traceback.print_exc()
            raise UsageError(
                f"{name} failed in batch {at}: {type(error).__name__}: {error}",
                expected="batches: arrays of shape (n, …), mappings of such by input, or pairs (inputs, labels)",
                where=name,
            ) from error
        if not len(out):
            raise UsageError(f"{name} yields nothing", expected="batches of arrays", where=name)
    find_arrays(path)
    return path


def _named(batch: object, making: Making) -> dict[str, Array]:
    """A batch of a callable's by name: an array, a mapping, or a pair of inputs and labels."""
    labels = None
    if isinstance(batch, tuple) and len(batch) == 2:
        batch, labels = batch
    arrays = dict(batch) if isinstance(batch, Mapping) else {SINGLE: batch}
    if labels is not None:
        arrays[making.labels or LABELS] = labels
    found = {str(name): _float32(np.asarray(array)) for name, array in arrays.items()}
    if making.labels is None:
        found.pop(LABELS, None)
    elif making.labels not in found:
        raise UsageError(
            f"a batch of {making.callable} has no labels '{clean(making.labels)}'",
            expected="a pair (inputs, labels), or a mapping that has them",
            where=making.callable or "",
        )
    else:
        found[LABELS] = found.pop(making.labels)
    inputs = [name for name in found if name != LABELS]
    if len(inputs) == 1:
        found[SINGLE] = found.pop(inputs[0])
    for name, array in found.items():
        if array.dtype.hasobject or array.dtype.kind not in "biuf" or array.ndim == 0:
            raise UsageError(
                f"a batch of {making.callable} holds {name} of dtype {array.dtype} and shape {array.shape}",
                expected="an array of numbers whose first axis counts samples",
                where=making.callable or "",
            )
    return found


def _float32(array: Array) -> Array:
    """Floats as models compute them: a function's own steps decide by chance whether a batch comes in float64."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array
