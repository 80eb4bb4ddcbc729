"""What a file answers to many samples: by sessions side by side, in batches where these change nothing.

    >>> same = same_in_batches(case.open, few)                                   # doctest: +SKIP
    >>> pieces = answers(case.open, 100_000, feed, batch=lambda: 8 if same() else 1, sessions=2)  # doctest: +SKIP
    >>> [outputs[0].shape for outputs in pieces][:2]                             # doctest: +SKIP
    [(3480, 10), (3480, 10)]

The runtimes let go of Python's lock while they infer, so that threads with a session each keep the cores busy. How many
samples go into one inference decides how often Python is in between, and nothing else: a file is run in batches only
where it has shown that its answers are the same to the bit (`same_in_batches`). Samples come and answers go a piece at
a time, so that memory does not grow with their number.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import repeat, starmap
from queue import SimpleQueue

import numpy as np

from liteproof.errors import ModelError
from liteproof.measure.runtime import Session
from liteproof.measure.tensors import Array, Values
from liteproof.tflite.reader import Model

# More than eight samples for one inference save little more (digits: 6.9 µs a sample at 1, 3.4 at 8, 2.7 at 32).
BATCH = 8
# Batches of what is larger than a core's cache are slower than one sample after the other.
ACTIVATION_BYTES = 4 << 20
# Runtimes repack weights for each session: two sessions double them, and more are for files that are small.
PACKED_BYTES = 64 << 20

_PIECE_BYTES = 4 << 20
_FEWEST, _PIECES_A_SESSION = 64, 8
_TRIAL_S = 60

Piece = tuple[Array, ...]
# Inputs of the samples from one number up to, and without, another.
Feed = Callable[[int, int], Values]


def answers(
    open_session: Callable[[], Session],
    samples: int,
    feed: Feed,
    *,
    batch: Callable[[], int] = lambda: 1,
    sessions: int = 1,
) -> Iterator[Piece]:
    """Real outputs of all samples, piece after piece in the samples' order, each float32 of shape (some, …).

    The first piece of each session is inferred one sample at a time, while it is found out what batches may be.

    Args:
        open_session: Opens one more session of the file.
        samples: How many there are.
        feed: Inputs of the samples from one number up to, and without, another.
        batch: Samples for one inference, where the file allows it; asked once the first pieces are under way, and may
            wait for that.
        sessions: How many sessions run side by side.

    Raises:
        ModelError: As `Session.predict`; also if outputs of one piece are of another shape than those of the first.
    """
    idle: SimpleQueue[Session] = SimpleQueue()

    def infer(bounds: tuple[int, int], batch: int) -> Piece:
        session = idle.get()
        try:
            return session.predict(feed(*bounds), batch=batch)
        finally:
            idle.put(session)

    def batches() -> Iterator[int]:
        yield from repeat(1, sessions)
        yield from repeat(batch())

    try:
        bounds = _bounds(samples, _nbytes(feed(0, 1)), sessions)
        at_once = min(sessions, len(bounds))
        for _ in range(at_once):
            idle.put(open_session())
        yield from _of_one_shape(_in_order(infer, zip(bounds, batches(), strict=False), at_once))
    finally:
        batch()  # after an error, or too few pieces to ask: who finds it out may have a process to wait for


def _of_one_shape(pieces: Iterable[Piece]) -> Iterator[Piece]:
    shapes: list[tuple[int, ...]] = []
    for piece in pieces:
        shapes = shapes or [output.shape[1:] for output in piece]
        for before, output in zip(shapes, piece, strict=True):
            if output.shape[1:] != before:
                raise ModelError(
                    f"an output of shape {list(before)} came out as {list(output.shape[1:])} for other samples",
                    expected="outputs of one shape: they are compared sample by sample",
                )
        yield piece


def _in_order(infer: Callable[..., Piece], pieces: Iterable[tuple[object, ...]], sessions: int) -> Iterator[Piece]:
    """Results in the order of the pieces; a piece a session is under way, and one more each lies ready."""
    if sessions == 1:
        yield from starmap(infer, pieces)
        return
    pool = ThreadPoolExecutor(sessions)
    under_way: deque[Future[Piece]] = deque()
    try:
        for each in pieces:
            under_way.append(pool.submit(infer, *each))
            if len(under_way) > 2 * sessions:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _bounds(samples: int, sample_bytes: int, sessions: int) -> list[tuple[int, int]]:
    """Where pieces begin and end: whole batches, so small that memory stays flat and sessions end together."""
    size = min(_PIECE_BYTES // max(1, sample_bytes), max(_FEWEST, samples // (_PIECES_A_SESSION * sessions)))
    size = max(1, size // BATCH) * BATCH
    # A rest that fills no batch would need an allocation of its own: it goes with the piece before.
    starts = list(range(0, max(1, samples - BATCH + 1), size))
    return list(zip(starts, [*starts[1:], samples], strict=True))


def _nbytes(values: Values) -> int:
    return values.nbytes if isinstance(values, np.ndarray) else sum(array.nbytes for array in values.values())


def side_by_side(file_bytes: int, threads: int) -> int:
    """How many sessions keep this machine's cores busy, in memory that stays near the file's own size.

    Args:
        file_bytes: Size of the file.
        threads: Threads of one inference.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores // threads, max(2, PACKED_BYTES // max(1, file_bytes))))


def fits_batches(model: Model) -> bool:
    """Whether the largest activation of a file is small enough for batches to pay."""
    graph = model.subgraphs[0]
    written = (graph.tensors[index] for operator in graph.operators for index in operator.outputs)
    return BATCH * 4 * max((tensor.elements for tensor in written), default=0) <= ACTIVATION_BYTES


def same_in_batches(open_session: Callable[[], Session], values: Values) -> Callable[[], bool]:
    """Whether the answers to these samples are the same to the bit one at a time and in batches of `BATCH`.

    Kernels may add up in another order for several samples, an operator may compute over the batch, and a file may
    refuse batches, or crash in one: so a forked process tries it, which may die of it. The process is at work when this
    returns; calling what it returns waits for it.

    Args:
        open_session: Opens a session of the file.
        values: A few samples, shape (n, …), or such an array for each input's name.
    """
    if not hasattr(os, "fork"):
        return lambda: False
    child = os.fork()
    if not child:
        _try(open_session, values)

    @cache
    def same() -> bool:
        return os.waitpid(child, 0)[1] == 0

    return same


def _try(open_session: Callable[[], Session], values: Values) -> None:
    """Ends this process: with 0 if the answers are the same."""
    status = 1
    try:
        faulthandler.disable()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_TRIAL_S)
        session = open_session()
        alone = session.predict(values)
        together = session.predict(values, batch=BATCH)
        if session.batch == BATCH:
            status = int([array.tobytes() for array in alone] != [array.tobytes() for array in together])
    finally:
        os._exit(status)
