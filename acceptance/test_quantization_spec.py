"""The file keeps to the TensorFlow Lite 8-bit quantization specification, and to int16x8's rules.

docs/suites/quantization_spec.md says where each rule comes from and what to do when it fails.
"""

import pytest

from liteproof.measure import conformance
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("spec_violations")
def test_keeps_to_the_specification(case: Subject, check: Check) -> None:
    """No tensor breaks a rule, but for those that the manifest waives with a reason and a last day."""
    promise = case.variant.promise
    day, float32 = conformance.today(), case.float32_flatbuffer
    check(conformance.spec_violations(case.flatbuffer, promise, case.waivers_of_rules, day, float32))
