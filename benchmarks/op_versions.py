"""Ask the installed runtimes which operators they know in which versions; write it to the table of `op_versions`.

    python benchmarks/op_versions.py                  # what is installed here, beside the columns that are there
    python benchmarks/op_versions.py --fresh          # only what is installed here

A runtime looks up every operator that a file lists before it looks at the graph, and refuses a file that lists one it
lacks. So a file that lists one operator and has none is loaded for each operator and version: no kernel runs, nothing
crashes, and the answer is the runtime's own, not a reading of its sources. Columns of other versions come from other
environments:

    pip install --target /tmp/litert-2.1 --no-deps ai-edge-litert==2.1.0
    PYTHONPATH=/tmp/litert-2.1 python benchmarks/op_versions.py
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

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


def main() -> None:
    """Probe what is installed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="drop the columns that are there")
    fresh = parser.parse_args().fresh
    columns = {} if fresh else op_versions.read_table()
    for runtime, version in installed_runtimes().items():
        columns[f"{runtime} {version}"] = column(lambda number, v, runtime=runtime: accepts(runtime, number, v))
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
