"""What one acceptance run has before it and what it has gathered: the state that the plugin's rooms share.

The gate fills it hook by hook; a replay adds what other targets are; the outcome and the sign-off read it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from liteproof.checks import Check
from liteproof.measure.subject import Bench
from liteproof.plan import Plan
from liteproof.plugin.fixtures import BENCH
from liteproof.store import Store


class AcceptanceRun:
    """One acceptance run; in a parallel worker, its share of one.

    Attributes:
        config: What pytest was asked for.
        store: Where artefacts are kept.
        bench: The files under judgement.
        plan: The work; empty until the session starts.
        started: When, in seconds since the epoch.
        selected: How many tests are to run.
        ran: How many ran to their end.
        checks: What they recorded.
        machines: What other targets say of themselves, by name.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.store = Store.default()
        self.bench = config.stash[BENCH] = Bench(self.store)
        self.plan = Plan((), ())
        self.started = time.time()
        self.selected = 0
        self.ran = 0
        self.checks: list[Check] = []
        self.machines: dict[str, Mapping[str, object]] = {}

    def report_folder(self) -> Path:
        """Where the run leaves its folder."""
        named = self.config.option.report_dir
        return self.config.invocation_params.dir / named if named else self.config.rootpath / "reports"
