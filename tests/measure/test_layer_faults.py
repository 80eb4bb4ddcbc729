from dataclasses import replace

import numpy as np
import pytest
import tflite as schema

from liteproof.measure.layer_faults import layer_faults
from liteproof.recipes import RECIPES
from liteproof.tflite.reader import read_model
from tests.measure.models import data
from tests.measure.spoil import Spoiled
from tests.tflite.build import OperatorSpec, TensorSpec, build
from tests.tflite.networks import network, network_bytes
from tests.tflite.test_layers import chain

FLOAT32 = read_model(data("dense_float32"))


def charged(tmp_path, edit, name="dense_int8", recipe="int8"):
    file = Spoiled(data(name).read_bytes())
    edit(file)
    return layer_faults(FLOAT32, read_model(file.write(tmp_path / "spoiled.tflite")), RECIPES[recipe])


@pytest.mark.parametrize("recipe", ["int8", "uint8", "int8_float_io"])
def test_healthy_conversions_are_charged_with_nothing(recipe):
    assert layer_faults(FLOAT32, read_model(data(f"dense_{recipe}")), RECIPES[recipe]) == {}


@pytest.mark.parametrize("recipe", ["dynamic_range", "float16", "int4"])
def test_healthy_networks_are_charged_with_nothing(recipe):
    assert layer_faults(network("float32"), network(recipe), RECIPES[recipe]) == {}


def test_weights_that_are_not_float32s(tmp_path):
    found = charged(tmp_path, lambda file: np.negative(*2 * [file.by_channel("FULLY_CONNECTED #1")[2]]))
    assert list(found) == ["FULLY_CONNECTED #1"]
    charge = found["FULLY_CONNECTED #1"]
    assert "sign flipped" in charge.faults[0]
    assert charge.tensor.name


def test_a_rule_that_is_broken(tmp_path):
    def edit(file):
        file.scales(file.operator("SOFTMAX #2").outputs[0])[:] = 0.5

    found = charged(tmp_path, edit)
    assert list(found) == ["SOFTMAX #2"]
    assert found["SOFTMAX #2"].faults[0].startswith("fixed_output_params")


def test_a_missing_layer_is_named_as_float32_has_it():
    found = layer_faults(chain("TANH", "SOFTMAX"), chain("TANH"), RECIPES["float32"])
    assert list(found) == ["SOFTMAX #1"]
    assert "missing" in found["SOFTMAX #1"].faults[0]


def test_an_additional_layer():
    found = layer_faults(chain("TANH"), chain("SOFTMAX", "TANH"), RECIPES["float32"])
    assert "additional" in found["SOFTMAX #0"].faults[0]


def test_other_shapes():
    theirs = chain(("FULLY_CONNECTED", (1, 5)), ("FULLY_CONNECTED", (1, 3)))
    ours = chain(("FULLY_CONNECTED", (1, 2)), ("FULLY_CONNECTED", (1, 3)))
    found = layer_faults(theirs, ours, RECIPES["float32"])
    assert "it writes [1, 2], float32's [1, 5]" in found["FULLY_CONNECTED #0"].faults
    assert "it reads [1, 2], float32's [1, 5]" in found["FULLY_CONNECTED #1"].faults


def test_a_dropped_bias():
    file = Spoiled(network_bytes("dynamic_range"))
    file.inputs("DEPTHWISE_CONV_2D #1")[2] = -1
    found = layer_faults(network("float32"), read_model(file.content), RECIPES["dynamic_range"])
    assert [(place, "bias is missing" in charge.faults[0]) for place, charge in found.items()] == [
        ("DEPTHWISE_CONV_2D #1", True)
    ]


def test_an_option_that_differs():
    def softmax(beta):
        def options(builder):
            schema.SoftmaxOptionsStart(builder)
            schema.SoftmaxOptionsAddBeta(builder, beta)
            return schema.BuiltinOptions.SoftmaxOptions, schema.SoftmaxOptionsEnd(builder)

        tensors = [TensorSpec("logits", (1, 4)), TensorSpec("probabilities", (1, 4))]
        return read_model(build(tensors, [OperatorSpec("SOFTMAX", (0,), (1,), options=options)]))

    found = layer_faults(softmax(1.0), softmax(0.5), RECIPES["float32"])
    assert found["SOFTMAX #0"].faults == ("beta is 0.5, float32's 1.0",)


def test_constant_that_cannot_be_read():
    def cut(stored):
        return replace(stored, scales=stored.scales[:-1], zero_points=stored.zero_points[:-1])

    found = layer_faults(network("float32"), network("int8", spoil={"conv/weights": cut}), RECIPES["int8"])
    assert "do not fit" in found["CONV_2D #0"].faults[0]
