"""`--reuse`: a test of which nothing changed since it last passed is not run again; its checks are taken over.

    pytest --reuse

Every run leaves in its `results.json` a fingerprint of each test that passed: a digest of all that decides what the
test finds. A test is taken over from the newest run that ran it, if that run has the same fingerprint of it. A test
that failed leaves none, so it is judged again, whatever an older run says. Tests of other targets are always run.

What a fingerprint covers: the files under judgement and what they were made from (the plan, with the digests of the
contents in the store), limits, baselines and waivers, the suites' and the engine's code, runtime and machine; of a
timing test also which machine it is and how pytest-benchmark was told to measure.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from liteproof.checks import Check
from liteproof.errors import UsageError
from liteproof.measure.machine import describe_machine
from liteproof.measure.opened import identity
from liteproof.plan import Case, File
from liteproof.plugin.acceptance_run import AcceptanceRun
from liteproof.plugin.deaths import report_taken_over
from liteproof.plugin.isolation import case_of
from liteproof.plugin.recording import metrics_of, test_id
from liteproof.store import digest_of, file_sha256

# Runs that are looked through for a test; each takes some milliseconds to read. A folder of another name is no run.
_RUNS_LOOKED_AT = 10
_ENGINE = Path(__file__).resolve().parents[1]
_RUNS = "[0-9]*T[0-9]*Z-*/results.json"


class Reuse:
    """Watches which tests pass, so that a later run may take them over; and takes over what it may."""

    def __init__(self, run: AcceptanceRun) -> None:
        self.run = run
        self._items: dict[str, pytest.Item] = {}
        self._failed: set[str] = set()
        self._passed: dict[str, None] = {}
        self._fingerprints = Fingerprints(run)

    def begin(self, session: pytest.Session) -> None:
        """Note every test that is to run."""
        self._items = {item.nodeid: item for item in session.items}

    def take_over(self, session: pytest.Session) -> None:
        """Report every test of which nothing changed as taken over, and leave the others to be run."""
        earlier = Earlier(self.run.report_folder())
        left = []
        for item in session.items:
            found = earlier.passed(test_id(item), self._fingerprints.of(item))
            if found:
                report_taken_over(item, found)
            else:
                left.append(item)
        session.items[:] = left

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which tests pass in all their phases."""
        if not report.passed:
            self._failed.add(report.nodeid)
        elif report.when == "teardown" and report.nodeid not in self._failed:
            self._passed[report.nodeid] = None

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """On the terminal a test that was taken over is none that passed just now."""
        if not getattr(report, "taken_over", False):
            return None
        return ("taken over", "r", "TAKEN OVER") if report.when == "call" else ("", "", "")

    def fingerprints(self) -> dict[str, str]:
        """Of every test that passed, by its id in `results.json`; none if code was changed while the tests ran."""
        self._fingerprints.of_code(self.run.config)
        if self._fingerprints.code_changed_since(self.run.started, {item.path.parent for item in self._items.values()}):
            return {}
        items = (self._items[nodeid] for nodeid in self._passed if nodeid in self._items)
        return {test_id(item): found for item in items if (found := self._fingerprints.of(item))}


class Earlier:
    """What earlier runs under a folder found, the newest first; each is read when it is asked for."""

    def __init__(self, reports: Path) -> None:
        self._runs = sorted((path.parent for path in reports.glob(_RUNS)), reverse=True)[:_RUNS_LOOKED_AT]

    def passed(self, test: str, fingerprint: str | None) -> tuple[Check, ...]:
        """The checks of a test in the newest run that ran it; none if it did not pass there, or something changed."""
        if fingerprint is None:
            return ()
        for run in self._runs:
            id_, fingerprints, checks = _read(run)
            if test in checks:
                if fingerprints.get(test) != fingerprint:
                    return ()
                return tuple(replace(check, taken_over=check.taken_over or id_) for check in checks[test])
        return ()


@cache
def _read(folder: Path) -> tuple[str, Mapping[str, str], Mapping[str, list[Check]]]:
    """A run's id, fingerprints, and checks by test; nothing of a file that is no results of this version."""
    from liteproof.report.results import read

    try:
        results = read(folder)
    except UsageError:
        return "", {}, {}
    checks: dict[str, list[Check]] = {}
    for check in results.checks:
        checks.setdefault(check.test, []).append(check)
    return results.run.id, results.fingerprints, checks


