"""The gate: one acceptance run, from the manifests at its start to the reports at its end.

Hooks only. What a hook needs is done below: manifests (`liteproof.manifest`), conversion (`liteproof.convert`), the
files under judgement (`liteproof.measure.subject`), reports (`liteproof.report`).

The order of a run: the plan is made when the session starts, so that a wrong request ends it before anything runs;
tests are collected from the plan; what the selected tests lack is converted when the loop begins; each test's checks
travel on its report; the reports are written when the session ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import os
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from liteproof import plan as plans
from liteproof.applicability import unmet
from liteproof.checks import METRICS, OWN, Check, Verdict
from liteproof.errors import LiteproofError, UsageError
from liteproof.plan import Case, Plan, Target
from liteproof.plugin.acceptance_run import AcceptanceRun
from liteproof.plugin.board import Board
from liteproof.plugin.recording import GateMissed, Recorder, recorded
from liteproof.plugin.reuse import Reuse
from liteproof.plugin.termination import Termination

if TYPE_CHECKING:
    from liteproof.plugin.replay import Replay
    from liteproof.plugin.signoff import SignOffRun
    from liteproof.report.results import Results
    from liteproof.store_pruning import Pruned

Reporting = Generator[None, pytest.TestReport, pytest.TestReport]
NOTHING_CHECKED = pytest.ExitCode.NO_TESTS_COLLECTED


class Gate:
    """The plugin of one acceptance run; in a parallel worker, its share of one."""

    def __init__(self, config: pytest.Config) -> None:
        self.run = AcceptanceRun(config)
        self.config = config
        self.board = Board(config) if config.option.liteproof_order else None
        self.worker = hasattr(config, "workerinput") or self.board is not None
        self.reuse = Reuse(self.run)
        self.remote: Replay | None = None
        self.signoff: SignOffRun | None = None
        self.results: Results | None = None
        self.folder: Path | None = None
        self.pruned: Pruned | None = None
        self._most_stored = math.inf
        self._held = contextlib.ExitStack()

    # -- the plan ---------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Resolve the request, before any test is collected and any parallel worker starts."""
        if self.board:
            self.run.plan = self.board.plan
            self.run.bench.host_answers = self.run.plan.host_answers
            session.config.pluginmanager.register(self.board, "liteproof-board")
            return
        if self.worker:
            self.run.plan = plans.decode(cast("Any", self.config).workerinput["liteproof_plan"])
            self.run.bench.root = self.run.plan.root
            return
        from liteproof.store_pruning import limit_of

        try:
            self.run.plan = self._load_plan(session.config)
            self.run.bench.root = self.run.plan.root
            _refuse_in_parallel(self.run.plan, session.config)
            self._most_stored = limit_of(session.config.getini("liteproof_store_limit"))
            for target in self.run.plan.targets:
                if not target.remote:
                    self.run.bench.runtime_of(target)
        except LiteproofError as error:
            raise pytest.UsageError(str(error)) from None
        if threading.current_thread() is threading.main_thread():
            session.config.pluginmanager.register(Termination(), "liteproof-termination")
        session.config.pluginmanager.register(self.reuse, "liteproof-reuse")
        if session.config.option.signoff:
            from liteproof.plugin.signoff import SignOffRun

            self.signoff = SignOffRun(self.run)
            session.config.pluginmanager.register(self.signoff, "liteproof-signoff")

    def _load_plan(self, config: pytest.Config) -> Plan:
        from liteproof.convert.progress import progress
        from liteproof.manifest.release import release_targets
        from liteproof.manifest.resolve import load_plan

        option, here = config.option, config.invocation_params.dir
        models = [here / name for name in option.models] if option.models else [config.rootpath / "models"]
        names = tuple(option.model or ())
        with progress(_stream(config)) as listener:
            plan = load_plan(
                models,
                model_names=names,
                variant_names=tuple(option.variant or ()),
                target_names=tuple(option.target or ())
                or (release_targets(models, names) if option.signoff else ("host",)),
                targets_file=here / option.targets if option.targets else None,
                root=config.rootpath,
                no_code=option.no_code,
                store=self.run.store,
                fetch=not option.collectonly,
                listener=listener,
            )
        if option.changed_since is None:
            return plan
        from liteproof.manifest.changes import changed_models

        changed = changed_models(plan, option.changed_since, self._judged_by())
        return dataclasses.replace(plan, models=changed)

    def _judged_by(self) -> list[Path]:
        """Files and folders that every model is judged by: where one of them changed, all models did."""
        from liteproof.plugin import suite_folders

        option, root = self.config.option, self.config.rootpath
        targets = self.config.invocation_params.dir / option.targets if option.targets else root / "targets.toml"
        engine = Path(__file__).parents[1]
        found = [*suite_folders(self.config), root / "conftest.py", targets, self.config.inipath, engine]
        return [path for path in found if path is not None]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand the plan to a parallel worker (pytest-xdist)."""
        node.workerinput["liteproof_plan"] = plans.encode(self.run.plan).decode()

    def pytest_report_header(self) -> list[str]:
        """What is about to be judged, and with what."""
        if self.worker:
            return []
        models = ", ".join(f"{model.name} ({len(model.variants)} variants)" for model in self.run.plan.models)
        if not self.run.plan.models:
            models = f"no model's inputs changed since {self.config.option.changed_since}"
        targets = ", ".join(f"{target.name} {self._where(target)}" for target in self.run.plan.targets)
        return [f"liteproof: {models}", f"targets: {targets}", f"store: {self.run.store.root}"]

    def _where(self, target: Target) -> str:
        if target.remote:
            return f"over ssh {target.ssh}" if target.ssh else f"by {target.python}"
        return f"by {self.run.bench.runtime_of(target)}"

    # -- collection -------------------------------------------------------------------------------------------------

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each case to which any of its metrics applies."""
        if "case" not in metafunc.fixturenames:
            return
        mark = metafunc.definition.get_closest_marker("measures")
        metrics = self._known(metafunc, mark.args if mark else ())
        cases = [case for case in self._cases() if not metrics or _any_applies(metrics, case)]
        metafunc.parametrize("case", cases, ids=[case.id for case in cases], indirect=True)

    def _cases(self) -> Iterable[Case]:
        """A sign-off judges each model where its own manifest says, unless it was told where."""
        if self.signoff is None or self.config.option.target:
            return self.run.plan.cases()
        return (case for case in self.run.plan.cases() if case.target.name in case.model.release)

    @staticmethod
    def _known(metafunc: pytest.Metafunc, metrics: Iterable[str]) -> tuple[str, ...]:
        unknown = [metric for metric in metrics if metric not in (*METRICS, OWN)]
        if unknown:
            raise pytest.UsageError(f"{metafunc.definition.nodeid} measures an unknown metric {unknown[0]!r}")
        return tuple(metrics)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the placeholders that pytest makes of tests that apply to no case."""
        items[:] = [item for item in items if not _is_placeholder(item)]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count what was selected."""
        self.run.selected = len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Count what a parallel worker selected."""
        self.run.selected = len(ids)

    # -- conversion -------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        """Make what the selected tests lack. Parallel workers only judge: their controller makes it for them.

        Where some of the tests belong to other targets, they run there, and this loop takes the place of pytest's.
        """
        gc.freeze()
        gc.enable()
        failed = session.testsfailed and not session.config.option.continue_on_collection_errors
        if self.worker or session.config.option.collectonly or failed:
            return None
        parallel = bool(getattr(session.config.option, "tx", None))
        self.reuse.begin(session)
        if session.config.option.reuse:
            self.reuse.take_over(session)
        cases = (
            list(self.run.plan.cases()) if parallel else [case for item in session.items if (case := _case_of(item))]
        )
        from liteproof.convert.conversion import prepare
        from liteproof.convert.progress import progress

        try:
            self._held.enter_context(self.run.store.in_use())
            with progress(_stream(session.config)) as listener:
                prepare(self.run.plan, self.run.store, _unique(cases), progress=listener)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        self._tell_of_select_operators(session.config, _unique(cases))
        if not any(case.target.remote for case in cases):
            from liteproof.plugin import isolation

            in_place = parallel or not isolation.possible(session.config)
            return None if in_place else isolation.run_all(session)
        from liteproof.plugin.replay import Replay

        self.remote = Replay(self.run, session)
        return self.remote.loop()

    def _tell_of_select_operators(self, config: pytest.Config, cases: Iterable[Case]) -> None:
        """What a variant asks of its targets' runtimes, before anything is sent to one of them."""
        asking = [case for case in cases if case.variant.select_tf_ops]
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if not asking or reporter is None:
            return
        from liteproof.tflite.reader import read_model
        from liteproof.tflite.select_ops import COST, select_operators

        for case in asking:
            entry = self.run.store.get(case.variant.key)
            names = select_operators(read_model(entry.path)) if entry else ()
            if names:
                what = f"{case.variant.name} of {case.model.name} has Select TF operators ({', '.join(names[:5])})"
                reporter.write_line(f"{what}, judged on {case.target.name}: {COST}", yellow=True)

    # -- the tests --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """A test measures all it measures before it fails."""
        result = yield
        if _case_of(pyfuncitem):
            Recorder.of(pyfuncitem).raise_missed()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Reporting:
        """Record what a test that was cut short left unmeasured, and show a message where there is one for users."""
        error = call.excinfo.value if call.excinfo else None
        text = None
        if error is not None and _case_of(item):
            recorder = Recorder.of(item)
            if not isinstance(error, GateMissed):
                recorder.record_unmeasured(_reason(error))
            if isinstance(error, (GateMissed, LiteproofError)):
                text = "\n\n".join(map(_message, recorder.missed())) or str(error)
                # pytest's picture of it, whose place the text takes, parses the source of every frame: 40 ms a test.
                setattr(item, "repr_failure", lambda _: text)  # noqa: B010 - to mypy it is a method
        report = yield
        if text is not None:
            report.longrepr = text
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the checks off a test's report."""
        if self.worker:
            return
        if report.when == "teardown":
            self.run.ran += 1
            self.run.checks += recorded(report.user_properties)
        elif report.when not in ("setup", "call"):
            self._record_crash(report)

    def _record_crash(self, report: pytest.TestReport) -> None:
        """A parallel worker died in this test, and with it what the test would have recorded."""
        for case in self.run.plan.cases():
            if report.nodeid.endswith(f"[{case.id}]"):
                self.run.checks.append(_crashed(report, case))
                self.run.ran += 1

    # -- the end ----------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the reports; a run in which nothing was checked, or a gate was missed, never ends as 0."""
        if self.worker or session.config.option.collectonly or exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        try:
            self._write_reports(session, exitstatus)
        except UsageError as error:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            session.config.get_terminal_writer().line(f"\nERROR: {error}", red=True)
        self._keep_store_small(session.config)

    def _keep_store_small(self, config: pytest.Config) -> None:
        """What was judged stays judged, whatever becomes of the store afterwards."""
        from liteproof.store_pruning import keep_within

        self._held.close()
        try:
            self.pruned = keep_within(self.run.store, self._most_stored)
        except (UsageError, OSError) as error:
            config.get_terminal_writer().line(f"\nthe store was not pruned: {error}", yellow=True)

    def _write_reports(self, session: pytest.Session, exitstatus: int) -> None:
        from liteproof.plugin.outcome import compose
        from liteproof.report.writer import write

        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if ended and not self.run.checks:
            session.exitstatus = NOTHING_CHECKED
        elif exitstatus == pytest.ExitCode.OK and any(_misses(check) for check in self.run.checks):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if not self.run.checks:
            return
        reached = self.remote is None or not self.remote.unreached
        self.results = compose(
            self.run,
            complete=ended and reached and self.run.ran == self.run.selected,
            fingerprints=self.reuse.fingerprints(),
        )
        if self.signoff:
            self.results = self.signoff.decide(self.results)
        self.folder = write(self.results, self.run.report_folder())
        if self.signoff:
            self.results = self.signoff.release(self.results, self.folder)
            if exitstatus == pytest.ExitCode.OK and not _granted(self.results):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, the missed gates, and where the reports are."""
        if self.remote is not None:
            self.remote.summarize(terminalreporter)
        if self.results is None:
            return
        from liteproof.report import terminal
        from liteproof.report.markdown import headline
        from liteproof.report.wording import size, taken_over

        writer = terminalreporter._tw
        terminalreporter.section("liteproof")
        terminal.show(self.results, _stream(self.config), width=min(writer.fullwidth, 100), color=writer.hasmarkup)
        if not self.results.run.complete:
            terminalreporter.write_line("This run was cut off: what is missing above was not judged.", red=True)
        shown = f"; reports in {_near(self.folder)}" if self.folder else ""
        terminalreporter.write_line(f"{headline(self.results)}{shown}")
        if reused := taken_over(self.results.checks):
            terminalreporter.write_line(reused)
        for line in (*terminal.decision(self.results), *_elsewhere(self.results)):
            terminalreporter.write_line(line)
        if self.pruned and self.pruned.removed:
            freed = size(self.pruned.freed_bytes)
            terminalreporter.write_line(f"store: its limit is reached; what was not used for longest is gone, {freed}")


def _elsewhere(results: Results) -> list[str]:
    """Reports that could not be made here, and annotations where the run is one of GitHub Actions."""
    from liteproof.report import github, writer

    note = writer.left_out()
    return [*([note] if note else []), *github.publish(results, os.environ)]


def _refuse_in_parallel(plan: Plan, config: pytest.Config) -> None:
    if not getattr(config.option, "tx", None):
        return
    if config.option.reuse:
        raise UsageError("--reuse in parallel workers", expected="one process", next="leave out -n, or --reuse")
    remote = [target.name for target in plan.targets if target.remote]
    if remote:
        raise UsageError(
            f"target {remote[0]} in parallel workers",
            expected="one process: targets run side by side already, each its tests one after the other",
            next="leave out -n",
        )


def _granted(results: Results) -> bool:
    return results.signoff is not None and results.signoff.granted


def _any_applies(metrics: Iterable[str], case: Case) -> bool:
    measured = case.model.measured_by(metrics)
    return any(unmet(metric, case.model, case.variant, case.target) is None for metric in measured)


def _case_of(item: pytest.Item) -> Case | None:
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("case") if callspec else None
    return found if isinstance(found, Case) else None


def _is_placeholder(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "case" in callspec.params and not isinstance(callspec.params["case"], Case)


def _unique(cases: list[Case]) -> list[Case]:
    return list({case.id: case for case in cases}.values())


def _reason(error: BaseException) -> str:
    if isinstance(error, pytest.skip.Exception):
        return f"the test was skipped: {error}"
    if isinstance(error, LiteproofError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _message(check: Check) -> str:
    from liteproof.report.wording import gate_message

    return gate_message(check)


def _misses(check: Check) -> bool:
    return check.verdict in (Verdict.FAIL, Verdict.UNMEASURED)


def _crashed(report: pytest.TestReport, case: Case) -> Check:
    file, _, name = report.nodeid.partition("::")
    return Check(
        model=case.model.name,
        variant=case.variant.name,
        target=case.target.name,
        suite=Path(file).stem.removeprefix("test_"),
        metric=name.partition("[")[0].removeprefix("test_"),
        value=None,
        limit=None,
        margin=None,
        samples=None,
        interval=None,
        verdict=Verdict.UNMEASURED,
        test=f"acceptance/{Path(file).name}::{name}",
        detail=f"the process that ran this test died: {report.longrepr}",
    )


def _stream(config: pytest.Config) -> Any:
    return config.get_terminal_writer()._file


def _near(folder: Path | None) -> str:
    if folder is None:
        return ""
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
