"""The tests of this machine, each in a process that a file may take down, told here as if they had run here.

    runner = Isolated(session)
    runner.run(item, following)
    runner.end()

`measure/probe.py` keeps out what dies at its first inference. A file can still kill its process later: with the next
sample, in a batch, by other kernels, by a heap that it has spoiled. So pytest's own process loads no file. It forks
once, before any runtime is imported, and orders one test after the other; reports come back as they come back from a
target. If the process dies, the test that was on has failed, and another one is forked for the rest.

The caches of a run (open files, outputs) live in the forked process and last until it dies. What it sends is taken by
pickle: the two are one program of one user, and no boundary to an attacker (docs/security.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar, cast

import pytest

from liteproof.measure.probe import last_words
from liteproof.plan import Case
from liteproof.plugin.deaths import report_death, report_not_run

T = TypeVar("T")
R = TypeVar("R")

# Options that need the terminal, or show what happens inside, in pytest's own process.
_IN_PLACE = ("usepdb", "trace", "setupshow", "setuponly", "setupplan")
_PATIENCE_S = 5.0
# Of malloc.h; a piece of this size or more is mapped by itself.
_M_MMAP_THRESHOLD, _RETURNED_BYTES = -3, 4 << 20


def possible(config: pytest.Config) -> bool:
    """Whether tests can be run in a forked process here, with these options."""
    return hasattr(os, "fork") and not any(getattr(config.option, name, False) for name in _IN_PLACE)


def run_all(session: pytest.Session) -> bool:
    """Run every test of a session; takes the place of pytest's loop."""
    runner = Isolated(session)
    try:
        for item, following in zip(session.items, [*session.items[1:], None], strict=False):
            runner.run(item, following)
            heed(session)
    finally:
        runner.end()
    return True


def in_a_fork(work: Callable[[T], R], items: Sequence[T], patience_s: float) -> list[R | None]:
    """What `work` makes of each item, in a process forked for it; None for one that killed the process, or hung in it.

    One process for all of them, and another one for the rest after a death.

    Args:
        work: What it returns, pickle can carry.
        items: What it is called with, one after the other.
        patience_s: Seconds for each.
    """
    found: list[R | None] = []
    while len(found) < len(items):
        ours, child = _fork(lambda channel: _work(work, items[len(found) :], channel))
        try:
            while len(found) < len(items) and ours.poll(patience_s):
                what, content = ours.recv()
                if what == "raised":
                    raise content
                found.append(content)
        except (EOFError, OSError):
            pass
        finally:
            ours.close()
            os.kill(child, signal.SIGKILL)  # not yet reaped, so its number is still its own
            os.waitpid(child, 0)
        if len(found) < len(items):
            found.append(None)
    return found


def _work(work: Callable[[T], R], items: Sequence[T], channel: Connection) -> None:
    faulthandler.disable()
    for item in items:
        channel.send(("made", work(item)))


def _fork(act: Callable[[Connection], None]) -> tuple[Connection, int]:
    """Fork a process that does its part over a channel and ends; our end of the channel, and its id."""
    ours, theirs = Pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: ours hold no lock
        child = os.fork()
    if not child:
        ours.close()
        try:
            act(theirs)
        except BaseException:
            _tell(theirs, RuntimeError(traceback.format_exc()))
        finally:
            # Not the interpreter's own end: what a file has spoiled could not stand it; pytest's is not for this one.
            os._exit(0)
    theirs.close()
    return ours, child


