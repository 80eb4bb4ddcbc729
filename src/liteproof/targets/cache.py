"""What a target keeps of liteproof between runs, and what leaves it: the least recently used first.

    >>> import tempfile
    >>> base = Path(tempfile.mkdtemp())
    >>> (base / "data").mkdir()
    >>> for name in ("old.npz", "needed.npz"):
    ...     _ = (base / "data" / name).write_bytes(bytes(1000))
    >>> make_room(base, {base / "data" / "needed.npz"}, most_bytes=500).removed_bytes
    1000
    >>> held_bytes(base)
    1000

Like the guard, with whose text this file's is sent along, it runs on any Python from 3.9 on and imports nothing of
liteproof. Only a guard that holds the lock makes room, so nobody else uses what goes.

What is used together leaves together: an archive of code and what was unpacked of it, a content of the store and the
entries that name it. A link is removed, never followed. A removal that is cut short needs no care: the guard compares
digests before each run, and what is missing or damaged is sent again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("code", "data", "store")
SPARE_BYTES = 50 << 20  # what a run wants free on the disk, beside what is sent: for output, temporaries, its answers


@dataclass(frozen=True)
class Held:
    """What is used together, and leaves together.

    Attributes:
        paths: Files and folders.
        bytes: Their size.
        used: When one of them was last used or written, in seconds since the epoch.
    """

    paths: tuple[Path, ...]
    bytes: int
    used: float


@dataclass(frozen=True)
class Room:
    """What making room came to, in bytes. `kept_bytes` counts what is coming as well."""

    removed_bytes: int
    kept_bytes: int
    free_bytes: int


def make_room(
    base: Path,
    needed: Collection[Path],
    most_bytes: float,
    coming_bytes: int = 0,
    beat: Callable[[], None] = lambda: None,
) -> Room:
    """Remove the least recently used until the rest, and what is coming, is within the limit and fits on the disk.

    Args:
        base: The target's folder.
        needed: What the run under way needs: it stays, even if it alone is more than the limit.
        most_bytes: The limit.
        coming_bytes: The size of what is to be sent.
        beat: Called again and again meanwhile.
    """
    held = holdings(base, beat)
    kept, removed = sum(one.bytes for one in held) + coming_bytes, 0
    for one in held:
        beat()
        if kept <= most_bytes and shutil.disk_usage(base).free >= coming_bytes + SPARE_BYTES:
            break
        if not any(path in needed for path in one.paths):
            with contextlib.suppress(OSError):  # another user's file, say: it stays, and counts
                for path in one.paths:
                    remove(path)
                kept, removed = kept - one.bytes, removed + one.bytes
    return Room(removed, kept, shutil.disk_usage(base).free)


def held_bytes(base: Path) -> int:
    """The size of all that is kept."""
    return sum(one.bytes for one in holdings(base))


def holdings(base: Path, beat: Callable[[], None] = lambda: None) -> list[Held]:
    """All that is kept, the least recently used first."""
    together: dict[str, list[Path]] = {}
    for folder in (base / "code", base / "data", *_inside(base / "store")):
        for path in _inside(folder):
            together.setdefault(_used_with(path), []).append(path)
            beat()
    return sorted((_held(paths) for paths in together.values()), key=lambda one: (one.used, one.paths))


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where it is none, or a link to one, or holds the store's locks."""
    if folder.is_symlink() or not folder.is_dir() or folder.name == "locks":
        return []
    return sorted(folder.iterdir())


def _used_with(path: Path) -> str:
    """What all have in common that are used together with this one."""
    if path.parent.name == "code":
        return f"code/{path.name.partition('.')[0]}"
    if path.parent.name == "entries":
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # damaged: it names nothing
            return str(path.parents[1] / "blobs" / json.loads(path.read_bytes())["blob"])
    return str(path)


def _held(paths: list[Path]) -> Held:
    size, used = 0, 0.0
    for path in paths:
        for file in _files(path):
            with contextlib.suppress(OSError):  # gone meanwhile: whoever only counts holds no lock
                status = file.lstat()
                size, used = size + status.st_size, max(used, status.st_mtime)
    return Held(tuple(paths), size, used)


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or those of a folder."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)
