"""The plugin's part on a target: what a controller ordered is collected, run, and reported back as it happens.

The order is a file: the plan with this target alone, and the ids of the tests to run. Reports go to a channel of their
own as lines of JSON, by pytest's own serialization; whatever prints elsewhere does not get between them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from liteproof import plan as plans
from liteproof.measure.machine import describe_machine
from liteproof.measure.runtime import default_runtime
from liteproof.plan import Plan
from liteproof.plugin.recording import EMULATED


class Board:
    """Runs what was ordered, and sends every report."""

    def __init__(self, config: pytest.Config) -> None:
        order = json.loads(Path(config.option.liteproof_order).read_bytes())
        self.config = config
        self.plan: Plan = plans.decode(json.dumps(order["plan"]))
        self.tests: Sequence[str] = order["tests"]
        self.channel: int = config.option.liteproof_channel
        config.stash[EMULATED] = order.get("emulated", "")

    def send(self, event: str, **facts: Any) -> None:
        """Send one event; a channel that nobody reads ends the run."""
        data = json.dumps({"event": event, **facts}, default=repr).encode() + b"\n"
        while data:
            data = data[os.write(self.channel, data) :]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what was ordered, in the order of the order."""
        found = {item.nodeid: item for item in items}
        items[:] = [found[test] for test in self.tests if test in found]
        target = self.plan.targets[0]
        machine = describe_machine(target.runtime or default_runtime(), target.threads)
        self.send("begin", machine=machine, missing=[test for test in self.tests if test not in found])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell what could not be collected."""
        if report.failed:
            self.send("not_collected", text=report.longreprtext)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell which test is on: if this process dies, it died in that one."""
        self.send("start", test=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send a phase's report."""
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.send("report", report=data)

    def pytest_internalerror(self, excrepr: object) -> None:
        """Tell of a fault of our own."""
        self.send("internal_error", text=str(excrepr))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Close: without this event a run is not over but cut off."""
        self.send("finish", status=int(exitstatus))
