"""Intervals and bounds: how sure a measured number is, with the formula and the source of each.

A gate passes when the one-sided bound lies within the limit, not only the measured value:

    >>> agreed, samples = 593, 597
    >>> round(wilson_lower(agreed, samples), 4)          # 0.9933 was measured; 95% sure of at least
    0.9852
    >>> wilson_samples_to_settle(agreed / samples, limit=0.99, direction="at_least")
    2460

Rates are shares in [0, 1], percentiles are given as fractions (0.95 for p95), times keep their unit. Functions without
`lower` or `upper` in their name give two-sided, equal-tailed intervals; those with it give one-sided bounds, each at
the stated confidence. All take independent samples: rounds of a benchmark that drift or come in bursts are less
informative than their number says, which is what `spread` is for. A wrong argument raises ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]
Floats = npt.NDArray[np.float64]

# One more than this times a usual tail (0.025, 0.05) is a whole rank, so that no quantile needs interpolation
# (Davison & Hinkley 1997, section 2.3).
RESAMPLES = 1999
# More values than this are resampled as the means of so many groups.
MOST_RESAMPLED, GROUPS = 2000, 400


# --- Rates: agreement, accuracy, recall ------------------------------------------------------------------------------


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Two-sided Wilson score interval of a rate.

    With p = successes / n: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n). It stays within [0, 1] and keeps a
    sensible width at 0 and n successes, where p ± z √(p(1−p)/n) has none. Averaged over p it covers 95.0 to 95.2% for
    n of 50 to 2000.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22:209; recommended by Newcombe 1998, Stat. Med. 17:857 (method 3).

    Raises:
        ValueError: Unless 0 <= successes <= n, n >= 1 and 0.5 < confidence < 1.

    >>> low, high = wilson(81, 263)                       # Newcombe 1998, table I
    >>> round(low, 4), round(high, 4)
    (0.2553, 0.3662)
    """
    return _wilson(successes, n, _z(confidence, sides=2))


def wilson_lower(successes: int, n: int, confidence: float = 0.95) -> float:
    """One-sided lower Wilson bound of a rate; the formula of `wilson` with the one-sided z.

    Near 1, where agreement and accuracy lie, it errs on the safe side on average (95.6 to 97.3% over rates of 0.9 to 1
    for n of 100 to 1000); at the single worst rate above one half it covers 93.0%. Near 0 it covers less (Cai 2005,
    J. Stat. Plan. Inference 131:63): a rare event is gated by `wilson_upper`.

    Raises:
        ValueError: As `wilson`.

    >>> round(wilson_lower(100, 100), 4)
    0.9737
    """
    return _wilson(successes, n, _z(confidence, sides=1))[0]


def wilson_upper(successes: int, n: int, confidence: float = 0.95) -> float:
    """One-sided upper Wilson bound of a rate: the mirror of `wilson_lower`, sound for rates near 0.

    Raises:
        ValueError: As `wilson`.

    >>> round(wilson_upper(0, 100), 4)
    0.0263
    """
    return _wilson(successes, n, _z(confidence, sides=1))[1]


def wilson_samples_to_settle(
    rate: float, limit: float, direction: Literal["at_least", "at_most"], confidence: float = 0.95
) -> int | None:
    """Samples, in all, at which the one-sided Wilson bound reaches the limit if the rate stays what it is.

    The bound is within the limit L exactly when the score test rejects L, so n = z² L(1−L) / (rate − L)².

    Returns:
        The number of samples (about: the true rate is only estimated); None if no number would do, because the rate is
        at the limit or beyond it.

    Raises:
        ValueError: If rate or limit lies outside [0, 1], or as `wilson` for confidence.

    >>> wilson_samples_to_settle(0.97, 0.95, "at_least")
    322
    >>> wilson_samples_to_settle(0.95, 0.95, "at_least") is None
    True
    """
    _require(0 <= rate <= 1 and 0 <= limit <= 1, f"rate {rate} and limit {limit} must lie in [0, 1]")
    z = _z(confidence, sides=1)
    distance = rate - limit if direction == "at_least" else limit - rate
    if limit == (0 if direction == "at_least" else 1):
        return 1  # every bound keeps it
    if distance <= 0:
        return None
    return _ceil(z * z * limit * (1 - limit) / (distance * distance))


# --- The drop of accuracy on the same samples ------------------------------------------------------------------------


