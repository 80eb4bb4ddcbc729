"""SIGTERM ends a run as Ctrl-C does: with reports that say at their top that it was cut off.

It is what a CI system sends when a job is cancelled or out of time, some seconds before SIGKILL; without this it would
leave nothing.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, NoReturn

import pytest


class Termination:
    """Turns SIGTERM into KeyboardInterrupt in the session's own process; a forked one dies of it as ever."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._before: Any = signal.signal(signal.SIGTERM, self._interrupt)

    def pytest_unconfigure(self, config: pytest.Config) -> None:  # noqa: ARG002
        """Put back what was there."""
        signal.signal(signal.SIGTERM, self._before)

    def _interrupt(self, number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG002
        if os.getpid() != self._process:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        raise KeyboardInterrupt("SIGTERM")
