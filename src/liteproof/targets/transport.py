"""Lines to the places where suites run: OpenSSH's own client as a subprocess, or another Python on this machine.

    >>> import sys
    >>> with open_line(Target("here", python=sys.executable)) as line:
    ...     line.send("survey", packages=["numpy"])
    ...     line.receive(10).name
    'surveyed'

A line starts the guard (`liteproof.targets.guard`) at its other end, and carries orders there and events back. The
user's ssh configuration, keys, agent, jump hosts and host-key policy hold; nothing here weakens them. Every wait has a
deadline. Nothing that a manifest or a board says reaches a shell unquoted.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from liteproof.errors import TargetError
from liteproof.plan import Target
from liteproof.targets import cache, guard, survey
from liteproof.targets.events import Event, Reader

CONNECT_S = 20.0
GREETING_S = 60.0  # from the connection to the guard's first word: Python starts slowly on an old or emulated board
ALIVE_S, ALIVE_MISSES = 5, 3
GOODBYE_S = 15.0
FROZEN_S = 30.0  # without a sign of life; the guard gives one every two seconds
_TAIL = 4000

# What is read first at the other end: programs, by their names and sizes, then they themselves.
_BOOTSTRAP = """\
import sys
sys.path[:] = [p for p in sys.path if p]
import types, zlib
def read(size):
    data = b""
    while len(data) < size:
        import os
        chunk = os.read(0, size - len(data))
        if not chunk:
            raise SystemExit(1)
        data += chunk
    return data
