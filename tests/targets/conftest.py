"""Jobs for boards: suites of a few plain tests, sent over a real ssh, told back as messages."""

import shutil
import sys
import threading
import time
from dataclasses import dataclass, field

import pytest

from liteproof.plan import Plan, Target
from liteproof.store import Store
from liteproof.targets import run as runs
from liteproof.targets.bundle import make_bundle
from tests.boards.sshd import HOST

PATIENCE = runs.Patience(
    connect_s=5, greeting_s=15, frozen_s=5, silence_s=30, deadline_s=60, answer_s=15, pause_s=0.2, busy_s=1
)


@dataclass
class Told:
    """The messages of a run, sorted."""

    messages: list = field(default_factory=list)

    def __call__(self, message):
        self.messages.append(message)

    def of(self, kind):
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def outcomes(self):
        """Outcome of each test by its name: of its worst phase, or what became of it."""
        found, over = {}, set()
        for message in self.of(runs.Reported):
            name = message.report["nodeid"].partition("::")[2]
            if found.get(name) != "failed":
                found[name] = message.report["outcome"]
            if message.report["when"] == "teardown":
                over.add(name)
        found = {name: outcome for name, outcome in found.items() if name in over}
        for message in self.of(runs.Crashed):
            found[message.test.partition("::")[2]] = "crashed"
        for message in self.of(runs.NotRun):
            found |= {test.partition("::")[2]: "not run" for test in message.tests}
        return found

    @property
    def trouble(self):
        (message,) = self.of(runs.NotRun)
        return message.error

    def wait_for(self, kind, count=1, patience_s=30):
        deadline = time.monotonic() + patience_s
        while len(self.of(kind)) < count:
            assert time.monotonic() < deadline, self.messages
            time.sleep(0.01)


@pytest.fixture
def make_job(tmp_path):
    """Make a job of a suite's text; its tests are the functions that it defines."""

    def make(text, target, tests=None, arguments=()):
        folder = tmp_path / "suite" / "acceptance"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text('"""liteproof"""\n')
        (folder / "test_x.py").write_text(text)
        names = tests or [line[4:].partition("(")[0] for line in text.splitlines() if line.startswith("def test_")]
        bundle = make_bundle(Plan((), (target,)), target, Store(tmp_path / "store"), [], [folder])
        return runs.Job(target, tuple(f"acceptance/test_x.py::{name}" for name in names), bundle, arguments)

    return make


@pytest.fixture
def board(sshd, monkeypatch):
    """The second sshd, with the client led to it; at the end it must be as it was."""
    if sshd.process.poll() is not None:
        sshd.start()
    sshd.point_at(sshd.port)
    sshd.know("host_key")
    monkeypatch.setenv("LITEPROOF_SSH", sshd.client)
    yield sshd
    assert sshd.left_behind() == []
    assert not sshd.base.exists() or sshd.lock_is_free()


@pytest.fixture
def pi():
    return Target("pi", ssh=HOST, python=sys.executable)


@pytest.fixture
def carry_out():
    """Run a job to its end in this thread."""

    def carry(job, patience=PATIENCE):
        told = Told()
        runs.carry_out(job, told, patience=patience)
        return told

    return carry


@pytest.fixture
def in_background():
    """Start a job in a thread; gives what it tells so far, the thread, and the event that stops it."""
    started = []

    def start(job, patience=PATIENCE):
        told, stop = Told(), threading.Event()
        thread = threading.Thread(target=runs.carry_out, args=(job, told), kwargs={"stop": stop, "patience": patience})
        thread.start()
        started.append((thread, stop))
        return told, thread, stop

    yield start
    for thread, stop in started:
        stop.set()
        thread.join(60)
