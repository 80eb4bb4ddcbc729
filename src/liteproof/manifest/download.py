"""Fetching one file in a process of its own: `python -m liteproof.manifest.download`.

It reads one request from standard input, a JSON object, and writes events to standard output, a JSON object a line:
`{"at": bytes, "of": bytes or null}` as it goes on, and at last `{"sha256": …, "bytes": …}` or `{"failed": reason, …}`.
What has come is in the request's file already when a line breaks: the next try, or the next run, goes on from there.

A process of its own, because the libraries behind fsspec start threads that pytest's own must not have when it forks,
and because whatever hangs in them can then be ended from outside. Addresses come by standard input, never as arguments,
where anybody on the machine could read what they hold in confidence.
"""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BLOCK = 2 << 20
_BETWEEN_EVENTS_S = 0.2
_CONNECT_S, _SILENCE_S = 15, 30


def main() -> None:
    """Fetch what standard input asks for."""
    request = json.loads(sys.stdin.read())
    try:
        path, waits = Path(request["path"]), request["waits"]
        _tell(**fetch(request["url"], path, environment=request["environment"], waits=waits))
    except Exception as error:  # a file system of fsspec's raises what its libraries raise
        _tell(**described(_cause(error)))


def fetch(url: str, path: Path, *, environment: bool, waits: Sequence[float]) -> dict[str, Any]:
    """Fetch a file, from where an earlier attempt ended, and tell its digest.

    Args:
        url: Whatever fsspec takes.
        path: Where it is written; what is there already is its beginning.
        environment: Whether proxies and credentials of the environment (`HTTPS_PROXY`, `~/.netrc`) are used.
        waits: Seconds before each further try in a row that has brought nothing.

    Raises:
        Exception: what fsspec's file systems raise, once further tries make no sense.
    """
    failures = 0
    while True:
        held = path.stat().st_size if path.exists() else 0
        try:
            _append(url, path, held, environment)
            break
        except Exception as error:
            if path.exists() and path.stat().st_size > held:
                failures = 0
            if _lasts(_cause(error)) or failures == len(waits):
                raise
            time.sleep(waits[failures])
            failures += 1
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}


def _append(url: str, path: Path, held: int, environment: bool) -> None:
    """Add what is missing."""
    import fsspec

    files, inner = fsspec.core.url_to_fs(url, **_options(url, environment))
    size = files.info(inner).get("size")
    told = 0.0
    if size is not None and held > size:
        path.unlink()
        held = 0
    if size is not None and held == size > 0:
        return
    with path.open("ab") as out:
        for block in _blocks(files, inner, held, size):
            out.write(block)
            held += len(block)
            if time.monotonic() - told > _BETWEEN_EVENTS_S:
                out.flush()
                told = time.monotonic()
                _tell(at=held, of=size)
    if size is not None and held != size:
        raise ConnectionError(f"{held} of {size} bytes came")


def _blocks(files: Any, inner: str, start: int, size: int | None) -> Iterator[bytes]:
    """The file from some byte on: a range at a time, or from its beginning where the server knows no ranges."""
    if size is not None:
        with files.open(inner, "rb", block_size=BLOCK, cache_type="none") as stream:
            try:
                stream.seek(start)
                while block := stream.read(BLOCK):
                    yield block
                    start += len(block)
                return
            except ValueError:  # so fsspec says that ranges are not known
                pass
    with files.open(inner, "rb", block_size=0) as stream:
        passed = 0
        while block := stream.read(BLOCK):
            yield block[max(0, start - passed) :]
            passed += len(block)


def _options(url: str, environment: bool) -> dict[str, Any]:
    """Limits in time for whichever part of the address is fetched by HTTP."""
    protocols = {part.partition("://")[0].lower() for part in url.split("::")} & {"http", "https"}
    if not protocols:
        return {}
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    client = {"client_kwargs": {"timeout": timeout, "trust_env": environment}, "skip_instance_cache": True}
    return {protocol: dict(client) for protocol in protocols}


def _cause(error: BaseException) -> BaseException:
    """What went wrong: whatever keeps fsspec from looking at a file, it says that there is none."""
    return error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error


def _lasts(error: BaseException) -> bool:
    """Whether another try would end the same."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return 400 <= status < 500 and status not in (408, 425, 429)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return True
    return isinstance(error, (FileNotFoundError, PermissionError, ImportError, ValueError, IsADirectoryError))


def described(error: BaseException) -> dict[str, Any]:
    """What may be told of an error: neither its text, which may hold the address, nor its cause."""
    told: dict[str, Any] = {"failed": type(error).__name__}
    status, number = getattr(error, "status", None), getattr(error, "errno", None)
    if isinstance(status, int):
        told["status"] = status
    if isinstance(number, int):
        told["errno"] = number
    if isinstance(error, ImportError):
        told["missing"] = error.name or str(error)
    return told


def _tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
