"""Mutated files through the whole gate, counted by what became of them; and the long run that writes the page.

    python -m tests.fuzz.gate 10000                    # docs/hostile-files.md; goes on where it was stopped

Each file that the gate accepts is asked again, in a process of its own, and compared with what the healthy file gives:
one that passes with other outputs has slipped through.
"""

from __future__ import annotations

import importlib.util
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from liteproof.measure.runtime import installed_runtimes
from tests.corpus.files import Kind, quantized
from tests.corpus.runs import ROOT, Judged, judge
from tests.fuzz.mutations import flipped, mutated
from tests.plugin.tiny import network, samples

PAGE = ROOT / "docs" / "hostile-files.md"
BATCH = 200
# pytest looks through all reports again for each failure that it shows.
QUIET = ("--tb=no", "-rN")
RUNTIMES = ("ai_edge_litert", "tflite_runtime")
# Largest difference of an output from the healthy file's that an accepted file may have. float32: what `float32_error`
# is held to by default. int8: four codes of the output, where a weight or a bias may be half a step off.
TOLERANCE = {"float32": 1e-4, "int8": 4 / 256}

_ASK = """
import sys, numpy as np
from pathlib import Path
from liteproof.measure.runtime import open_session
x = np.load(sys.argv[3])
np.save(sys.argv[4], open_session(Path(sys.argv[1]), runtime=sys.argv[2]).predict(x)[0])
"""


def healthy(recipe: str) -> bytes:
    """The tiny network as a file of this recipe."""
    return network() if recipe == "float32" else quantized().content


