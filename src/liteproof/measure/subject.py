"""What a case's files answer: what the suites ask of it.

A `Bench` holds what the cases of a run share (`liteproof.measure.opened`); a `Subject` is one case on it, with its
files (`liteproof.measure.case_files`). Nothing is loaded or computed before a suite asks.

    >>> from pathlib import Path
    >>> from liteproof.plan import Target
    >>> bench = Bench(Store(Path("/nowhere")))
    >>> bench.runtime_of(Target("host", runtime="tflite_runtime"))
    'tflite_runtime'
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from liteproof.errors import LiteproofError, ModelError, Unmeasured
from liteproof.measure import layers, parity, remembered
from liteproof.measure.activations import ActivationRange, Seen, activation_ranges, observe
from liteproof.measure.answers import BATCH, Feed, answers, fits_batches, same_in_batches, side_by_side
from liteproof.measure.batches import grouped
from liteproof.measure.case_files import CaseFiles
from liteproof.measure.cold_start import ColdStarts, cold_starts, processes_for
from liteproof.measure.decisions import decisions
from liteproof.measure.evaluation import Evaluation
from liteproof.measure.opened import Opened, Recent, delegate_of, identity, open_shapes
from liteproof.measure.outputs import Codes
from liteproof.measure.pairing import file_outputs, pair
from liteproof.measure.probe import Outcome
from liteproof.measure.runtime import Kernels, Session, open_session
from liteproof.measure.tensors import Array, TensorSpec, decode, match
from liteproof.plan import (
    Case,
    float_io_twin,
)
from liteproof.store import Entry, Store, digest_of
from liteproof.tflite.arithmetic import type_range
from liteproof.tflite.reader import Model as Flatbuffer
from liteproof.tflite.single_operator import dequantize_model

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


class Bench(Opened):
    """The cases of a run on what they share; the most recent few are kept."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._subjects: Recent[Subject] = Recent(16)

    def subject(self, case: Case) -> Subject:
        """This case with its files at hand."""
        return self._subjects.get(case.id, lambda: Subject(case, self))


