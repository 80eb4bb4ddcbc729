"""Is the calibration set fit to decide the ranges of a network's activations?

Post-training quantization looks at these samples once and fixes every scale by them: samples that are too few, of some
classes only, or normalised otherwise than what the network is fed give scales that are wrong for everything after.

    >>> import numpy as np
    >>> pixels = np.random.default_rng(0).uniform(0, 255, (120, 8, 8)).astype(np.float32)
    >>> evaluation = Evaluation({"x": pixels[:20] / 255}, None)
    >>> twice = Evaluation({"x": pixels[20:] / 255 / 255}, None)
    >>> calibration_samples(twice).value, calibration_overlap(twice, evaluation).value
    (100.0, 0.0)
    >>> round(calibration_range_overlap(twice, evaluation).value, 3)
    0.004

All functions compare arrays; nothing is run.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.measure.evaluation import Evaluation

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

# Values of an input that are looked at for its range: enough for its 1st and 99th percentile.
MOST_VALUES = 1_000_000
# Values of a sample that tell most samples apart.
SPOTS = 16
NAMED = 5


def calibration_samples(calibration: Evaluation) -> Measurement:
    """How many distinct samples there are: one that is repeated counts once.

    The default limit of 100 is the lower end of what TensorFlow Lite's guide to post-training quantization asks for:
    around 100 to 500 samples of the training or validation data.
    """
    total = len(calibration)
    distinct = len(set(_digests(calibration, calibration, np.arange(total))))
    causes = (f"one sample is repeated {total} times",) if distinct == 1 < total else ()
    return Measurement(
        "calibration_samples",
        float(distinct),
        detail=f"{total} samples, {distinct} of them distinct" if distinct < total else None,
        causes=causes,
        next="calibrate on 100 to 500 samples of the training data, drawn at random",
    )


def calibration_duplicates(calibration: Evaluation) -> Measurement:
    """How many samples repeat an earlier one exactly."""
    digests = list(_digests(calibration, calibration, np.arange(len(calibration))))
    repeats = len(digests) - len(set(digests))
    most, times = Counter(digests).most_common(1)[0]
    detail = f"sample {digests.index(most)} is there {times} times" if repeats else None
    return Measurement("calibration_duplicates", float(repeats), samples=len(digests), detail=detail)


def calibration_overlap(calibration: Evaluation, evaluation: Evaluation) -> Measurement:
    """How many evaluation samples are in the calibration set too, by their values.

    A variant is tuned to its calibration set, and looks better on it than it is.
    """
    ours, theirs = _spots(calibration, evaluation), _spots(evaluation, calibration)
    alike, candidates = np.flatnonzero(np.isin(ours, theirs)), np.flatnonzero(np.isin(theirs, ours))
    seen: dict[bytes, int] = {}
    for i, digest in zip(alike, _digests(calibration, evaluation, alike), strict=True):
        seen.setdefault(digest, int(i))
    found = zip(candidates, _digests(evaluation, calibration, candidates), strict=True)
    shared = [(int(i), seen[digest]) for i, digest in found if digest in seen]
    named = ", ".join(f"evaluation {i} = calibration {j}" for i, j in shared[:NAMED])
    return Measurement(
        "calibration_overlap",
        float(len(shared)),
        samples=len(evaluation),
        detail=named + (" …" if len(shared) > NAMED else "") if shared else None,
        causes=("the calibration set was drawn from the evaluation set, or both from one pool",) if shared else (),
        next="draw the calibration set from the training data" if shared else None,
    )


def calibration_classes_missing(
    calibrated: Array, wanted: Array, known: str = "by its labels", labels: tuple[str, ...] | None = None
) -> Measurement:
    """How many classes of the evaluation set no calibration sample is of.

    A set of fewer samples than there are classes cannot have them all: it lacks what it could have more.

    Args:
        calibrated: The class of each calibration sample, shape (n,).
        wanted: Classes that the evaluation set has.
        known: Who tells the classes of the calibration samples.
        labels: Names of the classes.
    """
    present = set(np.unique(calibrated).tolist())
    classes = [int(c) for c in np.unique(wanted)]
    absent = [c for c in classes if c not in present]
    missing = max(0, len(absent) - max(0, len(classes) - len(calibrated)))
    names = ", ".join(labels[c] if labels and c < len(labels) else str(c) for c in absent[:NAMED])
    return Measurement(
        "calibration_classes_missing",
        float(missing),
        samples=len(calibrated),
        detail=f"{known}: none of {names}" + (" …" if len(absent) > NAMED else "") if absent else known,
        causes=("the set was taken from the front of data that is sorted by class",) if missing else (),
        next="draw the calibration set at random, or so many of each class" if missing else None,
    )


def calibration_accuracy_drop(judged: Bools, calibrated: Bools) -> Measurement:
    """How much less often the network is right on the calibration set than on the evaluation set.

    Samples that the network cannot read (colours in another order, another crop, noise) may have the right range and
    the right labels. The ranges that they give the activations are still none that it will need. The default limit of
    0.2 is four standard deviations of an accuracy of 0.5 on a hundred samples.

    Args:
        judged: For each evaluation sample whether the source decides as it is labelled, shape (n,).
        calibrated: For each calibration sample whether the float32 variant does, shape (m,).
    """
    ours, theirs = float(np.mean(calibrated)), float(np.mean(judged))
    return Measurement(
        "calibration_accuracy_drop",
        theirs - ours,
        samples=len(calibrated),
        detail=f"{ours:.4f} on the calibration set, {theirs:.4f} on the evaluation set",
        causes=(
            "the calibration set is preprocessed otherwise: another scale, order of colours, or crop",
            "its labels are in another order than its samples",
        )
        if theirs - ours > 0.1
        else (),
        next="feed calibration samples through the same preprocessing as the evaluation set's",
    )


def calibration_range_overlap(calibration: Evaluation, evaluation: Evaluation) -> Measurement:
    """What the two sets' ranges share, over what they span together; of the input where that is least.

    An input's range is taken twice: from its 1st to its 99th percentile, which outliers do not move, and from its
    smallest to its largest value, which sparse inputs need. The better of the two counts. Sets that are drawn alike
    come near 1; normalised twice 1/255 or so; 0 to 1 instead of −1 to 1 gives 0.5.
    """
    overlaps = {name: _overlap(ours, theirs) for name, ours, theirs in _paired(calibration, evaluation)}
    worst = min(overlaps, key=lambda name: overlaps[name])
    ours, theirs = next((a, b) for name, a, b in _paired(calibration, evaluation) if name == worst)
    detail = f"input {worst}: calibration {_span_text(ours)}, evaluation {_span_text(theirs)}"
    return Measurement(
        "calibration_range_overlap",
        overlaps[worst],
        samples=len(calibration),
        detail=detail,
        causes=_normalisation(ours, theirs) if overlaps[worst] < 0.9 else (),
        next="feed calibration samples through the same preprocessing as the evaluation set's",
    )


def calibration_stretch(calibration: Evaluation, evaluation: Evaluation) -> Measurement:
    """How many times longer the calibration set's range is than the evaluation set's; of the input where most.

    Ranges go from the smallest to the largest value, as calibrators take them. Each doubling costs one bit: half of
    the codes are for values that do not come.
    """
    stretches = {name: _stretch(ours, theirs) for name, ours, theirs in _paired(calibration, evaluation)}
    worst = max(stretches, key=lambda name: stretches[name])
    ours = next(a for name, a, _ in _paired(calibration, evaluation) if name == worst)
    value = stretches[worst]
    rows = np.abs(ours.reshape(len(ours), -1).astype(np.float64)).max(axis=1)
    causes = (
        (f"calibration sample {int(np.argmax(rows))} holds an outlier, or was not normalised",) if value > 1.5 else ()
    )
    return Measurement("calibration_stretch", value, samples=len(calibration), detail=f"input {worst}", causes=causes)


def _paired(calibration: Evaluation, evaluation: Evaluation) -> Iterator[tuple[str, Array, Array]]:
    """The arrays of each input in both sets. A model's only input may go by `x` in one and by its name in the other."""
    if len(calibration.inputs) == len(evaluation.inputs) == 1:
        (name, theirs), ours = next(iter(evaluation.inputs.items())), next(iter(calibration.inputs.values()))
        yield name, ours, theirs
        return
    for name, theirs in evaluation.inputs.items():
        yield name, calibration.inputs[name], theirs


