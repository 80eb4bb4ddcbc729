"""Inputs and outputs are matched by what names them, never by their place alone."""

from pathlib import Path

import pytest

from liteproof.errors import Unmeasured
from liteproof.measure.pairing import file_inputs, file_outputs, pair
from liteproof.measure.runtime import open_session
from liteproof.measure.tensors import TensorSpec
from liteproof.tflite.reader import read_model

DATA = Path(__file__).parent / "data"


def spec(name, shape, key=""):
    return TensorSpec(name, (1, *shape), "float32", key=key, shape_signature=(-1, *shape))


def test_signature_names_beat_places():
    specs = [spec("call:1", (3,), "output_1"), spec("call:0", (3,), "output_0")]
    assert pair("output", {"output_0": (3,), "output_1": (3,)}, specs) == {"output_0": 1, "output_1": 0}


def test_tensor_names_serve_without_a_signature():
    specs = [spec("serving_default_right:0", (3,)), spec("serving_default_left:0", (3,))]
    assert pair("input", {"left": (3,), "right": (3,)}, specs) == {"left": 1, "right": 0}


def test_shapes_serve_where_names_say_nothing():
    specs = [spec("Identity_1", (2, 2)), spec("Identity", (5,))]
    assert pair("output", {"output_0": (5,), "output_1": (2, 2)}, specs) == {"output_0": 1, "output_1": 0}


def test_equal_shapes_and_strange_names_are_refused_with_the_key_that_would_tell():
    specs = [spec("Identity_1", (3,)), spec("Identity", (3,))]
    with pytest.raises(Unmeasured) as refused:
        pair("output", {"output_0": (3,), "output_1": (3,)}, specs)
    assert "'Identity_1'" in refused.value.found
    assert 'output_names = { output_0 = "Identity_1", … }' in refused.value.next


def test_the_manifest_tells():
    specs = [spec("Identity_1", (3,)), spec("Identity", (3,))]
    told = {"output_0": "Identity", "output_1": "Identity_1"}
    assert pair("output", {"output_0": (3,), "output_1": (3,)}, specs, told) == {"output_0": 1, "output_1": 0}


@pytest.mark.parametrize("told", [{"output_0": "Identity"}, {"output_0": "Identity", "output_1": "Identity"}])
def test_a_manifest_that_tells_half_is_refused(told):
    specs = [spec("Identity_1", (3,)), spec("Identity", (4,))]
    with pytest.raises(Unmeasured, match="nothing tells"):
        pair("output", {"output_0": (4,), "output_1": (3,)}, specs, told)


def test_another_number_of_outputs_is_refused():
    with pytest.raises(Unmeasured, match="has 1 output, the source 2 outputs"):
        pair("output", {"a": (3,), "b": (3,)}, [spec("a", (3,))])


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.tflite")))
def test_ends_read_from_the_file_are_a_sessions(name):
    """The order matters: answers are kept in a session's order and looked up by the file's."""
    model, session = read_model(DATA / f"{name}.tflite"), open_session(DATA / f"{name}.tflite")

    def told(specs):
        return [(s.name, s.index, s.shape, s.dtype, s.scales, s.zero_points) for s in specs]

    assert told(file_inputs(model)) == told(session.inputs)
    assert told(file_outputs(model)) == told(session.outputs)
