"""Whether a file loads, allocates and answers here, tried in a process that may die of it.

    >>> outcome = probe(Path("model.tflite"), runtime="tflite_runtime")          # doctest: +SKIP
    >>> outcome.loads, outcome.phase, outcome.signal                             # doctest: +SKIP
    (False, 'load', 'SIGSEGV')
    >>> outcome.reason                                                           # doctest: +SKIP
    'its process died of SIGSEGV while it loaded the file on tflite_runtime'

Runtimes are written in C++, and a broken file can abort, crash or hang one, or make it ask for all the memory there is.
So a sacrificial process (`python -m liteproof.measure.probe`) goes first. It says what it is about to do before each
phase; from that, from how it ended and from its last words the parent tells what became of it.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from liteproof.errors import LiteproofError, TargetError, UsageError
from liteproof.measure.runtime import Kernels, Session, bind, default_runtime, open_session
from liteproof.measure.tensors import Array, TensorSpec, Values, encode
from liteproof.plan import Delegate

Phase = Literal["start", "import", "load", "allocate", "invoke", "exit"]
Kind = Literal["ok", "refused", "died", "hung", "memory", "died_at_exit"]
Fault = Literal["model", "memory", "target", "usage"]

_DOING = {
    "load": "while it loaded the file",
    "allocate": "while it allocated the tensors",
    "invoke": "in the first inference",
    "exit": "at exit, after it had answered",
}
_NO_MEMORY = re.compile(r"bad_alloc|length_error|MemoryError|out of memory|cannot allocate|unable to allocate", re.I)
# What runtimes print in health too.
_CHATTER = re.compile(r"INFO|WARNING: All log messages|[IW]\d{4} ")
_TAIL = 8192


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        kind: "ok"; "refused" by the runtime, cleanly; "died" of a signal or of its own exit; "hung" past the deadline;
            ran out of "memory"; "died_at_exit", after it had answered.
        reason: The same in a sentence, with the runtime's own words where it had any.
        phase: What it was about: "load", "allocate", "invoke" or "exit".
        runtime: What it ran on.
        signal: Name of the signal that ended it, if one did.
        evidence: The last telling line that it printed.
        inputs, outputs: The model's ends, if it answered.
    """

    kind: Kind
    reason: str
    phase: Phase
    runtime: str
    signal: str | None = None
    evidence: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    @property
    def loads(self) -> bool:
        """Whether it loaded, allocated, answered and ended in peace."""
        return self.kind == "ok"


@dataclass(frozen=True)
class Request:
    """What the sacrificial process is to do."""

    path: str
    runtime: str
    threads: int
    kernels: Kernels
    delegate: Delegate | None
    samples: str | None
    memory_limit_mb: int | None
    timeout_s: float


def probe(
    path: Path,
    *,
    runtime: str | None = None,
    threads: int = 1,
    kernels: Kernels = "default",
    delegate: Delegate | None = None,
    samples: Path | None = None,
    timeout_s: float = 60.0,
    memory_limit_mb: int | None = None,
) -> Outcome:
    """Load a `.tflite`, allocate its tensors and invoke it once, in a process of its own.

    Args:
        path: The file.
        runtime: As `liteproof.measure.runtime.open_session` takes it; so the next three.
        threads: Threads for one inference.
        kernels: Which kernels.
        delegate: A delegate library.
        samples: An `.npz` of inputs by name (or one array `x`), of which the first sample is fed; None: zeros.
        timeout_s: Seconds in all; then the process and its children are killed.
        memory_limit_mb: Most memory that it may allocate, the bare runtime included (60 to 80 MB without TensorFlow).

    Raises:
        TargetError: The runtime is missing, or does not start here: nothing is known about the file.
        UsageError: There is no such file, runtime or sample.
    """
    request = Request(
        path=str(path.absolute()),
        runtime=runtime or default_runtime(),
        threads=threads,
        kernels=kernels,
        delegate=delegate,
        samples=None if samples is None else str(samples.absolute()),
        memory_limit_mb=memory_limit_mb,
        timeout_s=timeout_s,
    )
    command = [sys.executable, "-P", "-m", "liteproof.measure.probe", msgspec.json.encode(request).decode()]
    return judge(watch(command, timeout_s), request)


