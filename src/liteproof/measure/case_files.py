"""What a case is made of: its files as their tables have them, and the samples that they are fed with.

Nothing is opened before a suite asks. What the files answer is the business of `liteproof.measure.subject`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.errors import Unmeasured
from liteproof.measure import size
from liteproof.measure.activations import CLIPPING_LIMIT
from liteproof.measure.domain import fed
from liteproof.measure.evaluation import SINGLE_INPUT, Evaluation
from liteproof.measure.opened import Opened
from liteproof.measure.outputs import Codes, codes_of
from liteproof.measure.pairing import file_inputs, file_outputs, pair
from liteproof.measure.runtime import installed_runtimes
from liteproof.measure.tensors import Array
from liteproof.plan import (
    Case,
    InputDomain,
    Model,
    Target,
    Variant,
    Waiver,
    same_weights_key,
)
from liteproof.store import Entry, digest_of
from liteproof.tflite import folding
from liteproof.tflite.facts import Facts, facts
from liteproof.tflite.layer_promises import float_layers
from liteproof.tflite.matching import Matching, match_weights
from liteproof.tflite.reader import Model as Flatbuffer
from liteproof.tflite.reader import read_model


class CaseFiles:
    """One case: a variant of a model on this target, with its files at hand."""

    def __init__(self, case: Case, opened: Opened) -> None:
        self.case = case
        self.model: Model = case.model
        self.variant: Variant = case.variant
        self.target: Target = case.target
        self._opened = opened

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
        return self._opened.root

    @property
    def runtime_name(self) -> str:
        """The runtime that judges on this target."""
        return self._opened.runtime_of(self.target)

    @property
    def ran_on(self) -> Mapping[str, object]:
        """The machine and the runtime of this target, as reports name them."""
        return self._opened.machine(self.target)

    @property
    def file(self) -> Entry:
        """The variant's `.tflite`.

        Raises:
            Unmeasured: if it could not be made.
        """
        return self._opened.entry(self.variant.key, f"variant {self.variant.name} of {self.model.name}")

    @property
    def float32(self) -> Entry:
        """The float32 `.tflite` that size, speed-up and weights are compared with."""
        return self._opened.entry(self.model.float32_key, f"the float32 variant of {self.model.name}")

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
        return self._opened.flatbuffer(self.float32)

    @cached_property
    def facts(self) -> Facts:
        """What the variant's file holds."""
        return facts(self.flatbuffer)

    @cached_property
    def float32_facts(self) -> Facts:
        """What the float32 file holds."""
        return self._opened.facts(self.float32)

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
        return self._opened.entry(key, f"the float32 file of {self.variant.name}'s weights")

    @cached_property
    def same_weights_flatbuffer(self) -> Flatbuffer:
        """That file as its tables have it."""
        return self._opened.flatbuffer(self.same_weights)

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
        return self._opened.evaluation(self.model)

    @property
    def calibration(self) -> Evaluation:
        """The calibration set.

        Raises:
            Unmeasured: if there is none.
        """
        return self._opened.calibration(self.model)

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
        return self.model.decision_output or next(iter(self._opened.reference(self.model)))

    @property
    def reference(self) -> Array:
        """The source's decisive output on the evaluation set, float32, shape (n, …)."""
        return self._opened.reference(self.model)[self.decisive]

    @property
    def sample_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each of the source's outputs for one sample."""
        return tuple(array.shape[1:] for array in self._opened.reference(self.model).values())

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of each of the source's outputs among the file's."""
        shapes = {name: array.shape[1:] for name, array in self._opened.reference(self.model).items()}
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
