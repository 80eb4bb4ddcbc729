"""The everyday board: a second sshd on this machine, on loopback, with keys and a home folder of its own.

    with Sshd(tmp_path) as board:
        target = Target("pi", ssh=board.host, python=sys.executable)     # or python(): tflite-runtime and numpy 1

No root is needed. What logs in finds a home folder of its own, so that nothing of the tests' user is read or written;
`LITEPROOF_SSH` has to hold `board.client`, which brings the keys.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.boards import vcgencmd
from tests.boards.board import (
    Unavailable,
    answers,
    apt_install,
    built,
    command_line,
    free_port,
    make_keys,
    requirements,
    send_signal,
)

HOST = "liteproof-test-board"


class Sshd:
    """A board below a folder, and what can be done to it.

    Raises:
        Unavailable: This machine cannot have one.
    """

    host = HOST

    def __init__(self, folder: Path) -> None:
        self._sshd = _program()
        self.folder = folder
        self.home = folder / "home"
        self.cache = self.home / ".cache"
        self.base = self.cache / "liteproof" / "board"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.home.mkdir(parents=True)
        self.firmware = vcgencmd.install(folder / "bin")
        make_keys(folder, "host_key", "other_host_key", "client_key", "stranger_key")
        shutil.copy(folder / "client_key.pub", folder / "authorized_keys")
        self.know("host_key")
        self.point_at(self.port)

    def know(self, key: str | None) -> None:
        """Let the client know this host key, and no other; None: none at all."""
        words = (self.folder / f"{key}.pub").read_text(encoding="ascii").split()[:2] if key else []
        (self.folder / "known_hosts").write_text(" ".join([HOST, *words]) + "\n" if key else "", encoding="ascii")

    def point_at(self, port: int, *, key: str = "client_key") -> None:
        """Lead the client to a port: the board's own, or that of a link with faults before it; and give it a key."""
        lines = {
            "HostName": "127.0.0.1",
            "Port": port,
            "User": getpass.getuser(),
            "HostKeyAlias": HOST,
            "IdentityFile": self.folder / key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
        }
        text = "".join(f"  {name} {value}\n" for name, value in lines.items())
        (self.folder / "ssh_config").write_text(f"Host {HOST}\n{text}", encoding="utf-8")

    @property
    def client(self) -> str:
        """What `LITEPROOF_SSH` has to be."""
        return f"ssh -F {shlex.quote(str(self.folder / 'ssh_config'))}"

    def ssh(self, *words: str) -> subprocess.Popen[str]:
        """A command over there, by OpenSSH's client."""
        command = [*shlex.split(self.client), "-o", "BatchMode=yes", HOST, shlex.join(words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def start(self) -> Sshd:
        """Start it and wait until it greets."""
        settings = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.folder / "host_key",
            "PidFile": "none",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "PrintMotd": "no",
            "SetEnv": f'"HOME={self.home}" "XDG_CACHE_HOME={self.cache}" '
            f'"PATH={self.folder}/bin:/usr/local/bin:/usr/bin:/bin"',
        }
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), encoding="utf-8")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it when it starts as root
        command = [self._sshd, "-D", "-e", "-f", str(config)]
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 10
        while not answers(self.port):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Unavailable((self.folder / "sshd.log").read_text(encoding="utf-8").strip()[-300:])
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """A power cut: everything on the board is gone at once, and nothing says goodbye."""
        if self.process is None:
            return
        while left := [*self._servers(), *self.processes()]:
            send_signal(left, signal.SIGKILL)
            if self.process.poll() is None:
                self.process.wait()
            time.sleep(0.01)

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.kill()

    def cut_connections(self) -> None:
        """Kill the sshd of every login; what the logins started is left to itself."""
        assert self.process is not None
        send_signal(self._servers() - {self.process.pid}, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop everything there."""
        send_signal([*self._servers(), *self.processes()], signal.SIGSTOP)

    def thaw(self) -> None:
        """Let everything go on."""
        send_signal([*self._servers(), *self.processes()], signal.SIGCONT)

    def processes(self) -> dict[int, str]:
        """What logins started and still runs, by id: its command line."""
        mark, servers = f"XDG_CACHE_HOME={self.cache}".encode(), self._servers()
        return {
            pid: line
            for pid in _pids()
            if pid not in servers and mark in _environment(pid) and (line := command_line(pid))
        }

    def left_behind(self, patience_s: float = 12.0) -> list[str]:
        """What is still there after a run: processes, or files of the run. Waits for what is on its way out."""
        deadline = time.monotonic() + patience_s
        while (found := self._left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def lock_is_free(self) -> bool:
        """Whether nobody holds the board's lock."""
        with (self.base / "lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True

    def _left(self) -> list[str]:
        return [*self.processes().values(), *map(str, (self.base / "runs").rglob("*"))]

    def _servers(self) -> set[int]:
        """The listening sshd, and one or two for each login."""
        if self.process is None or self.process.poll() is not None:
            return set()
        own = self.process.pid
        return {pid for pid in _pids() if _name(pid).startswith("sshd") and own in _line_of_descent(pid)}


def _program() -> str:
    places = "/usr/sbin:/usr/local/sbin:/usr/bin"
    found = shutil.which("sshd", path=places)
    if found is None:
        apt_install(["openssh-server"])
        found = shutil.which("sshd", path=places)
    if found is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        raise Unavailable("no OpenSSH (sudo apt install openssh-server openssh-client)")
    return found


def python() -> Path:
    """The interpreter of a virtual environment with tflite-runtime and numpy 1, made once for each set of packages."""
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


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


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
