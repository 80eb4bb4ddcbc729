"""A case with its files opened: what the suites ask of it.

A `Bench` opens each file once for all suites of a run; a `Subject` is one case on it. Nothing is opened, loaded or
computed before a suite asks.

    >>> bench = Bench(Store(Path("/nowhere")))
    >>> bench.runtime_of(Target("host", runtime="tflite_runtime"))
    'tflite_runtime'
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt

from liteproof.errors import LiteproofError, ModelError, Unmeasured
from liteproof.measure import layers, parity, remembered, size
from liteproof.measure.activations import CLIPPING_LIMIT, ActivationRange, Seen, activation_ranges, observe
from liteproof.measure.answers import BATCH, Feed, answers, fits_batches, same_in_batches, side_by_side
from liteproof.measure.batches import grouped
from liteproof.measure.cold_start import ColdStarts, cold_starts, processes_for
from liteproof.measure.decisions import decisions
from liteproof.measure.domain import fed
from liteproof.measure.evaluation import SINGLE_INPUT, Evaluation, read_samples
from liteproof.measure.machine import describe_machine, half_of_memory_mb
from liteproof.measure.outputs import Codes, codes_of
from liteproof.measure.pairing import file_inputs, file_outputs, pair
from liteproof.measure.probe import Outcome, probe
from liteproof.measure.runtime import Kernels, Session, default_runtime, installed_runtimes, open_session
from liteproof.measure.tensors import Array, TensorSpec, decode, match
from liteproof.plan import (
    Case,
    Delegate,
    InputDomain,
    Model,
    Target,
    Variant,
    Waiver,
    float_io_twin,
    same_weights_key,
)
from liteproof.store import Entry, Store, digest_of
from liteproof.tflite import folding
from liteproof.tflite.arithmetic import type_range
from liteproof.tflite.facts import Facts, facts
from liteproof.tflite.layer_promises import float_layers
from liteproof.tflite.matching import Matching, match_weights
from liteproof.tflite.reader import Model as Flatbuffer
from liteproof.tflite.reader import read_model
from liteproof.tflite.single_operator import dequantize_model

T = TypeVar("T")

# What the inputs hold for one inference, in the order of the graph.
Sample = tuple[Array, ...]

# As many samples as are run a second time, and in batches: a fault of either kind shows on few.
RERUN = 128
# As many as are tried in batches before all are run so.
TRIED = 64
# As many as are run by another path of kernels, which may take ten times longer. 500 clear cases without a flip bound
# the share of flips at 0.6%.
PATH = 600
# As many as the ranges of activations are looked at on: all of a calibration set of the usual size.
OBSERVED = 200
# As few as show where layers drift from float32's: 8 and 64 draw the same line.
TRACED = 8


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


class Bench:
    """Opens what the cases of a run need, each once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._evaluations: Recent[Evaluation] = Recent(2)
        self._calibrations: Recent[Evaluation] = Recent(2)
        self._seen: Recent[Seen] = Recent(4)
        self._flatbuffers: Recent[Flatbuffer] = Recent(2)
        self._facts: Recent[Facts] = Recent(2)
        self._on_calibration: Recent[tuple[Array, ...]] = Recent(2)
        self._references: Recent[dict[str, Array]] = Recent(2)
        self._subjects: Recent[Subject] = Recent(16)
        self._diagnoses: Recent[tuple[str, ...]] = Recent(16)
        self._machines: dict[str, Mapping[str, object]] = {}
        self._outcomes: dict[tuple[str, str, int, Kernels], Outcome] = {}
        self._cold_starts: dict[str, ColdStarts] = {}
        # On another target: where the store has the host's answers, by case and kind of kernels.
        self.host_answers: Mapping[str, Mapping[str, str]] = {}
        # Where functions of a manifest are imported from; None on another target, where they travelled with the code.
        self.root: str | None = None

    def subject(self, case: Case) -> Subject:
        """This case with its files at hand."""
        return self._subjects.get(case.id, lambda: Subject(case, self))

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

    def on_calibration(self, case: Case, infer: Callable[[], tuple[Array, ...]]) -> tuple[Array, ...]:
        """What the float32 file of a case answers to the calibration set, on its target."""
        return self._on_calibration.get(f"{case.model.name} {case.target.name}", infer)

    def seen(self, name: str, observe: Callable[[], Seen]) -> Seen:
        """What the float32 variant's activations take on a set of samples."""
        return self._seen.get(name, observe)

    def reference(self, model: Model) -> dict[str, Array]:
        """The source's predictions on the evaluation set, by output name.

        Raises:
            Unmeasured: if they could not be made.
        """
        return self._references.get(model.name, lambda: self._read_reference(model))

    def probed(self, file: Entry, target: Target, kernels: Kernels = "default") -> Outcome:
        """What became of a file that was tried in a process of its own; tried once for each runtime and its kernels."""
        key = (file.sha256, self.runtime_of(target), target.threads, kernels)
        if key not in self._outcomes:
            self._outcomes[key] = remembered.outcome(
                self.store,
                file.sha256,
                identity(target, key[1], kernels),
                lambda: probe(
                    file.path,
                    runtime=key[1],
                    threads=key[2],
                    kernels=kernels,
                    delegate=delegate_of(target, kernels),
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


@dataclass(frozen=True)
class Output:
    """One output on the evaluation set.

    Attributes:
        name: As the source calls it.
        reference: The source's, float32, shape (n, …).
        values: The variant's, dequantized to float32, the same shape.
        codes: What its codes stand for, also where they leave the graph as floats.
    """

    name: str
    reference: Array
    values: Array
    codes: Codes | None


class Subject:
    """One case: a variant of a model on this target."""

    def __init__(self, case: Case, bench: Bench) -> None:
        self.case = case
        self.model: Model = case.model
        self.variant: Variant = case.variant
        self.target: Target = case.target
        self._bench = bench

    def __repr__(self) -> str:
        return f"<{self.case.id}>"

    def limit(self, metric: str) -> float | None:
        """The limit that this metric is held to; None where it gates nothing."""
        limit = self.case.limit(metric)
        if limit is None and metric == "size_ratio":
            return size.default_size_ratio(self.float32_facts, self.variant.promise, self.float32_flatbuffer)
        if limit is None and metric == "activation_clipping_lsb" and self.variant.file is None:
            return CLIPPING_LIMIT  # what a file was calibrated on that was handed over is not known
        return limit

    @property
    def waivers_of_rules(self) -> tuple[Waiver, ...]:
        """The waivers that name this variant, but for those of the manifest's own metrics."""
        own = {metric.name for metric in self.model.metrics}
        return tuple(waiver for waiver in self.variant.waivers if waiver.rule not in own)

    @property
    def root(self) -> str | None:
        """The folder that functions of a manifest are imported from; None where they travelled with the code."""
        return self._bench.root

    @property
    def runtime_name(self) -> str:
        """The runtime that judges on this target."""
        return self._bench.runtime_of(self.target)

    @property
    def ran_on(self) -> Mapping[str, object]:
        """The machine and the runtime of this target, as reports name them."""
        return self._bench.machine(self.target)

    @property
    def file(self) -> Entry:
        """The variant's `.tflite`.

        Raises:
            Unmeasured: if it could not be made.
        """
        return self._bench.entry(self.variant.key, f"variant {self.variant.name} of {self.model.name}")

    @property
    def float32(self) -> Entry:
        """The float32 `.tflite` that size, speed-up and weights are compared with."""
        return self._bench.entry(self.model.float32_key, f"the float32 variant of {self.model.name}")

    @cached_property
    def flatbuffer(self) -> Flatbuffer:
        """The variant's file as its tables have it.

        Raises:
            ModelError: if they are broken.
        """
        return read_model(self.file.path)

    @cached_property
    def float32_flatbuffer(self) -> Flatbuffer:
        """The float32 file as its tables have it."""
        return self._bench.flatbuffer(self.float32)

    @cached_property
    def facts(self) -> Facts:
        """What the variant's file holds."""
        return facts(self.flatbuffer)

    @cached_property
    def float32_facts(self) -> Facts:
        """What the float32 file holds."""
        return self._bench.facts(self.float32)

    @property
    def float_layers(self) -> frozenset[str]:
        """The operators that a mixed recipe leaves in float; none of another."""
        rules = self.variant.promise.rules
        return float_layers(self.float32_flatbuffer, self.flatbuffer, rules) if rules else frozenset()

    @cached_property
    def matching(self) -> Matching:
        """Which constant of the variant was which of the float32 file."""
        found = match_weights(self.float32_flatbuffer, self.flatbuffer)
        if not self.variant.domains:
            return found
        shapes = {name: array.shape[1:] for name, array in self.evaluation.inputs.items()}
        places = pair("input", shapes, file_inputs(self.float32_flatbuffer))
        return folding.as_fed(found, {places[name]: domain for name, domain in self.variant.domains.items()})

    @property
    def folded_layers(self) -> frozenset[str]:
        """First layers of the variant that have a rescaling of the input in them, as no layer of float32's has."""
        return frozenset(found.operator for found in self.matching.pairs if isinstance(found.float32, folding.Folded))

    @property
    def same_weights(self) -> Entry:
        """The float32 `.tflite` whose weights and activations the variant's are, rounded.

        That is the model's, unless the variant was trained further.

        Raises:
            Unmeasured: if it could not be made, or if nobody knows it.
        """
        key = same_weights_key(self.model, self.variant)
        if key is None:
            raise Unmeasured(f"the float model that {self.variant.name} was trained as is not known")
        return self._bench.entry(key, f"the float32 file of {self.variant.name}'s weights")

    @cached_property
    def same_weights_flatbuffer(self) -> Flatbuffer:
        """That file as its tables have it."""
        return self._bench.flatbuffer(self.same_weights)

    @cached_property
    def rounding(self) -> Matching:
        """Which constant of the variant is which of `same_weights`; of the float32 variant, if that is not known."""
        if same_weights_key(self.model, self.variant) in (None, self.model.float32_key):
            return self.matching
        return match_weights(self.same_weights_flatbuffer, self.flatbuffer)

    @property
    def runtime(self) -> tuple[str, str]:
        """Name and release of the runtime that judges on this target."""
        name = self.runtime_name
        return name, installed_runtimes().get(name, "")

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation set."""
        return self._bench.evaluation(self.model)

    @property
    def calibration(self) -> Evaluation:
        """The calibration set.

        Raises:
            Unmeasured: if there is none.
        """
        return self._bench.calibration(self.model)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The evaluation set's labels, shape (n,)."""
        labels = self.evaluation.labels
        if labels is None:
            raise Unmeasured(
                "the evaluation set has no labels", expected="an array y", where=self.model.evaluation.path
            )
        return labels

    @cached_property
    def inputs(self) -> Evaluation:
        """The evaluation set as this file is fed with it: by its own inputs' names, in its own domain."""
        return self.as_fed(self.evaluation)

    def as_fed(self, samples: Evaluation, domains: Mapping[str, InputDomain] | None = None) -> Evaluation:
        """Samples as this file is fed with them: by its own inputs' names, in its own domain.

        Args:
            samples: In the source's domain.
            domains: Instead of those of the manifest.

        Raises:
            Unmeasured: if nothing tells which of its inputs is which of the source's, or one cannot hold the values.
        """
        domains = self.variant.domains if domains is None else domains
        arrays, told = samples.inputs, self.variant.input_names
        if SINGLE_INPUT in arrays and not domains:
            return samples
        specs = file_inputs(self.flatbuffer)
        places = pair("input", {name: array.shape[1:] for name, array in arrays.items()}, specs, told)
        own = {}
        for name, array in arrays.items():
            spec, domain = specs[places[name]], domains.get(name)
            own[SINGLE_INPUT if len(arrays) == 1 else spec.name] = fed(spec, array, domain) if domain else array
        return Evaluation(MappingProxyType(own), samples.labels)

    @property
    def _fed_with(self) -> str:
        """What decides the inputs' content: the evaluation set, and how this variant is fed with it."""
        names, domains = dict(self.variant.input_names), {k: str(v) for k, v in self.variant.domains.items()}
        sha256 = self.model.evaluation.sha256
        return digest_of({"of": sha256, "names": names, "domains": domains}) if names or domains else sha256

    @property
    def decisive(self) -> str:
        """Name of the output that classes are told from: the manifest's, or the source's first."""
        return self.model.decision_output or next(iter(self._bench.reference(self.model)))

    @property
    def reference(self) -> Array:
        """The source's decisive output on the evaluation set, float32, shape (n, …)."""
        return self._bench.reference(self.model)[self.decisive]

    @property
    def sample_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each of the source's outputs for one sample."""
        return tuple(array.shape[1:] for array in self._bench.reference(self.model).values())

    @cached_property
    def every_output(self) -> tuple[Output, ...]:
        """Each output of the source on the evaluation set with the variant's, in the source's order."""
        return tuple(
            Output(name, reference, self._answers[self._places[name]], self.codes_of(name))
            for name, reference in self._bench.reference(self.model).items()
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of each of the source's outputs among the file's."""
        shapes = {name: array.shape[1:] for name, array in self._bench.reference(self.model).items()}
        return pair("output", shapes, file_outputs(self.flatbuffer), self.variant.output_names)

    def _by_name(self, answers: Sequence[Array]) -> dict[str, Array]:
        """Answers of this file, in its outputs' order, by the source's names and in its order."""
        return {name: answers[place] for name, place in self._places.items()}

    def codes_of(self, output: str) -> Codes | None:
        """What the codes of an output (by the source's name) stand for, also where they leave the graph as floats."""
        return codes_of(self.flatbuffer, file_outputs(self.flatbuffer)[self._places[output]].index)

    @property
    def threshold(self) -> float | None:
        """The decision threshold of a binary model, on the scale of its outputs."""
        if self.model.task != "binary":
            return None
        if self.model.outputs == "logits":
            return float(np.log(self.model.threshold / (1.0 - self.model.threshold)))
        return self.model.threshold

    def loads(self) -> Outcome:
        """Whether the file loads, allocates and answers, tried first in a process of its own."""
        return self._bench.probed(self.file, self.target)

    def open(self, kernels: Kernels = "default") -> Session:
        """A session on this target's runtime.

        Raises:
            Unmeasured: if the file does not load; that is the failure of the check `loads`.
        """
        outcome = self._bench.probed(self.file, self.target, kernels)
        if not outcome.loads:
            by = "" if kernels == "default" else f" by its {kernels} kernels"
            raise Unmeasured(f"{self.variant.name} does not load{by}: {outcome.reason}", where="see the check loads")
        return self.open_file(self.file.path, kernels)

    def open_float32(self) -> Session:
        """A session for the float32 variant, on this target's runtime.

        Raises:
            Unmeasured: if it does not load.
        """
        outcome = self._bench.probed(self.float32, self.target)
        if not outcome.loads:
            raise Unmeasured(f"the float32 variant does not load: {outcome.reason}")
        return self.open_file(self.float32.path)

    def open_file(self, path: Path, kernels: Kernels = "default") -> Session:
        """A session for a file that is known to load."""
        runtime = self.runtime_name
        try:
            return open_session(
                path,
                runtime=runtime,
                threads=self.target.threads,
                kernels=kernels,
                delegate=delegate_of(self.target, kernels),
            )
        except ModelError as error:
            raise Unmeasured(
                f"{self.variant.name} does not load: {error.found}", where="see the check loads"
            ) from error

    @property
    def outputs(self) -> Array:
        """The variant's decisive output on the evaluation set, dequantized to float32, shape (n, …)."""
        return self._answers[self._places[self.decisive]]

    @cached_property
    def _answers(self) -> tuple[Array, ...]:
        """The variant's outputs on the evaluation set, in the file's order."""
        return remembered.answers(
            self._bench.store,
            self.file.sha256,
            self._fed_with,
            identity(self.target, self.runtime_name),
            lambda: self._infer(self.file, self.open, len(self.inputs), self.inputs.feed, self._batch),
        )

    def _infer(
        self, file: Entry, open_: Callable[[], Session], samples: int, feed: Feed, batch: int = 1
    ) -> Iterator[tuple[Array, ...]]:
        """Outputs of some samples after the other; side by side, unless a delegate's device is there once only."""
        sessions = 1 if self.target.delegate else side_by_side(file.bytes, self.target.threads)
        return answers(open_, samples, feed, batch=batch, sessions=sessions)

    @property
    def _batch(self) -> int:
        """As many samples for one inference as change nothing in the answers."""
        return self._batch_of(self.file, self.flatbuffer, self.open, self.inputs, self._fed_with)

    def _batch_of(
        self, file: Entry, flatbuffer: Flatbuffer, open_: Callable[[], Session], fed: Evaluation, fed_with: str
    ) -> int:
        if self.target.delegate or len(fed) < TRIED or not fits_batches(flatbuffer):
            return 1
        same = remembered.same_in_batches(
            self._bench.store,
            file.sha256,
            fed_with,
            identity(self.target, self.runtime_name),
            lambda: same_in_batches(open_, fed.at(fed.evenly(TRIED)).x),
        )
        return BATCH if same else 1

    def answers_to(self, samples: Evaluation) -> Array:
        """The decisive output on samples as `as_fed` gives them."""
        return self.open().predict(samples.x)[self._places[self.decisive]]

    @cached_property
    def float32_beside_source(self) -> dict[str, tuple[Array, Array]]:
        """For each output: the source's on the evaluation set, and the float32 `.tflite`'s."""
        if self.variant.recipe == "float32":
            return {output.name: (output.reference, output.values) for output in self.every_output}
        answered = self._float32_by_name(self._float32_on_evaluation)
        return {name: (array, answered[name]) for name, array in self._bench.reference(self.model).items()}

    @property
    def _float32_on_evaluation(self) -> tuple[Array, ...]:
        """The outputs of the float32 `.tflite` on the evaluation set; its own case, if it has one, finds the same."""
        file, fed, fed_with = self.float32, self.evaluation, self.model.evaluation.sha256

        def infer() -> Iterator[tuple[Array, ...]]:
            batch = self._batch_of(file, self.float32_flatbuffer, self.open_float32, fed, fed_with)
            return self._infer(file, self.open_float32, len(fed), fed.feed, batch)

        ran_on = identity(self.target, self.runtime_name)
        return remembered.answers(self._bench.store, file.sha256, fed_with, ran_on, infer)

    @property
    def _float32_on_calibration(self) -> dict[str, Array]:
        """Each output of the float32 `.tflite` on the calibration set, by the source's name."""
        answers = self._bench.on_calibration(self.case, lambda: tuple(self.open_float32().predict(self.calibration.x)))
        return self._float32_by_name(answers)

    def _float32_by_name(self, answers: Sequence[Array]) -> dict[str, Array]:
        """Answers of the float32 `.tflite`, in its outputs' order, by the source's names."""
        shapes = {name: array.shape[1:] for name, array in self._bench.reference(self.model).items()}
        places = pair("output", shapes, file_outputs(self.float32_flatbuffer))
        return {name: answers[place] for name, place in places.items()}

    @property
    def output_codes(self) -> Codes | None:
        """What the codes of the decisive output stand for, also where they leave the graph as floats."""
        return self.codes_of(self.decisive)

    def activation_ranges(self, on: Literal["calibration", "evaluation"]) -> tuple[ActivationRange, ...]:
        """What each quantized activation can hold, and what the float32 variant's takes on one of the sets."""
        samples = self.calibration if on == "calibration" else self.evaluation
        key = same_weights_key(self.model, self.variant)
        seen = self._bench.seen(f"{self.model.name} {on} {key}", lambda: self._observe(samples))
        ranges = activation_ranges(self.same_weights_flatbuffer, self.flatbuffer, seen)
        # In another domain an input's range is not float32's; `saturation` looks at what it is fed with.
        return tuple(found for found in ranges if found.place != "input" or not self.variant.domains)

    def _observe(self, samples: Evaluation) -> Seen:
        path, runtime = self.same_weights.path, self.runtime_name
        session = open_session(path, runtime=runtime, kernels="builtin", preserve_all_tensors=True)
        return observe(session, self.same_weights_flatbuffer, samples.at(samples.evenly(OBSERVED)).x)

    def rerun(self) -> dict[str, tuple[Array, Array]]:
        """Each output of evaluation samples, and what a second session says, fed them in the opposite order."""
        chosen = self.evaluation.evenly(RERUN)
        again = self._by_name(self.open().predict(self.inputs.at(chosen[::-1]).x))
        return {output.name: (output.values[chosen], again[output.name][::-1]) for output in self.every_output}

    def in_batches(self) -> dict[str, tuple[Array, Array, int, Codes | None]]:
        """Each output of evaluation samples one at a time and in batches, how many were in one, and its codes."""
        chosen = self.inputs.at(self.inputs.evenly(RERUN)).x
        session = self.open()
        alone = self._by_name(session.predict(chosen))  # not `outputs`: they may be a batch's
        together = self._by_name(session.predict(chosen, batch=BATCH))
        return {name: (alone[name], together[name], session.batch, self.codes_of(name)) for name in alone}

    @cached_property
    def by_kernels(self) -> tuple[Array, Array, Array]:
        """Decisive outputs of evaluation samples: the source's, the default path's, the built-in kernels' alone."""
        chosen = self.evaluation.evenly(PATH)
        builtin = remembered.answers(
            self._bench.store,
            self.file.sha256,
            f"{PATH} of {self._fed_with}",
            identity(self.target, self.runtime_name, "builtin"),
            lambda: self._infer(self.file, lambda: self.open("builtin"), len(chosen), self.inputs.at(chosen).feed),
        )[self._places[self.decisive]]
        return self.reference[chosen], self.outputs[chosen], builtin

    @cached_property
    def drift(self) -> layers.Drift:
        """How far each layer is from the float32 variant's on a few samples; () where it cannot be looked at."""
        if self.variant.key == self.model.float32_key:
            return ()
        try:
            # Both files in a process of their own first: these are not the kernels that were tried before.
            if not all(self._bench.probed(file, self.target, "builtin").loads for file in (self.float32, self.file)):
                return ()
            return remembered.drift(
                self._bench.store,
                self.file.sha256,
                self.float32.sha256,
                f"{TRACED} of {self._fed_with}",
                identity(self.target, self.runtime_name, "builtin"),
                self._trace,
            )
        except LiteproofError:  # another network's file, say: its outputs are judged all the same
            return ()

    def _trace(self) -> layers.Drift:
        few = self.evaluation.at(self.evaluation.evenly(TRACED))
        runtime, threads = self.runtime_name, self.target.threads
        fed_with = self.as_fed(few).x
        return layers.drift(
            layers.trace(self.float32.path, self.file.path, few.x, fed_with, runtime=runtime, threads=threads)
        )

    def answers_for_parity(self, kernels: Kernels) -> tuple[str, Array]:
        """Decisive outputs of a few evaluation samples by one kind of kernels, and the store's key of them."""
        chosen, place = self.evaluation.evenly(parity.SAMPLES[kernels]), self._places[self.decisive]
        ran_on = identity(self.target, self.runtime_name, kernels)
        key = digest_of(
            {
                "kind": "parity",
                "file": self.file.sha256,
                "of": self._fed_with,
                "n": len(chosen),
                **({"output": place} if place else {}),
                **ran_on,
            }
        )
        entry = self._bench.store.get(key)
        if entry is None:
            content = io.BytesIO()
            np.save(content, self.open(kernels).predict(self.inputs.at(chosen).x)[place], allow_pickle=False)
            entry = self._bench.store.put(key, content.getvalue(), suffix=".npy", meta={"kind": "answers"})
        return key, np.load(entry.path, allow_pickle=False)

    @cached_property
    def beside_host(self) -> parity.Pairs:
        """For each kind of kernels that both have: the host's outputs of a few samples, and this target's."""
        pairs = {}
        for kernels, key in self._bench.host_answers.get(self.case.id, {}).items():
            host = np.load(self._bench.entry(key, "the host's answers").path, allow_pickle=False)
            try:
                pairs[cast("Kernels", kernels)] = host, self.answers_for_parity(cast("Kernels", kernels))[1]
            except Unmeasured:
                if kernels == "default":
                    raise
        return pairs

    @property
    def calibration_classes(self) -> tuple[npt.NDArray[Any], str]:
        """The class of each calibration sample, and who says so: its labels, or else the float32 variant."""
        calibration = self.calibration
        if calibration.labels is not None:
            return calibration.labels, "by its labels"
        outputs = self._float32_on_calibration[self.decisive]
        return decisions(outputs, self.threshold), "as the float32 variant decides, for want of labels"

    def right_on_both_sets(self, calibrated: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Whether the source is right on each evaluation sample, and the float32 variant on each calibration sample.

        Args:
            calibrated: Labels of the calibration set, shape (m,).
        """
        outputs = self._float32_on_calibration[self.decisive]
        judged = decisions(self.reference, self.threshold) == self.labels.ravel()
        return judged, decisions(outputs, self.threshold) == calibrated.ravel()

    @property
    def evaluation_classes(self) -> npt.NDArray[Any]:
        """Classes that the evaluation set has, by its labels or else as the source decides."""
        labels = self.evaluation.labels
        return np.unique(decisions(self.reference, self.threshold) if labels is None else labels)

    def dequantized_by_runtime(self) -> list[tuple[TensorSpec, Array, Array]]:
        """For each quantized input and output: every code of its type, and what the runtime makes of it."""
        session, found = self.open(), []
        for spec in (*session.inputs, *session.outputs):
            if spec.quantized and len(spec.scales) == 1:
                low, high = type_range(spec.dtype)
                codes = np.arange(low, high + 1).astype(spec.dtype)
                file = dequantize_model(spec.dtype.upper(), len(codes), scale=spec.scale, zero_point=spec.zero_point)
                runtime = open_session(file, runtime=self.runtime_name)
                found.append((spec, codes, runtime.invoke([codes])[0]))
        return found

    def samples(self, session: Session, most: int = 64, fed_with: Evaluation | None = None) -> list[Sample]:
        """What the inputs hold for the first evaluation samples, one for each inference.

        Batches of one; of more only where the file is fixed to more.

        Args:
            session: Of this variant, or of the float32 one.
            most: At most so many.
            fed_with: What the session is fed with: this variant's `inputs`, or the evaluation set itself.
        """
        x = match(session.inputs, (fed_with or self.inputs).x)
        named = {spec.name: array[:most] for spec, array in zip(session.inputs, x, strict=True)}
        session.predict({name: array[:1] for name, array in named.items()})  # finds the batch that the file takes
        codes = zip(session.inputs, session.quantize_inputs(named), strict=True)
        return list(zip(*(grouped(spec, array, session.batch) for spec, array in codes), strict=True))

    @property
    def cold_starts(self) -> ColdStarts:
        """A few cold starts, each in a process of its own."""
        return self._bench.cold_starts(self.case, self._start_cold)

    def _start_cold(self) -> ColdStarts:
        session = self.open()
        limits = self.variant.budgets.get(self.target.name, {})
        gated = {*(metric for metric in limits if self.limit(metric) is not None), *self.variant.regression}
        return cold_starts(
            self.file.path,
            self.samples(session, most=1)[0],
            runtime=self.runtime_name,
            threads=self.target.threads,
            delegate=self.target.delegate,
            processes=processes_for(gated),
        )

    @property
    def ends(self) -> list[tuple[TensorSpec, Array]]:
        """Each integer input, of codes or of plain numbers, with what it is fed with, shape (n, …)."""
        session = self.open()
        pairs = zip(session.inputs, match(session.inputs, self.inputs.x), strict=True)
        return [(spec, values) for spec, values in pairs if np.dtype(spec.dtype).kind in "iu"]

    def beside_float_twin(self) -> dict[str, tuple[Array, Array, float]]:
        """For each quantized output: its values, its float-ended twin's, and its scale.

        The twin is fed the dequantized codes of this variant's inputs, so that no input of it lies on a tie, where
        kernels round differently.
        """
        ours, twin = self.open(), self.twin()
        theirs = twin.open().inputs
        places = pair("input", {spec.key or spec.name: spec.shape[1:] for spec in ours.inputs}, theirs)

        def codes(start: int, stop: int) -> dict[str, Array]:
            quantized = zip(ours.inputs, ours.quantize_inputs(self.inputs.between(start, stop).x), strict=True)
            return {theirs[places[spec.key or spec.name]].name: decode(spec, array) for spec, array in quantized}

        answered = remembered.answers(
            self._bench.store,
            twin.file.sha256,
            digest_of({"codes of": self.file.sha256, "fed with": self._fed_with}),
            identity(self.target, self.runtime_name),
            lambda: twin._infer(twin.file, twin.open, len(self.inputs), codes, twin._batch),
        )
        expected = twin._by_name(answered)
        return {
            name: (self._answers[place], expected[name], ours.outputs[place].scale)
            for name, place in self._places.items()
            if ours.outputs[place].quantized
        }

    def twin(self) -> Subject:
        """The float-ended variant of the same integer network."""
        twin = float_io_twin(self.model, self.variant)
        if twin is None:
            raise Unmeasured("no float-ended twin", expected="a variant of recipe int8_float_io")
        return self._bench.subject(Case(self.model, twin, self.target))
