"""What a run ran on: facts that a report names, read without importing a runtime.

>>> sorted(describe_machine("ai_edge_litert", threads=1))
['machine', 'numpy', 'processor', 'python', 'runtime', 'system', 'threads']
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from liteproof.packages import installed


def describe_machine(runtime: str, threads: int) -> dict[str, object]:
    """Machine, processor, system, runtime with version, numpy, Python and thread count."""
    return {
        "machine": platform.machine(),
        "processor": processor_model(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "runtime": f"{runtime} {_version(runtime)}",
        "numpy": _version("numpy"),
        "threads": threads,
    }


def processor_model() -> str:
    """The processor's name as the system tells it; a board's name where there is one."""
    for path, pattern in (
        (Path("/sys/firmware/devicetree/base/model"), r"^([^\0]+)"),
        (Path("/proc/cpuinfo"), r"^model name\s*:\s*(.+)$"),
        (Path("/proc/cpuinfo"), r"^Model\s*:\s*(.+)$"),
    ):
        try:
            found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        except OSError:
            continue
        if found:
            return found[1].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str:
    return installed(package.replace("_", "-")) or "not installed"


def half_of_memory_mb() -> int:
    """Half of this machine's memory: the most that a file may take that is tried for the first time."""
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES")) // 2 >> 20
