"""Every figure of docs/benchmarks.md from one run: `python -m benchmarks.all`, on a machine that does nothing else.

    python -m benchmarks.all                     # all parts, some twenty minutes on two cores
    python -m benchmarks.all --only gate remote  # these parts
    python -m benchmarks.all --dry-run           # print, and leave the page as it is

Each part is a program of its own whose standard output, tables in Markdown, goes between its markers in the page;
progress goes to standard error. A part that fails leaves its old tables, and the status is 1.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from liteproof.measure.machine import processor_model

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"

# Name of the markers → the program and its arguments.
PARTS = {
    "gate": ("benchmarks.gate_vs_plain_script",),
    "evaluation": ("benchmarks.evaluation",),
    "remote": ("benchmarks.remote_overhead",),
}
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy", "pytest")


def machine() -> str:
    """What it ran on, in one line."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    busy = os.getloadavg()[0]
    return (
        f"{day}, {os.cpu_count()} cores of {processor_model()}, load {busy:.2f} when it began; "
        f"Python {sys.version.split()[0]}, {versions}."
    )


def between(page: str, name: str, text: str) -> str:
    r"""The page with this text between a part's markers.

    >>> between("<!-- begin a -->old<!-- end a -->", "a", "new")
    '<!-- begin a -->\nnew\n<!-- end a -->'
    """
    pattern = re.compile(rf"(<!-- begin {name} -->).*?(<!-- end {name} -->)", re.DOTALL)
    made, count = pattern.subn(lambda found: f"{found[1]}\n{text.strip()}\n{found[2]}", page)
    if count != 1:
        sys.exit(f"{PAGE}: the markers of {name} are there {count} times")
    return made


def main() -> None:
    """Run the parts one after the other, and write what they print into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    failed = []
    found = {"machine": machine()}
    for name in options.only:
        print(f"\n== {name}", file=sys.stderr, flush=True)
        started = time.perf_counter()
        path = os.pathsep.join(filter(None, (str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, "-m", *PARTS[name]],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        print(f"== {name}: {(time.perf_counter() - started) / 60:.1f} minutes", file=sys.stderr, flush=True)
        if done.returncode:
            failed.append(name)
            continue
        found[name] = done.stdout
        print(done.stdout, flush=True)
    if not options.dry_run:
        page = PAGE.read_text(encoding="utf-8")
        for name, text in found.items():
            page = between(page, name, text)
        PAGE.write_text(page, encoding="utf-8")
    if failed:
        sys.exit(f"failed, and their old tables left: {', '.join(failed)}")


if __name__ == "__main__":
    main()