def heed(session: pytest.Session) -> None:
    """End where -x, --maxfail or a plugin says so."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


def case_of(item: pytest.Item) -> Case | None:
    """The case of a test; None for a test of something else."""
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("case") if callspec else None
    return found if isinstance(found, Case) else None


class Isolated:
    """Runs tests in a forked process, and forks another one where that dies."""

    def __init__(self, session: pytest.Session) -> None:
        self.session = session
        self.config = session.config
        self._place = {id(item): i for i, item in enumerate(session.items)}
        self._limit_s: float = self.config.option.test_timeout
        self._child = 0
        self._channel: Connection | None = None
        self._hung: dict[str, str] = {}  # cases by id, and what became of the test that hung

    def start(self) -> None:
        """Fork the process that the tests run in."""
        self._flush_terminal()
        self._channel, self._child = _fork(lambda channel: _serve(self.session, channel))

    def run(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """Run one test and report it.

        Args:
            item: The test.
            following: The test after it, which keeps the fixtures that both use.
        """
        case = case_of(item)
        if case is not None and case.id in self._hung:
            report_not_run(item, self._hung[case.id])  # each of its tests may hang; one limit's time is enough
            return
        if self._channel is None:
            self.start()
        channel = cast("Connection", self._channel)
        try:
            channel.send((self._place[id(item)], None if following is None else self._place[id(following)]))
            while self._take(item, channel):
                pass
        except (EOFError, OSError):
            self._died(item, *self._reap())
        except KeyboardInterrupt:
            self._interrupt()
            raise

    def end(self) -> None:
        """Let the process tear its fixtures down, and see it end."""
        if self._channel is None:
            return
        with contextlib.suppress(OSError):
            self._channel.send(None)
        self._wait(self._limit_s)

    def _interrupt(self) -> None:
        """Pass an interruption on: Ctrl-C has reached the process already, a signal to pytest alone has not."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGINT)
        self._wait(_PATIENCE_S)

    def _wait(self, seconds: float) -> None:
        """Let the process come to its end; kill it where that takes too long."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(EOFError, OSError):
            while self._channel is not None and self._channel.poll(max(0.0, deadline - time.monotonic())):
                self._channel.recv()
        self._kill()

    # -- what comes back --------------------------------------------------------------------------------------------

    def _take(self, item: pytest.Item, channel: Connection) -> bool:
        """Take one message; whether more of this test are to come."""
        if not channel.poll(self._limit_s):
            self._kill()
            how = f"its process was killed after {self._limit_s:g} s in"
            self._died(item, f"{how} this test", "")
            if (case := case_of(item)) is not None:
                self._hung[case.id] = f"{how} {item.name}"
            return False
        what, content = channel.recv()
        if what == "log":
            getattr(self.config.hook, f"pytest_runtest_{content}")(nodeid=item.nodeid, location=item.location)
        elif what == "report":
            self._report(content)
        elif what == "warning":
            self.config.hook.pytest_warning_recorded.call_historic(kwargs=content)
        elif what == "raised":
            self._reap()
            raise content
        elif what == "done":
            benchmarks, self.session.shouldfail, self.session.shouldstop = content
            getattr(self.config, "_benchmarksession", SimpleNamespace(benchmarks=[])).benchmarks.extend(benchmarks)
            return False
        return True

    def _report(self, data: dict[str, Any]) -> None:
        report = self.config.hook.pytest_report_from_serializable(config=self.config, data=data)
        report.user_properties = [tuple(pair) for pair in report.user_properties]
        self.config.hook.pytest_runtest_logreport(report=report)

    # -- its death --------------------------------------------------------------------------------------------------

    def _died(self, item: pytest.Item, reason: str, killed_by: str) -> None:
        words = self._last_words()
        report_death(item, f"{reason}: {words}" if words else reason, killed_by)

    def _last_words(self) -> str:
        """What the process printed in the test that it died in; pytest's capture keeps it in a file of both."""
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        with contextlib.suppress(Exception):
            return last_words(capture.read_global_capture().err) if capture else ""
        return ""

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        self._reap()

    def _reap(self) -> tuple[str, str]:
        """Wait for the process; how it ended, and the signal that ended it or ""."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        if not self._child:
            return "its process is gone", ""
        _, status = os.waitpid(self._child, 0)
        self._child = 0
        number = os.waitstatus_to_exitcode(status)
        if number < 0:
            name = signal.Signals(-number).name if -number in signal.valid_signals() else f"signal {-number}"
            return f"its process died of {name} in this test", name
        return f"its process ended with status {number} in this test", ""

    def _flush_terminal(self) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.flush()


# -- in the forked process --------------------------------------------------------------------------------------------


class _Relay:
    """Sends what pytest reports of a test to the process that was forked from."""

    def __init__(self, config: pytest.Config, channel: Connection) -> None:
        self.config = config
        self.channel = channel

    def pytest_runtest_logstart(self) -> None:
        self.channel.send(("log", "logstart"))

    def pytest_runtest_logfinish(self) -> None:
        self.channel.send(("log", "logfinish"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.channel.send(("report", data))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: object
    ) -> None:
        told = warnings.WarningMessage(
            str(warning_message.message), UserWarning, warning_message.filename, warning_message.lineno
        )
        with contextlib.suppress(pickle.PicklingError, AttributeError):  # a class that only this process knows
            pickle.dumps(warning_message.category)
            told.category = warning_message.category
        self.channel.send(("warning", {"warning_message": told, "when": when, "nodeid": nodeid, "location": location}))


def _serve(session: pytest.Session, channel: Connection) -> NoReturn:
    """Run the tests that are ordered, until no more are."""
    status = 1
    try:
        _prepare(session.config, channel)
        while (order := channel.recv()) is not None:
            _run(session, channel, *order)
        session._setupstate.teardown_exact(None)
        status = 0
    except (EOFError, OSError):  # nobody is left to tell
        pass
    except (KeyboardInterrupt, pytest.exit.Exception) as error:
        with contextlib.suppress(BaseException):
            session._setupstate.teardown_exact(None)
        _tell(channel, error)
    except BaseException:
        _tell(channel, RuntimeError(traceback.format_exc()))
    finally:
        # Not the interpreter's own end: what a file has spoiled could not stand it, and pytest's is not for this copy.
        os._exit(status)


def _give_memory_back() -> None:
    """Have glibc return what a closed session held: else it keeps freed pieces of up to 32 MB, and a case adds up."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)


def _prepare(config: pytest.Config, channel: Connection) -> None:
    # The crash is told in words; a dump of our own stack would only be in its way.
    faulthandler.disable()
    _give_memory_back()
    if config.pluginmanager.has_plugin("terminalreporter"):
        config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(_Relay(config, channel), "liteproof-relay")


def _run(session: pytest.Session, channel: Connection, place: int, after: int | None) -> None:
    item = session.items[place]
    following = None if after is None else session.items[after]
    session._setupstate.teardown_exact(item)  # where the test that was to follow the last one was left out
    taken = len(_benchmarks(session.config))
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    news = [_portable(bench) for bench in _benchmarks(session.config)[taken:]]
    channel.send(("done", (news, session.shouldfail, session.shouldstop)))


def _benchmarks(config: pytest.Config) -> list[Any]:
    """What pytest-benchmark has taken so far, for the table at the end of a run."""
    found: list[Any] = getattr(getattr(config, "_benchmarksession", None), "benchmarks", [])
    return found


def _portable(bench: Any) -> Any:
    """The record without the fixture that made it, of which the table asks one thing only."""
    bench.fixture = SimpleNamespace(has_error=bench.fixture.has_error)
    return bench


def _tell(channel: Connection, error: BaseException) -> None:
    with contextlib.suppress(OSError):
        channel.send(("raised", error))
