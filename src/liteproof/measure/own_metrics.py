"""Metrics of a manifest's own: a Python function of the user's over (reference, variant, labels).

    >>> iou = OwnMetric("mean_iou", "fixtures.metrics:mean_iou", "higher")
    >>> evaluate(iou, lambda reference, variant, labels: [1.0, 0.5], np.zeros((2, 4)), np.zeros((2, 4)), None).value
    0.75

A function that gives one number is measured exactly. One that gives a number for each sample is their mean, with a
bootstrap interval, so that too few samples are PROVISIONAL as with any other metric.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liteproof.checks import Measurement, metric_of
from liteproof.errors import UsageError
from liteproof.measure.tensors import Array
from liteproof.plan import OwnMetric
from liteproof.statistics import mean_interval, samples_to_settle

if TYPE_CHECKING:
    from liteproof.measure.subject import Subject

# One output, or where the source has several, each by its name.
Outputs = Array | Mapping[str, Array]
Function = Callable[[Outputs, Outputs, Array | None], Any]

_HERE = str(Path(__file__).parents[1])


def own_metrics(case: Subject) -> Iterator[Measurement]:
    """Each metric of the manifest's own, one after the other: what fails in one leaves the others."""
    outputs = {output.name: (output.reference, output.values) for output in case.every_output}
    reference = {name: pair[0] for name, pair in outputs.items()}
    variant = {name: pair[1] for name, pair in outputs.items()}
    several = len(outputs) > 1
    for metric in case.model.metrics:
        try:
            function = load(metric.callable, case.root)
        except UsageError as error:
            yield Measurement(metric.name, None, detail=str(error), better=metric.better)
            continue
        theirs, ours = (reference, variant) if several else (case.reference, case.outputs)
        yield evaluate(metric, function, theirs, ours, case.evaluation.labels)


@lru_cache(maxsize=32)
def load(name: str, root: str | None = None) -> Function:
    """The function that "package.module:name" names.

    Args:
        name: From the manifest.
        root: The folder that is searched first; None on a target, where the code lies on the path already.

    Raises:
        UsageError: if it cannot be imported, or is no function; with the file and the line of the user's.
    """
    module, _, attribute = name.partition(":")
    if root is not None and root not in sys.path:
        sys.path.insert(0, root)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a module of the user's may raise anything while it is imported
        raise UsageError(
            f"{name} cannot be imported: {_told(error)}",
            expected=f"{attribute} in {module.replace('.', '/')}.py; on a target, modules that it has (numpy is there)",
            where=_place(error),
        ) from None
    if not callable(found):
        raise UsageError(f"{name} is no function", expected="a function of (reference, variant, labels)")
    function: Function = found
    return function


def evaluate(
    metric: OwnMetric, function: Function, reference: Outputs, variant: Outputs, labels: Array | None
) -> Measurement:
    """What the function gives; with no value and the reason where it fails or gives no number.

    Args:
        metric: Its name and direction.
        function: The user's.
        reference: The source's outputs on the evaluation set, float32 (n, …), or by name where there are several.
        variant: The variant's, the same.
        labels: The evaluation set's y; None without.
    """
    try:
        found = function(_copied(reference), _copied(variant), None if labels is None else labels.copy())
    except (Exception, SystemExit) as error:  # a function of the user's may raise anything
        where = _place(error)
        text = f"{metric.callable} failed: {_told(error)}" + (f"\n  where:    {where}" if where else "")
        return Measurement(metric.name, None, detail=text, better=metric.better)
    samples = len(next(iter(reference.values())) if isinstance(reference, Mapping) else reference)
    values, wrong = _numbers(found, samples)
    if wrong:
        text = f"{metric.callable} gave {wrong}\n  expected: a finite number, or one for each of the {samples} samples"
        return Measurement(metric.name, None, detail=text, better=metric.better)
    if values.size == 1:
        return Measurement(metric.name, float(values.ravel()[0]), samples=samples, better=metric.better)
    estimate = mean_interval(values)
    upward = metric_of(metric.name, metric.better).direction == "at_least"
    bound = estimate.lower if upward else estimate.upper
    return Measurement(
        metric.name,
        estimate.value,
        samples=samples,
        interval=estimate.interval,
        bound=bound,
        settle=partial(_settle, samples, estimate.value, bound),
        better=metric.better,
    )


def _copied(outputs: Outputs) -> Outputs:
    """A function that writes into its arguments must not change what the next one sees."""
    if isinstance(outputs, Mapping):
        return {name: array.copy() for name, array in outputs.items()}
    return outputs.copy()


def _settle(n: int, value: float, bound: float, limit: float) -> int | None:
    return samples_to_settle(n, value, bound, limit)


def _numbers(found: Any, samples: int) -> tuple[Array, str]:
    """What the function gave as float64, of shape () or (samples,); and what is wrong with it, if anything."""
    try:
        values = np.asarray(found)
        numeric = values.dtype.kind in "biuf"
    except ValueError:  # a ragged sequence
        numeric = False
    if not numeric:
        return np.zeros(0), f"{type(found).__name__}, no number"
    if values.shape not in ((), (samples,)):
        return values, f"an array of shape {values.shape}"
    if not np.isfinite(values).all():
        return values, "NaN or infinity"
    return values.astype(np.float64), ""


def _told(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _place(error: BaseException) -> str:
    """File and line of the user's code nearest to the error; "" where none of it ran."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{_shown(frames[-1].filename)}, line {frames[-1].lineno}" if frames else ""


def _is_users(file: str) -> bool:
    """Not ours, not an installed package's, not Python's own."""
    library = {str(Path(module.__file__).parent) for module in (traceback, np) if module.__file__}
    return not (file.startswith(("<", _HERE, *library)) or "site-packages" in file)


def _shown(file: str) -> str:
    for root in sys.path:
        if root and file.startswith(root.rstrip("/") + "/"):
            return file.removeprefix(root.rstrip("/") + "/")
    return Path(file).name
