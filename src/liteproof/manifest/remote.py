"""Models that are kept elsewhere: an address that fsspec understands, and the digest of what must be there.

    >>> plain("https://ada:secret@example.org/models/digits.keras?token=abc#1")
    'https://example.org/models/digits.keras'
    >>> plain("zip://digits.keras::https://example.org/models.zip?token=abc")
    'zip://digits.keras::https://example.org/models.zip'

What was fetched once is in the store by its digest, and is never fetched again. Bytes whose digest nobody has pinned
are never judged: the digest is told, to be written into the manifest.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from liteproof import plan
from liteproof.convert.tasks import Event, Listener
from liteproof.errors import UsageError
from liteproof.manifest.files import LFS_POINTER, POINTER_BYTES
from liteproof.manifest.place import Place, clean, one_of
from liteproof.manifest.source import KINDS
from liteproof.store import Entry, Store, digest_of

# What is fetched, and what fetches it. `file` reads this machine's own files; `zip` takes a member out of an archive.
PROTOCOLS = ("http", "https", "s3", "gs", "gcs", "az", "abfs", "file", "zip")
_WITHOUT_CREDENTIALS = ("http", "https", "zip")
_PACKAGES = {"s3fs": "s3fs", "gcsfs": "gcsfs", "adlfs": "adlfs"}
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://", re.I)
_TIMEOUT_S = 1800.0
# Before each further try in a row that has brought nothing.
WAITS_S = (0.5, 2.0, 5.0)


def is_address(name: str) -> bool:
    """Whether this is an address rather than a path.

    >>> is_address("https://example.org/a.keras"), is_address("models/a.keras")
    (True, False)
    """
    return bool(_ADDRESS.match(name))


def plain(url: str) -> str:
    """An address as it may be shown: without user, password, query and fragment, which may be confidential."""

    def part(text: str) -> str:
        try:
            split = urlsplit(text)
        except ValueError:
            return f"{text.partition('://')[0]}://…"
        return urlunsplit((split.scheme, split.netloc.rpartition("@")[2], split.path, "", ""))

    return clean("::".join(part(text) for text in url.split("::")), longest=400)


@dataclass(frozen=True)
class Remote:
    """A file that is kept elsewhere.

    Attributes:
        url: Its address.
        sha256: Its digest, if it is pinned.
        key: The key that names it: "source" or "file".
        place: The table that it stands in.
    """

    url: str
    sha256: str | None
    key: str
    place: Place

    @property
    def suffix(self) -> str:
        """What its kind is told by, as by a file's name."""
        path = urlsplit(self.url.partition("::")[0]).path or urlsplit(self.url.partition("::")[0]).netloc
        return PurePosixPath(path).suffix.lower()

    @property
    def entry_key(self) -> str:
        """The store's key of what has the digest."""
        return digest_of({"artefact": "download", "sha256": self.sha256, "suffix": self.suffix})


