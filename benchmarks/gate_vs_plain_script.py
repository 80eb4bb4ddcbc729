"""The gate beside the script that it replaces, and beside the least that it could take, in one run.

    python -m benchmarks.gate_vs_plain_script [--model models/digits-mobilenet] [--repeat 1]

Each turn runs `plain_script.py`, the cold gate (an empty store, every suite), and the warm gate (nothing changed;
timing, cold-start and memory processes aside), one after the other; then the parts of the floor: one import of
TensorFlow, one load, one export, the converters' own time over the processors, and the timed rounds with their warm-up,
as the cold gate recorded them. Five short turns compare the time to the first test with a bare pytest's.
Prints tables in Markdown; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.first_test import VARIABLE

ROOT = Path(__file__).parents[1]
STARTS = 5
# What both sides convert and judge, though the model's manifest may have more.
RECIPES = ("float32", "dynamic_range", "float16", "int8", "uint8", "int8_float_io", "int16x8", "int4")
VARIANTS = tuple(f"--variant={recipe}" for recipe in RECIPES)


@dataclass(frozen=True)
class Turn:
    """Seconds of everything in one turn."""

    script: float
    script_parts: Mapping[str, float]
    cold: float
    warm: float
    reused: float
    timed: float
    unmeasured: int
    floor: Mapping[str, Any]

    @property
    def lowest(self) -> float:
        """The floor."""
        own = sum(self.floor["converters"].values()) / (os.cpu_count() or 1)
        return float(self.floor["import"] + self.floor["load"] + self.floor["export"] + own + self.timed)


def run(command: Sequence[str], what: str, **variables: str) -> tuple[float, str]:
    """Run a command to its end; seconds and what it said."""
    print(f"{time.strftime('%H:%M:%S')} {what} …", end=" ", file=sys.stderr, flush=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src"))), **variables}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's second run does not compile our modules anew
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - started
    print(f"{took:.1f} s, status {done.returncode}", file=sys.stderr, flush=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return took, done.stdout


def gate(model: Path, scratch: Path, what: str, *options: str) -> tuple[float, str]:
    """One run of the gate on the store and the reports in `scratch`."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--models={model}", *VARIANTS, *options]
    return run([*command, f"--report-dir={scratch / 'reports'}"], what, LITEPROOF_STORE=str(scratch / "store"))


def a_turn(model: Path, scratch: Path) -> Turn:
    """All sides once."""
    parts = scratch / "parts.json"
    command = [sys.executable, "benchmarks/plain_script.py", str(model), f"--parts={parts}"]
    script, shown = run([*command, *(f"--recipe={recipe}" for recipe in RECIPES)], "plain script")
    print(shown, file=sys.stderr)
    cold, _ = gate(model, scratch, "cold gate")
    checks = json.loads((scratch / "reports" / "latest" / "results.json").read_text())["checks"]
    unmeasured = sum(check["verdict"] == "UNMEASURED" for check in checks)
    warm, _ = gate(model, scratch, "warm gate", "-m", "not timing")
    reused, _ = gate(model, scratch, "warm gate, --reuse", "-m", "not timing", "--reuse")
    _, least = run([sys.executable, "-m", "benchmarks.floor", str(model), *VARIANTS], "floor")
    return Turn(script, json.loads(parts.read_text()), cold, warm, reused, timed(checks), unmeasured, json.loads(least))


def timed(checks: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of the rounds and the warm-ups that the latency suite recorded."""
    return sum(check["evidence"].get("took_s", 0.0) for check in checks)


def to_the_first_test(command: Sequence[str], scratch: Path, **variables: str) -> float:
    """Seconds from the start of a process to the body of its first test."""
    note = scratch / "first"
    note.unlink(missing_ok=True)
    started = time.monotonic()
    run([*command, "-p", "benchmarks.first_test"], "to the first test", **{VARIABLE: str(note)}, **variables)
    return float(note.read_text()) - started


def starts(model: Path, scratch: Path) -> tuple[list[float], list[float], list[float], int]:
    """Seconds to the first test: of the warm gate, of a bare pytest; of the runtime's import; and how many tests."""
    # Only the plugins that a run needs: what else is installed would weigh on both sides, and hide the difference.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ours = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "liteproof.plugin"]
    ours += ["-p", "pytest_benchmark.plugin", f"--models={model}", *VARIANTS, "-m", "not timing"]
    ours += [f"--report-dir={scratch / 'reports'}"]
    store = {"LITEPROOF_STORE": str(scratch / "store"), **alone}
    _, listed = run([*ours, "--collect-only", "-q"], "collection", **store)
    tests = sum("::" in line for line in listed.splitlines())
    folder = scratch / "bare"
    folder.mkdir(exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_trivial.py").write_text(
        f"import pytest\n\n@pytest.mark.parametrize('n', range({tests}))\ndef test_trivial(n): pass\n"
    )
    bare = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(folder), f"--rootdir={folder}"]
    load = [sys.executable, "-c", "import ai_edge_litert.interpreter"]
    nothing = [sys.executable, "-c", ""]
    gates, bares, imports = [], [], []
    for _ in range(STARTS):
        gates.append(to_the_first_test(ours, scratch, **store))
        bares.append(to_the_first_test(bare, scratch, **alone))
        imports.append(run(load, "runtime")[0] - run(nothing, "python")[0])
    return gates, bares, imports, tests


