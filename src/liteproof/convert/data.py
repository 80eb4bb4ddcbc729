"""Evaluation and calibration data as a source takes it: arrays by input name, in the inputs' types.

>>> inputs = (Input("scan", (None, 2), "float32"),)
>>> named = by_input({"x": np.array([[1, 2]])}, inputs, Path("calibration.npz"))
>>> named["scan"].dtype.name, [sample["scan"].shape for sample in singly([named], inputs)]
('float32', [(1, 2)])

An array is named after its input, or `x` where there is one input only. Nothing is ever unpickled.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.convert.tasks import sentence
from liteproof.errors import UsageError
from liteproof.manifest.data import LABELS, SINGLE, Array, Arrays, find_arrays, require_fit
from liteproof.manifest.source import Input
from liteproof.plan import File, Model
from liteproof.store import file_sha256

Values = Mapping[str, npt.NDArray[Any]]
Samples = Callable[[], Iterator[Values]]


def require_data(model: Model, inputs: Sequence[Input], root: str) -> None:
    """The evaluation and the calibration set are what the source takes, as far as can be told before they are used.

    Raises:
        UsageError: if they are not.
    """
    require_fit(find_arrays(Path(model.evaluation.path)), inputs, Path(model.evaluation.path))
    calibration = model.calibration
    if calibration is not None and calibration.file is not None:
        require_fit(find_arrays(Path(calibration.file.path)), inputs, Path(calibration.file.path))
    elif calibration is not None:
        load_callable(calibration.callable or "", "calibration", model, root)


def evaluation(model: Model, inputs: Sequence[Input]) -> Values:
    """The evaluation set's inputs, each of shape (n, …).

    Raises:
        UsageError: if they do not fit the inputs.
    """
    return _read(model.evaluation, inputs)


def calibration(model: Model, inputs: Sequence[Input], root: str) -> Samples:
    """The calibration set, one sample (or one batch of the size that an input is fixed to) at a time.

    What is returned can be called again and again: converters go through the samples twice.

    Raises:
        UsageError: if there is no calibration set, or if it does not fit the inputs.
    """
    source = model.calibration
    if source is None:
        raise UsageError("there is no calibration set", expected="calibration in [data]", where=model.manifest.path)
    if source.file is not None:
        values = _read(source.file, inputs)
        return lambda: singly([values], inputs)
    name = source.callable or ""
    batches = load_callable(name, "calibration", model, root)
    return lambda: singly(_batches(name, batches, inputs), inputs)


def by_input(arrays: Values, inputs: Sequence[Input], path: Path) -> Values:
    """Arrays by the inputs' names, cast to the inputs' types.

    Args:
        arrays: By input name, or one named x.
        inputs: What the source takes.
        path: Where they come from, for messages.

    Raises:
        UsageError: if they do not fit.
    """
    headers = Arrays(tuple(Array(name, array.shape, array.dtype.name) for name, array in arrays.items()))
    require_fit(headers, inputs, path)
    found = {given.name: arrays.get(given.name, arrays.get(SINGLE)) for given in inputs}
    return {given.name: np.asarray(found[given.name]).astype(given.dtype, copy=False) for given in inputs}


def singly(batches: Iterable[Values], inputs: Sequence[Input]) -> Iterator[Values]:
    """The samples of some batches, one at a time, or as many at a time as an input's batch is fixed to.

    Samples at the end that do not fill such a batch are left out.
    """
    size = next((given.shape[0] for given in inputs if given.shape and given.shape[0]), None) or 1
    for batch in batches:
        samples = len(next(iter(batch.values())))
        for start in range(0, samples - size + 1, size):
            yield {name: array[start : start + size] for name, array in batch.items()}


def load_callable(name: str, key: str, model: Model, root: str) -> Callable[[], Any]:
    """What "package.module:name" names; the root folder is searched first.

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
            where=model.manifest.path,
            next="correct the name or the module",
        ) from error
    if not callable(found) and not isinstance(found, Mapping):
        raise UsageError(f'{key} = "{name}" is no function', expected="a function", where=model.manifest.path)
    return found if callable(found) else lambda: found


def unchanged(file: File) -> Path:
    """The path of a file that is still what the plan was made for.

    Raises:
        UsageError: if it is another one by now: what is made from it would be kept under the wrong key.
    """
    path = Path(file.path)
    try:
        same = file_sha256(path) == file.sha256
    except OSError as error:
        raise UsageError(f"cannot read the file: {error.strerror or error}", where=file.path) from error
    if not same:
        raise UsageError("the file has changed since the run began", where=file.path, next="run again")
    return path


def _read(file: File, inputs: Sequence[Input]) -> Values:
    path = unchanged(file)
    find_arrays(path)  # refuses objects and damage with a message of its own
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files if name != LABELS}
    return by_input(arrays, inputs, path)


def _batches(name: str, batches: Callable[[], Any], inputs: Sequence[Input]) -> Iterator[Values]:
    """What a calibration callable yields, checked.

    Raises:
        UsageError: if it yields nothing, what does not fit, or fails.
    """
    empty = True
    try:
        for batch in batches():
            empty = False
            arrays = batch if isinstance(batch, Mapping) else {SINGLE: batch}
            yield by_input({key: np.asarray(array) for key, array in arrays.items()}, inputs, Path(name))
    except UsageError as error:
        raise UsageError(f"a batch of {name} does not fit: {sentence(error)}", where=name) from error
    except Exception as error:  # a function of the user's may raise anything
        traceback.print_exc()
        raise UsageError(f"{name} failed: {type(error).__name__}: {error}", where=name) from error
    if empty:
        raise UsageError(f"{name} yields nothing", expected="batches of arrays", where=name)
