import importlib

import msgspec
import numpy as np
import pytest

from liteproof.errors import TargetError
from liteproof.measure.delegation import Delegated, delegated
from liteproof.measure.loading import loads
from liteproof.measure.probe import Outcome, probe
from liteproof.measure.runtime import open_session
from liteproof.plan import Delegate
from tests.measure.delegates import softmax_delegate
from tests.measure.models import data
from tests.plugin.tiny import network, samples

RUNTIMES = ["ai_edge_litert", "tflite_runtime"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return str(softmax_delegate(tmp_path_factory.mktemp("delegate")))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(network())
    return path


def test_two_parts_and_what_lies_between_them():
    chain = [{"op_name": f"OP{i}", "inputs": [i], "outputs": [i + 1]} for i in range(5)]
    parts = [
        {"op_name": "DELEGATE", "inputs": [0], "outputs": [2]},
        {"op_name": "DELEGATE", "inputs": [3], "outputs": [5]},
    ]
    assert delegated([*chain, *parts]) == Delegated(("OP0 #0", "OP1 #1", "OP3 #3", "OP4 #4"), ("OP2 #2",))
    assert delegated(chain).taken == ()


def test_many_that_are_left_are_cut_with_a_word():
    split = Delegated((), tuple(f"ADD #{i}" for i in range(20)))
    assert str(split).startswith("the delegate took 0 of 20 operators; left to the CPU: ADD #0, ADD #1")
    assert str(split).endswith("and 12 more")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_a_real_delegate_took_is_told(runtime, library, file):
    delegate = Delegate(library)
    session = open_session(file, runtime=runtime, delegate=delegate)
    assert session.delegated == Delegated(("SOFTMAX #1",), ("FULLY_CONNECTED #0",))
    x, _ = samples(5, 1)
    plain = open_session(file, runtime=runtime)
    assert plain.delegated is None
    assert np.abs(session.predict(x)[0] - plain.predict(x)[0]).max() < 1e-6

    outcome = probe(file, runtime=runtime, delegate=delegate)
    assert outcome.delegated == session.delegated
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome
    told = loads(outcome)
    assert told.detail == "the delegate took 1 of 2 operators; left to the CPU: FULLY_CONNECTED #0"
    assert told.evidence == {"delegated": ("SOFTMAX #1",), "left": ("FULLY_CONNECTED #0",)}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_delegate_without_its_device_is_an_error(runtime, library, file):
    delegate = Delegate(library, {"device": "absent"})
    with pytest.raises(TargetError, match=r"softmax_delegate\.so does not load"):
        probe(file, runtime=runtime, delegate=delegate)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_runtimes_own_delegate_is_read_alike(runtime):
    interpreter = importlib.import_module(f"{runtime}.interpreter").Interpreter(str(data("dense_float32")))
    before = delegated(interpreter._get_ops_details())
    interpreter.allocate_tensors()
    after = delegated(interpreter._get_ops_details())
    assert before.taken == ()
    assert len(after.taken) + len(after.left) == len(before.left)
    assert len(after.taken) >= 2  # XNNPACK runs dense layers
