"""Time of one inference: when the warm-up is over, how many rounds, and what the rounds say.

    >>> idle = (State(at=0.0, cores=2, own_s=0.0), State(at=1.0, cores=2, own_s=1.0))
    >>> rounds = Rounds(seconds=(0.010,) * 57 + (0.030,) * 3, looks=idle, warm_up=50, settled=True)
    >>> p50, p95, p99 = percentiles(rounds, limits={"latency_p95_ms": 20.0})
    >>> p50.value, round(p95.value, 3), p95.bound
    (10.0, 11.0, 30.0)

`timed_rounds` takes the rounds on a machine; everything else is arithmetic on recorded times. pytest-benchmark carries
the rounds, and its own switches hold: `--benchmark-max-time` is how long to time (1 s), `--benchmark-min-rounds` the
fewest rounds.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.disturbance import Watch, evidence, retried, summary, unsound
from liteproof.measure.machine_state import State
from liteproof.measure.runtime import Session
from liteproof.measure.subject import Sample, Subject
from liteproof.plan import Case
from liteproof.statistics import (
    percentile,
    percentile_bounds,
    percentile_samples_to_settle,
    percentile_upper,
    rounds_needed,
    spread,
)

QUANTILES: Mapping[str, float] = {"latency_p50_ms": 0.50, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}

# The official tools' habit: half a second of warm-up, at least 50 rounds and one second, at most 150 s.
WARM_UP_S = 0.5
LONGEST_WARM_UP_S = 10.0
ALLOWED_S = 150.0
# Two stretches of warm-up that lie closer than this are settled; the drift of a cold clock or cache is larger.
SETTLED_WITHIN = 0.05
FEWEST_WARM_UP_ROUNDS = 8
# More rounds in a second than this take longer and bound nothing better that a gate asks for: the bound of p99 needs
# 299, and each of the 200 quantiles in a report rests on ten. Who asks for more seconds gets more rounds.
MOST_ROUNDS = 2_000
MOST_QUANTILES = 200


@dataclass(frozen=True)
class Rounds:
    """Timed inferences of one case.

    Attributes:
        seconds: Of each round, in order.
        looks: The machine before, during and after.
        warm_up: Inferences before the first round.
        settled: Whether their times had settled.
        took_s: Warm-up and rounds in all, on the clock.
    """

    seconds: tuple[float, ...]
    looks: tuple[State, ...]
    warm_up: int
    settled: bool
    took_s: float = 0.0


# --- Measuring -------------------------------------------------------------------------------------------------------


def latency(subject: Subject, benchmark: Any) -> tuple[Measurement, ...]:
    """p50, p95 and p99 of one inference: batch 1, real inputs in turn, the target's threads.

    A second attempt is made if the first was disturbed.

    Args:
        subject: The case.
        benchmark: pytest-benchmark's fixture.

    Raises:
        Unmeasured: The benchmark is disabled, or the file does not load.
    """
    limits = {metric: subject.limit(metric) for metric in QUANTILES}
    session = ready(subject, benchmark, group="latency")
    samples = subject.samples(session)
    rounds, disturbances = retried(lambda: timed_rounds(session, samples, benchmark, limits))
    if disturbances:
        benchmark.has_error = True  # pytest-benchmark shows such rounds in red, and saves none to compare with
        return tuple(unsound(metric, disturbances, rounds.looks) for metric in QUANTILES)
    return percentiles(rounds, limits, again=rerun(subject.case))


def rerun(case: Case, suite: str = "latency") -> str:
    """The command that measures a case again."""
    return (
        f"pytest acceptance/test_{suite}.py --model={case.model.name} --variant={case.variant.name} "
        f"--target={case.target.name}"
    )


def ready(subject: Subject, benchmark: Any, group: str) -> Session:
    """An open session, and a benchmark that says what it times.

    Raises:
        Unmeasured: The benchmark is disabled (by `--benchmark-disable`, or by pytest-xdist), or the file does not load.
    """
    if benchmark.disabled:
        raise Unmeasured(
            "pytest-benchmark is disabled: nothing was timed",
            expected="a run without --benchmark-disable and without -n",
            next='pytest -m timing (without -n), or leave timing out with -m "not timing"',
        )
    session = subject.open()
    case = subject.case
    benchmark.group = f"{group}: {case.model.name} on {case.target.name}"
    benchmark.extra_info |= {
        "model": case.model.name,
        "variant": case.variant.name,
        "target": case.target.name,
        "runtime": session.runtime,
        "threads": case.target.threads,
    }
    return session


def timed_rounds(
    session: Session, samples: Sequence[Sample], benchmark: Any, limits: Mapping[str, float | None]
) -> Rounds:
    """Warm up, then time as many rounds as the limited percentiles need, within the time allowed."""
    turn = itertools.cycle(samples)

    def feed() -> None:
        session.feed(next(turn))

    with Watch() as watch:
        feed()
        began = time.perf_counter()
        warm = warm_up(feed, session.run)
        asked = [q for metric, q in QUANTILES.items() if limits.get(metric) is not None]
        rounds = rounds_for(typical(warm), asked, *settings(benchmark))
        seconds = time_rounds(benchmark, session.run, rounds, watch, setup=feed)
        took = time.perf_counter() - began
    return Rounds(seconds, watch.looks, warm_up=len(warm), settled=settled(warm), took_s=took)


def settings(benchmark: Any) -> tuple[float, int]:
    """Seconds to time and fewest rounds, from `--benchmark-max-time` and `--benchmark-min-rounds`."""
    return getattr(benchmark, "_max_time", 1.0), getattr(benchmark, "_min_rounds", 0)


def time_rounds(
    benchmark: Any,
    run: Callable[[], None],
    rounds: int,
    watch: Watch,
    *,
    setup: Callable[[], None],
    allowed_s: float = ALLOWED_S,
) -> tuple[float, ...]:
    """Seconds of each `run`, timed by pytest-benchmark; fewer than `rounds` once `allowed_s` has passed.

    The machine is looked at between rounds; a round that does not count follows each look, as looking empties caches.

    Args:
        benchmark: pytest-benchmark's fixture.
        run: What is timed.
        rounds: How often.
        watch: Looks at the machine.
        setup: Called before each `run`, not timed.
        allowed_s: Seconds in all.
    """
    deadline = time.perf_counter() + allowed_s

    def before() -> None:
        if time.perf_counter() > deadline:
            raise _TimeIsUp
        if watch.glance():
            setup()
            run()
        setup()

    with contextlib.suppress(_TimeIsUp):
        if benchmark.stats is None:
            benchmark.pedantic(run, setup=before, rounds=rounds)
        else:
            # The fixture serves one measurement; the rounds of a second attempt replace those of the first.
            benchmark.stats.stats.data.clear()
            for _ in range(rounds):
                before()
                start = time.perf_counter()
                run()
                benchmark.stats.update(time.perf_counter() - start)
    benchmark.has_error = not benchmark.stats.stats.data
    return tuple(benchmark.stats.stats.data)


class _TimeIsUp(Exception):
    """Ends the rounds from between two of them."""


# --- How long --------------------------------------------------------------------------------------------------------


def warm_up(
    feed: Callable[[], None], run: Callable[[], None], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Run until the times have settled, for half a second at the least and ten at most.

    Returns:
        Seconds of each inference.
    """
    times: list[float] = []
    started = clock()
    check_at = WARM_UP_S
    while True:
        before = clock()
        run()
        after = clock()
        times.append(after - before)
        passed = after - started
        if passed >= LONGEST_WARM_UP_S:
            return times
        if passed >= check_at:
            if settled(times):
                return times
            check_at = passed * 1.2
        feed()


