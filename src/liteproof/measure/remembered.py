"""What need not be computed twice: how a file loaded, what it answered and how, and whether batches change that.

All are functions of the file, the runtime, the machine's processor, the threads and the inputs; all of them are in the
key. Times are never remembered.

    >>> sorted(identity("ai_edge_litert", threads=1))
    ['kernels', 'machine', 'processor', 'runtime', 'threads', 'version']
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from liteproof.arrays import Writer, open_arrays
from liteproof.measure.activations import Seen
from liteproof.measure.answers import BATCH, Piece
from liteproof.measure.layers import Drift
from liteproof.measure.probe import Outcome
from liteproof.measure.runtime import Kernels, installed_runtimes
from liteproof.measure.tensors import Array
from liteproof.store import Store, digest_of

T = TypeVar("T")


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
    # A hang or a lack of memory may be the machine's trouble of the moment, not the file's.
    lasting = lambda found: found.kind not in ("hung", "memory")  # noqa: E731
    return _told(store, "outcome", {"file": sha256, **ran_on}, Outcome, probe, lasting)


def drift(
    store: Store, file: str, float32: str, samples: str, ran_on: Mapping[str, object], trace: Callable[[], Drift]
) -> Drift:
    """How far each layer of a file is from float32's: remembered, or traced now. All three by digest."""
    return _told(store, "drift", {"file": file, "float32": float32, "samples": samples, **ran_on}, Drift, trace)


def same_in_batches(
    store: Store,
    sha256: str,
    evaluation: str,
    ran_on: Mapping[str, object],
    trial: Callable[[], Callable[[], bool]],
) -> Callable[[], bool]:
    """Whether batches change nothing in what a file answers to an evaluation set: remembered, or being tried now.

    Args:
        store: Where it is kept.
        sha256: Digest of the file.
        evaluation: Digest of what it is fed with.
        ran_on: What else decides it.
        trial: Begins to try; what it gives back waits for the end.
    """
    decided_by = {"file": sha256, "evaluation": evaluation, "batch": BATCH, **ran_on}
    known = store.get(digest_of({"kind": "batches", **decided_by}))
    ends = trial() if known is None else lambda: trial()()
    return cache(lambda: _told(store, "batches", decided_by, bool, ends))


def answers(
    store: Store, sha256: str, fed_with: str, ran_on: Mapping[str, object], infer: Callable[[], Iterable[Piece]]
) -> tuple[Array, ...]:
    """What a file answers, in the order of its outputs: remembered or computed.

    Args:
        store: Where answers are kept; what is returned is mapped from there.
        sha256: Digest of the file.
        fed_with: What tells the samples, and the way that they are fed in: a digest, or words with one.
        ran_on: What else decides the answers.
        infer: Outputs of some samples after the other, shape (some, …) each.
    """
    return _arrays(store, "answers", {"file": sha256, "evaluation": fed_with, **ran_on}, infer)


def seen(store: Store, sha256: str, fed_with: str, ran_on: Mapping[str, object], observe: Callable[[], Seen]) -> Seen:
    """Smallest and largest value of each tensor of a file on some samples: remembered, or observed now."""

    def table() -> Iterable[Piece]:
        found = observe()
        yield np.array(list(found), np.int64), np.array(list(found.values()), np.float64).reshape(-1, 2)

    indices, spans = _arrays(store, "seen", {"file": sha256, "samples": fed_with, **ran_on}, table)
    return {int(index): (float(low), float(high)) for index, (low, high) in zip(indices, spans, strict=True)}


def _told(
    store: Store,
    kind: str,
    decided_by: Mapping[str, object],
    type_: type[T],
    make: Callable[[], T],
    lasting: Callable[[T], bool] = lambda _: True,
) -> T:
    """What the store has of this kind, as JSON; else made now, and kept if it is what the next run would find, too."""
    key = digest_of({"kind": kind, **decided_by})
    entry = store.get(key)
    if entry is not None:
        return msgspec.json.decode(entry.path.read_bytes(), type=type_)
    found = make()
    if lasting(found):
        store.put(key, msgspec.json.encode(found), suffix=".json", meta={"kind": kind})
    return found


def _arrays(
    store: Store, kind: str, decided_by: Mapping[str, object], make: Callable[[], Iterable[Piece]]
) -> tuple[Array, ...]:
    """The arrays that the store has of this kind, mapped from there; made now if it has none."""
    key = digest_of({"kind": kind, **decided_by})
    entry = store.get(key)
    if entry is None:
        with store.scratch() as folder:
            path = folder / f"{kind}.npz"
            with Writer(path) as out:
                for piece in make():
                    out.append({f"output_{i}": array for i, array in enumerate(piece)})
            entry = store.put(key, path, suffix=".npz", meta={"kind": kind})
    return tuple(open_arrays(entry.path).values())
