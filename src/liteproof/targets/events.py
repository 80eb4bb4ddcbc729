r"""What comes back along a line: events, between whatever else the other end prints.

>>> reader = Reader("a1b2")
>>> [event.name for event in reader.feed(b'Welcome to pi!\na1b2 {"event": "hello", "pid": 7}\na1b2 {"eve')]
['hello']
>>> [event.name for event in reader.feed(b'nt": "beat"}\n')], reader.noise
(['beat'], 'Welcome to pi!\n')
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_NOISE = 2000
_LONGEST = 1 << 26


@dataclass(frozen=True)
class Event:
    """One event: its name and its facts."""

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.facts[key]


class Reader:
    """Finds events in a stream of bytes by the marker of this very run. `noise` is the last of what was none."""

    def __init__(self, marker: str) -> None:
        self._mark = marker.encode() + b" "
        self._buffer = b""
        self.noise = ""
        self.greeted = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are complete now."""
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) > _LONGEST:
            self._buffer = b""
        for line in lines:
            event = self._event(line)
            if event is not None:
                self.greeted = True
                yield event

    def _event(self, line: bytes) -> Event | None:
        before, mark, text = line.partition(self._mark)
        if mark:
            try:
                facts = json.loads(text)
                return Event(facts.pop("event"), facts)
            except (ValueError, KeyError, AttributeError, TypeError):
                before = line
        if before.strip():
            self.noise = (self.noise + before.decode(errors="replace") + "\n")[-_NOISE:]
        return None
