"""Which models have inputs that changed since a revision: only those need judging again on a pull request.

    >>> changed = changed_models(plan, "origin/main", shared=[Path("acceptance")])     # doctest: +SKIP

A model's inputs are its folder, the files that its manifest names elsewhere and the modules of its callables; what all
models are judged by (suites, conftest.py, targets) is shared: where it changed, all models did. Files that git does
not track may have changed without its knowing, so a model that depends on one always counts as changed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from liteproof.errors import UsageError
from liteproof.plan import Model, Plan


def changed_models(plan: Plan, revision: str, shared: Iterable[Path] = ()) -> tuple[Model, ...]:
    """The models of a plan with inputs that differ between a revision and the work tree.

    Args:
        plan: The work.
        revision: Whatever git takes as a commit: a branch, a tag, a digest.
        shared: Files and folders that all models are judged by. Only those in a model's own work tree count: with
            the suites of one checkout and the models of another, the revision says nothing of the suites.

    Raises:
        UsageError: if a model is in no work tree, or there is no such revision.
    """
    common = [_real(path) for path in shared]
    changes: dict[Path, frozenset[Path]] = {}
    found = []
    for model in plan.models:
        folder = _real(Path(model.manifest.path).parent)
        top = _top(folder)
        if top not in changes:
            changes[top] = _changed(top, _commit(top, revision))
        changed = changes[top]
        if any(_touches(changed, path) for path in common) or _is_changed(model, Path(plan.root), top, changed):
            found.append(model)
    return tuple(found)


def _is_changed(model: Model, root: Path, top: Path, changed: frozenset[Path]) -> bool:
    files = [_real(path) for path in _inputs(model, root)]
    folder = _real(Path(model.manifest.path).parent)
    if _touches(changed, folder) or any(_touches(changed, file) for file in files):
        return True
    return any(not file.is_relative_to(top) for file in files) or not _all_tracked(top, files)


def _inputs(model: Model, root: Path) -> Iterable[Path]:
    """Files and folders that decide how the model is judged."""
    for file in (model.manifest, model.source, *(file for samples in model.sets.values() for file in samples.named)):
        if not file.url:  # what is kept elsewhere has its digest in the manifest
            yield Path(file.path)
    for variant in model.variants:
        if variant.file and not variant.file.url:
            yield Path(variant.file.path)
        if variant.training and variant.training.float32:
            yield Path(variant.training.float32.path)
    callables = (
        model.custom_objects,
        *(samples.callable for samples in model.sets.values()),
        *(metric.callable for metric in model.metrics),
    )
    for name in filter(None, callables):
        # The module may import others of its package: the whole of what lies under the first name counts.
        package = name.partition(":")[0].partition(".")[0]
        candidates = (root / package, root / f"{package}.py")
        yield from (path for path in candidates if path.exists())


def _touches(changed: frozenset[Path], path: Path) -> bool:
    """Whether a path changed: itself, something below it, or a submodule that it lies in."""
    return any(other == path or path in other.parents or other in path.parents for other in changed)


def _changed(top: Path, commit: str) -> frozenset[Path]:
    """Every file that differs from a commit, files that are not tracked (and not ignored) included."""
    names = _git(top, "diff", "--name-only", "--no-renames", "-z", commit, "--")
    names += _git(top, "ls-files", "--others", "--exclude-standard", "-z")
    return frozenset(top / name for name in names.split("\0") if name)


def _all_tracked(top: Path, files: Sequence[Path]) -> bool:
    """Whether git holds each of these; a folder is held if something in it is and nothing in it is ignored."""
    for file in files:
        if not _git(top, "ls-files", "-z", "--", str(file)):
            return False
        if file.is_dir() and _git(top, "ls-files", "--others", "--ignored", "--exclude=*", "-z", "--", str(file)):
            return False
    return True


def _top(folder: Path) -> Path:
    try:
        return _real(Path(_git(folder, "rev-parse", "--show-toplevel").rstrip("\n")))
    except UsageError as error:
        raise UsageError(
            "--changed-since needs a git work tree", expected="a clone of the repository", where=str(folder)
        ) from error


def _commit(top: Path, revision: str) -> str:
    try:
        return _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    except UsageError as error:
        raise UsageError(
            f"there is no revision {revision!r}",
            expected="a commit that this clone has",
            where=f"--changed-since={revision}",
            next="git fetch it; a CI checkout needs its history (fetch-depth: 0)",
        ) from error


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            cwd=folder,
            capture_output=True,
            timeout=60,
            check=True,
        )
    except FileNotFoundError as error:
        raise UsageError("git is not installed", expected="git on the PATH") from error
    except subprocess.SubprocessError as error:
        raise UsageError(f"git {arguments[0]} failed: {error}", where=str(folder)) from error
    return os.fsdecode(done.stdout)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
