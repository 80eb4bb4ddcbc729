"""What the store holds, and what leaves it: the least recently used first, never what a sign-off names.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> _ = store.put("k", b"TFL3", suffix=".tflite", meta={"kind": "variant", "model": "digits"})
    >>> [(held.kind, held.model, held.bytes) for held in holdings(store)]
    [('variant', 'digits', 4)]
    >>> prune(store, most_bytes=0).removed[0].model
    'digits'
    >>> holdings(store)
    ()

Contents are removed, not entries: what two entries share leaves with both or stays with both. Whoever reads the store
for longer than a moment holds `Store.in_use`, and pruning waits for all of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from liteproof.errors import UsageError
from liteproof.store import WRITING, Pin, Record, Store

LIMIT_VARIABLE = "LITEPROOF_STORE_LIMIT"
DEFAULT_LIMIT = "10GB"

# A temporary file, or a content that no entry names yet, may belong to a writer who is at it this very moment.
_ABANDONED_AFTER_S = 3600.0
_NOT_RESUMED_AFTER_S = 7 * 24 * 3600.0  # what was fetched in part, and is not fetched on

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)i?B?", re.IGNORECASE)
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([hdw])", re.IGNORECASE)
_HOURS = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True)
class Held:
    """One content that the store holds.

    Attributes:
        path: Its file.
        kind: "variant", "reference", "answers", "outcome"; "unnamed" where no entry names it.
        model: The model that it was made for; "" where that is not known.
        bytes: Its size.
        used: When it was last used, in seconds since the epoch, to the hour.
        entries: The records that name it.
        pinned_by: What keeps it: the sign-off that names it; "" if nothing does.
    """

    path: Path
    kind: str
    model: str
    bytes: int
    used: float
    entries: tuple[Path, ...] = ()
    pinned_by: str = ""


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be."""

    removed: tuple[Held, ...]
    abandoned: tuple[Path, ...]
    left_bytes: int

    @property
    def freed_bytes(self) -> int:
        """The size of the removed contents."""
        return sum(held.bytes for held in self.removed)


def holdings(store: Store) -> tuple[Held, ...]:
    """Every content of the store, the least recently used first."""
    records = dict(_records(store))
    naming: dict[str, list[Path]] = {}
    for path, record in records.items():
        naming.setdefault(record.blob, []).append(path)
    pins = _pins(store)
    found = [_held(blob, naming.get(blob.name, ()), records, pins) for blob in _files(store.root / "blobs")]
    return tuple(sorted(filter(None, found), key=lambda held: (held.used, held.path.name)))


def prune(
    store: Store,
    *,
    most_bytes: float | None = None,
    unused_s: float | None = None,
    dry_run: bool = False,
    now: float | None = None,
) -> Pruned:
    """Remove what was not used for a while, then the least recently used until the rest is small enough.

    Also what killed writers have left behind: temporary files, contents without an entry. What is pinned stays, even if
    the store is too large for it. The caller holds `Store.alone`.

    Args:
        store: The store.
        most_bytes: What it may hold; None: any amount.
        unused_s: What was not used for so long goes; None: nothing for its age.
        dry_run: Remove nothing, only tell.
        now: Seconds since the epoch, for tests.
    """
    now = time.time() if now is None else now
    held = holdings(store)
    left = sum(content.bytes for content in held)
    removed = []
    for content in held:
        if content.pinned_by:
            continue
        age = now - content.used
        too_old = unused_s is not None and age > unused_s
        unnamed = not content.entries and age > _ABANDONED_AFTER_S
        too_much = most_bytes is not None and left > most_bytes and (content.entries or unnamed)
        if too_old or unnamed or too_much:
            removed.append(content)
            left -= content.bytes
    abandoned = tuple(_abandoned(store, now))
    if not dry_run:
        for content in removed:
            _remove(content)
        for path in abandoned:
            _remove_abandoned(path)
    return Pruned(tuple(removed), abandoned, left)


