"""What a machine is and has, told by a program that runs there: any Python from 3.9 on, nothing but its library.

    >>> found = survey(["numpy"])
    >>> found["python"] >= [3, 9], "numpy" in found["packages"]
    (True, True)

The controller sends this file's text along with `liteproof.targets.guard`; it must import nothing of liteproof.
What cannot be told is None or missing, and means unknown.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RUNTIMES = ("ai-edge-litert", "ai-edge-litert-nightly", "tflite-runtime", "tflite-runtime-nightly", "tensorflow")
_PROC = Path("/proc")


def survey(packages: Iterable[str], base: Path | None = None, root: Path = Path("/")) -> dict[str, Any]:
    """Facts of this machine and this Python, as JSON values.

    Args:
        packages: Distributions whose versions are asked for.
        base: The folder whose disk is asked about; None: the home folder.
        root: Where `proc` and `sys` are.
    """
    disk = shutil.disk_usage(_existing(base or Path.home()))
    return {
        "python": list(sys.version_info[:3]),
        "executable": sys.executable,
        "implementation": sys.implementation.name,
        "venv": sys.prefix != sys.base_prefix,
        "has_venv": _can_make_venv(),
        "packages": {name: version for name in (*packages, *RUNTIMES) if (version := _version(name))},
        "machine": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _release(root / "etc/os-release"),
        "libc": " ".join(platform.libc_ver()).strip(),
        "platform_tag": sysconfig.get_platform(),
        "hostname": platform.node(),
        "user": os.environ.get("USER") or str(os.getuid()),
        "boot": _text(root / "proc/sys/kernel/random/boot_id"),
        "model": _text(root / "proc/device-tree/model").rstrip("\0")
        or _text(root / "sys/firmware/devicetree/base/model").rstrip("\0"),
        "cores": os.cpu_count() or 1,
        "memory_bytes": _memory(root, "MemTotal"),
        "memory_free_bytes": _memory(root, "MemAvailable"),
        "disk_free_bytes": disk.free,
        "time": time.time(),
        "governors": sorted(
            {_text(p) for p in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")}
        ),
        "temperature_c": _temperature(root),
        "throttled": _throttled(),
        "emulated": emulated(root),
    }


def emulated(root: Path = Path("/")) -> str:
    """Why this processor seems to be an emulation; "" if nothing says so.

    A program under qemu-user sees its own processor's name from uname, and the kernel of the real one; a whole
    emulated machine calls itself virtual in its device tree.
    """
    machine = platform.machine()
    kernel = _text(root / "proc/sys/kernel/arch")
    family = {"aarch64": "arm", "arm64": "arm", "armv7l": "arm", "armv6l": "arm", "x86_64": "x86", "i686": "x86"}
    if kernel and family.get(kernel, kernel) != family.get(machine, machine):
        return f"the processor is {machine}, the kernel's is {kernel}"
    model = _text(root / "sys/firmware/devicetree/base/model").rstrip("\0")
    if re.search("emulated|dummy-virt|qemu", model, re.IGNORECASE):
        return f"the board calls itself {model!r}"
    info = _text(root / "proc/cpuinfo")
    if family.get(machine) == "arm" and re.search(r"^vendor_id\s*:", info, re.MULTILINE):
        return f"the processor is {machine}, /proc/cpuinfo shows an x86"
    return ""


def _can_make_venv() -> bool:
    try:
        import ensurepip  # noqa: F401 - Debian ships it apart, in python3-venv
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _release(path: Path) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(path), re.MULTILINE)
    return found.group(1) if found else ""


def _memory(root: Path, field: str) -> int | None:
    found = re.search(rf"^{field}:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _temperature(root: Path) -> float | None:
    values = [_text(path) for path in (root / "sys/class/thermal").glob("thermal_zone*/temp")]
    return max((int(value) / 1000 for value in values if value.lstrip("-").isdigit()), default=None)


def _throttled() -> int | None:
    """Bits of `vcgencmd get_throttled`: 0 to 3 now, 16 to 19 since boot."""
    tool = shutil.which("vcgencmd")
    if tool is None:
        return None
    try:
        done = subprocess.run([tool, "get_throttled"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"0x([0-9a-fA-F]+)", done.stdout)
    return int(found.group(1), 16) if found else None


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
