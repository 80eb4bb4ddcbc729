from dataclasses import replace

import numpy as np
import pytest

from liteproof.errors import ModelError
from liteproof.tflite.matching import cosine, match_weights
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build, bytes_of
from tests.tflite.networks import network, network_bytes

RECIPES = ["float32", "dynamic_range", "float16", "int8", "uint8", "int8_float_io", "int16x8", "int4"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_constant_finds_its_partner(recipe):
    matching = match_weights(network(), network(recipe))
    assert [(pair.operator.split()[0], pair.role) for pair in matching.pairs] == [
        (operator, role)
        for operator in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        for role in ("weight", "bias")
    ]
    assert matching.unmatched_float32 == matching.unmatched_variant == ()


@pytest.mark.parametrize("recipe", RECIPES)
def test_values_are_the_float_ones_up_to_rounding(recipe):
    for pair in match_weights(network(), network(recipe)).pairs:
        assert cosine(pair.float32.values, pair.variant.values) > 0.99


def test_names_play_no_part():
    variant = network("int8")
    graph = variant.subgraphs[0]
    unnamed = replace(graph, tensors=tuple(replace(tensor, name="") for tensor in graph.tensors))
    assert len(match_weights(network(), replace(variant, subgraphs=(unnamed,))).pairs) == 6


def test_constants_outside_the_tables_are_followed():
    variant = read_model(network_bytes("int8", outside=True))
    assert all(buffer.outside for buffer in variant.buffers if buffer.size)
    assert len(match_weights(network(), variant).pairs) == 6


def test_axis_is_the_dimension_of_the_channels():
    pairs = match_weights(network(), network("dynamic_range")).pairs
    assert [pair.axis for pair in pairs] == [0, 0, 3, 0, 0, 0]


def test_axis_of_float_weights_is_the_operators():
    assert [pair.axis for pair in match_weights(network(), network("float16")).of("weight")] == [0, 3, 0]


def chain(*layers):
    """Operators one after the other, each with the constants that it reads."""
    tensors, operators = [TensorSpec("x", (1, 4))], []
    for number, (operator, values) in enumerate(layers):
        constants = []
        for array in values:
            tensors.append(TensorSpec(f"c{number}", array.shape, data=array.astype("<f4").tobytes()))
            constants.append(len(tensors) - 1)
        before = operators[-1].outputs[0] if operators else 0
        tensors.append(TensorSpec(f"y{number}", (1, 4)))
        operators.append(OperatorSpec(operator, (before, *constants), (len(tensors) - 1,)))
    return read_model(build(tensors, operators))


def dense(seed, width=4):
    return "FULLY_CONNECTED", [np.random.default_rng(seed).normal(size=(width, 4))]


def add(seed):
    return "ADD", [np.random.default_rng(seed).normal(size=4)]


def partners(matching):
    return [(pair.float32.tensor.name, pair.variant.tensor.name) for pair in matching.pairs]


def test_an_inserted_layer_has_no_partner_and_shifts_no_other():
    matching = match_weights(chain(dense(1), dense(2)), chain(dense(1), add(9), dense(2)))
    assert partners(matching) == [("c0", "c0"), ("c1", "c2")]
    assert [p.place for p in matching.unmatched_variant] == ["ADD #1"]


def test_a_dropped_layer_has_no_partner():
    matching = match_weights(chain(dense(1), add(9), dense(2)), chain(dense(1), dense(2)))
    assert partners(matching) == [("c0", "c0"), ("c2", "c1")]
    assert [p.role for p in matching.unmatched_float32] == ["operand"]


def test_reordered_branches_are_matched_by_their_values():
    matching = match_weights(chain(add(1), dense(2), dense(3)), chain(dense(3), add(1), dense(2)))
    assert partners(matching) == [("c2", "c0"), ("c0", "c1"), ("c1", "c2")]


def test_a_layer_of_another_width_has_no_partner():
    matching = match_weights(chain(dense(1), dense(2)), chain(dense(1), dense(2, width=3)))
    assert partners(matching) == [("c0", "c0")]
    assert [p.tensor.shape for p in (*matching.unmatched_float32, *matching.unmatched_variant)] == [(4, 4), (3, 4)]


def test_a_dropped_bias_leaves_the_weights_matched():
    weights, bias = np.ones((4, 4)), np.ones(4)
    matching = match_weights(chain(("FULLY_CONNECTED", [weights, bias])), chain(("FULLY_CONNECTED", [weights])))
    assert [pair.role for pair in matching.pairs] == ["weight"]
    assert [p.role for p in matching.unmatched_float32] == ["bias"]


def test_shapes_and_indices_are_no_parameters():
    tensors = [TensorSpec("x", (1, 4)), TensorSpec("shape", (2,), "INT32", bytes_of(2, 2, dtype="<i4"))]
    model = read_model(build([*tensors, TensorSpec("y", (2, 2))], [OperatorSpec("RESHAPE", (0, 1), (2,))]))
    matching = match_weights(model, model)
    assert matching.pairs == matching.unmatched_float32 == ()


def test_a_constant_that_two_operators_share_is_one_pair():
    tensors = [TensorSpec("x", (1, 4)), TensorSpec("c", (4,), data=bytes_of(1, 2, 3, 4)), TensorSpec("y", (1, 4))]
    operators = [OperatorSpec("ADD", (0, 1), (2,)), OperatorSpec("MUL", (2, 1), (3,))]
    model = read_model(build([*tensors, TensorSpec("z", (1, 4))], operators))
    assert len(match_weights(model, model).pairs) == 1


def test_block_scales_are_read_from_their_tensor():
    codes = np.arange(8, dtype=np.int8).reshape(1, 8)
    tensors = [
        TensorSpec("x", (1, 8)),
        TensorSpec("weights", (1, 8), "INT8", codes.tobytes(), block_size=4, scale_tensor=2, axis=0),
        TensorSpec("scales", (1, 2), data=bytes_of(0.5, 2.0)),
        TensorSpec("y", (1, 1)),
    ]
    model = read_model(build(tensors, [OperatorSpec("FULLY_CONNECTED", (0, 1), (3,))]))
    (pair,) = match_weights(model, model).pairs
    assert pair.variant.values.tolist() == [[0.0, 0.5, 1.0, 1.5, 8.0, 10.0, 12.0, 14.0]]


def test_scales_that_do_not_fit_are_the_files_fault():
    variant = network("int8", spoil={"dense/weights": lambda stored: replace(stored, axis=1)})
    pair = match_weights(network(), variant).pairs[4]
    with pytest.raises(ModelError, match="weight 'dense/weights' of FULLY_CONNECTED #2 cannot be dequantized"):
        _ = pair.variant.values


@pytest.mark.parametrize(
    ("a", "b", "expected"), [([1, 0], [2, 0], 1), ([1, 0], [-1, 0], -1), ([0], [0], 1), ([0], [1], 0)]
)
def test_cosine(a, b, expected):
    assert cosine(np.array(a), np.array(b)) == pytest.approx(expected)


def test_cosine_takes_nan_for_zero():
    assert cosine(np.array([np.nan, 1.0]), np.array([1.0, 1.0])) == pytest.approx(2**-0.5)