def limit_of(configured: str = "") -> float:
    """The most bytes that a store may hold: of `$LITEPROOF_STORE_LIMIT`, else as configured, else 10 GB.

    Raises:
        UsageError: if it is no size.
    """
    named = os.environ.get(LIMIT_VARIABLE)
    return bytes_of(named or configured or DEFAULT_LIMIT, f"${LIMIT_VARIABLE}" if named else "liteproof_store_limit")


def keep_within(store: Store, most: float) -> Pruned | None:
    """Prune to a size, unless somebody else has the store in use: the last one to leave does it. None: nothing to do.

    Raises:
        UsageError: if a pin is damaged, or the store cannot be written.
    """
    if sum(path.stat().st_size for path in _files(store.root / "blobs")) <= most:
        return None
    with store.alone(wait=False) as held:
        return prune(store, most_bytes=most) if held else None


def bytes_of(text: str, where: str) -> float:
    """A size such as 5GB or 500 MB, in powers of ten as disks are sold.

    Raises:
        UsageError: if it is none.

    >>> bytes_of("5GB", "--max-size"), bytes_of("0", "--max-size")
    (5000000000.0, 0.0)
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text!r} is no size", expected="a number with kB, MB, GB or TB", where=where)
    return float(found[1]) * 10.0 ** (3 * " KMGT".index(found[2].upper() or " "))


def seconds_of(text: str, where: str) -> float:
    """A time such as 12h, 30d or 4w.

    Raises:
        UsageError: if it is none.

    >>> seconds_of("30d", "--older-than")
    2592000.0
    """
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text!r} is no time", expected="a number with h, d or w", where=where)
    return float(found[1]) * 3600.0 * _HOURS[found[2].lower()]


def _held(
    path: Path, entries: list[Path] | tuple[()], records: Mapping[Path, Record], pins: Mapping[str, str]
) -> Held | None:
    try:
        status = path.stat()
        used = max([status.st_mtime, *(entry.stat().st_mtime for entry in entries)])
    except OSError:  # gone meanwhile
        return None
    metas = [records[entry].meta for entry in entries]
    kinds = dict.fromkeys(str(meta.get("kind", "other")) for meta in metas)
    models = dict.fromkeys(str(meta["model"]) for meta in metas if meta.get("model"))
    return Held(
        path,
        kind=", ".join(kinds) or "unnamed",
        model=", ".join(models),
        bytes=status.st_size,
        used=used,
        entries=tuple(entries),
        pinned_by=pins.get(path.name.partition(".")[0], ""),
    )


def _remove(content: Held) -> None:
    # Entries first: an entry without its content is as good as absent, a content without an entry is found again.
    for path in (*content.entries, content.path):
        path.unlink(missing_ok=True)


def _records(store: Store) -> Iterator[tuple[Path, Record]]:
    for path in _files(store.root / "entries"):
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # damaged: as good as absent
            yield path, msgspec.json.decode(path.read_bytes(), type=Record)


def _pins(store: Store) -> dict[str, str]:
    """Digest → who names it.

    Raises:
        UsageError: if a pin is damaged: what it named cannot be told, so nothing may be removed.
    """
    found: dict[str, str] = {}
    for path in _files(store.root / "pins"):
        try:
            pin = msgspec.json.decode(path.read_bytes(), type=Pin)
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError(
                f"a pin cannot be read: {error}",
                expected="what a sign-off wrote",
                where=str(path),
                next="remove it, if the files of that sign-off are kept elsewhere",
            ) from error
        found |= dict.fromkeys(pin.sha256, pin.origin)
    return found


def _files(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [Path(item.path) for item in os.scandir(folder) if not item.name.startswith(WRITING)]
    return []


def _abandoned(store: Store, now: float) -> Iterator[Path]:
    for pattern, after in ((f"**/{WRITING}*", _ABANDONED_AFTER_S), ("downloads/*.part", _NOT_RESUMED_AFTER_S)):
        for path in store.root.glob(pattern):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > after:
                    yield path


def _remove_abandoned(path: Path) -> None:
    """A temporary file, or a folder of such."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
