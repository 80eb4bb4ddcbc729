"""What the store holds, as a table: by model and kind, and what is pinned.

>>> from pathlib import Path
>>> held = Held(Path("a.tflite"), "variant", "digits", 34888, used=0.0, pinned_by="sign-off r1")
>>> list(rows([held], now=7200.0))
[('digits', 'variant', '1', '34.9 kB', '2 hours ago', '34.9 kB')]
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from liteproof.report.wording import size
from liteproof.store_pruning import Held

HEADINGS = ("model", "kind", "contents", "size", "last used", "pinned")


def rows(held: Sequence[Held], now: float | None = None) -> Iterator[tuple[str, ...]]:
    """A row for each model and kind.

    Args:
        held: What the store holds.
        now: Seconds since the epoch, for tests.
    """
    groups: dict[tuple[str, str], list[Held]] = {}
    for content in held:
        groups.setdefault((content.model or "–", content.kind), []).append(content)
    for (model, kind), contents in sorted(groups.items()):
        pinned = sum(content.bytes for content in contents if content.pinned_by)
        yield (
            model,
            kind,
            str(len(contents)),
            size(sum(content.bytes for content in contents)),
            _ago((time.time() if now is None else now) - max(content.used for content in contents)),
            size(pinned) if pinned else "",
        )


def _ago(seconds: float) -> str:
    hours = int(seconds // 3600)
    if hours < 1:
        return "within the hour"
    return f"{hours} hours ago" if hours < 48 else f"{hours // 24} days ago"
