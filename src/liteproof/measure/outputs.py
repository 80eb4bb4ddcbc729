"""Does the variant answer with numbers that can be used, and with the same ones every time and by every path?

>>> import numpy as np
>>> source = np.tile([[0.9, 0.1], [0.2, 0.8]], (5, 1))
>>> frozen_outputs(source, np.full_like(source, 0.5)).value          # constant
2.0
>>> lost_classes(source, source[:, :1] * [1, 0] + [1, 0]).value      # one class for everything
1.0
>>> invalid_probabilities(np.log(source)).value                      # the softmax is gone
1.0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.blocks import blocks, by_row
from liteproof.measure.decisions import SUM_TOLERANCE, UNDECIDED, Floats, are_probabilities, clear_cases, decisions
from liteproof.statistics import wilson, wilson_samples_to_settle, wilson_upper
from liteproof.tflite.arithmetic import carries_codes, type_range
from liteproof.tflite.layers import conversions_before
from liteproof.tflite.reader import Model

# A class that the source decides for less often may be missed by chance: a variant that agrees on nine in ten misses
# five in a row once in 100,000 times.
SEEN_OFTEN = 5

# An output moves if the source's spans a tenth of all its outputs' range, and is frozen if the variant's spans less
# than a twentieth of that.
MOVES, FROZEN = 0.1, 0.05


# float32 sums in another order differ by some 1e-6 of the largest value.
FLOAT_ROUNDING = 1e-5


@dataclass(frozen=True)
class Codes:
    """What an output's codes stand for: one step, and the real values of the lowest and the highest code."""

    step: float
    low: float
    high: float


def codes_of(model: Model, tensor: int) -> Codes | None:
    """The codes of an output, also where a conversion turns them into floats; None for outputs that have none.

    Args:
        model: The file.
        tensor: Index of the output among the first subgraph's tensors.
    """
    tensors = model.subgraphs[0].tensors
    for found in (tensors[tensor], tensors[conversions_before(model, tensor)]):
        if carries_codes(found.type) and found.quantization.kind == "per_tensor":
            low, high = type_range(found.type)
            step, zero_point = float(found.quantization.scales[0]), int(found.quantization.zero_points[0])
            return Codes(step, (low - zero_point) * step, (high - zero_point) * step)
    return None


def invalid_probabilities(outputs: Floats, codes: Codes | None = None) -> Measurement:
    """Share of samples whose outputs are no probabilities, for a source whose outputs are.

    Rounding moves each of an integer output's values by half a step, and the sum by as much for each class.

    Args:
        outputs: Shape (n, classes), or one score a sample.
        codes: Of integer outputs.
    """
    rows = outputs.reshape(len(outputs), -1)
    tolerance = SUM_TOLERANCE + (rows.shape[1] * codes.step / 2 if codes else 0.0)
    valid = are_probabilities(rows, tolerance)
    sums = by_row(lambda some: some.astype(np.float64).sum(axis=1), rows)
    share = float(np.count_nonzero(~valid)) / len(rows)
    off = float(np.abs(sums - 1).max()) if rows.shape[1] > 1 else 0.0
    if valid.all():
        return Measurement("invalid_probabilities", share, samples=len(rows), detail=f"sums within {off:.3g} of one")
    first = int(np.flatnonzero(~valid)[0])
    return Measurement(
        "invalid_probabilities",
        share,
        samples=len(rows),
        detail=f"first in sample {first}: values {_span(rows[first])}, sum {sums[first]:.4g}",
        causes=(
            "the softmax or sigmoid is missing from the variant",
            "the output's scale or zero point is not the one that the network was quantized with",
        ),
    )


def _span(values: Floats) -> str:
    return f"{values.min():.4g} to {values.max():.4g}"


def lost_classes(
    reference: Floats, outputs: Floats, threshold: float | None = None, labels: tuple[str, ...] | None = None
) -> Measurement:
    """How many classes the variant never decides for, of those that the source decides for in five samples or more.

    Where the variant has one class for everything, every other one is lost, however often the source decides for it.

    Raises:
        Unmeasured: if the source itself decides for one class only: a constant model would look right.
    """
    source, variant = decisions(reference, threshold), decisions(outputs, threshold)
    classes, counts = np.unique(source[source != UNDECIDED], return_counts=True)
    if len(classes) < 2:
        raise Unmeasured(
            "lost_classes: the source decides for one class only on the evaluation set",
            expected="samples of at least two classes",
            next="evaluate on a set that covers the classes",
        )
    found = set(np.unique(variant).tolist()) - {UNDECIDED}
    often = counts >= (SEEN_OFTEN if len(found) > 1 else 1)
    lost = [int(c) for c in classes[often] if int(c) not in found]
    if not lost:
        return Measurement("lost_classes", 0.0, samples=len(source))
    names = ", ".join(labels[c] if labels and c < len(labels) else str(c) for c in lost[:5])
    only = f"; it decides for {len(found)} of {len(classes)} classes"
    return Measurement("lost_classes", float(len(lost)), samples=len(source), detail=f"never {names}{only}")


