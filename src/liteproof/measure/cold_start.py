"""Cold starts, each in a process of its own: how long they take, and what an inference costs in processor time.

    >>> run = ColdStart(import_s=0.080, load_s=0.010, allocate_s=0.006, first_s=0.004, cpu_s=0.003)
    >>> starts = ColdStarts(runs=(run,) * 6, looks=(State(at=0.0, cores=2, own_s=0.0),) * 2)
    >>> round(cold_start_ms(starts).value, 3), cpu_ms(starts).value
    (100.0, 3.0)

The same processes tell the memory (`liteproof.measure.memory`). What they do is in `liteproof.measure.cold_process`.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.disturbance import Watch, evidence, retried, troubles, unsound
from liteproof.measure.machine_state import State
from liteproof.measure.probe import dismiss
from liteproof.measure.tensors import Array
from liteproof.measure.watched import watch as run_watched
from liteproof.plan import Delegate
from liteproof.statistics import percentile, percentile_bounds, percentile_samples_to_settle, percentile_upper

# Six values are the fewest whose extremes bound their median from both sides at 95%; five from above. Where no limit
# asks for a bound, half of them tell as much: the blocks of three processes bound the growth of memory.
RUNS = 6
RUNS_WITHOUT_LIMIT = 3
BOUNDED = frozenset({"cold_start_ms", "cpu_ms", "peak_memory_mb", "device_memory_mb"})
ALLOWED_S = 120.0
LONGEST_RUN_S = 120.0
# How long each process goes on after its first inference, to watch memory and processor time.
WATCHED_S = 0.25


@dataclass(frozen=True)
class ColdStart:
    """What one process told; times in seconds, memory in bytes.

    Attributes:
        start: When its first line ran, on the system's monotonic clock.
        python_s: From its start to that line: Python itself.
        import_s: Importing numpy and the runtime.
        load_s: Making the interpreter from the file.
        allocate_s: Allocating the tensors.
        first_s: Setting the inputs, the first inference, reading the outputs.
        cpu_s: Processor time of all threads for one later inference.
        bare_bytes: Peak resident memory when the runtime was imported, and no file loaded.
        peak_bytes: Peak resident memory in all.
        inferences_per_block: Later inferences in a block.
        memory_bytes: Its own resident memory before the first block and after each.
    """

    import_s: float
    load_s: float
    allocate_s: float
    first_s: float
    cpu_s: float = 0.0
    start: float = 0.0
    python_s: float = 0.0
    bare_bytes: int = 0
    peak_bytes: int = 0
    inferences_per_block: int = 1
    memory_bytes: tuple[int, ...] = ()

    @property
    def total_s(self) -> float:
        """From the import to the first answer."""
        return self.import_s + self.load_s + self.allocate_s + self.first_s


@dataclass(frozen=True)
class ColdStarts:
    """Several cold starts of one case, and the machine before, between and after them."""

    runs: tuple[ColdStart, ...]
    looks: tuple[State, ...]


def processes_for(gated: Collection[str]) -> int:
    """How many processes to start, given the metrics that a limit or a baseline holds.

    >>> processes_for(["memory_growth_bytes"]), processes_for(["peak_memory_mb"])
    (3, 6)
    """
    return RUNS if not BOUNDED.isdisjoint(gated) else RUNS_WITHOUT_LIMIT


# --- Starting --------------------------------------------------------------------------------------------------------


def cold_starts(
    path: Path,
    inputs: Sequence[Array],
    *,
    runtime: str,
    threads: int = 1,
    delegate: Delegate | None = None,
    processes: int | None = None,
) -> ColdStarts:
    """Start a few processes, one after the other, that each load the file and answer; once more if disturbed.

    Args:
        path: The `.tflite`.
        inputs: What each input holds for one sample, in the order of the graph.
        runtime: As `liteproof.measure.runtime.open_session` takes it, like threads and delegate.
        threads: Threads for one inference.
        delegate: A delegate library to hand the graph to.
        processes: How many; None: as many as bound a median.

    Raises:
        Unmeasured: A process died, or did not end in time.
    """
    dismiss()  # a runtime that idles would count among what others take of the memory
    with tempfile.TemporaryDirectory(prefix="liteproof-") as folder:
        names = []
        for number, array in enumerate(inputs):
            names.append(str(Path(folder) / f"input{number}.npy"))
            np.save(names[-1], array, allow_pickle=False)
        library = "" if delegate is None else msgspec.json.encode(delegate).decode()
        arguments = [str(path.absolute()), runtime, str(threads), str(WATCHED_S), library, *names]
        return retried(lambda: _some(arguments, processes or RUNS))[0]


def _some(arguments: Sequence[str], processes: int) -> ColdStarts:
    deadline = time.monotonic() + ALLOWED_S
    runs: list[ColdStart] = []
    with Watch() as watch:
        while len(runs) < processes and time.monotonic() < deadline:
            runs.append(_one(arguments))
            watch.glance()
    return ColdStarts(tuple(runs), watch.looks)


def _one(arguments: Sequence[str]) -> ColdStart:
    spawned = time.monotonic()
    command = [sys.executable, "-P", "-m", "liteproof.measure.cold_process", *arguments]
    end = run_watched(command, LONGEST_RUN_S)
    if end.status != 0 or not end.lines:
        how = f"did not end within {LONGEST_RUN_S:.0f} s" if end.status is None else f"ended with status {end.status}"
        said = end.stderr.strip().splitlines()[-1:]
        raise Unmeasured(f"the process of a cold start {how}", where=" ".join(said), next="see the check loads")
    run = msgspec.json.decode(end.lines[-1], type=ColdStart)
    return replace(run, python_s=run.start - spawned)


# --- What they say ---------------------------------------------------------------------------------------------------


def cold_start_ms(starts: ColdStarts) -> Measurement:
    """Median time from the import of the runtime to the first answer, with its bounds."""
    runs = starts.runs
    phases = {
        name: round(1e3 * percentile([getattr(run, f"{name}_s") for run in runs], 0.5), 3)
        for name in ("python", "import", "load", "allocate", "first")
    }
    measurement = median_over_processes("cold_start_ms", [1e3 * run.total_s for run in runs], starts)
    parts = "import {import}, load {load}, allocate {allocate}, first inference {first} ms".format(**phases)
    return replace(
        measurement,
        detail=measurement.detail or f"{parts}; Python itself took {phases['python']} ms before",
        causes=() if measurement.value is None else _slow_phase(phases),
        evidence={**measurement.evidence, "phases_ms": phases},
    )


def cpu_ms(starts: ColdStarts) -> Measurement:
    """Median processor time of one inference, the time of all threads added up."""
    return median_over_processes("cpu_ms", [1e3 * run.cpu_s for run in starts.runs], starts)


def median_over_processes(metric: str, values: Sequence[float], starts: ColdStarts) -> Measurement:
    """A time as the median of several processes, unless the machine was disturbed."""
    disturbances = troubles(starts.looks)
    if disturbances:
        return unsound(metric, disturbances, starts.looks)
    return median_measurement(metric, values, evidence={"machine": evidence(starts.looks)})


def median_measurement(metric: str, values: Sequence[float], *, evidence: Mapping[str, object]) -> Measurement:
    """The median of several processes' values with its bounds; the values are in the evidence."""
    low, high = percentile_bounds(values, 0.5)
    upper = percentile_upper(values, 0.5)
    return Measurement(
        metric,
        percentile(values, 0.5),
        samples=len(values),
        interval=(low, high) if low is not None and high is not None else None,
        bound=math.inf if upper is None else upper,
        settle=lambda limit: percentile_samples_to_settle(values, 0.5, limit),
        evidence={**evidence, "values": [round(value, 4) for value in values]},
    )


def _slow_phase(phases: dict[str, float]) -> tuple[str, ...]:
    """Which phase took most, and why it may have."""
    reasons = {
        "import": "the runtime, and numpy with it: of the three, tensorflow takes longest",
        "load": "reading the file: a smaller file, or a faster disk",
        "allocate": "preparing the kernels: weights are unpacked and repacked here",
        "first": "the first inference: kernels and memory are touched for the first time",
    }
    slowest = max(reasons, key=phases.__getitem__)
    return (f"{slowest} takes {phases[slowest]:.3g} ms of it, {reasons[slowest]}",)