def settled(times: Sequence[float]) -> bool:
    """Whether the last quarter of the times has about the median of the quarter before it.

    >>> settled([5.0] * 6 + [2.0] * 2), settled([5.0] * 6 + [2.0] * 6)
    (False, True)
    """
    quarter = len(times) // 4
    if len(times) < FEWEST_WARM_UP_ROUNDS:
        return False
    last, earlier = np.median(times[-quarter:]), np.median(times[-2 * quarter : -quarter])
    return bool(abs(last - earlier) <= SETTLED_WITHIN * earlier)


def typical(times: Sequence[float]) -> float:
    """Seconds of one inference at the end of a warm-up."""
    return float(np.median(times[-max(1, len(times) // 4) :]))


def rounds_for(each: float, asked: Iterable[float], seconds: float = 1.0, fewest: int = 0) -> int:
    """How many rounds to time.

    As many as fill `seconds`, no fewer than bound the asked percentiles (59 for p95, 299 for p99) and no more than the
    time allowed holds. A whole multiple of what one event in twenty (or in a hundred, for p99) needs to count the same
    from whichever round it begins.

    Args:
        each: Seconds of one inference.
        asked: The percentiles that have a limit, as fractions; p95 always counts as asked.
        seconds: How long to time.
        fewest: Rounds at the least.

    >>> rounds_for(0.001, []), rounds_for(0.05, []), rounds_for(0.05, [0.99]), rounds_for(10.0, [])
    (1000, 60, 300, 15)
    """
    highest = max([0.95, *asked])
    unit = round(1 / (1 - highest))
    filled = min(math.ceil(MOST_ROUNDS * max(1.0, seconds)), math.ceil(round(seconds / max(each, 1e-9), 6)))
    wanted = math.ceil(max(filled, fewest, rounds_needed(highest)) / unit) * unit
    return max(1, min(wanted, int(ALLOWED_S / max(each, 1e-9))))


# --- What the rounds say ---------------------------------------------------------------------------------------------


def percentiles(rounds: Rounds, limits: Mapping[str, float | None], again: str = "") -> tuple[Measurement, ...]:
    """p50, p95 and p99 with bounds by order statistics, which need no distribution.

    A percentile with a limit that so few rounds cannot bound has no value: it is not measured. Without a limit it is
    told without a bound.

    Args:
        rounds: What was timed.
        limits: Limit of each metric, in ms.
        again: The command that measures again.
    """
    milliseconds = np.asarray(rounds.seconds, np.float64) * 1e3
    if not len(milliseconds):
        return tuple(_too_few(metric, rounds, q, again) for metric, q in QUANTILES.items())
    shown = _shown(rounds, milliseconds)
    return tuple(
        _too_few(metric, rounds, q, again)
        if limits.get(metric) is not None and len(milliseconds) < rounds_needed(q)
        else _percentile(metric, q, rounds, milliseconds, shown if metric == "latency_p50_ms" else {}, again)
        for metric, q in QUANTILES.items()
    )


def _percentile(
    metric: str,
    q: float,
    rounds: Rounds,
    milliseconds: npt.NDArray[np.float64],
    shown: Mapping[str, object],
    again: str,
) -> Measurement:
    found = bounded_percentile(metric, q, milliseconds)
    return replace(found, detail=_steadiness(rounds), causes=causes(rounds, q), next=again or None, evidence=shown)


def bounded_percentile(metric: str, q: float, milliseconds: npt.ArrayLike) -> Measurement:
    """A percentile of times with bounds by order statistics.

    Args:
        metric: What it is measured for.
        q: A fraction.
        milliseconds: Shape (n,), at least one.
    """
    values = np.asarray(milliseconds, np.float64)
    low, high = percentile_bounds(values, q)
    upper = percentile_upper(values, q)
    return Measurement(
        metric,
        percentile(values, q),
        samples=len(values),
        interval=(low, high) if low is not None and high is not None else None,
        # Too few rounds for a bound: none of them shows that the percentile is within a limit.
        bound=math.inf if upper is None else upper,
        settle=lambda limit: percentile_samples_to_settle(values, q, limit),
    )


def _too_few(metric: str, rounds: Rounds, q: float, again: str) -> Measurement:
    count = len(rounds.seconds)
    took = f" of {typical(rounds.seconds):.3g} s each" if count else ""
    return Measurement(
        metric,
        None,
        samples=count,
        detail=f"{count} rounds{took} in the {ALLOWED_S:.0f} s allowed; a bound of p{q * 100:.0f} needs "
        f"{rounds_needed(q)}: leave out its limit, or hold a smaller model to it",
        next=again or None,
    )


def _shown(rounds: Rounds, milliseconds: npt.NDArray[np.float64]) -> dict[str, object]:
    """What the reports draw and tell beside the percentiles."""
    steady = spread(milliseconds) if len(milliseconds) > 1 else None
    at = np.linspace(0, 1, min(MOST_QUANTILES, len(milliseconds)))
    return {
        "quantiles_ms": [float(f"{value:.6g}") for value in np.quantile(milliseconds, at)],
        "deviation_over_mean": steady and round(steady.deviation_over_mean, 4),
        "halves_ratio": steady and round(steady.halves_ratio, 4),
        "extremes_ratio": steady and round(steady.extremes_ratio, 4),
        "warm_up_rounds": rounds.warm_up,
        "warm_up_settled": rounds.settled,
        "took_s": round(rounds.took_s, 3),
        "machine": evidence(rounds.looks),
    }


def _steadiness(rounds: Rounds) -> str | None:
    """How steady the rounds were, and the machine with them."""
    if len(rounds.seconds) < 2:
        return None
    steady = spread(rounds.seconds)
    parts = [
        f"deviation {steady.deviation_over_mean:.0%} of the mean",
        f"later half {steady.halves_ratio:.2f} of the earlier",
        f"slowest {steady.extremes_ratio:.1f} times the fastest",
    ]
    if not rounds.settled:
        parts.append(f"not settled after {rounds.warm_up} inferences of warm-up")
    return "; ".join(filter(None, [", ".join(parts), summary(rounds.looks)]))


def causes(rounds: Rounds, q: float) -> tuple[str, ...]:
    """Why these rounds may have been slow, most likely first, with the evidence from them."""
    found = []
    if len(rounds.seconds) > 1:
        median, tail = percentile(rounds.seconds, 0.5), percentile(rounds.seconds, q)
        if tail > 1.5 * median:
            found.append(f"p{q * 100:.0f} is {tail / median:.1f} times p50: something holds up single inferences")
        drift = spread(rounds.seconds).halves_ratio
        if drift > 1.1:
            found.append(f"the later half took {drift:.2f} times as long as the earlier: heat, or a load that grew")
    slow = sorted({governor for look in rounds.looks for governor in look.governors} - {"performance"})
    if slow:
        found.append(f"the cores' clocks may not have been up: governor {', '.join(slow)}")
    limit = rounds.looks[0].cpu_limit
    hits = (rounds.looks[-1].cpu_limit_hits or 0) - (rounds.looks[0].cpu_limit_hits or 0)
    if limit is not None and hits > 0:
        found.append(f"the container is limited to {limit:g} cores, and was held back by that {hits} times")
    return tuple(found)