def frozen_outputs(reference: Floats, outputs: Floats) -> Measurement:
    """How many of the output's values hardly change from sample to sample, although the source's do.

    Raises:
        Unmeasured: if the shapes differ, if there is one sample only, or if nothing of the source's output changes.
    """
    if outputs.shape != reference.shape or len(outputs) < 2:
        raise Unmeasured(
            f"frozen_outputs: outputs of shape {outputs.shape}", expected=f"{reference.shape}, of two samples at least"
        )
    (low, high), (variant_low, variant_high) = _extremes(reference), _extremes(outputs)
    spans = high - low
    moving = spans > MOVES * (high.max() - low.min())
    if not moving.any():
        raise Unmeasured(
            "frozen_outputs: the source's own outputs are the same for every sample",
            expected="an evaluation set of samples that differ",
        )
    # NaN spans compare as not frozen: nonfinite_outputs is where they count.
    frozen = moving & (variant_high - variant_low < FROZEN * spans)
    count = int(np.count_nonzero(frozen))
    return Measurement(
        "frozen_outputs",
        float(count),
        samples=len(reference),
        detail=f"{count} of {int(np.count_nonzero(moving))} that move in the source" if count else None,
        causes=("a layer on the way is zeroed, saturated, or quantized with a scale far too large",) if count else (),
    )


def _extremes(outputs: Floats) -> tuple[Floats, Floats]:
    """The smallest and the largest value of each output over all samples, shape (values of a sample,)."""
    rows = outputs.reshape(len(outputs), -1)
    found = [(some.min(axis=0), some.max(axis=0)) for _, some in blocks(rows)]
    lows, highs = (np.array(ends, np.float64) for ends in zip(*found, strict=True))
    return lows.min(axis=0), highs.max(axis=0)


def output_saturation(reference: Floats, outputs: Floats, codes: Codes) -> Measurement:
    """Share of output values that are pinned to an end of the output's range while the source's are elsewhere.

    A softmax pins most of its values to 0 and one to 255/256, and so does its source: those are where they should be.
    What counts is a value at the lowest or highest code whose source is more than a step away from that end: beyond it,
    so that the range is too short, or well inside, so that something before it is wrong.

    Args:
        reference: Shape (n, …).
        outputs: The same shape, real values.
        codes: What the output's codes stand for.

    Raises:
        Unmeasured: if the shapes differ.
    """
    if outputs.shape != reference.shape:
        raise Unmeasured(f"output_saturation: outputs of shape {outputs.shape}", expected=f"{reference.shape}")
    counts = tuple(sum(found) for found in zip(*_pinned(reference, outputs, codes), strict=True))
    detail = None
    causes: tuple[str, ...] = ()
    if any(counts):
        detail = (
            f"the output's range is [{codes.low:.4g}, {codes.high:.4g}]: the source lies beyond it in {counts[0]} "
            f"values, well inside in {counts[1]}"
        )
        causes = (
            (
                f"the output's range is too short: the source's outputs go from {_span(reference)}",
                "the calibration set does not cover what the evaluation set brings",
            )
            if counts[0] > counts[1]
            else ("a layer before the output is wrong",)
        )
    return Measurement(
        "output_saturation", sum(counts) / outputs.size, samples=len(outputs), detail=detail, causes=causes
    )


def _pinned(reference: Floats, outputs: Floats, codes: Codes) -> Iterator[tuple[int, int]]:
    """How many values of a block are pinned to an end while the source's lie beyond it, and how many well inside."""
    half = codes.step / 2
    for _, theirs, ours in blocks(reference, outputs):
        low, high = ours <= codes.low + half, ours >= codes.high - half
        beyond = (low & (theirs < codes.low - codes.step)) | (high & (theirs > codes.high + codes.step))
        inside = (low & (theirs > codes.low + codes.step)) | (high & (theirs < codes.high - codes.step))
        yield int(np.count_nonzero(beyond)), int(np.count_nonzero(inside & ~beyond))


def rerun_mismatch(first: Floats, again: Floats) -> Measurement:
    """Share of output values that differ between two runs of the same samples.

    Args:
        first: Shape (n, …).
        again: The same samples, fed in the opposite order to another session; in the order of `first`.
    """
    different = ~((first == again) | (np.isnan(first) & np.isnan(again)))
    share = float(np.count_nonzero(different)) / first.size
    if not different.any():
        return Measurement("rerun_mismatch", share, samples=len(first))
    rows = np.flatnonzero(different.reshape(len(first), -1).any(axis=1))
    return Measurement(
        "rerun_mismatch",
        share,
        samples=len(first),
        detail=f"in {len(rows)} of {len(first)} samples, by up to {_largest(first, again):.3g}",
        causes=(
            "an operator draws random numbers (dropout left in, random augmentation)",
            "state leaks from sample to sample",
            "the runtime reads memory that it did not write",
        ),
    )