def paired_drop(b: int, c: int, n: int, confidence: float = 0.95) -> Interval:
    """Two-sided score interval of the accuracy drop (b − c) / n between two models judged on the same samples.

    The ends are the drops d at which the score statistic
    T(d) = (b − c − nd) / √(n (2q + d(1−d))) is ±z, where q, the chance that only the variant is right, takes its
    maximum-likelihood value under d: q = (√(B² + 8ncd(1−d)) − B) / 4n with B = (2n − b + c) d − (b + c).
    The pairing makes it far narrower than two separate intervals. Averaged over realistic drops it covers 95.0 to
    96.0% for n from 200, and more (up to 98%) where fewer than about five samples differ.

    Source: Tango 1998, Stat. Med. 17:891, eqs. 24 to 26; among those recommended by Fagerland, Lydersen & Laake 2014,
    Stat. Med. 33:2850.

    Args:
        b: Samples that only the reference gets right.
        c: Samples that only the variant gets right.
        n: All samples.
        confidence: Two-sided.

    Raises:
        ValueError: Unless b, c >= 0, b + c <= n, n >= 1 and 0.5 < confidence < 1.

    >>> low, high = paired_drop(1, 7, 21)                 # Fagerland et al. 2014, airway hyper-responsiveness
    >>> round(low, 3), round(high, 3)
    (-0.517, -0.026)
    """
    z = _z(confidence, sides=2)
    # Seen from the other model, the lower end is the upper one.
    return -_tango_upper(c, b, n, z), _tango_upper(b, c, n, z)


def paired_drop_upper(b: int, c: int, n: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of the accuracy drop (b − c) / n; arguments, source and errors as `paired_drop`.

    Averaged over losses of accuracy it covers 95.0 to 96.0% for n from 200.

    >>> round(paired_drop_upper(0, 0, 597), 4)            # no sample differs: 0.45 points may still be lost
    0.0045
    >>> round(paired_drop_upper(1, 0, 44), 3)             # Tango 1998, section 6.1
    0.096
    """
    return _tango_upper(b, c, n, _z(confidence, sides=1))


def paired_samples_to_settle(b: int, c: int, n: int, limit: float, confidence: float = 0.95) -> int | None:
    """Samples, in all, at which `paired_drop_upper` reaches the limit if b and c grow in proportion.

    T(limit) of `paired_drop` grows with √n at constant shares, so n (z / T)² samples are needed.

    Returns:
        The number of samples (about); None if no number would do, because the drop is at the limit or beyond it.

    Raises:
        ValueError: As `paired_drop`.

    >>> paired_samples_to_settle(6, 2, 597, limit=0.01)
    3829
    """
    _require_pairs(b, c, n)
    z = _z(confidence, sides=1)
    if limit >= 1:
        return 1  # every bound keeps it
    if (b - c) / n >= limit:
        return None
    return _ceil(n * (z / _tango_statistic(b, c, n, limit)) ** 2)


def mcnemar_exact(b: int, c: int) -> float:
    """Exact two-sided McNemar p value: 2 P(X <= min(b, c)) for X ~ Binomial(b + c, ½), at most 1.

    The chance of so lopsided a split of the samples that only one model gets right, if both were equally accurate.

    Source: McNemar 1947, Psychometrika 12:153; the exact form as in Fagerland, Lydersen & Laake 2013, BMC Med. Res.
    Methodol. 13:91.

    Raises:
        ValueError: If b or c is negative.

    >>> round(mcnemar_exact(1, 7), 4)                     # Fagerland et al. 2013
    0.0703
    """
    _require(b >= 0 and c >= 0, f"counts must not be negative: b={b}, c={c}")
    return min(1.0, 2 * float(_binomial_cdf(b + c, 0.5)[min(b, c)]))


# --- Percentiles, free of any distribution ---------------------------------------------------------------------------


def percentile(values: npt.ArrayLike, q: float) -> float:
    """The q-th quantile by linear interpolation between the two nearest order statistics (1 + (n − 1) q).

    Linear rather than nearest-rank because it is what users get when they recompute it: `numpy.quantile`'s default, and
    at q = 0.5 the median that pytest-benchmark prints. The two are less than one rank apart, and the bounds
    below lean on neither. Source: Hyndman & Fan 1996, Am. Stat. 50:361, type 7.

    Args:
        values: Shape (n,), any unit.
        q: A fraction, 0 < q < 1.

    Raises:
        ValueError: If values is empty, not one-dimensional or not finite, or q is not a fraction.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5)
    2.5
    """
    _require_fraction(q)
    return float(np.quantile(_sample(values), q))


def percentile_bounds(values: npt.ArrayLike, q: float, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Two-sided bounds of the q-th quantile by order statistics, half of the risk on either side.

    The number X of values below the true quantile is Binomial(n, q), whatever the distribution: the lower bound is the
    largest x₍l₎ with P(X < l) <= (1−confidence)/2, the upper the smallest x₍u₎ with P(X < u) >= (1+confidence)/2.
    They cover at least as often as stated, also with ties.

    Source: David & Nagaraja 2003, Order Statistics, section 7.1; Conover 1999, Practical Nonparametric Statistics, 3.2.

    Returns:
        (lower, upper) in the unit of the values; None where so few values have no such bound (two-sided 95% of p95: an
        upper one from 72 values).

    Raises:
        ValueError: As `percentile`, or unless 0.5 < confidence < 1.

    >>> percentile_bounds(range(1, 101), 0.5)
    (40.0, 61.0)
    >>> percentile_bounds(range(1, 11), 0.95)
    (8.0, None)
    """
    tail = (1 - _confidence(confidence)) / 2
    _require_fraction(q)
    ordered = np.sort(_sample(values))
    lower, upper = _ranks(len(ordered), q, tail)
    return (
        float(ordered[lower - 1]) if lower >= 1 else None,
        float(ordered[upper - 1]) if upper <= len(ordered) else None,
    )


