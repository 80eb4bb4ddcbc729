"""What need not be computed twice: how a file loaded, what it answered, and whether batches change that.

All are functions of the file, the runtime, the machine's processor, the threads and the inputs; all of them are in the
key. Times are never remembered.

    >>> sorted(identity("ai_edge_litert", threads=1))
    ['kernels', 'machine', 'processor', 'runtime', 'threads', 'version']
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import msgspec

from liteproof.arrays import Writer, open_arrays
from liteproof.measure.answers import BATCH, Piece
from liteproof.measure.layers import Drift
from liteproof.measure.probe import Outcome
from liteproof.measure.runtime import Kernels, installed_runtimes
from liteproof.measure.tensors import Array
from liteproof.store import Store, digest_of


@lru_cache
def identity(runtime: str, threads: int, kernels: Kernels = "default") -> Mapping[str, object]:
    """What decides a kernel's arithmetic beside the file and the inputs."""
    return {
        "kernels": kernels,
        "runtime": runtime,
        "version": installed_runtimes().get(runtime),
        "threads": threads,
        "machine": platform.machine(),
        "processor": _processor(),
    }


@lru_cache(maxsize=1)
def _processor() -> str:
    """Model and features of the processor: runtimes choose kernels by them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    fields = re.findall(r"^(model name|flags|Features|CPU part|CPU implementer)\s*:\s*(.*)$", text, re.MULTILINE)
    return "; ".join(f"{name}: {value}" for name, value in dict(fields).items())


def outcome(store: Store, sha256: str, ran_on: Mapping[str, object], probe: Callable[[], Outcome]) -> Outcome:
    """How a file loaded: remembered, or tried now."""
    key = digest_of({"kind": "outcome", "file": sha256, **ran_on})
    entry = store.get(key)
    if entry is not None:
        return msgspec.json.decode(entry.path.read_bytes(), type=Outcome)
    found = probe()
    # A hang or a lack of memory may be the machine's trouble of the moment, not the file's.
    if found.kind not in ("hung", "memory"):
        store.put(key, msgspec.json.encode(found), suffix=".json", meta={"kind": "outcome"})
    return found


def drift(
    store: Store, file: str, float32: str, samples: str, ran_on: Mapping[str, object], trace: Callable[[], Drift]
) -> Drift:
    """How far each layer of a file is from float32's: remembered, or traced now. All three by digest."""
    key = digest_of({"kind": "drift", "file": file, "float32": float32, "samples": samples, **ran_on})
    entry = store.get(key)
    if entry is not None:
        return msgspec.json.decode(entry.path.read_bytes(), type=Drift)
    found = trace()
    store.put(key, msgspec.json.encode(found), suffix=".json", meta={"kind": "drift"})
    return found


def answers(
    store: Store, sha256: str, evaluation: str, ran_on: Mapping[str, object], infer: Callable[[], Iterable[Piece]]
) -> tuple[Array, ...]:
    """What a file answers to an evaluation set (by digest), in the order of its outputs: remembered or computed.

    Args:
        store: Where answers are kept; what is returned is mapped from there.
        sha256: Digest of the file.
        evaluation: Digest of what it is fed with.
        ran_on: What else decides the answers.
        infer: Outputs of some samples after the other, shape (some, …) each.
    """
    key = digest_of({"kind": "answers", "file": sha256, "evaluation": evaluation, **ran_on})
    entry = store.get(key)
    if entry is None:
        with store.scratch() as folder:
            path = folder / "answers.npz"
            with Writer(path) as out:
                for piece in infer():
                    out.append({f"output_{i}": array for i, array in enumerate(piece)})
            entry = store.put(key, path, suffix=".npz", meta={"kind": "answers"})
    return tuple(open_arrays(entry.path).values())


def same_in_batches(
    store: Store, sha256: str, evaluation: str, ran_on: Mapping[str, object], trial: Callable[[], bool]
) -> bool:
    """Whether batches change nothing in what a file answers to an evaluation set: remembered, or tried now."""
    key = digest_of({"kind": "batches", "file": sha256, "evaluation": evaluation, "batch": BATCH, **ran_on})
    entry = store.get(key)
    if entry is None:
        entry = store.put(key, msgspec.json.encode(trial()), suffix=".json", meta={"kind": "batches"})
    return msgspec.json.decode(entry.path.read_bytes(), type=bool)
