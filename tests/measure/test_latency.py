"""Times of one inference: warm-up, rounds, percentiles and what spoils them, on recorded times only."""

import json
import math

import numpy as np
import pytest

from liteproof.checks import Verdict, judge
from liteproof.errors import Unmeasured
from liteproof.measure import latency
from liteproof.measure.disturbance import Watch
from liteproof.measure.latency import Rounds, causes, percentiles, rounds_for, settled, time_rounds, warm_up
from tests.measure.timing import FakeSession, FakeSubject, Looks, carrier, machine


def rounds(milliseconds, looks=None, **more):
    values = {"warm_up": 100, "settled": True, **more}
    return Rounds(tuple(np.asarray(milliseconds) / 1e3), looks or machine(), **values)


def verdicts(timed, **limits):
    limits = {f"latency_{name}_ms": limit for name, limit in limits.items()}
    return {m.metric[8:11]: judge(m, limits.get(m.metric)).verdict for m in percentiles(timed, limits)}


def healthy(n=1000, seed=0, median=2.0):
    """What an idle shared machine gives: a deviation above 10%, and a long tail."""
    random = np.random.default_rng(seed)
    return median * (1 + np.abs(random.standard_cauchy(n)).clip(0, 15) * 0.04)


# --- Warm-up ---------------------------------------------------------------------------------------------------------


def test_settled_on_recorded_times():
    cold = [9.0, 7.0, 5.0, 4.0, 3.0, 2.5, 2.2, 2.1]
    assert not settled(cold)
    assert settled(cold + [2.0] * 12)
    assert not settled([2.0] * 7)
    assert not settled([2.0] * 12 + [2.5] * 4)  # growing slower is not settled either


def clocked(times):
    """A run and a clock by which it takes the recorded times, the last one over and over."""
    now, left = [0.0], list(times)

    def run():
        now[0] += left.pop(0) if len(left) > 1 else left[0]

    return run, lambda: now[0]


def test_warm_up_lasts_half_a_second_at_least():
    run, clock = clocked([0.01])
    assert len(warm_up(lambda: None, run, clock)) == 50


def test_warm_up_goes_on_until_the_times_have_settled():
    run, clock = clocked([0.1 * 0.9**i for i in range(40)] + [0.0014])
    times = warm_up(lambda: None, run, clock)
    assert settled(times)
    assert sum(times) > 0.9


def test_warm_up_that_never_settles_ends_after_ten_seconds():
    run, clock = clocked([0.01 * 1.02**i for i in range(2000)])
    times = warm_up(lambda: None, run, clock)
    assert not settled(times)
    assert 10 <= sum(times) < 10 + times[-1]


# --- Rounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("each", "asked", "expected"),
    [
        (0.0001, [], 2_000),  # the most
        (0.001, [], 1000),  # one second
        (0.1, [], 60),  # 59 bound p95; a multiple of 20
        (0.1, [0.5, 0.99], 300),  # 299 bound p99
        (3.0, [], 50),  # what 150 s hold
        (1000.0, [], 1),
    ],
)
def test_rounds_for(each, asked, expected):
    assert rounds_for(each, asked) == expected


def test_benchmarks_own_switches_ask_for_more():
    assert rounds_for(0.001, [], seconds=3.0) == 3000
    assert rounds_for(0.1, [], fewest=500) == 500


# --- Percentiles -----------------------------------------------------------------------------------------------------


def test_percentiles_with_bounds():
    p50, p95, p99 = percentiles(rounds(np.arange(1, 1001.0)), {})
    assert (p50.value, p95.value, p99.value) == pytest.approx((500.5, 950.05, 990.01))
    assert p50.interval[0] < p50.value < p50.bound < p50.interval[1]
    assert p95.value < p95.bound <= 970
    assert p50.samples == 1000


def test_healthy_rounds_pass_though_they_deviate_by_more_than_a_tenth():
    timed = rounds(healthy())
    assert percentiles(timed, {})[0].evidence["deviation_over_mean"] > 0.10
    assert set(verdicts(timed, p50=2.5, p95=4.0).values()) == {Verdict.PASS, None}


