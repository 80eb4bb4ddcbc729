"""Reports of tests that have none of their own: their process died in them, or they were never run.

    report_death(item, "its process died of SIGSEGV in this test", "SIGSEGV")
    report_not_run(item, "the board is out of reach")
    report_taken_over(item, checks)

They go through pytest's own hooks, so the terminal, JUnit and `-x` take them for any other test.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from liteproof.checks import METRICS, Check, Measurement
from liteproof.plugin.recording import PROPERTY, Recorder

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
    _report(item, reason)


def report_not_run(item: pytest.Item, reason: str) -> None:
    """This test was not run, and will not be."""
    Recorder(item).record_unmeasured(f"not run: {reason}")
    log(item, "logstart")
    _report(item, f"UNMEASURED: not run: {reason}")


def report_taken_over(item: pytest.Item, checks: Iterable[Check]) -> None:
    """This test need not be run: these are the checks of an earlier run, and nothing has changed."""
    item.user_properties += [(PROPERTY, msgspec.to_builtins(check)) for check in checks]
    log(item, "logstart")
    _report(item, taken_over=True)


def log(item: pytest.Item, what: str) -> None:
    """Call the hook `pytest_runtest_logstart` or `pytest_runtest_logfinish` of a test."""
    getattr(item.config.hook, f"pytest_runtest_{what}")(nodeid=item.nodeid, location=item.location)


def _report(item: pytest.Item, text: str | None = None, **more: bool) -> None:
    """Report all phases of a test; it failed with this text, or passed if there is none."""
    for when, outcome in (("setup", "passed"), ("call", "failed" if text else "passed"), ("teardown", "passed")):
        report = pytest.TestReport(
            item.nodeid,
            item.location,
            dict.fromkeys(item.keywords, 1),
            outcome,  # type: ignore[arg-type]
            text if when == "call" else None,
            when,  # type: ignore[arg-type]
            user_properties=list(item.user_properties),
            **more,  # type: ignore[arg-type]
        )
        item.config.hook.pytest_runtest_logreport(report=report)
    log(item, "logfinish")
