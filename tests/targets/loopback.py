"""A second sshd on this machine: the everyday board. Loopback only, an unprivileged port, keys and folders of its own.

    with Sshd(tmp_path) as board:
        target = Target("pi", ssh=board.host, python=sys.executable)

No root is needed. What logs in finds a home folder of its own, so that nothing of the tests' user is read or written;
`LITEPROOF_SSH` has to hold `board.client`, which brings the keys.
"""

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HOST = "liteproof-test-board"


def missing():
    """Why there can be no such board here; None if there can."""
    if not Path(shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "/nowhere").exists():
        return "no sshd: apt install openssh-server"
    return None if shutil.which("ssh") and shutil.which("ssh-keygen") else "no ssh: apt install openssh-client"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sshd:
    """A board under a folder. `environment` is what its logins find set."""

    host = HOST

    def __init__(self, folder, environment=None):
        self.folder = Path(folder)
        self.home = self.folder / "home"
        self.cache = self.home / ".cache"
        self.base = self.cache / "liteproof" / "board"
        self.port = free_port()
        self.environment = {"HOME": self.home, "XDG_CACHE_HOME": self.cache, **(environment or {})}
        self.process = None
        self.home.mkdir(parents=True)
        for name in ("host", "client", "stranger", "other_host"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)]
            subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
        shutil.copy(self.folder / "client.pub", self.folder / "authorized_keys")
        self.know(self.folder / "host.pub")
        self.point_at(self.port)

    def know(self, public_key):
        """Let the client know this host key, and no other."""
        words = Path(public_key).read_text().split()[:2]
        (self.folder / "known_hosts").write_text(" ".join([HOST, *words]) + "\n")

    def point_at(self, port, **options):
        """Lead the client to a port: the board's own, or that of a link with faults before it."""
        lines = {
            "HostName": "127.0.0.1",
            "Port": port,
            "User": getpass.getuser(),
            "HostKeyAlias": HOST,
            "IdentityFile": self.folder / "client",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            **options,
        }
        text = "".join(f"  {key} {value}\n" for key, value in lines.items())
        (self.folder / "ssh_config").write_text(f"Host {HOST}\n{text}")

    @property
    def client(self):
        """What `LITEPROOF_SSH` has to be."""
        return f"ssh -F {shlex.quote(str(self.folder / 'ssh_config'))}"

    def start(self, host_key="host"):
        settings = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.folder / host_key,
            "PidFile": "none",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "yes",
            "PrintMotd": "no",
            "SetEnv": " ".join(f'"{key}={value}"' for key, value in self.environment.items()),
        }
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it when it starts as root
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=log, start_new_session=True)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.02)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def kill(self):
        """A power cut: everything on the board is gone at once, and nothing says goodbye."""
        for pid in self.sessions() | {self.process.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def sessions(self):
        """Ids of the sshd processes below the listening one."""
        return {int(p.name) for p in Path("/proc").glob("[0-9]*") if self.process.pid in _ancestors(int(p.name))} & {
            int(p.name) for p in Path("/proc").glob("[0-9]*") if _name(p).startswith("sshd")
        }

    def processes(self):
        """Ids and command lines of whatever was started by a login and still runs."""
        mark = f"XDG_CACHE_HOME={self.cache}".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0") and not _name(entry).startswith("sshd"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
        return found

    def left_behind(self, patience_s=12):
        """What is still there after a run: processes, or files of the run. Waits for what is on its way out."""
        deadline = time.monotonic() + patience_s
        while (found := self._left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _left(self):
        runs = [str(path) for path in (self.base / "runs").rglob("*")] if (self.base / "runs").exists() else []
        return [*self.processes().values(), *runs]

    def lock_is_free(self):
        import fcntl

        with (self.base / "lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True


def _name(entry):
    try:
        return (entry / "comm").read_text().strip()
    except OSError:
        return ""


def _ancestors(pid):
    found = set()
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
        found.add(pid)
    return found


def command_line(entry):
    """A process's command line, given its folder below /proc."""
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
