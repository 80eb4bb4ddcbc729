"""Whether a file loads, allocates and answers here, tried in a process that may die of it.

    >>> outcome = probe(Path("model.tflite"), runtime="tflite_runtime")          # doctest: +SKIP
    >>> outcome.loads, outcome.phase, outcome.signal                             # doctest: +SKIP
    (False, 'load', 'SIGSEGV')
    >>> outcome.reason                                                           # doctest: +SKIP
    'its process died of SIGSEGV while it loaded the file on tflite_runtime'

Runtimes are written in C++, and a broken file can abort, crash or hang one, or make it ask for all the memory there is.
So a sacrificial process goes first: a fork of a server that has imported the runtime (`measure/probe_process.py`), so
that a file costs a fork and not a start of Python. It says what it is about to do before each phase; from that, from
how it ended and from its last words the outcome is told here.
"""

from __future__ import annotations

import atexit
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from liteproof.errors import TargetError, UsageError
from liteproof.measure.delegation import Delegated
from liteproof.measure.runtime import Kernels, default_runtime
from liteproof.measure.tensors import TensorSpec
from liteproof.measure.watched import End, environment
from liteproof.plan import Delegate

Phase = Literal["start", "load", "allocate", "invoke", "exit"]
Kind = Literal["ok", "refused", "died", "hung", "memory", "died_at_exit"]
Fault = Literal["model", "memory", "target", "usage"]

_DOING = {
    "load": "while it loaded the file",
    "allocate": "while it allocated the tensors",
    "invoke": "in the first inference",
    "exit": "at exit, after it had answered",
}
NO_MEMORY = re.compile(r"bad_alloc|length_error|MemoryError|out of memory|cannot allocate|unable to allocate", re.I)
# What runtimes print in health too.
_CHATTER = re.compile(r"INFO|WARNING: All log messages|[IW]\d{4} ")
# Seconds beyond a file's own that the server may take to tell how it ended.
_PATIENCE_S = 15.0


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
        delegated: Which operators the delegate took, if there is one and the file answered.
    """

    kind: Kind
    reason: str
    phase: Phase
    runtime: str
    signal: str | None = None
    evidence: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    delegated: Delegated | None = None

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
    shapes: tuple[tuple[int, ...], ...]
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
    shapes: tuple[tuple[int, ...], ...] = (),
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
        shapes: Of the zeros for each input, in the order of the graph; (): its own, 1 where it leaves one open.
        timeout_s: Seconds for the file, and for the start of the runtime; then the process and its children are killed.
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
        shapes=shapes,
        memory_limit_mb=memory_limit_mb,
        timeout_s=timeout_s,
    )
    return judge(_ask(request), request)


def dismiss() -> None:
    """Let the servers go; the next probe starts another. For what is measured with nothing of ours beside it."""
    for key in [key for key in _servers if key[0] == os.getpid()]:
        _servers.pop(key).end()


# By process, because a fork must not take part in the conversation of the process that it was forked from.
_servers: dict[tuple[int, str], _Server] = {}
atexit.register(dismiss)


def _ask(request: Request) -> End:
    """How the process that tried a file ended.

    Raises:
        TargetError, UsageError: The runtime does not start here.
    """
    key = (os.getpid(), request.runtime)
    for _ in range(2):  # a server may have been killed while it was idle: by whoever was short of memory, say
        if key not in _servers:
            _servers[key] = _Server(request.runtime, request.timeout_s)
        try:
            end = _servers[key].ask(request)
        except BaseException:
            _servers.pop(key).end()
            raise
        if end is not None:
            return end
        gone = _servers.pop(key).end()
    return gone


class _Server:
    """The process that has imported a runtime, and forks for each file.

    Raises:
        TargetError, UsageError: It does not start.
    """

    def __init__(self, runtime: str, timeout_s: float) -> None:
        self._said = b""
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "liteproof.measure.probe_process", runtime],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            # One that has threads when it forks is asking for trouble, and numpy multiplies nothing there.
            env={**environment(), "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        try:
            line = self._line(time.monotonic() + timeout_s)
        except BaseException:
            self.end()
            raise
        message = msgspec.json.decode(line, type=Ready | Refusal) if line else None
        if not isinstance(message, Ready):
            end = self.end(killed=line is None)
            if message:
                raise message.error()
            raise _does_not_start(runtime, end, timeout_s)

    def ask(self, request: Request) -> End | None:
        """How the fork for this request ended; None if the server itself has ended, or does not answer any more."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            os.write(self._process.stdin.fileno(), msgspec.json.encode(request) + b"\n")
        except BrokenPipeError:
            return None
        line = self._line(time.monotonic() + request.timeout_s + _PATIENCE_S)
        return msgspec.json.decode(line, type=End) if line else None

    def end(self, *, killed: bool = False) -> End:
        """End it, with the fork that it may be watching."""
        with self._process as process:
            process.terminate()
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._complaints.seek(0)
        with self._complaints as complaints:
            text = complaints.read()[-8192:].decode(errors="replace")
        return End((), text, None if killed else process.returncode)

    def _line(self, deadline: float) -> bytes | None:
        """The next line that it says; b"" if it has ended, None if the deadline came first."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._said:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return b""
            self._said += chunk
        line, _, self._said = self._said.partition(b"\n")
        return line


class Ready(msgspec.Struct, tag="ready"):
    """Sent by the server when it has imported the runtime."""


class Begin(msgspec.Struct, tag="begin"):
    """Sent before each phase."""

    phase: Phase


class Answer(msgspec.Struct, tag="answer"):
    """Sent when the first inference is done."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegated: Delegated | None = None


class Refusal(msgspec.Struct, tag="refusal"):
    """Sent for an error that was raised rather than died of."""

    fault: Fault
    found: str
    expected: str = ""
    where: str = ""
    next: str = ""

    def error(self) -> TargetError | UsageError:
        """The same as an error, where it does not concern the file."""
        kind = TargetError if self.fault == "target" else UsageError
        return kind(self.found, expected=self.expected, where=self.where, next=self.next)


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
        raise refusal.error()
    if phase == "start" and not refusal:
        raise _does_not_start(request.runtime, end, request.timeout_s)
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
        delegated=ends.delegated,
    )


def _verdict(end: End, request: Request, phase: Phase, refusal: Refusal | None) -> tuple[Kind, str]:
    if refusal:
        return ("memory" if refusal.fault == "memory" else "refused"), refusal.found
    if phase == "exit" and end.status == 0:
        return "ok", "it loads, allocates, answers and ends"
    reason = f"{_ending(end, request.timeout_s)} {_DOING[phase]} on {request.runtime}"
    if end.status is None:
        return "hung", reason
    if phase == "exit":
        return "died_at_exit", reason
    # Nothing here sends SIGKILL but the deadline, so a kernel short of memory did.
    if end.status == -signal.SIGKILL or NO_MEMORY.search(end.stderr):
        return "memory", reason
    return "died", reason


def _does_not_start(runtime: str, end: End, timeout_s: float) -> TargetError:
    return TargetError(
        f"{runtime} does not start: {_ending(end, timeout_s)}",
        where=last_words(end.stderr) or sys.executable,
        next=f"{sys.executable} -c 'import {runtime}'",
    )


def _ending(end: End, timeout_s: float) -> str:
    if end.status is None:
        return f"its process was killed after {timeout_s:g} s"
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
