"""Evaluation and calibration data as a source takes it: arrays by input name, in the inputs' types.

>>> inputs = (Input("scan", (None, 2), "float32"),)
>>> named = by_input({"x": np.array([[1, 2]])}, inputs, Path("calibration.npz"))
>>> [(sample["scan"].shape, sample["scan"].dtype.name) for sample in singly([named], inputs)]
[((1, 2), 'float32')]

An array is named after its input, or `x` where there is one input only. Nothing is ever unpickled, and nothing is
loaded before it is fed: `open_samples` opens any set of a plan, whatever form the manifest names it in.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.arrays import UNREADABLE, open_arrays
from liteproof.errors import UsageError
from liteproof.manifest.data import LABELS, SINGLE, Array, Arrays, require_fit
from liteproof.manifest.place import shown
from liteproof.manifest.source import Input
from liteproof.plan import File, Model
from liteproof.plan import Samples as PlannedSamples
from liteproof.store import file_sha256

Values = Mapping[str, npt.NDArray[Any]]
Samples = Callable[[], Iterator[Values]]


def require_data(model: Model, inputs: Sequence[Input], root: str) -> None:
    """The sets are what the source takes, as far as can be told before they are used.

    Raises:
        UsageError: if they are not.
    """
    for key, samples in model.sets.items():
        if samples.callable is not None:
            load_callable(samples.callable, key, model, root)
        elif samples.making is None:
            _require_fit(open_samples(samples, _nowhere), inputs, Path(samples.path))


def _nowhere(key: str) -> Path:
    raise UsageError(f"the arrays {key} are not made yet")


def open_samples(samples: PlannedSamples, made: Callable[[str], Path]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a set by name, labels (`y`) included, mapped into memory where that is possible.

    Args:
        samples: The set, as the plan names it.
        made: Where arrays lie that had to be made, by the store's key.

    Raises:
        UsageError: if a file has changed since the run began, or cannot be read.
    """
    path = Path(samples.path)
    try:
        if samples.key is not None:
            path = made(samples.key)
            return open_arrays(path)
        if samples.arrays:
            opened: dict[str, npt.NDArray[Any]] = {}
            for name, file in samples.arrays.items():
                path = unchanged(file)
                opened |= open_arrays(path, name)
            return opened
        return open_arrays(unchanged(samples))
    except UNREADABLE as error:
        raise UsageError(f"cannot read the arrays: {error}", where=shown(path)) from error


def evaluation(model: Model, inputs: Sequence[Input], made: Callable[[str], Path]) -> Values:
    """The evaluation set's inputs by the inputs' names, each of shape (n, …); `cast` gives them the inputs' types.

    Raises:
        UsageError: if they do not fit the inputs.
    """
    return inputs_of(model.evaluation, inputs, made)


def calibration(model: Model, inputs: Sequence[Input], made: Callable[[str], Path]) -> Samples:
    """The calibration set, one sample (or one batch of the size that an input is fixed to) at a time.

    What is returned can be called again and again: converters go through the samples twice.

    Raises:
        UsageError: if there is no calibration set, or if it does not fit the inputs.
    """
    if model.calibration is None:
        raise UsageError("there is no calibration set", expected="calibration in [data]", where=model.manifest.path)
    values = inputs_of(model.calibration, inputs, made)
    return lambda: singly([values], inputs)


def inputs_of(samples: PlannedSamples, inputs: Sequence[Input], made: Callable[[str], Path]) -> Values:
    """The inputs of a set in any form, by the inputs' names, each of shape (n, …); nothing of them is loaded.

    Raises:
        UsageError: if they do not fit the inputs.
    """
    arrays = open_samples(samples, made)
    return by_input({name: array for name, array in arrays.items() if name != LABELS}, inputs, Path(samples.path))


