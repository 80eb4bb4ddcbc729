"""A Raspberry Pi without a Raspberry Pi: Debian for arm64 and its own sshd, run by qemu on this machine.

    python -m tests.boards.emulated_pi up        # start it, and say how it is reached
    python -m tests.boards.emulated_pi down
    python -m tests.boards.emulated_pi run -x    # pytest --target=emulated-pi -x, on a board of its own

What runs there are real aarch64 binaries: bash, sshd, Python, numpy, tflite-runtime. Built once, from nothing in under
two minutes, and kept in the user's cache folder:

1. Debian packages for arm64, unpacked by `mmdebstrap` from the machine's own package sources (no maintainer script
   runs, so nothing needs to be emulated while building);
2. wheels for aarch64, laid out by this machine's pip;
3. `binfmt_misc` told to run aarch64 programs by qemu (this holds for the whole machine, until it is rebooted).

A started board is an sshd in its own mount, process and host name namespaces (`emulated_pi_init.sh`): a read-only
system, shared by all such boards, and a home folder of its own. Needs root on Debian or Ubuntu.

Its answers are an Arm processor's. Its times are not, and it says so: its device tree's model has EMULATED in it, and
the target is a rehearsal.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import py_compile
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.boards import board as boards
from tests.boards import vcgencmd
from tests.boards.board import Board, Unavailable

NAME = "emulated-pi"
PYTHON = "/opt/venv/bin/python"
_SUITE = "bookworm"
_SITE = "opt/venv/lib/python3.11/site-packages"
_USER = 1000
_START_S = 60.0
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_QEMU = Path("/usr/bin/qemu-aarch64-static")
# What an image of Raspberry Pi OS Lite has of what we need, and no more.
_PACKAGES = [
    "base-files", "base-passwd", "bash", "coreutils", "dash", "diffutils", "findutils", "grep", "hostname", "gzip",
    "libc-bin", "libc6", "libgomp1", "libpython3-stdlib", "libstdc++6", "login", "mawk", "openssh-client",
    "openssh-server", "passwd", "procps", "python3", "python3-pip-whl", "python3-setuptools-whl", "python3-venv",
    "sed", "tar", "util-linux",
]  # fmt: skip
_TOOLS = {"mmdebstrap": "mmdebstrap", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
# bookworm has glibc 2.36.
_TAGS = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37))]


@dataclass(frozen=True)
class Processor:
    """A processor as qemu and Linux name it.

    `qemu` must be named: the default of qemu 7.2, `max`, computes wrong int8 results under XNNPACK.
    """

    qemu: str
    model: str
    features: str
    variant: str
    part: str
    revision: str


CORTEX_A72 = Processor(
    "cortex-a72", "Raspberry Pi 4 Model B (EMULATED by qemu-user)", "fp asimd evtstrm crc32 cpuid", "0x0", "0xd08", "3"
)


class EmulatedPi:
    """An emulated board that can be started, stopped, frozen and cut off from power. Its home and its port stay."""

    def __init__(self, folder: Path, processor: Processor = CORTEX_A72) -> None:
        """Prepare a board in a folder that is its own; the system is built if the cache has none.

        Raises:
            Unavailable: if this machine cannot have one.
        """
        self.folder = folder
        self.log = folder / "sshd.log"
        self._processor = processor
        self._process: subprocess.Popen[bytes] | None = None
        self._root = build()
        home, settings = folder / "home", folder / "settings"
        for each in (home, settings / "bin"):
            each.mkdir(parents=True, exist_ok=True)
        os.chown(home, _USER, _USER)
        boards.make_keys(folder, "host_key", "client_key")
        self.firmware = vcgencmd.install(settings / "bin")
        self.board: Board = boards.describe(
            NAME, folder, port=boards.free_port(), user="pi", python=PYTHON, home=home, rehearsal=True
        )
        self._configure(settings)

    def _configure(self, settings: Path) -> None:
        shutil.copy(self.folder / "client_key.pub", settings / "authorized_keys")
        shutil.copy(self.folder / "host_key", settings / "host_key")
        (settings / "sshd_config").write_text(
            f"""\
