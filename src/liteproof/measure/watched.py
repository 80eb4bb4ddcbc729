"""A process that is watched to its end or to a deadline, and leaves nothing of its process group behind.

>>> watch(["sh", "-c", "echo here; kill -SEGV $$"], timeout_s=60.0)
End(lines=(b'here',), stderr='', status=-11)
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TAIL = 8192


@dataclass(frozen=True)
class End:
    """How a watched process ended.

    Attributes:
        lines: What it wrote to its channel; a line without its end is left out.
        stderr: The tail of its standard error.
        status: Exit status, or the negative number of the signal that ended it; None: killed at the deadline.
    """

    lines: tuple[bytes, ...]
    stderr: str
    status: int | None


def watch(command: Sequence[str], timeout_s: float) -> End:
    """Run a command; its channel is its standard output."""
    deadline = time.monotonic() + timeout_s
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - they are pipes
        heard = follow(process.pid, process.stdout.fileno(), process.stderr.fileno(), deadline)
        return heard.end(process.wait())


def environment() -> Mapping[str, str]:
    """The environment of a process that runs a module of this package, wherever it is imported from."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "PYTHONPATH": path}


@dataclass(frozen=True)
class Heard:
    """What a process said, and whether it ended before its deadline."""

    said: bytes
    complained: bytes
    ended: bool

    def end(self, status: int) -> End:
        """The same with the exit status that it was reaped with."""
        lines = tuple(self.said.split(b"\n")[:-1])
        return End(lines, self.complained.decode(errors="replace"), status if self.ended else None)


def follow(pid: int, channel: int, complaints: int, deadline: float) -> Heard:
    """Read a child's two pipes until it ends or the deadline passes, then kill its process group; not yet reaped.

    Args:
        pid: The child, which leads a process group.
        channel: Read end of what it says.
        complaints: Read end of its standard error, of which the tail is kept.
        deadline: On the monotonic clock.
    """
    try:
        said, complained = _drain(channel, complaints, deadline)
        return Heard(said, complained, _ended(pid, deadline))
    finally:
        # The group goes before its leader is reaped: until then its number belongs to nobody else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _ended(pid: int, deadline: float) -> bool:
    """Wait for a child to end, without reaping it; False: the deadline came first."""
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _drain(channel: int, complaints: int, deadline: float) -> tuple[bytes, bytes]:
    """All of one pipe and the tail of the other, until both are closed or the deadline has passed."""
    said = complained = b""
    with selectors.DefaultSelector() as selector:
        for pipe in (channel, complaints):
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fd)
                elif key.fd == channel:
                    said += chunk
                else:
                    complained = (complained + chunk)[-_TAIL:]
    return said, complained
