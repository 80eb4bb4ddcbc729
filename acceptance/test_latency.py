"""One inference keeps its time limits: batch 1, real inputs, the target's threads."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from liteproof.measure import latency, speedup
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check

pytestmark = pytest.mark.timing


@pytest.mark.measures("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")
def test_latency(case: Subject, check: Check, benchmark: BenchmarkFixture) -> None:
    """Percentiles of the raw rounds, after a warm-up, on an undisturbed machine."""
    for measurement in latency.latency(case, benchmark):
        check(measurement)


@pytest.mark.measures("speedup")
def test_speedup(case: Subject, check: Check, benchmark: BenchmarkFixture) -> None:
    """The variant is faster than float32 by the factor it is held to; both are timed in turns."""
    check(speedup.measured_speedup(case, benchmark))
