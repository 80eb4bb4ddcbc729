"""The everyday board: a second sshd on this machine, on loopback, with a home folder and an environment of its own.

>>> board = Sshd(folder)                                                           # doctest: +SKIP
>>> board.start()                                                                  # doctest: +SKIP
>>> board.board.ssh("echo", "here").stdout                                         # doctest: +SKIP
'here\\n'

No root is needed. Its Python has tflite-runtime and numpy 1, whatever the tests run in; it is made once and kept.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.boards import vcgencmd
from tests.boards.board import (
    Board,
    Unavailable,
    answers,
    apt_install,
    built,
    command_line,
    describe,
    free_port,
    make_keys,
    requirements,
    send_signal,
)

NAME = "loopback"


class Sshd:
    """A board below a folder, and what can be done to it. `board` tells how it is reached."""

    def __init__(self, folder: Path) -> None:
        self._sshd = _program()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        self.firmware = vcgencmd.install(folder / "bin")
        make_keys(folder)
        shutil.copy(folder / "client_key.pub", folder / "authorized_keys")
        self.board: Board = describe(
            NAME, folder, port=free_port(), user=getpass.getuser(), python=str(_python()), home=home, rehearsal=False
        )
        self._mark = f"HOME={home}".encode()
        (folder / "sshd_config").write_text(self._configuration(home), encoding="utf-8")

    def start(self) -> None:
        """Start it and wait until it greets."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it when it starts as root
        command = [self._sshd, "-D", "-e", "-f", str(self._folder / "sshd_config")]
        with (self._folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 10
        while not answers(self.board.port):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise Unavailable((self._folder / "sshd.log").read_text(encoding="utf-8").strip()[-300:])
            time.sleep(0.02)

    def kill(self) -> None:
        """A power cut: all that runs there is gone at once."""
        if self._process is None:
            return
        send_signal(self.processes(), signal.SIGKILL)
        self._process.wait()
        while left := self.processes():
            send_signal(left, signal.SIGKILL)
            time.sleep(0.01)

    def cut_connections(self) -> None:
        """Kill the sshd of every login; what the logins started is left to itself."""
        assert self._process is not None
        send_signal(set(self._servers()) - {self._process.pid}, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop everything there."""
        send_signal(self.processes(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let everything go on."""
        send_signal(self.processes(), signal.SIGCONT)

    def processes(self) -> list[int]:
        """All there is: the sshd, those of the logins, and what the logins started."""
        return [*self._servers(), *self.programs()]

    def programs(self) -> dict[int, str]:
        """What logins started, by id: its command line."""
        servers, found = set(self._servers()), {}
        for pid in _pids():
            if pid not in servers and self._mark in _environment(pid) and (line := command_line(pid)):
                found[pid] = line
        return found

    def _servers(self) -> list[int]:
        if self._process is None or self._process.poll() is not None:
            return []
        own = self._process.pid
        return [pid for pid in _pids() if _name(pid).startswith("sshd") and own in _line_of_descent(pid)]

    def _configuration(self, home: Path) -> str:
        return f"""\
Port {self.board.port}
ListenAddress 127.0.0.1
HostKey {self._folder}/host_key
PidFile none
AuthorizedKeysFile {self._folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
UseDNS no
MaxStartups 50
MaxSessions 50
SetEnv "HOME={home}" "XDG_CACHE_HOME={home}/.cache" "PATH={self._folder}/bin:/usr/local/bin:/usr/bin:/bin"
"""


def _program() -> str:
    found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None:
        apt_install(["openssh-server"])
        found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None or shutil.which("ssh") is None:
        raise Unavailable("no OpenSSH (sudo apt install openssh-server openssh-client)")
    return found


def _python() -> Path:
    """The interpreter of the board's virtual environment, made once for each Python and set of packages."""
    base = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if base is None:
        raise Unavailable("there is no python3.11 here, the last that tflite-runtime has wheels for")
    wanted = requirements()

    def make(folder: Path) -> None:
        pip = [
            str(folder / "bin/python"),
            "-I",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *wanted,
        ]
        for command in ([base, "-m", "venv", str(folder)], pip):
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                raise Unavailable(f"its Python cannot be made: {done.stderr.strip()[-300:]}")

    return built("venv", {"python": os.path.realpath(base), "requirements": wanted}, make) / "bin" / "python"


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _line_of_descent(pid: int) -> set[int]:
    found = set()
    while pid > 1:
        found.add(pid)
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        pid = int(text.rpartition(")")[2].split()[1])
    return found
