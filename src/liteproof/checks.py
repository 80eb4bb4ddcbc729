"""Metric, limit, verdict: what is measured, in which direction it is held, and what comes of it.

>>> agreement = Measurement("top1_agreement", 0.97, samples=100, interval=(0.91, 0.99), bound=0.92)
>>> judge(agreement, limit=0.95).verdict
<Verdict.PROVISIONAL: 'PROVISIONAL'>
>>> judge(agreement, limit=0.90).verdict, judge(agreement, limit=0.98).verdict
(<Verdict.PASS: 'PASS'>, <Verdict.FAIL: 'FAIL'>)
>>> round(judge(agreement, limit=0.98).margin, 3)
-0.01
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

Direction = Literal["at_least", "at_most"]
Better = Literal["higher", "lower"]
TASKS = ("classification", "binary", "regression")
CLASSES = frozenset({"classification", "binary"})


class Verdict(StrEnum):
    """What a check or a case comes to. The order of definition is from worst to best."""

    FAIL = "FAIL"
    UNMEASURED = "UNMEASURED"
    PROVISIONAL = "PROVISIONAL"
    PASS = "PASS"  # noqa: S105 - a verdict, not a password


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The worst of several verdicts; None of none.

    >>> worst([Verdict.PASS, Verdict.UNMEASURED]).value
    'UNMEASURED'
    """
    order = list(Verdict)
    return min(verdicts, key=order.index, default=None)


@dataclass(frozen=True)
class Metric:
    """A quantity with a fixed direction, so that a budget is one number.

    Attributes:
        name: Its key in `model.toml` and `results.json`.
        direction: Whether a budget is a lower ("at_least") or an upper ("at_most") limit.
        text: What it is, in one sentence.
        unit: "ratio", "share", "ms", "MB", "bytes", "lsb", "dB", "count" or "" for plain numbers.
        lowest: The smallest value it can take.
        highest: The largest value it can take.
        tasks: The tasks for which it has a meaning.
        needs: What it depends on, by the names that `liteproof.applicability` knows.
        default: The limit that holds for every recipe unless a manifest says otherwise.
        relative: Whether a regression budget on it is a share of the baseline (times, sizes) rather than absolute.
    """

    name: str
    direction: Direction
    text: str
    unit: str = ""
    lowest: float = -math.inf
    highest: float = math.inf
    tasks: frozenset[str] = frozenset(TASKS)
    needs: frozenset[str] = frozenset()
    default: float | None = None
    relative: bool = False

    @property
    def timed(self) -> bool:
        """Whether it is a time or follows from times, and so means nothing on an emulated processor."""
        return self.unit == "ms" or self.name == "speedup"

    def impossible(self, limit: float) -> str | None:
        """Why no measurement could ever keep (or miss) this limit; None if one can."""
        if not math.isfinite(limit):
            return f"{limit} is not a finite number"
        if self.direction == "at_least" and limit > self.highest:
            return f"{self.name} is at most {self.highest:g}, so at least {limit:g} is impossible"
        if self.direction == "at_most" and limit < self.lowest:
            return f"{self.name} is at least {self.lowest:g}, so at most {limit:g} is impossible"
        return None


def _metric(
    name: str, direction: Direction, text: str, unit: str = "", needs: tuple[str, ...] = (), **more: object
) -> Metric:
    bounds = {"share": (0.0, 1.0), "ratio": (0.0, math.inf), "ms": (0.0, math.inf), "MB": (0.0, math.inf)}
    low, high = bounds.get(unit, (0.0, math.inf) if unit in ("bytes", "lsb", "count") else (-math.inf, math.inf))
    options: dict[str, object] = {"lowest": low, "highest": high, **more}
    return Metric(name, direction, text, unit, needs=frozenset(needs), **options)  # type: ignore[arg-type]


