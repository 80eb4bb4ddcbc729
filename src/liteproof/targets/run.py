"""One target's share of a run, carried to its end through every trouble.

    >>> import sys
    >>> from liteproof.plan import Plan
    >>> job = Job(Target("here", python=sys.executable), tests=(), bundle=Bundle((), Plan((), ()), "code/x.zip"))
    >>> told = []
    >>> carry_out(job, told.append)
    >>> told
    [Finished(target='here', sent_bytes=0)]

It tells what happens as messages, in order, from whatever thread it runs in. Every test that was asked for is told of:
reported by the target, crashed, or not run with the reason. A trouble that may pass is met by another line and the
tests that have not run; one that lasts, or comes again and again without a test done in between, ends it.
"""

from __future__ import annotations

import base64
import contextlib
import getpass
import json
import os
import platform
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liteproof.errors import TargetError
from liteproof.plan import Target, encode
from liteproof.report.wording import size
from liteproof.targets import preflight
from liteproof.targets.bundle import Bundle, BundleFile
from liteproof.targets.events import Event
from liteproof.targets.transport import CONNECT_S, GREETING_S, Line, open_line


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds, and how often to try.

    Attributes:
        connect_s: For a connection.
        greeting_s: For the guard's first word on it.
        frozen_s: For any sign of life from the guard.
        silence_s: For one test.
        deadline_s: For all tests.
        answer_s: For the answer to an order.
        attempts: Tries in a row without a test done in between.
        pause_s: Before the second try; it doubles.
        busy_s: For another controller to finish.
    """

    connect_s: float = CONNECT_S
    greeting_s: float = GREETING_S
    frozen_s: float = 30.0
    silence_s: float = 1800.0
    deadline_s: float = 6 * 3600.0
    answer_s: float = 120.0
    attempts: int = 4
    pause_s: float = 2.0
    busy_s: float = 10.0


@dataclass(frozen=True)
class Job:
    """What a target is to do. `arguments` are pytest's, beside our own."""

    target: Target
    tests: tuple[str, ...]
    bundle: Bundle
    arguments: tuple[str, ...] = ()
    run: str = field(default_factory=lambda: secrets.token_hex(8))


# --- What is told ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Began:
    """pytest has collected there. `machine` is what a report tells of it."""

    target: str
    machine: Mapping[str, object]


@dataclass(frozen=True)
class Started:
    """A test is on."""

    target: str
    test: str


@dataclass(frozen=True)
class Reported:
    """A phase of a test is over; the report as pytest serialized it."""

    target: str
    report: dict[str, Any]


@dataclass(frozen=True)
class Crashed:
    """pytest died, or was ended, in this test. `signal` is "" where it ended otherwise."""

    target: str
    test: str
    how: str
    signal: str = ""


@dataclass(frozen=True)
class NotRun:
    """These tests did not run, and will not."""

    target: str
    tests: tuple[str, ...]
    error: TargetError


@dataclass(frozen=True)
class Note:
    """Something for the reader: what is sent, what is tried again."""

    target: str
    text: str


@dataclass(frozen=True)
class Finished:
    """Nothing more will come from this target. `sent_bytes` went there in all."""

    target: str
    sent_bytes: int = 0


Message = Began | Started | Reported | Crashed | NotRun | Note | Finished
Tell = Callable[[Message], None]


class Machines:
    """One run at a time on one machine, whatever the names and ways it is reached by."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def use(self, boot: str, stop: threading.Event) -> Iterator[None]:
        """Have the machine that was booted under this id to ourselves."""
        with self._guard:
            lock = self._locks.setdefault(boot, threading.Lock())
        while not lock.acquire(timeout=0.2):
            if stop.is_set():
                raise Stopped
        try:
            yield
        finally:
            lock.release()


class Stopped(Exception):
    """The controller wants no more."""


def own_boot() -> str:
    """The id under which this machine was booted, as a survey tells it; "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def carry_out(
    job: Job,
    tell: Tell,
    *,
    stop: threading.Event | None = None,
    machines: Machines | None = None,
    patience: Patience | None = None,
) -> None:
    """Run a job's tests on its target and tell all that happens; ends with `Finished`, whatever comes."""
    work = _Work(job, tell, stop or threading.Event(), machines or Machines(), patience or Patience())
    try:
        work.to_the_end()
    except Stopped:
        pass
    finally:
        tell(Finished(job.target.name, work.sent_bytes))


