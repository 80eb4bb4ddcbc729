"""What the machine is doing: work, clocks, heat, throttling, limits. Read, never set.

    >>> state = look()
    >>> state.cores >= 1, state.own_s > 0.0
    (True, True)

What cannot be read is None or empty, and means unknown, not fine: a board without `vcgencmd` may be throttled or not.
Whether times that were taken between two looks are sound is told by `liteproof.measure.disturbance`.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from liteproof.measure.cold_process import resident_memory

# Instructions that multiply and add 8-bit integers in one step, as /proc/cpuinfo names them (Arm first).
DOT_PRODUCT = frozenset({"asimddp", "i8mm", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8"})


@dataclass(frozen=True)
class State:
    """One look at the machine. None and empty mean that it cannot be told here.

    Attributes:
        at: Seconds on a clock that never goes back.
        cores: Cores of the machine.
        own_s: Processor time of this process and of the children that it has waited for, in seconds.
        own_memory_bytes: Memory of this process's own that is resident.
        busy_s: Processor time of everything on the machine since boot, in seconds, without `stolen_s`.
        stolen_s: Time that a hypervisor gave to other guests, in seconds.
        waited_s: Time that this thread was ready but had no core, in seconds.
        load: Load averages over 1, 5 and 15 minutes. They lag, and hold our own conversions: shown, not judged.
        governors: Of each core.
        frequencies_mhz: Of each core, now.
        temperature_c: Of the hottest zone.
        throttled: `vcgencmd get_throttled`, where there is one.
        thermal_events: How often the cores have throttled themselves for heat (x86).
        battery: Status and charge, where there is one.
        cpu_limit: Cores that a container may use.
        cpu_limit_hits: How often it was held back by that.
        memory_bytes: Memory of the machine, or of the container if that is less.
        memory_free_bytes: How much of it could still be had.
        processes: Name and processor seconds of each process by its id, where asked for.
    """

    at: float
    cores: int
    own_s: float
    own_memory_bytes: int = 0
    busy_s: float | None = None
    stolen_s: float | None = None
    waited_s: float | None = None
    load: tuple[float, ...] = ()
    governors: tuple[str, ...] = ()
    frequencies_mhz: tuple[float, ...] = ()
    temperature_c: float | None = None
    throttled: int | None = None
    thermal_events: int | None = None
    battery: str | None = None
    cpu_limit: float | None = None
    cpu_limit_hits: int | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    processes: Mapping[int, tuple[str, float]] = field(default_factory=dict)


def look(root: Path = Path("/"), *, processes: bool = False) -> State:
    """The machine as it is now. It takes about a millisecond; with `vcgencmd` or `processes` some ten.

    Args:
        root: Where `proc` and `sys` are.
        processes: Whether to note what each process has used, so that the busiest can be named.
    """
    proc, cpus = root / "proc", root / "sys/devices/system/cpu"
    busy, stolen = _processor_time(proc / "stat")
    limits = _container_limits(root)
    memory, free = _memory(proc / "meminfo", limits)
    return State(
        at=time.monotonic(),
        cores=os.cpu_count() or 1,
        own_s=own_processor_time(),
        own_memory_bytes=resident_memory(),
        busy_s=busy,
        stolen_s=stolen,
        waited_s=_waited(proc / "thread-self/schedstat"),
        load=tuple(float(word) for word in _text(proc / "loadavg").split()[:3]),
        governors=tuple(map(_text, _each_core(cpus, "cpufreq/scaling_governor"))),
        frequencies_mhz=tuple(khz / 1000 for khz in _numbers(_each_core(cpus, "cpufreq/scaling_cur_freq"))),
        temperature_c=max(
            (milli / 1000 for milli in _numbers(sorted((root / "sys/class/thermal").glob("thermal_zone*/temp")))),
            default=None,
        ),
        throttled=_get_throttled(),
        thermal_events=_sum(_numbers(_each_core(cpus, "thermal_throttle/core_throttle_count"))),
        battery=_battery(root / "sys/class/power_supply"),
        cpu_limit=limits.cores,
        cpu_limit_hits=limits.hits,
        memory_bytes=memory,
        memory_free_bytes=free,
        processes=_processes(proc) if processes else {},
    )


def instructions(root: Path = Path("/")) -> frozenset[str] | None:
    """Names of the processor's instruction sets, from /proc/cpuinfo; None where there is none."""
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(values.split())
    return None


