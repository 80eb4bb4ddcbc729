"""A run over a real ssh: reports as they happen, nothing sent twice, nothing left behind."""

from liteproof.targets import run as runs

SUITE = """
import os

def test_passes():
    print("said there")

def test_fails():
    here = "there"
    assert here == "nowhere"

def test_properties(record_property):
    record_property("speed", 7)

def test_stays_inside():
    assert os.environ["LITEPROOF_STORE"].endswith("liteproof/board/store")
"""


def test_reports_come_back_as_pytest_made_them(make_job, board, pi, carry_out):
    told = carry_out(make_job(SUITE, pi))
    assert told.outcomes == {
        "test_passes": "passed", "test_fails": "failed", "test_properties": "passed", "test_stays_inside": "passed",
    }  # fmt: skip
    calls = {
        m.report["nodeid"].partition("::")[2]: m.report for m in told.of(runs.Reported) if m.report["when"] == "call"
    }
    assert ["Captured stdout call", "said there\n"] in [list(pair) for pair in calls["test_passes"]["sections"]]
    assert "nowhere" in str(calls["test_fails"]["longrepr"])
    assert [list(pair) for pair in calls["test_properties"]["user_properties"]] == [["speed", 7]]
    assert isinstance(told.messages[-1], runs.Finished)


def test_only_what_was_asked_for_runs_and_in_that_order(make_job, board, pi, carry_out):
    told = carry_out(make_job(SUITE, pi, tests=["test_properties", "test_passes"]))
    assert [m.test.partition("::")[2] for m in told.of(runs.Started)] == ["test_properties", "test_passes"]


def test_machine_is_told(make_job, board, pi, carry_out):
    (began,) = carry_out(make_job(SUITE, pi, tests=["test_passes"])).of(runs.Began)
    assert {"runtime", "machine", "python", "numpy", "cores", "hostname"} <= set(began.machine)


def test_second_run_sends_no_file(make_job, board, pi, carry_out):
    job = make_job(SUITE, pi)
    carry_out(job)
    again = carry_out(job)
    assert not [note for note in again.of(runs.Note) if "sending" in note.text]
    assert again.messages[-1].sent_bytes < 50_000
