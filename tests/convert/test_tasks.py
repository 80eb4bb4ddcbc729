from dataclasses import replace

import numpy as np
import pytest

from liteproof.convert.tasks import (
    Event,
    Task,
    decode_event,
    decode_task,
    encode,
    export_key,
    usage_error,
    wrong_request,
)
from liteproof.errors import UsageError

from . import plans


@pytest.fixture
def model(tmp_path):
    (tmp_path / "tiny.keras").write_bytes(b"a source")
    evaluation = plans.arrays(tmp_path / "evaluation.npz", x=np.zeros((2, 3), np.float32))
    return plans.model(tmp_path / "tiny.keras", "keras", [plans.variant("tiny", "int8")], evaluation=evaluation)


def test_a_task_is_the_same_after_its_way_to_a_worker(model):
    task = Task("convert", "k", model, "int8", "int8", "tensorflow", {"block": 32})
    line = encode(task)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_task(line) == task


def test_an_event_with_line_breaks_is_one_line():
    event = Event("failed", reason="first\nsecond")
    assert encode(event).count(b"\n") == 1
    assert decode_event(encode(event)) == event


def test_a_wrong_request_keeps_its_four_parts():
    error = UsageError("found this", expected="that", where="there", next="do so")
    again = usage_error(decode_event(encode(wrong_request(error))))
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("kind", "toolchain", "needs"),
    [
        ("convert", "tensorflow", "export"),
        ("convert", "litert", "float32"),
        ("reference", "", None),
        ("export", "", None),
    ],
)
def test_what_a_task_needs(model, kind, toolchain, needs):
    wanted = {"export": (export_key(model),), "float32": (model.float32_key,), None: ()}[needs]
    assert Task(kind, "k", model, "int8", "int8", toolchain=toolchain).needs == wanted


def test_arrays_that_are_made_are_needed_by_what_is_fed_them(model, tmp_path):
    made = plans.samples_of(tmp_path / "tiny.keras", form="arrays")
    model = replace(model, evaluation=made, calibration=replace(made, sha256="other"))
    assert Task("reference", "k", model, "reference").needs == (model.evaluation.key,)
    assert Task("convert", "k", model, "f", "float16", "tensorflow").needs == (export_key(model),)
    assert Task("convert", "k", model, "i", "int8", "litert").needs == (model.float32_key, model.calibration.key)