def mutated_files(count: int, seed: str) -> dict[str, Kind]:
    """So many mutated copies of the tiny network by name: float32 and int8, flipped bits and aimed mutations."""
    chosen, files = random.Random(seed), {}
    for i in range(count):
        recipe = ("float32", "int8")[i % 2]
        mutate = (flipped, mutated)[i // 2 % 2]
        files[f"f{i:05}"] = Kind(mutate(healthy(recipe), chosen), recipe)
    return files


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


def faults(judged: Judged, name: str) -> list[str]:
    """Messages that are an exception's own: each is a fault of ours."""
    said = [check["detail"] or "" for check in judged.checks_of(name)]
    return [text for text in said if re.match(r"(?!ModelError)[A-Z]\w*(Error|Exception|Interrupt):", text)]


def slipped(judged: Judged, kinds: dict[str, Kind], runtime: str) -> list[str]:
    """Files that were accepted although they answer otherwise than the healthy file of their recipe."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = {recipe: _answers(folder, healthy(recipe), runtime) for recipe in TOLERANCE}
        for kind, file in kinds.items():
            if judged.verdicts[kind] in ("PASS", "PROVISIONAL"):
                right, answers = expected[file.recipe], _answers(folder, file.content, runtime)
                assert right is not None
                if (
                    answers is None
                    or answers.shape != right.shape
                    or not np.abs(answers - right).max() <= TOLERANCE[file.recipe]
                ):
                    found.append(kind)
    return found


def _answers(folder: Path, content: bytes, runtime: str) -> Any:
    """What a file answers to the evaluation set, asked in a process of its own; None if that died."""
    (folder / "file.tflite").write_bytes(content)
    (folder / "y.npy").unlink(missing_ok=True)
    np.save(folder / "x.npy", samples(120, 1)[0])
    arguments = [folder / "file.tflite", runtime, folder / "x.npy", folder / "y.npy"]
    subprocess.run([sys.executable, "-c", _ASK, *arguments], capture_output=True, timeout=60, check=False)
    return np.load(folder / "y.npy") if (folder / "y.npy").exists() else None


def judge_batch(runtime: str, seed: int, count: int) -> dict[str, Any]:
    """One run over so many files: counts by outcome, and what went wrong."""
    kinds, bad = mutated_files(count, f"{runtime} {seed}"), []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        judged = judge(Path(folder), kinds, *QUIET, runtime=runtime)
        seconds = time.monotonic() - began
        if judged.status not in (0, 1) or not judged.results["run"]["complete"]:
            bad.append(f"dead run: {runtime}, seed {seed}: status {judged.status}")
        bad += [f"fault of our own: {runtime}, seed {seed}, {name}" for name in kinds if faults(judged, name)]
        bad += [f"slipped through: {runtime}, seed {seed}, {name}" for name in slipped(judged, kinds, runtime)]
        counts = Counter(outcome(judged, name) for name in kinds)
    return {"runtime": runtime, "seed": seed, "seconds": seconds, "counts": counts, "bad": bad}


def kept() -> Path:
    """Where it is kept what each batch came to, a line of JSON each."""
    return platformdirs.user_cache_path("liteproof") / "hostile-files.jsonl"


def judge_and_keep(runtime: str, seed: int) -> dict[str, Any]:
    """Judge a batch and keep what it came to."""
    batch = {**judge_batch(runtime, seed, BATCH), "version": installed_runtimes()[runtime]}
    kept().parent.mkdir(parents=True, exist_ok=True)
    with kept().open("a") as stream:
        stream.write(json.dumps(batch) + "\n")
    sys.stdout.write(f"{runtime} from {seed}: {batch['seconds']:.0f} s; {batch['bad'] or 'nothing bad'}\n")
    sys.stdout.flush()
    return batch


def main(count: int) -> int:
    """Judge so many files, shared out to the installed runtimes; returns 1 if one slipped through or a run died.

    What each batch came to is kept for these runtimes, so a run that was stopped goes on.
    """
    versions = installed_runtimes()
    done: dict[tuple[str, int], dict[str, Any]] = {}
    for line in kept().read_text().splitlines() if kept().exists() else []:
        batch = json.loads(line)
        if batch["version"] == versions.get(batch["runtime"]):
            done[batch["runtime"], batch["seed"]] = batch
    runtimes = [name for name in RUNTIMES if importlib.util.find_spec(name)]
    wanted = [(name, start) for start in range(0, count // len(runtimes), BATCH) for name in runtimes]
    for key in wanted:
        if key not in done:
            done[key] = judge_and_keep(*key)
    batches = [done[key] for key in wanted]
    PAGE.write_text(page(batches), encoding="utf-8")
    return 1 if any(batch["bad"] for batch in batches) else 0


def page(batches: Iterable[dict[str, Any]]) -> str:
    """The page with the counts by outcome and runtime."""
    counts: dict[str, Counter[str]] = {}
    seconds: Counter[str] = Counter()
    bad: list[str] = []
    for batch in batches:
        runtime = f"{batch['runtime']} {batch['version']}"
        counts.setdefault(runtime, Counter()).update(batch["counts"])
        seconds[runtime] += batch["seconds"]
        bad += batch["bad"]
    outcomes = sorted({name for found in counts.values() for name in found})
    totals = " | ".join(f"**{found.total()}**" for found in counts.values())
    cost = " | ".join(f"{1000 * seconds[name] / found.total():.0f} ms" for name, found in counts.items())
    return "\n".join(
        [
            "# Hostile files",
            "",
            "What became of mutated copies of a small classifier, half of them float32 and half int8, each judged by",
            "every suite but those of time. Half have one to eight random bits flipped; the others have one to four",
            "mutations that are aimed at the tables, vectors and offsets of the flatbuffer. No file is judged twice.",
            "Written by `tox -e fuzz`; the seeds are fixed.",
            "",
            f"| outcome | {' | '.join(counts)} |",
            f"|---|{'---:|' * len(counts)}",
            *(f"| {name} | {' | '.join(str(found[name]) for found in counts.values())} |" for name in outcomes),
            f"| **files** | {totals} |",
            f"| time for a file | {cost} |",
            "",
            f"Dead runs, hangs past their limit, faults of our own, and files accepted with other outputs: {len(bad)}.",
            *(f"- {line}" for line in bad),
            "",
            "A mutation may lie where nothing reads it (a name, padding, a description): that file is the same model,",
            "and is accepted. Each file that was accepted was asked again, and answers as the healthy file of its",
            "recipe does: to 1e-4 (float32) or to four codes of the output (int8).",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
