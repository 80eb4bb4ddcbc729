"""What judging costs: speed beside a plain loop, memory and growth with the samples, growth with variants, collection.

    python -m benchmarks.evaluation            # some ten minutes on two cores
    python -m benchmarks.evaluation --quick    # smaller sets, fewer turns: whether it runs, not what it costs

The network is models/digits-mobilenet (0.1 ms an inference), converted once; the samples are its evaluation set's with
noise of a fifth of their range, made here. The plain loop is what people write: one interpreter, one sample at a time.
Both sides run in turns, in one process; memory is RssAnon of the process that judges, looked at every 10 ms.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.judging_time import METRICS, PARTS, Watched, watched
from liteproof.arrays import Writer
from liteproof.convert.conversion import prepare
from liteproof.manifest.resolve import load_plan
from liteproof.measure import accuracy, agreement, outputs, subject
from liteproof.measure.decisions import are_probabilities
from liteproof.measure.subject import Bench, Subject
from liteproof.store import Store

ROOT = Path(__file__).parents[1]
UNTIMED = "not latency and not cold_start and not memory and not speedup"
MANIFEST = '[model]\ntask = "classification"\nsource = "source.tflite"\n[data]\nevaluation = "evaluation.npz"\n'


def float32_of(model: Path, folder: Path) -> Path:
    """The float32 `.tflite` of a model's folder."""
    store = Store(folder / "converted")
    plan = load_plan([model], variant_names=("float32",), root=ROOT, store=store)
    prepare(plan, store)
    entry = store.get(plan.models[0].float32_key)
    if entry is None:
        raise SystemExit(f"{model} could not be converted")
    return entry.path