class Subject(CaseFiles):
    """One case, and what its files answer."""

    def __init__(self, case: Case, bench: Bench) -> None:
        super().__init__(case, bench)
        self._bench = bench

    @cached_property
    def every_output(self) -> tuple[Output, ...]:
        """Each output of the source on the evaluation set with the variant's, in the source's order."""
        return tuple(
            Output(name, reference, self._answer(name), self.codes_of(name))
            for name, reference in self._opened.reference(self.model).items()
        )

    def loads(self) -> Outcome:
        """Whether the file loads, allocates and answers, tried first in a process of its own."""
        return self._probed()

    def open(self, kernels: Kernels = "default") -> Session:
        """A session on this target's runtime.

        Raises:
            Unmeasured: if the file does not load; that is the failure of the check `loads`.
        """
        outcome = self._probed(kernels)
        if not outcome.loads:
            by = "" if kernels == "default" else f" by its {kernels} kernels"
            raise Unmeasured(f"{self.variant.name} does not load{by}: {outcome.reason}", where="see the check loads")
        return self.open_file(self.file.path, kernels)

    def open_float32(self) -> Session:
        """A session for the float32 variant, on this target's runtime.

        Raises:
            Unmeasured: if it does not load.
        """
        outcome = self._float32_probed()
        if not outcome.loads:
            raise Unmeasured(f"the float32 variant does not load: {outcome.reason}")
        return self.open_file(self.float32.path)

    def _probed(self, kernels: Kernels = "default") -> Outcome:
        shapes = open_shapes(lambda: self.flatbuffer, lambda: self.inputs)
        return self._opened.probed(self.file, self.target, kernels, shapes)

    def _float32_probed(self, kernels: Kernels = "default") -> Outcome:
        shapes = open_shapes(lambda: self.float32_flatbuffer, lambda: self.evaluation)
        return self._opened.probed(self.float32, self.target, kernels, shapes)

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
        return self._answer(self.decisive)

    def _answer(self, output: str) -> Array:
        """An output by the source's name, of the shape that the source's has."""
        found, wanted = self._answers[self._places[output]], self._opened.reference(self.model)[output]
        if found.shape != wanted.shape:
            raise Unmeasured(
                f"the file answers a sample with an array of shape {list(found.shape[1:])}",
                expected=f"the shape of the source's output '{output}': {list(wanted.shape[1:])}",
                where="see the suite identity",
            )
        return found

    @cached_property
    def _answers(self) -> tuple[Array, ...]:
        """The variant's outputs on the evaluation set, in the file's order."""
        return self._remembered(
            self.file,
            self._fed_with,
            lambda: self._infer(self.file, self.open, len(self.inputs), self.inputs.feed, self._batch),
        )

    def _remembered(
        self, file: Entry, fed_with: str, infer: Callable[[], Iterable[tuple[Array, ...]]], kernels: Kernels = "default"
    ) -> tuple[Array, ...]:
        """What a file answers on this target, by its kernels of one kind: as `remembered.answers`."""
        ran_on = identity(self.target, self.runtime_name, kernels)
        return remembered.answers(self._opened.store, file.sha256, fed_with, ran_on, infer)

    def _infer(
        self,
        file: Entry,
        open_: Callable[[], Session],
        samples: int,
        feed: Feed,
        batch: Callable[[], int] = lambda: 1,
    ) -> Iterator[tuple[Array, ...]]:
        """Outputs of some samples after the other; side by side, unless a delegate's device is there once only."""
        sessions = 1 if self.target.delegate else side_by_side(file.bytes, self.target.threads)
        return answers(open_, samples, feed, batch=batch, sessions=sessions)

    @property
    def _batch(self) -> Callable[[], int]:
        """As many samples for one inference as change nothing in the answers: being found out when this returns."""
        return self._batch_of(self.file, self.flatbuffer, self.open, self.inputs, self._fed_with)

    def _batch_of(
        self, file: Entry, flatbuffer: Flatbuffer, open_: Callable[[], Session], fed: Evaluation, fed_with: str
    ) -> Callable[[], int]:
        if self.target.delegate or len(fed) < TRIED or not fits_batches(flatbuffer):
            return lambda: 1
        same = remembered.same_in_batches(
            self._opened.store,
            file.sha256,
            fed_with,
            identity(self.target, self.runtime_name),
            lambda: same_in_batches(open_, fed.at(fed.evenly(TRIED)).x),
        )
        return lambda: BATCH if same() else 1

    def answers_to(self, samples: Evaluation) -> Array:
        """The decisive output on samples as `as_fed` gives them."""
        return self.open().predict(samples.x)[self._places[self.decisive]]

    @cached_property
    def float32_beside_source(self) -> dict[str, tuple[Array, Array]]:
        """For each output: the source's on the evaluation set, and the float32 `.tflite`'s."""
        if self.variant.recipe == "float32":
            return {output.name: (output.reference, output.values) for output in self.every_output}
        answered = self._float32_by_name(self._float32_on_evaluation)
        return {name: (array, answered[name]) for name, array in self._opened.reference(self.model).items()}

    @property
    def _float32_on_evaluation(self) -> tuple[Array, ...]:
        """The outputs of the float32 `.tflite` on the evaluation set; its own case, if it has one, finds the same."""
        file, fed, fed_with = self.float32, self.evaluation, self.model.evaluation.sha256

        def infer() -> Iterator[tuple[Array, ...]]:
            batch = self._batch_of(file, self.float32_flatbuffer, self.open_float32, fed, fed_with)
            return self._infer(file, self.open_float32, len(fed), fed.feed, batch)

        return self._remembered(file, fed_with, infer)

    @property
    def _float32_on_calibration(self) -> dict[str, Array]:
        """Each output of the float32 `.tflite` on the calibration set, by the source's name."""
        samples, sha256 = self._set("calibration")
        answered = self._remembered(self.float32, sha256, lambda: [self.open_float32().predict(samples.x)])
        return self._float32_by_name(answered)

    def _float32_by_name(self, answers: Sequence[Array]) -> dict[str, Array]:
        """Answers of the float32 `.tflite`, in its outputs' order, by the source's names."""
        shapes = {name: array.shape[1:] for name, array in self._opened.reference(self.model).items()}
        places = pair("output", shapes, file_outputs(self.float32_flatbuffer))
        return {name: answers[place] for name, place in places.items()}

    @property
    def output_codes(self) -> Codes | None:
        """What the codes of the decisive output stand for, also where they leave the graph as floats."""
        return self.codes_of(self.decisive)

    def activation_ranges(self, on: Literal["calibration", "evaluation"]) -> tuple[ActivationRange, ...]:
        """What each quantized activation can hold, and what the float32 variant's takes on one of the sets."""
        samples, sha256 = self._set(on)
        seen = remembered.seen(
            self._opened.store,
            self.same_weights.sha256,
            f"{OBSERVED} of {sha256}",
            identity(self.target, self.runtime_name, "builtin"),
            lambda: self._observe(samples),
        )
        ranges = activation_ranges(self.same_weights_flatbuffer, self.flatbuffer, seen)
        # In another domain an input's range is not float32's; `saturation` looks at what it is fed with.
        return tuple(found for found in ranges if found.place != "input" or not self.variant.domains)

    def _set(self, on: Literal["calibration", "evaluation"]) -> tuple[Evaluation, str]:
        """A set of samples, and the digest of what decides them."""
        named = self.model.evaluation if on == "evaluation" else self.model.calibration
        samples = self.evaluation if on == "evaluation" else self.calibration
        assert named is not None  # noqa: S101 - else there is no such set, as has been said by now
        return samples, named.sha256

    def _observe(self, samples: Evaluation) -> Seen:
        path, runtime = self.same_weights.path, self.runtime_name
        session = open_session(path, runtime=runtime, kernels="builtin", preserve_all_tensors=True)
        return observe(session, self.same_weights_flatbuffer, samples.at(samples.evenly(OBSERVED)).x)

    def rerun(self) -> dict[str, tuple[Array, Array]]:
        """Each output of evaluation samples, and what a second session says, fed them in the opposite order."""
        chosen, again = self.evaluation.evenly(RERUN), self._backwards()
        return {output.name: (output.values[chosen], again[output.name]) for output in self.every_output}

    def _backwards(self) -> dict[str, Array]:
        """What a second session says of evaluation samples, fed them one by one from the last to the first."""
        chosen = self.inputs.evenly(RERUN)
        answered = self._remembered(
            self.file,
            f"{RERUN} of {self._fed_with}, backwards",
            lambda: [self.open().predict(self.inputs.at(chosen[::-1]).x)],
        )
        return {name: array[::-1] for name, array in self._by_name(answered).items()}

    def in_batches(self) -> dict[str, tuple[Array, Array, int, Codes | None]]:
        """Each output of evaluation samples one at a time and in batches, how many were in one, and its codes."""

        def infer() -> Iterator[tuple[Array, ...]]:
            session = self.open()
            answered = session.predict(self.inputs.at(self.inputs.evenly(RERUN)).x, batch=BATCH)
            yield (*answered, np.full(len(answered[0]), session.batch))

        *together, batches = self._remembered(self.file, f"{RERUN} of {self._fed_with}, by {BATCH}", infer)
        batch = int(batches[0])
        alone = self._backwards()  # not `outputs`: they may be a batch's
        return {
            name: (alone[name], array, batch, self.codes_of(name)) for name, array in self._by_name(together).items()
        }

    @cached_property
    def by_kernels(self) -> tuple[Array, Array, Array]:
        """Decisive outputs of evaluation samples: the source's, the default path's, the built-in kernels' alone."""
        chosen = self.evaluation.evenly(PATH)
        fed_with = f"{PATH} of {self._fed_with}"
        answered = self._remembered(self.file, fed_with, lambda: self._by_builtin_kernels(chosen), "builtin")
        builtin = answered[self._places[self.decisive]]
        return self.reference[chosen], self.outputs[chosen], builtin

    def _by_builtin_kernels(self, chosen: npt.NDArray[np.intp]) -> Iterator[tuple[Array, ...]]:
        session = self.open()
        session.predict(self.inputs.at(chosen[:1]).x)  # allocates what has open sizes
        if not session.hands_over:  # what ships is these kernels already
            return iter([tuple(array[chosen] for array in self._answers)])
        return self._infer(self.file, lambda: self.open("builtin"), len(chosen), self.inputs.at(chosen).feed)

    @cached_property
    def drift(self) -> layers.Drift:
        """How far each layer is from the float32 variant's on a few samples; () where it cannot be looked at."""
        if self.variant.key == self.model.float32_key:
            return ()
        try:
            # Both files in a process of their own first: these are not the kernels that were tried before.
            if not (self._float32_probed("builtin").loads and self._probed("builtin").loads):
                return ()
            return remembered.drift(
                self._opened.store,
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
        return layers.drift(
            layers.trace(
                self.float32.path,
                self.file.path,
                few.x,
                self.as_fed(few).x,
                runtime=runtime,
                threads=threads,
                alone=False,
            )
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
        entry = self._opened.store.get(key)
        if entry is None:
            content = io.BytesIO()
            np.save(content, self.open(kernels).predict(self.inputs.at(chosen).x)[place], allow_pickle=False)
            entry = self._opened.store.put(key, content.getvalue(), suffix=".npy", meta={"kind": "answers"})
        return key, np.load(entry.path, allow_pickle=False)

    @cached_property
    def beside_host(self) -> parity.Pairs:
        """For each kind of kernels that both have: the host's outputs of a few samples, and this target's."""
        pairs = {}
        for kernels, key in self._opened.host_answers.get(self.case.id, {}).items():
            host = np.load(self._opened.entry(key, "the host's answers").path, allow_pickle=False)
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
        return self._opened.cold_starts(self.case, self._start_cold)

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

        answered = self._remembered(
            twin.file,
            digest_of({"codes of": self.file.sha256, "fed with": self._fed_with}),
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
