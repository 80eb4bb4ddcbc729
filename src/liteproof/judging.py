"""From a measurement of a case to its recorded check: the limit, the accepted baseline and the waivers together.

Three things can hold a metric: its budget, the baseline that was accepted last time less an allowed loss, and, the
other way round, a waiver. The check tells the stricter of the first two; a waiver turns a miss into a pass and says so.

    >>> from liteproof.checks import Measurement
    >>> ruling = rule(Measurement("top1_agreement", 0.97), 0.95, baseline=Baseline(0.99, 0.002, "run r1"))
    >>> ruling.judgement.verdict, round(ruling.limit, 3)
    (<Verdict.FAIL: 'FAIL'>, 0.988)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from liteproof.checks import Judgement, Measurement, Metric, Verdict, judge, metric_of, worst
from liteproof.plan import Case, Waiver

# Times are those of one machine and runtime; the other metrics of another machine can be compared, and often should be.
SAME_MACHINE = ("machine", "processor", "runtime", "threads")


@dataclass(frozen=True)
class Baseline:
    """The accepted value of a metric, how much of it may be lost, and where it comes from.

    `incomparable` says why a measurement of this run cannot be held against it.
    """

    value: float
    allowed: float
    origin: str
    incomparable: str | None = None

    def limit(self, metric: Metric) -> float:
        """What the metric is held to: a share of the baseline for times and sizes, absolute for the others."""
        sign = -1.0 if metric.direction == "at_least" else 1.0
        loss = self.allowed * abs(self.value) if metric.relative else self.allowed
        return self.value + sign * loss


@dataclass(frozen=True)
class Ruling:
    """What a measurement comes to, and under which limit."""

    judgement: Judgement
    limit: float | None
    detail: str | None


def rule(
    measurement: Measurement,
    limit: float | None,
    *,
    baseline: Baseline | None = None,
    waiver: Waiver | None = None,
    today: date | None = None,
) -> Ruling:
    """Hold a measurement against its budget, its baseline and its waiver."""
    ruling = Ruling(judge(measurement, limit), limit, measurement.detail)
    if baseline is not None:
        ruling = _stricter(ruling, _against(baseline, measurement))
    if waiver is not None:
        ruling = _waived(ruling, waiver, today or date.today())  # noqa: DTZ011 - a waiver ends with the user's day
    return ruling


def _against(baseline: Baseline, measurement: Measurement) -> Ruling:
    metric = metric_of(measurement.metric, measurement.better)
    limit = baseline.limit(metric)
    note = f"accepted: {baseline.value:.6g} ({baseline.origin}), allowed loss {baseline.allowed:g}"
    if baseline.incomparable:
        return Ruling(
            Judgement(Verdict.UNMEASURED, None),
            limit,
            _joined(measurement.detail, f"{note}; not comparable: {baseline.incomparable}"),
        )
    # The same samples again: a share can be compared exactly, without the uncertainty of having drawn them.
    exact = measurement if metric.unit == "ms" else replace(measurement, bound=None)
    return Ruling(judge(exact, limit), limit, _joined(measurement.detail, note))


def _stricter(budget: Ruling, baseline: Ruling) -> Ruling:
    verdicts = (budget.judgement.verdict, baseline.judgement.verdict)
    if budget.limit is not None and worst(v for v in verdicts if v) == verdicts[0] != verdicts[1]:
        return budget
    if budget.limit is not None and verdicts[0] == verdicts[1]:
        first, second = budget.judgement.margin, baseline.judgement.margin
        if first is not None and second is not None and first <= second:
            return budget
    return baseline


def _waived(ruling: Ruling, waiver: Waiver, today: date) -> Ruling:
    if waiver.until < today:
        text = f"its waiver ran out on {waiver.until} ({waiver.reason})"
        return replace(ruling, judgement=_failed(ruling.judgement), detail=_joined(ruling.detail, text))
    if ruling.judgement.verdict is not Verdict.FAIL:
        text = f"its waiver matches nothing: the gate is kept ({waiver.reason}); remove it"
        return replace(ruling, judgement=_failed(ruling.judgement), detail=_joined(ruling.detail, text))
    text = f"waived until {waiver.until}: {waiver.reason}"
    return replace(
        ruling, judgement=replace(ruling.judgement, verdict=Verdict.PASS), detail=_joined(ruling.detail, text)
    )


def _failed(judgement: Judgement) -> Judgement:
    return replace(judgement, verdict=worst([Verdict.FAIL, judgement.verdict or Verdict.PASS]))


def _joined(detail: str | None, more: str) -> str:
    return f"{detail}; {more}" if detail else more


def baseline_of(case: Case, metric: str, ran_on: Mapping[str, object]) -> Baseline | None:
    """What the case's manifest asks a metric to be compared with; None where it asks for nothing.

    A model that was never accepted, or not with this metric, has nothing to compare with yet.
    """
    allowed = case.variant.regression.get(metric)
    accepted = case.variant.accepted.get(case.target.name)
    if allowed is None or accepted is None or metric not in accepted.metrics:
        return None
    incomparable = None
    if case.model.metric(metric).unit == "ms" or metric in ("speedup", "peak_memory_mb"):
        differs = [key for key in SAME_MACHINE if str(accepted.ran_on.get(key)) != str(ran_on.get(key))]
        incomparable = "; ".join(f"{key} was {accepted.ran_on.get(key)}, is {ran_on.get(key)}" for key in differs)
    elif accepted.evaluation != case.model.evaluation.sha256:
        incomparable = "the evaluation set is another one"
    return Baseline(accepted.metrics[metric], allowed, accepted.origin, incomparable or None)


def waiver_of(case: Case, metric: str) -> Waiver | None:
    """The waiver of a whole metric; waivers of a specification rule are the specification's."""
    return next((w for w in case.variant.waivers if w.rule == metric and w.tensor is None), None)
