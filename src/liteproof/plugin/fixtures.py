"""What a suite is written with: `case`, the variant under judgement, and `check`, the one place that records.

@pytest.mark.measures("top1_agreement")
def test_top1_agreement(case, check):
    check(agreement.top1_agreement(case.reference, case.outputs))
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from liteproof.checks import Measurement
from liteproof.measure.subject import Bench, Subject
from liteproof.plan import Case
from liteproof.plugin.recording import Recorder

BENCH = pytest.StashKey[Bench]()

# What `check` is: it records a measurement and holds it against its limit.
Check = Callable[[Measurement], None]


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Subject:
    """The variant under judgement, on this target, with its files opened when asked for."""
    bench: Bench = request.config.stash[BENCH]
    wanted: Case = request.param
    return bench.subject(wanted)


@pytest.fixture
def check(request: pytest.FixtureRequest, case: Subject) -> Check:
    """Record a measurement and hold it against the case's limit; the test fails at its end if a gate was missed."""
    recorder = Recorder.of(request.node)

    def record(measurement: Measurement) -> None:
        recorder.record(measurement, case.limit(measurement.metric), case.ran_on)

    return record
