"""Cold starts: what is made of recorded ones, and real ones of a tiny model."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from liteproof.checks import Verdict, judge
from liteproof.errors import Unmeasured
from liteproof.measure import cold_start
from liteproof.measure.cold_start import ColdStart, ColdStarts, cold_starts, cpu_ms
from tests.measure.models import data
from tests.measure.timing import Looks, machine

RUN = ColdStart(import_s=0.080, load_s=0.010, allocate_s=0.006, first_s=0.004, cpu_s=0.003, python_s=0.02)


def recorded(totals, looks=None):
    runs = tuple(replace(RUN, import_s=total - 0.02) for total in totals)
    return ColdStarts(runs, looks or machine())


def test_median_with_the_extremes_as_bounds():
    measured = cold_start.cold_start_ms(recorded([0.10, 0.11, 0.12, 0.13, 0.14, 0.90]))
    assert measured.value == pytest.approx(125.0)
    assert measured.interval == pytest.approx((100.0, 900.0))
    assert measured.bound == pytest.approx(900.0)
    assert measured.samples == 6
    assert judge(measured, 1000.0).verdict is Verdict.PASS
    assert judge(measured, 500.0).verdict is Verdict.PROVISIONAL
    assert judge(measured, 110.0).verdict is Verdict.FAIL


def test_phases_are_told_and_the_longest_named():
    measured = cold_start.cold_start_ms(recorded([0.1] * 6))
    assert "import 80, load 10, allocate 6, first inference 4 ms" in measured.detail.replace(".0", "")
    assert measured.causes[0].startswith("import takes 80")
    assert measured.evidence["phases_ms"]["python"] == 20.0


def test_processor_time_is_of_all_threads():
    assert cpu_ms(recorded([0.1] * 6)).value == pytest.approx(3.0)


@pytest.mark.parametrize("measure", [cold_start.cold_start_ms, cpu_ms])
def test_disturbed_is_unmeasured(measure):
    measured = measure(recorded([0.1] * 6, machine(foreign=1.0)))
    assert judge(measured, None).verdict is Verdict.UNMEASURED
    assert "1.00 of 2 cores" in measured.detail
    assert measured.causes == ()


def test_fewer_than_five_have_no_bound():
    assert cold_start.cold_start_ms(recorded([0.1] * 4)).bound == math.inf


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr("liteproof.measure.disturbance.look", Looks(machine()))
    monkeypatch.setattr(cold_start, "RUNS", 1)
    monkeypatch.setattr(cold_start, "WATCHED_S", 0.01)


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tflite_runtime"])
def test_a_real_process_tells_its_phases(brief, runtime):
    sample = np.zeros(_shape("dense_int8"), np.int8)
    (run,) = cold_starts(data("dense_int8"), [sample], runtime=runtime).runs
    assert min(run.import_s, run.load_s, run.allocate_s, run.first_s, run.python_s, run.cpu_s) > 0
    assert run.import_s > run.load_s
    assert 0 < run.bare_bytes <= run.peak_bytes
    assert len(run.memory_bytes) == 11


def _shape(name):
    from liteproof.measure.runtime import open_session

    return open_session(data(name), runtime="tflite_runtime").inputs[0].shape


def test_a_process_that_fails_is_unmeasured(brief, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with pytest.raises(Unmeasured, match="ended with status 1"):
        cold_starts(broken, [], runtime="ai_edge_litert")


def test_the_process_imports_nothing_of_its_own_accord():
    code = "import sys; old = set(sys.modules); import liteproof.measure.cold_process; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) <= {"liteproof", "liteproof.measure", "liteproof.measure.cold_process"}


def test_peak_memory_agrees_with_the_operating_system(tmp_path):
    """`getrusage` counts the peak of a process's parent too: a shell stands between, as it is small."""
    sample = tmp_path / "x.npy"
    np.save(sample, np.zeros(_shape("dense_int8"), np.int8))
    code = (
        "import resource, sys; from liteproof.measure.cold_process import main; main(*sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    arguments = [str(data("dense_int8")), "ai_edge_litert", "1", "0.01", "", str(sample)]
    done = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    report, peak = done.stdout.splitlines()
    assert json.loads(report)["peak_bytes"] == pytest.approx(int(peak) * 1024, rel=0.03)


@pytest.mark.parametrize(
    ("gated", "processes"),
    [((), 3), (("memory_growth_bytes",), 3), (("cold_start_ms",), 6), (("top1_agreement", "peak_memory_mb"), 6)],
)
def test_a_limit_is_what_asks_for_a_bound(gated, processes):
    assert cold_start.processes_for(gated) == processes
