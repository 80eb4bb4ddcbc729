"""From the checks of a run to its results: what was judged, on what, and how it came out."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liteproof import __version__
from liteproof.applicability import unmet
from liteproof.checks import METRICS
from liteproof.measure.machine import describe_machine
from liteproof.plan import Making, Model, Plan, Samples, Target, Variant
from liteproof.plugin.acceptance_run import AcceptanceRun
from liteproof.report.results import Results, Run, verdicts_of
from liteproof.report.secrets import masked
from liteproof.store import Store


def compose(run: AcceptanceRun, *, complete: bool, fingerprints: Mapping[str, str] | None = None) -> Results:
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
        fingerprints=fingerprints or {},
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
            "file": model.source.url or _relative(model.source.path, root),
            "sha256": model.source.sha256,
            "bytes": model.source.bytes,
        },
        "evaluation": {"samples": model.samples, **(_samples(model.evaluation, store, root) or {})},
        "calibration": _samples(model.calibration, store, root),
        "accepted": _accepted(model),
        "metrics": {
            own.name: {"callable": own.callable, "better": own.better, "code_sha256": own.code_sha256}
            for own in model.metrics
        },
        "variants": {variant.name: _variant(model, variant, store, root) for variant in model.variants},
    }


def _samples(samples: Samples | None, store: Store, root: Path) -> dict[str, Any] | None:
    """A set of samples: what the manifest names, what decides it, and what was done to it."""
    if samples is None:
        return None
    facts: dict[str, Any] = {"file": _relative(samples.path, root), "sha256": samples.sha256}
    if samples.callable:
        facts["callable"] = samples.callable
    making = samples.making
    if making is None and not samples.arrays:
        return facts
    facts["made_from"] = [{"file": _relative(file.path, root), "sha256": file.sha256} for file in samples.named]
    if making is not None and samples.key:
        entry = store.get(samples.key)
        facts["arrays_sha256"] = entry.sha256 if entry else None
        facts["preprocessing"] = preprocessing(making)
    return facts


def preprocessing(making: Making) -> dict[str, Any]:
    """What was done to the samples, as reports tell it."""
    told = {
        "resize": list(making.size) if making.size else None,
        "interpolation": making.interpolation,
        "color": making.color,
        "scale": {name: list(factors) for name, factors in making.scale.items()},
        "offset": {name: list(factors) for name, factors in making.offset.items()},
        "columns": list(making.columns),
        "samples": making.samples,
        "stratify": making.stratify or None,
        "seed": making.seed if making.samples else None,
    }
    return {key: value for key, value in told.items() if value not in (None, [], {})}


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
        "file": variant.file.url or _relative(variant.file.path, root) if variant.file else f"{variant.name}.tflite",
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