def percentile_upper(values: npt.ArrayLike, q: float, confidence: float = 0.95) -> float | None:
    """One-sided upper bound of the q-th quantile by order statistics; source and errors as `percentile_bounds`.

    Returns:
        The bound in the unit of the values; None with fewer than `rounds_needed(q, confidence)` values.

    >>> percentile_upper(range(1, 60), 0.95), percentile_upper(range(1, 59), 0.95)
    (59.0, None)
    """
    tail = 1 - _confidence(confidence)
    _require_fraction(q)
    ordered = np.sort(_sample(values))
    rank = _ranks(len(ordered), q, tail)[1]
    return float(ordered[rank - 1]) if rank <= len(ordered) else None


def rounds_needed(q: float, confidence: float = 0.95) -> int:
    """The fewest values whose largest bounds the q-th quantile from above: the smallest n with 1 − qⁿ >= confidence.

    Source: Wilks 1941, Ann. Math. Stat. 12:91.

    Raises:
        ValueError: Unless 0 < q < 1 and 0.5 < confidence < 1.

    >>> rounds_needed(0.95), rounds_needed(0.99), rounds_needed(0.5)
    (59, 299, 5)
    """
    _require_fraction(q)
    return _ceil(math.log(1 - _confidence(confidence)) / math.log(q))


def percentile_samples_to_settle(values: npt.ArrayLike, q: float, limit: float, confidence: float = 0.95) -> int | None:
    """Rounds, in all, at which `percentile_upper` reaches the limit if as large a share of them keeps it as now.

    The q-th quantile keeps the limit when a share s >= q of the values does, so this is a rate held against q:
    n = z² q(1−q) / (s − q)² by the score test, and never below `rounds_needed`.

    Returns:
        The number of rounds (about); None if no number would do, because a share of q or less keeps the limit.

    Raises:
        ValueError: As `percentile_bounds`.

    >>> percentile_samples_to_settle(range(1, 31), 0.95, limit=40)
    59
    """
    share = float(np.mean(_sample(values) <= limit))
    rounds = wilson_samples_to_settle(share, q, "at_least", confidence)
    return None if rounds is None else max(rounds, rounds_needed(q, confidence))


# --- Bootstrap: ratios and means -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A value with its two-sided interval and its one-sided bounds, all at the same confidence and in its own unit."""

    value: float
    interval: Interval
    lower: float
    upper: float


