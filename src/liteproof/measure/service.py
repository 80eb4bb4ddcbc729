"""A prediction service that runs on the target: is it well, is it this file, does it answer as the file does, how fast?

    >>> declared = {"status": "ok", "model_loaded": True, "model_type": None}
    >>> found = health_mismatches(Health(200, {"status": "ok", "model_loaded": False}, declared))
    >>> found.value, found.detail
    (2.0, 'model_loaded is false, not true; model_type is missing')

The contract is in docs/service.md; a reference server is `fixtures/service.py`. Samples are sent one at a time, as the
variant is fed with them; what comes back is held against what this very file answers here.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.decisions import UNDECIDED, decisions
from liteproof.measure.evaluation import SINGLE_INPUT, Evaluation
from liteproof.measure.exchange import Answer, Line, NoAnswer
from liteproof.measure.latency import bounded_percentile
from liteproof.measure.subject import Subject
from liteproof.plan import Service

Floats = npt.NDArray[np.float32]

WARM_UP = 5
# 59 rounds are the fewest whose largest bounds the 95th percentile.
ROUNDS, ALLOWED_S = 100, 30.0
# A service that fails so often one after the other is not asked for the rest.
GIVEN_UP_AFTER = 3
_TOLD = 3
_QUANTILES = {"service_p50_ms": 0.50, "service_p95_ms": 0.95}


@dataclass(frozen=True)
class Health:
    """What the health path answered.

    Attributes:
        status: Of HTTP.
        fields: Of its JSON object; none where it is none.
        declared: Fields that it must have; a value, or None for any.
        digest: What it tells of the file that it serves; None where it tells nothing.
    """

    status: int
    fields: Mapping[str, object]
    declared: Mapping[str, object]
    digest: object = None


@dataclass(frozen=True)
class Answers:
    """What the file and the service answered to the same samples.

    Attributes:
        samples: Their numbers in the evaluation set.
        expected: The file's answers, shape (n, …).
        got: The service's, each of shape (…); None where there is none.
        reasons: Why there is none, by the place among the samples.
    """

    samples: Sequence[int]
    expected: Floats
    got: Sequence[Floats | None]
    reasons: Mapping[int, str]


# --- Asking ----------------------------------------------------------------------------------------------------------


def _line(subject: Subject) -> tuple[Line, Service]:
    service = subject.model.service
    url = service.url_on(subject.target.name) if service else None
    if service is None or url is None:
        raise Unmeasured(f"no service is declared on {subject.target.name}", expected="[service] in model.toml")
    return Line(url, service.timeout_s), service


def _not_there(error: NoAnswer, line: Line, path: str) -> Unmeasured:
    return Unmeasured(
        f"the service does not answer: {error}",
        expected="the service, running on the target before it is judged",
        where=f"{line.url}{path}",
        next="start it, or correct url in [service]",
    )


def health(subject: Subject) -> Health:
    """What the health path answers.

    Raises:
        Unmeasured: if nothing does, or not in time.
    """
    line, service = _line(subject)
    with line:
        try:
            answer = line.get(service.health)
        except NoAnswer as error:
            raise _not_there(error, line, service.health) from error
    found = _decoded(answer)
    fields = found if isinstance(found, dict) else {}
    return Health(answer.status, fields, service.fields, fields.get(service.digest_field))


def answers(subject: Subject) -> Answers:
    """Answers of the file and of the service to some evaluation samples, spread evenly over the set.

    Raises:
        Unmeasured: if nobody listens there.
    """
    line, service = _line(subject)
    chosen = subject.inputs.evenly(service.samples)
    expected = subject.outputs[chosen]
    got: list[Floats | None] = []
    reasons: dict[int, str] = {}
    with line:
        for place, sample in enumerate(chosen):
            if place >= GIVEN_UP_AFTER and all(p in reasons for p in range(place - GIVEN_UP_AFTER, place)):
                reasons[place] = "not asked any more"
                got.append(None)
                continue
            try:
                answer = line.post(service.predict, *_encoded(subject.inputs.at([int(sample)]), service.encoding))
                got.append(_outputs(answer, service.output_field, subject.decisive, expected.shape[1:]))
            except NoAnswer as error:
                if error.refused and not any(one is not None for one in got):
                    raise _not_there(error, line, service.predict) from error
                reasons[place] = str(error)
                got.append(None)
    return Answers([int(sample) for sample in chosen], expected, got, reasons)


def times(subject: Subject) -> list[float]:
    """Seconds from request to answer, one request after the other on one line, after a warm-up.

    Raises:
        Unmeasured: if a request is not answered with status 200.
    """
    line, service = _line(subject)
    bodies = [
        _encoded(subject.inputs.at([int(sample)]), service.encoding)
        for sample in subject.inputs.evenly(service.samples)
    ]
    found: list[float] = []
    with line:
        deadline = time.monotonic() + ALLOWED_S
        while len(found) < WARM_UP + ROUNDS and time.monotonic() < deadline:
            try:
                answer = line.post(service.predict, *bodies[len(found) % len(bodies)])
            except NoAnswer as error:
                raise _not_there(error, line, service.predict) from error
            if answer.status != 200:
                raise Unmeasured(
                    f"the service answers with status {answer.status}", where=f"{line.url}{service.predict}"
                )
            found.append(answer.seconds)
    return found[WARM_UP:]


def _encoded(sample: Evaluation, encoding: str) -> tuple[bytes, str]:
    """One sample's body and its content type."""
    if encoding == "npy":
        content = io.BytesIO()
        np.save(content, next(iter(sample.inputs.values())), allow_pickle=False)
        return content.getvalue(), "application/x-npy"
    values = {name: array.tolist() for name, array in sample.inputs.items()}
    inputs = values[SINGLE_INPUT] if set(values) == {SINGLE_INPUT} else values
    return json.dumps({"inputs": inputs}).encode(), "application/json"


