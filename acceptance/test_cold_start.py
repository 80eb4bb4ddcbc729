"""A fresh process answers soon, and an inference costs no more processor time than it may."""

import pytest

from liteproof.measure import cold_start
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check

pytestmark = pytest.mark.timing


@pytest.mark.measures("cold_start_ms")
def test_cold_start(case: Subject, check: Check) -> None:
    """Import, load, allocate and first inference, in processes that do only that."""
    check(cold_start.cold_start_ms(case.cold_starts))


@pytest.mark.measures("cpu_ms")
def test_processor_time(case: Subject, check: Check) -> None:
    """The time of all threads added up, so that four busy cores are no free lunch."""
    check(cold_start.cpu_ms(case.cold_starts))
