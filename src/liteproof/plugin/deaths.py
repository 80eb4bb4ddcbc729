"""Reports of tests that have none of their own: their process died in them, or they were never run.

    report_death(item, "its process died of SIGSEGV in this test", "SIGSEGV")
    report_not_run(item, "the board is out of reach")

They go through pytest's own hooks, so the terminal, JUnit and `-x` take them for any other failed test.
"""

from __future__ import annotations

import pytest

from liteproof.checks import METRICS, Measurement
from liteproof.plugin.recording import Recorder

# How a file kills its process, rather than the machine or somebody else.
_FILES_FAULT = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"})


def report_death(item: pytest.Item, reason: str, signal: str) -> None:
    """The interpreter died in this test: what it measures is unmeasured; a file that did it does not load.

    Args:
        item: The test, whose start was reported.
        reason: What happened, for the message.
        signal: Name of the signal that ended the process; "" if none did.
    """
    recorder = Recorder(item)
    if signal in _FILES_FAULT:
        # FAIL of `loads`: the file killed its process, though its first inference had gone well.
        recorder.record(Measurement("loads", 0.0, detail=reason), METRICS["loads"].default)
    recorder.record_unmeasured(reason)
    _report_failed(item, reason)


def report_not_run(item: pytest.Item, reason: str) -> None:
    """This test was not run, and will not be."""
    Recorder(item).record_unmeasured(f"not run: {reason}")
    log(item, "logstart")
    _report_failed(item, f"UNMEASURED: not run: {reason}")


def log(item: pytest.Item, what: str) -> None:
    """Call the hook `pytest_runtest_logstart` or `pytest_runtest_logfinish` of a test."""
    getattr(item.config.hook, f"pytest_runtest_{what}")(nodeid=item.nodeid, location=item.location)


def _report_failed(item: pytest.Item, text: str) -> None:
    for when, outcome in (("setup", "passed"), ("call", "failed"), ("teardown", "passed")):
        report = pytest.TestReport(
            item.nodeid,
            item.location,
            dict.fromkeys(item.keywords, 1),
            outcome,  # type: ignore[arg-type]
            text if when == "call" else None,
            when,  # type: ignore[arg-type]
            user_properties=list(item.user_properties),
        )
        item.config.hook.pytest_runtest_logreport(report=report)
    log(item, "logfinish")
