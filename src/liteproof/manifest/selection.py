"""Which models and variants a run is about: folders found, names checked.

>>> select_models({"digits": Path("models/digits")}, ["digit"])
Traceback (most recent call last):
  ...
liteproof.errors.UsageError: there is no model 'digit'
  expected: a model; nearest: 'digits'
  where:    --model=digit
  next:     correct the name
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from liteproof import plan
from liteproof.errors import UsageError
from liteproof.manifest.place import Place, clean, nearest, one_of, shown
from liteproof.manifest.schema import check_name

MANIFEST = "model.toml"


def find_models(paths: Sequence[Path]) -> dict[str, Path]:
    """Folders with a manifest, by name.

    Raises:
        UsageError: if a path leads to none, or if two have one name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for folder in _folders_of(Path(os.path.normpath(path.absolute()))):
            name = check_name(folder.name, Place.of(folder / MANIFEST), "model (folder)")
            other = found.setdefault(name, folder)
            if other.resolve() != folder.resolve():
                raise UsageError(
                    f"two models are named '{name}'",
                    expected="folders with different names",
                    where=f"{shown(other)} and {shown(folder)}",
                    next="rename one",
                )
    if not found:
        raise UsageError("there are no models", expected="a folder with a model.toml", where="--models")
    return found


def _folders_of(path: Path) -> list[Path]:
    if (path / MANIFEST).is_file():
        return [path]
    folders = sorted(file.parent for file in path.glob(f"*/{MANIFEST}")) if path.is_dir() else []
    if folders:
        return folders
    if path.is_dir():
        found, cure = (
            f"there is no {MANIFEST} in {shown(path)} or in the folders below it",
            "liteproof init SOURCE --data FILE",
        )
        near = nearest(MANIFEST, [entry.name for entry in path.iterdir() if entry.name != MANIFEST])
    else:
        found, cure = f"{shown(path)} is {'not a folder' if path.exists() else 'not there'}", "check the path"
        near = (
            nearest(path.name, [p.name for p in path.parent.iterdir() if p.is_dir()]) if path.parent.is_dir() else None
        )
    expected = f"a folder with a {MANIFEST}, or a folder of such" + (f"; nearest: '{clean(near)}'" if near else "")
    raise UsageError(found, expected=expected, where=f"--models={shown(path)}", next=cure)


def select_models(found: Mapping[str, Path], names: Sequence[str]) -> list[Path]:
    """The folders of these models; of all, where no name is given.

    Raises:
        UsageError: if there is no model of a name.
    """
    _require_known("model", names, found)
    return [folder for name, folder in found.items() if not names or name in names]


def select_variants(models: Sequence[plan.Model], names: Sequence[str]) -> tuple[plan.Model, ...]:
    """The models, narrowed to the variants of these names; models that have none of them are left out.

    Raises:
        UsageError: if no model has a variant of a name.
    """
    known = dict.fromkeys(variant.name for model in models for variant in model.variants)
    _require_known("variant", names, known)
    if not names:
        return tuple(models)
    narrowed = [
        dataclasses.replace(model, variants=tuple(v for v in model.variants if v.name in names)) for model in models
    ]
    return tuple(model for model in narrowed if model.variants)


def _require_known(option: str, names: Iterable[str], known: Iterable[str]) -> None:
    there = list(known)
    for name in names:
        if name not in there:
            raise UsageError(
                f"there is no {option} '{clean(name)}'",
                expected=one_of(name, there, what=f"a {option}"),
                where=f"--{option}={clean(name)}",
                next="correct the name",
            )
