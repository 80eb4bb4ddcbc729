import numpy as np
import pytest

from liteproof.tflite.reader import read_model
from tests.mutants.edit import File, edited
from tests.tflite.networks import network_bytes, trained

INT8 = network_bytes("int8")


def constants(content):
    model = read_model(content)
    return {tensor.name: model.constant(tensor) for tensor in model.subgraphs[0].tensors}


def facts_of(content):
    """All that a reader sees of a file, but for where the bytes lie."""
    model = read_model(content)
    graph = model.subgraphs[0]
    tensors = [
        (
            t.name,
            t.shape,
            t.type,
            t.quantization.scales.tolist(),
            t.quantization.zero_points.tolist(),
            t.quantization.axis,
        )
        for t in graph.tensors
    ]
    operators = [(o.name, o.version, o.inputs, o.outputs, dict(o.options)) for o in graph.operators]
    return tensors, operators, graph.inputs, graph.outputs


@pytest.mark.parametrize("recipe", ["float32", "float16", "int8", "int8_float_io", "int16x8", "int4"])
@pytest.mark.parametrize("outside", [False, True])
def test_packing_without_a_change_changes_nothing(recipe, outside):
    healthy = network_bytes(recipe, outside=outside)
    again = edited(healthy)
    assert facts_of(again) == facts_of(healthy)
    for name, values in constants(healthy).items():
        np.testing.assert_array_equal(constants(again)[name], values)


def test_layers_have_their_weights_and_biases():
    file = File(INT8)
    named = [(layer.name, file.tensor_name(layer.weights), file.tensor_name(layer.bias)) for layer in file.layers]
    assert named == [
        ("CONV_2D", "conv/weights", "conv/bias"),
        ("DEPTHWISE_CONV_2D", "depthwise/weights", "depthwise/bias"),
        ("FULLY_CONNECTED", "dense/weights", "dense/bias"),
    ]


def test_float16_weights_are_found_behind_their_dequantize():
    file = File(network_bytes("float16"))
    assert file.read(file.layers[0].weights).dtype == np.float16


@pytest.mark.parametrize("layer", range(3))
def test_codes_are_the_float_values_in_steps(layer):
    file = File(INT8)
    chosen = file.layers[layer]
    expected = trained()[file.tensor_name(chosen.weights)]
    steps = np.abs(file.dequantize(chosen.weights) - expected) / file.spread(chosen.weights)
    assert steps.max() <= 0.5 + 1e-4


def test_quantizing_what_was_dequantized_gives_the_codes_back():
    file = File(INT8)
    for layer in file.layers:
        np.testing.assert_array_equal(
            file.quantize(layer.weights, file.dequantize(layer.weights)), file.read(layer.weights)
        )


def test_written_values_are_in_the_file_and_no_others_change():
    def change(file):
        file.write(file.layers[1].weights, -file.read(file.layers[1].weights))

    before, after = constants(INT8), constants(edited(INT8, change))
    np.testing.assert_array_equal(after.pop("depthwise/weights"), -before.pop("depthwise/weights"))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


def test_writing_leaves_no_old_values_behind():
    file = File(INT8)
    file.write(file.layers[0].weights, file.read(file.layers[0].weights))
    assert len(file.packed()) == len(edited(INT8))


def test_values_that_another_tensor_shares_stay():
    file = File(INT8)
    one, other = file.layers[0].bias, file.layers[1].bias
    kept = file.read(one)
    file.tensor(other).buffer = file.tensor(one).buffer
    file.write(other, np.zeros(8))
    np.testing.assert_array_equal(file.read(one), kept)


def test_rescaling_an_activation_takes_the_biases_along():
    file = File(INT8)
    layer = file.layers[1]
    bias = file.dequantize(layer.bias)
    file.rescale(layer.input, 0.5)
    products = file.scales(layer.input) * file.scales(layer.weights)
    np.testing.assert_allclose(file.scales(layer.bias), products, rtol=1e-6)
    assert np.abs(file.dequantize(layer.bias) - bias).max() <= products.max()


def test_operator_code_of_one_operator_is_its_own():
    file = File(network_bytes("float16"))
    first, second = file.operators("DEQUANTIZE")[:2]
    file.own_code(first).version = 99
    versions = [operator.version for operator in read_model(file.packed()).subgraphs[0].operators]
    assert versions[first] == 99
    assert versions[second] != 99


def test_place_is_spelled_as_messages_spell_it():
    assert File(INT8).place(1) == "DEPTHWISE_CONV_2D #1"
