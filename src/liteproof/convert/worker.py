"""The worker process: `python -m liteproof.convert.worker FOLDER ROOT`.

It reads tasks from standard input, a JSON line each, and answers each with one event, a JSON line on what was its
standard output when it began; events that tell how far a long task is may come before. From then on standard output
leads where standard error does, a log: TensorFlow and callables may write what they like. What it makes lies in FOLDER
under the task's key; Python callables of a manifest are imported from ROOT. It ends with its input.

    >>> answer(Task("convert", "k", model, "int8", "int8"), work)   # doctest: +SKIP
    Event(kind='converted', key='k', …)
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liteproof.convert.tasks import Event, Task, decode_task, encode, sentence, wrong_request
from liteproof.errors import LiteproofError, ModelError, UsageError
from liteproof.manifest.source import Input, find_expectation
from liteproof.packages import installed
from liteproof.plan import Model
from liteproof.recipes import RECIPES, promise_of

if TYPE_CHECKING:
    from liteproof.convert.data import Samples
    from liteproof.convert.reference import Predictions
    from liteproof.convert.sources import Source

_DONE = {"make": "made", "export": "exported", "train": "trained", "convert": "converted", "reference": "reference"}
_PACKAGES = {
    "tensorflow": ("tensorflow", "keras", "numpy"),
    "keras": ("tensorflow", "keras", "numpy"),
    "tf-keras": ("tensorflow", "tf-keras", "numpy"),
    "training": ("tensorflow-model-optimization", "tf-keras", "tensorflow", "keras", "numpy"),
    "litert": ("litert-quantizer", "ai-edge-litert", "numpy"),
    "runtime": ("ai-edge-litert", "numpy"),
}


_BETWEEN_EVENTS_S = 0.2

# Packages that a user may lack: the extra that has them, and what they are for.
_INSTALLED_BY = {
    **dict.fromkeys(("tensorflow", "keras", "litert_quantizer", "ai_edge_litert"), ("convert", "converting")),
    "tf_keras": ("legacy", "files of Keras 2"),
    "tensorflow_model_optimization": ("train", "training further"),
}


def main(folder: str, root: str) -> None:
    """Do tasks until the input ends."""
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    work = Workplace(Path(folder), root, tell=lambda event: events.write(encode(event)))
    for line in sys.stdin.buffer:
        event = answer(decode_task(line), work)
        sys.stdout.flush()
        events.write(encode(event))


def answer(task: Task, work: Workplace) -> Event:
    """Do a task; how it ended."""
    started = time.perf_counter()
    try:
        meta = _DO[task.kind](task, work)
    except UsageError as error:
        return wrong_request(error)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _INSTALLED_BY:
            return wrong_request(_not_installed("tensorflow_model_optimization" if task.kind == "train" else missing))
        return _failed(task, error, started)
    except Exception as error:  # a converter raises what its parts raise; none of it may end the other tasks
        return _failed(task, error, started)
    return Event(_DONE[task.kind], task.key, seconds=time.perf_counter() - started, meta=meta)  # type: ignore[arg-type]


def _failed(task: Task, error: Exception, started: float) -> Event:
    traceback.print_exc()
    reason = sentence(error) if isinstance(error, LiteproofError) else f"{type(error).__name__}: {_one_line(error)}"
    if not reason.startswith("the source of"):
        reason = f"{task.trouble}: {reason}"
    return Event("failed", task.key, reason=reason, seconds=time.perf_counter() - started)


def _one_line(error: Exception) -> str:
    return " ".join((str(error).strip().splitlines() or [""])[0].split())[:400]


def _not_installed(package: str) -> UsageError:
    extra, what = _INSTALLED_BY[package]
    return UsageError(
        f"{package} is not installed, and the store lacks what it would make",
        expected=f"the packages for {what}",
        next=f"pip install 'liteproof[{extra}]'",
    )


class Workplace:
    """Where a worker works: the folder of what is made, the root of Python callables, and the source loaded last."""

    def __init__(self, folder: Path, root: str, tell: Callable[[Event], object] | None = None) -> None:
        self.folder = folder
        self.root = root
        self.tell = tell
        self._loaded: tuple[str, Source] | None = None

    def path(self, key: str) -> Path:
        """Where what has this key lies."""
        return self.folder / key

    def source(self, model: Model) -> Source:
        """The model's source, loaded.

        Raises:
            ModelError, UsageError: as `sources.load`.
        """
        if self._loaded is None or self._loaded[0] != model.float32_key:
            _import_tensorflow(model.keras)
            from liteproof.convert.sources import load

            self._loaded = None  # two at once would take twice the memory
            self._loaded = (model.float32_key, load(model, self.root))
        return self._loaded[1]

    def exported(self, task: Task) -> Path:
        """The SavedModel that a variant is converted from: the source's, or what training made of it."""
        if task.training is None:
            return self.path(task.origin)
        from liteproof.convert.trained import unpacked

        return unpacked(self.path(task.origin), self.folder, aware=RECIPES[task.recipe].training == "aware")


