import numpy as np
import pytest

from liteproof.tflite.layers import align_layers, computed_tensors, conversions_before, layers
from liteproof.tflite.reader import read_model
from tests.measure.models import data
from tests.plugin.tiny import fully_connected_options
from tests.tflite.build import OperatorSpec, TensorSpec, build


def chain(*operators, shape=(1, 4)):
    """One operator after the other; ("NAME", shape) writes another shape than it reads; dense ones have weights."""
    tensors, specs = [TensorSpec("x", shape)], []
    for name, written in ((op, None) if isinstance(op, str) else op for op in operators):
        source, size = len(tensors) - 1, tensors[-1].shape[-1]
        shape = written or shape
        inputs = (source,)
        if name == "FULLY_CONNECTED":
            weights = np.ones((shape[-1], size), np.float32)
            tensors.append(TensorSpec(f"w{source}", weights.shape, data=weights.tobytes()))
            inputs = (source, len(tensors) - 1, -1)
        tensors.append(TensorSpec(f"{name.lower()}{len(tensors)}", shape))
        options = fully_connected_options if name == "FULLY_CONNECTED" else None
        specs.append(OperatorSpec(name, inputs, (len(tensors) - 1,), options=options))
    return read_model(build(tensors, specs))


def places(found):
    return [(pair.float32.place, pair.variant.place) for pair in found]


@pytest.mark.parametrize("name", ["dense_int8", "dense_uint8", "dense_int8_float_io"])
def test_healthy_conversions_have_every_layer(name):
    found = align_layers(read_model(data("dense_float32")), read_model(data(name)))
    assert [a.split(" ")[0] for a, _ in places(found)] == [b.split(" ")[0] for _, b in places(found)]
    assert len(found.pairs) == 3
    assert (found.float32_alone, found.variant_alone) == ((), ())


def test_conversions_are_looked_through_but_for_the_inputs():
    model = read_model(data("dense_int8_float_io"))
    graph = model.subgraphs[0]
    first = layers(model)[0]
    assert graph.operators[0].name == "QUANTIZE"
    assert first.inputs == {0: graph.operators[0].outputs[0]}
    assert conversions_before(model, graph.outputs[0]) == layers(model)[-1].output


def test_a_missing_layer_stands_alone():
    found = align_layers(chain("FULLY_CONNECTED", "TANH", "SOFTMAX"), chain("FULLY_CONNECTED", "TANH"))
    assert [layer.place for layer in found.float32_alone] == ["SOFTMAX #2"]
    assert found.variant_alone == ()


def test_a_layer_of_another_shape_stands_alone_in_both():
    found = align_layers(chain("TANH", ("FULLY_CONNECTED", (1, 3))), chain("TANH", ("FULLY_CONNECTED", (1, 2))))
    assert [layer.place for layer in found.float32_alone] == ["FULLY_CONNECTED #1"]
    assert [layer.place for layer in found.variant_alone] == ["FULLY_CONNECTED #1"]


def test_an_activation_of_its_own_belongs_to_its_layer():
    found = align_layers(chain("FULLY_CONNECTED", "SOFTMAX"), chain("FULLY_CONNECTED", "RELU", "SOFTMAX"))
    assert places(found) == [("FULLY_CONNECTED #0", "FULLY_CONNECTED #0"), ("SOFTMAX #1", "SOFTMAX #2")]
    dense, _ = found
    assert dense.variant.output == 3
    assert found.variant_alone == ()


def test_feeds_are_tensors_in_each_others_place():
    found = align_layers(read_model(data("dense_float32")), read_model(data("dense_uint8")))
    first, second, _ = found
    assert second.feeds == {first.float32.output: first.variant.output}


def test_what_only_prepares_constants_is_no_layer():
    half = np.ones((4, 4), np.float16)
    model = read_model(
        build(
            [
                TensorSpec("x", (1, 4)),
                TensorSpec("half", (4, 4), "FLOAT16", data=half.tobytes()),
                TensorSpec("whole", (4, 4)),
                TensorSpec("y", (1, 4)),
            ],
            [
                OperatorSpec("DEQUANTIZE", (1,), (2,)),
                OperatorSpec("FULLY_CONNECTED", (0, 2, -1), (3,), options=fully_connected_options),
            ],
        )
    )
    graph = model.subgraphs[0]
    assert [layer.place for layer in layers(model)] == ["FULLY_CONNECTED #1"]
    assert 2 not in computed_tensors(model)
    assert graph.outputs[0] in computed_tensors(model)
