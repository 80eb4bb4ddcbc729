"""How much faster than float32 a variant is: timed in turns, round by round, in one process.

Milliseconds mean something on a named board; a ratio that was taken in turns holds on a shared machine too, as what
disturbs one half of a round disturbs the other.

    >>> idle = (State(at=0.0, cores=2, own_s=0.0), State(at=1.0, cores=2, own_s=1.0))
    >>> turns = Turns(float32=(0.006,) * 60, variant=(0.003,) * 60, looks=idle)
    >>> speedup(turns).value
    2.0
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.disturbance import Watch, evidence, retried, unsound
from liteproof.measure.latency import ready, rerun, rounds_for, settings, time_rounds, typical, warm_up
from liteproof.measure.machine_state import DOT_PRODUCT, State, instructions
from liteproof.measure.runtime import Session
from liteproof.measure.subject import Sample, Subject
from liteproof.recipes import Recipe
from liteproof.statistics import median_ratio, samples_to_settle

# Below this, calling into the runtime weighs as much as the arithmetic.
SMALL_MODEL_S = 50e-6
# A delegate that makes less difference than this leaves the work to the plain kernels.
NO_DIFFERENCE = 0.10
COMPARED_ROUNDS = 30


@dataclass(frozen=True)
class Turns:
    """Seconds of each inference of the float32 variant and of another, taken in turns.

    `plain` is the other's median without the runtime's default delegate (XNNPACK), if that was asked; `took_s` is the
    time of the warm-up and of all turns.
    """

    float32: tuple[float, ...]
    variant: tuple[float, ...]
    looks: tuple[State, ...]
    plain: float | None = None
    took_s: float = 0.0


def measured_speedup(subject: Subject, benchmark: Any) -> Measurement:
    """The float32 variant's median time over this one's, on the same inputs.

    A second attempt is made if the first was disturbed.

    Raises:
        Unmeasured: The benchmark is disabled, or one of the files does not load.
    """
    variant = ready(subject, benchmark, group="speedup")
    float32 = subject.open_float32()
    pair = Fed(float32, subject.samples(float32, fed_with=subject.evaluation)), Fed(variant, subject.samples(variant))
    turns, disturbances = retried(lambda: timed_turns(*pair, benchmark))
    if disturbances:
        benchmark.has_error = True  # pytest-benchmark shows such rounds in red, and saves none to compare with
        return unsound("speedup", disturbances, turns.looks)
    if np.median(turns.variant) > np.median(turns.float32):
        turns = replace(turns, plain=plain_time(subject))
    return speedup(
        turns,
        recipe=subject.variant.promise,
        runtime=variant.runtime,
        dot_product=None if (known := instructions()) is None else bool(known & DOT_PRODUCT),
        again=rerun(subject.case),
    )


class Fed:
    """A session and the samples that it is fed in turn."""

    def __init__(self, session: Session, samples: Sequence[Sample]) -> None:
        self.run = session.run
        self._session = session
        self._samples = itertools.cycle(samples)

    def feed(self) -> None:
        """Set the inputs to the next sample."""
        self._session.feed(next(self._samples))

    def time(self) -> float:
        """Seconds of one inference on the next sample."""
        self.feed()
        start = time.perf_counter()
        self.run()
        return time.perf_counter() - start


def timed_turns(float32: Fed, variant: Fed, benchmark: Any) -> Turns:
    """Rounds of both, strictly in turns: each follows one of the other, so neither finds the caches warmer."""
    times: dict[int, float] = {}

    def float32_first() -> None:
        # By round, so that the float32 half of a round that does not count is replaced by that of the one that does.
        times[len(benchmark.stats.stats.data)] = float32.time()
        variant.feed()

    def feed_both() -> None:
        float32.feed()
        variant.feed()

    def run_both() -> None:
        float32.run()
        variant.run()

    with Watch() as watch:
        began = time.perf_counter()
        feed_both()
        each = typical(warm_up(feed_both, run_both))
        rounds = rounds_for(each, [], *settings(benchmark))
        seconds = time_rounds(benchmark, variant.run, rounds, watch, setup=float32_first)
        took = time.perf_counter() - began
    return Turns(tuple(times[i] for i in range(len(seconds))), seconds, watch.looks, took_s=took)


def plain_time(subject: Subject) -> float | None:
    """Median seconds of the variant on the runtime's plain optimised kernels, without its default delegate.

    None if it does not load there.
    """
    try:
        session = subject.open(kernels="builtin")
    except Unmeasured:
        return None
    plain = Fed(session, subject.samples(session))
    times = [plain.time() for _ in range(COMPARED_ROUNDS)]
    return float(np.median(times[COMPARED_ROUNDS // 3 :]))


# --- What the turns say ----------------------------------------------------------------------------------------------


def speedup(
    turns: Turns,
    *,
    recipe: Recipe | None = None,
    runtime: str = "this runtime",
    dot_product: bool | None = None,
    again: str = "",
) -> Measurement:
    """median(float32) / median(variant), with a bootstrap over the rounds.

    A variant that is slower than float32 is said so, with the likely reasons.

    Args:
        turns: What was timed.
        recipe: What the variant promises.
        runtime: Name and version.
        dot_product: Whether the processor has dot-product instructions for 8-bit integers; None if unknown.
        again: The command that measures again.
    """
    ratio = median_ratio(turns.float32, turns.variant)
    float32, variant = float(np.median(turns.float32)), float(np.median(turns.variant))
    rounds = len(turns.variant)
    slower = ratio.value < 1
    times = f"{variant * 1e3:.3g} ms against float32's {float32 * 1e3:.3g} ms"
    return Measurement(
        "speedup",
        ratio.value,
        samples=rounds,
        interval=ratio.interval,
        bound=ratio.lower,
        settle=lambda limit: samples_to_settle(rounds, ratio.value, ratio.lower, limit),
        detail=f"{variant / float32:.2f} times slower than float32: {times}" if slower else times,
        causes=slower_because(turns, recipe, runtime, dot_product),
        next=again or None,
        evidence={
            "float32_p50_ms": float32 * 1e3,
            "variant_p50_ms": variant * 1e3,
            "plain_kernels_p50_ms": None if turns.plain is None else turns.plain * 1e3,
            "took_s": round(turns.took_s, 3),
            "machine": evidence(turns.looks),
        },
    )


def slower_because(
    turns: Turns, recipe: Recipe | None, runtime: str, dot_product: bool | None = None
) -> tuple[str, ...]:
    """Why a variant may be no faster than float32, most likely first, with the evidence from this run."""
    float32, variant = float(np.median(turns.float32)), float(np.median(turns.variant))
    integers = recipe is not None and recipe.weights in ("int8", "int4")
    found = []
    if turns.plain is not None and abs(turns.plain / variant - 1) < NO_DIFFERENCE:
        found.append(
            f"{runtime} leaves the operators to its plain kernels: without XNNPACK the variant takes "
            f"{turns.plain * 1e3:.3g} ms, with it {variant * 1e3:.3g} ms"
        )
    if recipe is not None and recipe.weights == "float16":
        found.append("float16 weights are expanded to float32 at load: they save space, not time")
    if integers and recipe is not None and recipe.activations == "float32":
        found.append("activations are float32 and are quantized anew in each inference")
    if integers and dot_product is False:
        found.append("the processor has no dot-product instructions for 8-bit integers (/proc/cpuinfo)")
    if float32 < SMALL_MODEL_S:
        found.append(f"the model is small: float32 takes {float32 * 1e3:.3g} ms, so that the calls weigh most")
    return tuple(found)