def own_processor_time() -> float:
    """Processor seconds of this process, all threads, and of the children that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _processor_time(path: Path) -> tuple[float | None, float | None]:
    """Busy and stolen seconds. Guests' time is in `user` already; waiting for a disk is not work (proc(5))."""
    words = _text(path).partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None, None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(word) / _ticks() for word in words[1:9])
    return user + nice + system + irq + softirq, steal


def _waited(path: Path) -> float | None:
    words = _text(path).split()
    return int(words[1]) / 1e9 if len(words) == 3 else None


def _get_throttled() -> int | None:
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        done = subprocess.run([command, "get_throttled"], capture_output=True, text=True, timeout=5, check=True)
        return int(done.stdout.strip().partition("=")[2], 16)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _battery(supplies: Path) -> str | None:
    for supply in sorted(supplies.glob("*")):
        if _text(supply / "type") == "Battery":
            return f"{_text(supply / 'status').lower()}, {_text(supply / 'capacity')}%"
    return None


def _processes(proc: Path) -> dict[int, tuple[str, float]]:
    found = {}
    for path in proc.glob("[0-9]*/stat"):
        # The name stands in brackets and may hold spaces and brackets itself.
        name, _, rest = _text(path).partition("(")[2].rpartition(")")
        words = rest.split()
        if len(words) > 12:
            found[int(path.parent.name)] = (name, (int(words[11]) + int(words[12])) / _ticks())
    return found


@dataclass(frozen=True)
class _Limits:
    """What a container (control group) is held to."""

    cores: float | None = None
    hits: int | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None


def _container_limits(root: Path) -> _Limits:
    """The control group's limits, version 2 or 1. Inside a container its own group is mounted as the root."""
    groups = root / "sys/fs/cgroup"
    memory = groups / "memory"
    if (groups / "cpu.max").exists() or (groups / "memory.max").exists():
        quota, _, period = _text(groups / "cpu.max").partition(" ")
        inactive = _table(groups / "memory.stat").get("inactive_file", 0)
        used, limit = _number(groups / "memory.current"), _number(groups / "memory.max")
    else:
        quota, period = _text(groups / "cpu/cpu.cfs_quota_us"), _text(groups / "cpu/cpu.cfs_period_us")
        inactive = _table(memory / "memory.stat").get("total_inactive_file", 0)
        used, limit = _number(memory / "memory.usage_in_bytes"), _number(memory / "memory.limit_in_bytes")
    cores = int(quota) / int(period) if quota.isdigit() and period.isdigit() else None
    hits = _table(groups / "cpu.stat") or _table(groups / "cpu/cpu.stat")
    return _Limits(
        cores=cores,
        hits=None if cores is None else hits.get("nr_throttled"),
        memory_bytes=limit,
        # Cached files that nobody has touched for a while are given back on demand.
        memory_used_bytes=None if used is None else max(0, used - inactive),
    )


def _memory(meminfo: Path, limits: _Limits) -> tuple[int | None, int | None]:
    """Bytes in all, and bytes to be had, of the machine or of the container, whichever is smaller."""
    table = _table(meminfo)
    if "MemTotal:" not in table or "MemAvailable:" not in table:
        return None, None
    total, free = table["MemTotal:"] * 1024, table["MemAvailable:"] * 1024
    if limits.memory_bytes is None or limits.memory_used_bytes is None or limits.memory_bytes >= total:
        return total, free
    return limits.memory_bytes, max(0, min(free, limits.memory_bytes - limits.memory_used_bytes))


def _each_core(cpus: Path, name: str) -> list[Path]:
    return sorted(cpus.glob(f"cpu[0-9]*/{name}"), key=lambda path: int(path.relative_to(cpus).parts[0][3:]))


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a number, as the kernel writes them."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _numbers(paths: Iterable[Path]) -> list[int]:
    return [number for number in map(_number, paths) if number is not None]


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _sum(numbers: Sequence[int]) -> int | None:
    return sum(numbers) if numbers else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")
