"""`accepted.json` beside a model's manifest: the values that a sign-off, or `liteproof accept`, took as good.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> read(folder) is None
True
>>> write(folder, Baselines("digits", "r1", "2026-11-20", {}))
>>> read(folder).run
'r1'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from liteproof.errors import UsageError
from liteproof.plan import Accepted
from liteproof.store import write_atomically

FILE = "accepted.json"
SCHEMA = "liteproof.accepted/1"


@dataclass(frozen=True)
class Baselines:
    """What was accepted of one model: variant → target → values."""

    model: str
    run: str
    date: str
    variants: Mapping[str, Mapping[str, Accepted]]
    digests: Mapping[str, str] = field(default_factory=dict)
    schema: str = SCHEMA


def read(folder: Path) -> Baselines | None:
    """The baseline of the model in this folder; None if none was accepted yet.

    Raises:
        UsageError: if the file is there and is not one.
    """
    path = folder / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Baselines)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"not an accepted baseline: {error}", expected="what liteproof accept writes", where=str(path)
        ) from error
    if found.schema != SCHEMA:
        raise UsageError(f"schema {found.schema!r}", expected=SCHEMA, where=str(path))
    return found


def write(folder: Path, baselines: Baselines) -> None:
    """Write the baseline of the model in this folder, in an order that reads well in a review."""
    document = msgspec.json.encode(baselines, order="sorted")
    write_atomically(folder / FILE, msgspec.json.format(document, indent=1) + b"\n")