def bootstrap(
    statistic: Callable[..., Floats],
    *arrays: npt.ArrayLike,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap of a statistic; several arrays are paired and resampled together.

    The percentile method rather than BCa, because it serves medians: the jackknife from which BCa takes its
    acceleration is inconsistent for them. For means, where skewness matters, use `mean_interval`.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, sections 13.3 and 11.6.

    Args:
        statistic: Maps arrays of shape (..., n), one for each of `arrays`, to shape (...).
        arrays: Shape (n,) each.
        confidence: Of the interval (two-sided) and of each bound (one-sided).
        resamples: Drawn with replacement.
        seed: The same seed gives the same answer.

    Raises:
        ValueError: If the arrays are empty, of unequal length or not finite, confidence is not in (0.5, 1), or the
            resamples are too few for it.

    >>> def mean(x):
    ...     return np.mean(x, axis=-1)
    >>> bootstrap(mean, [1.0, 2.0, 3.0, 4.0]).interval
    (1.5, 3.5)
    """
    samples = [_sample(array) for array in arrays]
    _require(len({len(sample) for sample in samples}) == 1, "arrays must be of one length")
    draws = np.concatenate(
        [statistic(*(sample[rows] for sample in samples)) for rows in _resampled(len(samples[0]), resamples, seed)]
    )
    draws.sort()
    low, high = _tails(draws, (1 - _confidence(confidence)) / 2)
    lower, upper = _tails(draws, 1 - confidence)
    return Estimate(float(statistic(*samples)), (low, high), lower, upper)


def median_ratio(
    a: npt.ArrayLike, b: npt.ArrayLike, confidence: float = 0.95, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """median(a) / median(b) of times taken in turns, with a bootstrap over the rounds (pairs stay together).

    With a the float32 variant's times and b another's, it is the speed-up. A disturbance that hits both halves of a
    round widens the interval little, as it moves both medians. Simulated, 95% cover 95 to 96% for independent times and
    more, up to 99%, where disturbances are shared.

    Source: as `bootstrap`.

    Args:
        a: Shape (n,), positive; a[i] and b[i] come from round i.
        b: Shape (n,), positive, the unit of a.
        confidence: As `bootstrap`.
        resamples: As `bootstrap`.
        seed: As `bootstrap`.

    Raises:
        ValueError: As `bootstrap`, or if a time is not positive.

    >>> median_ratio([10.0, 11.0, 10.5], [5.0, 5.5, 5.25]).value
    2.0
    """
    _require(bool(np.all(_sample(a) > 0) and np.all(_sample(b) > 0)), "a ratio of times needs positive times")

    def ratio(x: Floats, y: Floats) -> Floats:
        return np.asarray(np.median(x, axis=-1) / np.median(y, axis=-1))

    return bootstrap(ratio, a, b, confidence=confidence, resamples=resamples, seed=seed)


def mean_interval(
    values: npt.ArrayLike, confidence: float = 0.95, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """The mean of values that may be skewed (errors, drifts), by the studentised bootstrap.

    With m and s the mean and standard error and t* = (m* − m) / s* over the resamples, the ends are m − s t*₍₁₋ₐ₎
    and m − s t*₍ₐ₎. Studentised because errors are skewed to the right and a gate wants their upper bound. For
    n = 200 from lognormal(0, 1) the one-sided upper bound covers 93.7% against 93.0 (BCa), 91.0 (percentile) and
    90.5 (Student's t); where 19 of 20 values are nearly zero, 95.8 against 91.0, 85.0 and 83.4.

    Of more than `MOST_RESAMPLED` values the means of `GROUPS` drawn at random are resampled in their place: their mean
    and its standard error, and the skewness of t to the order of 1 / √n, are those of the values, and the time does
    not grow with n.

    Source: Efron & Tibshirani 1993, section 12.5; Hall 1988, Ann. Stat. 16:927.

    Args:
        values: Shape (n,), n >= 2.
        confidence: As `bootstrap`.
        resamples: As `bootstrap`.
        seed: As `bootstrap`.

    Returns:
        The mean and its ends in the unit of the values. An end is infinite if so few values differ from the rest that
        many resamples are constant; both ends are the mean if all values are equal.

    Raises:
        ValueError: As `bootstrap`, or if n < 2.

    >>> drift = mean_interval([0.01, 0.03, 0.02, 0.02, 0.05, 0.01, 0.04, 0.02])
    >>> drift.interval[0] < drift.lower < round(drift.value, 3) == 0.025 < drift.upper < drift.interval[1]
    True
    """
    sample = _sample(values)
    _require(len(sample) >= 2, "the spread of a mean needs two values")
    mean, error = float(np.mean(sample)), float(np.std(sample, ddof=1)) / math.sqrt(len(sample))
    if error <= 1e-12 * abs(mean):  # not 0: the mean of equal values may be an ulp off
        return Estimate(mean, (mean, mean), mean, mean)
    centred = _grouped(sample - mean, seed)
    if len(centred) < len(sample):
        error = float(np.std(centred, ddof=1)) / math.sqrt(len(centred))
    roots = np.concatenate([_studentised(centred[rows], error) for rows in _resampled(len(centred), resamples, seed)])
    roots.sort()
    low, high = _tails(roots, (1 - _confidence(confidence)) / 2)
    lower, upper = _tails(roots, 1 - confidence)
    return Estimate(mean, (mean - error * high, mean - error * low), mean - error * upper, mean - error * lower)


def samples_to_settle(n: int, value: float, bound: float, limit: float) -> int | None:
    """Samples, in all, at which a bound reaches the limit, for any estimate whose error shrinks with √n.

    n ((bound − value) / (limit − value))²: for means, ratios of medians and the like, by the central limit theorem.

    Returns:
        The number of samples (about); None if no number would do: the value is at the limit, or the limit and the
        bound lie on different sides of it, or the bound is infinite.

    Raises:
        ValueError: If n < 1.

    >>> samples_to_settle(100, value=1.0, bound=1.2, limit=1.1)
    400
    """
    _require(n >= 1, f"n must be at least 1, not {n}")
    if (bound - value) * (limit - value) <= 0 or not math.isfinite(bound):
        return None
    return _ceil(n * ((bound - value) / (limit - value)) ** 2)


# --- Whether rounds were steady --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """How steady timed rounds were; all three are ratios without a unit.

    Attributes:
        deviation_over_mean: Standard deviation (n − 1) over the mean.
        halves_ratio: Median of the later half of the rounds over that of the earlier: above 1 it grew slower.
        extremes_ratio: The slowest round over the fastest.
    """

    deviation_over_mean: float
    halves_ratio: float
    extremes_ratio: float


def spread(values: npt.ArrayLike) -> Spread:
    """Deviation, drift and extremes of rounds in the order in which they were timed.

    To be reported, not judged: pyperf warns at a deviation of 10% or extremes off by half, which healthy models on an
    idle shared machine show in nearly every run. The middle one of an odd number of rounds belongs to neither half.

    Source: the checks of pyperf (`pyperf check`), with medians for the halves so that one stray round is no drift.

    Args:
        values: Shape (n,), n >= 2, positive, in order.

    Raises:
        ValueError: If there are fewer than two values, or one is not finite or not positive.

    >>> spread([1.0, 1.0, 1.0, 2.0, 2.0]).halves_ratio
    2.0
    """
    sample = _sample(values)
    _require(len(sample) >= 2 and bool(np.all(sample > 0)), "a spread needs two positive values or more")
    half = len(sample) // 2
    return Spread(
        deviation_over_mean=float(np.std(sample, ddof=1) / np.mean(sample)),
        halves_ratio=float(np.median(sample[-half:]) / np.median(sample[:half])),
        extremes_ratio=float(np.max(sample) / np.min(sample)),
    )


# --- Arithmetic behind them ------------------------------------------------------------------------------------------


def _wilson(successes: int, n: int, z: float) -> Interval:
    _require(n >= 1 and 0 <= successes <= n, f"{successes} successes of {n} is not a rate")
    rate = successes / n
    centre = rate + z * z / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Exactly 0 and 1 at the ends, which rounding would miss by an ulp.
    low = (centre - half) / scale if successes > 0 else 0.0
    high = (centre + half) / scale if successes < n else 1.0
    return low, high


def _tango_statistic(b: int, c: int, n: int, drop: float) -> float:
    """T(drop) of `paired_drop`; it falls as `drop` rises."""
    numerator = b - c - n * drop
    if numerator == 0:
        return 0.0
    linear = (2 * n - b + c) * drop - (b + c)
    root = math.sqrt(max(0.0, linear * linear + 8 * n * c * drop * (1 - drop)))
    q = (root - linear) / (4 * n)
    variance = n * (2 * q + drop * (1 - drop))
    return numerator / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, numerator)


def _tango_upper(b: int, c: int, n: int, z: float) -> float:
    """The drop above (b − c) / n at which T is −z, by bisection to the last bit but a few."""
    _require_pairs(b, c, n)
    inside, outside = (b - c) / n, 1.0
    for _ in range(52):
        middle = (inside + outside) / 2
        if _tango_statistic(b, c, n, middle) > -z:
            inside = middle
        else:
            outside = middle
    return outside


def _binomial_cdf(n: int, p: float) -> Floats:
    """P(X <= k) for k = 0 … n, X ~ Binomial(n, p), 0 < p < 1; shape (n + 1,).

    Logarithms of the terms by the ratio of neighbours, then their sum from the smallest k: no factorial can overflow
    and no small tail is a difference of large numbers.
    """
    k = np.arange(n)
    steps = np.log((n - k) / (k + 1)) + math.log(p) - math.log1p(-p)
    logs = n * math.log1p(-p) + np.concatenate(([0.0], np.cumsum(steps)))
    cdf: Floats = np.minimum(1.0, np.cumsum(np.exp(logs)))
    return cdf


def _ranks(n: int, q: float, tail: float) -> tuple[int, int]:
    """Ranks (1 … n) of the order statistics that bound the q-th quantile with `tail` beyond each.

    0 and n + 1 stand for "no such bound".
    """
    # Without k = n: that the quantile lies below the (n + 1)-th value says nothing.
    below = _binomial_cdf(n, q)[:-1]
    lower = int(np.searchsorted(below, tail, side="right"))
    upper = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return lower, upper


def _resampled(n: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Row indices drawn with replacement, shape (some, n), `resamples` rows in all, in blocks that fit a board."""
    generator = np.random.default_rng(seed)
    block = max(1, 1_000_000 // n)
    for start in range(0, resamples, block):
        yield generator.integers(0, n, size=(min(block, resamples - start), n))


def _grouped(values: Floats, seed: int) -> Floats:
    """The values, or where they are many the means of random groups of equal size, moved to a mean of 0.

    Fewer values than a group holds are left out.
    """
    if len(values) <= MOST_RESAMPLED:
        return values
    size = -(-len(values) // GROUPS)
    shuffled = np.random.default_rng(seed).permutation(values)
    means: Floats = shuffled[: len(values) // size * size].reshape(-1, size).mean(axis=1)
    means -= means.mean()
    return means


def _tails(ordered: Floats, tail: float) -> Interval:
    """The values with `tail` of a sorted bootstrap distribution beyond them, on the outer side of rounding."""
    rank = math.floor((len(ordered) + 1) * tail + 1e-9)
    _require(rank >= 1, f"{len(ordered)} resamples are too few for a tail of {tail:g}")
    return float(ordered[rank - 1]), float(ordered[-rank])


def _studentised(centred: Floats, error: float) -> Floats:
    """Mean over standard error of each row; infinite with the sign of the mean where a row is constant."""
    means = centred.mean(axis=-1)
    errors = centred.std(axis=-1, ddof=1) / math.sqrt(centred.shape[-1])
    negligible = 1e-9 * error  # an ulp or two, which equal values leave behind, is no spread
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = means / np.where(errors > negligible, errors, 0.0)
    return np.where(np.abs(means) > negligible, roots, 0.0)


def _z(confidence: float, sides: Literal[1, 2]) -> float:
    return NormalDist().inv_cdf(1 - (1 - _confidence(confidence)) / sides)


def _confidence(confidence: float) -> float:
    _require(0.5 < confidence < 1, f"confidence must lie between 0.5 and 1, not {confidence}")
    return confidence


def _require_fraction(q: float) -> None:
    _require(0 < q < 1, f"q must be a fraction between 0 and 1 (0.95 for p95), not {q}")


def _require_pairs(b: int, c: int, n: int) -> None:
    _require(n >= 1 and b >= 0 and c >= 0 and b + c <= n, f"b={b}, c={c} of n={n} is not a paired table")


def _sample(values: npt.ArrayLike) -> Floats:
    sample = np.asarray(values, dtype=np.float64)
    _require(sample.ndim == 1 and sample.size > 0, f"values must have shape (n,), n >= 1, not {sample.shape}")
    _require(bool(np.all(np.isfinite(sample))), "values must be finite")
    return sample


def _ceil(number: float) -> int:
    """The next whole number of samples, at least 1; an excess of mere rounding does not count."""
    return max(1, math.ceil(number - 1e-9 * max(1.0, number)))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