class _Work:
    """The tests that have not run yet, and the tries that were made."""

    def __init__(self, job: Job, tell: Tell, stop: threading.Event, machines: Machines, patience: Patience) -> None:
        self.job = job
        self.name = job.target.name
        self.tell = tell
        self.stop = stop
        self.machines = machines
        self.patience = patience
        self.remaining = dict.fromkeys(job.tests)
        self.foretold = False
        self.sent_bytes = 0

    def to_the_end(self) -> None:
        tries, pause = 0, self.patience.pause_s
        while self.remaining and not self.stop.is_set():
            before = len(self.remaining)
            try:
                self._on_a_line()
            except TargetError as error:
                if len(self.remaining) < before:
                    tries, pause = 0, self.patience.pause_s
                tries += 1
                if not error.transient or tries >= self.patience.attempts:
                    self._give_up(error, tries)
                    return
                self.tell(
                    Note(self.name, f"{error.found}; trying again in {pause:g} s ({len(self.remaining)} tests left)")
                )
                self.stop.wait(pause)
                pause *= 2

    def _give_up(self, error: TargetError, tries: int) -> None:
        found = f"{error.found} ({tries} tries)" if error.transient and tries > 1 else error.found
        final = TargetError(
            found, expected=error.expected, where=error.where, next=error.next, transient=error.transient
        )
        self.tell(NotRun(self.name, tuple(self.remaining), final))

    def _on_a_line(self) -> None:
        with open_line(
            self.job.target,
            connect_s=self.patience.connect_s,
            greeting_s=self.patience.greeting_s,
            frozen_s=self.patience.frozen_s,
        ) as line:
            try:
                self._over(line)
            finally:
                self.sent_bytes += line.sent_bytes

    def _over(self, line: Line) -> None:
        line.send("survey", packages=preflight.packages_asked())
        facts = self._answer(line, "surveyed")["facts"]
        preflight.require(self.job.target, facts, time.time())
        self._foretell(facts)
        with self.machines.use(facts["boot"], self.stop):
            self._lock(line)
            self._send_bundle(line)
            while self.remaining and not self.stop.is_set():
                self._run(line, facts)

    def _foretell(self, facts: Mapping[str, Any]) -> None:
        """Tell once which files will not load, and what makes times worse, before anything is sent."""
        if not self.foretold:
            self.foretold = True
            lacking = preflight.lacking_operators(self.job.target, facts, self.job.bundle.operators)
            for text in (*lacking, *preflight.notes(self.job.target, facts)):
                self.tell(Note(self.name, text))

    def _lock(self, line: Line) -> None:
        deadline = time.monotonic() + self.patience.busy_s
        who = f"{_user()}@{platform.node()}, process {os.getpid()}"
        while not self.stop.is_set():
            line.send("lock", run=self.job.run, who=who)
            event = self._answer(line, "locked", "busy")
            if event.name == "locked":
                return
            if time.monotonic() > deadline:
                since = time.strftime("%H:%M:%S", time.localtime(event.facts.get("since", 0)))
                raise TargetError(
                    f"{self.name} is busy: another run holds it",
                    expected="one run at a time on a board",
                    where=f"held by {event.facts.get('who', 'somebody')}, since {since}",
                    next="wait until it is over, and start again",
                )
            self.stop.wait(1)
        raise Stopped

    def _send_bundle(self, line: Line) -> None:
        files = {file.path: file for file in self.job.bundle.files}
        listing = [{"path": file.path, "sha256": file.sha256, "bytes": file.size} for file in files.values()]
        line.send("need", files=listing, most_bytes=self.job.target.cache_bytes)
        needed = self._answer(line, "needed")
        self.tell_room(needed["room"])
        if needed["room"]["kept_bytes"] > self.job.target.cache_bytes:
            needs, most = size(needed["room"]["kept_bytes"]), size(self.job.target.cache_bytes)
            self.tell(
                Note(self.name, f"this run alone needs {needs}, which stays: more than cache in targets.toml, {most}")
            )
        missing = [files[path] for path in needed["missing"]]
        total, free = sum(file.size for file in missing), needed["room"]["free_bytes"]
        if total > free:
            raise TargetError(
                f"{self.name}: the disk is full: {size(total)} to send, {size(free)} free",
                next=f"ssh {self.job.target.ssh} df -h" if self.job.target.ssh else "df -h",
            )
        for attempt in range(1, 4):
            missing = self._send(line, missing)
            if not missing:
                return
            if attempt < 3:
                self.tell(Note(self.name, f"{len(missing)} files arrived damaged; sending them again"))
        raise TargetError(f"{self.name}: {missing[0].path} arrived damaged three times", transient=True)

    def tell_room(self, room: Mapping[str, int]) -> None:
        """Tell what the cache over there gave up, if anything."""
        if room["removed_bytes"]:
            held = f"{size(room['kept_bytes'])} of {size(self.job.target.cache_bytes)}"
            self.tell(
                Note(
                    self.name,
                    f"its cache gave up {size(room['removed_bytes'])}, the least recently used: it now holds {held}",
                )
            )

    def _send(self, line: Line, files: list[BundleFile]) -> list[BundleFile]:
        """Send files; returns those that arrived damaged."""
        total, done, told, damaged = sum(file.size for file in files), 0, time.monotonic(), []
        if files:
            self.tell(Note(self.name, f"sending {size(total)} in {len(files)} files"))
        for file in files:
            line.put(file.path, file.sha256, file.content())
            event = self._answer(line, "stored", "refused")
            if event.name == "refused":
                if event["kind"] != "damaged":
                    raise self._board_trouble(event)
                damaged.append(file)
            done += file.size
            if time.monotonic() - told > 5:
                told = time.monotonic()
                self.tell(Note(self.name, f"{size(done)} of {size(total)} sent"))
            if self.stop.is_set():
                raise Stopped
        return damaged

    def _run(self, line: Line, facts: Mapping[str, Any]) -> None:
        """One pytest over there: until it ends, or dies in a test."""
        order = {
            "plan": json.loads(encode(self.job.bundle.plan)),
            "tests": list(self.remaining),
            "emulated": facts.get("emulated", ""),
        }
        line.send(
            "run",
            code=self.job.bundle.code,
            arguments=[*ARGUMENTS, *self.job.arguments],
            order=base64.b64encode(zlib.compress(json.dumps(order).encode())).decode(),
            silence_s=self.patience.silence_s,
            deadline_s=self.patience.deadline_s,
        )
        watch = _Watch(self, facts)
        while True:
            event = line.receive(0.2)
            if self.stop.is_set():
                line.send("stop")
                self._answer(line, "ended", most_s=20)
                raise Stopped
            if event is None:
                continue
            if event.name == "trouble":
                raise self._board_trouble(event)
            if event.name == "ended":
                self.tell_room(event["room"])
                watch.ended(event)
                return
            watch.take(event)

    def _answer(self, line: Line, *names: str, most_s: float | None = None) -> Event:
        """The event of one of these names; others are passed over."""
        deadline = time.monotonic() + (most_s or self.patience.answer_s)
        while (left := deadline - time.monotonic()) > 0:
            event = line.receive(min(left, 0.5))
            if event is not None and event.name == "trouble":
                raise self._board_trouble(event)
            if event is not None and event.name in names:
                return event
        raise line.trouble(f"no answer: {' or '.join(names)} was expected")

    def _board_trouble(self, event: Event) -> TargetError:
        full = event["kind"] == "disk_full"
        ssh = self.job.target.ssh
        return TargetError(
            f"{self.name}: {'the disk is full' if full else event['text']}",
            where=event["text"],
            next=(f"ssh {ssh} df -h" if ssh else "df -h") if full else f"liteproof doctor {self.name}",
        )


