"""One HTTP exchange with a deadline for the whole of it: straight to the address, no proxy, no redirect.

    >>> with Line("http://127.0.0.1:8080", timeout_s=5) as line:          # doctest: +SKIP
    ...     line.get("/api/health").status
    200

The standard library's `http.client` does no more than it is told: it reads no proxy from the environment and follows no
redirect, so nothing leaves for where the manifest does not point. Its timeout is for one wait on the socket; a service
that sends a byte now and then would never end, so a timer cuts the line.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

# More than any answer of numbers; a service that sends more sends something else.
MOST_BYTES = 64 << 20
_PIECE = 1 << 16


class NoAnswer(Exception):
    """No whole answer came: refused, cut, too late, or no HTTP. `refused` tells whether nobody listens there."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True)
class Answer:
    """What came back: status, body, and the seconds from the first byte sent to the last one read."""

    status: int
    body: bytes
    seconds: float


class Line:
    """A line to one address, kept open between exchanges where the service keeps it."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
        self._base = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self.url = url

    def __enter__(self) -> Line:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def get(self, path: str) -> Answer:
        """Ask for a path.

        Raises:
            NoAnswer: if no whole answer comes in time.
        """
        return self._exchange("GET", path, None, {"Accept": "application/json"})

    def post(self, path: str, body: bytes, content_type: str) -> Answer:
        """Send a body to a path.

        Raises:
            NoAnswer: if no whole answer comes in time.
        """
        return self._exchange("POST", path, body, {"Content-Type": content_type, "Accept": "application/json"})

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        started = time.perf_counter()
        try:
            with self._deadline() as late:
                self._send(method, path, body, headers)
                status, content = self._read(late)
        except ConnectionRefusedError as error:
            raise NoAnswer(f"nobody listens at {self.url}", refused=True) from error
        except (OSError, http.client.HTTPException, AttributeError) as error:  # AttributeError: cut while it was read
            self._connection.close()
            if time.perf_counter() - started >= self._timeout_s or isinstance(error, TimeoutError):
                raise NoAnswer(f"no whole answer within {self._timeout_s:g} s") from error
            if isinstance(error, socket.gaierror):
                raise NoAnswer(f"there is no host of that name: {self.url}", refused=True) from error
            raise NoAnswer(f"{type(error).__name__}: {str(error) or 'the line was cut'}") from error
        return Answer(status, content, time.perf_counter() - started)

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Send a request; once more on a new line where the service had closed the one that was kept."""
        fresh = self._connection.sock is None
        try:
            self._connection.request(method, self._base + path, body, dict(headers))
        except (BrokenPipeError, ConnectionResetError, http.client.CannotSendRequest):
            self._connection.close()
            if fresh:
                raise
            self._connection.request(method, self._base + path, body, dict(headers))

    def _read(self, late: threading.Event) -> tuple[int, bytes]:
        answer = self._connection.getresponse()
        content = bytearray()
        while piece := answer.read(_PIECE):
            content += piece
            if len(content) > MOST_BYTES:
                self._connection.close()
                raise http.client.HTTPException(f"an answer of more than {MOST_BYTES >> 20} MB")
        if late.is_set():
            raise TimeoutError
        if answer.length:  # the line was cut before all that was promised had come
            raise http.client.IncompleteRead(bytes(content), answer.length)
        return answer.status, bytes(content)

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[threading.Event]:
        """Cut the line when the time is over, whatever the service sends meanwhile."""
        late = threading.Event()

        def cut() -> None:
            late.set()
            with contextlib.suppress(OSError, AttributeError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._timeout_s, cut)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()
