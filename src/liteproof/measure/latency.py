"""Time of one inference: how many rounds, and what the rounds say.

>>> [round(m.value, 3) for m in percentiles([0.001] * 99 + [0.004])][:2]
[1.0, 1.0]
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.runtime import Session
from liteproof.measure.subject import Subject
from liteproof.measure.tensors import Array, match
from liteproof.statistics import percentile, percentile_bounds, percentile_upper, rounds_needed

QUANTILES = {"latency_p50_ms": 0.50, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}

# The official tools' habit: at least 50 rounds and one second. The largest of 59 rounds bounds the 95th percentile
# with 95% confidence; 299 the 99th.
SECONDS = 1.0
FEWEST_ROUNDS = rounds_needed(0.95, 0.95)
MOST_ROUNDS = 2000
WARMUP_SECONDS = 0.3
FEWEST_WARMUP_ROUNDS = 3
SAMPLES_FED = 64


def rounds_for(seconds_each: float) -> int:
    """How many rounds to time, given what one of them takes."""
    return min(MOST_ROUNDS, max(FEWEST_ROUNDS, math.ceil(SECONDS / max(seconds_each, 1e-9))))


def timed_rounds(subject: Subject, benchmark: Any) -> Sequence[float]:
    """Seconds of each timed inference: batch 1, real inputs in turn, after a warm-up.

    Args:
        subject: The case.
        benchmark: pytest-benchmark's fixture, which carries the rounds, so that its table, `--benchmark-json` and
            `--benchmark-compare` work as users know them.

    Raises:
        Unmeasured: if the benchmark is disabled (by `--benchmark-disable`, or by pytest-xdist, which disables it).
    """
    if benchmark.disabled:
        raise Unmeasured(
            "pytest-benchmark is disabled: nothing was timed",
            expected="a run without --benchmark-disable and without -n",
            next='pytest -m timing (without -n), or leave timing out with -m "not timing"',
        )
    session = subject.open()
    feed = itertools.cycle(one_by_one(session, subject))
    each = warm_up(session, lambda: next(feed))
    benchmark.pedantic(session.run, setup=lambda: session.feed(next(feed)), rounds=rounds_for(each))
    rounds: Sequence[float] = benchmark.stats.stats.data
    return rounds


def one_by_one(session: Session, subject: Subject) -> list[tuple[Array, ...]]:
    """What the inputs hold for the first evaluation samples, each a batch of one."""
    arrays = match(session.inputs, subject.evaluation.x)
    count = min(SAMPLES_FED, len(subject.evaluation))
    return [
        session.quantize_inputs(
            {spec.name: array[i : i + 1] for spec, array in zip(session.inputs, arrays, strict=True)}
        )
        for i in range(count)
    ]


def warm_up(session: Session, sample: Callable[[], tuple[Array, ...]]) -> float:
    """Run until caches and clocks have had time to settle; returns the seconds that one inference then takes."""
    times = []
    started = time.perf_counter()
    while time.perf_counter() - started < WARMUP_SECONDS or len(times) < FEWEST_WARMUP_ROUNDS:
        session.feed(sample())
        before = time.perf_counter()
        session.run()
        times.append(time.perf_counter() - before)
    return float(np.median(times[len(times) // 2 :]))


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