class Fingerprints:
    """What decides the outcome of a test, as a digest."""

    def __init__(self, run: AcceptanceRun) -> None:
        self._run = run
        self._code = ""
        self._conftests: list[Path] = []
        self._cases: dict[str, str] = {}

    def of_code(self, config: pytest.Config) -> str:
        """Digest of the engine, of every conftest.py and of the versions beside it; taken once."""
        if not self._code:
            plugins = (Path(getattr(plugin, "__file__", None) or "") for plugin in config.pluginmanager.get_plugins())
            self._conftests = sorted(path for path in plugins if path.name == "conftest.py" and path.is_file())
            parts = {"engine": engine_digest(), "conftests": [file_sha256(path) for path in self._conftests]}
            self._code = digest_of({**parts, "pytest": pytest.__version__})
        return self._code

    def code_changed_since(self, started: float, suites: Iterable[Path]) -> bool:
        """Whether a file of the code was written after this moment: its digest is then not that of what has judged.

        By the time of its last change, which nobody can set, and not of its last modification.
        """
        paths = [path for folder in (_ENGINE, *suites) for path in _python_files(folder)]
        return any(path.stat().st_ctime > started for path in (*paths, *self._conftests))

    def of(self, item: pytest.Item) -> str | None:
        """The fingerprint of a test; None where it has none: it is of no case, of another machine, or of a service."""
        case = case_of(item)
        if case is None or case.target.remote or _asks_a_service(item, case):
            return None
        if case.id not in self._cases:
            self._cases[case.id] = digest_of(self._of_case(case))
        parts = {
            "test": test_id(item),
            "code": self.of_code(item.config),
            "suite": folder_digest(item.path.parent),
            "case": self._cases[case.id],
            "timing": _timing(item.config) if item.get_closest_marker("timing") else None,
        }
        return digest_of(parts)[:32]

    def _of_case(self, case: Case) -> dict[str, Any]:
        model, target = case.model, case.target
        runtime = self._run.bench.runtime_of(target)
        # The siblings too: one of them may be the twin that this one is compared with.
        keys = [model.float32_key, model.reference_key, *(variant.key for variant in model.variants)]
        return {
            "model": _by_content(replace(model, variants=(), manifest=File("", "", 0))),
            "variant": _by_content(case.variant),
            "siblings": {variant.name: variant.recipe for variant in model.variants},
            "today": str(date.today()) if case.variant.waivers else None,  # noqa: DTZ011 - as waivers end
            "contents": {key: self._content(key) for key in keys},
            "target": msgspec.to_builtins(target),
            "runs_on": dict(identity(target, runtime)),
            "machine": describe_machine(runtime, target.threads),
            "load_timeout": os.environ.get("LITEPROOF_LOAD_TIMEOUT"),
        }

    def _content(self, key: str) -> str | None:
        entry = self._run.store.get(key)
        return entry.sha256 if entry else None


def _asks_a_service(item: pytest.Item, case: Case) -> bool:
    """Whether it judges what runs beside the files: that can be another one, or be gone, at any moment."""
    return any("service" in metric.needs for metric in case.model.measured_by(metrics_of(item)))


def _by_content(thing: object) -> Any:
    """Plain data, with each file as its digest: where it lies decides nothing."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            is_file = value.keys() == {"path", "sha256", "bytes"}
            return value["sha256"] if is_file else {key: plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    return plain(msgspec.to_builtins(thing))


def engine_digest() -> str:
    """Digest of liteproof's own code: the names and digests of its files."""
    return folder_digest(_ENGINE)


@lru_cache
def folder_digest(folder: Path) -> str:
    """Digest of all Python files below a folder."""
    return digest_of({path.relative_to(folder).as_posix(): file_sha256(path) for path in _python_files(folder)})


def _python_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if path.is_file())


def _timing(config: pytest.Config) -> dict[str, Any]:
    """What decides a time beside everything else: which machine it is, and how it was measured."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        machine = ""
    told = {name: str(value) for name, value in vars(config.option).items() if name.startswith("benchmark_")}
    return {"host": platform.node(), "machine": machine, "cores": os.cpu_count(), **told}