def _decoded(answer: Answer) -> object:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _outputs(answer: Answer, field: str, output: str, shape: tuple[int, ...]) -> Floats:
    """The answer's values, of the shape of one sample.

    Raises:
        NoAnswer: if it is an error, no JSON, or of another shape.
    """
    if answer.status != 200:
        raise NoAnswer(f"status {answer.status}")
    found: Any = _decoded(answer)
    found = found.get(field) if isinstance(found, dict) else None
    if isinstance(found, dict):
        found = found.get(output, next(iter(found.values())) if len(found) == 1 else None)
    if found is None:
        raise NoAnswer(f"no {field!r} in the answer")
    try:
        values = np.asarray(found, np.float32)
    except (TypeError, ValueError) as error:
        raise NoAnswer(f"{field!r} holds no array of numbers") from error
    if values.shape not in (shape, (1, *shape)):
        raise NoAnswer(f"{field!r} has shape {list(values.shape)}, not {[1, *shape]}")
    return values.reshape(shape)


# --- What it says ----------------------------------------------------------------------------------------------------


def health_mismatches(found: Health) -> Measurement:
    """How many declared fields are missing or hold another value; a status that is not 200 counts as one more."""
    wrong = [] if found.status == 200 else [f"status {found.status}, not 200"]
    for name, expected in found.declared.items():
        if name not in found.fields:
            wrong.append(f"{name} is missing")
        elif expected is not None and not _same(found.fields[name], expected):
            wrong.append(f"{name} is {json.dumps(found.fields[name])[:80]}, not {json.dumps(expected)}")
    return Measurement("service_health_mismatches", float(len(wrong)), detail="; ".join(wrong) or None)


def _same(found: object, expected: object) -> bool:
    return found == expected and isinstance(found, bool) == isinstance(expected, bool)


def digest_mismatches(told: object, sha256: str) -> Measurement:
    """Whether the service tells the digest of another file than the one that was judged: 0 or 1."""
    same = isinstance(told, str) and told.lower().removeprefix("sha256:") == sha256
    detail = None if same else f"it serves {str(told)[:80]}, judged was {sha256}"
    causes = () if same else ("the service was not deployed anew, or not restarted, after the last conversion",)
    return Measurement("service_digest_mismatches", float(not same), detail=detail, causes=causes)


def mismatches(found: Answers, threshold: float | None = None, *, classes: bool = True) -> Measurement:
    """Samples that the service does not answer, or decides for another class than the file does.

    Args:
        found: Answers of both.
        threshold: Of a binary model.
        classes: Whether the outputs decide for a class.
    """
    wrong = [f"sample {found.samples[place]}: {reason}" for place, reason in found.reasons.items()]
    for place, values in enumerate(found.got):
        if values is None or not classes:
            continue
        ours, theirs = decisions(values[None], threshold)[0], decisions(found.expected[place][None], threshold)[0]
        if ours != theirs or (ours == UNDECIDED and np.isfinite(found.expected[place]).all()):
            wrong.append(f"sample {found.samples[place]}: class {ours}, the file decides for {theirs}")
    more = f" and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
    return Measurement(
        "service_mismatches",
        float(len(wrong)),
        samples=len(found.samples),
        detail="; ".join(wrong[:_TOLD]) + more if wrong else None,
        causes=_causes(found, bool(wrong)),
    )


def _causes(found: Answers, wrong: bool) -> tuple[str, ...]:
    if not wrong:
        return ()
    if found.reasons:
        return ("the service fails on requests that the contract allows: see its log",)
    return (
        "the service runs another file: compare the digest that its health path tells",
        "the service prepares inputs otherwise, or forgets to quantize or dequantize: (q − zero point) × scale",
    )


def error(found: Answers) -> Measurement:
    """Largest difference of the service's outputs from the file's, over the file's largest output.

    Raises:
        Unmeasured: if it answered nothing.
    """
    pairs = [(values, found.expected[place]) for place, values in enumerate(found.got) if values is not None]
    if not pairs:
        raise Unmeasured("the service answered no sample", expected="see service_mismatches")
    got, expected = (np.stack(side).astype(np.float64) for side in zip(*pairs, strict=True))
    largest = max(float(np.abs(expected).max(initial=0.0)), 1e-12)
    difference = float(np.abs(got - expected).max(initial=0.0))
    value = difference / largest if math.isfinite(difference) else None
    return Measurement("service_error", value, samples=len(pairs), detail=None if value is not None else "not finite")


def latency(seconds: Sequence[float]) -> tuple[Measurement, ...]:
    """p50 and p95 from request to answer, in ms, with bounds by order statistics."""
    milliseconds = [1e3 * one for one in seconds]
    if not milliseconds:
        return tuple(Measurement(metric, None, detail="no request was answered in time") for metric in _QUANTILES)
    return tuple(bounded_percentile(metric, q, milliseconds) for metric, q in _QUANTILES.items())
