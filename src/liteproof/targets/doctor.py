"""`liteproof doctor TARGET`: everything about a target in one look, and a virtual environment made there if asked for.

    >>> import sys
    >>> examination = examine(Target("here", python=sys.executable))
    >>> examination.text.splitlines()[0], examination.ready
    ('here', True)

Wheels are picked here for the target's machine and Python and sent over, so the target needs no network of its own, no
pip and no `python3-venv`. They go into liteproof's own folder there and nowhere else.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from liteproof.errors import TargetError, UsageError
from liteproof.plan import Target
from liteproof.report.wording import size
from liteproof.store import file_sha256
from liteproof.targets import preflight
from liteproof.targets.preflight import Facts
from liteproof.targets.transport import Line, open_line

SURVEY_S = 60.0
INSTALL_S = 1800.0
DOWNLOAD_S = 900.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Examination:
    """What a survey found, as text for a person, and whether the target can judge."""

    text: str
    ready: bool


def examine(target: Target) -> Examination:
    """Reach a target and tell all about it.

    Raises:
        TargetError: It cannot be reached.
    """
    with open_line(target) as line:
        facts = look(line)
    now = time.time()
    return Examination(preflight.describe(target, facts, now), not preflight.problems(target, facts, now))


def look(line: Line) -> Facts:
    """A survey over an open line."""
    line.send("survey", packages=preflight.packages_asked())
    event = line.receive(SURVEY_S)
    if event is None or event.name != "surveyed":
        raise line.trouble("no answer to a survey")
    facts: Facts = event["facts"]
    return facts


def install(target: Target, say: Say) -> None:
    """Make liteproof's own virtual environment on a board, with all that the suites need there.

    Args:
        target: Reached over ssh. Its `python`, or python3, is what the environment is made from.
        say: Hears what happens.

    Raises:
        UsageError: The target is a Python on this machine, which is its owner's.
        TargetError: The board cannot be reached, its Python is too old, there is no wheel for it, or pip fails there.
    """
    if target.ssh is None:
        raise UsageError(
            f"{target.name} is a Python on this machine",
            expected="a target with ssh = …",
            next=f"liteproof doctor {target.name} names the command that installs what it lacks",
        )
    with (
        open_line(replace(target, python=target.python or "python3")) as line,
        tempfile.TemporaryDirectory(prefix="liteproof-") as folder,
    ):
        facts = look(line)
        if tuple(facts["python"][:2]) < preflight.PYTHON:
            raise TargetError(
                f"{target.name}: Python {'.'.join(map(str, facts['python']))} is too old",
                expected="Python 3.11 or newer: Raspberry Pi OS bookworm or later",
            )
        wanted = preflight.requirements(target, facts)
        python = f"Python {facts['python'][0]}.{facts['python'][1]}"
        say(f"picking wheels for {_machine(facts)}, {python}: {', '.join(wanted)}")
        wheels = download(facts, wanted, Path(folder))
        _take_lock(line, target)
        _send(line, target, wheels, say)
        _run(line, target, _commands(wheels, wanted), say)
    if target.python is not None:
        say(f"leave out python = … of [{target.name}] in targets.toml, and the environment just made is used")


def download(facts: Facts, wanted: Sequence[str], folder: Path) -> list[Path]:
    """Pick wheels for another machine, with this machine's pip and its settings.

    Raises:
        TargetError: There is no wheel, or no pip here.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--dest", str(folder)]
    command += ["--only-binary=:all:", *_tags(facts), "pip", *wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"wheels cannot be picked: {error}", where="pip download", transient=True) from error
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise TargetError(
            f"no wheels for {_machine(facts)} and Python {facts['python'][0]}.{facts['python'][1]}",
            where=last[-1] if last else "pip download",
            next='another runtime: runtime = "ai_edge_litert" or "tflite_runtime" in targets.toml',
        )
    return sorted(folder.glob("*.whl"))


def _machine(facts: Facts) -> str:
    """The machine as wheels name it: a 64-bit kernel may carry a 32-bit system."""
    machine = str(facts["machine"])
    return "armv7l" if machine == "aarch64" and facts["bits"] == 32 else machine


