"""The store: artefacts kept by what decides their bytes, so that nothing is converted twice.

An entry's key is the digest of everything that decides the artefact (source, recipe, calibration data, toolchain
version, seed). The entry names a blob by the digest of its content; a blob that does not match is damaged, and as good
as absent. Writes are atomic: a reader sees the whole entry or none.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> key = digest_of({"kind": "variant", "recipe": "int8"})
    >>> store.get(key) is None
    True
    >>> entry = store.put(key, b"TFL3", suffix=".tflite", meta={"toolchain": "tensorflow 2.21.0"})
    >>> store.get(key).path.read_bytes()
    b'TFL3'
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from liteproof.errors import UsageError

_CHUNK = 1 << 20
# One write an hour for each entry that is in use, not one for each time that it is read.
_USE_IS_NOTED_AFTER_S = 3600.0
WRITING = ".writing-"  # how the name of a temporary file begins
os.umask(_UMASK := os.umask(0o077))


def digest_of(parts: Mapping[str, object]) -> str:
    """A key: the SHA-256 of what decides an artefact's bytes (JSON values only)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, or of a folder's: its files' relative names and digests in order.

    Raises:
        OSError: if it cannot be read.
    """
    if path.is_dir():
        lines = (
            f"{p.relative_to(path).as_posix()}\0{file_sha256(p)}\n" for p in sorted(path.rglob("*")) if p.is_file()
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Entry:
    """An artefact that the store holds. `meta` says how it was made (toolchain, seconds, …; JSON values)."""

    key: str
    path: Path
    sha256: str
    bytes: int
    meta: Mapping[str, Any]


class Record(msgspec.Struct, frozen=True):
    """What lies in the file of an entry."""

    blob: str
    sha256: str
    bytes: int
    meta: dict[str, Any]


class Pin(msgspec.Struct, frozen=True):
    """Contents that are named by somebody, so that they must stay."""

    origin: str
    sha256: list[str]


def write_atomically(path: Path, content: bytes | Path) -> None:
    """Write a file so that a reader sees the old content or the new, whole, whatever happens in between.

    Args:
        path: The file.
        content: What it will hold, or the file that holds that, of any size.

    Raises:
        UsageError: if the disk is full or the folder cannot be written.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=WRITING)
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(
                handle, 0o666 & ~_UMASK
            )  # a temporary file is for its owner only; a report is for whoever may read
            if isinstance(content, Path):
                with content.open("rb") as given:
                    shutil.copyfileobj(given, stream, _CHUNK)
            else:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> UsageError:
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
    return UsageError(
        f"cannot write: {reason}",
        expected="a folder with room that this user may write to",
        where=str(path),
        next="free some room, or name another folder with LITEPROOF_STORE or --report-dir",
    )


