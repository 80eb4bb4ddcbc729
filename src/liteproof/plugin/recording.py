"""From a measurement to a recorded check: on the test's own report, so that it travels wherever reports travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from liteproof.applicability import unmet
from liteproof.checks import Check, Measurement, Verdict
from liteproof.judging import baseline_of, rule, waiver_of
from liteproof.plan import Case
from liteproof.report import wording

PROPERTY = "liteproof.check"
# Why this machine's processor is an emulation; "" or absent where nothing says so.
EMULATED = pytest.StashKey[str]()


class GateMissed(Exception):
    """One or more gates of a test were missed."""


class Recorder:
    """Records the checks of one test."""

    def __init__(self, item: pytest.Item) -> None:
        self.item = item
        self.case: Case = item.callspec.params["case"]  # type: ignore[attr-defined]
        self.checks: list[Check] = []

    @classmethod
    def of(cls, item: pytest.Item) -> Recorder:
        """The recorder of this test, made at the first call."""
        if _RECORDER not in item.stash:
            item.stash[_RECORDER] = cls(item)
        return item.stash[_RECORDER]

    def record(self, measurement: Measurement, limit: float | None, ran_on: Mapping[str, object] | None = None) -> None:
        """Judge and record one measurement.

        Args:
            measurement: What was measured.
            limit: The budget.
            ran_on: The machine, where values are held against an accepted baseline.
        """
        if self.case.model.metric(measurement.metric).timed:
            measurement = self._time_that_means_something(measurement)
            if self.case.target.rehearsal:
                limit = ran_on = None
        baseline = baseline_of(self.case, measurement.metric, ran_on) if ran_on is not None else None
        ruling = rule(measurement, limit, baseline=baseline, waiver=waiver_of(self.case, measurement.metric))
        judgement = ruling.judgement
        self._add(
            Check(
                model=self.case.model.name,
                variant=self.case.variant.name,
                target=self.case.target.name,
                suite=suite_of(self.item),
                metric=measurement.metric,
                value=measurement.value,
                limit=ruling.limit,
                margin=judgement.margin,
                samples=measurement.samples,
                interval=measurement.interval,
                verdict=None if self._is_rehearsed(measurement.metric) else judgement.verdict,
                test=test_id(self.item),
                detail=ruling.detail,
                samples_to_settle=judgement.samples_to_settle,
                causes=measurement.causes,
                next=measurement.next,
                evidence=measurement.evidence,
                better=measurement.better,
            )
        )

    def _is_rehearsed(self, metric: str) -> bool:
        """A rehearsal records times, and gates none."""
        return self.case.target.rehearsal and self.case.model.metric(metric).timed

    def _time_that_means_something(self, measurement: Measurement) -> Measurement:
        """On an emulated processor a time is none, unless the target is a rehearsal that only records it."""
        why = self.item.config.stash.get(EMULATED, "")
        if not why or self.case.target.rehearsal:
            return measurement
        detail = f"times mean nothing on an emulated processor: {why}"
        return replace(measurement, value=None, detail=detail, next="rehearsal = true in targets.toml records them")

    def record_unmeasured(self, reason: str) -> None:
        """Record every metric of this test that has no check yet as UNMEASURED."""
        done = {check.metric for check in self.checks}
        case = self.case
        own = {metric.name: metric.better for metric in case.model.metrics}
        for metric in case.model.measured_by(metrics_of(self.item)):
            if metric.name not in done and unmet(metric, case.model, case.variant, case.target) is None:
                nothing = Measurement(metric.name, None, detail=reason, better=own.get(metric.name))
                self.record(nothing, self.case.limit(metric.name))

    def missed(self) -> list[Check]:
        """The checks that fail the test."""
        return [check for check in self.checks if check.verdict in (Verdict.FAIL, Verdict.UNMEASURED)]

    def raise_missed(self) -> None:
        """Fail the test if a gate was missed.

        Raises:
            GateMissed: with the message of each missed gate.
        """
        missed = self.missed()
        if missed:
            raise GateMissed("\n\n".join(wording.gate_message(check) for check in missed))

    def _add(self, check: Check) -> None:
        from liteproof.report.results import finite

        self.checks.append(finite(check))
        self.item.user_properties.append((PROPERTY, msgspec.to_builtins(self.checks[-1])))


_RECORDER = pytest.StashKey[Recorder]()


def recorded(properties: list[tuple[str, Any]]) -> list[Check]:
    """The checks that a report carries."""
    return [msgspec.convert(value, Check) for name, value in properties if name == PROPERTY]


def metrics_of(item: pytest.Item) -> tuple[str, ...]:
    """The metrics that a test says it measures."""
    mark = item.get_closest_marker("measures")
    return tuple(mark.args) if mark else ()


def suite_of(item: pytest.Item) -> str:
    """The suite's file without `test_`."""
    return Path(item.path).stem.removeprefix("test_")


def test_id(item: pytest.Item) -> str:
    """The test's id, spelled the same whatever entrance the suites were reached by."""
    name = item.nodeid.partition("::")[2]
    package = item.path.parent
    if package.name == "acceptance" and (package / "__init__.py").is_file():
        return f"acceptance/{item.path.name}::{name}"
    return item.nodeid
