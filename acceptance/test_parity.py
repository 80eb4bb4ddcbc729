"""Another target answers as this machine does, on the same inputs.

docs/suites/parity.md says where each rule comes from and what to do when it fails.
"""

import pytest

from liteproof.measure import parity
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("parity_top1")
def test_decides_as_the_host_does(case: Subject, check: Check) -> None:
    """The target's class is the host's."""
    check(parity.parity_top1(case.beside_host, case.output_codes, case.threshold))


@pytest.mark.measures("parity_lsb")
def test_answers_as_the_host_does(case: Subject, check: Check) -> None:
    """The target's outputs are a few steps from the host's at most."""
    if case.output_codes is not None:
        check(parity.parity_lsb(case.beside_host, case.output_codes, case.threshold))