_LATENCY = ("p50", "p95", "p99")

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            _metric("loads", "at_least", "the file loads, allocates and answers", "share", default=1.0),
            _metric("size_ratio", "at_most", "file bytes over the float32 variant's", "ratio", relative=True),
            _metric("source_size_ratio", "at_most", "file bytes over the source's", "ratio", relative=True),
            _metric("size_bytes", "at_most", "file bytes", "bytes", relative=True),
            _metric(
                "compressed_ratio",
                "at_most",
                "file bytes over the float32 variant's, both after deflate, as an archive or a download packs them",
                "ratio",
                needs=("pruned",),
                relative=True,
            ),
            _metric(
                "sparsity",
                "at_least",
                "share of zeros among the weights of convolutions and dense layers",
                "share",
                needs=("pruned",),
            ),
            _metric(
                "top1_agreement",
                "at_least",
                "share of samples whose class is the source's",
                "share",
                tasks=CLASSES,
            ),
            _metric(
                "top5_agreement",
                "at_least",
                "share of samples whose class is among the source's five best",
                "share",
                tasks=frozenset({"classification"}),
                needs=("more_than_five_classes",),
            ),
            _metric(
                "accuracy",
                "at_least",
                "share of samples whose class is the label",
                "share",
                tasks=CLASSES,
                needs=("labels",),
            ),
            _metric(
                "accuracy_drop",
                "at_most",
                "the source's accuracy less the variant's, on the same samples",
                tasks=CLASSES,
                needs=("labels",),
                lowest=-1.0,
                highest=1.0,
            ),
            _metric(
                "worst_class_recall_drop",
                "at_most",
                "the largest loss of recall in one class",
                tasks=CLASSES,
                needs=("labels",),
                lowest=-1.0,
                highest=1.0,
            ),
            _metric("max_abs_error", "at_most", "largest difference from the source's outputs", lowest=0.0),
            _metric("mean_abs_error", "at_most", "mean difference from the source's outputs", lowest=0.0),
            _metric(
                "cosine_similarity",
                "at_least",
                "cosine between all outputs and the source's",
                lowest=-1.0,
                highest=1.0,
            ),
            _metric(
                "r_squared",
                "at_least",
                "share of the variance of the source's outputs that the variant reproduces (R²)",
                highest=1.0,
                tasks=frozenset({"regression"}),
            ),
            _metric("sqnr_db", "at_least", "signal over quantization noise of the outputs", "dB"),
            _metric(
                "confidence_drift",
                "at_most",
                "mean absolute change of the winning class's probability",
                lowest=0.0,
                tasks=CLASSES,
            ),
            _metric(
                "nonfinite_outputs",
                "at_most",
                "outputs that are NaN or infinite where the source's are not",
                "count",
                default=0.0,
            ),
            _metric(
                "lost_classes",
                "at_most",
                "classes that the source decides for and the variant never does",
                "count",
                tasks=CLASSES,
                default=0.0,
            ),
            _metric(
                "frozen_outputs",
                "at_most",
                "output values that hardly change from sample to sample where the source's do",
                "count",
                default=0.0,
            ),
            _metric(
                "invalid_probabilities",
                "at_most",
                "share of samples whose outputs are no probabilities where the source's are",
                "share",
                needs=("probabilities",),
                tasks=CLASSES,
                default=0.0,
            ),
            _metric(
                "output_saturation",
                "at_most",
                "share of output values pinned to the ends of their range where the source's are elsewhere",
                "share",
                needs=("integer_activations",),
                default=0.25,
            ),
            _metric(
                "rerun_mismatch",
                "at_most",
                "share of output values that differ from run to run",
                "share",
                default=0.0,
            ),
            _metric(
                "batch_mismatch",
                "at_most",
                "share of output values that differ in a batch from one sample at a time",
                "share",
                default=0.0,
            ),
            _metric(
                "kernel_path_flips",
                "at_most",
                "share of clear cases that the default path and the built-in kernels decide differently",
                "share",
                tasks=CLASSES,
                default=0.02,
            ),
            _metric(
                "kernel_path_lsb",
                "at_most",
                "largest difference between the default path and the built-in kernels, in steps of the output",
                "lsb",
                needs=("integer_activations",),
            ),
            _metric(
                "parity_top1",
                "at_least",
                "share of samples that the target decides as the host does",
                "share",
                tasks=CLASSES,
                needs=("other_target",),
            ),
            _metric(
                "parity_lsb",
                "at_most",
                "largest difference between the target's outputs and the host's, in steps",
                "lsb",
                needs=("integer_activations", "other_target"),
            ),
            _metric(
                "calibration_samples",
                "at_least",
                "distinct samples in the calibration set",
                "count",
                needs=("calibration_set",),
                default=100.0,
            ),
            _metric(
                "calibration_duplicates",
                "at_most",
                "calibration samples that repeat another one",
                "count",
                needs=("calibration_set",),
                default=0.0,
            ),
            _metric(
                "calibration_overlap",
                "at_most",
                "evaluation samples that the calibration set holds too",
                "count",
                needs=("calibration_set",),
                default=0.0,
            ),
            _metric(
                "calibration_classes_missing",
                "at_most",
                "classes of the evaluation set without a calibration sample",
                "count",
                needs=("calibration_set",),
                tasks=CLASSES,
                default=0.0,
            ),
            _metric(
                "calibration_accuracy_drop",
                "at_most",
                "the source's accuracy on the evaluation set less the float32 variant's on the calibration set",
                needs=("calibration_set", "labels"),
                tasks=CLASSES,
                lowest=-1.0,
                highest=1.0,
                default=0.2,
            ),
            _metric(
                "calibration_range_overlap",
                "at_least",
                "what the calibration set's range and the evaluation set's share, over what they span together",
                "share",
                needs=("calibration_set",),
                default=0.7,
            ),
            _metric(
                "calibration_stretch",
                "at_most",
                "length of the calibration set's range over the evaluation set's",
                "ratio",
                needs=("calibration_set",),
                default=2.0,
            ),
            _metric(
                "activation_clipping_lsb",
                "at_most",
                "by how many steps float32's activations go beyond the variant's range on the calibration set",
                "lsb",
                needs=("calibration_file", "float32_of_same_weights"),
            ),
            _metric(
                "activation_overflow",
                "at_most",
                "how far float32's activations go beyond the variant's range on the evaluation set, over its length",
                "ratio",
                needs=("integer_activations", "float32_of_same_weights"),
                default=0.5,
            ),
            _metric(
                "activation_range_use",
                "at_least",
                "smallest share of an activation's range that float32's values need on the evaluation set",
                "ratio",
                needs=("integer_activations", "float32_of_same_weights"),
                default=0.125,
            ),
            _metric(
                "saturation",
                "at_most",
                "share of input values pinned to the ends of their range",
                "share",
                needs=("quantized_ends",),
            ),
            _metric(
                "roundtrip_error_lsb",
                "at_most",
                "largest error of an evaluation input after quantizing and dequantizing, in steps",
                "lsb",
                needs=("quantized_ends",),
                default=0.501,
            ),
            _metric(
                "io_mismatch",
                "at_most",
                "share of outputs that differ from the float-ended twin fed the same codes",
                "share",
                needs=("float_io_twin",),
                default=0.0,
            ),
            _metric(
                "spec_violations",
                "at_most",
                "rules of the quantization specification that the file breaks and no waiver exempts",
                "count",
                default=0.0,
            ),
            _metric(
                "dequantize_mismatch",
                "at_most",
                "codes of inputs and outputs that the runtime's DEQUANTIZE turns into another value than the formula",
                "count",
                needs=("quantized_ends",),
                default=0.0,
            ),
            _metric(
                "weight_error_lsb",
                "at_most",
                "largest distance of a weight from the float32 variant's, in steps of its channel",
                "lsb",
                needs=("float32_of_same_weights",),
                default=0.501,
            ),
            _metric(
                "bias_error_lsb",
                "at_most",
                "largest distance of a bias from the float32 variant's, in steps",
                "lsb",
                needs=("float32_of_same_weights",),
                default=0.501,
            ),
            _metric(
                "unusable_weights",
                "at_most",
                "weights and biases that are NaN or infinite, or have no positive scale",
                "count",
                needs=("not_float32",),
                default=0.0,
            ),
            _metric(
                "weight_correlation",
                "at_least",
                "smallest cosine between a weight tensor and the float32 variant's",
                needs=("not_float32",),
                default=0.95,
                lowest=-1.0,
                highest=1.0,
            ),
            _metric(
                "recipe_mismatches",
                "at_most",
                "promises of the recipe that the file breaks: types of weights, activations, inputs, outputs",
                "count",
                default=0.0,
            ),
            _metric(
                "interface_mismatches",
                "at_most",
                "inputs and outputs whose number or shape is not the source's",
                "count",
                default=0.0,
            ),
            _metric(
                "parameter_mismatch",
                "at_most",
                "parameters that only one of this file and the float32 variant has",
                "count",
                needs=("not_float32",),
                default=0.0,
            ),
            _metric(
                "operator_mismatches",
                "at_most",
                "operators whose options (stride, padding, fused activation, ...) are not the float32 variant's",
                "count",
                needs=("not_float32",),
                default=0.0,
            ),
            _metric(
                "float32_error",
                "at_most",
                "largest difference of the float32 variant's outputs from the source's, over the largest output",
                "ratio",
                needs=("vouches_for_float32",),
                default=1e-4,
            ),
            _metric(
                "impossible_bytes",
                "at_most",
                "bytes that the file lacks to hold the network's parameters",
                "bytes",
                default=0.0,
            ),
            _metric(
                "float_ops",
                "at_most",
                "operators that compute in float where integers are promised",
                "count",
                needs=("integer_activations",),
                default=0.0,
            ),
            _metric(
                "custom_ops",
                "at_most",
                "operators outside the builtin set, Select TF ops included",
                "count",
                default=0.0,
            ),
            _metric(
                "unknown_op_versions",
                "at_most",
                "operators that the target's runtime lacks, or knows in older versions only",
                "count",
                default=0.0,
            ),
            *(
                _metric(f"latency_{p}_ms", "at_most", f"{p} of the time of one inference", "ms", relative=True)
                for p in _LATENCY
            ),
            _metric(
                "speedup",
                "at_least",
                "float32's median time over this variant's, taken in turns",
                "ratio",
                needs=("not_float32",),
                relative=True,
            ),
            _metric(
                "cold_start_ms",
                "at_most",
                "from importing the runtime to the first answer, in a fresh process",
                "ms",
                relative=True,
            ),
            _metric("cpu_ms", "at_most", "processor time of all threads for one inference", "ms", relative=True),
            _metric(
                "peak_memory_mb",
                "at_most",
                "peak resident memory of a process that only loads the model and answers",
                "MB",
                relative=True,
            ),
            _metric(
                "memory_growth_bytes",
                "at_most",
                "memory that each further inference leaves behind",
                "bytes",
                default=0.0,
            ),
            _metric(
                "device_memory_mb",
                "at_most",
                "memory in use on the whole device while the model answers",
                "MB",
                relative=True,
            ),
            _metric(
                "service_health_mismatches",
                "at_most",
                "declared fields that the service's health path lacks or fills otherwise",
                "count",
                needs=("service",),
                default=0.0,
            ),
            _metric(
                "service_digest_mismatches",
                "at_most",
                "whether the service tells another file's digest",
                "count",
                needs=("service",),
                default=0.0,
            ),
            _metric(
                "service_mismatches",
                "at_most",
                "samples that the service does not answer, or decides otherwise than the file",
                "count",
                needs=("service",),
                default=0.0,
            ),
            _metric(
                "service_error",
                "at_most",
                "largest difference of the service's outputs from the file's, over the largest output",
                "ratio",
                needs=("service",),
                default=1e-3,
            ),
            *(
                _metric(
                    f"service_{p}_ms",
                    "at_most",
                    f"{p} of the time from request to answer",
                    "ms",
                    needs=("service",),
                    relative=True,
                )
                for p in _LATENCY[:2]
            ),
        )
    }
)


