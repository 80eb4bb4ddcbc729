"""Whether times are sound: throttling and work that is not ours, from looks at the machine before, during and after.

    >>> before = State(at=0.0, cores=4, own_s=0.0, busy_s=100.0)
    >>> after = State(at=2.0, cores=4, own_s=1.9, busy_s=103.9)          # 3.9 s of work in 2 s, 1.9 s of it ours
    >>> [trouble.found for trouble in troubles([before, after])]
    ['work that is not ours took 1.00 of 4 cores']

How much others did is counted, not guessed: the time that the whole machine was busy between two looks (/proc/stat),
less what this process used. Load averages would not do: they lag by minutes, and hold our own conversions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from liteproof.checks import Measurement
from liteproof.measure.machine_state import State, look

# Others may take half a core, or an eighth of a large machine: the services of a desktop or a runner stay below it, one
# busy process on a machine of up to eight cores does not.
FOREIGN_CORES = 0.5
FOREIGN_SHARE = 1 / 8
# A thread that had to queue for a core for a tenth of the time that it wanted to run was not alone on it.
WAITED_SHARE = 0.10
# /proc/stat counts in ticks of 10 ms: over less than this its error is larger than what is looked for.
SHORTEST_WINDOW_S = 0.2

# What disturbs for a moment (an update check, a file index) is often over after this.
PAUSE_S = 2.0

# What else can be judged on a machine that does other work as well.
WITHOUT_TIMES = 'or judge all but times: pytest -m "not timing"'

# Bits of `vcgencmd get_throttled` (Raspberry Pi documentation); the same bits 16 higher mean "since boot".
_THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_NOW = 0xF


@dataclass(frozen=True)
class Trouble:
    """What made the times unsound, and what to do about it."""

    found: str
    next: str


class Watch:
    """Looks before and after a block, and now and then in it (`glance`); they are in `looks`."""

    def __init__(self) -> None:
        self.looks: tuple[State, ...] = ()
        self._pause_s = 1.0

    def __enter__(self) -> Self:
        self.looks = (look(processes=True),)
        return self

    def __exit__(self, *_: object) -> None:
        self.looks += (look(processes=True),)

    def glance(self) -> bool:
        """Look again if the last look is a while ago; less and less often, so that a report stays short."""
        if time.monotonic() - self.looks[-1].at < self._pause_s:
            return False
        self._pause_s *= 1.5
        self.looks += (look(),)
        return True


def troubles(looks: Sequence[State]) -> tuple[Trouble, ...]:
    """What makes times unsound that were taken from the first to the last of these looks. Empty if nothing does."""
    found = (_throttling(looks), _foreign_work(looks), _queueing(looks))
    return tuple(trouble for trouble in found if trouble is not None)


def foreign_cores(looks: Sequence[State]) -> float | None:
    """How many cores' worth of work others did, other guests of the same host included. None if it cannot be told."""
    first, last = looks[0], looks[-1]
    if first.busy_s is None or last.busy_s is None or last.at - first.at < SHORTEST_WINDOW_S:
        return None
    stolen = (last.stolen_s or 0.0) - (first.stolen_s or 0.0)
    foreign = (last.busy_s - first.busy_s) + stolen - (last.own_s - first.own_s)
    return max(0.0, foreign) / (last.at - first.at)


def waited_share(looks: Sequence[State]) -> float | None:
    """Share of the time it wanted to run that this thread queued for a core. None if it cannot be told."""
    first, last = looks[0], looks[-1]
    if first.waited_s is None or last.waited_s is None:
        return None
    waited, ran = last.waited_s - first.waited_s, last.own_s - first.own_s
    return waited / (waited + ran) if waited + ran > 0 else 0.0


def _throttling(looks: Sequence[State]) -> Trouble | None:
    words = [look.throttled for look in looks if look.throttled is not None]
    now = next((word for word in words if word & _NOW), None)
    # A bit that came up since the first look happened while nobody looked.
    since = (words[-1] & ~words[0]) >> 16 & _NOW if words else 0
    if now is not None or since:
        kinds = ", ".join(text for bit, text in _THROTTLED.items() if ((now or 0) | since) >> bit & 1)
        return Trouble(
            f"the board is throttled: {kinds} (get_throttled {now if now is not None else words[-1]:#x})",
            "cool the board, or give it a stronger supply, until `vcgencmd get_throttled` ends in 0; then run again",
        )
    events = [look.thermal_events for look in looks if look.thermal_events is not None]
    if events and events[-1] > events[0]:
        return Trouble(
            f"the processor throttled itself for heat {events[-1] - events[0]} times",
            "let the machine cool down, then run again",
        )
    return None


