import math

import pytest

from liteproof.checks import METRICS, TASKS, Measurement, Verdict, judge, worst


def verdict(metric, value, limit, bound=None):
    return judge(Measurement(metric, value, bound=bound), limit).verdict


def test_at_least_metric_passes_at_its_limit():
    assert verdict("top1_agreement", 0.95, 0.95) is Verdict.PASS


def test_at_most_metric_passes_at_its_limit():
    assert verdict("size_ratio", 0.3, 0.3) is Verdict.PASS


@pytest.mark.parametrize(("metric", "value"), [("top1_agreement", 0.94), ("size_ratio", 0.96)])
def test_outside_the_limit_fails_with_a_negative_margin(metric, value):
    judgement = judge(Measurement(metric, value), 0.95)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.margin == pytest.approx(-0.01)


@pytest.mark.parametrize(("metric", "bound"), [("top1_agreement", 0.94), ("latency_p95_ms", 1.1)])
def test_bound_outside_the_limit_is_provisional(metric, bound):
    value, limit = (0.97, 0.95) if metric == "top1_agreement" else (0.9, 1.0)
    assert verdict(metric, value, limit, bound) is Verdict.PROVISIONAL


def test_provisional_says_how_many_samples_would_settle_it():
    measurement = Measurement("top1_agreement", 0.97, bound=0.94, settle=lambda limit: round(limit * 1000))
    assert judge(measurement, 0.95).samples_to_settle == 950


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("limit", [None, 0.5])
def test_unsound_value_is_unmeasured_whatever_the_limit(value, limit):
    assert verdict("top1_agreement", value, limit) is Verdict.UNMEASURED


def test_no_limit_no_verdict():
    assert verdict("top1_agreement", 0.1, None) is None


def test_worst_verdict_order():
    assert worst([Verdict.PASS, Verdict.PROVISIONAL]) is Verdict.PROVISIONAL
    assert worst([Verdict.UNMEASURED, Verdict.PROVISIONAL]) is Verdict.UNMEASURED
    assert worst([Verdict.FAIL, Verdict.UNMEASURED]) is Verdict.FAIL
    assert worst([]) is None


def test_impossible_limits():
    assert "impossible" in METRICS["top1_agreement"].impossible(1.1)
    assert "impossible" in METRICS["size_ratio"].impossible(-0.1)
    assert METRICS["top1_agreement"].impossible(1.0) is None
    assert METRICS["accuracy_drop"].impossible(-0.01) is None
    assert METRICS["latency_p50_ms"].impossible(math.nan) is not None


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_metric_is_well_defined(metric):
    assert metric.lowest < metric.highest
    assert metric.tasks
    assert metric.tasks <= set(TASKS)
    assert metric.text
    assert metric.default is None or metric.impossible(metric.default) is None
