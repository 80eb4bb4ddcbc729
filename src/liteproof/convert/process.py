"""A worker process, seen from the caller: started, given one task at a time, listened to, ended.

    >>> worker = Worker(COMMAND, folder, root=".")                  # doctest: +SKIP
    >>> worker.give(task)                                           # doctest: +SKIP
    >>> ready([worker])[0].answer().kind                            # doctest: +SKIP
    'converted'
    >>> worker.end()                                                # doctest: +SKIP

The worker has a process group of its own, so that Ctrl-C reaches the caller only, which then ends all that the worker
started. What TensorFlow writes to standard output and error goes to the worker's log.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from liteproof.convert.tasks import Event, Task, decode_event, encode

# -P: neither the folder that a user runs from nor the manifest's root may stand in for a module of TensorFlow's.
COMMAND = (sys.executable, "-P", "-m", "liteproof.convert.worker")

# No GPU: the bytes must not depend on the machine. Level 1 keeps the converter's warnings in the log, and a process
# that dies takes no buffered lines with it.
_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONUNBUFFERED": "1",
    "TF_CPP_MIN_LOG_LEVEL": "1",
}

# Of all that converters write, the lines that tell something about the file that came out.
_TELLING = re.compile(r"Flex delegate|TFLite custom op|[Uu]nsupported|not (be )?quantiz|[Ss]tatistics", re.ASCII)
_LAST_WORDS = re.compile(r"Check failed|LLVM ERROR|Fatal|bad_alloc|Aborted|terminate called", re.ASCII)
_PREFIX = re.compile(r"^[IWEF]\d{4} \S+ +\d+ \S+\] |^\S+ \S+: [IWEF] \S+\] ")


def environment(keras: str = "keras") -> dict[str, str]:
    """What a process that uses TensorFlow is started with; `tensorflow.keras` is there what `keras` names."""
    package = str(Path(__file__).parents[2])  # this liteproof, wherever the caller has it from
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    legacy = "1" if keras == "tf-keras" else "0"
    return {**os.environ, **_ENVIRONMENT, "TF_USE_LEGACY_KERAS": legacy, "PYTHONPATH": path}


class Worker:
    """One worker process. `task` is what it is at work on; None if it waits. `keras` is which Keras it has."""

    def __init__(self, command: Sequence[str], folder: Path, root: str, keras: str = "keras") -> None:
        """Start it.

        Args:
            command: The program; the folder and the root follow as arguments.
            folder: Where it leaves what it makes.
            root: The folder that Python callables of a manifest are imported from.
            keras: Which package `tensorflow.keras` is there: "keras", or "tf-keras". With "both" it is "keras" until
                training has imported the other one; no other source is loaded there.
        """
        self.keras = keras
        self.task: Task | None = None
        handle, name = tempfile.mkstemp(dir=folder, prefix="worker-", suffix=".log")
        self._log = Path(name)
        self._read_to = 0
        self._buffer = b""
        with os.fdopen(handle, "wb") as log:
            self._process = subprocess.Popen(
                [*command, str(folder), root],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
                env=environment(keras),
            )

    def give(self, task: Task) -> None:
        """Set it to work. If it is dead already, `answer` will tell."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self.task = task
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(encode(task))

    def fileno(self) -> int:
        """What becomes readable when it has something to tell."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout.fileno()

    def answer(self) -> Event | None:
        """The event that ends its task, else the newest that tells how far it is; None if there is none.

        Raises:
            EOFError: if it died; the message says of what, with its last words.
        """
        chunk = os.read(self.fileno(), 1 << 16)
        if not chunk:
            raise EOFError(self._obituary())
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if not lines:
            return None
        event = decode_event(lines[-1])  # the end of a task is the last that is told of it
        if event.kind != "at":
            self.task = None
        return event

    def telling_lines(self) -> list[str]:
        """Lines of its log, since the last call, that tell something about the file that was made."""
        return [line for line in self._new_lines() if _TELLING.search(line)]

    def end(self) -> None:
        """Kill it and all that it started. Nothing of what it has handed over is lost."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _new_lines(self) -> list[str]:
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            text = log.read()
        self._read_to += len(text)
        lines = [_PREFIX.sub("", line).strip() for line in text.decode(errors="replace").splitlines()]
        return list(dict.fromkeys(line[:300] for line in lines if line))

    def _obituary(self) -> str:
        status = self._process.wait()
        died = f"ended with status {status}" if status >= 0 else f"died of {_signal_name(-status)}"
        lines = self._new_lines()
        words = [line for line in lines if _LAST_WORDS.search(line)] or lines[-1:]
        return died + (f": {words[-1]}" if words else "")


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name}, as if short of memory" if name == "SIGKILL" else name


def ready(workers: Sequence[Worker]) -> list[Worker]:
    """Wait until workers have something to tell; which."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker, selectors.EVENT_READ, worker)
        return [key.data for key, _ in selector.select()]
