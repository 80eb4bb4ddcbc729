"""When times are sound, on recorded states of machines."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from liteproof.measure import disturbance
from liteproof.measure.disturbance import (
    Watch,
    busiest,
    evidence,
    foreign_cores,
    retried,
    summary,
    troubles,
    unsound,
    waited_share,
)
from liteproof.measure.machine_state import State
from tests.measure.timing import Looks, machine


def found(*looks):
    return " / ".join(trouble.found for trouble in troubles(looks))


@pytest.mark.parametrize("cores", [1, 2, 4, 64])
def test_idle_machine_is_sound(cores):
    assert troubles(machine(cores=cores, foreign=0.05, stolen=0.05, waited=0.01)) == ()


def test_own_threads_are_not_foreign():
    assert troubles(machine(cores=4, own=4.0)) == ()


@pytest.mark.parametrize("cores", [2, 4, 8])
def test_busy_second_process_is_foreign(cores):
    assert f"work that is not ours took 1.00 of {cores} cores" in found(*machine(cores=cores, foreign=1.0))


def test_one_busy_process_is_little_on_a_large_machine():
    assert troubles(machine(cores=64, foreign=1.0)) == ()
    assert troubles(machine(cores=64, foreign=9.0)) != ()


def test_time_given_to_other_guests_is_foreign():
    assert "0.80 of 2 cores" in found(*machine(foreign=0.1, stolen=0.7))


def test_waiting_for_a_core_is_not_alone():
    assert "waited for a core for 20%" in found(*machine(own=0.8, waited=0.2))
    assert troubles(machine(own=0.95, waited=0.05)) == ()


def test_what_cannot_be_told_is_no_trouble():
    blind = State(at=0.0, cores=2, own_s=0.0), State(at=1.0, cores=2, own_s=1.0)
    assert (foreign_cores(blind), waited_share(blind), troubles(blind)) == (None, None, ())
    assert foreign_cores(machine(seconds=0.1, own=0.1, foreign=0.1)) is None


@pytest.mark.parametrize(("bits", "kind"), [(0x1, "under-voltage"), (0x2, "capped"), (0x4, "throttled"), (0x8, "soft")])
@pytest.mark.parametrize("when", [0, 1, 2])
def test_throttled_now_before_during_or_after(bits, kind, when):
    before, after = machine()
    looks = [replace(before, throttled=0), replace(before, at=0.5, throttled=0), replace(after, throttled=0)]
    looks[when] = replace(looks[when], throttled=bits)
    assert kind in found(*looks)
    assert f"{bits:#x}" in found(*looks)


def test_throttled_earlier_since_boot_is_no_trouble():
    before, after = machine(throttled=0x50000)
    assert troubles([replace(before, throttled=0x50000), after]) == ()


def test_throttled_between_two_looks_leaves_its_bit():
    before, after = machine(throttled=0x40000)
    assert "throttled" in found(replace(before, throttled=0), after)


def test_missing_vcgencmd_is_unknown():
    assert summary(machine()) == ""
    assert summary(machine(throttled=0)) == "not throttled"


def test_heat_events():
    before, after = machine(thermal_events=9)
    assert "for heat 2 times" in found(replace(before, thermal_events=7), after)
    assert troubles([replace(before, thermal_events=9), after]) == ()


def test_busiest_process_is_named():
    before = {1: ("init", 5.0), 7: ("old", 50.0), os.getpid(): ("pytest", 1.0)}
    after = {1: ("init", 5.1), 7: ("new", 60.0), 8: ("make", 0.9), os.getpid(): ("pytest", 9.0)}
    assert busiest(before, after) == "make (process 8)"
    assert busiest(after, after) is None
    before_look, after_look = machine(foreign=1.0)
    looks = replace(before_look, processes=before), replace(after_look, processes=after)
    assert "most of it make (process 8)" in found(*looks)


def test_unsound_has_numbers_state_and_cure():
    looks = machine(foreign=1.0)
    measurement = unsound("latency_p50_ms", troubles(looks), looks)
    assert measurement.value is None
    assert "1.00 of 2 cores" in measurement.detail
    assert measurement.next
    assert measurement.evidence["machine"]["foreign_cores"] == 1.0


def test_evidence_is_json_with_before_during_after():
    before, after = machine(governors=("ondemand", "ondemand"), throttled=0, temperature_c=60.5)
    shown = json.loads(json.dumps(evidence([before, replace(before, at=0.5), after])))
    assert len(shown["during"]) == 1
    assert shown["before"]["throttled"] is None
    assert (shown["after"]["throttled"], shown["after"]["governors"]) == ("0x0", ["ondemand", "ondemand"])


def attempts(*results):
    queue = [SimpleNamespace(looks=looks) for looks in results]
    return queue, lambda: queue.pop(0)


def test_one_retry_after_a_disturbed_attempt():
    queue, attempt = attempts(machine(foreign=1.0), machine())
    assert retried(attempt, pause_s=0)[1] == ()
    assert queue == []


def test_no_retry_after_a_sound_attempt():
    queue, attempt = attempts(machine(), machine(foreign=1.0))
    assert retried(attempt, pause_s=0)[1] == ()
    assert len(queue) == 1


def test_no_third_attempt():
    _, attempt = attempts(machine(foreign=1.0), machine(foreign=0.9))
    assert "0.90" in retried(attempt, pause_s=0)[1][0].found


def test_watch_looks_less_and_less_often(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(disturbance.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(disturbance, "look", lambda **_: State(at=clock.now, cores=1, own_s=0.0))
    with Watch() as watch:
        for step in range(1, 101):
            clock.now = step / 10
            watch.glance()
    assert [look.at for look in watch.looks] == pytest.approx([0.0, 1.0, 2.5, 4.8, 8.2, 10.0])


def test_stand_in_looks_serve_in_order():
    (a, b), (c, d) = machine(), machine(foreign=1.0)
    looks = Looks((a, b), (c, d))
    assert [looks() for _ in range(5)] == [a, b, c, d, d]