for name, size in {programs!r}:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(zlib.decompress(read(size)), name, "exec"), module.__dict__)
module.main({marker!r})
"""


@dataclass(frozen=True)
class _Trouble:
    """A trouble by what ssh prints about it."""

    pattern: str
    found: str
    next: str
    transient: bool = False


_SSH_TROUBLES = (
    _Trouble(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* changed",
        "its host key is another than the one that is known",
        "if the board was set up anew: ssh-keygen -R {host}, then: ssh {host} true, and compare the fingerprint",
    ),
    _Trouble(
        r"Host key verification failed|No .* host key is known",
        "its host key is not known here",
        "ssh {host} true, and compare the fingerprint with the board's: "
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
    ),
    _Trouble(
        r"Permission denied|Too many authentication failures|No supported authentication methods",
        "it refused the login",
        "ssh-copy-id {host}; a key with a passphrase wants an agent: ssh-add",
    ),
    _Trouble(
        r"Could not resolve hostname",
        "its name cannot be resolved",
        "check ssh = … in targets.toml; try: ping {host}",
    ),
    _Trouble(
        r"Bad configuration option|Bad owner or permissions|terminating, \d+ bad",
        "ssh refuses its own configuration",
        "ssh {host} true",
    ),
    _Trouble(
        r"Connection refused",
        "it refuses connections",
        "on the board: sudo systemctl enable --now ssh",
        transient=True,
    ),
    _Trouble(
        r"timed out|No route to host|Network is unreachable|Host is down",
        "it cannot be reached",
        "is it on, and in this network? ping {host}",
        transient=True,
    ),
    _Trouble(
        r"Connection (reset|closed)|Connection to .* closed|kex_exchange|Broken pipe|client_loop"
        r"|Corrupted MAC|Bad packet|message authentication|not responding",
        "the connection was lost",
        "check the network and the board's power supply",
        transient=True,
    ),
)


def open_line(
    target: Target, *, connect_s: float = CONNECT_S, greeting_s: float = GREETING_S, frozen_s: float = FROZEN_S
) -> Line:
    """Open a line to a target and wait for the guard's greeting.

    Raises:
        TargetError: It cannot be reached, refuses the login, has no Python, or does not answer like a guard.
    """
    line = Line(target, connect_s, frozen_s)
    try:
        line.await_greeting(connect_s + greeting_s)
    except BaseException:
        line.close(0)
        raise
    return line


class Line:
    """A line to a guard. One thread sends and receives; `close` and `hang_up` may be called from another."""

    def __init__(self, target: Target, connect_s: float, frozen_s: float) -> None:
        """Use `open_line`."""
        self.target = target
        self.sent_bytes = 0
        self._frozen_s = frozen_s
        self._frozen = False
        self._heard = time.monotonic()
        self._marker = secrets.token_hex(16)
        self._complaint = b""
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._reader = Reader(self._marker)
        self._folder = Path(tempfile.mkdtemp(prefix="liteproof-"))
        programs = [
            (module.__name__, zlib.compress(Path(str(module.__file__)).read_bytes()))
            for module in (survey, cache, guard)
        ]
        bootstrap = _BOOTSTRAP.format(programs=[(name, len(text)) for name, text in programs], marker=self._marker)
        try:
            self._process = subprocess.Popen(
                command(target, bootstrap, self._folder, connect_s),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the controller, which then ends the run in order
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise TargetError(
                f"{target.name}: cannot start {error.filename or 'ssh'}: {error.strerror}",
                expected="OpenSSH's client" if target.ssh else "a Python interpreter",
                next="sudo apt install openssh-client" if target.ssh else "check python = … in targets.toml",
            ) from None
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._listen, self._overhear, self._feel_pulse)
        ]
        for thread in self._threads:
            thread.start()
        self._programs = b"".join(text for _, text in programs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def await_greeting(self, deadline_s: float) -> None:
        """Send the guard, and wait until it speaks."""
        self._write(self._programs)
        event = self.receive(deadline_s)
        if event is None:
            raise self.trouble(f"no answer within {deadline_s:.0f} s")
        if event.name == "no_python":
            raise TargetError(
                f"{self.target.name}: there is no Python at {self.target.python or 'python3'}",
                expected="Python 3.11 or newer",
                where=self.target.ssh or "this machine",
                next="check python = … in targets.toml; on Raspberry Pi OS: sudo apt install python3",
            )
        if event.name != "hello":
            raise self.trouble(f"an unexpected {event.name}")

    def send(self, do: str, **facts: Any) -> None:
        """Send an order.

        Raises:
            TargetError: The line is cut.
        """
        self._write(json.dumps({"do": do, **facts}).encode() + b"\n")

    def put(self, path: str, sha256: str, content: bytes) -> int:
        """Send a file, packed; returns how many bytes that took."""
        packed = zlib.compress(content, 6)
        self.send("put", path=path, sha256=sha256, bytes=len(content), packed=len(packed))
        for start in range(0, len(packed), 1 << 15):
            self._write(packed[start : start + (1 << 15)])
        return len(packed)

    def receive(self, timeout_s: float) -> Event | None:
        """The next event; None: none came in time. Signs of life are taken note of, and not returned.

        Raises:
            TargetError: The line was cut.
        """
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                return None
            if event is None:
                self._events.put(None)  # whoever asks again gets the same answer
                raise self.trouble()
            if event.name != "beat":
                return event
        return None

    def trouble(self, what: str = "") -> TargetError:
        """Why the line does not work, told from how the client ended and from what it complained."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._threads[1].join(1)
        if self._frozen:
            what = f"no sign of life for {self._frozen_s:.0f} s: frozen, or out of power"
        complaint = self._complaint.decode(errors="replace")
        return explain(self.target, self._process.poll(), complaint, self._reader.noise, what, self._reader.greeted)

    def hang_up(self) -> None:
        """Cut the line at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self, patience_s: float = GOODBYE_S) -> None:
        """Say goodbye by closing our end, wait for the guard to clean up, and leave nothing behind here."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(patience_s, 0.001))
        self.hang_up()
        self._process.wait()
        for thread in self._threads:
            thread.join(2)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        view = memoryview(data)
        try:
            while view:
                view = view[self._process.stdin.write(view) or 0 :]
        except (OSError, ValueError):
            raise self.trouble() from None
        self.sent_bytes += len(data)

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._process.stdout.fileno(), 1 << 16):
                for event in self._reader.feed(chunk):
                    self._heard = time.monotonic()
                    self._events.put(event)
        self._events.put(None)

    def _overhear(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._process.stderr.fileno(), 1 << 16):
                self._complaint = (self._complaint + chunk)[-_TAIL:]

    def _feel_pulse(self) -> None:
        """Cut a line on which nothing is heard any more, so that nobody waits on it for ever."""
        while self._process.poll() is None:
            if self._reader.greeted and time.monotonic() - self._heard > self._frozen_s:
                self._frozen = True
                self.hang_up()
            time.sleep(0.2)


