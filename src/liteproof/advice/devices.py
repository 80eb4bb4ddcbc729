"""The devices that advice is given for, and what is assumed of each.

>>> DEVICES["pi4"].ram // 2**20, parse_size("512MB", "--ram")
(2048, 536870912)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from liteproof.errors import UsageError

Kind = Literal["linux", "phone", "server", "microcontroller", "edge-tpu"]
KB, MB, GB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Device:
    """What is assumed of a device.

    Attributes:
        name: As `--device` names it.
        kind: Which rules apply.
        title: Its name in a sentence.
        ram: Bytes of memory, if the user names none.
        flash: Bytes for the file; None: storage is no limit.
        share: The share of memory that a process with the model may take; the rest is the system's and others'.
        faster: What is published of 8-bit integers' speed there; "" where nothing is.
    """

    name: str
    kind: Kind
    title: str
    ram: int
    flash: int | None = None
    share: float = 0.5
    faster: str = ""


# Google's own figures for XNNPACK, MobileNetV2 on all cores of a Pi 4 (64-bit) and a Pi 3+.
_PI4 = "published for MobileNetV2 on a Pi 4: float32 46 ms, int8 17 ms (XNNPACK's own figures)"
_PI3 = "published for MobileNetV2 on a Pi 3+, whose cores it has: float32 79 ms, int8 30 ms (XNNPACK's own figures)"

DEVICES: Mapping[str, Device] = {
    device.name: device
    for device in (
        Device("pi4", "linux", "Raspberry Pi 4", 2 * GB, faster=_PI4),
        Device("pi5", "linux", "Raspberry Pi 5", 4 * GB, faster=_PI4),
        Device("zero2", "linux", "Raspberry Pi Zero 2 W", 512 * MB, faster=_PI3),
        Device("phone", "phone", "phone", 4 * GB, share=0.1),
        Device("server", "server", "server", 2 * GB, share=0.75),
        Device("microcontroller", "microcontroller", "microcontroller", 256 * KB, 1 * MB, share=0.8),
        Device("edge-tpu", "edge-tpu", "Edge TPU", 2 * GB),
    )
}

_UNITS = {"": 1, "B": 1, "K": KB, "KB": KB, "KIB": KB, "M": MB, "MB": MB, "MIB": MB, "G": GB, "GB": GB, "GIB": GB}


def parse_size(text: str, option: str) -> int:
    """Bytes from "512MB"; a kB, MB or GB is 1024 of the next smaller, as memory is sold.

    Raises:
        UsageError: if it is no size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if found is None or found[2].upper() not in _UNITS or not (size := int(float(found[1]) * _UNITS[found[2].upper()])):
        raise UsageError(
            f"{option} {text} is no size", expected="a number and kB, MB or GB, such as 512MB", where=option
        )
    return size


def size_text(size: float) -> str:
    """Bytes as people read them.

    >>> size_text(95 * 2**20), size_text(1700), size_text(2 * 2**30)
    ('95.0 MB', '1.7 kB', '2.00 GB')
    """
    if size >= GB:
        return f"{size / GB:.2f} GB"
    return f"{size / MB:.1f} MB" if size >= MB else f"{size / KB:.1f} kB"