@pytest.mark.parametrize("phase", range(20))
@pytest.mark.parametrize("n", [60, 300, 1000])
def test_a_delay_in_one_round_in_twenty_fails_p95(phase, n):
    times = healthy(n)
    assert verdicts(rounds(times), p95=4.0)["p95"] is Verdict.PASS or n == 60
    times[phase::20] += 50.0
    measured = verdicts(rounds(times), p50=2.5, p95=4.0)
    assert measured["p95"] is Verdict.FAIL
    assert measured["p50"] is Verdict.PASS


def test_ten_runs_in_a_row_give_the_same_verdicts():
    outcomes = {tuple(verdicts(rounds(healthy(seed=seed)), p50=2.3, p95=4.0).values()) for seed in range(10)}
    assert len(outcomes) == 1


def test_wide_interval_is_provisional_and_says_how_many_rounds_settle_it():
    times = [2.0] * 96 + [9.0] * 4
    p95 = percentiles(rounds(times), {"latency_p95_ms": 5.0})[1]
    judgement = judge(p95, 5.0)
    assert (p95.value, judgement.verdict) == (2.0, Verdict.PROVISIONAL)
    assert judgement.samples_to_settle > 100


def test_too_few_rounds_leave_a_limited_percentile_unmeasured():
    p50, p95, p99 = percentiles(rounds([3000.0] * 50), {"latency_p50_ms": 5000.0, "latency_p95_ms": 5000.0})
    assert judge(p50, 5000.0).verdict is Verdict.PASS
    assert judge(p95, 5000.0).verdict is Verdict.UNMEASURED
    assert "50 rounds of 3 s each in the 150 s allowed; a bound of p95 needs 59" in p95.detail
    assert (p99.value, p99.bound, judge(p99, None).verdict) == (3000.0, math.inf, None)


def test_no_round_at_all_is_unmeasured():
    assert {judge(m, None).verdict for m in percentiles(rounds([]), {})} == {Verdict.UNMEASURED}


def test_report_shows_spread_state_and_at_most_200_quantiles():
    shown = json.loads(json.dumps(percentiles(rounds(healthy(5000)), {})[0].evidence))
    assert len(shown["quantiles_ms"]) == 200
    assert shown["quantiles_ms"] == sorted(shown["quantiles_ms"])
    assert {"deviation_over_mean", "halves_ratio", "extremes_ratio", "machine", "warm_up_settled"} <= set(shown)


def test_unsettled_warm_up_is_told():
    assert "not settled after 100 inferences" in percentiles(rounds(healthy(), settled=False), {})[0].detail


def test_causes_name_tail_drift_governor_and_container():
    before, after = machine(governors=("ondemand", "performance"), cpu_limit=1.5, cpu_limit_hits=4)
    limited = (after.__class__(**{**before.__dict__, "cpu_limit": 1.5, "cpu_limit_hits": 1}), after)
    text = " / ".join(causes(rounds([2.0] * 50 + [3.0] * 44 + [30.0] * 6, looks=limited), 0.95))
    assert "p95 is" in text
    assert "later half" in text
    assert "governor ondemand" in text
    assert "held back by that 3 times" in text
    assert causes(rounds([2.0] * 100, looks=machine(governors=("performance",))), 0.95) == ()


# --- Taking them: no wall time is asserted, sessions answer at once --------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(latency, "WARM_UP_S", 0.001)
    monkeypatch.setattr("liteproof.measure.disturbance.time.sleep", lambda _: None)


@pytest.fixture
def looks(monkeypatch, quick):
    """Let the machine be what the test says, look by look."""

    def serve(*pairs):
        monkeypatch.setattr("liteproof.measure.disturbance.look", Looks(*pairs))
        monkeypatch.setattr(Watch, "glance", lambda _: False)

    return serve


def test_rounds_are_carried_by_pytest_benchmark(looks):
    looks(machine())
    subject, benchmark = FakeSubject({"latency_p95_ms": 100.0}), carrier()
    p50, p95, _ = latency.latency(subject, benchmark)
    data = benchmark.stats.stats.data
    assert p50.samples == len(data) >= 60
    assert p50.value == pytest.approx(1e3 * benchmark.stats.stats.median)
    assert benchmark.has_error is False
    assert benchmark.extra_info["variant"] == "int8"
    assert benchmark.group == "latency: digits on host"
    assert judge(p95, 100.0).verdict is Verdict.PASS


