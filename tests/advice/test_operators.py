from liteproof.advice.operators import not_mapped, unknown_to_micro
from liteproof.tflite.reader import read_model
from tests.plugin.tiny import network
from tests.tflite.build import OperatorSpec, TensorSpec, build


def test_kernels_of_micro():
    assert unknown_to_micro(["CONV_2D", "SOFTMAX", "TOPK_V2", "FlexErf"]) == {"TOPK_V2", "FlexErf"}


def test_a_plain_classifier_is_mapped():
    assert not_mapped(read_model(network())) == {}


def test_an_operator_that_the_compiler_does_not_map_is_named():
    file = build([TensorSpec("x", (1, 8)), TensorSpec("y", (1, 8))], [OperatorSpec("EXP", (0,), (1,))])
    assert not_mapped(read_model(file)) == {"EXP #0": "not among the operators that it maps"}


def test_limits_that_a_file_shows():
    long = build([TensorSpec("x", (1, 20_000)), TensorSpec("y", (1, 20_000))], [OperatorSpec("SOFTMAX", (0,), (1,))])
    assert "at most 16,000" in not_mapped(read_model(long))["SOFTMAX #0"]
    batch = build([TensorSpec("x", (2, 3, 3, 3)), TensorSpec("y", (2, 3, 3, 3))], [OperatorSpec("RELU", (0,), (1,))])
    assert "three axes" in not_mapped(read_model(batch))["RELU #0"]
