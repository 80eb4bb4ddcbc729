"""A process that dies in a test takes that test with it, and nothing else."""

import os
import signal
import textwrap
import time
from pathlib import Path

import pytest

from liteproof.plugin.isolation import in_a_fork
from tests.plugin.tiny import make_model


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """Suites of a test's own, in a folder that the plugin takes for liteproof's."""

    def write(text):
        (tmp_path / "acceptance").mkdir()
        (tmp_path / "acceptance" / "__init__.py").write_text('"""liteproof"""')
        (tmp_path / "acceptance" / "test_it.py").write_text(textwrap.dedent(text))
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        make_model(tmp_path / "models" / "tiny")
        return str(tmp_path)

    return write


HEAD = """
    import os, signal, sys, time, warnings, pytest
    from liteproof.checks import Measurement

    @pytest.mark.measures("size_bytes")
    def test_first(case, check):
        check(Measurement("size_bytes", 1.0))

    @pytest.mark.measures("size_bytes")
    def test_last(case, check):
        check(Measurement("size_bytes", 1.0))
"""


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE", "SIGKILL"])
def test_death_fails_its_test_and_the_rest_runs(gate, suite, name):
    folder = suite(
        HEAD.replace("test_last", "test_later")
        + f"""
    @pytest.mark.measures("accuracy")
    def test_last_but_one(case, check):
        if case.variant.name == "copy":
            print("heap is gone", file=sys.stderr)
            sys.stderr.flush()
            os.kill(os.getpid(), signal.{name})
        check(Measurement("accuracy", 1.0))
    """
    )
    run = gate("-c", f"{folder}/pytest.ini", f"--rootdir={folder}", suites=f"{folder}/acceptance")
    assert run.status == 1, run.text
    assert run.results["run"]["complete"] is True
    assert run.results["run"]["ran"] == 6
    reason = f"its process died of {name} in this test: heap is gone"
    assert run.check("accuracy", "copy")["verdict"] == "UNMEASURED"
    assert run.check("accuracy", "copy")["detail"] == reason
    assert reason in run.text
    # The kernel kills for want of memory, which may be anybody's; the other signals are the file's doing.
    blamed = [c for c in run.results["checks"] if c["metric"] == "loads"]
    assert [(c["variant"], c["verdict"]) for c in blamed] == ([] if name == "SIGKILL" else [("copy", "FAIL")])
    assert run.check("accuracy", "float32")["value"] == 1.0
    assert "Fatal Python error" not in run.text


def test_hang_is_ended_at_the_limit(gate, suite):
    folder = suite(
        HEAD
        + """
    @pytest.mark.measures("accuracy")
    def test_hang(case, check):
        time.sleep(60 if case.variant.name == "copy" else 0)

    @pytest.mark.measures("size_ratio")
    def test_not_run_for_what_hung(case, check):
        check(Measurement("size_ratio", 0.5))
    """
    )
    run = gate("-c", f"{folder}/pytest.ini", f"--rootdir={folder}", "--test-timeout=2", suites=f"{folder}/acceptance")
    assert run.check("accuracy", "copy")["detail"] == "its process was killed after 2 s in this test"
    assert run.check("size_ratio", "copy")["detail"] == (
        "not run: its process was killed after 2 s in test_hang[tiny-copy-host]"
    )
    assert run.results["run"]["ran"] == 8
    assert run.results["run"]["complete"] is True


def test_session_fixtures_are_torn_down_and_what_tests_print_and_warn_arrives(gate, suite, tmp_path):
    folder = suite(
        HEAD
        + f"""
    @pytest.fixture(scope="session")
    def place():
        yield
        open({str(tmp_path / "torn")!r}, "a").write("torn down\\n")

    def test_prints(place):
        warnings.warn("watch out", RuntimeWarning)
        print("printed in vain")
        assert not "failed on purpose"
    """
    )
    run = gate("-c", f"{folder}/pytest.ini", f"--rootdir={folder}", suites=f"{folder}/acceptance")
    assert run.status == 1
    assert (tmp_path / "torn").read_text() == "torn down\n"
    assert "Captured stdout call" in run.text
    assert "RuntimeWarning: watch out" in run.text
    assert "failed on purpose" in run.text


def test_first_failure_ends_the_run_where_asked(gate, suite):
    folder = suite(
        HEAD
        + """
    def test_a_fails(): assert False
    def test_b_is_not_reached(): print("reached")
    """
    )
    run = gate("-x", "-c", f"{folder}/pytest.ini", f"--rootdir={folder}", suites=f"{folder}/acceptance")
    assert run.status == 1
    assert "stopping after 1 failures" in run.text
    assert run.results["run"]["complete"] is False


def test_fault_of_our_own_is_told_as_one(gate, suite):
    folder = suite(HEAD)
    Path(folder, "acceptance", "conftest.py").write_text(
        "def pytest_runtest_protocol(item):\n    if 'last' in item.name: raise KeyError('ours')\n"
    )
    run = gate("-c", f"{folder}/pytest.ini", f"--rootdir={folder}", suites=f"{folder}/acceptance")
    assert run.status == 3
    assert "KeyError: 'ours'" in run.text


def test_benchmarks_reach_the_table(gate, suite):
    folder = suite(HEAD + "\n    def test_speed(benchmark): benchmark.pedantic(lambda: None, rounds=3)\n")
    run = gate(
        "-c", f"{folder}/pytest.ini", f"--rootdir={folder}", f"--benchmark-json={folder}/b.json",
        suites=f"{folder}/acceptance",
    )  # fmt: skip
    assert run.status == 0, run.text
    assert "benchmark: 1 tests" in run.text
    assert '"rounds": 3' in Path(folder, "b.json").read_text()


def test_work_in_a_fork_goes_on_behind_what_kills_it_or_hangs():
    def work(item):
        if item == "kills":
            os.kill(os.getpid(), signal.SIGSEGV)
        if item == "hangs":
            time.sleep(600)
        return item, os.getpid()

    found = in_a_fork(work, ["a", "b", "kills", "c", "hangs", "d", "kills"], patience_s=1.0)
    assert [made and made[0] for made in found] == ["a", "b", None, "c", None, "d", None]
    a, b, _, c, _, d, _ = found
    assert a[1] == b[1]  # one process, until it dies
    assert len({os.getpid(), a[1], c[1], d[1]}) == 4
    assert in_a_fork(work, [], patience_s=1.0) == []


def test_a_fault_of_ours_in_a_fork_is_told_as_one():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        in_a_fork(lambda item: 1 / item, [1, 0, 2], patience_s=10.0)
