"""What need not be computed twice: how a file loaded, and what it answered, on this very machine and runtime.

Both are functions of the file, the runtime, the machine's processor, the threads and the inputs; all of them are in the
key. Times are never remembered.

    >>> sorted(identity("ai_edge_litert", threads=1))
    ['kernels', 'machine', 'processor', 'runtime', 'threads', 'version']
"""

from __future__ import annotations

import io
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

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


def answers(
    store: Store, sha256: str, evaluation: str, ran_on: Mapping[str, object], infer: Callable[[], Sequence[Array]]
) -> tuple[Array, ...]:
    """What a file answers to an evaluation set (by digest), in the order of its outputs: remembered or computed."""
    key = digest_of({"kind": "answers", "file": sha256, "evaluation": evaluation, **ran_on})
    entry = store.get(key)
    if entry is not None:
        with np.load(entry.path, allow_pickle=False) as arrays:
            return tuple(arrays[name] for name in arrays.files)
    found = tuple(infer())
    content = io.BytesIO()
    named: dict[str, Any] = {f"output_{i}": array for i, array in enumerate(found)}
    np.savez(content, **named)
    store.put(key, content.getvalue(), suffix=".npz", meta={"kind": "answers"})
    return found
