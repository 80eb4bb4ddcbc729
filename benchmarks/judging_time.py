"""Where the wall time of judging goes: inside the runtime's invoke, and in each part of what lies outside it.

Judging a file that is known to load begins with nothing open and ends with the last metric. With n sessions side by
side n × the wall time is shared out, and the shares add up to one:

- while a session is in `predict`: by what it does there;
- before the first piece and after the last, when no session is at work: by what the main thread does, n times over;
- a session that has no piece to infer in between waits: for the trial of batches, for the main thread, for the end.

A wall time in `invoke` holds what others took of its core meanwhile. The share of the processor time, of this process
and its children, does not.

    >>> one = [Span(LOADING, 0.0, 1.0), Span(PREDICT, 1.0, 9.0), Span(INVOKE, 2.0, 8.0, inside=True)]
    >>> other = [Span(PREDICT, 1.0, 8.0), Span(INVOKE, 1.0, 7.0, inside=True)]
    >>> {part: share for part, share in shares([*one, *other], 0.0, 10.0, sessions=2).items() if share}
    {'inside invoke': 0.6, 'loading, allocating tensors': 0.1, 'other Python in a session': 0.15,
     'a session without a piece': 0.05, 'everything else': 0.1}
"""

from __future__ import annotations

import dataclasses
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest.mock import patch

from liteproof.arrays import Writer
from liteproof.measure import case_files, runtime, subject
from liteproof.store import Store

INVOKE = "inside invoke"
FEEDING = "copying samples into inputs"
FETCHING = "copying answers out"
LOADING = "loading, allocating tensors"
PREDICT = "other Python in a session"
WAITING = "a session without a piece"
TABLES = "reading the file's tables"
TRIAL = "forking the trial of batches"
WRITING = "writing the answers"
METRICS = "metrics"
REST = "everything else"
PARTS = (INVOKE, FEEDING, FETCHING, LOADING, PREDICT, WAITING, TABLES, TRIAL, WRITING, METRICS, REST)

# Where each part that is one call is called.
_CALLED: tuple[tuple[Any, str, str], ...] = (
    (runtime.Session, "_allocate", LOADING),
    (case_files, "read_model", TABLES),
    (subject, "same_in_batches", TRIAL),
    (Writer, "append", WRITING),
    (Writer, "_pack", WRITING),
    (Store, "put", WRITING),
)


class Span(NamedTuple):
    """A part from one reading of the clock to another, `inside` a session's predict or not; processor time of invoke.

    Some four thousand are taken in half a second, and each counts as time outside invoke: hence no more than a tuple.
    """

    part: str
    started: float
    ended: float
    inside: bool = False
    cpu: float = 0.0


@dataclass
class Watched:
    """What was seen of one judging. Times in seconds.

    Attributes:
        spans: Of every part, in all threads.
        sessions: How many were at work.
        wall: Of the whole.
        cpu: Processor time of this process and its children.
        cpu_share: Of it, inside invoke.
        shares: Of sessions × wall, by part.
    """

    spans: list[Span] = field(default_factory=list)
    sessions: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    cpu_share: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """A part of the main thread that is no call of liteproof's."""
        started = time.perf_counter()
        yield
        self.spans.append(Span(part, started, time.perf_counter()))


@contextmanager
def watched() -> Iterator[Watched]:
    """Times every part of what is judged meanwhile."""
    found = Watched()
    thread, predicting = threading.local(), set()

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            inside = getattr(thread, "predicts", False)
            if part == PREDICT:
                thread.predicts = True
                predicting.add(threading.get_ident())
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                found.spans.append(Span(part, started, time.perf_counter(), inside))
                thread.predicts = inside

        return call

    def run_timed(run: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            cpu, started = time.thread_time(), time.perf_counter()
            run()
            ended = time.perf_counter()
            found.spans.append(Span(INVOKE, started, ended, True, time.thread_time() - cpu))

        return call

    plain = runtime._graph_of

    def graph_of(*arguments: Any) -> runtime._Graph:
        graph = plain(*arguments)
        ends = {"set": timed(FEEDING, graph.set), "get": timed(FETCHING, graph.get)}
        return dataclasses.replace(graph, run=run_timed(graph.run), **ends)

    with ExitStack() as stack:
        stack.enter_context(patch.object(runtime, "_graph_of", graph_of))
        stack.enter_context(patch.object(runtime.Session, "predict", timed(PREDICT, runtime.Session.predict)))
        for owner, name, part in _CALLED:
            stack.enter_context(patch.object(owner, name, timed(part, getattr(owner, name))))
        started, cpu = time.perf_counter(), _cpu()
        yield found
        ended = time.perf_counter()
    found.wall, found.cpu = ended - started, _cpu() - cpu
    found.cpu_share = sum(span.cpu for span in found.spans) / found.cpu
    found.sessions = len(predicting)
    found.shares = shares(found.spans, started, ended, found.sessions)


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def shares(spans: Sequence[Span], started: float, ended: float, sessions: int) -> dict[str, float]:
    """The share of each part in sessions × (ended − started)."""
    pieces = [span for span in spans if span.part == PREDICT and not span.inside]
    first, last = min(piece.started for piece in pieces), max(piece.ended for piece in pieces)
    busy = sum(piece.ended - piece.started for piece in pieces)
    seconds = dict.fromkeys(PARTS, 0.0)
    for span in spans:
        if span.inside:
            seconds[span.part] += span.ended - span.started
        elif span.part != PREDICT:
            alone = max(0.0, min(span.ended, first) - span.started) + max(0.0, span.ended - max(span.started, last))
            seconds[span.part] += sessions * alone
    seconds[PREDICT] = busy - sum(span.ended - span.started for span in spans if span.inside)
    seconds[WAITING] = sessions * (last - first) - busy
    whole = sessions * (ended - started)
    seconds[REST] = whole - sum(seconds.values())
    return {part: spent / whole for part, spent in seconds.items()}
