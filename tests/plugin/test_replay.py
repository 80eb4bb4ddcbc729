"""Another Python on this machine as a target: its tests come out as if they had run here."""

import os
import re
import shutil
import sys
import xml.etree.ElementTree as ET

import pytest

from tests.corpus.files import corpus
from tests.measure.delegates import softmax_delegate
from tests.plugin.conftest import ROOT
from tests.plugin.tiny import MANIFEST, network

QUICK = ("-m", "not timing")
pytestmark = pytest.mark.slow


@pytest.fixture
def other(gate, tmp_path, monkeypatch):
    """Run with a targets.toml that defines `other`, this very interpreter by another runtime."""
    (tmp_path / "targets.toml").write_text(f'[other]\npython = "{sys.executable}"\nruntime = "tflite_runtime"\n')
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda *options, **more: gate(f"--targets={tmp_path / 'targets.toml'}", *options, **more)


def test_host_and_other_stand_side_by_side(other, tiny):
    tiny()
    run = other(*QUICK, "--target=host", "--target=other")
    assert run.status == 0, run.text
    assert run.results["verdicts"]["tiny"]["float32"] == {"host": "PASS", "other": "PASS"}
    assert run.results["run"]["complete"] is True
    assert run.results["targets"]["other"]["runtime"].startswith("tflite_runtime")
    assert run.results["targets"]["host"]["runtime"].startswith("ai_edge_litert")
    tests = {check["test"] for check in run.results["checks"] if check["target"] == "other"}
    assert "acceptance/test_agreement.py::test_top1_agreement[tiny-float32-other]" in tests
    parity = [c for c in run.results["checks"] if c["metric"] == "parity_top1"]
    assert {(c["target"], c["value"]) for c in parity} == {("other", 1.0)}


def test_a_miss_there_fails_here_with_its_message(other, tiny):
    folder = tiny(MANIFEST + "[budgets.copy]\ntop1_agreement = 0.99\n")
    (folder / "copy.tflite").write_bytes(network([[0, 8, 0, 0], [8, 0, 0, 0], [0, 0, 8, 0]]))
    run = other(*QUICK, "--target=other", "-k", "top1")
    assert run.status == 1
    assert re.search(r"tiny / copy on other: FAIL\n  top1_agreement 0\.3\d+, limit ≥ 0\.9900, missed by", run.text)
    assert "FAILED acceptance/test_agreement.py::test_top1_agreement[tiny-copy-other]" in run.text


def test_first_failure_ends_the_run_there_too(other, tiny):
    folder = tiny()
    (folder / "copy.tflite").write_bytes(network()[:200])
    run = other(*QUICK, "--target=other", "-x")
    assert run.status == 1
    assert "stopping after 1 failures" in run.text
    assert run.results["run"]["complete"] is False
    assert re.search(r"\b1 failed", run.text)


def test_keywords_and_ids_choose_what_runs_there(other, tiny):
    tiny()
    run = other("--target=other", "-k", "test_size and copy and not possible")
    assert {check["test"] for check in run.results["checks"]} == {"acceptance/test_size.py::test_size[tiny-copy-other]"}


def test_junit_of_pytest_and_our_own_name_the_target(other, tiny, tmp_path):
    tiny()
    run = other("--target=other", "-k", "test_size", f"--junitxml={tmp_path / 'j.xml'}")
    names = [case.get("name") for case in ET.parse(tmp_path / "j.xml").iter("testcase")]
    assert any("other" in name for name in names)
    suites = ET.parse(run.reports / "latest" / "junit.xml").iter("testsuite")
    assert [suite.get("hostname") for suite in suites] == ["other"]


def test_target_that_is_not_there_is_told_once_and_all_is_unmeasured(gate, tiny, tmp_path):
    tiny()
    (tmp_path / "targets.toml").write_text('[gone]\npython = "/nowhere/python"\n')
    run = gate(f"--targets={tmp_path / 'targets.toml'}", *QUICK, "--target=gone", "--target=host")
    assert run.status == 1
    assert {c["verdict"] for c in run.results["checks"] if c["target"] == "gone"} == {"UNMEASURED"}
    assert run.results["verdicts"]["tiny"]["float32"] == {"gone": "UNMEASURED", "host": "PASS"}
    assert run.results["run"]["complete"] is False
    assert run.text.count("check python = … in targets.toml") == 1
    assert "Traceback" not in run.text


def test_crash_there_is_a_failed_load_and_the_rest_is_judged(other, tiny, tmp_path):
    tiny()
    suites = tmp_path / "acceptance"
    suites.mkdir()
    for name in ("__init__.py", "test_loads.py", "test_size.py"):
        shutil.copy(ROOT / "acceptance" / name, suites)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (suites / "test_dies.py").write_text(
        'import ctypes, pytest\n@pytest.mark.measures("accuracy")\ndef test_dies(case, check): ctypes.string_at(0)\n'
    )
    run = other("--target=other", "--variant=float32", suites=str(suites))
    assert run.status == 1
    assert run.results["verdicts"]["tiny"] == {"float32": {"other": "FAIL"}}
    assert "died of SIGSEGV in this test" in run.text
    outcomes = {(c["test"].partition("::")[2], c["metric"]): c["verdict"] for c in run.results["checks"]}
    assert outcomes["test_loads[tiny-float32-other]", "loads"] == "PASS"
    assert outcomes["test_dies[tiny-float32-other]", "loads"] == "FAIL"
    assert outcomes["test_dies[tiny-float32-other]", "accuracy"] == "UNMEASURED"
    assert outcomes["test_size[tiny-float32-other]", "size_ratio"] == "PASS"


