"""The manifest's own metrics, `[metrics.NAME]`: what matters for this task and no built-in metric tells.

docs/suites/own_metrics.md says how to write one and what to do when it fails.
"""

import pytest

from liteproof.measure.own_metrics import own_metrics
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("own")
def test_own_metrics(case: Subject, check: Check) -> None:
    """Each function of the user's over the source's outputs, the variant's, and the labels."""
    for measurement in own_metrics(case):
        check(measurement)
