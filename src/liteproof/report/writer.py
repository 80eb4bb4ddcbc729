"""A run's folder under `reports/`: every report of one run, made from its `results.json`.

>>> sorted(RENDERERS)
['junit.xml', 'summary.md']
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from liteproof.report import junit, markdown
from liteproof.report.results import Results, encode
from liteproof.store import write_atomically

RENDERERS: Mapping[str, Callable[[Results], bytes]] = {
    "junit.xml": junit.document,
    "summary.md": lambda results: markdown.document(results).encode(),
}


def write(results: Results, reports: Path) -> Path:
    """Write a run's folder and lead `latest` to it.

    Returns:
        The run's folder.

    Raises:
        UsageError: if the disk is full or the folder cannot be written.
    """
    folder = reports / results.run.id
    write_atomically(folder / "results.json", encode(results))
    render(results, folder)
    _lead_latest_to(folder)
    return folder


def render(results: Results, folder: Path) -> list[Path]:
    """Make every report that is made from the results; returns their paths."""
    for name, renderer in RENDERERS.items():
        write_atomically(folder / name, renderer(results))
    return [folder / name for name in RENDERERS]


def _lead_latest_to(folder: Path) -> None:
    latest, fresh = folder.parent / "latest", folder.parent / f".latest-{os.getpid()}"
    if latest.exists() and not latest.is_symlink():
        return  # somebody's own file or folder: never overwritten
    with contextlib.suppress(OSError):  # a file system without symbolic links
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(folder.name, target_is_directory=True)
        fresh.replace(latest)
