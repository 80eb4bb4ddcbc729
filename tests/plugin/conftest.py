"""Acceptance runs of a tiny model in a process of their own, as a user starts them."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.plugin.tiny import MANIFEST, make_model

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    status: int
    text: str
    reports: Path

    @property
    def results(self):
        return json.loads((self.reports / "latest" / "results.json").read_text())

    def check(self, metric, variant="float32"):
        found = [c for c in self.results["checks"] if (c["metric"], c["variant"]) == (metric, variant)]
        assert len(found) == 1, f"{metric} of {variant}: {found}\n{self.text}"
        return found[0]


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """One store for all runs, so that each artefact is made once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def gate(tmp_path, monkeypatch, store):
    """Run the suites of this checkout on models below `tmp_path/models`."""
    monkeypatch.setenv("LITEPROOF_STORE", str(store))
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)  # the run is a user's, not a part of this one

    def run(*options, suites="acceptance", models=True, timeout=300):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--report-dir={tmp_path / 'reports'}"]
        command += [f"--models={tmp_path / 'models'}"] if models else []
        done = subprocess.run(
            [*command, *options, *suites.split()],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ended(done.returncode, done.stdout + done.stderr, tmp_path / "reports")

    return run


@pytest.fixture
def tiny(tmp_path):
    """Write the tiny model with this manifest; returns its folder."""

    def make(manifest=MANIFEST, name="tiny", **more):
        return make_model(tmp_path / "models" / name, manifest, **more)

    return make
