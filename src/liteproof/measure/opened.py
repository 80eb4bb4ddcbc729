"""What the cases of a run share: sets, references and files, each opened, tried or measured once.

>>> from pathlib import Path
>>> Opened(Store(Path("/nowhere"))).runtime_of(Target("host", runtime="tflite_runtime"))
'tflite_runtime'
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from liteproof.errors import ModelError, Unmeasured
from liteproof.measure import remembered
from liteproof.measure.batches import one_inference
from liteproof.measure.cold_start import ColdStarts
from liteproof.measure.evaluation import Evaluation, read_samples
from liteproof.measure.machine import describe_machine, half_of_memory_mb
from liteproof.measure.pairing import file_inputs
from liteproof.measure.probe import Outcome, probe
from liteproof.measure.runtime import Kernels, default_runtime
from liteproof.measure.tensors import Array, match
from liteproof.plan import (
    Case,
    Delegate,
    Model,
    Target,
)
from liteproof.store import Entry, Store
from liteproof.tflite.facts import Facts, facts
from liteproof.tflite.reader import Model as Flatbuffer
from liteproof.tflite.reader import read_model

T = TypeVar("T")
Shapes = tuple[tuple[int, ...], ...]


class Recent(Generic[T]):
    """The most recent few of something that is costly to make, by name."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, T] = OrderedDict()

    def get(self, name: str, make: Callable[[], T]) -> T:
        """The one of this name, made now if it is not among the recent ones."""
        if name not in self._kept:
            self._kept[name] = make()
        self._kept.move_to_end(name)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return self._kept[name]


def delegate_of(target: Target, kernels: Kernels = "default") -> Delegate | None:
    """The delegate of a target, where what ships is run: the other kernels are there to compare it with."""
    return target.delegate if kernels == "default" else None


def identity(target: Target, runtime: str, kernels: Kernels = "default") -> Mapping[str, object]:
    """What decides a file's arithmetic on a target, beside the file and the inputs."""
    delegate = delegate_of(target, kernels)
    found = remembered.identity(runtime, target.threads, kernels)
    return found if delegate is None else {**found, "delegate": [delegate.library, dict(delegate.options)]}


def open_shapes(flatbuffer: Callable[[], Flatbuffer], fed: Callable[[], Evaluation]) -> Shapes:
    """Shapes of a file's inputs for one inference, as samples tell them; () where the file does so itself.

    Args:
        flatbuffer: Reads the file's tables.
        fed: Opens the samples that the file is fed with; not called without need.

    Raises:
        ModelError, Unmeasured: The samples are not of this file's inputs.
    """
    try:
        specs = file_inputs(flatbuffer())
    except ModelError:  # broken: what the runtime makes of it is found out all the same
        return ()
    return one_inference(specs, match(specs, fed().x)) if any(spec.open_sized for spec in specs) else ()


class Opened:
    """Opens what the cases of a run need, each once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._evaluations: Recent[Evaluation] = Recent(2)
        self._calibrations: Recent[Evaluation] = Recent(2)
        self._flatbuffers: Recent[Flatbuffer] = Recent(2)
        self._facts: Recent[Facts] = Recent(2)
        self._references: Recent[dict[str, Array]] = Recent(2)
        self._diagnoses: Recent[tuple[str, ...]] = Recent(16)
        self._machines: dict[str, Mapping[str, object]] = {}
        self._outcomes: dict[tuple[str, str, int, Kernels, Shapes], Outcome] = {}
        self._cold_starts: dict[str, ColdStarts] = {}
        # On another target: where the store has the host's answers, by case and kind of kernels.
        self.host_answers: Mapping[str, Mapping[str, str]] = {}
        # Where functions of a manifest are imported from; None on another target, where they travelled with the code.
        self.root: str | None = None

    def evaluation(self, model: Model) -> Evaluation:
        """The evaluation set of a model."""
        return self._evaluations.get(model.name, lambda: read_samples(model.evaluation, self.store))

    def calibration(self, model: Model) -> Evaluation:
        """The calibration set of a model.

        Raises:
            Unmeasured: if there is none.
        """
        calibration = model.calibration
        if calibration is None:
            raise Unmeasured(f"{model.name} has no calibration set", where=model.manifest.path)
        return self._calibrations.get(model.name, lambda: read_samples(calibration, self.store))

    def flatbuffer(self, file: Entry) -> Flatbuffer:
        """A float32 file as its tables have it, which every variant of a model is held to."""
        return self._flatbuffers.get(file.sha256, lambda: read_model(file.path))

    def facts(self, file: Entry) -> Facts:
        """What a float32 file holds."""
        return self._facts.get(file.sha256, lambda: facts(self.flatbuffer(file)))

    def reference(self, model: Model) -> dict[str, Array]:
        """The source's predictions on the evaluation set, by output name.

        Raises:
            Unmeasured: if they could not be made.
        """
        return self._references.get(model.name, lambda: self._read_reference(model))

    def probed(self, file: Entry, target: Target, kernels: Kernels = "default", shapes: Shapes = ()) -> Outcome:
        """What became of a file that was tried in a process of its own; tried once for each runtime and its kernels.

        Args:
            file: The `.tflite`.
            target: Where.
            kernels: Which kernels.
            shapes: Of its inputs for one inference, where it leaves sizes open (`open_shapes`).
        """
        key = (file.sha256, self.runtime_of(target), target.threads, kernels, shapes)
        if key not in self._outcomes:
            self._outcomes[key] = remembered.outcome(
                self.store,
                file.sha256,
                {**identity(target, key[1], kernels), **({"shapes": shapes} if shapes else {})},
                lambda: probe(
                    file.path,
                    runtime=key[1],
                    threads=key[2],
                    kernels=kernels,
                    delegate=delegate_of(target, kernels),
                    shapes=shapes,
                    timeout_s=float(os.environ.get("LITEPROOF_LOAD_TIMEOUT", 60.0)),
                    memory_limit_mb=int(os.environ.get("LITEPROOF_LOAD_MEMORY_MB", half_of_memory_mb())),
                ),
            )
        return self._outcomes[key]

    def cold_starts(self, case: Case, start: Callable[[], ColdStarts]) -> ColdStarts:
        """Cold starts of a case: the processes are started once, for the suites of time and of memory."""
        if case.id not in self._cold_starts:
            self._cold_starts[case.id] = start()
        return self._cold_starts[case.id]

    def diagnosis(self, case: Case, make: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        """Where a defect of a case's answers probably sits; looked for once, whatever number of gates it missed."""
        return self._diagnoses.get(case.id, make)

    def runtime_of(self, target: Target) -> str:
        """The runtime that judges on this target."""
        return target.runtime or self._default_runtime

    @cached_property
    def _default_runtime(self) -> str:
        return default_runtime()

    def machine(self, target: Target) -> Mapping[str, object]:
        """The machine and the runtime of a target, as reports name them."""
        if target.name not in self._machines:
            self._machines[target.name] = describe_machine(self.runtime_of(target), target.threads)
        return self._machines[target.name]

    def entry(self, key: str, what: str) -> Entry:
        """The stored artefact of this key.

        Raises:
            Unmeasured: if it could not be made; the text says why.
        """
        entry = self.store.get(key)
        if entry is not None:
            return entry
        raise Unmeasured(self.store.failure(key) or f"{what} is not in the store", where=what)

    def _read_reference(self, model: Model) -> dict[str, Array]:
        entry = self.entry(model.reference_key, f"the source's predictions of {model.name}")
        with np.load(entry.path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