def _tags(facts: Facts) -> list[str]:
    """Options that tell pip which wheels run there: pip takes each platform literally, so every older glibc is named.

    >>> facts = {"machine": "aarch64", "bits": 64, "libc": "glibc 2.19", "python": [3, 11, 2]}
    >>> [word for word in _tags(facts) if word.startswith("manylinux")]
    ['manylinux_2_19_aarch64', 'manylinux_2_18_aarch64', 'manylinux_2_17_aarch64', 'manylinux2014_aarch64']
    """
    machine, python = _machine(facts), facts["python"]
    found = re.search(r"glibc 2\.(\d+)", str(facts.get("libc")))
    newest = int(found.group(1)) if found else 17
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
    abi = f"cp{python[0]}{python[1]}"
    words = ["--implementation", "cp", "--python-version", f"{python[0]}.{python[1]}"]
    for name in (abi, "abi3", "none"):
        words += ["--abi", name]
    for platform in platforms:
        words += ["--platform", platform]
    return words


def _take_lock(line: Line, target: Target) -> None:
    line.send("lock", run=secrets.token_hex(8), who="liteproof doctor --install")
    event = line.receive(SURVEY_S)
    if event is None or event.name != "locked":
        holder = event.facts.get("who", "somebody") if event else "nobody answered"
        raise TargetError(f"{target.name} is busy", where=f"held by {holder}", next="wait until that run is over")


def _send(line: Line, target: Target, wheels: Sequence[Path], say: Say) -> None:
    """Send what an installation that was cut short has not left there already."""
    files = [{"path": f"wheels/{w.name}", "sha256": file_sha256(w), "bytes": w.stat().st_size} for w in wheels]
    line.send("need", files=files, most_bytes=target.cache_bytes)
    needed = line.receive(INSTALL_S)
    if needed is None or needed.name != "needed":
        raise TargetError(f"{target.name}: no room was made", where=str(needed.facts if needed else "no answer"))
    missing = [wheel for wheel in wheels if f"wheels/{wheel.name}" in needed["missing"]]
    say(f"sending {len(missing)} wheels, {size(sum(wheel.stat().st_size for wheel in missing))}")
    for wheel in missing:
        line.put(f"wheels/{wheel.name}", file_sha256(wheel), wheel.read_bytes())
        event = line.receive(SURVEY_S)
        if event is None or event.name != "stored":
            raise TargetError(
                f"{wheel.name} was not taken", where=str(event.facts.get("text") if event else "no answer")
            )


def _commands(wheels: Sequence[Path], wanted: Sequence[str]) -> list[list[str]]:
    """The steps over there. The installer runs out of its own wheel, so no `python3-venv` is needed there."""
    pip = next(wheel.name for wheel in wheels if wheel.name.startswith("pip-"))
    python = "{base}/venv/bin/python"
    return [
        ["{python}", "-m", "venv", "--clear", "--without-pip", "{base}/venv"],
        [
            python, f"{{base}}/wheels/{pip}/pip", "install", "--no-index", "--find-links", "{base}/wheels",
            "--no-cache-dir", "--disable-pip-version-check", "--no-input", "pip", *wanted,
        ],
        ["rm", "-rf", "{base}/wheels"],
    ]  # fmt: skip


def _run(line: Line, target: Target, commands: list[list[str]], say: Say) -> None:
    line.send("install", commands=commands, deadline_s=INSTALL_S)
    said: list[str] = []
    deadline = time.monotonic() + INSTALL_S + SURVEY_S
    while time.monotonic() < deadline:
        event = line.receive(10)
        if event is None:
            continue
        if event.name == "said":
            said.append(event["line"])
            say(f"{target.name}: {event['line']}")
        elif event.name == "installed" and event["status"] == 0:
            return
        else:
            raise TargetError(
                f"{target.name}: the installation failed with status {event.facts.get('status')}",
                where=" ".join(said[-2:]) or str(event.facts.get("text", "")),
                next=f"ssh {target.ssh} df -h",
            )
    raise line.trouble("the installation did not end")
