"""The file loads, allocates and answers on the target. What does not load cannot be judged further."""

import pytest

from liteproof.measure import loading
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("loads")
def test_loads(case: Subject, check: Check) -> None:
    """The runtime takes the file, in a process of its own that it may take down."""
    check(loading.loads(case.loads()))
