"""What was found out about files, kept in the store, so that a file that did not change is not read again.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "labels.txt").write_text("cat")
    >>> with Memory(Store(folder / "store")) as memory:
    ...     memory.file(folder / "labels.txt").bytes
    3

A digest is remembered with the file's size, times and inode, as version control systems do: content that changes
without any of these changing is not noticed. Facts are remembered by digest. One page holds all of it; a page that is
damaged or that cannot be written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from liteproof import __version__, plan
from liteproof.errors import UsageError
from liteproof.manifest.place import shown
from liteproof.store import Store, file_sha256, write_atomically

_FORMAT = f"liteproof.memory/2 {__version__}"
_MOST = 20_000
# A file that was written this recently could be written again without its times changing.
_SETTLED_NS = 2_000_000_000

T = TypeVar("T", bound=msgspec.Struct)


class _Page(msgspec.Struct):
    format: str = _FORMAT
    files: dict[str, tuple[str, str, int]] = {}  # path → stamp, sha256, bytes
    facts: dict[str, msgspec.Raw] = {}  # kind and sha256 → facts


class Memory:
    """Digests and facts of files. A context: the page is written when it ends."""

    def __init__(self, store: Store) -> None:
        self._path = store.root / "manifest-memory.json"
        self._page = _Page()
        self._changed = False

    def __enter__(self) -> Memory:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            page = msgspec.json.decode(self._path.read_bytes(), type=_Page)
            if page.format == _FORMAT:
                self._page = page
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._changed:
            for entries in (self._page.files, self._page.facts):
                for oldest in list(entries)[: max(0, len(entries) - _MOST)]:
                    del entries[oldest]
            with contextlib.suppress(UsageError):
                write_atomically(self._path, msgspec.json.encode(self._page))

    def file(self, path: Path) -> plan.File:
        """The file, or a SavedModel's folder, with the digest of its content.

        Raises:
            UsageError: if it cannot be read.
        """
        try:
            stamp, size, settled = _stamp(path)
            known = self._page.files.get(str(path))
            if known and known[0] == stamp:
                return plan.File(str(path), known[1], known[2])
            sha256 = file_sha256(path)
        except OSError as error:
            raise UsageError(
                f"cannot read the file: {error.strerror or error}", expected="a readable file", where=shown(path)
            ) from error
        if settled:
            self._page.files[str(path)] = (stamp, sha256, size)
            self._changed = True
        return plan.File(str(path), sha256, size)

    def facts(self, kind: type[T], file: plan.File, find: Callable[[], T | None], *, about: str = "") -> T | None:
        """What is known of this content, or else what `find` finds out; a None is not remembered.

        Args:
            kind: The class of the facts.
            file: The file that they are of.
            find: Finds them out.
            about: What else decides them: in which respect the file was looked at.
        """
        key = f"{kind.__name__}:{file.sha256}:{about}"
        with contextlib.suppress(KeyError, msgspec.MsgspecError):
            return msgspec.json.decode(self._page.facts[key], type=kind)
        found = find()
        if found is not None:
            self._page.facts[key] = msgspec.Raw(msgspec.json.encode(found))
            self._changed = True
        return found


def _stamp(path: Path) -> tuple[str, int, bool]:
    """What tells that a file, or any in a folder, is as it was; the bytes; and whether all were written a while ago."""
    if path.is_dir():
        entries = [(p.relative_to(path).as_posix(), p.stat()) for p in sorted(path.rglob("*")) if p.is_file()]
    else:
        entries = [("", path.stat())]
    lines = "".join(f"{name}\0{_state(status)}\n" for name, status in entries)
    stamp = _state(entries[0][1]) if not path.is_dir() else hashlib.sha256(lines.encode()).hexdigest()
    newest = max((max(status.st_mtime_ns, status.st_ctime_ns) for _, status in entries), default=0)
    return stamp, sum(status.st_size for _, status in entries), time.time_ns() - newest > _SETTLED_NS


def _state(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
