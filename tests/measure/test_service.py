"""What is measured of a service, on services that keep the contract and on such that break it."""

from types import SimpleNamespace

import numpy as np
import pytest

from liteproof.errors import Unmeasured
from liteproof.measure import service
from liteproof.measure.evaluation import Evaluation
from liteproof.plan import Service
from tests.measure.services import Script, raw, served

DIGEST = "ab" * 32
EXPECTED = np.array([[0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.7, 0.2, 0.1]] * 3, np.float32)


def case(url, encoding="json", timeout_s=5.0, fields=None):
    """A case whose inputs are numbers of samples, as far as the service's measurements look at it."""
    declared = {"status": "ok", "model_loaded": True} if fields is None else fields
    contract = Service(
        "float32", {"": url}, "/api/health", declared, "digest", "/api/predict", encoding, "outputs", 8, timeout_s
    )
    inputs = Evaluation({"x": np.arange(12, dtype=np.float32)[:, None]}, None)
    return SimpleNamespace(
        model=SimpleNamespace(service=contract),
        target=SimpleNamespace(name="host"),
        inputs=inputs,
        outputs=EXPECTED,
        decisive="probabilities",
    )


def right(request):
    return EXPECTED[[int(request["inputs"][0][0])]].tolist()


def healthy(**more):
    return {"status": "ok", "model_loaded": True, "digest": DIGEST, **more}


def test_a_service_that_keeps_the_contract():
    with served(Script(right, healthy())) as url:
        health, answers = service.health(case(url)), service.answers(case(url))
    assert service.health_mismatches(health).value == 0
    assert service.digest_mismatches(health.digest, DIGEST).value == 0
    assert service.digest_mismatches(f"sha256:{DIGEST.upper()}", DIGEST).value == 0
    assert len(answers.got) == 8
    assert service.mismatches(answers).value == 0
    assert service.error(answers).value == 0


def test_outputs_by_name_without_a_batch_axis_and_rounded_are_taken():
    def predict(request):
        return {"probabilities": np.round(np.array(right(request)[0]), 4).tolist(), "features": [1.0]}

    with served(Script(predict, healthy())) as url:
        answers = service.answers(case(url))
    assert service.mismatches(answers).value == 0
    assert service.error(answers).value < 1e-3


BROKEN = {
    "another model": (Script(lambda r: right(r)[0][::-1]), "class 2, the file decides for 0"),
    "500s": (Script(right, predict_status=500), "status 500"),
    "no outputs": (Script(None), "no 'outputs' in the answer"),
    "another shape": (Script(lambda _: [[1.0, 0.0]]), "has shape [1, 2], not [1, 3]"),
    "text": (Script(lambda _: "rose"), "holds no array of numbers"),
    "NaN": (Script(lambda _: [[float("nan")] * 3]), "class -1"),
    "slow": (Script(right, delay=0.8), "no whole answer within 0.3 s"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_answers_that_are_none_or_other_ones(name):
    script, said = BROKEN[name]
    with served(script) as url:
        answers = service.answers(case(url, timeout_s=0.3))
    found = service.mismatches(answers)
    assert found.value >= 4
    assert said in found.detail
    assert found.causes


def test_codes_in_place_of_values_keep_the_class_and_miss_the_value():
    with served(Script(lambda r: np.round(255 * np.array(right(r))).tolist())) as url:
        answers = service.answers(case(url))
    assert service.mismatches(answers).value == 0
    assert service.error(answers).value > 100


def test_a_service_that_keeps_failing_is_not_asked_on():
    script = Script(right, predict_status=500)
    with served(script) as url:
        found = service.mismatches(service.answers(case(url)))
    assert found.value == 8
    assert len(script.asked) == service.GIVEN_UP_AFTER


def test_nothing_answered_has_no_error():
    with served(Script(right, predict_status=500)) as url:
        answers = service.answers(case(url))
    with pytest.raises(Unmeasured, match="answered no sample"):
        service.error(answers)


@pytest.mark.parametrize(
    ("script", "count", "said"),
    [
        (Script(health=healthy(model_loaded=False)), 1, "model_loaded is false, not true"),
        (Script(health=healthy(model_loaded=1)), 1, "model_loaded is 1, not true"),
        (Script(health={"status": "ok"}), 1, "model_loaded is missing"),
        (Script(health=healthy(), status=503), 1, "status 503, not 200"),
        (Script(health=[]), 2, "status is missing; model_loaded is missing"),
        (Script(health=healthy(), status=302, location="http://127.0.0.1:9/"), 1, "status 302"),
    ],
)
def test_a_health_that_is_not_as_declared(script, count, said):
    with served(script) as url:
        found = service.health_mismatches(service.health(case(url)))
    assert found.value == count
    assert said in found.detail


def test_a_digest_of_another_file():
    found = service.digest_mismatches("0" * 64, DIGEST)
    assert found.value == 1
    assert "not restarted" in found.causes[0]


@pytest.mark.parametrize("ask", [service.health, service.answers, service.times])
def test_nobody_there_is_unmeasured(ask):
    with pytest.raises(Unmeasured, match="the service does not answer: nobody listens"):
        ask(case("http://127.0.0.1:9"))


def test_a_health_that_hangs_is_unmeasured():
    with raw(b"") as url, pytest.raises(Unmeasured, match=r"no whole answer within 0\.3 s"):
        service.health(case(url, timeout_s=0.3))


def test_times_are_from_request_to_answer():
    with served(Script(right, delay=0.001)) as url:
        found = service.times(case(url))
    assert len(found) == service.ROUNDS
    p50, p95 = service.latency(found)
    assert 1.0 <= p50.value <= p95.value
    assert p95.bound >= p95.value
    with served(Script(right, predict_status=500)) as url, pytest.raises(Unmeasured, match="status 500"):
        service.times(case(url))
    assert service.latency([])[0].value is None


def test_a_regressions_answers_are_only_values():
    with served(Script(lambda r: right(r)[0][::-1])) as url:
        answers = service.answers(case(url))
    assert service.mismatches(answers, classes=False).value == 0
    assert service.error(answers).value > 0.5
