"""Tests of other targets, as if they had run here: their reports go through pytest's own hooks as they arrive.

So the terminal, `-x`, `--maxfail`, `--lf`, JUnit, properties, captured output and tracebacks come out as for any test.
Tests are selected here (`-k`, `-m`, ids); each target is told the ids of its own. Targets run side by side, each in a
thread of `liteproof.targets.run`; this machine's own tests run between the arrivals. One machine is never given two
runs at once, so times are not disturbed by ours.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from liteproof.checks import METRICS, Measurement
from liteproof.errors import TargetError
from liteproof.plan import Case, Target
from liteproof.plugin.recording import Recorder, test_id
from liteproof.targets import run
from liteproof.targets.bundle import make_bundle

if TYPE_CHECKING:
    from liteproof.plugin.gate import Gate

# How a file kills its process, rather than the machine or somebody else.
_FILES_FAULT = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"})


class Replay:
    """The loop of a run that has other targets than this interpreter."""

    def __init__(self, gate: Gate, session: pytest.Session) -> None:
        self.gate = gate
        self.session = session
        self.machines: dict[str, Mapping[str, object]] = {}
        self.unreached: dict[str, TargetError] = {}
        self._items = {test_id(item): item for item in session.items if case_of(item).target.remote}
        self._local = [item for item in session.items if not case_of(item).target.remote]
        self._messages: queue.SimpleQueue[run.Message] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._busy: set[str] = set()
        self._places = run.Machines()

    def loop(self) -> bool:
        """Run everything; takes the place of pytest's loop."""
        jobs = [self._job(target) for target in self.gate.plan.targets if target.remote]
        threads = [threading.Thread(target=self._carry_out, args=[job], daemon=True) for job in jobs if job.tests]
        self._busy = {job.target.name for job in jobs if job.tests}
        try:
            with self._this_machine() if self._local else contextlib.nullcontext():
                for thread in threads:
                    thread.start()
                self._run_local()
            while self._busy:
                self._replay(self._messages.get())
                self._heed()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)
        return True

    def summarize(self, reporter: pytest.TerminalReporter) -> None:
        """What kept targets from being judged, once for each."""
        for error in self.unreached.values():
            reporter.write_line(f"\n{error}", red=True)

    # -- what is sent -----------------------------------------------------------------------------------------------

    def _job(self, target: Target) -> run.Job:
        items = [item for item in self._items.values() if case_of(item).target == target]
        bundle = make_bundle(
            self.gate.plan,
            target,
            self.gate.store,
            [case_of(item) for item in items],
            {item.path.parent for item in items},
        )
        return run.Job(target, tuple(test_id(item) for item in items), bundle, self._arguments())

    def _arguments(self) -> tuple[str, ...]:
        """Options that decide what a report holds."""
        option = self.session.config.option
        chosen = [f"--tb={option.tbstyle}"] if option.tbstyle != "auto" else []
        chosen += ["--showlocals"] if option.showlocals else []
        chosen += ["--benchmark-disable"] if getattr(option, "benchmark_disable", False) else []
        return tuple(chosen)

    def _carry_out(self, job: run.Job) -> None:
        try:
            run.carry_out(job, self._messages.put, stop=self._stop, machines=self._places)
        except BaseException as error:  # a fault of ours must not become a hang
            fault = TargetError(f"{job.target.name}: {type(error).__name__}: {error}")
            self._messages.put(run.NotRun(job.target.name, job.tests, fault))
            self._messages.put(run.Finished(job.target.name))
            raise

    def _this_machine(self) -> contextlib.AbstractContextManager[None]:
        return self._places.use(run.own_boot(), self._stop)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def _run_local(self) -> None:
        for item, following in zip(self._local, [*self._local[1:], None], strict=False):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._heed()
            while not self._messages.empty():
                self._replay(self._messages.get())
                self._heed()

    def _heed(self) -> None:
        """End where -x, --maxfail or a plugin says so."""
        if self.session.shouldfail:
            raise self.session.Failed(self.session.shouldfail)
        if self.session.shouldstop:
            raise self.session.Interrupted(self.session.shouldstop)

    def _replay(self, message: run.Message) -> None:
        match message:
            case run.Began(target, machine):
                self.machines[target] = machine
            case run.Started(_, test):
                self._log("logstart", self._items[test])
            case run.Reported(_, report):
                self._report(report)
            case run.Crashed(target, test, how, signal):
                self._crash(target, self._items[test], how, signal)
            case run.NotRun(target, tests, error):
                self.unreached[target] = error
                for test in tests:
                    self._not_run(self._items[test], error)
            case run.Note(target, text):
                self._say(f"{target}: {text}")
            case run.Finished(target):
                self._busy.discard(target)

    def _log(self, what: str, item: pytest.Item) -> None:
        getattr(item.config.hook, f"pytest_runtest_{what}")(nodeid=item.nodeid, location=item.location)

    def _report(self, data: dict[str, Any]) -> None:
        """Hand a report of the target to every plugin here, under the id that its test has here."""
        item = self._items[data["nodeid"]]
        data["nodeid"], data["location"] = item.nodeid, item.location
        config = self.session.config
        report = config.hook.pytest_report_from_serializable(config=config, data=data)
        report.user_properties = [tuple(pair) for pair in report.user_properties]
        config.hook.pytest_runtest_logreport(report=report)
        if report.when == "teardown":
            self._log("logfinish", item)

    def _crash(self, target: str, item: pytest.Item, how: str, signal: str) -> None:
        """The interpreter died in this test: what it measures is unmeasured; a file that did it does not load."""
        reason = f"{target}: its process {how} in this test"
        recorder = Recorder(item)
        if signal in _FILES_FAULT:
            _record_kill(item, reason)
        recorder.record_unmeasured(reason)
        self._fail(item, reason, started=True)

    def _not_run(self, item: pytest.Item, error: TargetError) -> None:
        Recorder(item).record_unmeasured(f"not run: {error.found}")
        self._fail(item, f"UNMEASURED: not run: {error.found}")

    def _fail(self, item: pytest.Item, text: str, *, started: bool = False) -> None:
        """The reports of a test that has none of its own."""
        if not started:
            self._log("logstart", item)
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
        self._log("logfinish", item)

    def _say(self, text: str) -> None:
        reporter = self.session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(text)


def case_of(item: pytest.Item) -> Case:
    """The case of a test of the suites."""
    found: Case = item.callspec.params["case"]  # type: ignore[attr-defined]
    return found


def _record_kill(item: pytest.Item, reason: str) -> None:
    """FAIL of `loads`: the file killed its process, though its first inference had gone well."""
    recorder = Recorder(item)
    recorder.record(Measurement("loads", 0.0, detail=reason), METRICS["loads"].default)