class Remotes:
    """Brings files that are kept elsewhere into the store."""

    def __init__(
        self,
        store: Store,
        *,
        fetch: bool = True,
        no_code: bool = False,
        allow_outside: bool = False,
        listener: Listener | None = None,
    ) -> None:
        """Fetch nothing yet.

        Args:
            store: Where files are kept, by their digests.
            fetch: Whether what is not in the store is fetched now.
            no_code: Whether the manifest is a stranger's, who must not use this machine's credentials.
            allow_outside: Whether the manifest may name files of this machine.
            listener: Hears how far it is.
        """
        self._store, self._fetch, self._no_code, self._allow_outside = store, fetch, no_code, allow_outside
        self._tell: Listener = listener or (lambda _: None)

    def file(self, remote: Remote, model: str) -> plan.File:
        """The file, as a plan knows it; of 0 bytes where it is not in the store and is not fetched now.

        Args:
            remote: The file.
            model: The model that it is for.

        Raises:
            UsageError: if the address is none that may be fetched, nothing can be fetched there, or what is there has
                another digest or none that is pinned.
        """
        self._require_sense(remote)
        if remote.sha256 is None:
            raise self._unpinned(remote, model)
        entry = self._store.get(remote.entry_key)
        if entry is None and not self._fetch:
            path = self._store.root / "blobs" / f"{remote.sha256}{remote.suffix}"
            return plan.File(str(path), remote.sha256, 0, plain(remote.url))
        entry = entry or self._fetched(remote, model)
        return plan.File(str(entry.path), entry.sha256, entry.bytes, plain(remote.url))

    def _require_sense(self, remote: Remote) -> None:
        said = f'{remote.key} = "{plain(remote.url)}" in {remote.place.name}'
        for part in remote.url.split("::"):
            protocol = part.partition("://")[0].lower()
            if not is_address(part) or protocol not in PROTOCOLS:
                raise remote.place.wrong(
                    f"{said} has the protocol '{clean(protocol)}'",
                    one_of(protocol, PROTOCOLS, what="one that is fetched"),
                )
            if protocol == "file" and not self._allow_outside:
                raise remote.place.wrong(
                    f"{said} leads out of the model's folder",
                    "an address elsewhere, or a path below the folder",
                    "set allow_outside = true in [model]",
                )
            if self._no_code and protocol not in _WITHOUT_CREDENTIALS:
                raise remote.place.wrong(
                    f"{said} is read with your credentials",
                    "http or https, because of --no-code",
                    "run without --no-code if you trust where this comes from",
                )

        if remote.key == "source" and remote.suffix not in KINDS:
            raise remote.place.wrong(
                f"{said} does not end as a source does",
                f"an address whose path ends in {', '.join(KINDS)}",
                "save a SavedModel as .keras; a member of an archive is zip://NAME.keras::https://…",
            )

    def _unpinned(self, remote: Remote, model: str) -> UsageError:
        """The error that tells the digest to pin; what was fetched for it need not be fetched again."""
        said = f'{remote.key} = "{plain(remote.url)}" in {remote.place.name} has no sha256'
        expected = "the digest of what you accept: what an address gives may change"
        if not self._fetch:
            return remote.place.wrong(said, expected, "run without --collect-only to be told the digest")
        entry = self._fetched(remote, model)
        url = remote.url if remote.url == plain(remote.url) else "…"  # what follows a '?' is not told
        pinned = f'{remote.key} = {{ url = "{url}", sha256 = "{entry.sha256}" }}'
        return remote.place.wrong(said, expected, f"if what is there now ({entry.bytes} bytes) is the one: {pinned}")

    def _fetched(self, remote: Remote, model: str) -> Entry:
        """Fetch it into the store, one run at a time.

        Raises:
            UsageError: if it cannot be fetched, or is another one.
        """
        part = self._part(remote)
        with self._store.lock(f"download-{part.stem}"):
            known = self._store.get(remote.entry_key) if remote.sha256 else None
            if known is not None:
                return known
            part.parent.mkdir(parents=True, exist_ok=True)
            started, resumed = time.perf_counter(), part.exists()
            self._tell(Event("planned", model=model, total=1))
            self._tell(Event("started", model=model, name=remote.key))
            sha256 = self._run(remote, part, model)
            if remote.sha256 not in (None, sha256) and resumed:
                part.unlink(missing_ok=True)  # its beginning may have been of what was there before
                sha256 = self._run(remote, part, model)
            try:
                if part.stat().st_size <= POINTER_BYTES and part.read_bytes().startswith(LFS_POINTER):
                    raise self._pointer(remote)
                if remote.sha256 not in (None, sha256):
                    raise self._another(remote, sha256, part.stat().st_size)
                held = Remote(remote.url, sha256, remote.key, remote.place)
                meta = {"kind": "download", "model": model, "origin": plain(remote.url)}
                entry = self._store.put(held.entry_key, part, suffix=remote.suffix, meta=meta)
                seconds = time.perf_counter() - started
                self._tell(Event("fetched", model=model, name=remote.key, seconds=seconds, bytes=entry.bytes))
                return entry
            finally:
                part.unlink(missing_ok=True)

    def _part(self, remote: Remote) -> Path:
        """Where a file lies that has not come whole."""
        name = digest_of({"url": remote.url, "sha256": remote.sha256})[:32]
        return self._store.root / "downloads" / f"{name}.part"

    def _pointer(self, remote: Remote) -> UsageError:
        return remote.place.wrong(
            f"{plain(remote.url)} holds a Git LFS pointer, not the file that it stands for",
            "the address of the file itself",
            "on GitHub: https://media.githubusercontent.com/media/OWNER/REPOSITORY/REVISION/PATH",
        )

    def _another(self, remote: Remote, sha256: str, size: int) -> UsageError:
        return remote.place.wrong(
            f"{plain(remote.url)} holds another file: {size} bytes of sha256 {sha256}",
            f"sha256 {remote.sha256}, as {remote.key} in {remote.place.name} pins it",
            "find out why it changed; pin the new digest only if you accept the new file",
        )

    def _run(self, remote: Remote, part: Path, model: str) -> str:
        """Run the process that fetches; the digest of what it wrote.

        Raises:
            UsageError: if it fails or takes too long; what has come stays for the next run.
        """
        limit = float(os.environ.get("LITEPROOF_DOWNLOAD_TIMEOUT", _TIMEOUT_S))
        package = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "liteproof.manifest.download"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - they are pipes
        late = threading.Event()
        last: dict[str, Any] = {}

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit, end)
        timer.start()
        try:
            request = {"url": remote.url, "path": str(part), "environment": not self._no_code, "waits": WAITS_S}
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request).encode())
                process.stdin.close()
            for line in process.stdout:
                last = json.loads(line)
                if "at" in last:
                    done, total = last["at"], last["of"] or last["at"]
                    self._tell(Event("at", model=model, name=remote.key, done=done, total=total, meta={"unit": "B"}))
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
        if "sha256" in last:
            return str(last["sha256"])
        raise self._failure(remote, last, part, limit if late.is_set() else None)

    def _failure(self, remote: Remote, told: dict[str, Any], part: Path, late: float | None) -> UsageError:
        held = part.stat().st_size if part.exists() else 0
        again = f"run again: it goes on after the {held} bytes that have come" if held else "check it, and run again"
        where = f"{plain(remote.url)} ({remote.key} in {remote.place})"

        def wrong(found: str, expected: str, next: str = again) -> UsageError:  # noqa: A002
            return UsageError(found, expected=expected, where=where, next=next)

        missing, status = str(told.get("missing") or ""), told.get("status")
        if missing:
            package = next((name for name in _PACKAGES if name in missing), "'liteproof[remote]'")
            found = f"the package that fetches it is not installed: {clean(missing)}"
            return wrong(found, "an installed package", f"pip install {package}")
        if late is not None:
            longer = f"{again}, with a longer LITEPROOF_DOWNLOAD_TIMEOUT"
            return wrong(f"{held} bytes came in {late:g} s", "the whole file", longer)
        if told.get("failed") == "FileNotFoundError" or status in (404, 410):
            return wrong("there is nothing at this address", "a file", "check the address")
        if status in (401, 403) or told.get("failed") == "PermissionError":
            found = f"the server refuses it{f' (status {status})' if status else ''}"
            return wrong(found, "a file that you may read", "check your credentials")
        if told.get("errno") in (errno.ENOSPC, errno.EDQUOT):
            cure = "free some room, or name another folder with LITEPROOF_STORE"
            return wrong("the disk of the store is full", "room for it", cure)
        reason = f"status {status}" if status else str(told.get("failed") or "the process that fetches it died")
        return wrong(f"it cannot be fetched: {clean(reason)}", "an address that answers")