class Store:
    """A folder of entries and blobs. Two processes may use one store at once.

    When an entry was last used is the modification time of its record, to the hour; access times would not do, as most
    systems do not keep them. What is used least goes first (`liteproof.store_pruning`), and never while somebody is
    `in_use`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sound: dict[str, int] = {}  # blobs whose digest this process has seen to be right, and their mtime

    @classmethod
    def default(cls) -> Store:
        """The store of `$LITEPROOF_STORE`, else of the user's cache folder."""
        named = os.environ.get("LITEPROOF_STORE")
        if named:
            return cls(Path(named).expanduser().resolve())
        import platformdirs

        return cls(Path(platformdirs.user_cache_dir("liteproof")) / "store")

    def get(self, key: str) -> Entry | None:
        """The artefact of this key; None if there is none, or if it is damaged."""
        try:
            record = msgspec.json.decode(self._record_path(key).read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError):
            return None
        path = self.root / "blobs" / record.blob
        if not self._is_sound(path, record):
            return None
        self._note_use(key)
        return Entry(key, path, record.sha256, record.bytes, record.meta)

    def put(self, key: str, content: bytes | Path, *, suffix: str, meta: Mapping[str, object] | None = None) -> Entry:
        """Keep an artefact under its key; one that is there already is replaced.

        Raises:
            UsageError: if the disk is full or the store cannot be written.
        """
        if isinstance(content, Path):
            sha256, size = file_sha256(content), content.stat().st_size
        else:
            sha256, size = hashlib.sha256(content).hexdigest(), len(content)
        blob = f"{sha256}{suffix}"
        path = self.root / "blobs" / blob
        record = Record(blob, sha256, size, dict(meta or {}))
        self._sound.pop(str(path), None)
        if not self._is_sound(path, record):
            write_atomically(path, content)
        write_atomically(self._record_path(key), msgspec.json.encode(record))
        self.forget_failure(key)
        return Entry(key, path, sha256, size, record.meta)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for a file that is to be put, on the store's own disk; it is gone afterwards.

        Raises:
            UsageError: if the store cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.root, prefix=WRITING, ignore_cleanup_errors=True) as folder:
                yield Path(folder)
        except OSError as error:
            raise _cannot_write(self.root, error) from error

    def content(self, sha256: str, *, suffix: str) -> Path | None:
        """The file of this content, whatever it was kept as; None if there is none, or if it is damaged."""
        path = self.root / "blobs" / f"{sha256}{suffix}"
        try:
            return path if file_sha256(path) == sha256 else None
        except OSError:
            return None

    def failure(self, key: str) -> str | None:
        """Why the last attempt to make this artefact failed; None if it did not."""
        try:
            return self._failure_path(key).read_text(encoding="utf-8")
        except OSError:
            return None

    def fail(self, key: str, reason: str) -> None:
        """Remember why this artefact could not be made, for the tests that wait for it."""
        write_atomically(self._failure_path(key), reason.encode())

    def forget_failure(self, key: str) -> None:
        """Forget an earlier failure, so that it is tried again."""
        self._failure_path(key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the store's lock of this name, so that two runs do not make the same artefact at once."""
        from filelock import FileLock

        path = self.root / "locks" / f"{name}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(path, error) from error
        with FileLock(path):
            yield

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While this is held nothing is taken out of the store. Many may hold it at once."""
        with self._held("shared"):
            yield

    @contextlib.contextmanager
    def alone(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the store while nobody has it `in_use`; False, and nothing held, where somebody has and `wait` is not.

        Raises:
            UsageError: if the store cannot be written.
        """
        with self._held("alone", wait=wait) as held:
            yield held

    @contextlib.contextmanager
    def _held(self, how: Literal["shared", "alone"], *, wait: bool = True) -> Iterator[bool]:
        try:
            import fcntl
        except ImportError:  # Windows: two runs there must not prune at once
            yield True
            return
        path = self.root / "locks" / "in-use.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("ab")
        except OSError as error:
            if how == "shared":  # a store that may only be read is used all the same; nobody prunes it either
                yield False
                return
            raise _cannot_write(path, error) from error
        with stream:
            kind = fcntl.LOCK_SH if how == "shared" else fcntl.LOCK_EX
            try:
                fcntl.flock(stream, kind if wait else kind | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                fcntl.flock(stream, fcntl.LOCK_UN)  # closing would not do: forked processes have the file open too

    def pin(self, name: str, digests: Iterable[str], origin: str) -> None:
        """Keep what has these digests, whatever is pruned, for as long as `pins/NAME.json` is there.

        Args:
            name: What a pin is called; one of the same name is replaced.
            digests: SHA-256 of contents.
            origin: Who names them: for a person who asks why they are kept.

        Raises:
            UsageError: if the store cannot be written.
        """
        pin = Pin(origin, sorted(set(digests)))
        write_atomically(self.root / "pins" / f"{name}.json", msgspec.json.format(msgspec.json.encode(pin)) + b"\n")

    def _note_use(self, key: str) -> None:
        path = self._record_path(key)
        with contextlib.suppress(OSError):  # a store that may only be read is used all the same
            if time.time() - path.stat().st_mtime > _USE_IS_NOTED_AFTER_S:
                os.utime(path)

    def _record_path(self, key: str) -> Path:
        return self.root / "entries" / f"{key}.json"

    def _failure_path(self, key: str) -> Path:
        return self.root / "failures" / f"{key}.txt"

    def _is_sound(self, path: Path, record: Record) -> bool:
        try:
            status = path.stat()
        except OSError:
            return False
        if status.st_size != record.bytes:
            return False
        if self._sound.get(str(path)) != status.st_mtime_ns:
            if file_sha256(path) != record.sha256:
                return False
            self._sound[str(path)] = status.st_mtime_ns
        return True