def tables(model: Path, turns: Sequence[Turn], first: tuple[list[float], list[float], list[float], int]) -> str:
    """What came out, in Markdown. Of several turns the medians, and ratios turn by turn."""

    def middle(pick: Any) -> float:
        return statistics.median(pick(turn) for turn in turns)

    script, least = middle(lambda t: t.script), middle(lambda t: t.lowest)
    once = script - middle(lambda t: t.script_parts["predict, one sample at a time"]) * 7 / 8
    converters, cores = middle(lambda t: sum(t.floor["converters"].values())), os.cpu_count() or 1
    gates, bares, imports, tests = first
    began, allowed = statistics.median(gates), statistics.median(bares) + statistics.median(imports)
    reused = middle(lambda t: t.reused)
    rows = [
        ("plain script", f"{script:.1f}", "1", ""),
        ("… if it kept the predictions of its first recipe", f"{once:.1f}", f"{once / script:.2f} of the script", ""),
        (
            "cold gate",
            f"{middle(lambda t: t.cold):.1f}",
            f"{middle(lambda t: t.cold / t.script):.3f} of the script",
            "≤ 0.10",
        ),
        ("", "", f"{middle(lambda t: t.cold / t.lowest):.2f} of the floor", "≤ 1.5"),
        ("the floor", f"{least:.1f}", "", ""),
        (
            "warm gate",
            f"{middle(lambda t: t.warm):.2f}",
            f"{middle(lambda t: t.warm / t.script):.4f} of the script",
            "≤ 0.01",
        ),
        ("warm gate with `--reuse`", f"{reused:.2f}", f"{middle(lambda t: t.reused / t.script):.4f} of the script", ""),
        (f"to the first of {tests} tests, warm gate", f"{began:.2f}", f"{began / allowed:.2f} of the next", "≤ 1.5"),
        ("to the first of as many trivial tests, bare pytest, and the runtime's import", f"{allowed:.2f}", "", ""),
    ]
    parts = [(name, middle(lambda t, name=name: t.script_parts[name])) for name in turns[0].script_parts]
    of_floor = [
        ("one import of TensorFlow and Keras", middle(lambda t: t.floor["import"])),
        ("one load of the source", middle(lambda t: t.floor["load"])),
        ("one export", middle(lambda t: t.floor["export"])),
        (f"the converters' own time, {converters:.2f} s, over {cores} processors", converters / cores),
        ("timed rounds and their warm-up", middle(lambda t: t.timed)),
    ]
    return "\n\n".join(
        (
            f"`{model.name}`, eight recipes, {len(turns)} turn{'s' * (len(turns) > 1)}.{_warning(turns)}",
            table(("", "seconds", "ratio", "asked"), rows),
            table(("the script's parts", "seconds"), [(name, f"{value:.1f}") for name, value in parts]),
            table(("the floor's parts", "seconds"), [(name, f"{value:.2f}") for name, value in of_floor]),
        )
    )


def _warning(turns: Sequence[Turn]) -> str:
    """That times were disturbed, which makes the cold gate longer and the floor's rounds fewer."""
    unmeasured = sum(turn.unmeasured for turn in turns)
    return f" **Not a quiet machine: {unmeasured} checks UNMEASURED; take it again.**" if unmeasured else ""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: words to the left, numbers to the right."""
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows))


def main() -> None:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "digits-mobilenet")
    parser.add_argument("--repeat", type=int, default=1, help="turns (default: 1; each takes some seven minutes)")
    options = parser.parse_args()
    turns = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(options.repeat):
            scratch = Path(name) / str(number)
            scratch.mkdir()
            print(f"turn {number + 1} of {options.repeat}", file=sys.stderr)
            turns.append(a_turn(options.model.resolve(), scratch))
        print(tables(options.model, turns, starts(options.model.resolve(), scratch)))


if __name__ == "__main__":
    main()