# What an acceptance test that measures a manifest's own metrics is marked with, in the place of their names.
OWN = "own"


def metric_of(name: str, better: Better | None = None) -> Metric:
    """The metric of this name: one of `METRICS`, or a manifest's own, of which `better` is known.

    >>> metric_of("mean_iou", "higher").direction, metric_of("top1_agreement").direction
    ('at_least', 'at_least')

    Raises:
        KeyError: if it is neither.
    """
    if better is None:
        return METRICS[name]
    return Metric(name, "at_least" if better == "higher" else "at_most", "a metric of the manifest's own")


@dataclass(frozen=True)
class Measurement:
    """One measured metric, before it is held against a limit.

    Attributes:
        metric: A key of `METRICS`, or the name of a manifest's own metric.
        value: The measured value; None (or a non-finite number) when no sound measurement could be made.
        samples: Samples, or rounds for times.
        interval: Two-sided 95% interval of `value`.
        bound: One-sided 95% confidence bound on the unfavourable side; None for a value that is exact.
        settle: For a limit, about how many samples at this value would bring the bound within it.
        detail: What a reader should know beside the number.
        causes: Likely causes of a miss with the evidence from this run, most likely first.
        next: The command to run next after a miss.
        evidence: Numbers for the reports (JSON values only).
        better: Of a manifest's own metric: which way is good.
    """

    metric: str
    value: float | None
    samples: int | None = None
    interval: tuple[float, float] | None = None
    bound: float | None = None
    settle: Callable[[float], int | None] | None = None
    detail: str | None = None
    causes: tuple[str, ...] = ()
    next: str | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)
    better: Better | None = None


