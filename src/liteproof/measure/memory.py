"""Memory of a process that only loads the model and answers; and whether it grows from one answer to the next.

    >>> leaking = ColdStart(0.1, 0.0, 0.0, 0.0, bare_bytes=40_000_000, peak_bytes=52_000_000, inferences_per_block=10,
    ...                     memory_bytes=(20_000_000, 20_040_960, 20_081_920, 20_122_880))
    >>> starts = ColdStarts(runs=(leaking,) * 6, looks=(State(at=0.0, cores=2, own_s=0.0),) * 2)
    >>> peak_memory_mb(starts).value, memory_growth_bytes(starts).value
    (52.0, 4096.0)

MB are millions of bytes, as in the sizes of files. Memory needs no undisturbed machine.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from liteproof.checks import Measurement
from liteproof.measure.cold_start import ColdStart, ColdStarts, median_measurement
from liteproof.measure.machine_state import State
from liteproof.statistics import percentile

MB = 1e6


def peak_memory_mb(starts: ColdStarts) -> Measurement:
    """Median of the processes' peak resident memory (VmHWM), the runtime included."""
    peaks = [run.peak_bytes / MB for run in starts.runs]
    growth = [(run.peak_bytes - run.bare_bytes) / MB for run in starts.runs]
    bare = percentile([run.bare_bytes / MB for run in starts.runs], 0.5)
    told = {"bare_runtime_mb": round(bare, 3), "over_bare_runtime_mb": [round(value, 3) for value in growth]}
    return replace(
        median_measurement("peak_memory_mb", peaks, evidence=told),
        detail=f"{percentile(growth, 0.5):.1f} MB more than the bare runtime's {bare:.1f} MB",
        causes=(f"Python, numpy and the runtime alone take {bare:.1f} MB",),
    )


def memory_growth_bytes(starts: ColdStarts) -> Measurement:
    """Memory that each further inference leaves behind: median over the blocks of all processes, in bytes.

    The median, because an allocator that takes another stretch of memory once shows in one block, and a leak in all.
    """
    growth = [bytes_ for run in starts.runs for bytes_ in growth_by_block(run)]
    inferences = sum(run.inferences_per_block * (len(run.memory_bytes) - 1) for run in starts.runs)
    told = {"memory_mb": [round(value / MB, 3) for value in starts.runs[0].memory_bytes]}
    return replace(
        median_measurement("memory_growth_bytes", growth, evidence=told),
        detail=f"over {inferences} inferences in {len(starts.runs)} processes",
        causes=(
            "the model keeps state: a variable or a dynamic tensor grows with each inference",
            "the runtime or a delegate leaks",
        ),
    )


def growth_by_block(run: ColdStart) -> list[float]:
    """Bytes for each inference, block by block; memory that is given back counts as no growth.

    >>> once = ColdStart(0, 0, 0, 0, inferences_per_block=10, memory_bytes=(4096, 4096, 45056, 45056))
    >>> growth_by_block(once)
    [0.0, 4096.0, 0.0]
    """
    grown = np.maximum(0, np.diff(run.memory_bytes)) / run.inferences_per_block
    return [float(value) for value in grown]


def device_memory_mb(starts: ColdStarts) -> Measurement:
    """What the whole device has in use while this model answers: what others took already, and this process's peak."""
    taken = others_bytes(starts.looks[0])
    if taken is None:
        return Measurement(
            "device_memory_mb",
            None,
            detail="this system does not tell how much memory is in use (/proc/meminfo)",
            next="leave out the limit on device_memory_mb here; peak_memory_mb is the process alone",
        )
    in_all = starts.looks[0].memory_bytes or 0
    in_use = [(taken + run.peak_bytes) / MB for run in starts.runs]
    told = {"taken_mb": round(taken / MB, 1), "device_mb": round(in_all / MB, 1)}
    return replace(
        median_measurement("device_memory_mb", in_use, evidence=told),
        detail=f"{taken / MB:.1f} MB taken by others; the device has {in_all / MB:.0f} MB in all",
        causes=(f"others take {taken / MB:.1f} MB already",),
    )


def others_bytes(state: State) -> int | None:
    """Memory in use on the device or in the container; None if it cannot be told.

    Without that of the suites' own process, which will not run beside the model in service.
    """
    if state.memory_bytes is None or state.memory_free_bytes is None:
        return None
    return max(0, state.memory_bytes - state.memory_free_bytes - state.own_memory_bytes)