def _import_tensorflow(keras: str | None = None) -> None:
    """Import TensorFlow and a Keras in half the time that it takes otherwise (1.7 s for 3.5 s).

    Keras imports scikit-learn and matplotlib where they are installed, for wrappers and plots; and the garbage
    collector looks a dozen times through a million objects that stay. Calibration callables can import them afterwards.
    """
    if "tensorflow" in sys.modules:
        return
    hidden: dict[str, Any] = {name: None for name in ("matplotlib", "sklearn") if name not in sys.modules}
    sys.modules.update(hidden)
    gc.disable()
    try:
        importlib.import_module("tf_keras" if keras == "tf-keras" else "keras")
        import tensorflow  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        gc.enable()


def _make(task: Task, work: Workplace) -> Mapping[str, Any]:
    """The arrays of a set of samples. TensorFlow is not needed for it."""
    from liteproof.convert.samples import make

    assert task.samples is not None  # noqa: S101 - of every such task
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if work.tell is not None and time.monotonic() - told > _BETWEEN_EVENTS_S:
            told = time.monotonic()
            work.tell(Event("at", task.key, task.model.name, task.name, done=done, total=total))

    return make(task.samples, work.path(task.key), task.model, work.root, tell)


def _export(task: Task, work: Workplace) -> Mapping[str, Any]:
    source = work.source(task.model)
    from liteproof.convert.data import require_data
    from liteproof.convert.sources import export

    require_data(task.model, source.inputs, work.root)
    export(source, work.path(task.key))
    return {}


def _train(task: Task, work: Workplace) -> Mapping[str, Any]:
    source = work.source(task.model)
    from liteproof.convert.trained import train_source

    def report(text: str, done: int, total: int) -> None:
        if work.tell is not None:
            work.tell(Event("at", task.key, task.model.name, task.name, text, done=done, total=total))

    facts = train_source(source, task, work, report)
    return {**_made_by("tensorflow_model_optimization", "training"), **facts}


def _convert(task: Task, work: Workplace) -> Mapping[str, Any]:
    make = {"tensorflow": _by_tensorflow, "litert": _by_litert}[task.toolchain]
    work.path(task.key).write_bytes(make(task, work))
    loaded = task.toolchain == "tensorflow" and task.model.keras
    return _made_by(task.toolchain, loaded or task.toolchain)


def _by_tensorflow(task: Task, work: Workplace) -> bytes:
    _import_tensorflow()
    from liteproof.convert.sources import exported_inputs
    from liteproof.convert.tensorflow_recipes import convert

    exported = work.exported(task)
    samples = _samples(task, exported_inputs(exported), work)
    return convert(task.recipe, exported, samples, select_tf_ops=bool(task.options.get("select_tf_ops")))


