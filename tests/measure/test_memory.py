"""Memory: what is made of recorded processes, and a real one that leaks."""

import json
from dataclasses import replace

import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.measure import cold_start, memory
from liteproof.measure.cold_start import ColdStart, ColdStarts, cold_starts
from tests.measure.timing import Looks, machine

AT_REST = (20_000_000,) * 11
RUN = ColdStart(0.1, 0.0, 0.0, 0.0, bare_bytes=40_000_000, peak_bytes=52_000_000, inferences_per_block=100,
                memory_bytes=AT_REST)  # fmt: skip
GROWTH = METRICS["memory_growth_bytes"].default


def recorded(*runs, looks=None):
    return ColdStarts(runs or (RUN,) * 6, looks or machine())


def test_peak_and_growth_over_the_bare_runtime():
    measured = memory.peak_memory_mb(recorded())
    assert (measured.value, measured.interval, measured.bound) == (52.0, (52.0, 52.0), 52.0)
    assert "12.0 MB more than the bare runtime's 40.0 MB" in measured.detail
    assert judge(measured, 51.9).verdict is Verdict.FAIL


def test_memory_at_rest_keeps_the_default_limit():
    assert judge(memory.memory_growth_bytes(recorded()), GROWTH).verdict is Verdict.PASS


def test_one_stretch_taken_once_is_no_growth():
    once = replace(RUN, memory_bytes=(20_000_000,) * 5 + (20_131_072,) * 6)
    measured = memory.memory_growth_bytes(recorded(*(once,) * 6))
    assert (measured.value, judge(measured, GROWTH).verdict) == (0.0, Verdict.PASS)


def test_growth_from_inference_to_inference_fails():
    leaking = replace(RUN, memory_bytes=tuple(20_000_000 + 4096 * block for block in range(11)))
    measured = memory.memory_growth_bytes(recorded(*(leaking,) * 6))
    assert (measured.value, measured.samples) == (40.96, 60)
    assert judge(measured, GROWTH).verdict is Verdict.FAIL
    assert "over 6000 inferences in 6 processes" in measured.detail


def test_memory_needs_no_undisturbed_machine():
    assert memory.peak_memory_mb(recorded(looks=machine(foreign=1.5))).value == 52.0


def test_device_ceiling_counts_what_others_have_taken():
    before, after = machine()
    looks = replace(before, memory_bytes=512_000_000, memory_free_bytes=197_000_000, own_memory_bytes=30_000_000), after
    measured = memory.device_memory_mb(recorded(looks=looks))
    assert measured.value == pytest.approx(285 + 52)
    assert judge(measured, 512.0).verdict is Verdict.PASS
    assert "285.0 MB taken by others; the device has 512 MB in all" in measured.detail


def test_device_memory_that_cannot_be_told_is_unmeasured():
    assert judge(memory.device_memory_mb(recorded()), 512.0).verdict is Verdict.UNMEASURED


def test_evidence_is_json():
    for measure in (memory.peak_memory_mb, memory.memory_growth_bytes):
        assert json.loads(json.dumps(measure(recorded()).evidence))["values"]


RUNTIME = """
class Interpreter:
    def __init__(self, model_path, num_threads, experimental_delegates):
        self.kept = []
    def allocate_tensors(self): ...
    def get_input_details(self): return []
    def get_output_details(self): return []
    def invoke(self):
        {invoke}
"""


@pytest.mark.parametrize(
    ("invoke", "verdict"),
    [("self.kept.append(bytearray(200_000))", Verdict.FAIL), ("self.kept = bytearray(200_000)", Verdict.PASS)],
)
def test_a_real_process_that_leaks_is_caught(tmp_path, monkeypatch, invoke, verdict):
    (tmp_path / "stand_in").mkdir()
    (tmp_path / "stand_in/__init__.py").touch()
    (tmp_path / "stand_in/interpreter.py").write_text(RUNTIME.format(invoke=invoke))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("liteproof.measure.disturbance.look", Looks(machine()))
    monkeypatch.setattr(cold_start, "RUNS", 1)
    monkeypatch.setattr(cold_start, "WATCHED_S", 0.005)
    measured = memory.memory_growth_bytes(cold_starts(tmp_path / "m.tflite", [], runtime="stand_in"))
    assert judge(measured, GROWTH).verdict is verdict
