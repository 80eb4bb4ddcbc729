"""A board as a test sees it: how it is reached, and what runs there.

>>> board.ssh("uname", "-m").stdout                                               # doctest: +SKIP
'aarch64\\n'
>>> line = open_line(board.target)      # with os.environ.update(board.environment)   # doctest: +SKIP
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs
from filelock import FileLock

from liteproof.plan import Target
from liteproof.store import digest_of

ROOT = Path(__file__).parents[2]
# What the boards of the tests have: the runtime of most boards out there, with the last numpy that it works with.
RUNTIME = ("tflite-runtime==2.14.0", "numpy==1.26.4")
_KEPT_S = 30 * 86400.0


class Unavailable(Exception):
    """This machine cannot have such a board; says why."""


@dataclass(frozen=True)
class Board:
    """How a board is reached.

    Attributes:
        name: The target's name, and its `Host` in `ssh_config`.
        ssh_config: For `ssh -F`: key, port, and the host key that is expected.
        port: Where its sshd listens on loopback.
        python: Its interpreter, as a path over there.
        home: Its home folder, as a path here.
        targets_toml: For `--targets`: it defines this target.
        rehearsal: Whether it is emulated.
    """

    name: str
    ssh_config: Path
    port: int
    python: str
    home: Path
    targets_toml: Path
    rehearsal: bool = False

    @property
    def target(self) -> Target:
        """As `targets.toml` defines it."""
        return Target(self.name, ssh=self.name, python=self.python, runtime="tflite_runtime", rehearsal=self.rehearsal)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a controller needs in its environment to reach it."""
        return {"LITEPROOF_SSH": shlex.join(["ssh", "-F", str(self.ssh_config)])}

    def ssh(self, *words: str, timeout_s: float = 60.0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command over there, with OpenSSH's client."""
        command = ["ssh", "-F", str(self.ssh_config), self.name, shlex.join(words)]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)

    def behind(self, port: int) -> Board:
        """The same board reached through another port, a proxy's."""
        text = self.ssh_config.read_text(encoding="utf-8").replace(f"  Port {self.port}\n", f"  Port {port}\n")
        config = self.ssh_config.with_name(f"ssh_config-{port}")
        config.write_text(text, encoding="utf-8")
        return replace(self, ssh_config=config, port=port)


def describe(name: str, folder: Path, *, port: int, user: str, python: str, home: Path, rehearsal: bool) -> Board:
    """Write a board's `ssh_config`, `known_hosts` and `targets.toml`; its keys are in the folder already.

    The host key is known by the board's name, so it holds behind a proxy too.
    """
    host_key = (folder / "host_key.pub").read_text(encoding="ascii").split()[:2]
    (folder / "known_hosts").write_text(f"{name} {' '.join(host_key)}\n", encoding="ascii")
    (folder / "ssh_config").write_text(
        f"""\
Host {name}
  HostName 127.0.0.1
  Port {port}
  User {user}
  HostKeyAlias {name}
  HostKeyAlgorithms ssh-ed25519
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  IdentityFile "{folder}/client_key"
  IdentitiesOnly yes
  IdentityAgent none
  BatchMode yes
""",
        encoding="utf-8",
    )
    (folder / "targets.toml").write_text(
        f'[{name}]\nssh = "{name}"\npython = "{python}"\nruntime = "tflite_runtime"\n'
        + ("rehearsal = true\n" if rehearsal else ""),
        encoding="utf-8",
    )
    return Board(name, folder / "ssh_config", port, python, home, folder / "targets.toml", rehearsal)


def make_keys(folder: Path, *names: str) -> None:
    """Keys of these names, once."""
    for name in names:
        if not (folder / name).exists():
            path = str(folder / name)
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"liteproof {name}", "-f", path]
            subprocess.run(command, check=True)


def requirements() -> list[str]:
    """What pip is asked for on a board: liteproof's own requirements, as pyproject.toml states them, and a runtime."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *RUNTIME]


def cache() -> Path:
    """Where boards are kept between runs."""
    return platformdirs.user_cache_path("liteproof") / "boards"


def built(kind: str, recipe: Mapping[str, object], build: Callable[[Path], None]) -> Path:
    """The folder in the cache that `build` fills from this recipe, once. What nobody used for a month is dropped."""
    folder = cache() / f"{kind}-{digest_of(recipe)[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    complete = folder / "complete"
    with FileLock(f"{folder}.lock"):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
        complete.touch()
    for other in cache().glob(f"{kind}-*/complete"):
        if time.time() - other.stat().st_mtime > _KEPT_S:
            shutil.rmtree(other.parent)
    return folder


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether an sshd greets on this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return False


def apt_install(packages: Iterable[str]) -> None:
    """Install Debian packages.

    Raises:
        Unavailable: if that is not possible here.
    """
    wanted = list(packages)
    if os.geteuid() != 0:
        raise Unavailable(f"not root, and not installed: {', '.join(wanted)} (sudo apt install {' '.join(wanted)})")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted]
    last = ""
    for command in (install, ["apt-get", "update", "-qq"], install):  # lists may be missing, or may be old
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"apt-get does not work here: {error}") from error
        if command is install and done.returncode == 0:
            return
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    raise Unavailable(f"apt-get cannot install {', '.join(wanted)}: {last}")


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those of these processes that still are."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def command_line(pid: int) -> str:
    """A process's command line; "" if it is gone or is a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
