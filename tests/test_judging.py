from datetime import date

import pytest

from liteproof.checks import Measurement, Verdict
from liteproof.judging import Baseline, rule
from liteproof.plan import Waiver

TODAY = date(2026, 11, 20)


def agreement(value, bound=None):
    return Measurement("top1_agreement", value, samples=597, bound=bound)


def waiver(until=date(2027, 3, 31), rule_="top1_agreement"):
    return Waiver("int8", rule_, "vendor compiler rewrites it", until)


def test_without_baseline_and_waiver_the_budget_rules():
    ruling = rule(agreement(0.97), 0.95)
    assert (ruling.judgement.verdict, ruling.limit, ruling.detail) == (Verdict.PASS, 0.95, None)


def test_a_loss_beyond_what_is_allowed_fails_although_the_budget_is_kept():
    ruling = rule(agreement(0.97), 0.95, baseline=Baseline(0.99, 0.002, "run r1"))
    assert ruling.judgement.verdict is Verdict.FAIL
    assert ruling.limit == pytest.approx(0.988)
    assert "accepted: 0.99 (run r1)" in ruling.detail


def test_a_missed_budget_stays_missed_whatever_the_baseline():
    ruling = rule(agreement(0.94), 0.95, baseline=Baseline(0.90, 0.5, "run r1"))
    assert (ruling.judgement.verdict, ruling.limit) == (Verdict.FAIL, 0.95)


def test_times_are_compared_as_a_share():
    slow = Measurement("latency_p50_ms", 11.5, bound=11.6)
    assert rule(slow, None, baseline=Baseline(10.0, 0.10, "r")).judgement.verdict is Verdict.FAIL
    assert rule(slow, None, baseline=Baseline(10.0, 0.20, "r")).judgement.verdict is Verdict.PASS


def test_a_time_whose_bound_is_beyond_is_provisional():
    unsure = Measurement("latency_p50_ms", 10.5, bound=11.6)
    assert rule(unsure, None, baseline=Baseline(10.0, 0.10, "r")).judgement.verdict is Verdict.PROVISIONAL


def test_shares_of_the_same_samples_are_compared_exactly():
    ruling = rule(agreement(0.99, bound=0.98), None, baseline=Baseline(0.99, 0.002, "r"))
    assert ruling.judgement.verdict is Verdict.PASS


def test_what_cannot_be_compared_is_unmeasured_and_says_why():
    baseline = Baseline(10.0, 0.10, "r", incomparable="runtime was a, is b")
    ruling = rule(Measurement("latency_p50_ms", 9.0), 70.0, baseline=baseline)
    assert ruling.judgement.verdict is Verdict.UNMEASURED
    assert "runtime was a, is b" in ruling.detail


def test_waived_miss_passes_and_says_so():
    ruling = rule(agreement(0.90), 0.95, waiver=waiver(), today=TODAY)
    assert ruling.judgement.verdict is Verdict.PASS
    assert "waived until 2027-03-31: vendor compiler rewrites it" in ruling.detail


def test_waiver_that_ran_out_fails():
    ruling = rule(agreement(0.97), 0.95, waiver=waiver(date(2026, 11, 19)), today=TODAY)
    assert ruling.judgement.verdict is Verdict.FAIL
    assert "ran out" in ruling.detail


def test_waiver_holds_on_its_last_day():
    assert rule(agreement(0.9), 0.95, waiver=waiver(TODAY), today=TODAY).judgement.verdict is Verdict.PASS


def test_waiver_that_matches_nothing_fails():
    ruling = rule(agreement(0.97), 0.95, waiver=waiver(), today=TODAY)
    assert ruling.judgement.verdict is Verdict.FAIL
    assert "matches nothing" in ruling.detail


def test_waiver_does_not_turn_the_unmeasured_green():
    ruling = rule(agreement(None), 0.95, waiver=waiver(), today=TODAY)
    assert ruling.judgement.verdict is Verdict.FAIL
