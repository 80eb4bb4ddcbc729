"""The targets of a release, before anything else of a manifest is looked at.

A sign-off without `--target` runs where the models' manifests say, so the targets must be known before the plan is
made.

    >>> release_targets([Path("models/digits")])      # doctest: +SKIP
    ('host', 'pi')
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from liteproof.manifest.schema import read_manifest
from liteproof.manifest.selection import MANIFEST, find_models, select_models


def release_targets(models: Sequence[Path], model_names: Iterable[str] = ()) -> tuple[str, ...]:
    """Every target that one of these models names for release, each once, in order.

    Args:
        models: Folders of models, or folders of such.
        model_names: The models to judge; none: all of them.

    Raises:
        UsageError: if there is no such model, or a manifest is wrong.
    """
    folders = select_models(find_models(models), tuple(model_names))
    names = (name for folder in folders for name in read_manifest(folder / MANIFEST).release.targets)
    return tuple(dict.fromkeys(names))
