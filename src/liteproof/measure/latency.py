"""Time of one inference: how many rounds, and what the rounds say.

    >>> rounds = [0.001] * 99 + [0.004]
    >>> [round(m.value, 3) for m in percentiles(rounds)]
    [1.0, 1.0, 1.0]
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.statistics import percentile, percentile_bounds, percentile_upper, rounds_needed

QUANTILES = {"latency_p50_ms": 0.50, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}

# The official tools' habit: at least 50 rounds and one second. The largest of 59 rounds bounds the 95th percentile
# with 95% confidence; 299 the 99th.
SECONDS = 1.0
FEWEST_ROUNDS = rounds_needed(0.95, 0.95)
MOST_ROUNDS = 2000
WARMUP_SECONDS = 0.3


def rounds_for(seconds_each: float) -> int:
    """How many rounds to time, given what one of them takes."""
    return min(MOST_ROUNDS, max(FEWEST_ROUNDS, math.ceil(SECONDS / max(seconds_each, 1e-9))))


def percentiles(rounds: Sequence[float]) -> tuple[Measurement, ...]:
    """p50, p95 and p99 with bounds by order statistics, which need no distribution.

    Args:
        rounds: Seconds of each timed round.

    Raises:
        Unmeasured: if there are too few rounds to bound the 95th percentile.
    """
    if len(rounds) < FEWEST_ROUNDS:
        raise Unmeasured(
            f"{len(rounds)} timed rounds", expected=f"at least {FEWEST_ROUNDS}, to bound the 95th percentile"
        )
    milliseconds = np.asarray(rounds, np.float64) * 1e3
    return tuple(_percentile(metric, milliseconds, q) for metric, q in QUANTILES.items())


def _percentile(metric: str, milliseconds: np.ndarray[tuple[int], np.dtype[np.float64]], q: float) -> Measurement:
    low, high = percentile_bounds(milliseconds, q)
    upper = percentile_upper(milliseconds, q)
    return Measurement(
        metric,
        percentile(milliseconds, q),
        samples=len(milliseconds),
        interval=(low, high) if low is not None and high is not None else None,
        # Too few rounds for a bound: none of them shows that the percentile is within the limit.
        bound=math.inf if upper is None else upper,
        settle=lambda _limit: rounds_needed(q, 0.95),
    )