def test_each_round_is_fed_the_next_real_sample(looks):
    looks(machine())
    subject = FakeSubject()
    latency.latency(subject, carrier())
    fed = [entry[2] for entry in subject.session.log if entry[0] == "feed"]
    assert fed[:4] == ["first", "second", "first", "second"]
    assert [entry[0] for entry in subject.session.log[-4:]] == ["feed", "run", "feed", "run"]


def test_busy_second_process_is_unmeasured_with_numbers_and_cure(looks):
    looks(machine(foreign=1.0), machine(foreign=1.1))
    benchmark = carrier()
    measured = latency.latency(FakeSubject(), benchmark)
    assert {judge(m, 100.0).verdict for m in measured} == {Verdict.UNMEASURED}
    assert "work that is not ours took 1.10 of 2 cores" in measured[0].detail
    assert "stop what else runs" in measured[0].next
    assert benchmark.has_error is True


def test_second_attempt_replaces_the_disturbed_rounds(looks):
    looks(machine(foreign=1.0), machine())
    benchmark = carrier(min_rounds=100)
    p50, *_ = latency.latency(FakeSubject(), benchmark)
    assert p50.value is not None
    assert p50.samples == len(benchmark.stats.stats.data)
    assert benchmark.has_error is False


@pytest.mark.parametrize(("word", "verdict"), [("0x4", Verdict.UNMEASURED), ("0x0", Verdict.PASS)])
def test_throttling_by_a_stand_in_vcgencmd(quick, monkeypatch, tmp_path, word, verdict):
    command = tmp_path / "vcgencmd"
    command.write_text(f"#!/bin/sh\necho throttled={word}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    # The rest of this machine is left out: it may be busy.
    monkeypatch.setattr("liteproof.measure.machine_state._processor_time", lambda _: (None, None))
    monkeypatch.setattr("liteproof.measure.machine_state._waited", lambda _: None)
    monkeypatch.setattr("liteproof.measure.machine_state._each_core", lambda *_: [])
    measured = latency.latency(FakeSubject(), carrier())
    assert judge(measured[0], 1e6).verdict is verdict
    assert ("throttled (get_throttled 0x4)" in measured[0].detail) is (verdict is Verdict.UNMEASURED)


def test_disabled_benchmark_is_unmeasured():
    with pytest.raises(Unmeasured, match="disabled"):
        latency.latency(FakeSubject(), carrier(disabled=True))


def test_rounds_end_when_the_time_allowed_is_over(looks):
    looks(machine())
    session, benchmark = FakeSession(), carrier()
    with Watch() as watch:
        times = time_rounds(benchmark, session.run, 10**6, watch, setup=lambda: None, allowed_s=0.02)
    assert 0 < len(times) < 10**6
    assert len(times) == session.runs
    assert benchmark.has_error is False


def test_no_time_allowed_gives_no_rounds_and_an_error_for_the_table(looks):
    looks(machine())
    benchmark = carrier()
    with Watch() as watch:
        assert time_rounds(benchmark, FakeSession().run, 10, watch, setup=lambda: None, allowed_s=-1.0) == ()
    assert benchmark.has_error is True


def test_a_round_after_a_look_does_not_count(looks, monkeypatch):
    looks(machine())
    glances = iter([False, True, False])
    monkeypatch.setattr(Watch, "glance", lambda _: next(glances))
    session = FakeSession()
    with Watch() as watch:
        times = time_rounds(carrier(), session.run, 3, watch, setup=lambda: session.feed(None))
    assert (len(times), session.runs) == (3, 4)


def test_time_that_timing_took_is_told():
    """The benchmark of the cold gate takes its floor from it."""
    assert percentiles(rounds(healthy(100), took_s=1.5), {})[0].evidence["took_s"] == 1.5


def test_rounds_are_no_more_than_a_second_needs_unless_more_is_asked():
    assert rounds_for(1e-6, []) == latency.MOST_ROUNDS
    assert rounds_for(1e-6, [], seconds=5.0) == 5 * latency.MOST_ROUNDS
    assert rounds_for(1e-6, [], fewest=9_000) == 9_000
