"""The server behind `liteproof.measure.probe`: it imports a runtime once, and forks for each file.

    python -P -m liteproof.measure.probe_process ai_edge_litert

Requests come as lines of JSON on its standard input; the answer to each is one line, the `End` of the fork. The server
itself loads no file, so nothing that a file does can reach it or the next one. A fork does what a new process would: it
limits itself, tells each step on a channel of its own, and ends as Python ends, so that a crash at exit is seen. The
server watches it to its deadline and then kills it with all that it started.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec
import numpy as np

from liteproof.errors import LiteproofError, TargetError, UsageError
from liteproof.measure.probe import NO_MEMORY, Answer, Begin, Fault, Ready, Refusal, Request
from liteproof.measure.runtime import Session, bind, open_session
from liteproof.measure.tensors import Array, TensorSpec, Values, encode
from liteproof.measure.watched import End, follow

Send = Callable[[msgspec.Struct], None]


def main(runtime: str) -> None:
    """Import a runtime, then try files until nobody asks any more."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a runtime prints must not stand between our lines

    def leave(*_: object) -> NoReturn:
        raise SystemExit

    signal.signal(signal.SIGTERM, leave)
    tell = _sender(answers)
    try:
        bind(runtime)
    except LiteproofError as error:
        tell(_refusal(error))
        return
    gc.freeze()  # or a fork's first collection would copy all of these pages
    tell(Ready())
    for line in _lines(0):
        request = msgspec.json.decode(line, type=Request)
        end = _in_a_fork(request, answers)
        if end is None:
            return  # a fork that is done: it ends here, as any Python does
        _write(answers, msgspec.json.encode(end))


def _lines(descriptor: int) -> Iterator[bytes]:
    """Lines as they come, with no more of them read than a fork may see."""
    rest = b""
    while chunk := os.read(descriptor, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _in_a_fork(request: Request, answers: int) -> End | None:
    """Try a file in a fork of this process, and watch it; None in the fork itself, when it has done its work."""
    deadline = time.monotonic() + request.timeout_s
    channel, say = os.pipe()
    complaints, complain = os.pipe()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(complain, 1)
        os.dup2(complain, 2)
        for descriptor in (nothing, answers, channel, complaints, complain):
            os.close(descriptor)
        sacrifice(request, _sender(say))
        return None
    with contextlib.suppress(OSError):  # the fork does the same; whoever comes first
        os.setpgid(child, child)
    os.close(say)
    os.close(complain)
    try:
        heard = follow(child, channel, complaints, deadline)
    finally:
        _, status = os.waitpid(child, 0)
        os.close(channel)
        os.close(complaints)
    return heard.end(os.waitstatus_to_exitcode(status))


def _sender(descriptor: int) -> Send:
    return lambda message: _write(descriptor, msgspec.json.encode(message))


def _write(descriptor: int, line: bytes) -> None:
    data = line + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


# -- in the fork ------------------------------------------------------------------------------------------------------


def sacrifice(request: Request, send: Send) -> None:
    """Do what the request says, and tell each step."""
    _be_sacrificed(request.timeout_s)
    try:
        _limit_memory(request.memory_limit_mb)
        session = open_session(
            Path(request.path),
            runtime=request.runtime,
            threads=request.threads,
            kernels=request.kernels,
            delegate=request.delegate,
            announce=lambda phase: send(Begin(phase)),
        )
        session.feed(_first_sample(session, request))  # where the file leaves sizes open, this allocates
        send(Begin("invoke"))
        session.run()
        session.dequantize_outputs(session.fetch())
        send(Answer(session.inputs, session.outputs, session.delegated))
        send(Begin("exit"))
    except LiteproofError as error:
        send(_refusal(error))
    except MemoryError as error:
        send(Refusal("memory", f"out of memory on {request.runtime}: {error or 'MemoryError'}"))


def _be_sacrificed(timeout_s: float) -> None:
    """Leave no core file, outlive no server, and be the first to go where memory is short."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(math.ceil(timeout_s) + 5)  # in case the server dies: it kills at the deadline
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _limit_memory(megabytes: int | None) -> None:
    """Limit what may be allocated from here on, what is allocated already included.

    The limit is on data (heap and anonymous memory). One on address space would also count the shared libraries and the
    mapped file: 150 MB for a bare ai_edge_litert of which 65 MB are data, and gigabytes for TensorFlow.
    """
    if megabytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = megabytes << 20 if hard == resource.RLIM_INFINITY else min(megabytes << 20, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _first_sample(session: Session, request: Request) -> tuple[Array, ...]:
    """Content of the inputs: of the first sample of a file, or zeros."""
    samples = request.samples
    if samples is None:
        shapes = request.shapes or [spec.shape for spec in session.inputs]
        return tuple(encode(spec, _zeros(spec, shape)) for spec, shape in zip(session.inputs, shapes, strict=True))
    import zipfile  # on the way of those only who give samples

    try:
        with np.load(samples, allow_pickle=False) as archive:
            arrays: dict[str, Array] = {name: archive[name][:1] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"cannot read the samples: {error}", expected="an .npz of arrays", where=samples) from error
    values: Values = arrays["x"] if set(arrays) == {"x"} else arrays
    return session.quantize_inputs(values)


def _zeros(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    return np.zeros(shape, "S1" if spec.dtype == "bytes" else np.float32)


def _refusal(error: LiteproofError) -> Refusal:
    return Refusal(_fault(error), error.found, error.expected, error.where, error.next)


def _fault(error: LiteproofError) -> Fault:
    if isinstance(error, TargetError):
        return "target"
    if isinstance(error, UsageError):
        return "usage"
    return "memory" if NO_MEMORY.search(error.found) else "model"


if __name__ == "__main__":
    main(sys.argv[1])