def training(
    model: Model, inputs: Sequence[Input], made: Callable[[str], Path]
) -> tuple[Values, npt.NDArray[Any], int]:
    """What a source is trained further on, in the inputs' types, without the samples that variants are judged on.

    Returns:
        The inputs, each of shape (n, …); what the source should answer, shape (n, …), which for a regression without an
        array y is its own input; and how many samples were left out.

    Raises:
        UsageError: if there is no training set, if it does not fit, or if the evaluation set holds all of it.
    """
    samples = model.training
    if samples is None:
        raise UsageError("there is no training set", expected="training in [data]", where=model.manifest.path)
    values = cast(inputs_of(samples, inputs, made), inputs)
    y = open_samples(samples, made).get(LABELS)
    if y is None and model.task != "regression":
        raise UsageError(
            "the training set has no labels",
            expected="an array y beside x: the number of each sample's class",
            where=samples.path,
            next="save it with numpy.savez(…, x=x, y=y)",
        )
    judged = set(_digests(cast(evaluation(model, inputs, made), inputs)))
    kept = np.array([digest not in judged for digest in _digests(values)])
    if not kept.any():
        raise UsageError(
            "the training set holds evaluation samples only",
            expected="other samples: a variant is never judged on what it was trained on",
            where=samples.path,
        )
    answers = np.asarray(next(iter(values.values())) if y is None else y)
    return {name: array[kept] for name, array in values.items()}, answers[kept], int(len(kept) - kept.sum())


def _digests(values: Values) -> list[bytes]:
    """A digest of each sample, all of its inputs together."""
    samples = zip(*values.values(), strict=True)
    return [hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in one)).digest() for one in samples]


def by_input(arrays: Values, inputs: Sequence[Input], path: Path) -> Values:
    """Arrays by the inputs' names.

    Args:
        arrays: By input name, or one named x.
        inputs: What the source takes.
        path: Where they come from, for messages.

    Raises:
        UsageError: if they do not fit.
    """
    _require_fit(arrays, inputs, path)
    found = {given.name: arrays.get(given.name, arrays.get(SINGLE)) for given in inputs}
    return {name: array for name, array in found.items() if array is not None}


def _require_fit(arrays: Values, inputs: Sequence[Input], path: Path) -> None:
    require_fit(
        Arrays(tuple(Array(name, array.shape, array.dtype.name) for name, array in arrays.items())), inputs, path
    )


def cast(values: Values, inputs: Sequence[Input]) -> Values:
    """Samples in the inputs' types: of a few at a time, since a set may be larger than memory."""
    return {given.name: np.asarray(values[given.name]).astype(given.dtype, copy=False) for given in inputs}


def singly(batches: Iterable[Values], inputs: Sequence[Input]) -> Iterator[Values]:
    """The samples of some batches, one at a time, or as many at a time as an input's batch is fixed to.

    Samples at the end that do not fill such a batch are left out.
    """
    size = next((given.shape[0] for given in inputs if given.shape and given.shape[0]), None) or 1
    for batch in batches:
        samples = len(next(iter(batch.values())))
        for start in range(0, samples - size + 1, size):
            yield cast({name: array[start : start + size] for name, array in batch.items()}, inputs)


def load_callable(name: str, key: str, model: Model, root: str) -> Callable[[], Any]:
    """What "package.module:name" in a model's manifest names; the root folder is searched first.

    Raises:
        UsageError: if it cannot be imported or is not there.
    """
    return load_named(name, key, root, model.manifest.path)


def load_named(name: str, key: str, root: str, where: str) -> Callable[[], Any]:
    """The same, wherever the name was written.

    Raises:
        UsageError: if it cannot be imported or is not there.
    """
    module, _, attribute = name.partition(":")
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module of the user's may raise anything while it is imported
        traceback.print_exc()
        raise UsageError(
            f'{key} = "{name}" cannot be imported: {type(error).__name__}: {error}',
            expected=f"{attribute} in {module.replace('.', '/')}.py in the root folder",
            where=where,
            next="correct the name or the module",
        ) from error
    if not callable(found) and not isinstance(found, Mapping):
        raise UsageError(f'{key} = "{name}" is no function', expected="a function", where=where)
    return found if callable(found) else lambda: found


def unchanged(file: File) -> Path:
    """The path of a file that is still what the plan was made for.

    Raises:
        UsageError: if it is another one by now: what is made from it would be kept under the wrong key.
    """
    path = Path(file.path)
    try:
        same = _digest(str(path), _stamp(path)) == file.sha256
    except OSError as error:
        raise UsageError(f"cannot read the file: {error.strerror or error}", where=file.path) from error
    if not same:
        raise UsageError("the file has changed since the run began", where=file.path, next="run again")
    return path


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells that a file, or any in a folder, has changed: a worker that reads it again need not hash it again."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@functools.lru_cache(maxsize=64)
def _digest(path: str, stamp: tuple[tuple[str, int, int], ...]) -> str:  # noqa: ARG001
    return file_sha256(Path(path))
