"""Is the variant still the same model? Its outputs against the source's, on the same samples.

>>> import numpy as np
>>> reference = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
>>> variant = np.array([[0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
>>> round(top1_agreement(reference, variant).value, 3)
0.667
>>> round(max_abs_error(reference, variant).value, 3)
0.2
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.blocks import blocks, by_row
from liteproof.measure.decisions import UNDECIDED, Floats, are_logits, clear_cases, decisions, probabilities
from liteproof.statistics import mean_interval, samples_to_settle, wilson, wilson_lower, wilson_samples_to_settle

FLIPS_NAMED = 5
CLASSES_NAMED = 3
FLIPS_KEPT = 1000
OUTPUTS_KEPT = 200


def share(metric: str, kept: npt.NDArray[np.bool_], **more: object) -> Measurement:
    """A measured share of samples with its Wilson interval and one-sided lower bound.

    Raises:
        Unmeasured: if there is no sample.
    """
    n = len(kept)
    if n == 0:
        raise Unmeasured(f"{metric} has no samples", expected="at least one evaluation sample")
    successes = int(np.count_nonzero(kept))
    return Measurement(
        metric,
        successes / n,
        samples=n,
        interval=wilson(successes, n),
        bound=wilson_lower(successes, n),
        settle=partial(_settle, successes / n),
        **more,  # type: ignore[arg-type]
    )


def _settle(rate: float, limit: float) -> int | None:
    return wilson_samples_to_settle(rate, limit, "at_least")


def top1_agreement(
    reference: Floats, outputs: Floats, threshold: float | None = None, labels: tuple[str, ...] | None = None
) -> Measurement:
    """Share of samples for which the variant decides for the source's class.

    A row of the variant with NaN or infinity agrees with nothing: argmax of NaN is 0, and would agree by accident.

    The evidence tells which classes became which (`flips`, {"3→8": 2}) and where (`flipped`, [[sample, source's class,
    variant's class], …], the first `FLIPS_KEPT`), so that two runs or two targets can be compared sample by sample.
    """
    ours, theirs = decisions(outputs, threshold), decisions(reference, threshold)
    same = (ours == theirs) & (ours != UNDECIDED)
    flipped = np.flatnonzero(~same)
    named = [[_class_name(int(index), labels) for index in classes[flipped]] for classes in (theirs, ours)]
    clear = int(np.count_nonzero(clear_cases(reference, threshold) & ~same))
    first = [[int(sample), *pair] for sample, *pair in zip(flipped[:FLIPS_KEPT], *named, strict=False)]
    evidence = {
        "flips": dict(Counter(map("→".join, zip(*named, strict=True))).most_common()),
        "flipped": first,
        "clear_flips": clear,
    }
    detail = _told(first, len(flipped), clear, Counter(named[0])) if first else None
    return share("top1_agreement", same, detail=detail, evidence=evidence)


def _told(first: Sequence[Sequence[object]], count: int, clear: int, losers: Counter[str]) -> str:
    """First flips, how many of them the source was sure of, and the classes that lost most."""
    worst = ", ".join(f"{name} ({lost})" for name, lost in losers.most_common(CLASSES_NAMED))
    named = ", ".join(f"sample {sample}: {source} → {variant}" for sample, source, variant in first[:FLIPS_NAMED])
    more = f" and {count - FLIPS_NAMED} more" if count > FLIPS_NAMED else ""
    near = count - clear
    return f"{count} flipped ({named}{more}); {clear} on clear cases, {near} on near-ties; most from {worst}"


def _class_name(index: int, labels: tuple[str, ...] | None) -> str:
    if index == UNDECIDED:
        return "nothing"
    return labels[index] if labels and index < len(labels) else str(index)


def top5_agreement(reference: Floats, outputs: Floats) -> Measurement:
    """Share of samples whose class by the variant is among the source's five best.

    Args:
        reference: Shape (n, classes), more than five classes.
        outputs: The same shape.
    """

    def among_best(theirs: Floats, ours: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        best = np.argpartition(theirs, -5, axis=1)[:, -5:]
        return np.asarray((best == ours[:, None]).any(axis=1))

    return share("top5_agreement", by_row(among_best, reference, decisions(outputs)))


def confidence_drift(reference: Floats, outputs: Floats, threshold: float | None = None) -> Measurement:
    """Mean absolute change of the winning class's probability where the class stays, with a bootstrap interval.

    A class that stays says nothing of the certainty that a product shows or thresholds on.

    Args:
        reference: The source's probabilities or logits, shape (n, classes), or one score a sample.
        outputs: The variant's, the same shape.
        threshold: For one score a sample.

    Raises:
        Unmeasured: if fewer than two samples keep their class: one has no spread.
    """
    _require_comparable(reference, outputs, "confidence_drift")
    winners = decisions(reference, threshold)
    stays = winners == decisions(outputs, threshold)
    if np.count_nonzero(stays) < 2:
        few = "one sample keeps" if stays.any() else "no sample keeps"
        raise Unmeasured(f"confidence_drift: {few} its class", expected="two at least; see top1_agreement")
    logits = are_logits(reference), are_logits(outputs)

    def change(theirs: Floats, ours: Floats, winners: npt.NDArray[np.int64]) -> Floats:
        source, variant = probabilities(theirs, logits=logits[0]), probabilities(ours, logits=logits[1])
        winner = np.arange(len(source)), winners if source.shape[1] > 1 else np.zeros_like(winners)
        return np.asarray(np.abs(variant[winner] - source[winner]))

    kept = np.flatnonzero(stays)
    moved = by_row(change, reference, outputs, winners)[kept]
    estimate = mean_interval(moved)
    return Measurement(
        "confidence_drift",
        estimate.value,
        samples=len(kept),
        interval=estimate.interval,
        bound=estimate.upper,
        settle=partial(_settle_mean, len(kept), estimate.value, estimate.upper),
        detail=f"largest change {float(moved.max()):.3g}, at sample {int(kept[int(moved.argmax())])}",
    )


def _settle_mean(n: int, value: float, bound: float, limit: float) -> int | None:
    return samples_to_settle(n, value, bound, limit)


def _require_comparable(reference: Floats, outputs: Floats, metric: str) -> None:
    if outputs.shape != reference.shape:
        raise Unmeasured(
            f"{metric}: the variant's outputs have shape {outputs.shape}",
            expected=f"the source's shape {reference.shape}",
        )
    count = sum(int(np.count_nonzero(~np.isfinite(rows))) for _, rows in blocks(outputs))
    if count:
        raise Unmeasured(
            f"{metric}: {count} outputs are NaN or infinite", expected="finite outputs; see nonfinite_outputs"
        )


def _differences(reference: Floats, outputs: Floats, metric: str) -> Iterator[npt.NDArray[np.float64]]:
    """The variant's outputs less the source's, a block of samples after the other.

    Raises:
        Unmeasured: if they cannot be compared.
    """
    _require_comparable(reference, outputs, metric)
    return (ours.astype(np.float64) - theirs.astype(np.float64) for _, theirs, ours in blocks(reference, outputs))


def max_abs_error(reference: Floats, outputs: Floats, step: float | None = None) -> Measurement:
    """Largest absolute difference of any output value from the source's, in the outputs' own unit.

    The evidence keeps the first `OUTPUTS_KEPT` output values (`first_outputs`), so that two runs or two targets can be
    compared value by value.

    Args:
        reference: The source's outputs, shape (n, …).
        outputs: The variant's, the same shape.
        step: Real value of one code of the variant's output; None for a float output.
    """
    differences = _differences(reference, outputs, "max_abs_error")
    errors = np.concatenate([np.abs(block).reshape(len(block), -1).max(axis=1) for block in differences])
    where = int(np.argmax(errors))
    first = [float(f"{value:.7g}") for value in outputs[:OUTPUTS_KEPT].ravel()[:OUTPUTS_KEPT]]
    evidence = {"first_outputs": first} | ({"output_step": step} if step else {})
    detail = f"largest at sample {where}"
    return Measurement("max_abs_error", float(errors.max()), samples=len(errors), detail=detail, evidence=evidence)


def mean_abs_error(reference: Floats, outputs: Floats) -> Measurement:
    """Mean absolute difference of the output values from the source's, in the outputs' own unit."""
    total = sum(float(np.abs(block).sum()) for block in _differences(reference, outputs, "mean_abs_error"))
    return Measurement("mean_abs_error", total / outputs.size, samples=len(outputs))


def cosine_similarity(reference: Floats, outputs: Floats) -> Measurement:
    """Cosine of the angle between all outputs and the source's, taken as two vectors.

    Raises:
        Unmeasured: if either is all zeros, for which the angle is not defined.
    """
    _require_comparable(reference, outputs, "cosine_similarity")
    products = np.zeros(3)
    for _, theirs, ours in blocks(reference, outputs):
        a, b = theirs.astype(np.float64).ravel(), ours.astype(np.float64).ravel()
        products += a @ b, a @ a, b @ b
    length = float(np.sqrt(products[1]) * np.sqrt(products[2]))
    if length == 0.0:
        raise Unmeasured("cosine_similarity: all outputs are zero", expected="outputs that differ from zero")
    return Measurement("cosine_similarity", float(np.clip(products[0] / length, -1.0, 1.0)), samples=len(outputs))


def r_squared(reference: Floats, outputs: Floats) -> Measurement:
    """R², the share of the variance of the source's outputs that the variant reproduces: 1 − Σ(v − r)² / Σ(r − mean)².

    What cosine and signal to noise do not see shows here: outputs that lie far from zero (a temperature in kelvin), of
    which only the last digits tell anything. The mean is each output value's own over the samples.

    Raises:
        Unmeasured: if the source's outputs are the same for every sample.
    """
    noise = sum(float(np.square(block).sum()) for block in _differences(reference, outputs, "r_squared"))
    mean = reference.mean(axis=0, dtype=np.float64)
    signal = spread = 0.0
    for _, theirs, _ in blocks(reference, outputs):
        source = theirs.astype(np.float64)
        signal += float(np.square(source).sum())
        spread += float(np.square(source - mean).sum())
    if spread <= 1e-12 * signal:
        raise Unmeasured(
            "r_squared: the source's outputs are the same for every sample",
            expected="an evaluation set of samples that differ",
        )
    return Measurement("r_squared", 1.0 - noise / spread, samples=len(outputs))


def sqnr_db(reference: Floats, outputs: Floats) -> Measurement:
    """Signal to quantization noise of the outputs: 10 log10(sum r² / sum (r − v)²), in dB; 200 dB where equal."""
    noise = sum(float(np.square(block).sum()) for block in _differences(reference, outputs, "sqnr_db"))
    signal = sum(float(np.square(rows.astype(np.float64)).sum()) for _, rows in blocks(reference))
    value = 200.0 if noise == 0.0 else min(200.0, 10.0 * float(np.log10(max(signal, 1e-300) / noise)))
    return Measurement("sqnr_db", value, samples=len(outputs))


def nonfinite_outputs(reference: Floats, outputs: Floats) -> Measurement:
    """How many output values are NaN or infinite where the source's are finite."""

    def bad_values(ours: Floats, *theirs: Floats) -> npt.NDArray[np.int64]:
        bad = ~np.isfinite(ours) & np.isfinite(theirs[0]) if theirs else ~np.isfinite(ours)
        return np.asarray(np.count_nonzero(bad.reshape(len(bad), -1), axis=1))

    bad = by_row(bad_values, outputs, *([reference] if outputs.shape == reference.shape else []))
    count, rows = int(bad.sum()), np.flatnonzero(bad)
    if not count:
        return Measurement("nonfinite_outputs", 0.0, samples=len(outputs))
    return Measurement(
        "nonfinite_outputs",
        float(count),
        samples=len(outputs),
        detail=f"in {len(rows)} of {len(outputs)} samples, first in sample {rows[0]}",
    )