def batch_mismatch(single: Floats, batched: Floats, batch: int, codes: Codes | None = None) -> Measurement:
    """Share of output values that differ between one sample at a time and a batch.

    Integer outputs must be the same codes. Float ones may differ by float32's rounding in another order of summation,
    1e-5 of the largest output.

    Args:
        single: Outputs at batch 1, shape (n, …).
        batched: The same samples in batches.
        batch: Samples in one of the batches; 1 where the file takes no more.
        codes: Of integer outputs.
    """
    if batch == 1:
        return Measurement("batch_mismatch", 0.0, samples=len(single), detail="the file takes one sample at a time")
    finite = np.abs(single[np.isfinite(single)])
    allowed = codes.step / 2 if codes else FLOAT_ROUNDING * float(finite.max(initial=0.0))
    same = (np.abs(single - batched) <= allowed) | (np.isnan(single) & np.isnan(batched)) | (single == batched)
    share = float(np.count_nonzero(~same)) / single.size
    if same.all():
        return Measurement("batch_mismatch", share, samples=len(single), detail=f"in batches of {batch}")
    return Measurement(
        "batch_mismatch",
        share,
        samples=len(single),
        detail=f"in batches of {batch}, by up to {_largest(single, batched):.3g}",
        causes=(
            "a layer computes over the batch (batch normalization in training mode)",
            "a constant or a reshape in the graph is written for one sample",
        ),
    )


def kernel_path_flips(
    reference: Floats, shipped: Floats, builtin: Floats, threshold: float | None = None, codes: Codes | None = None
) -> Measurement:
    """Share of clear cases in which the runtime's default path and its built-in kernels decide for different classes.

    XNNPACK and the built-in kernels round differently, so healthy files differ between them in single steps all the
    time; on clear cases they agree. A kernel that is wrong on this machine flips many.

    Args:
        reference: The source's outputs; they tell which cases are clear.
        shipped: By the default path, XNNPACK included.
        builtin: By the built-in kernels alone.
        threshold: Of a binary model.
        codes: Of integer outputs, to report the difference in steps.

    Raises:
        Unmeasured: if no case is clear.
    """
    clear = clear_cases(reference, threshold)
    n = int(np.count_nonzero(clear))
    if not n:
        raise Unmeasured(
            "kernel_path_flips: the source is sure of no evaluation sample",
            expected="samples of which the source prefers one class by half the probability",
        )
    flipped = clear & (decisions(shipped, threshold) != decisions(builtin, threshold))
    flips = int(np.count_nonzero(flipped))
    steps = _steps(shipped, builtin, codes)
    named = f", samples {', '.join(map(str, np.flatnonzero(flipped)[:5]))}" if flips else ""
    return Measurement(
        "kernel_path_flips",
        flips / n,
        samples=n,
        interval=wilson(flips, n),
        bound=wilson_upper(flips, n),
        settle=partial(_settle, flips / n),
        detail=f"{flips} of {n} clear cases flip{named}; outputs differ by up to {steps}",
        causes=("the kernels of one path are wrong on this machine for an operator of this file",) if flips else (),
    )


def _settle(rate: float, limit: float) -> int | None:
    return wilson_samples_to_settle(rate, limit, "at_most")


def _largest(one: Floats, other: Floats) -> float:
    """The largest difference; infinite where one of the two is not a number."""
    difference = np.abs(one.astype(np.float64) - other)
    return float(np.where(np.isnan(one) & np.isnan(other), 0.0, np.nan_to_num(difference, nan=np.inf)).max())


def _steps(shipped: Floats, builtin: Floats, codes: Codes | None) -> str:
    largest = _largest(shipped, builtin)
    return f"{largest / codes.step:.3g} steps" if codes else f"{largest:.3g}"


def kernel_path_lsb(shipped: Floats, builtin: Floats, codes: Codes) -> Measurement:
    """Largest difference between the default path and the built-in kernels, in steps of the output.

    Healthy files reach dozens of steps behind a softmax, which is why this is reported and not judged.
    """
    steps = np.abs(shipped.astype(np.float64) - builtin) / codes.step
    different = float(np.count_nonzero(steps > 0.5)) / steps.size
    return Measurement(
        "kernel_path_lsb",
        float(steps.max()),
        samples=len(shipped),
        detail=f"{different:.1%} of the values differ",
        evidence={"share": different},
    )
