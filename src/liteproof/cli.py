"""The command line: `liteproof --help`.

    liteproof inspect models/digits/best_int8.tflite
    liteproof report reports/latest
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from liteproof import __version__
from liteproof.errors import LiteproofError, UsageError

ACCEPTED, MISSED, INTERRUPTED, OUR_FAULT, WRONG_REQUEST = 0, 1, 2, 3, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except UsageError as error:
        print(f"liteproof: {error}", file=sys.stderr)
        return WRONG_REQUEST
    except LiteproofError as error:
        print(f"liteproof: {error}", file=sys.stderr)
        return MISSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return ACCEPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liteproof", description="Proves a TensorFlow Lite / LiteRT model before it ships. The suites run by pytest."
    )
    parser.add_argument("--version", action="version", version=f"liteproof {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    inspect = commands.add_parser("inspect", help="what a .tflite file holds: tensors, operators, quantization, bytes")
    inspect.add_argument("file", type=Path)
    inspect.add_argument("--json", action="store_true", help="for programs")
    inspect.set_defaults(run=_inspect)

    report = commands.add_parser("report", help="make the reports of a run again, from its results.json")
    report.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, such as reports/latest")
    report.add_argument("--out", type=Path, help="write them here (default: the run's own folder)")
    report.set_defaults(run=_report)
    return parser


def _inspect(options: argparse.Namespace) -> int:
    from liteproof.tflite.facts import facts
    from liteproof.tflite.inspection import inspect_json, inspect_text
    from liteproof.tflite.reader import read_model

    model = read_model(options.file)
    found = facts(model)
    print(json.dumps(inspect_json(model, found), indent=1) if options.json else inspect_text(model, found))
    return ACCEPTED


def _report(options: argparse.Namespace) -> int:
    from liteproof.report.results import read
    from liteproof.report.writer import render

    results = read(options.folder)
    folder = options.out or (options.folder if options.folder.is_dir() else options.folder.parent)
    for path in render(results, folder):
        print(path)
    return ACCEPTED


if __name__ == "__main__":
    sys.exit(main())
