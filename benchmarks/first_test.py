"""A pytest plugin: notes when the first test's body begins, in whatever process. `-p benchmarks.first_test`."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

VARIABLE = "BENCHMARK_FIRST_TEST"  # the file to leave the time in, on the system's monotonic clock


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Called for every test; only the first leaves its time."""
    path = Path(os.environ[VARIABLE])
    if not path.exists():
        path.write_text(str(time.monotonic()))
    return (yield)
