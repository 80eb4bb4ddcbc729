import numpy as np
import pytest

from liteproof.errors import ModelError
from liteproof.measure.runtime import open_session
from liteproof.tflite.arithmetic import dequantize, type_range
from liteproof.tflite.reader import read_model
from liteproof.tflite.single_operator import dequantize_model, operator_list_model

RUNTIMES = ["ai_edge_litert", "tflite_runtime"]


def every_code(kind):
    low, high = type_range(kind)
    return np.arange(low, high + 1).astype(kind.lower())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("kind", "scale", "zero_point"),
    [("INT8", 0.0078, -128), ("INT8", 1 / 256, 3), ("UINT8", 0.1, 128), ("INT16", 1 / 32768, 0), ("INT16", 3.3e-7, 0)],
)
def test_formula_is_what_the_runtime_makes_of_every_code(runtime, kind, scale, zero_point):
    codes = every_code(kind)
    session = open_session(dequantize_model(kind, len(codes), scale=scale, zero_point=zero_point), runtime=runtime)
    (values,) = session.invoke([codes])
    assert np.array_equal(values, dequantize(codes, scale, zero_point))


def test_model_says_what_it_was_asked_for():
    (graph,) = read_model(dequantize_model("INT8", 5, scale=0.25, zero_point=-7)).subgraphs
    assert [operator.name for operator in graph.operators] == ["DEQUANTIZE"]
    assert [(tensor.type, tensor.shape) for tensor in graph.tensors] == [("INT8", (5,)), ("FLOAT32", (5,))]
    assert graph.tensors[0].quantization.scales.tolist() == [0.25]
    assert graph.tensors[0].quantization.zero_points.tolist() == [-7]


def test_type_that_dequantize_does_not_take():
    with pytest.raises(KeyError):
        dequantize_model("INT32", 4, scale=1.0, zero_point=0)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_runtimes_refuse_a_file_that_lists_what_they_lack(runtime):
    assert open_session(operator_list_model(0, version=1), runtime=runtime).inputs == ()
    with pytest.raises(ModelError, match="ADD"):
        open_session(operator_list_model(0, version=99), runtime=runtime)


def test_operator_beyond_the_old_field():
    (code,) = read_model(operator_list_model(150, version=2)).operator_codes
    assert (code.name, code.version) == ("GELU", 2)