ListenAddress 127.0.0.1:{self.board.port}
HostKey /run/board/host_key
AuthorizedKeysFile /run/board/authorized_keys
PidFile none
StrictModes no
UsePAM no
AllowUsers pi
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
UseDNS no
LoginGraceTime 60
MaxStartups 50
MaxSessions 50
SetEnv QEMU_CPU={self._processor.qemu} PATH=/run/board/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8
Subsystem sftp internal-sftp
""",
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.power_cut()

    def start(self) -> None:
        """Switch it on and wait until its sshd greets.

        Raises:
            Unavailable: if it does not.
        """
        register_binfmt()
        processor = self._processor
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "QEMU_CPU": processor.qemu,
            "ROOT": str(self._root),
            "HOME_DIR": str(self.board.home),
            "SETTINGS": str(self.folder / "settings"),
            "MODEL": processor.model,
            "FEATURES": processor.features,
            "VARIANT": processor.variant,
            "PART": processor.part,
            "REVISION": processor.revision,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_UNSHARE, "bash", str(Path(__file__).with_name("emulated_pi_init.sh"))],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not boards.answers(self.board.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.power_cut()
                raise Unavailable(f"the board does not start: {self.log.read_text(errors='replace').strip()[-500:]}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """The process whose end is the board's."""
        return self._process.pid if self._process else 0

    def power_cut(self) -> None:
        """End all that runs there at once. The home folder stays, as a card does."""
        if self._process is None:
            return
        alive = self.processes()
        self._process.kill()  # unshare's --kill-child takes the rest along
        self._process.wait()
        while any(boards.command_line(pid) for pid in alive):
            time.sleep(0.01)

    def freeze(self) -> None:
        """Stop all that runs there; the kernel, which is this machine's, still takes connections."""
        boards.send_signal(self.processes(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all that was frozen go on."""
        boards.send_signal(self.processes(), signal.SIGCONT)

    def processes(self) -> list[int]:
        """This machine's ids of the processes that run there."""
        own = _namespace(self._first_process())
        everybody = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in everybody if own and _namespace(pid) == own]

    def programs(self) -> dict[int, str]:
        """Process id and command line of what runs there, sshd's own processes left out. qemu shows in each."""
        lines = {pid: boards.command_line(pid) for pid in self.processes()}
        return {pid: line for pid, line in lines.items() if line and "sshd" not in line}

    def put(self, path: str, content: bytes) -> None:
        """Write a file below the home folder, owned by its user."""
        file = self.board.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        for each in (file, *file.parents[: len(Path(path).parts) - 1]):
            os.chown(each, _USER, _USER)

    def _first_process(self) -> int:
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return int(children[0]) if children else 0


_UNSHARE = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--"]


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


# --- Building the system ---------------------------------------------------------------------------------------------


def build() -> Path:
    """The board's system, made if the cache has none: the folder that becomes its root.

    Raises:
        Unavailable: if this machine cannot make one.
    """
    require_machine()
    wanted = boards.requirements()

    def make(root: Path) -> None:
        install_tools()
        unpack_debian(root)
        lay_out_system(root)
        lay_out_venv(root, wanted)

    return boards.built("emulated-pi", {"packages": _PACKAGES, "wheels": wanted, "layout": 1}, make)


def require_machine() -> None:
    """Refuse a machine that cannot have an emulated board.

    Raises:
        Unavailable: with the reason.
    """
    if platform.machine() != "x86_64":
        raise Unavailable(f"this machine is {platform.machine()}; the board is made for x86_64")
    if os.geteuid() != 0:
        raise Unavailable("not root, which namespaces, mounts and binfmt_misc want")
    if shutil.which("apt-get") is None:
        raise Unavailable("there is no apt-get: not Debian or Ubuntu")
    done = subprocess.run([*_UNSHARE, "mount", "--make-rprivate", "/"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"no namespaces of its own: {done.stderr.strip()}")


def install_tools() -> None:
    """Install what building and running want, where it is missing."""
    needed = {package for tool, package in _TOOLS.items() if shutil.which(tool) is None}
    if not _QEMU.exists() and not (_BINFMT / "qemu-aarch64").exists():
        needed.add("qemu-user-static")
    if _own_sources() is None and not _ARCHIVE_KEYS.exists():
        needed.add("debian-archive-keyring")
    if needed:
        boards.apt_install(sorted(needed))


def register_binfmt() -> None:
    """Have the kernel run aarch64 programs by qemu, if it does not yet.

    Raises:
        Unavailable: if it will not.
    """
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", _BINFMT], capture_output=True, check=False)
    entry = _BINFMT / "qemu-aarch64"
    try:
        if not entry.exists():
            if not _QEMU.exists():
                boards.apt_install(["qemu-user-static"])
            if not entry.exists():  # its installation registers it where systemd runs
                line = Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_bytes()
                (_BINFMT / "register").write_bytes(line)
        flags = entry.read_text(encoding="ascii").partition("flags:")[2].split()[0]
    except OSError as error:
        raise Unavailable(f"binfmt_misc does not take qemu-aarch64: {error}") from error
    if "F" not in flags:
        raise Unavailable(
            f"binfmt_misc has qemu-aarch64 with flags {flags}, without F: it is not found in another root"
        )


_ARCHIVE_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def _own_sources() -> str | None:
    """The machine's own package sources, if they are of the same suite: they name its mirror."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if path.exists() and _SUITE in path.read_text(encoding="utf-8"):
            return str(path)
    return None


def unpack_debian(root: Path) -> None:
    """Unpack packages for arm64, without what is never read."""
    sources = _own_sources() or f"deb [signed-by={_ARCHIVE_KEYS}] http://deb.debian.org/debian {_SUITE} main"
    # Since Debian merged them, /bin, /lib and /sbin must lead into /usr before the first package is unpacked.
    merged_usr = 'mkdir -p "$1/usr"; for d in bin sbin lib; do mkdir -p "$1/usr/$d"; ln -s usr/$d "$1/$d"; done'
    _run(
        "unpacking Debian",
        "mmdebstrap",
        "--quiet",
        "--architectures=arm64",
        "--variant=extract",
        "--format=directory",
        f"--include={','.join(_PACKAGES)}",
        f"--setup-hook={merged_usr}",
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")),
        _SUITE,
        str(root),
        sources,
    )


def lay_out_system(root: Path) -> None:
    """What the packages' maintainer scripts would have done, as far as it is needed, and what is mounted over."""
    etc = root / "etc"
    users = (root / "usr/share/base-passwd/passwd.master").read_text(encoding="utf-8")
    groups = (root / "usr/share/base-passwd/group.master").read_text(encoding="utf-8")
    users += "sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n" + f"pi:x:{_USER}:{_USER}::/home/pi:/bin/bash\n"
    shadow = "".join(f"{line.split(':')[0]}:*:20000:0:99999:7:::\n" for line in users.splitlines())
    files: Mapping[str, str] = {
        "passwd": users,
        "group": f"{groups}pi:x:{_USER}:\n",
        "shadow": shadow,
        "hostname": "emulated-pi\n",
        "hosts": "127.0.0.1 localhost emulated-pi\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    }
    for name, text in files.items():
        (etc / name).write_text(text, encoding="utf-8")
    (etc / "shadow").chmod(0o640)
    awk = root / "usr/bin/awk"
    if not awk.is_symlink():
        awk.symlink_to("mawk")
    for folder in ("home/pi", "run", "tmp", "proc", "sys", "dev"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def lay_out_venv(root: Path, wanted: Sequence[str]) -> None:
    """A virtual environment under /opt/venv. This machine's pip unpacks wheels for aarch64; nothing is compiled."""
    venv, site = root / "opt/venv", root / _SITE
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n", encoding="ascii")
    (venv / "bin/python").symlink_to("/usr/bin/python3.11")
    (venv / "bin/python3").symlink_to("python")
    platforms = [f"--platform={tag}" for tag in _TAGS]
    _run(
        "laying out wheels for aarch64",
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311", "--abi=abi3"),
        *("--abi=none", *platforms, "--root-user-action=ignore", f"--target={site}"),
        *wanted,
    )
    if sys.version_info[:2] == (3, 11):  # the board cannot write bytecode, and is slow to do without
        for library in (root / "usr/lib/python3.11", site):
            compileall.compile_dir(
                library,
                quiet=2,
                stripdir=str(root),
                prependdir="/",
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )


def _run(what: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise Unavailable(f"{what} failed: {done.stderr.strip()[-500:]}")


# --- From the command line -------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """`up`, `down`, or `run` with pytest's arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.boards.emulated_pi", description="An emulated Raspberry Pi.")
    parser.add_argument("do", choices=("up", "down", "run"))
    chosen, rest = parser.parse_known_args(arguments)
    folder = boards.cache() / NAME
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return {"up": _up, "down": _down, "run": _pytest}[chosen.do](folder, rest)
    except Unavailable as reason:
        print(f"no emulated board on this machine: {reason}", file=sys.stderr)  # noqa: T201
        return 1


def _up(folder: Path, rest: Sequence[str]) -> int:
    _down(folder, rest)
    pi = EmulatedPi(folder)
    pi.start()
    (folder / "pid").write_text(str(pi.pid), encoding="ascii")
    board = pi.board
    setting = " ".join(f"{name}='{value}'" for name, value in board.environment.items())
    print(f"ssh -F {board.ssh_config} {NAME}")  # noqa: T201
    print(f"{setting} pytest --target={NAME} --targets={board.targets_toml}")  # noqa: T201
    return 0


def _down(folder: Path, _: Sequence[str]) -> int:
    note = folder / "pid"
    if note.exists():
        pid = int(note.read_text(encoding="ascii"))
        if "unshare" in boards.command_line(pid):
            boards.send_signal([pid], signal.SIGKILL)
        note.unlink()
    return 0


def _pytest(folder: Path, rest: Sequence[str]) -> int:
    _down(folder, ())
    with EmulatedPi(folder) as pi:
        command = [sys.executable, "-m", "pytest", f"--target={NAME}", f"--targets={pi.board.targets_toml}", *rest]
        return subprocess.run(command, env={**os.environ, **pi.board.environment}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