def command(target: Target, bootstrap: str, folder: Path, connect_s: float) -> list[str]:
    """What starts the guard: ssh with a script for the board's shell, or the interpreter itself."""
    if target.ssh is None:
        return [str(target.python), "-u", "-c", bootstrap]
    marker = _marker_of(bootstrap)
    script = (
        f"p={_expanded(target.python)}; "
        f'command -v "$p" >/dev/null 2>&1 || {{ printf "%s\\n" {shlex.quote(marker + _NO_PYTHON)}; exit 127; }}; '
        f'exec "$p" -u -c {shlex.quote(bootstrap)}'
    )
    return [*ssh_command(target.ssh, folder, connect_s), "exec sh -c " + shlex.quote(script)]


_NO_PYTHON = ' {"event": "no_python"}'


def _marker_of(bootstrap: str) -> str:
    return str(re.findall(r"module\.main\('([0-9a-f]+)'\)", bootstrap)[0])


def _expanded(python: str | None) -> str:
    """A path for the board's shell: `~/` is the board's home folder, everything else is taken literally.

    Without one: the virtual environment that `liteproof doctor --install` made, else python3.
    """
    if python is None:
        own = '"${XDG_CACHE_HOME:-$HOME/.cache}/liteproof/board/venv/bin/python"'
        return f'{own}; [ -x "$p" ] || p=python3'
    if python.startswith("~/"):
        return '"$HOME"/' + shlex.quote(python[2:])
    return shlex.quote(python)


def ssh_command(destination: str, folder: Path, connect_s: float) -> list[str]:
    """OpenSSH's client, never asking, with a control connection of its own.

    `$LITEPROOF_SSH` may name another client with options of its own, such as `ssh -F FILE`.
    """
    options: Mapping[str, object] = {
        "BatchMode": "yes",
        "ConnectTimeout": int(connect_s),
        "ServerAliveInterval": ALIVE_S,
        "ServerAliveCountMax": ALIVE_MISSES,
        "ControlMaster": "auto",
        "ControlPath": folder / "control",
        "ControlPersist": "no",
        "ClearAllForwardings": "yes",
        "RequestTTY": "no",
    }
    client = shlex.split(os.environ.get("LITEPROOF_SSH", "ssh"))
    return [
        *client,
        "-T",
        *(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
        "--",
        destination,
    ]


def explain(target: Target, status: int | None, complaint: str, noise: str, what: str, greeted: bool) -> TargetError:
    """The trouble behind a line that does not work.

    Args:
        target: The other end.
        status: The client's exit status; None: it is still there.
        complaint: What it wrote to its standard error.
        noise: What came that was not ours.
        what: What the caller saw, if anything.
        greeted: Whether the guard had spoken.
    """
    host = target.ssh or "this machine"
    last = " ".join(complaint.strip().splitlines()[-1:])
    if target.ssh:
        for known in _SSH_TROUBLES:
            if re.search(known.pattern, complaint, re.IGNORECASE):
                return TargetError(
                    f"{target.name}: {known.found}",
                    where=f"{host}: {last}",
                    next=known.next.format(host=host),
                    transient=known.transient,
                )
    if what:
        return TargetError(f"{target.name}: {what}", where=f"{host}{': ' + last if last else ''}", transient=True)
    if greeted:
        return TargetError(
            f"{target.name}: the connection was lost",
            where=f"{host}{': ' + last if last else ''}",
            next="check the network and the board's power supply",
            transient=True,
        )
    seen = " ".join((noise.strip() or last or f"status {status}").split())[-300:]
    return TargetError(
        f"{target.name}: what answered is not liteproof's guard",
        expected="Python 3.9 or newer, started by a shell that does not end for programs",
        where=f"{host} said: {seen}",
        next=f"ssh {host} true: it should print nothing and end with status 0" if target.ssh else f"{target.python} -V",
    )
