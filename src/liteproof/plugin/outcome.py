"""From the checks of a run to its results: what was judged, on what, and how it came out."""

from __future__ import annotations

import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

from liteproof import __version__
from liteproof.checks import METRICS
from liteproof.manifest.keys import find_module
from liteproof.manifest.place import Place
from liteproof.measure.machine import describe_machine
from liteproof.plan import Model, Plan, Target, Variant, unmet
from liteproof.plugin.acceptance_run import AcceptanceRun
from liteproof.report.results import Results, Run, verdicts_of
from liteproof.report.secrets import masked
from liteproof.store import Store, file_sha256


def compose(run: AcceptanceRun, *, complete: bool) -> Results:
    """The results of a run that is over."""
    made = Run(
        id=f"{_stamp(run.started).replace('-', '').replace(':', '')}-{secrets.token_hex(3)}",
        started=_stamp(run.started),
        finished=_stamp(time.time()),
        complete=complete,
        liteproof=__version__,
        git=_git_revision(run.config.rootpath),
        command=tuple(str(argument) for argument in run.config.invocation_params.args),
        selected=run.selected,
        ran=run.ran,
    )
    found = Results(
        run=made,
        targets={target.name: _machine(run, target) for target in run.plan.targets},
        models=_models(run.plan, run.store),
        checks=tuple(run.checks),
        verdicts=verdicts_of(run.checks),
    )
    return masked(found)


def _machine(run: AcceptanceRun, target: Target) -> dict[str, object]:
    if target.remote:
        return dict(run.machines.get(target.name, {}))
    return describe_machine(run.bench.runtime_of(target), target.threads)


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _models(plan: Plan, store: Store) -> dict[str, dict[str, Any]]:
    return {model.name: _model(model, store, Path(plan.root)) for model in plan.models}


def _model(model: Model, store: Store, root: Path) -> dict[str, Any]:
    return {
        "task": model.task,
        "labels": list(model.labels) if model.labels else None,
        "threshold": model.threshold,
        "prefer": model.prefer,
        "release": list(model.release),
        "manifest": {"file": _relative(model.manifest.path, root), "sha256": model.manifest.sha256},
        "source": {
            "file": _relative(model.source.path, root),
            "sha256": model.source.sha256,
            "bytes": model.source.bytes,
        },
        "evaluation": {
            "file": _relative(model.evaluation.path, root),
            "samples": model.samples,
            "sha256": model.evaluation.sha256,
        },
        "calibration": _calibration(model, root),
        "accepted": _accepted(model),
        "variants": {variant.name: _variant(model, variant, store, root) for variant in model.variants},
    }


def _calibration(model: Model, root: Path) -> dict[str, Any] | None:
    """The calibration set: its file, or the module of the callable that yields it."""
    given = model.calibration
    if given is None:
        return None
    if given.file:
        return {"file": _relative(given.file.path, root), "sha256": given.file.sha256}
    module = find_module(given.callable or "", "calibration", root, Place.of(Path(model.manifest.path)))
    return {"file": _relative(str(module), root), "callable": given.callable, "sha256": file_sha256(module)}


def _accepted(model: Model) -> dict[str, dict[str, dict[str, float]]]:
    """The accepted baseline: variant → target → metric → value."""
    return {
        variant.name: {target: dict(accepted.metrics) for target, accepted in variant.accepted.items()}
        for variant in model.variants
        if variant.accepted
    }


def _variant(model: Model, variant: Variant, store: Store, root: Path) -> dict[str, Any]:
    entry = store.get(variant.key)
    return {
        "file": _relative(variant.file.path, root) if variant.file else f"{variant.name}.tflite",
        "sha256": entry.sha256 if entry else None,
        "bytes": entry.bytes if entry else None,
        "recipe": variant.recipe,
        "toolchain": entry.meta.get("toolchain", variant.toolchain) if entry else variant.toolchain,
        "waivers": [
            {"rule": waiver.rule, "tensor": waiver.tensor, "reason": waiver.reason, "until": str(waiver.until)}
            for waiver in variant.waivers
        ],
        "not_applicable": {
            metric.name: reason for metric in METRICS.values() if (reason := unmet(metric, model, variant))
        },
    }


def _relative(path: str, root: Path) -> str:
    """A path as a report shows it: below the root folder, else the name alone, so that no home folder is told."""
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError:
        return Path(path).name


def _git_revision(root: Path) -> str | None:
    """The commit of the work tree, with "-dirty" where it has changes; None where there is none."""
    try:
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip() or None
