"""One inference keeps its time limits: batch 1, real inputs, the target's threads."""

import pytest

from liteproof.measure import latency


@pytest.mark.timing
@pytest.mark.measures("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")
def test_latency(case, check, benchmark):
    """Percentiles of the raw rounds, after a warm-up."""
    for measurement in latency.percentiles(latency.timed_rounds(case, benchmark)):
        check(measurement)
