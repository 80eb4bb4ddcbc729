"""Plots that need not be drawn twice: kept in the store by what they are drawn from and the code that draws them.

A plotting library takes longer to import than all plots of a model take to draw. A run in which no value changed shows
the plots of the run before, and imports none.

>>> import tempfile
>>> store = Store(Path(tempfile.mkdtemp()))
>>> plots_of([], "digits", "classification", prefix="digits", store=store, draw=lambda *given, prefix: [])
()
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import msgspec

from liteproof.checks import Check
from liteproof.errors import UsageError
from liteproof.packages import installed
from liteproof.store import Store, digest_of, file_sha256


@dataclass(frozen=True)
class Plot:
    """A plot ready for the page. `svg` is markup; the rest is text."""

    name: str
    title: str
    caption: str
    svg: str


class Draw(Protocol):
    """Draws every plot that the checks of one model give something for: `liteproof.report.plots.of_model`."""

    def __call__(self, checks: Sequence[Check], model: str, task: str, prefix: str) -> Iterable[Plot]: ...  # noqa: D102


def plots_of(
    checks: Sequence[Check], model: str, task: str, *, prefix: str, store: Store | None, draw: Draw
) -> tuple[Plot, ...]:
    """Every plot of one model: kept, or drawn now.

    Args:
        checks: The model's checks, of every variant and target.
        model: Its name.
        task: Its task.
        prefix: For ids; unique in the page.
        store: Where plots are kept; None: nowhere. One that cannot be written costs time and nothing else.
        draw: Called where they are not kept.
    """
    if store is None:
        return tuple(draw(checks, model, task, prefix=prefix))
    key = digest_of(
        {
            "kind": "plots",
            # Which run measured a value is not drawn.
            "checks": msgspec.json.encode([replace(check, taken_over=None) for check in checks]).decode(),
            "model": [model, task, prefix],
            "drawn_by": [_code(), installed("matplotlib")],
        }
    )
    entry = store.get(key)
    if entry is not None:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(entry.path.read_bytes(), type=tuple[Plot, ...])
    made = tuple(draw(checks, model, task, prefix=prefix))
    with contextlib.suppress(UsageError):
        store.put(key, msgspec.json.encode(made), suffix=".json", meta={"kind": "plots", "model": model})
    return made


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of what draws, and of the words and metrics that it draws with."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), here.parent / "checks.py"]
    return digest_of({path.name: file_sha256(path) for path in files})
