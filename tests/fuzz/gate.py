"""Flipped files through the whole gate, counted by what became of them; and the long run that writes the page.

    python -m tests.fuzz.gate 10000                    # docs/hostile-files.md

Each file that the gate accepts is asked again, in a process of its own, and compared with what the network's formula
gives: a file that passes with other outputs than the healthy one's has slipped through.
"""

from __future__ import annotations

import importlib.util
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from tests.corpus.files import Kind
from tests.corpus.runs import ROOT, Judged, judge
from tests.fuzz.mutations import flipped
from tests.plugin.tiny import WEIGHTS, network, samples

PAGE = ROOT / "docs" / "hostile-files.md"
BATCH = 200
RUNTIMES = ("ai_edge_litert", "tflite_runtime")
# What float32 is held to by default: float32_error, over the largest output, and agreement.
TOLERANCE = 1e-4

_ASK = """
import sys, numpy as np
from pathlib import Path
from liteproof.measure.runtime import open_session
x = np.load(sys.argv[3])
np.save(sys.argv[4], open_session(Path(sys.argv[1]), runtime=sys.argv[2]).predict(x)[0])
"""


def flipped_files(count: int, seed: int) -> dict[str, Kind]:
    """So many flipped copies of the tiny model, by name."""
    chosen, healthy = random.Random(seed), network()
    return {f"f{i:05}": Kind(flipped(healthy, chosen)) for i in range(count)}


def outcome(judged: Judged, name: str) -> str:
    """What became of a file, in a few words."""
    checks = judged.checks_of(name)
    loads = [check for check in checks if check["metric"] == "loads" and check["verdict"] == "FAIL"]
    died = [check["detail"] for check in checks if "died of SIG" in (check["detail"] or "")]
    hung = [check["detail"] for check in checks if "was killed after" in (check["detail"] or "")]
    if died:
        where = "in a later test" if any("in this test" in text for text in died) else "when it was tried"
        signal = re.search(r"SIG\w+", died[0])
        return f"died of {signal[0] if signal else 'a signal'} {where}"
    if hung:
        return "hung, and was killed at the limit"
    if loads:
        return "out of memory" if "out of memory" in (loads[0]["detail"] or "") else "refused by the runtime"
    if judged.verdicts[name] in ("PASS", "PROVISIONAL"):
        return "accepted: outputs within the budgets"
    return "loads, and misses a gate" if judged.verdicts[name] == "FAIL" else "loads, and cannot be measured"


def slipped(judged: Judged, kinds: dict[str, Kind], runtime: str) -> list[str]:
    """Files that were accepted although they answer otherwise than the healthy network."""
    x, _ = samples(120, 1)
    logits = x @ WEIGHTS.T
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "x.npy", x)
        for kind in kinds:
            if judged.verdicts[kind] in ("PASS", "PROVISIONAL"):
                (folder / "file.tflite").write_bytes(kinds[kind].content)
                (folder / "y.npy").unlink(missing_ok=True)
                arguments = [folder / "file.tflite", runtime, folder / "x.npy", folder / "y.npy"]
                subprocess.run([sys.executable, "-c", _ASK, *arguments], capture_output=True, timeout=60, check=False)
                answers = np.load(folder / "y.npy") if (folder / "y.npy").exists() else np.full_like(expected, np.nan)
                if answers.shape != expected.shape or not np.abs(answers - expected).max() <= TOLERANCE:
                    found.append(kind)
    return found


def main(count: int) -> int:
    """Judge so many files on each installed runtime; returns 1 if one slipped through or a run died."""
    counts: dict[str, Counter[str]] = {}
    bad: list[str] = []
    for runtime in RUNTIMES:
        if importlib.util.find_spec(runtime) is None:
            continue
        counts[runtime] = Counter()
        for start in range(0, count, BATCH):
            kinds = flipped_files(min(BATCH, count - start), seed=start)
            with tempfile.TemporaryDirectory() as folder:
                judged = judge(Path(folder), kinds, runtime=runtime)
                if judged.status not in (0, 1) or not judged.results["run"]["complete"]:
                    bad.append(f"dead run: {runtime}, seed {start}: status {judged.status}")
                counts[runtime].update(outcome(judged, name) for name in kinds)
                bad += [f"slipped through: {runtime}, seed {start}, {n}" for n in slipped(judged, kinds, runtime)]
            sys.stdout.write(f"{runtime}: {sum(counts[runtime].values())} of {count}\n")
            sys.stdout.flush()
            PAGE.write_text(page(counts, bad))
    sys.stdout.write("\n".join(bad) + "\n" if bad else "")
    return 1 if bad else 0


def page(counts: dict[str, Counter[str]], bad: list[str]) -> str:
    """The page with the counts by outcome and runtime."""
    outcomes = sorted({name for found in counts.values() for name in found})
    totals = " | ".join(f"**{sum(found.values())}**" for found in counts.values())
    return "\n".join(
        [
            "# Hostile files",
            "",
            "What became of copies of a small classifier in which one to eight random bits were flipped, each judged",
            "by every suite but those of time. Written by `tox -e fuzz`; the seeds are fixed.",
            "",
            f"| outcome | {' | '.join(counts)} |",
            f"|---|{'---:|' * len(counts)}",
            *(f"| {name} | {' | '.join(str(found[name]) for found in counts.values())} |" for name in outcomes),
            f"| **files** | {totals} |",
            "",
            f"Dead runs, hangs past their limit, and files that were accepted with other outputs: {len(bad)}."
            + "".join(f"\n- {line}" for line in bad),
            "",
            "A bit may lie where nothing reads it (a name, padding, a description): such a file is the same model, and",
            "is accepted. Each acceptance above was checked against the network's formula.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