def make_model(folder: Path, model: str, file: Path, samples: int, variants: int = 0) -> Path:
    """A model's folder: the file as its own source, so many noisy samples, and so many copies as variants."""
    folder.mkdir(parents=True)
    shutil.copy(file, folder / "source.tflite")
    base = np.load(ROOT / "models" / model / "evaluation.npz")
    generator = np.random.default_rng(0)
    with Writer(folder / "evaluation.npz") as out:
        for start in range(0, samples, len(base["x"])):
            count = min(len(base["x"]), samples - start)
            x = base["x"][:count].astype(np.float32)
            noise = generator.uniform(-0.1, 0.1, x.shape).astype(np.float32) * np.ptp(x)
            out.append({"x": x + noise, "y": base["y"][:count]})
    tables = "[variants.float32]\n"
    for number in range(variants):  # bytes after the flatbuffer make each another file, and change nothing
        (folder / f"v{number}.tflite").write_bytes(file.read_bytes() + bytes([0] * 16 + [number % 256, number // 256]))
        tables += f'[variants.v{number}]\nfile = "v{number}.tflite"\nrecipe = "float32"\n'
    (folder / "model.toml").write_text(MANIFEST + tables, encoding="utf-8")
    return folder


def subject_of(folder: Path) -> Subject:
    """The float32 variant of a folder, found to load, on a fresh store that holds its reference and no answers."""
    plan = load_plan([folder], root=folder, store=Store(folder / "prepared"))
    prepare(plan, Store(folder / "prepared"))
    fresh = shutil.copytree(folder / "prepared", folder / f"store-{time.monotonic_ns()}")
    subject = Bench(Store(fresh)).subject(next(plan.cases()))
    subject.loads()
    return subject


def judge(case: Subject) -> None:
    """What the suites agreement, accuracy and outputs measure on the whole evaluation set."""
    reference, found, labels = case.reference, case.outputs, case.labels
    for metric in (agreement.top1_agreement, agreement.top5_agreement, agreement.confidence_drift):
        metric(reference, found)
    for metric in (agreement.max_abs_error, agreement.mean_abs_error, agreement.cosine_similarity, agreement.sqnr_db):
        metric(reference, found)
    accuracy.accuracy(found, labels)
    accuracy.accuracy_drop(reference, found, labels)
    accuracy.worst_class_recall_drop(reference, found, labels)
    for metric in (agreement.nonfinite_outputs, outputs.frozen_outputs, outputs.lost_classes):
        metric(reference, found)
    if are_probabilities(reference).all():
        outputs.invalid_probabilities(found, case.output_codes)


def plain_loop(file: Path, x: np.ndarray) -> float:  # type: ignore[type-arg]
    """Seconds of one interpreter that takes one sample after the other."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    started = time.perf_counter()
    for i in range(len(x)):
        interpreter.set_tensor(given, x[i : i + 1])
        interpreter.invoke()
        interpreter.get_tensor(made)
    return time.perf_counter() - started


def speed(scratch: Path, file: Path, samples: int, turns: int) -> None:
    """Samples a second beside the plain loop, and where the wall time of judging goes, in larger networks too."""
    folder = make_model(scratch / "speed", "digits-mobilenet", file, samples)
    loops, found = [], []
    for turn in range(turns):
        case = subject_of(folder)
        x = np.asarray(case.evaluation.inputs["x"])
        early = plain_loop(file, x) if turn % 2 == 0 else 0.0
        found.append(judged(case))
        loops.append(early or plain_loop(file, x))
    loop, wall = statistics.median(loops), statistics.median(each.wall for each in found)
    ratio = statistics.median(loop / each.wall for loop, each in zip(loops, found, strict=True))
    print(f"### {samples:,} samples, float32, median of {turns} turns\n")
    print("| | samples a second |\n|---|---:|")
    print(f"| plain loop, one by one, inference alone | {samples / loop:,.0f} |")
    print(f"| liteproof, with all metrics of three suites | {samples / wall:,.0f} |")
    print(f"\nratio {ratio:.2f} (asked for: 1.7)\n")
    columns = {f"{1e3 * loop / samples:.2f} ms": found}
    few = range(min(3, turns))
    with patch.object(subject, "side_by_side", lambda _bytes, _threads: 1):
        columns[f"{1e3 * loop / samples:.2f} ms, 1 session"] = [judged(subject_of(folder)) for _ in few]
    shutil.rmtree(folder)
    for times in (2, 3):
        larger = enlarged(scratch, times)
        folder = make_model(scratch / "speed", "digits-mobilenet", larger, samples)
        alone = plain_loop(larger, x[:1000]) / len(x[:1000])
        columns[f"{1e3 * alone:.2f} ms"] = [judged(subject_of(folder)) for _ in few]
        shutil.rmtree(folder)
    print(f"### Where the wall time of judging {samples:,} samples goes\n")
    print_parts(columns)


def judged(case: Subject) -> Watched:
    """What `judge` takes of a case that was found to load."""
    with watched() as found:
        _ = case.outputs
        with found.on(METRICS):
            judge(case)
    return found


def print_parts(columns: Mapping[str, Sequence[Watched]]) -> None:
    """The shares of all parts, medians over the turns, a column for each network."""

    def line(what: str, value: Callable[[Watched], float], form: str) -> None:
        medians = (statistics.median(map(value, found)) for found in columns.values())
        print(f"| {what} | " + " | ".join(format(median, form) for median in medians) + " |")

    print("| an inference of | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    line("sessions", lambda found: found.sessions, ".0f")
    line("wall time, s", lambda found: found.wall, ".2f")
    for part in PARTS:
        line(part, lambda found, part=part: found.shares[part], ".1%")  # type: ignore[misc]
    line("of the processor time, inside invoke", lambda found: found.cpu_share, ".1%")
    print("\nasked for: 95% inside invoke\n")


def enlarged(scratch: Path, times: int) -> Path:
    """`digits-mobilenet` with the side of its images taken so many times, by a layer of its own: a longer inference."""
    folder = scratch / f"enlarged-{times}"
    shutil.copytree(ROOT / "models" / "digits-mobilenet", folder)
    maker = multiprocessing.get_context("spawn").Process(target=enlarge, args=(folder / "mobilenet.h5", times))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise SystemExit("the enlarged network could not be made")
    return float32_of(folder, scratch)


def enlarge(source: Path, times: int) -> None:
    """Write the larger network over the source. For a process of its own: it imports TensorFlow."""
    import keras

    trained = keras.models.load_model(source, compile=False)
    height, width, channels = trained.input_shape[1:]
    size = (times * height, times * width, channels)
    network = keras.applications.MobileNetV2(size, alpha=0.35, weights=None, classes=trained.output_shape[1])
    network.set_weights(trained.get_weights())
    x = keras.Input((height, width, channels))
    keras.Model(x, network(keras.layers.UpSampling2D(times)(x))).save(source)


def growth_with_samples(scratch: Path, file: Path, sizes: list[int]) -> None:
    """Processor time of judging by the number of samples."""
    times = []
    for size in sizes:
        case = subject_of(make_model(scratch / f"samples-{size}", "digits-mobilenet", file, size))
        started = time.process_time()
        judge(case)
        times.append(time.process_time() - started)
        shutil.rmtree(scratch / f"samples-{size}")
    print_growth("samples", sizes, times)


def growth_with_variants(scratch: Path, file: Path, sizes: list[int]) -> None:
    """Processor time of the whole gate by the number of variants, the timing suites left out."""
    times = []
    for size in sizes:
        folder = make_model(scratch / f"variants-{size}", "digits", file, 100, size)
        times.append(gate(folder, "-k", UNTIMED)[0])
    print_growth("variants", sizes, times)


def print_growth(what: str, sizes: list[int], times: list[float]) -> None:
    """Times, and the straight line through them."""
    slope, base = np.polyfit(sizes, times, 1, w=1 / np.array(times))
    off = max(abs(base + slope * size - seconds) / seconds for size, seconds in zip(sizes, times, strict=True))
    exponent = np.polyfit(np.log(sizes), np.log(np.maximum(np.array(times) - max(base, 0.0), 1e-9)), 1)[0]
    print(f"### Growth with {what}\n")
    print(f"| {what} | processor seconds | the line |\n|---:|---:|---:|")
    for size, seconds in zip(sizes, times, strict=True):
        print(f"| {size:,} | {seconds:.2f} | {base + slope * size:.2f} |")
    print(
        f"\nover a factor of {sizes[-1] / sizes[0]:.0f}: {base:.2f} s and {1000 * slope:.3f} ms for each of the "
        f"{what}, {off:.0%} off at most; exponent {exponent:.2f} once the constant part is taken off\n"
    )


def gate(folder: Path, *more: str) -> tuple[float, float]:
    """Processor seconds of a run of the gate, and the most RssAnon of the process that judges, in MB."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--models={folder}"]
    environment = {**os.environ, "LITEPROOF_STORE": str(folder / "store")}
    peak, done = [0.0], threading.Event()
    before = os.times()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--report-dir={folder / 'reports'}", *more], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        watcher = threading.Thread(target=watch, args=(process.pid, peak, done))
        watcher.start()
        status = process.wait()
        done.set()
        watcher.join()
    after = os.times()
    if status not in (0, 1):
        raise SystemExit(f"pytest ended with status {status}:\n{(folder / 'log').read_text()[-2000:]}")
    return after.children_user + after.children_system - before.children_user - before.children_system, peak[0]


def watch(pid: int, peak: list[float], done: threading.Event) -> None:
    """Keep the most RssAnon of the process that pytest forks, which runs its own command line."""
    own = Path(f"/proc/{pid}/cmdline")
    while not done.wait(0.01):
        for child in Path(f"/proc/{pid}/task/{pid}").glob("children"):
            try:
                for number in child.read_text().split():
                    if Path(f"/proc/{number}/cmdline").read_bytes() == own.read_bytes():
                        status = Path(f"/proc/{number}/status").read_text()
                        peak[0] = max(peak[0], int(status.split("RssAnon:")[1].split()[0]) / 1024)
            except (OSError, IndexError):  # it has ended meanwhile
                continue


def memory(scratch: Path, file: Path, sizes: tuple[int, int]) -> None:
    """RssAnon by the number of samples."""
    peaks = []
    for size in sizes:
        folder = make_model(scratch / f"set-of-{size}", "digits", file, size)
        peaks.append(gate(folder, "-k", UNTIMED)[1])
        shutil.rmtree(folder)
    print("### Memory of the process that judges\n")
    print("| samples | RssAnon at its highest, MB |\n|---:|---:|")
    for size, peak in zip(sizes, peaks, strict=True):
        print(f"| {size:,} | {peak:.1f} |")
    print(f"\n{peaks[1] - peaks[0]:+.1f} MB (asked for: at most 30)\n")


def large_model(scratch: Path, width: int) -> None:
    """RssAnon of judging a network of six dense layers, by the size of its file."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: F401 - the base that it is held against

    from tests.tflite.build import OperatorSpec, TensorSpec, build

    generator = np.random.default_rng(0)
    tensors, operators = [TensorSpec("x", (1, width), signature=(-1, width))], []
    for layer in range(6):
        weights = generator.normal(0, width**-0.5, (width, width)).astype(np.float32)
        at = len(tensors)
        tensors += [TensorSpec(f"w{layer}", (width, width), data=weights.tobytes())]
        tensors += [TensorSpec(f"y{layer}", (1, width), signature=(-1, width))]
        operators.append(OperatorSpec("FULLY_CONNECTED", (at - 1, at), (at + 1,)))
    folder = scratch / "large"
    folder.mkdir()
    (folder / "source.tflite").write_bytes(build(tensors, operators))
    with Writer(folder / "evaluation.npz") as out:
        out.append({"x": generator.normal(size=(200, width)).astype(np.float32)})
    regression = MANIFEST.replace("classification", "regression")
    (folder / "model.toml").write_text(regression + "[variants.float32]\n[variants.dynamic_range]\n", encoding="utf-8")
    size = (folder / "source.tflite").stat().st_size / (1 << 20)
    peak = gate(folder, "-k", UNTIMED)[1]
    print(f"A network of {size:.0f} MB with its dynamic-range variant: {peak:.0f} MB, {peak / size:.2f} × its size,")
    print("pytest, numpy and the runtime included (asked for: 3 × and the runtime).\n")


def collection(scratch: Path, models: int) -> None:
    """Processor time of collecting so many models of eight variants beside bare pytest with as many items."""
    folder = scratch / "many"
    for number in range(models):
        shutil.copytree(ROOT / "models" / "digits", folder / f"m{number:03d}")
        data = dict(np.load(folder / f"m{number:03d}" / "evaluation.npz"))
        data["x"] = data["x"].astype(np.float32) + np.float32(number / 1000)  # no two sets are the same
        np.savez_compressed(folder / f"m{number:03d}" / "evaluation.npz", **data)
    (scratch / "bare").mkdir()
    times = [gate(folder, "--collect-only")[0] for _ in range(2)]
    items = sum("::" in line for line in (folder / "log").read_text().splitlines())
    test = "import pytest\n@pytest.mark.parametrize('i', range(%d))\ndef test_it(i):\n    pass\n"
    (scratch / "bare" / "test_bare.py").write_text(test % items, encoding="utf-8")
    (scratch / "bare" / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    before = os.times()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"]
    subprocess.run(command, cwd=scratch / "bare", stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    bare = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"### Collecting {models} models of eight variants, {items:,} items\n")
    print("| | processor seconds | ratio |\n|---|---:|---:|")
    print(f"| bare pytest, one parametrized test | {bare:.2f} | |")
    print(f"| liteproof, arrays and sources seen for the first time | {times[0]:.2f} | {times[0] / bare:.2f} |")
    print(f"| liteproof, seen before | {times[1]:.2f} | {times[1] / bare:.2f} (asked for: 2) |\n")


def main() -> None:
    """Print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=("speed", "memory", "samples", "variants", "large", "collection"))
    options = parser.parse_args()
    quick, wanted = options.quick, options.only
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        mobilenet, digits = (float32_of(ROOT / "models" / model, scratch) for model in ("digits-mobilenet", "digits"))
        parts = {
            "speed": lambda: speed(scratch, mobilenet, 2_000 if quick else 10_000, 1 if quick else 7),
            "memory": lambda: memory(scratch, digits, (1_000, 10_000 if quick else 100_000)),
            "large": lambda: large_model(scratch, 512 if quick else 2048),
            "samples": lambda: growth_with_samples(
                scratch, mobilenet, [300, 1_000, 3_000] if quick else [1_000, 3_000, 10_000, 32_000]
            ),
            "variants": lambda: growth_with_variants(scratch, digits, [1, 3] if quick else [1, 4, 11, 32]),
            "collection": lambda: collection(scratch, 5 if quick else 100),
        }
        for part, run in parts.items():
            if wanted is None or part in wanted:
                run()


if __name__ == "__main__":
    main()
