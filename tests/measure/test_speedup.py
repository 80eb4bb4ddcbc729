"""The ratio to float32, on recorded times only."""

from dataclasses import replace

import numpy as np
import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.measure import latency
from liteproof.measure import speedup as speedups
from liteproof.measure.disturbance import Watch
from liteproof.measure.speedup import Fed, Turns, slower_because, speedup, timed_turns
from liteproof.recipes import RECIPES
from tests.measure.timing import FakeSession, Looks, carrier, machine


def turns(float32, variant, plain=None):
    return Turns(tuple(float32), tuple(variant), machine(), plain)


def noisy(median, n=200, seed=0):
    return median * (1 + np.abs(np.random.default_rng(seed).standard_normal(n)) * 0.3)


def test_it_applies_to_every_variant_but_float32():
    assert METRICS["speedup"].needs == {"not_float32"}
    assert METRICS["speedup"].direction == "at_least"


def test_ratio_with_an_interval():
    measured = speedup(turns(noisy(4e-3), noisy(2e-3, seed=1)))
    assert measured.interval[0] < measured.bound < measured.value < measured.interval[1]
    assert measured.interval[0] < 2.0 < measured.interval[1]
    assert measured.samples == 200
    assert judge(measured, 1.5).verdict is Verdict.PASS
    assert judge(measured, 3.0).verdict is Verdict.FAIL


def test_ten_runs_in_a_row_give_the_same_verdict():
    runs = [speedup(turns(noisy(4e-3, seed=seed), noisy(2e-3, seed=seed + 100))) for seed in range(10)]
    assert {judge(run, 1.7).verdict for run in runs} == {Verdict.PASS}


def test_a_burst_that_hits_both_leaves_the_ratio():
    burst = np.where(np.arange(200) < 60, 3.0, 1.0)
    assert speedup(turns(noisy(4e-3) * burst, noisy(2e-3, seed=1) * burst)).value == pytest.approx(2.0, rel=0.1)


def test_ratio_near_the_limit_is_provisional():
    measured = speedup(turns(noisy(4e-3, 60), noisy(2e-3, 60, seed=1)))
    judgement = judge(measured, measured.value - 0.001)
    assert judgement.verdict is Verdict.PROVISIONAL
    assert judgement.samples_to_settle > 60


def test_slower_than_float32_is_said_so():
    measured = speedup(turns([0.43e-3] * 60, [5.7e-3] * 60))
    assert measured.detail.startswith("13.26 times slower than float32: 5.7 ms against float32's 0.43 ms")
    assert "slower" not in speedup(turns([2e-3] * 60, [1e-3] * 60)).detail


def test_plain_kernels_are_the_first_reason():
    reasons = slower_because(
        turns([0.43e-3] * 60, [5.7e-3] * 60, plain=5.8e-3), RECIPES["int8"], "tflite_runtime 2.14.0", dot_product=False
    )
    assert reasons[0].startswith("tflite_runtime 2.14.0 leaves the operators to its plain kernels: without XNNPACK")
    assert "no dot-product instructions" in reasons[1]


def test_no_reason_without_its_evidence():
    assert slower_because(turns([1e-3] * 60, [2e-3] * 60, plain=5e-3), RECIPES["int8"], "r", dot_product=True) == ()
    assert slower_because(turns([1e-3] * 60, [2e-3] * 60), RECIPES["int8"], "r", dot_product=None) == ()


@pytest.mark.parametrize(
    ("recipe", "float32", "said"),
    [
        ("int8", 20e-6, "the model is small: float32 takes 0.02 ms"),
        ("dynamic_range", 1e-3, "quantized anew in each inference"),
        ("float16", 1e-3, "save space, not time"),
    ],
)
def test_other_reasons(recipe, float32, said):
    assert said in " / ".join(slower_because(turns([float32] * 60, [2 * float32] * 60), RECIPES[recipe], "r"))


def test_turns_alternate_and_pairs_stay_together(monkeypatch):
    monkeypatch.setattr("liteproof.measure.disturbance.look", Looks(machine()))
    monkeypatch.setattr(latency, "WARM_UP_S", 0.001)
    glances = iter([False, True])
    monkeypatch.setattr(Watch, "glance", lambda _: next(glances, False))
    log = []
    float32, variant = (Fed(FakeSession(log, name), [0, 1]) for name in ("float32", "variant"))
    monkeypatch.setattr(speedups, "warm_up", lambda *_: [1e-5] * 8)
    timed = timed_turns(float32, variant, carrier())
    ran = [entry[1] for entry in log if entry[0] == "run"]
    assert ran == ["float32", "variant"] * (len(ran) // 2)
    assert len(timed.float32) == len(timed.variant) >= 60
    assert len(ran) == 2 * len(timed.variant) + 2  # the round after the look


def test_time_that_timing_took_is_told():
    assert speedup(replace(turns(noisy(4e-3), noisy(2e-3)), took_s=1.5)).evidence["took_s"] == 1.5
