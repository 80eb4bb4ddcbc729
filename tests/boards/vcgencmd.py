"""A stand-in for `vcgencmd`, the tool that asks a Raspberry Pi's firmware about throttling, temperature and clock.

>>> import tempfile
>>> firmware = install(Path(tempfile.mkdtemp()))
>>> firmware.throttled(0x50005)
>>> subprocess.run([firmware.tool, "get_throttled"], capture_output=True, text=True).stdout
'throttled=0x50005\\n'
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_TOOL = """\
#!/bin/sh
# Answers as the firmware of a Raspberry Pi does; a test sets the answers in the files beside it.
folder=$(dirname "$0")/vcgencmd.d
answer="$folder/$1${2:+-$2}"
[ -r "$answer" ] && exec cat "$answer"
echo 'error=1 error_msg="Command not registered"'
exit 255
"""


@dataclass(frozen=True)
class Firmware:
    """What a board's firmware says, settable while tests run there."""

    tool: Path

    def throttled(self, bits: int) -> None:
        """Bits 0 to 3 now, 16 to 19 since boot: under-voltage, frequency capped, throttled, soft temperature limit."""
        self._answer("get_throttled", f"throttled={bits:#x}")

    def temperature(self, celsius: float) -> None:
        """The processor's temperature."""
        self._answer("measure_temp", f"temp={celsius:.1f}'C")

    def arm_clock(self, hertz: int) -> None:
        """The processor's clock."""
        self._answer("measure_clock-arm", f"frequency(48)={hertz}")

    def _answer(self, question: str, text: str) -> None:
        folder = self.tool.with_name("vcgencmd.d")
        fresh = folder / f".{question}"
        fresh.write_text(f"{text}\n", encoding="ascii")
        fresh.replace(folder / question)


def install(folder: Path) -> Firmware:
    """Put the tool into a folder of a board's PATH: cool, at its full clock, never throttled."""
    (folder / "vcgencmd.d").mkdir(parents=True, exist_ok=True)
    firmware = Firmware(folder / "vcgencmd")
    firmware.tool.write_text(_TOOL, encoding="ascii")
    firmware.tool.chmod(0o755)
    firmware.throttled(0)
    firmware.temperature(48.3)
    firmware.arm_clock(1_500_000_000)
    return firmware