def _digests(samples: Evaluation, other: Evaluation, chosen: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """A digest of each chosen sample's content, in types that both sets share: what is equal once fed is equal here."""
    arrays = [(ours, _common_type(ours, theirs)) for _, ours, theirs in _paired(samples, other)]
    for i in chosen:
        digest = hashlib.blake2b(digest_size=16)
        for array, dtype in arrays:
            # Adding 0 makes −0 the 0 that it equals.
            digest.update(np.ascontiguousarray(array[i].astype(dtype) + 0).tobytes())
        yield digest.digest()


def _spots(samples: Evaluation, other: Evaluation) -> Array:
    """A few values of each sample as one key, shape (n,): samples that are equal have equal keys.

    To look at these first spares reading all of two sets that share nothing.
    """
    columns = []
    for _, ours, theirs in _paired(samples, other):
        flat = ours.reshape(len(ours), -1)
        places = np.linspace(0, flat.shape[1] - 1, SPOTS).astype(np.int64)
        values: Array = np.ascontiguousarray(flat[:, places], _common_type(ours, theirs)) + np.int8(0)
        columns.append(values.view(np.uint8))
    keys: Array = np.concatenate(columns, axis=1)
    return keys.view(np.dtype((np.void, keys.shape[1]))).ravel()


def _common_type(ours: Array, theirs: Array) -> np.dtype[Any]:
    integers = ours.dtype.kind in "iub" and theirs.dtype.kind in "iub"
    return np.dtype(np.int64 if integers else np.float32)


def _thinned(values: Array) -> npt.NDArray[np.float64]:
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // MOST_VALUES)].astype(np.float64)


def _middle(values: Array) -> tuple[float, float]:
    low, high = np.percentile(_thinned(values), (1, 99), overwrite_input=True)
    return float(low), float(high)


def _ends(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _overlap(ours: Array, theirs: Array) -> float:
    """NaN or infinity in one of them is an overlap of 0."""
    pairs = ((_middle(ours), _middle(theirs)), (_ends(ours), _ends(theirs)))
    return max(_shared(one, other) for one, other in pairs)


def _shared(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The length that two ranges share over the length that they span; 1 for two equal points."""
    if not np.isfinite((*one, *other)).all():
        return 0.0
    if one == other:
        return 1.0
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(0.0, shared) / (max(one[1], other[1]) - min(one[0], other[0]))


def _stretch(ours: Array, theirs: Array) -> float:
    (low, high), (their_low, their_high) = _ends(ours), _ends(theirs)
    if their_high == their_low:
        # An input that never changes: any other range is infinitely longer. The largest double stands for it, since
        # a value that is not finite would count as not measured.
        return 1.0 if (low, high) == (their_low, their_high) else float(np.finfo(np.float64).max)
    stretch = (high - low) / (their_high - their_low)
    return stretch if np.isfinite(stretch) else float(np.finfo(np.float64).max)


def _span_text(values: Array) -> str:
    low, high = _ends(values)
    return f"[{low:.4g}, {high:.4g}]"


def _normalisation(ours: Array, theirs: Array) -> tuple[str, ...]:
    """What would make the one range of the other: a factor, or a factor and a shift."""
    (low, high), (their_low, their_high) = _middle(ours), _middle(theirs)
    if not np.isfinite((low, high)).all():
        return ("the calibration set holds NaN or infinity",)
    if high <= low or their_high <= their_low:
        return ("the calibration set's values are all the same",) if high <= low else ()
    factor = (high - low) / (their_high - their_low)
    if 1 / 1.2 < factor < 1.2:
        return (
            f"the calibration set is shifted by {low - their_low:.4g}: a mean was subtracted once too often or not",
        )
    if factor > 1:
        return (f"the calibration set was not normalised: its values span {factor:.4g} times the evaluation set's",)
    return (f"the calibration set was normalised twice: its values span 1/{1 / factor:.4g} of the evaluation set's",)
