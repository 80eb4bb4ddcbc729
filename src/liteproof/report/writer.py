"""A run's folder under `reports/`: every report of one run, made from its `results.json`.

>>> sorted(RENDERERS)
['junit.xml', 'report.html', 'summary.md']
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from liteproof.report import junit, markdown
from liteproof.report.results import Results, encode
from liteproof.store import Store, write_atomically


def _html(results: Results) -> bytes:
    from liteproof.report import html  # the template engine comes with it

    return html.document(results, Store.default())


RENDERERS: Mapping[str, Callable[[Results], bytes]] = {
    "junit.xml": junit.document,
    "summary.md": lambda results: markdown.document(results).encode(),
    "report.html": _html,
}
_LIBRARIES: Mapping[str, tuple[str, ...]] = {"report.html": ("jinja2", "matplotlib")}


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
    """Make every report that is made from the results and can be made here; returns their paths.

    What is not installed for is left out: `left_out` says so.
    """
    made = []
    for name, renderer in RENDERERS.items():
        if not _lacking(name):
            write_atomically(folder / name, renderer(results))
            made.append(folder / name)
    return made


def left_out() -> str | None:
    """Which reports cannot be made here, and how to get them, in one line; None if all can."""
    lacking = {name: libraries for name in RENDERERS if (libraries := _lacking(name))}
    if not lacking:
        return None
    missing = ", ".join(sorted({library for libraries in lacking.values() for library in libraries}))
    return (
        f'{", ".join(lacking)} left out ({missing} not installed): pip install "liteproof[report]", '
        "then: liteproof report RUN"
    )


def _lacking(name: str) -> tuple[str, ...]:
    return tuple(lib for lib in _LIBRARIES.get(name, ()) if importlib.util.find_spec(lib) is None)


def _lead_latest_to(folder: Path) -> None:
    latest, fresh = folder.parent / "latest", folder.parent / f".latest-{os.getpid()}"
    if latest.exists() and not latest.is_symlink():
        return  # somebody's own file or folder: never overwritten
    with contextlib.suppress(OSError):  # a file system without symbolic links
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(folder.name, target_is_directory=True)
        fresh.replace(latest)
