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
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from liteproof.errors import LiteproofError, TargetError
from liteproof.measure.parity import SAMPLES
from liteproof.measure.runtime import Kernels
from liteproof.plan import Case, Target
from liteproof.plugin.acceptance_run import AcceptanceRun
from liteproof.plugin.deaths import log, report_death, report_not_run
from liteproof.plugin.isolation import Isolated, heed, in_a_fork, possible
from liteproof.plugin.recording import metrics_of, test_id
from liteproof.targets import run
from liteproof.targets.bundle import make_bundle


class Replay:
    """The loop of a run that has other targets than this interpreter."""

    def __init__(self, acceptance: AcceptanceRun, session: pytest.Session) -> None:
        self.acceptance = acceptance
        self.session = session
        self.unreached: dict[str, TargetError] = {}
        self._items = {test_id(item): item for item in session.items if case_of(item).target.remote}
        self._local = [item for item in session.items if not case_of(item).target.remote]
        self._messages: queue.SimpleQueue[run.Message] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._busy: set[str] = set()
        self._places = run.Machines()
        self._isolated = Isolated(session) if self._local and possible(session.config) else None

    def loop(self) -> bool:
        """Run everything; takes the place of pytest's loop."""
        jobs = [self._job(target) for target in self.acceptance.plan.targets if target.remote]
        threads = [threading.Thread(target=self._carry_out, args=[job], daemon=True) for job in jobs if job.tests]
        self._busy = {job.target.name for job in jobs if job.tests}
        if self._isolated:
            self._isolated.start()  # before there are threads
        try:
            with self._this_machine() if self._local else contextlib.nullcontext():
                for thread in threads:
                    thread.start()
                self._run_local()
            while self._busy:
                self._replay(self._messages.get())
                heed(self.session)
        finally:
            if self._isolated:
                self._isolated.end()
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
            replace(self.acceptance.plan, host_answers=self._host_answers(items)),
            target,
            self.acceptance.store,
            [case_of(item) for item in items],
            {item.path.parent for item in items},
        )
        return run.Job(target, tuple(test_id(item) for item in items), bundle, self._arguments())

    def _host_answers(self, items: Iterable[pytest.Item]) -> dict[str, dict[str, str]]:
        """For the tests of parity: what the files answer here. Kernels that do not take a file here are left out.

        A file may take the process down that asks it, or hang: so another one asks.
        """
        compared = [item for item in items if any(metric.startswith("parity_") for metric in metrics_of(item))]
        cases = {case.id: case for case in map(case_of, compared)}
        asked = [(case, kernels) for case in cases.values() for kernels in SAMPLES]
        config = self.session.config
        if possible(config):
            found = in_a_fork(self._host_answer, asked, config.option.test_timeout)
        else:
            found = [self._host_answer(one) for one in asked]
        answers: dict[str, dict[str, str]] = {name: {} for name in cases}
        for (case, kernels), key in zip(asked, found, strict=True):
            if key is not None:
                answers[case.id][kernels] = key
        return answers

    def _host_answer(self, asked: tuple[Case, Kernels]) -> str | None:
        """Where the store has what a file answers here; None if it does not answer."""
        case, kernels = asked
        host = next((target for target in self.acceptance.plan.targets if not target.remote), Target("host"))
        with contextlib.suppress(LiteproofError):
            return self.acceptance.bench.subject(replace(case, target=host)).answers_for_parity(kernels)[0]
        return None

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
            if self._isolated:
                self._isolated.run(item, following)
            else:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            heed(self.session)
            while not self._messages.empty():
                self._replay(self._messages.get())
                heed(self.session)

    def _replay(self, message: run.Message) -> None:
        match message:
            case run.Began(target, machine):
                self.acceptance.machines[target] = machine
            case run.Started(_, test):
                log(self._items[test], "logstart")
            case run.Reported(_, report):
                self._report(report)
            case run.Crashed(target, test, how, signal):
                report_death(self._items[test], f"{target}: its process {how} in this test", signal)
            case run.NotRun(target, tests, error):
                self.unreached[target] = error
                for test in tests:
                    report_not_run(self._items[test], error.found)
            case run.Note(target, text):
                self._say(f"{target}: {text}")
            case run.Finished(target):
                self._busy.discard(target)

    def _report(self, data: dict[str, Any]) -> None:
        """Hand a report of the target to every plugin here, under the id that its test has here."""
        item = self._items[data["nodeid"]]
        data["nodeid"], data["location"] = item.nodeid, item.location
        config = self.session.config
        report = config.hook.pytest_report_from_serializable(config=config, data=data)
        report.user_properties = [tuple(pair) for pair in report.user_properties]
        config.hook.pytest_runtest_logreport(report=report)
        if report.when == "teardown":
            log(item, "logfinish")

    def _say(self, text: str) -> None:
        reporter = self.session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(text)


def case_of(item: pytest.Item) -> Case:
    """The case of a test of the suites."""
    found: Case = item.callspec.params["case"]  # type: ignore[attr-defined]
    return found
