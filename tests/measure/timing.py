"""Stand-ins for what a time is taken with: machines by recorded states, a session that takes no time, a benchmark."""

import time
from types import SimpleNamespace

from pytest_benchmark.fixture import BenchmarkFixture

from liteproof.measure.machine_state import State


def machine(*, cores=2, seconds=1.0, own=1.0, foreign=0.02, stolen=0.0, waited=0.0, **more):
    """Two looks, `seconds` apart, at a machine where others did `foreign` seconds of work."""
    before = State(at=0.0, cores=cores, own_s=5.0, busy_s=100.0, stolen_s=1.0, waited_s=0.0)
    after = State(
        at=seconds, cores=cores, own_s=5.0 + own, busy_s=100.0 + own + foreign, stolen_s=1.0 + stolen, waited_s=waited,
        **more,
    )  # fmt: skip
    return before, after


class Looks:
    """Stands in for `disturbance.look`: the first of two looks, the second, and so on through the given pairs."""

    def __init__(self, *pairs):
        self._looks = [look for pair in pairs for look in pair]

    def __call__(self, **_):
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


class FakeSession:
    """Answers at once, and records what it was asked."""

    runtime = "a_runtime 1.0"

    def __init__(self, log=None, name="session"):
        self.log = [] if log is None else log
        self.name = name

    def feed(self, sample):
        self.log.append(("feed", self.name, sample))

    def run(self):
        self.log.append(("run", self.name))

    @property
    def runs(self):
        return sum(entry == ("run", self.name) for entry in self.log)


class FakeSubject:
    """A case whose session takes no time."""

    def __init__(self, limits=None):
        self.limits = limits or {}
        self.session = FakeSession()
        self.case = SimpleNamespace(
            model=SimpleNamespace(name="digits"), variant=SimpleNamespace(name="int8"),
            target=SimpleNamespace(name="host", threads=1),
        )  # fmt: skip

    def limit(self, metric):
        return self.limits.get(metric)

    def open(self):
        return self.session

    def samples(self, _session):
        return ["first", "second"]


def carrier(max_time=0.002, min_rounds=5, disabled=False):
    """pytest-benchmark's fixture, outside of its session."""
    return BenchmarkFixture(
        SimpleNamespace(name="test", nodeid="test"), disable_gc=False,
        timer=SimpleNamespace(target=time.perf_counter), min_rounds=min_rounds, min_time=5e-6, max_time=max_time,
        precision=None, confidence=None, warmup=False, warmup_iterations=0, calibration_precision=10,
        add_stats=lambda _: None, logger=None, warner=None, disabled=disabled, cprofile=None, cprofile_loops=None,
        cprofile_dump=None,
    )  # fmt: skip