def _foreign_work(looks: Sequence[State]) -> Trouble | None:
    cores, foreign = looks[0].cores, foreign_cores(looks)
    if foreign is None or foreign < max(FOREIGN_CORES, FOREIGN_SHARE * cores):
        return None
    who = busiest(looks[0].processes, looks[-1].processes)
    by = f", most of it {who}" if who else ""
    return Trouble(
        f"work that is not ours took {foreign:.2f} of {cores} cores{by}",
        f"stop what else runs there, then run again; {WITHOUT_TIMES}",
    )


def _queueing(looks: Sequence[State]) -> Trouble | None:
    share = waited_share(looks)
    if share is None or share < WAITED_SHARE:
        return None
    return Trouble(
        f"the inference waited for a core for {share:.0%} of the time that it wanted to run",
        f"stop what else runs there, or give the container more cores, then run again; {WITHOUT_TIMES}",
    )


def busiest(before: Mapping[int, tuple[str, float]], after: Mapping[int, tuple[str, float]]) -> str | None:
    """Name and id of the process, not this one, that did most between two looks."""
    work = {
        pid: seconds - before.get(pid, (name, 0.0))[1]
        for pid, (name, seconds) in after.items()
        if pid != os.getpid() and before.get(pid, (name, 0.0))[0] == name
    }
    pid = max(work, key=work.__getitem__, default=None)
    return None if pid is None or work[pid] <= 0 else f"{after[pid][0]} (process {pid})"


def unsound(metric: str, found: Sequence[Trouble], looks: Sequence[State]) -> Measurement:
    """A metric that could not be measured soundly, with the numbers and what to do."""
    return Measurement(
        metric,
        None,
        detail="in two attempts: " + "; ".join(trouble.found for trouble in found),
        next=found[0].next,
        evidence={"machine": evidence(looks)},
    )


class Watched(Protocol):
    """A measurement that the machine was looked at for."""

    @property
    def looks(self) -> tuple[State, ...]:
        """Before, during and after."""


W = TypeVar("W", bound=Watched)


def retried(attempt: Callable[[], W], pause_s: float = PAUSE_S) -> tuple[W, tuple[Trouble, ...]]:
    """An attempt, or after a pause a second one if the first was disturbed; and what disturbed the one returned."""
    result = attempt()
    if troubles(result.looks):
        time.sleep(pause_s)
        result = attempt()
    return result, troubles(result.looks)


def summary(looks: Sequence[State]) -> str:
    """What is known of clocks, heat and power, in one line; empty where nothing is.

    >>> summary([State(at=0.0, cores=4, own_s=0.0, governors=("ondemand",) * 4, temperature_c=61.3, throttled=0)])
    'governor ondemand, up to 61 °C, not throttled'
    """
    last = looks[-1]
    clocks = [mhz for look in looks for mhz in look.frequencies_mhz]
    heat = [look.temperature_c for look in looks if look.temperature_c is not None]
    parts = [
        f"governor {', '.join(sorted(set(last.governors)))}" if last.governors else "",
        f"{min(clocks):.0f} to {max(clocks):.0f} MHz" if clocks else "",
        f"up to {max(heat):.0f} °C" if heat else "",
        "not throttled" if last.throttled is not None and not last.throttled & _NOW else "",
        f"battery {last.battery}" if last.battery else "",
        f"container limit of {last.cpu_limit:g} cores" if last.cpu_limit is not None else "",
    ]
    return ", ".join(filter(None, parts))


def evidence(looks: Sequence[State]) -> dict[str, object]:
    """What was seen, for the reports: JSON values, what is unknown as null."""
    foreign, waited = foreign_cores(looks), waited_share(looks)
    return {
        "cores": looks[0].cores,
        "foreign_cores": None if foreign is None else round(foreign, 3),
        "waited_share": None if waited is None else round(waited, 4),
        "before": _shown(looks[0]),
        "during": [_shown(look) for look in looks[1:-1]],
        "after": _shown(looks[-1]),
    }


def _shown(look: State) -> dict[str, object]:
    return {
        "load": list(look.load) or None,
        "governors": list(look.governors) or None,
        "frequencies_mhz": list(look.frequencies_mhz) or None,
        "temperature_c": look.temperature_c,
        "throttled": None if look.throttled is None else f"{look.throttled:#x}",
        "battery": look.battery,
        "cpu_limit": look.cpu_limit,
        "cpu_limit_hits": look.cpu_limit_hits,
        "memory_mb": None if look.memory_bytes is None else round(look.memory_bytes / 1e6, 1),
        "memory_free_mb": None if look.memory_free_bytes is None else round(look.memory_free_bytes / 1e6, 1),
    }