@dataclass(frozen=True)
class End:
    """How a watched process ended.

    Attributes:
        lines: What it wrote to its standard output; a line without its end is left out.
        stderr: The tail of its standard error.
        status: Exit status, or the negative number of the signal that ended it; None: killed at the deadline.
    """

    lines: tuple[bytes, ...]
    stderr: str
    status: int | None


def watch(command: Sequence[str], timeout_s: float) -> End:
    """Run a command to its end or to the deadline, and leave nothing of its process group behind."""
    deadline = time.monotonic() + timeout_s
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "PYTHONPATH": path},
        start_new_session=True,
    ) as process:
        try:
            said, complained = _drain(process, deadline)
            ended = _ended(process.pid, deadline)
        finally:
            # The group goes before its leader is reaped: until then its number belongs to nobody else.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    return End(tuple(said.split(b"\n")[:-1]), complained.decode(errors="replace"), status if ended else None)


def _ended(pid: int, deadline: float) -> bool:
    """Wait for a child to end, without reaping it; False: the deadline came first."""
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _drain(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """All of standard output and the tail of standard error, until both are closed or the deadline has passed."""
    said = complained = b""
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            selector.register(pipe, selectors.EVENT_READ)  # type: ignore[arg-type]
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    said += chunk
                else:
                    complained = (complained + chunk)[-_TAIL:]
    return said, complained


class Begin(msgspec.Struct, tag="begin"):
    """Sent before each phase."""

    phase: Phase


class Answer(msgspec.Struct, tag="answer"):
    """Sent when the first inference is done."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Refusal(msgspec.Struct, tag="refusal"):
    """Sent for an error that was raised rather than died of."""

    fault: Fault
    found: str
    expected: str = ""
    where: str = ""
    next: str = ""


def judge(end: End, request: Request) -> Outcome:
    """What a process's end says about the file.

    Raises:
        TargetError: It did not come as far as the file.
        UsageError: The request is wrong.
    """
    messages = [msgspec.json.decode(line, type=Begin | Answer | Refusal) for line in end.lines]
    phase: Phase = next((m.phase for m in reversed(messages) if isinstance(m, Begin)), "start")
    refusal = next((m for m in messages if isinstance(m, Refusal)), None)
    answer = next((m for m in messages if isinstance(m, Answer)), None)
    evidence = last_words(end.stderr)
    if refusal and refusal.fault in ("target", "usage"):
        kind = TargetError if refusal.fault == "target" else UsageError
        raise kind(refusal.found, expected=refusal.expected, where=refusal.where, next=refusal.next)
    if phase in ("start", "import") and not refusal:
        raise TargetError(
            f"{request.runtime} does not start: {_ending(end, request)}",
            where=evidence or sys.executable,
            next=f"{sys.executable} -c 'import {request.runtime}'",
        )
    verdict, reason = _verdict(end, request, phase, refusal)
    # Some runtimes hide a failed allocation behind another complaint, so name the limit that may be behind it.
    if verdict != "ok" and request.memory_limit_mb is not None and phase in ("allocate", "invoke"):
        reason += f" (memory was limited to {request.memory_limit_mb} MB)"
    if verdict not in ("ok", "refused", "hung") and evidence:
        reason += f": {evidence}"
    ends = answer if answer and verdict == "ok" else Answer((), ())
    died = end.status is not None and end.status < 0
    return Outcome(
        verdict,
        reason,
        phase,
        request.runtime,
        signal=_signal_name(end.status) if died and not refusal else None,
        evidence=evidence,
        inputs=ends.inputs,
        outputs=ends.outputs,
    )


def _verdict(end: End, request: Request, phase: Phase, refusal: Refusal | None) -> tuple[Kind, str]:
    if refusal:
        return ("memory" if refusal.fault == "memory" else "refused"), refusal.found
    if phase == "exit" and end.status == 0:
        return "ok", "it loads, allocates, answers and ends"
    reason = f"{_ending(end, request)} {_DOING[phase]} on {request.runtime}"
    if end.status is None:
        return "hung", reason
    if phase == "exit":
        return "died_at_exit", reason
    # Nothing here sends SIGKILL but the deadline, so a kernel short of memory did.
    if end.status == -signal.SIGKILL or _NO_MEMORY.search(end.stderr):
        return "memory", reason
    return "died", reason


def _ending(end: End, request: Request) -> str:
    if end.status is None:
        return f"its process was killed after {request.timeout_s:g} s"
    if end.status < 0:
        return f"its process died of {_signal_name(end.status)}"
    return f"its process ended with status {end.status}"


def _signal_name(status: int | None) -> str:
    number = -(status or 0)
    return signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"


def last_words(stderr: str) -> str:
    """The last line that is not what a runtime prints in health too."""
    lines = [" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in stderr.splitlines()]
    return next((line for line in reversed(lines) if line and not _CHATTER.match(line)), "")


def main(argument: str) -> None:
    """The sacrificial process: do what the request says, and tell each step on standard output."""
    request = msgspec.json.decode(argument, type=Request)
    channel = os.dup(1)
    os.dup2(2, 1)  # what a runtime prints must not stand between our lines

    def send(message: Begin | Answer | Refusal) -> None:
        os.write(channel, msgspec.json.encode(message) + b"\n")

    _be_sacrificed(request.timeout_s)
    try:
        send(Begin("import"))
        bind(request.runtime)
        _limit_memory(request.memory_limit_mb)
        session = open_session(
            Path(request.path),
            runtime=request.runtime,
            threads=request.threads,
            kernels=request.kernels,
            delegate=request.delegate,
            announce=lambda phase: send(Begin(phase)),
        )
        content = _first_sample(session, request.samples)
        send(Begin("invoke"))
        session.dequantize_outputs(session.invoke(content))
        send(Answer(session.inputs, session.outputs))
        send(Begin("exit"))
    except LiteproofError as error:
        send(_refusal(error))
    except MemoryError as error:
        send(Refusal("memory", f"out of memory on {request.runtime}: {error or 'MemoryError'}"))


def _be_sacrificed(timeout_s: float) -> None:
    """Leave no core file, outlive no parent, and be the first to go where memory is short."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(math.ceil(timeout_s) + 5)  # in case the parent dies: it kills at the deadline
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


def _first_sample(session: Session, samples: str | None) -> tuple[Array, ...]:
    """Content of the inputs: of the first sample of a file, or zeros."""
    if samples is None:
        return tuple(encode(spec, _zeros(spec)) for spec in session.inputs)
    import zipfile  # on the way of those only who give samples

    try:
        with np.load(samples, allow_pickle=False) as archive:
            arrays: dict[str, Array] = {name: archive[name][:1] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"cannot read the samples: {error}", expected="an .npz of arrays", where=samples) from error
    values: Values = arrays["x"] if set(arrays) == {"x"} else arrays
    return session.quantize_inputs(values)


def _zeros(spec: TensorSpec) -> Array:
    return np.zeros(spec.shape, "S1" if spec.dtype == "bytes" else np.float32)


def _refusal(error: LiteproofError) -> Refusal:
    return Refusal(_fault(error), error.found, error.expected, error.where, error.next)


def _fault(error: LiteproofError) -> Fault:
    if isinstance(error, TargetError):
        return "target"
    if isinstance(error, UsageError):
        return "usage"
    return "memory" if _NO_MEMORY.search(error.found) else "model"


if __name__ == "__main__":
    main(sys.argv[1])
