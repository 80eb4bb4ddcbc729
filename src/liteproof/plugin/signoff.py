"""The plugin's part of a sign-off: whether the run judged everything, from what, and the folder that it leaves.

The decision itself is `liteproof.report.signoff`; here is what only pytest knows: which tests were collected and which
of them were left out, which options narrowed the run, what failed beside the gates.

    pytest --signoff
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest

from liteproof.applicability import unmet
from liteproof.checks import Verdict
from liteproof.errors import UsageError
from liteproof.measure.evaluation import read_samples
from liteproof.plan import Case, Model
from liteproof.plugin.acceptance_run import AcceptanceRun
from liteproof.plugin.reuse import engine_digest
from liteproof.plugin.work_tree import State, state_of
from liteproof.report import release
from liteproof.report.results import Results, SignOff
from liteproof.report.signoff import Demand, blockers, withdrawn
from liteproof.report.writer import write
from liteproof.store import Store, digest_of, file_sha256

# Option's destination → how a user writes it. `--model` is not among them: which models are released is the user's
# choice; each is judged whole.
NARROWING = {
    "keyword": "-k",
    "markexpr": "-m",
    "variant": "--variant",
    "lf": "--lf",
    "stepwise": "--stepwise",
    "maxfail": "-x or --maxfail",
    "reuse": "--reuse",
    "deselect": "--deselect",
    "ignore": "--ignore",
    "ignore_glob": "--ignore-glob",
    "tx": "-n: times are not measured in parallel workers",
}
SUITE = "test_*.py"


class SignOffRun:
    """Watches a run that is to be a sign-off, and decides at its end."""

    def __init__(self, acceptance: AcceptanceRun) -> None:
        self.acceptance = acceptance
        self.config = acceptance.config
        self.no_vcs: bool = acceptance.config.option.no_vcs
        self.collected: dict[str, None] = {}
        self.left_out: list[str] = []
        self.suites: set[Path] = set()
        self.failed: dict[str, None] = {}
        self.before = self._work_tree()

    # -- what was collected -----------------------------------------------------------------------------------------

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note every test of a case, before any plugin leaves some out."""
        if isinstance(_case_of(item), Case):
            self.collected[item.nodeid] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a suite that could not be read."""
        if report.failed:
            self.failed[report.nodeid] = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> None:
        """Note every suite that is read: pytest makes a module of each file of a folder, also of those it leaves."""
        if isinstance(collector, pytest.Module):
            self.suites.add(collector.path.resolve())

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what was collected and will not run."""
        kept = {item.nodeid for item in session.items}
        self.left_out = [nodeid for nodeid in self.collected if nodeid not in kept]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note every test that failed, whatever it recorded, and every one that did not run to its end."""
        if report.failed or (report.skipped and report.when != "teardown"):
            self.failed[report.nodeid] = None

    # -- the decision -----------------------------------------------------------------------------------------------

    def decide(self, results: Results) -> Results:
        """The results with what came of the sign-off."""
        plan = self.acceptance.plan
        demanded = {model.name: model.release for model in plan.models}
        demand = Demand(
            release=demanded,
            gates={
                (case.model.name, case.variant.name, case.target.name): tuple(_gates(case))
                for case in plan.cases()
                if case.target.name in case.model.release
            },
            rehearsals=frozenset(target.name for target in plan.targets if target.rehearsal),
            objections=tuple(self._objections(results)),
        )
        found = blockers(results, demand)
        inputs = () if found else tuple(self._inputs(results))
        return dataclasses.replace(results, signoff=SignOff(not found, found, demanded, inputs, self.no_vcs))

    def _objections(self, results: Results) -> Iterator[str]:
        yield from self._narrowed()
        if not self.no_vcs:
            yield from self.before.problems
            after = self._work_tree()
            yield from after.problems
            if after.revision != self.before.revision:
                yield f"the commit changed while the run was on: {self.before.revision} became {after.revision}"
        gates = {check.test for check in results.checks if check.verdict in (Verdict.FAIL, Verdict.UNMEASURED)}
        others = [nodeid for nodeid in self.failed if not any(nodeid.endswith(_name(test)) for test in gates)]
        if others:
            yield f"failed without missing a gate: {_some(others)}"

    def _narrowed(self) -> Iterator[str]:
        yield from narrowed_by(self.config.option)
        if any("::" in argument for argument in self.config.args):
            yield "the run was narrowed to single tests by their ids"
        if self.left_out:
            yield f"{len(self.left_out)} collected tests were left out: {_some(self.left_out)}"
        missing = sorted(
            path.name for folder in self._suite_folders() for path in folder.glob(SUITE) if path not in self.suites
        )
        if missing:
            yield f"suites were left out: {', '.join(missing)}"

    def _suite_folders(self) -> list[Path]:
        """The folders of liteproof's suites that this run reads: each must be read whole."""
        from liteproof.plugin import suite_folders

        found = [folder for folder in suite_folders(self.config) if any(folder in path.parents for path in self.suites)]
        return found or suite_folders(self.config)

    def _work_tree(self) -> State:
        if self.no_vcs:
            return State(None, ())
        folders = [self.config.rootpath, *(Path(model.manifest.path).parent for model in self.acceptance.plan.models)]
        return state_of(folders, leaving_out=self.acceptance.report_folder())

    # -- what it was judged by --------------------------------------------------------------------------------------

    def _inputs(self, results: Results) -> Iterator[dict[str, str]]:
        for path, name in self._files():
            yield {"name": name, "sha256": file_sha256(path), "role": "suite"}
        yield {"name": "liteproof", "sha256": engine_digest(), "role": "engine"}
        yield from _packages(results)

    def _files(self) -> Iterator[tuple[Path, str]]:
        """Suites, conftest.py files, pytest's configuration and the targets, with the names that reports show."""
        root = self.config.rootpath
        for folder in self._suite_folders():
            for path in sorted(folder.glob("*.py")):
                yield path, f"acceptance/{path.name}"
        plugins = self.config.pluginmanager.get_plugins()
        conftests = {
            Path(file) for p in plugins if Path(file := getattr(p, "__file__", None) or "").name == "conftest.py"
        }
        named = self.config.option.targets
        targets = self.config.invocation_params.dir / named if named else root / "targets.toml"
        ini = self.config.inipath
        for path in (*sorted(conftests), *([ini] if ini else []), targets):
            if path.is_file():
                yield path, path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name

    # -- the folder -------------------------------------------------------------------------------------------------

    def release(self, results: Results, folder: Path) -> Results:
        """Write the release folders beside a run's reports, if the sign-off was granted.

        Returns:
            The results; where the folders cannot be written, without the grant, and the reports are made again.

        Raises:
            UsageError: if the reports cannot be written either.
        """
        if not results.signoff or not results.signoff.granted:
            return results
        try:
            self._write(results, folder)
        except (UsageError, OSError) as error:
            reason = error.found if isinstance(error, UsageError) else str(error)
            results = withdrawn(results, reason)
            write(results, folder.parent)
        return results

    def _write(self, results: Results, folder: Path) -> None:
        models = {model.name: model for model in self.acceptance.plan.models}
        keys = {(model.name, variant.name): variant.key for model in models.values() for variant in model.variants}

        def file_of(model: str, variant: str) -> Path:
            entry = self.acceptance.store.get(keys[model, variant])
            return entry.path if entry else Path(f"{model}-{variant}.tflite")

        release.write(folder, file_of, lambda model: _ranges(models[model], self.acceptance.store))
        named = (variant["sha256"] for facts in results.models.values() for variant in facts["variants"].values())
        self.acceptance.store.pin(results.run.id, named, f"sign-off {results.run.id}, {folder}")


