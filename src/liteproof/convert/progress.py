"""What a user sees of a conversion: a bar for each model on a terminal, a line for each finished artefact elsewhere.

>>> import io
>>> stream = io.StringIO()
>>> with progress(stream) as listener:
...     listener(Event("converted", model="digits", name="int8", seconds=0.41, bytes=34888))
>>> print(stream.getvalue(), end="")
converted digits int8 in 0.4 s, 34.9 kB
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from liteproof.convert.tasks import Event, Listener

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def progress(stream: IO[str]) -> Iterator[Listener]:
    """A listener that shows on this stream what it hears. Nothing is shown, or imported, before it hears something."""
    if not stream.isatty():
        yield lambda event: _write_line(event, stream)
        return
    bars = _Bars(stream)
    try:
        yield bars.hear
    finally:
        bars.close()


def _write_line(event: Event, stream: IO[str]) -> None:
    line = _line(event)
    if line:
        stream.write(line + "\n")
        stream.flush()


def _line(event: Event) -> str | None:
    """The line for an event; None if it has none."""
    if event.kind == "converted":
        return f"converted {event.model} {event.name} in {event.seconds:.1f} s, {size(event.bytes)}"
    if event.kind == "reference":
        return f"computed {event.model} reference in {event.seconds:.1f} s, {size(event.bytes)}"
    if event.kind == "fetched":
        return f"fetched {event.model} {event.name} in {event.seconds:.1f} s, {size(event.bytes)}"
    if event.kind == "made":
        return f"made {event.model} {event.name} set in {event.seconds:.1f} s, {size(event.bytes)}"
    if event.kind == "at" and event.reason:
        return f"{event.name} for {event.model}: {event.reason}"
    if event.kind == "trained":
        return f"{event.name} for {event.model} done in {event.seconds:.1f} s"
    if event.kind == "failed":
        return f"failed {event.model} {event.name}: {event.reason}"
    return None


def _count(number: int, event: Event) -> str:
    return size(number) if event.meta.get("unit") == "B" else str(number)


def size(count: int) -> str:
    """A number of bytes, for people.

    >>> size(999), size(34888), size(1651816)
    ('999 B', '34.9 kB', '1.7 MB')
    """
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count} B"


class _Bars:
    """One bar for each model: how far it is, and what is being made."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._display: Progress | None = None
        self._bars: dict[str, TaskID] = {}
        self._wait: TaskID | None = None
        self._current: dict[str, dict[str, str]] = {}  # by model, what is being made, and how far it is

    def hear(self, event: Event) -> None:
        """Show what has happened."""
        display = self._display = self._display or self._open()
        if event.kind == "waiting":
            self._wait = display.add_task("waiting for the store", total=None, what="")
        elif self._wait is not None:
            display.remove_task(self._wait)
            self._wait = None
        if event.kind == "planned":
            self._bars[event.model] = display.add_task(event.model, total=event.total, what="")
        if event.model not in self._bars:
            return
        current = self._current.setdefault(event.model, {})
        if event.kind == "started":
            current[event.name] = event.name
        elif event.kind == "at":
            current[event.name] = f"{event.name} {_count(event.done, event)} of {_count(event.total, event)}"
        elif event.kind != "planned":
            current.pop(event.name, None)
            display.advance(self._bars[event.model])
        display.update(self._bars[event.model], what=", ".join(current.values()))
        if event.kind == "failed":
            display.console.print(_line(event), style="red", markup=False, highlight=False)

    def close(self) -> None:
        """Take the bars away; what failed stays on the screen."""
        if self._display is not None:
            self._display.stop()

    def _open(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        display = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[what]}", markup=False),
            console=Console(file=self._stream),
            transient=True,
        )
        display.start()
        return display
