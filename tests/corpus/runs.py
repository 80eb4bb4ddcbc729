"""One acceptance run over many files at once, each a variant of the tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.corpus.files import Kind
from tests.plugin.tiny import MANIFEST, make_model, network

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Judged:
    """What a run said of each file, by name."""

    status: int
    text: str
    report: Path

    @cached_property
    def results(self) -> dict[str, Any]:
        assert self.report.is_file(), self.text[-4000:]
        return json.loads(self.report.read_text())

    @cached_property
    def verdicts(self) -> dict[str, str]:
        return {name: targets["host"] for name, targets in self.results["verdicts"]["tiny"].items()}

    @cached_property
    def _by_name(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for check in self.results["checks"]:
            found.setdefault(check["variant"], []).append(check)
        return found

    def checks_of(self, name: str) -> list[dict[str, Any]]:
        return self._by_name[name]


def judge(
    folder: Path, kinds: Mapping[str, Kind], *options: str, runtime: str | None = None, timeout_s: float = 1500.0
) -> Judged:
    """Run all suites but those of time over these files and the healthy one.

    Args:
        folder: Where to write the model, the store and the reports.
        kinds: The files by name.
        options: More of pytest's.
        runtime: Which runtime judges; None: the default one.
        timeout_s: After which the run itself counts as hung.
    """
    variants = {"healthy": Kind(network(), same=True), **kinds}
    manifest = MANIFEST.partition("[variants.float32]")[0]
    for name, kind in variants.items():
        manifest += f'[variants.{name}]\nfile = "{name}.tflite"\nrecipe = "{kind.recipe}"\n'
    model = make_model(folder / "models" / "tiny", manifest, n=120)
    for name, kind in variants.items():
        (model / f"{name}.tflite").write_bytes(kind.content)
    (folder / "targets.toml").write_text(f'[host]\nruntime = "{runtime}"\n' if runtime else "")
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-q",
        "-m", "not timing", "--test-timeout=20",
        f"--models={folder / 'models'}", f"--report-dir={folder / 'reports'}", f"--targets={folder / 'targets.toml'}",
        *options, "acceptance",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "LITEPROOF_STORE": str(folder / "store"),
        "LITEPROOF_LOAD_TIMEOUT": "10",
        "LITEPROOF_LOAD_MEMORY_MB": "2000",
    }
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace",
        timeout=timeout_s, check=False,
    )  # fmt: skip
    return Judged(done.returncode, done.stdout + done.stderr, folder / "reports" / "latest" / "results.json")
