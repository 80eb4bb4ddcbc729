"""A process that only loads the model and answers fits into memory, and stays there."""

import pytest

from liteproof.measure import memory
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check

# Memory comes from the processes that time the cold start.
pytestmark = pytest.mark.timing


@pytest.mark.measures("peak_memory_mb")
def test_peak_memory(case: Subject, check: Check) -> None:
    """The most that the process ever had resident, the runtime included."""
    check(memory.peak_memory_mb(case.cold_starts))


@pytest.mark.measures("memory_growth_bytes")
def test_memory_does_not_grow(case: Subject, check: Check) -> None:
    """An inference leaves no memory behind."""
    check(memory.memory_growth_bytes(case.cold_starts))


@pytest.mark.measures("device_memory_mb")
def test_device_memory(case: Subject, check: Check) -> None:
    """What others have taken on the device and this process together keep the device's ceiling."""
    check(memory.device_memory_mb(case.cold_starts))
