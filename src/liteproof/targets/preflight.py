"""Whether a target can judge at all: what the survey found, against what the suites need; and how to make up for it.

>>> facts = {"python": [3, 9, 2], "packages": {}, "bits": 64, "time": 0.0, "executable": "python3"}
>>> [problem.partition(":")[0] for problem in problems(Target("pi", ssh="pi@pi"), facts, now=0.0)]
['Python 3.9.2', 'not installed']
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from liteproof.errors import TargetError
from liteproof.plan import Target
from liteproof.report.wording import size
from liteproof.targets.cache import SPARE_BYTES
from liteproof.tflite.op_versions import lacking
from liteproof.tflite.reader import OperatorCode

Facts = Mapping[str, Any]

PYTHON = (3, 11)
# What the suites import on a target, with the oldest release that will do; a runtime comes on top.
NEEDED: Mapping[str, str] = {
    "numpy": "1.23.2",
    "pytest": "8.3",
    "pytest-benchmark": "5.1",
    "msgspec": "0.19",
    "flatbuffers": "24.3",
    "tflite": "2.18.0",
}
RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "ai_edge_litert": ("ai-edge-litert", "ai-edge-litert-nightly"),
    "tflite_runtime": ("tflite-runtime", "tflite-runtime-nightly"),
    "tensorflow": ("tensorflow",),
}
# Waivers run out by the day, and certificates too: a clock that is this far off judges wrongly.
MOST_SKEW_S = 24 * 3600.0
LEAST_MEMORY_BYTES = 100 << 20

_THROTTLING = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "at the soft temperature limit"}


def require(target: Target, facts: Facts, now: float) -> None:
    """Refuse a target that cannot judge.

    Raises:
        TargetError: with everything that is wrong, at once, and the command that installs what is missing.
    """
    found = problems(target, facts, now)
    if found:
        raise TargetError(
            f"{target.name} cannot judge: " + "; ".join(found),
            expected=f"Python {PYTHON[0]}.{PYTHON[1]} or newer with " + ", ".join(NEEDED) + ", and a runtime",
            where=f"{target.ssh or 'this machine'}, {facts.get('executable')}",
            next=cure(target, facts),
        )


def problems(target: Target, facts: Facts, now: float) -> list[str]:
    """What keeps a target from judging, in a few words each."""
    found = []
    python = tuple(facts["python"])
    if python[:2] < PYTHON:
        found.append(f"Python {'.'.join(map(str, python))}: too old")
    missing, old = lacking_packages(target, facts)
    if missing:
        found.append("not installed: " + ", ".join(missing))
    if old:
        found.append("too old: " + ", ".join(old))
    packages = facts["packages"]
    if runtime_of(target, facts)[0] == "tflite_runtime" and _version(packages.get("numpy", "1")) >= (2,):
        found.append(f"tflite-runtime is built against numpy 1, and numpy {packages['numpy']} is installed")
    skew = facts["time"] - now
    if abs(skew) > MOST_SKEW_S:
        found.append(f"its clock is {_days(skew)}: sudo timedatectl set-ntp true, or sudo date --set=…")
    free = facts.get("disk_free_bytes")
    if free is not None and free + facts.get("cache_bytes", 0) < SPARE_BYTES:  # the cache gives way to what is needed
        found.append(f"the disk is full: {size(free)} free")
    if (facts.get("memory_free_bytes") or LEAST_MEMORY_BYTES) < LEAST_MEMORY_BYTES:
        found.append(f"memory is short: {size(facts['memory_free_bytes'])} free")
    return found


def lacking_packages(target: Target, facts: Facts) -> tuple[list[str], list[str]]:
    """Packages that are missing, and those that are too old, as a person reads them."""
    packages = facts["packages"]
    missing = [name for name in NEEDED if name not in packages]
    old = [
        f"{name} {packages[name]} (wants {least})"
        for name, least in NEEDED.items()
        if name in packages and _version(packages[name]) < _version(least)
    ]
    if not runtime_of(target, facts)[1]:
        missing.append(target.runtime.replace("_", "-") if target.runtime else "a runtime")
    return missing, old


def runtime_of(target: Target, facts: Facts) -> tuple[str, str]:
    """Name and version of the runtime that will judge there; ("", "") if there is none."""
    for name, distributions in RUNTIMES.items():
        if target.runtime in (None, name):
            for distribution in distributions:
                if distribution in facts["packages"]:
                    return name, facts["packages"][distribution]
    return target.runtime or "", ""


def requirements(target: Target, facts: Facts) -> list[str]:
    """What pip is asked for. tflite-runtime ends with Python 3.11, and wants numpy 1; 32-bit Arm has nothing else."""
    python = tuple(facts["python"])[:2]
    runtime = target.runtime or ("tflite_runtime" if facts.get("bits") == 32 else "ai_edge_litert")
    numpy = "numpy<2" if runtime == "tflite_runtime" else f"numpy>={NEEDED['numpy']}"
    wanted = {
        "tflite_runtime": "tflite-runtime==2.14.0",
        "ai_edge_litert": "ai-edge-litert>=2.1",
        "tensorflow": "tensorflow",
    }
    if runtime == "tflite_runtime" and python > (3, 11):
        raise TargetError(
            f"{target.name}: tflite-runtime has no wheel for Python {python[0]}.{python[1]}",
            expected="Python 3.11, or the runtime ai_edge_litert",
            next='runtime = "ai_edge_litert" in targets.toml',
        )
    return [numpy, *(f"{name}>={least}" for name, least in NEEDED.items() if name != "numpy"), wanted[runtime]]


def cure(target: Target, facts: Facts) -> str:
    """The exact command that installs what is missing."""
    if not any(lacking_packages(target, facts)):
        return f"liteproof doctor {target.name}"
    if target.python is None:
        return f"liteproof doctor {target.name} --install"
    try:
        wanted = requirements(target, facts)
    except TargetError as error:
        return error.next
    pip = shlex.join([str(facts["executable"]), "-m", "pip", "install", *wanted])
    return f"ssh {target.ssh} {shlex.quote(pip)}" if target.ssh else pip


def _here(target: Target) -> str:
    return "this machine" if target.name == "host" else "this machine, another Python"


def describe(target: Target, facts: Facts, now: float) -> str:
    """All that is known of a target, line by line, and what is wrong with it."""
    runtimes = {
        name: version for names in RUNTIMES.values() for name in names if (version := facts["packages"].get(name))
    }
    name, version = runtime_of(target, facts)
    lines = {
        "reached": f"{target.ssh}, host key known" if target.ssh else _here(target),
        "board": facts.get("model") or "unknown model",
        "machine": f"{facts['machine']}, {facts['bits']} bit, {facts.get('cores')} cores, {facts.get('system')}, "
        f"{facts.get('distribution') or 'unknown distribution'}",
        "emulated": facts.get("emulated") or "no sign of it",
        "python": f"{'.'.join(map(str, facts['python']))}, {facts['executable']}",
        "runtimes": ", ".join(f"{name} {version}" for name, version in runtimes.items()) or "none",
        "judges with": f"{name} {version}" if version else "nothing",
        "packages": ", ".join(f"{name} {facts['packages'].get(name, 'MISSING')}" for name in NEEDED),
        "memory": f"{_size(facts.get('memory_free_bytes'))} free of {_size(facts.get('memory_bytes'))}",
        "disk": f"{_size(facts.get('disk_free_bytes'))} free",
        "cache": f"{size(facts.get('cache_bytes', 0))} of {size(target.cache_bytes)}, {facts.get('cache_folder')}",
        "clock": _skew(facts["time"] - now),
        "governor": ", ".join(facts.get("governors") or ()) or "unknown",
        "temperature": "unknown" if facts.get("temperature_c") is None else f"{facts['temperature_c']:.1f} °C",
        "throttling": throttling(facts.get("throttled")),
    }
    text = "\n".join(f"  {label + ':':<13} {value}" for label, value in lines.items())
    found = problems(target, facts, now)
    ending = ["ready"] if not found else [*(f"WRONG: {problem}" for problem in found), f"next: {cure(target, facts)}"]
    advice = [f"note: {line}" for line in notes(target, facts)]
    return "\n".join([target.name, text, *(f"  {line}" for line in (*advice, *ending))])


def lacking_operators(target: Target, facts: Facts, operators: Mapping[str, Sequence[OperatorCode]]) -> list[str]:
    """What files list that the target's runtime lacks: known before anything is sent.

    Args:
        target: Where.
        facts: Its survey.
        operators: Of each file under judgement, by its name.
    """
    name, version = runtime_of(target, facts)
    found = []
    for file, codes in operators.items():
        missing = [f"{code.name} version {code.version}" for code in codes if lacking(code, name, version)]
        if missing:
            found.append(f"{file} needs {', '.join(missing)}, which {name} {version} lacks")
    return found


def notes(target: Target, facts: Facts) -> list[str]:
    """What does not keep a target from judging, and makes its times worse."""
    found = []
    if any(governor not in ("performance", "") for governor in facts.get("governors") or ()):
        found.append("the CPU governor changes the clock with the load: times vary (cpufreq-set -g performance)")
    bits = facts.get("throttled") or 0
    if bits & 0xF:
        found.append("it is throttled now: times will be UNMEASURED")
    elif bits >> 16 & 0xF:
        found.append("it has been throttled since boot: look at cooling and power supply")
    if facts.get("emulated") and target.rehearsal:
        found.append("times mean nothing on an emulated processor: they are recorded, and gate nothing (rehearsal)")
    elif facts.get("emulated"):
        found.append("times mean nothing on an emulated processor: set rehearsal = true, or they are UNMEASURED")
    return found


def throttling(bits: int | None) -> str:
    """`vcgencmd get_throttled` in words.

    >>> throttling(0x50001)
    'now: under-voltage; since boot: under-voltage, throttled'
    """
    if bits is None:
        return "unknown: no vcgencmd"
    now = [text for bit, text in _THROTTLING.items() if bits >> bit & 1]
    since = [text for bit, text in _THROTTLING.items() if bits >> (16 + bit) & 1]
    return f"now: {', '.join(now) or 'no'}; since boot: {', '.join(since) or 'no'}"


def summary(facts: Facts) -> dict[str, object]:
    """What a report tells of a target's machine beside what its Python tells."""
    kept = (
        "model",
        "distribution",
        "hostname",
        "cores",
        "memory_bytes",
        "governors",
        "temperature_c",
        "throttled",
        "emulated",
    )
    return {name: facts[name] for name in kept if facts.get(name) not in (None, "", [])}


def packages_asked() -> Sequence[str]:
    """Distributions that a survey is to look for, beside the runtimes."""
    return list(NEEDED)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _size(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 1e9:.3g} GB"


def _days(seconds: float) -> str:
    return f"{abs(seconds) / 86400:.0f} days {'ahead' if seconds > 0 else 'behind'}"


def _skew(seconds: float) -> str:
    return "right" if abs(seconds) < 2 else f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"