def test_boards_and_parallel_workers_do_not_mix(other, tiny):
    tiny()
    run = other(*QUICK, "--target=other", "-n", "2")
    assert run.status == 4
    assert "leave out -n" in run.text


def test_last_failed_is_remembered(other, tiny, tmp_path):
    folder = tiny()
    (folder / "copy.tflite").write_bytes(network([[0, 8, 0, 0], [8, 0, 0, 0], [0, 0, 8, 0]]))
    cache = ("-p", "cacheprovider", "-o", f"cache_dir={tmp_path / 'pc'}")
    assert other("--target=other", "-k", "top1", *cache).status == 1
    again = other("--target=other", "--lf", *cache)
    assert {c["test"] for c in again.results["checks"]} == {
        "acceptance/test_agreement.py::test_top1_agreement[tiny-copy-other]"
    }


def test_delegate_that_does_not_load_is_an_error_and_no_silent_run_without_it(other, tiny, tmp_path):
    tiny()
    with (tmp_path / "targets.toml").open("a") as file:
        file.write('delegate = { library = "libno_such_delegate.so" }\n')
    run = other("--target=other", "-k", "test_loads or top1", "--variant=float32")
    assert run.status == 1
    assert {c["verdict"] for c in run.results["checks"]} == {"UNMEASURED"}
    assert "delegate libno_such_delegate.so does not load" in run.text


def test_what_the_delegate_took_is_in_the_report(other, tiny, tmp_path):
    tiny()
    library = softmax_delegate(tmp_path)
    with (tmp_path / "targets.toml").open("a") as file:
        file.write(f'delegate = {{ library = "{library}" }}\n')
    run = other("--target=other", "-k", "test_loads or top1", "--variant=float32")
    assert run.status == 0, run.text
    assert run.check("loads", "float32")["evidence"]["delegated"] == ["SOFTMAX #1"]
    page = (run.reports / "latest" / "report.html").read_text()
    assert "the delegate took 1 of 2 operators; left to the CPU: FULLY_CONNECTED #0" in page


def test_interrupt_ends_the_run_there_and_keeps_what_was_measured(other, tiny, tmp_path):
    tiny()
    suites = tmp_path / "acceptance"
    suites.mkdir()
    for name in ("__init__.py", "test_size.py"):
        shutil.copy(ROOT / "acceptance" / name, suites)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (suites / "test_slow.py").write_text(
        "import pathlib, time\n"
        f"def test_slow(case): pathlib.Path({str(tmp_path / 'asleep')!r}).touch(); time.sleep(120)\n"
    )
    (tmp_path / "interrupt.py").write_text(
        "import os, pathlib, signal, threading, time\n"
        "def pytest_collection_finish(session):\n"
        "    def wait():\n"
        f"        while not pathlib.Path({str(tmp_path / 'asleep')!r}).exists(): time.sleep(0.1)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    threading.Thread(target=wait, daemon=True).start()\n"
    )
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        run = other("-p", "interrupt", "--target=other", "--variant=float32", suites=str(suites))
    assert run.status == 2
    assert run.results["run"]["complete"] is False
    assert run.check("size_bytes")["value"] > 0
    board = tmp_path / "cache" / "liteproof" / "board"
    assert not (board / "runs").exists()


def test_rehearsal_records_times_and_holds_them_to_nothing(other, tiny, tmp_path):
    tiny(MANIFEST + "[budgets.all.other]\ncold_start_ms = 0.001\nlatency_p95_ms = 0.000001\n")
    options = ("--target=other", "-k", "test_cold_start or test_latency", "--variant=float32")
    gated = other(*options)
    assert gated.status == 1
    with (tmp_path / "targets.toml").open("a") as file:
        file.write("rehearsal = true\n")
    rehearsed = other(*options)
    assert rehearsed.status == 0, rehearsed.text
    times = [check for check in rehearsed.results["checks"] if check["metric"].endswith("_ms")]
    assert {(check["limit"], check["verdict"]) for check in times} == {(None, None)}
    assert {"cold_start_ms", "latency_p95_ms"} <= {check["metric"] for check in times}


def test_a_file_that_hangs_on_the_host_does_not_keep_another_target_from_being_judged(other, tiny):
    folder = tiny()
    (folder / "copy.tflite").write_bytes(corpus()["while_endless_for_real_inputs"].content)
    run = other("--target=other", "--test-timeout=3", "-k", "parity or (size and not possible)")
    assert run.status == 1
    assert run.results["run"]["complete"] is True
    verdicts = {(c["variant"], c["metric"]): c["verdict"] for c in run.results["checks"]}
    assert verdicts["float32", "parity_top1"] is None  # measured, and held to nothing
    assert verdicts["copy", "parity_top1"] == "UNMEASURED"
    assert verdicts["float32", "size_ratio"] == "PASS"
