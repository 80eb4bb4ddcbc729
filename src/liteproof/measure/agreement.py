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
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.decisions import UNDECIDED, Floats, clear_cases, decisions, probabilities
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
    flipped = [
        (int(sample), _class_name(int(theirs[sample]), labels), _class_name(int(ours[sample]), labels))
        for sample in np.flatnonzero(~same)
    ]
    pairs = Counter(f"{source}→{variant}" for _, source, variant in flipped)
    clear = int(np.count_nonzero(clear_cases(reference, threshold) & ~same))
    evidence = {
        "flips": dict(pairs.most_common()),
        "flipped": [list(flip) for flip in flipped[:FLIPS_KEPT]],
        "clear_flips": clear,
    }
    return share("top1_agreement", same, detail=_told(flipped, clear), evidence=evidence)


def _told(flipped: Sequence[tuple[int, str, str]], clear: int) -> str | None:
    """First flips, how many of them the source was sure of, and the classes that lost most."""
    if not flipped:
        return None
    losers = Counter(source for _, source, _ in flipped).most_common(CLASSES_NAMED)
    worst = ", ".join(f"{name} ({count})" for name, count in losers)
    return f"{_first_flips(flipped)}; {clear} on clear cases, {len(flipped) - clear} on near-ties; most from {worst}"


def _class_name(index: int, labels: tuple[str, ...] | None) -> str:
    if index == UNDECIDED:
        return "nothing"
    return labels[index] if labels and index < len(labels) else str(index)


def _first_flips(flipped: Sequence[tuple[int, str, str]]) -> str:
    named = ", ".join(f"sample {sample}: {source} → {variant}" for sample, source, variant in flipped[:FLIPS_NAMED])
    more = f" and {len(flipped) - FLIPS_NAMED} more" if len(flipped) > FLIPS_NAMED else ""
    return f"{len(flipped)} flipped ({named}{more})"


def top5_agreement(reference: Floats, outputs: Floats) -> Measurement:
    """Share of samples whose class by the variant is among the source's five best.

    Args:
        reference: Shape (n, classes), more than five classes.
        outputs: The same shape.
    """
    best = np.argpartition(reference, -5, axis=1)[:, -5:]
    ours = decisions(outputs)
    return share("top5_agreement", (best == ours[:, None]).any(axis=1))


def confidence_drift(reference: Floats, outputs: Floats, threshold: float | None = None) -> Measurement:
    """Mean absolute change of the winning class's probability where the class stays, with a bootstrap interval.

    A class that stays says nothing of the certainty that a product shows or thresholds on.

    Args:
        reference: The source's probabilities or logits, shape (n, classes), or one score a sample.
        outputs: The variant's, the same shape.
        threshold: For one score a sample.

    Raises:
        Unmeasured: if no sample keeps its class.
    """
    _difference(reference, outputs, "confidence_drift")
    source, variant = probabilities(reference), probabilities(outputs)
    winners = decisions(reference, threshold)
    kept = np.flatnonzero(winners == decisions(outputs, threshold))
    if not len(kept):
        raise Unmeasured("confidence_drift: no sample keeps its class", expected="see top1_agreement")
    column = winners[kept] if source.shape[1] > 1 else np.zeros(len(kept), np.int64)
    moved = np.abs(variant[kept, column] - source[kept, column])
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


def _difference(reference: Floats, outputs: Floats, metric: str) -> Floats:
    if outputs.shape != reference.shape:
        raise Unmeasured(
            f"{metric}: the variant's outputs have shape {outputs.shape}",
            expected=f"the source's shape {reference.shape}",
        )
    if not np.isfinite(outputs).all():
        count = int(np.count_nonzero(~np.isfinite(outputs)))
        raise Unmeasured(
            f"{metric}: {count} outputs are NaN or infinite", expected="finite outputs; see nonfinite_outputs"
        )
    return outputs.astype(np.float64) - reference.astype(np.float64)


def max_abs_error(reference: Floats, outputs: Floats, step: float | None = None) -> Measurement:
    """Largest absolute difference of any output value from the source's, in the outputs' own unit.

    The evidence keeps the first `OUTPUTS_KEPT` output values (`first_outputs`), so that two runs or two targets can be
    compared value by value.

    Args:
        reference: The source's outputs, shape (n, …).
        outputs: The variant's, the same shape.
        step: Real value of one code of the variant's output; None for a float output.
    """
    error = np.abs(_difference(reference, outputs, "max_abs_error"))
    where = int(np.argmax(error.reshape(len(error), -1).max(axis=1)))
    first = [float(f"{value:.7g}") for value in outputs.ravel()[:OUTPUTS_KEPT]]
    evidence = {"first_outputs": first} | ({"output_step": step} if step else {})
    detail = f"largest at sample {where}"
    return Measurement("max_abs_error", float(error.max()), samples=len(error), detail=detail, evidence=evidence)


def mean_abs_error(reference: Floats, outputs: Floats) -> Measurement:
    """Mean absolute difference of the output values from the source's, in the outputs' own unit."""
    error = np.abs(_difference(reference, outputs, "mean_abs_error"))
    return Measurement("mean_abs_error", float(error.mean()), samples=len(error))


def cosine_similarity(reference: Floats, outputs: Floats) -> Measurement:
    """Cosine of the angle between all outputs and the source's, taken as two vectors.

    Raises:
        Unmeasured: if either is all zeros, for which the angle is not defined.
    """
    _difference(reference, outputs, "cosine_similarity")
    a, b = reference.astype(np.float64).ravel(), outputs.astype(np.float64).ravel()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    if length == 0.0:
        raise Unmeasured("cosine_similarity: all outputs are zero", expected="outputs that differ from zero")
    return Measurement("cosine_similarity", float(np.clip(a @ b / length, -1.0, 1.0)), samples=len(outputs))


def sqnr_db(reference: Floats, outputs: Floats) -> Measurement:
    """Signal to quantization noise of the outputs: 10 log10(sum r² / sum (r − v)²), in dB; 200 dB where equal."""
    noise = float(np.square(_difference(reference, outputs, "sqnr_db")).sum())
    signal = float(np.square(reference.astype(np.float64)).sum())
    value = 200.0 if noise == 0.0 else min(200.0, 10.0 * float(np.log10(max(signal, 1e-300) / noise)))
    return Measurement("sqnr_db", value, samples=len(outputs))


def nonfinite_outputs(reference: Floats, outputs: Floats) -> Measurement:
    """How many output values are NaN or infinite where the source's are finite."""
    bad = ~np.isfinite(outputs) & np.isfinite(reference) if outputs.shape == reference.shape else ~np.isfinite(outputs)
    count = int(np.count_nonzero(bad))
    if not count:
        return Measurement("nonfinite_outputs", 0.0, samples=len(outputs))
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    return Measurement(
        "nonfinite_outputs",
        float(count),
        samples=len(outputs),
        detail=f"in {len(rows)} of {len(outputs)} samples, first in sample {rows[0]}",
    )
