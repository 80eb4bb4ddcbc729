"""What a suite is written with: `case`, the variant under judgement, and `check`, the one place that records.

@pytest.mark.measures("top1_agreement")
def test_top1_agreement(case, check):
    check(agreement.top1_agreement(case.reference, case.outputs))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from liteproof.checks import Measurement, Verdict, judge
from liteproof.measure.subject import Bench, Subject
from liteproof.plan import Case
from liteproof.plugin.recording import Recorder, suite_of

BENCH = pytest.StashKey[Bench]()

# The suites that judge what a file answers: where they fail, a layer is to blame.
DIAGNOSED = ("agreement", "accuracy", "outputs")

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
        limit = case.limit(measurement.metric)
        if suite_of(request.node) in DIAGNOSED and judge(measurement, limit).verdict is Verdict.FAIL:
            measurement = _with_diagnosis(measurement, case, request.config.stash[BENCH])
        recorder.record(measurement, limit, case.ran_on)

    return record


def _with_diagnosis(measurement: Measurement, case: Subject, bench: Bench) -> Measurement:
    """The measurement with the layers that a defect of the outputs probably sits in; unless it knows better itself."""
    if measurement.next is not None:
        return measurement
    layers = bench.diagnosis(case.case, lambda: _top_of_diagnosis(case))
    explain = f"liteproof explain {case.model.name} {case.variant.name}"
    return replace(measurement, causes=(*measurement.causes, *layers), next=explain)


def _top_of_diagnosis(case: Subject) -> tuple[str, ...]:
    from liteproof.measure.diagnosis import top_of_diagnosis  # only a missed gate pays for it

    return top_of_diagnosis(case)
