"""A Keras file in today's format: the same weights, and outputs that were compared.

    >>> done = repair(Path("old.h5"), Path("new.keras"))            # doctest: +SKIP
    >>> done.difference, done.samples                               # doctest: +SKIP
    (2.4e-07, 32)

Two processes do it. The Keras that reads the file loads it and answers on seeded inputs; Keras 3 then writes the new
file, loads it again, and answers too. Nothing is written where answers or weights differ.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from liteproof.convert.keras_package import KERAS, LEGACY, require_installed
from liteproof.convert.process import COMMAND, environment
from liteproof.errors import ModelError, UsageError
from liteproof.manifest import keras_file
from liteproof.manifest.source import KINDS

SUFFIX = ".keras"
SAMPLES = 32
# Of the largest output: what adding up in another order leaves in float32. A mixed_float16 model gets float16's.
TOLERANCE = 1e-5
HALF_TOLERANCE = 2e-3
_FAILED = 3


class Order(msgspec.Struct, frozen=True):
    """What one of the two processes is to do.

    Attributes:
        step: "read" the old file, or "write" the new one.
        source: The file that is read.
        kind: "keras" or "h5".
        keras: The package that reads it.
        folder: Where the two leave things for each other.
        out: The file that is written.
        root: The folder that custom objects are imported from.
        trust: Whether the source may run code of its own.
        custom_objects: "package.module:name", or None.
    """

    step: str
    source: str
    kind: str
    keras: str
    folder: str
    out: str
    root: str
    trust: bool = False
    custom_objects: str | None = None


class Repaired(msgspec.Struct, frozen=True):
    """What was done.

    Attributes:
        wrote: The Keras that wrote the old file; None where it does not say.
        writes: The Keras that wrote the new one.
        arrays: Number of weight arrays, equal to the bit.
        parameters: Number of their values.
        samples: Number of seeded inputs.
        difference: The largest difference between the two files' outputs on them.
        largest: The largest output.
        tolerance: What the difference was held to, over the largest output.
    """

    wrote: str | None
    writes: str
    arrays: int
    parameters: int
    samples: int
    difference: float
    largest: float
    tolerance: float


@dataclass(frozen=True)
class Permission:
    """What a source may need: code of its own, or classes and functions by name from the root folder."""

    trust: bool = False
    custom_objects: str | None = None
    root: str = "."


def repair(
    source: Path,
    out: Path,
    permission: Permission | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Repaired:
    """Write `source` as `out` in the current format, once both have given the same outputs.

    Args:
        source: A `.h5` or a `.keras`, of Keras 2 or Keras 3.
        out: A `.keras` that is not there yet.
        permission: What the source may need.
        progress: Hears what is being done.

    Raises:
        UsageError: if the request is wrong, or if more must be installed or allowed.
        ModelError: if the source does not load, if Keras 3 has no such layer, or if the outputs differ.
    """
    permission = permission or Permission()
    kind = _require_paths(source, out)
    file = keras_file.read(source, kind)
    if file is not None and file.weights_only:
        raise ModelError("it holds weights without an architecture", expected="a whole model", where=str(source))
    reads = keras_file.reader(file, kind) if file else KERAS
    require_installed(reads, source.name, str(source))
    require_installed(KERAS, source.name, str(source))
    with tempfile.TemporaryDirectory(prefix="liteproof-") as folder:
        order = Order(
            "read", str(source.absolute()), kind, reads, folder, str(Path(folder) / f"new{SUFFIX}"),
            str(Path(permission.root).absolute()), permission.trust, permission.custom_objects,
        )  # fmt: skip
        wrote = file.version if file else None
        by = "legacy Keras" if reads == LEGACY else "Keras 3"
        progress(f"reading {source.name} by {by} (written by Keras {wrote or '?'})")
        _run(order)
        progress(f"writing {out.name} by Keras 3, and comparing {SAMPLES} answers")
        done = msgspec.json.decode(_run(msgspec.structs.replace(order, step="write")), type=Repaired)
        done = msgspec.structs.replace(done, wrote=wrote)
        _require_equal(done, source)
        _put(Path(order.out), out)
    return done


def _require_paths(source: Path, out: Path) -> str:
    """Refuse what cannot be read or must not be written; the source's kind."""
    kind = KINDS.get(source.suffix.lower())
    if source.is_dir() or kind not in ("keras", "h5"):
        raise UsageError(
            f"{source.name} is no Keras file", expected="a .h5 or a .keras", where=str(source),
            next="a SavedModel or a .tflite has no Keras version that could be wrong: name it as source as it is",
        )  # fmt: skip
    if not source.is_file():
        raise UsageError("there is no such file", expected="a .h5 or a .keras", where=str(source))
    if out.suffix != SUFFIX:
        raise UsageError(
            f"{out.name} would not be in the current format", expected=f"a name that ends in {SUFFIX}",
            where=str(out), next=f"liteproof repair {source} {out.with_suffix(SUFFIX)}",
        )  # fmt: skip
    if out.exists():
        raise UsageError(
            f"{out.name} is there already, and nothing is replaced", expected="a new name", where=str(out),
            next="name another file, or remove this one",
        )  # fmt: skip
    if not out.absolute().parent.is_dir():
        raise UsageError("there is no such folder", expected="a folder to write to", where=str(out.absolute().parent))
    return kind


def _run(order: Order) -> bytes:
    """One step in a process of its own, which ends with this one; what it answers."""
    command = (*COMMAND[:-1], "liteproof.convert.repair_process")
    process = subprocess.Popen(
        [*command, msgspec.json.encode(order).decode()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(order.keras if order.step == "read" else KERAS),
    )
    try:
        answer, log = process.communicate()
    finally:
        process.kill()
    if process.returncode == _FAILED:
        kind, *parts = msgspec.json.decode(answer, type=tuple[str, str, str, str, str])
        found, expected, where, next_ = parts
        error = UsageError if kind == "UsageError" else ModelError
        raise error(found, expected=expected, where=where, next=next_)
    if process.returncode:
        last = (log.decode(errors="replace").strip().splitlines() or [""])[-1]
        ended = f"ended with status {process.returncode}: {last}"[:300]
        raise ModelError(f"the process that was to {order.step} it {ended}", where=order.source)
    return answer


def _require_equal(done: Repaired, source: Path) -> None:
    if done.difference <= done.tolerance * max(done.largest, 1.0):
        return
    raise ModelError(
        f"what Keras 3 makes of it answers differently: by {done.difference:.3g} on {done.samples} seeded inputs, "
        f"where outputs reach {done.largest:.3g}; nothing was written",
        expected=f"a difference of at most {done.tolerance:g} of the largest output",
        where=str(source),
        next="leave the file as it is: liteproof judges it by legacy Keras (pip install 'liteproof[legacy]')",
    )


def _put(made: Path, out: Path) -> None:
    """Move the new file to its place, whole or not at all; never over another one that has come meanwhile."""
    handle, name = tempfile.mkstemp(dir=out.absolute().parent, prefix=f".{out.name}-")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(made.read_bytes())
        part.chmod(0o644)
        os.link(part, out)
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror or error}", where=str(out)) from error
    finally:
        part.unlink(missing_ok=True)