class _Watch:
    """One pytest over there, followed by its events."""

    def __init__(self, work: _Work, facts: Mapping[str, Any]) -> None:
        self.work = work
        self.facts = facts
        self.on: str | None = None
        self.finished: int | None = None
        self.done = 0
        self.complaint = ""

    def take(self, event: Event) -> None:
        work, name = self.work, self.work.name
        if event.name == "begin":
            work.tell(Began(name, {**event["machine"], **preflight.summary(self.facts)}))
            for test in event["missing"]:
                self.complaint = self.complaint or f"{test} was not collected there"
        elif event.name == "start":
            self.on = event["test"]
            work.tell(Started(name, event["test"]))
        elif event.name == "report":
            report = event["report"]
            work.tell(Reported(name, report))
            if report["when"] == "teardown":
                work.remaining.pop(report["nodeid"], None)
                self.on, self.done = None, self.done + 1
        elif event.name in ("not_collected", "internal_error"):
            self.complaint = event["text"]
        elif event.name == "finish":
            self.finished = event["status"]

    def ended(self, event: Event) -> None:
        """Tell a test that took pytest down with it; refuse an end that nothing explains.

        Raises:
            TargetError: pytest ended early, and no test did it.
        """
        work = self.work
        if self.finished is not None and not work.remaining and event["status"] in (0, 1):
            return
        how = _how(event, work.patience)
        if self.on is not None and event["why"] in ("", "silent"):
            work.tell(Crashed(work.name, self.on, how, event["signal"] if not event["why"] else ""))
            work.remaining.pop(self.on, None)
            return
        last = (self.complaint or event["output"]).strip().splitlines()[-12:]
        raise TargetError(
            f"{work.name}: pytest {how} with {len(work.remaining)} tests not run",
            where="\n            ".join(last),
            next=f"liteproof doctor {work.name}",
            transient=bool(event["signal"]) or self.done > 0,
        )


def _how(event: Event, patience: Patience) -> str:
    if event["why"] == "silent":
        return f"gave no sign for {patience.silence_s:g} s and was ended"
    if event["why"] == "deadline":
        return f"was ended after {patience.deadline_s:g} s"
    if event["signal"]:
        memory = ": the kernel ran out of memory" if event["oom"] else ""
        return f"died of {event['signal']}{memory}"
    return f"ended with status {event['status']}"


# `{code}` and `{run}` are folders over there.
ARGUMENTS = (
    "-m", "pytest", "{code}/acceptance",
    "-c", "{code}/pytest.ini", "--rootdir={code}",
    "-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin", "-p", "liteproof.plugin",
    "--liteproof-order={run}/order.json",
)  # fmt: skip


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
