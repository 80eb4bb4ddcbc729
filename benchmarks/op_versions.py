"""Ask the installed runtimes which operators they know in which versions; write it to the table of `op_versions`.

    python benchmarks/op_versions.py                  # what is installed here, beside the columns that are there
    python benchmarks/op_versions.py --fresh          # only what is installed here

A runtime looks up every operator that a file lists before it looks at the graph, and refuses a file that lists one it
lacks. So a file that lists one operator and has none is loaded for each operator and version: no kernel runs, nothing
crashes, and the answer is the runtime's own, not a reading of its sources. Columns of other versions come from other
environments:

    pip install --target /tmp/litert-2.1 --no-deps ai-edge-litert==2.1.0
    PYTHONPATH=/tmp/litert-2.1:. python benchmarks/op_versions.py

One kernel has no version of its own: convolutions with 4-bit weights under float activations. Whether a runtime has it
is found by computing one.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from liteproof.errors import LiteproofError
from liteproof.measure.runtime import installed_runtimes, open_session
from liteproof.tflite import op_versions
from liteproof.tflite.reader import OPERATORS
from liteproof.tflite.single_operator import operator_list_model

HIGHEST_NUMBER = 230
HIGHEST_VERSION = 40


def accepts(runtime: str, number: int, version: int) -> bool:
    """Whether a runtime takes a file that lists this operator."""
    try:
        open_session(operator_list_model(number, version=version), runtime=runtime)
    except LiteproofError:
        return False
    return True


def column(taken: Callable[[int, int], bool]) -> dict[str, str]:
    """The versions of every operator that is taken, as "1-14"."""
    found = {}
    for number in range(HIGHEST_NUMBER):
        versions = [version for version in range(1, HIGHEST_VERSION) if taken(number, version)]
        if versions:
            assert versions == list(range(versions[0], versions[-1] + 1)), (number, versions)
            found[OPERATORS.get(number, f"BUILTIN_{number}")] = f"{versions[0]}-{versions[-1]}"
    return found


def four_bit_convolution() -> tuple[bytes, np.ndarray, np.ndarray]:
    """A CONV_2D of float activations and INT4 weights, an input for it, and the right output."""
    from tests.tflite.build import OperatorSpec, TensorSpec, build, conv_options

    random = np.random.default_rng(0)
    codes = random.integers(-7, 8, (16, 1, 1, 16))
    scales = random.uniform(0.05, 0.2, 16).astype(np.float32)
    low = codes.reshape(-1, 2) & 0xF
    packed = (low[:, 0] | low[:, 1] << 4).astype(np.uint8).tobytes()
    tensors = [
        TensorSpec("x", (1, 4, 4, 16)),
        TensorSpec("w", codes.shape, "INT4", packed, scales=tuple(scales.tolist()), zero_points=(0,) * 16),
        TensorSpec("b", (16,), data=np.zeros(16, np.float32).tobytes()),
        TensorSpec("y", (1, 2, 2, 16)),
    ]
    file = build(tensors, [OperatorSpec("CONV_2D", (0, 1, 2), (3,), options=conv_options)])
    x = random.uniform(-1, 1, (1, 4, 4, 16)).astype(np.float32)
    weights = codes.reshape(16, 16) * scales[:, None]
    return file, x, np.clip(x[:, ::2, ::2] @ weights.T, 0, 6)


def computes_four_bit_convolutions(runtime: str) -> bool:
    """Whether the result is right but for the rounding of the input to 8 bits; in a process that may die of it."""
    done = subprocess.run(
        [sys.executable, __file__, "--four-bit", runtime], check=False, capture_output=True, timeout=120
    )
    return done.returncode == 0


def is_right(runtime: str) -> bool:
    """Compute it in this process."""
    file, x, expected = four_bit_convolution()
    (found,) = open_session(file, runtime=runtime).invoke([x])
    return bool(np.isfinite(found).all() and np.abs(found - expected).max() < 0.05 * np.abs(expected).max())


def main() -> None:
    """Probe what is installed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="drop the columns that are there")
    parser.add_argument("--four-bit", metavar="RUNTIME", help="compute one 4-bit convolution, and say by the status")
    options = parser.parse_args()
    if options.four_bit:
        raise SystemExit(not is_right(options.four_bit))
    columns = {} if options.fresh else op_versions.read_table()
    for runtime, version in installed_runtimes().items():
        found = column(lambda number, v, runtime=runtime: accepts(runtime, number, v))
        if computes_four_bit_convolutions(runtime):
            found[op_versions.FOUR_BIT_CONVOLUTION] = "1-1"
        columns[f"{runtime} {version}"] = found
        print(f"{runtime} {version}: {len(columns[f'{runtime} {version}'])} operators")
    write(op_versions.TABLE, columns)


def write(path: Path, columns: dict[str, dict[str, str]]) -> None:
    """Write the table: a row for each operator, a column for each runtime."""
    names = sorted(columns, key=op_versions.column_order)
    operators = sorted({operator for column in columns.values() for operator in column})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["operator", *names])
        writer.writerows([operator, *(columns[name].get(operator, "") for name in names)] for operator in operators)


if __name__ == "__main__":
    main()
