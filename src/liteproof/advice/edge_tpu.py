"""Running the Edge TPU's compiler and reading what it mapped.

>>> print(*parse(SAMPLE).left, sep=", ")
1 SOFTMAX (More than one subgraph is not supported)
>>> parse(SAMPLE).mapped, parse(SAMPLE).operations
(64, 65)

`edgetpu_compiler -s FILE` prints a table of operators, how often each occurs, and its status: "Mapped to Edge TPU", or
why it stays on the processor.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from liteproof.errors import ModelError, TargetError

PROGRAM = "edgetpu_compiler"
SECONDS = 400.0  # its own timeout is 180 s
_MAPPED = "Mapped to Edge TPU"
_ROW = re.compile(r"^([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*)$")

SAMPLE = """
Edge TPU Compiler version 16.0.384591198
Number of operations that will run on Edge TPU: 64
Number of operations that will run on CPU: 1

Operator                       Count      Status

CONV_2D                        35         Mapped to Edge TPU
DEPTHWISE_CONV_2D              17         Mapped to Edge TPU
ADD                            10         Mapped to Edge TPU
MEAN                           1          Mapped to Edge TPU
FULLY_CONNECTED                1          Mapped to Edge TPU
SOFTMAX                        1          More than one subgraph is not supported
"""


@dataclass(frozen=True)
class Mapping:
    """What the compiler made of a file.

    Attributes:
        mapped: Operators that run on the Edge TPU.
        operations: All operators.
        left: Those that stay on the processor, with the compiler's reason.
        version: Of the compiler; "" where it does not say.
        off_chip: Parameters that do not fit on the chip and are streamed, as it says ("0.00B").
    """

    mapped: int
    operations: int
    left: tuple[str, ...]
    version: str = ""
    off_chip: str = ""


def installed() -> bool:
    """Whether the compiler is on the PATH."""
    return shutil.which(PROGRAM) is not None


def compile_file(file: Path) -> Mapping:
    """Compile a full-integer `.tflite`, and say what was mapped; what it writes is thrown away.

    Raises:
        ModelError: if it refuses the file.
        TargetError: if it does not end, or says nothing that can be read.
    """
    with tempfile.TemporaryDirectory(prefix="liteproof-") as folder:
        try:
            done = subprocess.run(
                [PROGRAM, "-s", "-o", folder, str(file)], capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise TargetError(f"{PROGRAM} did not end within {SECONDS:.0f} s", where=str(file)) from error
        except OSError as error:
            raise TargetError(f"{PROGRAM} cannot be run: {error.strerror or error}", where=PROGRAM) from error
    said = done.stdout + done.stderr
    if done.returncode or "Model not quantized" in said or "Internal compiler error" in said:
        lines = [line for line in said.strip().splitlines() if line.strip()]
        raise ModelError(
            f"{PROGRAM} refuses the file: {lines[-1][:200] if lines else 'it says nothing'}", where=str(file)
        )
    return parse(said)


def parse(said: str) -> Mapping:
    """What the compiler's output says.

    Raises:
        TargetError: if it holds no table of operators.
    """
    rows = [match.groups() for line in said.splitlines() if (match := _ROW.match(line.strip()))]
    if not rows:
        raise TargetError(f"{PROGRAM} printed no table of operators", expected="operator, count, status", where=PROGRAM)
    version = re.search(r"Compiler version (\S+)", said)
    off_chip = re.search(r"Off-chip memory used for streaming uncached model parameters: (\S+)", said)
    return Mapping(
        mapped=sum(int(count) for _, count, status in rows if status == _MAPPED),
        operations=sum(int(count) for _, count, _ in rows),
        left=tuple(f"{count} {name} ({status})" for name, count, status in rows if status != _MAPPED),
        version=version[1] if version else "",
        off_chip=off_chip[1] if off_chip else "",
    )
