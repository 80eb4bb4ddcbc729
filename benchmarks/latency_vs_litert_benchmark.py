"""p50 as liteproof measures it, beside `litert-benchmark`, on the same files, in turns.

    python benchmarks/latency_vs_litert_benchmark.py                      # MobileNetV2, small and larger
    python benchmarks/latency_vs_litert_benchmark.py model.tflite …       # your own files

liteproof's side is `liteproof.measure.latency.timed_rounds`, rounds by pytest-benchmark, as in the acceptance suite.
The other side is the tool that ai-edge-litert ships, in a process of its own: as many rounds, after as many to warm up.
One thread, batch 1, random inputs on both sides (the tool takes no others). A turn in which others kept the machine
busy is taken again, unless `--disturbed-too` says otherwise. It prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from liteproof.measure.disturbance import Watch, foreign_cores, troubles
from liteproof.measure.latency import timed_rounds
from liteproof.measure.runtime import open_session

TURNS = 15
MOST_REPEATS = 10
SECONDS = 0.5
NETWORKS = {"small": (0.35, 96), "larger": (1.0, 224)}

# The tool rounds its figures to 10 µs, which is a tenth of what the small model takes.
UNROUNDED = """
import sys
import ai_edge_litert.tools.benchmark_litert_model as tool
tool.round = lambda value, digits=None: value
sys.argv = ["litert-benchmark", *sys.argv[1:]]
tool.main()
"""


@dataclass(frozen=True)
class Turn:
    """Median milliseconds by both, and the cores that others kept busy meanwhile."""

    ours: float
    theirs: float
    foreign: float


def row(file: Path, turns: Sequence[Turn]) -> str:
    """A line of the table: medians over the turns, median and quartiles of their ratios, the most that others did."""
    ours, theirs = (statistics.median(getattr(turn, side) for turn in turns) for side in ("ours", "theirs"))
    low, middle, high = np.quantile([turn.ours / turn.theirs for turn in turns], (0.25, 0.5, 0.75))
    foreign = max(turn.foreign for turn in turns)
    return f"| {file.stem} | {ours:.4f} | {theirs:.4f} | {middle:.3f} | {low:.3f} to {high:.3f} | {foreign:.2f} |"


def compare(file: Path, count: int, *, disturbed_too: bool = False) -> list[Turn]:
    """Turns of both sides; each side begins every other turn."""
    turns: list[Turn] = []
    rounds = our_p50(file)[1]
    for _ in range(count * MOST_REPEATS):
        with Watch() as watch:
            early = their_p50(file, rounds) if len(turns) % 2 else None
            ours, rounds = our_p50(file)
            theirs = their_p50(file, rounds) if early is None else early
        if troubles(watch.looks) and not disturbed_too:
            time.sleep(5)
            continue
        turns.append(Turn(ours, theirs, foreign_cores(watch.looks) or 0.0))
        if len(turns) == count:
            return turns
    sys.exit(
        f"{file.stem}: others kept the machine busy: {len(turns)} of {count} turns in {count * MOST_REPEATS} tries"
    )


def our_p50(file: Path) -> tuple[float, int]:
    """Milliseconds by liteproof, and over how many rounds."""
    session = open_session(file, runtime="ai_edge_litert", threads=1)
    random = np.random.default_rng(0)
    samples = [tuple(noise(random, spec.shape, spec.dtype) for spec in session.inputs) for _ in range(16)]
    seconds = timed_rounds(session, samples, carrier(), {}).seconds
    return 1e3 * statistics.median(seconds), len(seconds)


def noise(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """What the tool feeds: floats from -1 to 1, integers from the type's range, at most a byte's."""
    if dtype.startswith("float"):
        return random.uniform(-1, 1, shape).astype(dtype)
    info = np.iinfo(dtype)
    return random.integers(max(info.min, -128), min(info.max, 127), shape, endpoint=True).astype(dtype)


def carrier() -> BenchmarkFixture:
    """pytest-benchmark's fixture, with its defaults, outside of a pytest session."""
    return BenchmarkFixture(
        SimpleNamespace(name="p50", nodeid="p50"),
        disable_gc=False,
        timer=SimpleNamespace(target=time.perf_counter),
        min_rounds=5,
        min_time=5e-6,
        max_time=SECONDS,
        precision=None,
        confidence=None,
        warmup=False,
        warmup_iterations=0,
        calibration_precision=10,
        add_stats=lambda _: None,
        logger=None,
        warner=None,
        disabled=False,
        cprofile=None,
        cprofile_loops=None,
        cprofile_dump=None,
    )


def their_p50(file: Path, rounds: int) -> float:
    """Milliseconds by `litert-benchmark`."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        options = (f"--model={file}", f"--num_runs={rounds}", f"--warmup_runs={rounds}", "--num_threads=1")
        command = [sys.executable, "-c", UNROUNDED, *options, f"--result_json={result}"]
        subprocess.run(command, check=True, capture_output=True)
        return float(json.loads(result.read_text())["latency"]["median_ms"])


def make_models(folder: str) -> None:
    """MobileNetV2 with random weights, float32 and int8: its times do not depend on what it has learned."""
    import keras
    import tensorflow as tf

    random = np.random.default_rng(0)
    for name, (alpha, pixels) in NETWORKS.items():
        network = keras.applications.MobileNetV2((pixels, pixels, 3), alpha=alpha, weights=None, classes=10)
        saved = f"{folder}/{name}"
        network.export(saved, verbose=False)
        calibration = random.uniform(-1, 1, (8, 1, pixels, pixels, 3)).astype(np.float32)
        for kind in ("float32", "int8"):
            converter = tf.lite.TFLiteConverter.from_saved_model(saved)
            if kind == "int8":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda batches=calibration: ([batch] for batch in batches)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                converter.inference_input_type = converter.inference_output_type = tf.int8
            Path(f"{folder}/{name}-{kind}.tflite").write_bytes(converter.convert())


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: MobileNetV2, made now with TensorFlow")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--disturbed-too", action="store_true", help="keep the turns in which others were busy")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files
        if not files:
            maker = multiprocessing.get_context("spawn").Process(target=make_models, args=(folder,))
            maker.start()
            maker.join()
            files = [Path(folder) / f"{name}-{kind}.tflite" for name in NETWORKS for kind in ("float32", "int8")]
        print("| file | liteproof, ms | litert-benchmark, ms | ratio | its quartiles | others' cores, most |")
        print("|---|---|---|---|---|---|", flush=True)
        for file in files:
            turns = compare(file, options.turns, disturbed_too=options.disturbed_too)
            print(row(file, turns), flush=True)


if __name__ == "__main__":
    main()