def worst_of(measurements: Mapping[str, Measurement]) -> Measurement:
    """The worst of one metric measured on several outputs, by their names; the output is named in its detail.

    >>> worst_of({"box": Measurement("max_abs_error", 0.5), "class": Measurement("max_abs_error", 0.1)}).detail
    'output box'

    Args:
        measurements: At least one.
    """
    if len(measurements) == 1:
        return next(iter(measurements.values()))

    def badness(name: str) -> float:
        found = measurements[name]
        if found.value is None or not math.isfinite(found.value):
            return math.inf
        return -found.value if metric_of(found.metric, found.better).direction == "at_least" else found.value

    name = max(measurements, key=badness)
    worst_one = measurements[name]
    where = f"output {name}" + (f": {worst_one.detail}" if worst_one.detail else "")
    return replace(worst_one, detail=where)


@dataclass(frozen=True)
class Judgement:
    """What a measurement comes to under a limit. `margin` >= 0 is within it."""

    verdict: Verdict | None
    margin: float | None
    samples_to_settle: int | None = None


def judge(measurement: Measurement, limit: float | None) -> Judgement:
    """Hold a measurement against a limit.

    PASS needs the value and its one-sided 95% bound within the limit; PROVISIONAL the value only. No sound value is
    UNMEASURED, limit or not. A sound value without a limit has no verdict.
    """
    value = measurement.value
    if value is None or not math.isfinite(value):
        return Judgement(Verdict.UNMEASURED, None)
    if limit is None:
        return Judgement(None, None)
    sign = 1.0 if metric_of(measurement.metric, measurement.better).direction == "at_least" else -1.0
    margin = sign * (value - limit)
    if margin < 0:
        return Judgement(Verdict.FAIL, margin)
    bound = measurement.bound
    if bound is None or sign * (bound - limit) >= 0:
        return Judgement(Verdict.PASS, margin)
    needed = measurement.settle(limit) if measurement.settle else None
    return Judgement(Verdict.PROVISIONAL, margin, needed)


@dataclass(frozen=True)
class Check:
    """One line of `results.json`: a measured metric of one case, held against its limit if it has one.

    `better` is told of a manifest's own metric only. `taken_over` is the run that measured it, where that was an
    earlier one (`--reuse`).
    """

    model: str
    variant: str
    target: str
    suite: str
    metric: str
    value: float | None
    limit: float | None
    margin: float | None
    samples: int | None
    interval: tuple[float, float] | None
    verdict: Verdict | None
    test: str
    detail: str | None = None
    samples_to_settle: int | None = None
    causes: tuple[str, ...] = ()
    next: str | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)
    better: Better | None = None
    taken_over: str | None = None