def narrowed_by(option: object) -> Iterator[str]:
    """The options that keep a run from judging everything, a sentence each.

    >>> from types import SimpleNamespace
    >>> list(narrowed_by(SimpleNamespace(keyword="size", verbose=1)))
    ['the run was narrowed by -k']
    """
    for destination, written in NARROWING.items():
        if getattr(option, destination, None):
            yield f"the run was narrowed by {written}"


def _gates(case: Case) -> Iterator[str]:
    for metric in case.variant.budgets.get(case.target.name, {}):
        if (
            case.limit(metric) is not None
            and unmet(case.model.metric(metric), case.model, case.variant, case.target) is None
        ):
            yield metric


def _ranges(model: Model, store: Store) -> dict[str, tuple[float, float]]:
    inputs = read_samples(model.evaluation, store).inputs
    return {
        name: (float(array.min()), float(array.max()))
        for name, array in inputs.items()
        if array.size and array.dtype.kind in "fiub"
    }


def _packages(results: Results) -> Iterator[dict[str, str]]:
    """Toolchains and runtimes as package URLs; with the digest of the installed files' list where it is this one."""
    toolchains = {v.get("toolchain") for facts in results.models.values() for v in facts["variants"].values()}
    runtimes = {machine.get("runtime") for machine in results.targets.values()}
    for role, names in (("toolchain", toolchains), ("runtime", runtimes)):
        for name in sorted(str(name) for name in names if name):
            package, _, version = name.partition(" ")
            package = package.replace("_", "-").lower()
            found = {"uri": f"pkg:pypi/{package}@{version}" if version else f"pkg:pypi/{package}", "role": role}
            sha256 = _record(package, version)
            yield {**found, "sha256": sha256} if sha256 else found


def _record(package: str, version: str) -> str | None:
    """Digest of what pip recorded of an installed package: the names and digests of its files, sorted."""
    try:
        installed = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    lines = (installed.read_text("RECORD") or "").splitlines()
    if installed.version != version or not lines:
        return None
    return digest_of({"files": sorted(line for line in lines if ".pyc," not in line)})


def _case_of(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("case") if callspec else None


def _name(test: str) -> str:
    """The part of a test's id that is the same whatever entrance it was reached by."""
    return test.rpartition("/")[2]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
