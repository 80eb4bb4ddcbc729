"""Small plans for these tests, built without manifests."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from liteproof.plan import File, Making, Model, Plan, Samples, Target, Variant
from liteproof.recipes import RECIPES
from liteproof.store import digest_of, file_sha256


def file_of(path):
    path = Path(path)
    size = path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return File(str(path), file_sha256(path), size)


def samples_of(given, **making):
    """A set of samples: a file as it is, or a callable by its name, or anything that `making` says of a file."""
    if isinstance(given, Samples):
        return given
    if isinstance(given, str) and ":" in given:
        making = Making("callable", {}, callable=given, **making)
        return Samples(given, digest_of({"callable": given}), 0, making=making)
    file = file_of(given)
    if making:
        making = Making(files={"x": file}, **making)
        key = digest_of({"made": repr(making)})
        return Samples(file.path, key, file.bytes, making=making)
    return Samples(file.path, file.sha256, file.bytes)


def variant(model, recipe, *, name=None, toolchain=None, file=None):
    """A variant of the model that is called `model`."""
    given = None if file is None else file_of(file)
    tool = None if given else toolchain or RECIPES[recipe].default_toolchain
    key = digest_of({"file": given.sha256} if given else {"model": model, "recipe": recipe, "toolchain": tool})
    return Variant(name or recipe, recipe, tool, given, key, {})


def model(source, kind, variants, *, name="tiny", evaluation, calibration=None, task="classification", **more):
    source, evaluation = file_of(source), samples_of(evaluation)
    calibration = None if calibration is None else samples_of(calibration)
    float32 = digest_of({"file": source.sha256} if kind == "tflite" else {"model": name, "float32": source.sha256})
    variants = tuple(
        variant if variant.recipe != "float32" or variant.file else _at(variant, float32) for variant in variants
    )
    return Model(
        name=name, task=task, manifest=source, source=source, source_kind=kind, outputs=None, labels=None, classes=None,
        threshold=0.5, evaluation=evaluation, samples=0, labelled=False, calibration=calibration,
        trust=more.get("trust", False), custom_objects=more.get("custom_objects"), float32_key=float32,
        reference_key=digest_of({"reference": name, "of": evaluation.sha256}), variants=variants,
        keras=more.get("keras"), training=more.get("training"),
    )  # fmt: skip


def _at(variant, key):
    return Variant(variant.name, variant.recipe, variant.toolchain, variant.file, key, {})


def plan(*models, root=".", no_code=False):
    return Plan(tuple(models), (Target("host"),), str(root), no_code)


def arrays(path, **values):
    np.savez(path, **values)
    return Path(path)


def dies(pid, patience_s=20.0):
    """Whether a process that was killed is gone before patience is; a busy machine takes its time to bury it."""
    deadline = time.monotonic() + patience_s
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _alive(pid)


def _alive(pid):
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def without_trained(plan):
    """The plan without the variants that a recipe trains further, which takes longer than all others together."""
    models = (
        replace(model, variants=tuple(variant for variant in model.variants if not variant.promise.training))
        for model in plan.models
    )
    return replace(plan, models=tuple(models))
