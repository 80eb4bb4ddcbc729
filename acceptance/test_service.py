"""The prediction service that runs on the target serves the variant that was judged, and answers as it does.

Collected where the manifest has `[service]`. docs/suites/service.md says what each rule asks and what to do when it
fails; docs/service.md has the contract.
"""

import pytest

from liteproof.checks import CLASSES
from liteproof.measure import service
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("service_health_mismatches", "service_digest_mismatches")
def test_is_well_and_serves_this_file(case: Subject, check: Check) -> None:
    """The health path has the declared fields; where it tells a digest, it is this file's."""
    health = service.health(case)
    check(service.health_mismatches(health))
    if health.digest is not None:
        check(service.digest_mismatches(health.digest, case.file.sha256))


@pytest.mark.measures("service_mismatches", "service_error")
def test_answers_as_the_variant_does(case: Subject, check: Check) -> None:
    """Evaluation samples get the answers that the very file gives on this target."""
    answers = service.answers(case)
    check(service.mismatches(answers, case.threshold, classes=case.model.task in CLASSES))
    check(service.error(answers))


@pytest.mark.timing
@pytest.mark.measures("service_p50_ms", "service_p95_ms")
def test_answers_in_time(case: Subject, check: Check) -> None:
    """From request to answer, one after the other."""
    for measurement in service.latency(service.times(case)):
        check(measurement)