def _by_litert(task: Task, work: Workplace) -> bytes:
    from liteproof.convert.litert_recipes import quantize

    float32 = work.path(task.model.float32_key)
    return quantize(task.recipe, float32, _samples(task, _inputs_of_tflite(float32), work), task.options.get("rules"))


def _samples(task: Task, inputs: Sequence[Input], work: Workplace) -> Samples | None:
    """The calibration set, for a recipe that needs one."""
    from liteproof.convert.data import calibration

    return calibration(task.model, inputs, work.path) if promise_of(task.recipe, task.options).calibrated else None


def _reference(task: Task, work: Workplace) -> Mapping[str, Any]:
    import numpy as np

    from liteproof.convert.reference import meaning

    predict = _predict_tflite if task.model.source_kind == "tflite" else _predict_source
    outputs, meta = predict(task.model, work)
    _require_decision_output(task.model, outputs)
    named: dict[str, Any] = dict(outputs)
    with work.path(task.key).open("wb") as file:
        np.savez(file, **named)
    decisive = outputs[task.model.decision_output or next(iter(outputs))]
    told = None if task.model.task == "regression" else meaning(decisive, meta["activation"])
    return {**meta, "outputs": told, "output_names": list(outputs), "samples": len(decisive)}


def _require_decision_output(model: Model, outputs: Predictions) -> None:
    if model.decision_output not in (None, *outputs):
        raise UsageError(
            f'decision_output = "{model.decision_output}" in [model] is no output of the source',
            expected="one of " + ", ".join(outputs),
            where=model.manifest.path,
        )


def _predict_source(model: Model, work: Workplace) -> tuple[Predictions, dict[str, Any]]:
    source = work.source(model)
    from liteproof.convert.data import evaluation
    from liteproof.convert.reference import predictions

    outputs = predictions(source, evaluation(model, source.inputs, work.path))
    facts = {"parameters": source.parameters, "activation": source.activation}
    return outputs, {**_made_by("tensorflow", model.keras or "tensorflow"), **facts}


def _predict_tflite(model: Model, work: Workplace) -> tuple[Predictions, dict[str, Any]]:
    from liteproof.convert.data import evaluation, unchanged
    from liteproof.convert.reference import predictions_of_tflite
    from liteproof.tflite.facts import facts
    from liteproof.tflite.reader import read_model

    path = unchanged(model.source)
    inputs = _inputs_of_tflite(path)
    custom = facts(read_model(path)).custom_operators
    if custom:
        raise ModelError(
            f"it needs operators that ai_edge_litert does not have: {', '.join(custom)}",
            where=str(path),
            next="name the Keras original or SavedModel as source, and this file as a variant",
        )
    outputs = predictions_of_tflite(path, evaluation(model, inputs, work.path), inputs)
    parameters = facts(read_model(path)).parameters
    return outputs, {**_made_by("ai_edge_litert", "runtime"), "parameters": parameters, "activation": None}


def _inputs_of_tflite(path: Path) -> tuple[Input, ...]:
    found = find_expectation(path, "tflite")
    if found is None or found.inputs is None:
        raise ModelError(f"the source of {path.name} does not load: it is no sound .tflite", where=str(path))
    return found.inputs


def _made_by(name: str, packages: str) -> dict[str, Any]:
    """Toolchain and versions, for the store."""
    versions = {package: _version(package) for package in _PACKAGES[packages]}
    return {"toolchain": f"{name} {next(iter(versions.values()))}", "versions": versions}


def _version(package: str) -> str:
    # By another name it is not found, as tensorflow-cpu.
    return installed(package) or str(getattr(sys.modules.get(package), "__version__", "unknown"))


_DO: Mapping[str, Callable[[Task, Workplace], Mapping[str, Any]]] = {
    "make": _make,
    "export": _export,
    "train": _train,
    "convert": _convert,
    "reference": _reference,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
