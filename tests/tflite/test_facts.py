from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from liteproof.recipes import RECIPES
from liteproof.tflite.facts import Facts, expected_bytes, facts, smallest_bytes
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build, bytes_of, conv_options

FILTERS, DEPTH = 4, 8


def int8_tensor(name: str, shape: tuple[int, ...], type_name: str = "INT8", **more: object) -> TensorSpec:
    return TensorSpec(name, shape, type_name, scales=(0.5,), zero_points=(0,), **more)


def conv(weights: str = "FLOAT32", activations: str = "FLOAT32", *, ends: str = "", dequantized: bool = False) -> Facts:
    """A CONV_2D and a RESHAPE with constants of these types; `ends` puts QUANTIZE and DEQUANTIZE around them."""
    sizes = {"FLOAT32": 4, "FLOAT16": 2, "INT8": 1, "INT4": 0.5, "INT32": 4}
    quantized = weights not in ("FLOAT32", "FLOAT16")

    def weight(name: str, shape: tuple[int, ...], kind: str) -> TensorSpec:
        scales = tuple(0.5 for _ in range(FILTERS)) if kind.startswith("INT") else ()
        data = bytes(int(math.prod(shape) * sizes[kind]))
        return TensorSpec(name, shape, kind, data, scales, (0,) * len(scales))

    def activation(name: str) -> TensorSpec:
        shape = (1, 2, 2, FILTERS)
        return TensorSpec(name, shape) if activations == "FLOAT32" else int8_tensor(name, shape, activations)

    bias = "INT32" if quantized and activations != "FLOAT32" else "FLOAT16" if weights == "FLOAT16" else "FLOAT32"
    tensors = [
        activation("x"),
        weight("w", (FILTERS, 3, 3, DEPTH), weights),
        weight("b", (FILTERS,), bias),
        activation("y"),
        TensorSpec("shape", (2,), "INT32", bytes_of(1, -1, dtype=np.int32)),
        activation("z"),
    ]
    operators = [
        OperatorSpec("CONV_2D", (0, 1, 2), (3,), version=2, options=conv_options),
        OperatorSpec("RESHAPE", (3, 4), (5,)),
    ]
    inputs, outputs = [0], [5]
    if dequantized:
        tensors += [TensorSpec("w_real", (FILTERS, 3, 3, DEPTH)), TensorSpec("b_real", (FILTERS,))]
        operators[0] = OperatorSpec("CONV_2D", (0, 6, 7), (3,), options=conv_options)
        operators = [OperatorSpec("DEQUANTIZE", (1,), (6,)), OperatorSpec("DEQUANTIZE", (2,), (7,)), *operators]
    if ends:
        tensors += [TensorSpec("in", (1,), ends), TensorSpec("out", (1,), ends)]
        operators = [OperatorSpec("QUANTIZE", (6,), (0,)), *operators, OperatorSpec("DEQUANTIZE", (5,), (7,))]
        inputs, outputs = [6], [7]
    return facts(read_model(build(tensors, operators, inputs, outputs)))


def test_parameters_are_weights_and_biases_and_not_shapes():
    found = conv()
    assert found.parameters == FILTERS * 3 * 3 * DEPTH + FILTERS
    weight, bias = found.parameter_tensors
    assert (weight.role, weight.operator, weight.channels) == ("weight", "CONV_2D", FILTERS)
    assert (bias.role, bias.elements) == ("bias", FILTERS)
    assert found.bytes_by_type == {"FLOAT32": 4 * found.parameters, "INT32": 8}
    assert found.constant_bytes + found.overhead_bytes == found.file_bytes
    assert found.bytes_per_parameter == 4.0


def test_weights_are_recognised_behind_their_dequantize():
    found = conv("FLOAT16", dequantized=True)
    assert [(t.role, t.operator, t.bytes) for t in found.parameter_tensors] == [
        ("weight", "CONV_2D", 2 * FILTERS * 3 * 3 * DEPTH),
        ("bias", "CONV_2D", 2 * FILTERS),
    ]


@pytest.mark.parametrize(
    ("found", "scheme", "float_operators"),
    [
        (conv(), "none", ("CONV_2D #0",)),
        (conv("FLOAT16", dequantized=True), "float16", ("CONV_2D #2",)),
        (conv("INT8"), "dynamic_range", ("CONV_2D #0",)),
        (conv("INT4"), "dynamic_range", ("CONV_2D #0",)),
        (conv("INT8", dequantized=True), "weight_only", ("CONV_2D #2",)),
        (conv("INT8", "INT8"), "full_integer", ()),
        (conv("INT8", "INT8", ends="FLOAT32"), "full_integer", ()),
        (conv("INT8", "INT16", ends="FLOAT32"), "int16x8", ()),
    ],
)
def test_kinds_of_quantization(found, scheme, float_operators):
    assert (found.quantization, found.float_operators) == (scheme, float_operators)


def test_one_float_operator_among_integer_ones_is_mixed():
    tensors = [int8_tensor("x", (1,)), TensorSpec("r", (1,)), TensorSpec("y", (1,))]
    operators = [OperatorSpec("DEQUANTIZE", (0,), (1,)), OperatorSpec("EXP", (1,), (2,))]
    found = facts(read_model(build(tensors, operators)))
    assert (found.quantization, found.float_operators) == ("mixed", ("EXP #1",))


def test_constants_that_share_a_buffer_count_once():
    tensors = [TensorSpec("x", (1,)), TensorSpec("c", (3,), data=bytes_of(1, 2, 3)), TensorSpec("y", (3,))]
    file = build(tensors, [OperatorSpec("ADD", (0, 1), (2,)), OperatorSpec("MUL", (2, 1), (2,))], subgraphs=2)
    assert facts(read_model(file)).parameters == 3


def test_operators_custom_and_flex():
    tensors = [TensorSpec("x", (1,)), TensorSpec("y", (1,))]
    operators = [
        OperatorSpec("FlexErf", (0,), (1,), custom=True),
        OperatorSpec("MyOp", (0,), (1,), custom=True),
        OperatorSpec("ADD", (0, 1), (1,), version=2),
        OperatorSpec("ADD", (0, 1), (1,), version=2),
    ]
    found = facts(read_model(build(tensors, operators)))
    assert found.custom_operators == ("FlexErf", "MyOp")
    assert found.flex_operators == ("FlexErf",)
    first = found.operators[0]
    assert (first.name, first.version, first.count) == ("ADD", 2, 2)
    assert found.float_ops == 4
    assert math.isnan(found.bytes_per_parameter)


def test_ends_and_the_runtime_that_is_needed():
    tensors = [int8_tensor("x", (1,), signature=(-1,)), TensorSpec("y", (1,))]
    file = build(tensors, [OperatorSpec("DEQUANTIZE", (0,), (1,))], metadata={"min_runtime_version": b"2.17.0\0\0\0"})
    found = facts(read_model(file))
    (x,), (y,) = found.inputs, found.outputs
    assert (x.name, x.shape, x.type, x.scale, x.zero_point) == ("x", (-1,), "INT8", 0.5, 0)
    assert (y.type, y.scale) == ("FLOAT32", 0.0)
    assert found.min_runtime_version == "2.17.0"


def test_a_constant_that_feeds_its_own_dequantize_ends():
    # Damaged graphs may run in circles.
    tensors = [TensorSpec("x", (1,)), TensorSpec("c", (1,), "FLOAT16", b"\0\0")]
    found = facts(read_model(build(tensors, [OperatorSpec("DEQUANTIZE", (1,), (1,))])))
    assert found.parameter_tensors[0].role == "other"


def test_expected_bytes_of_float32_is_the_file_itself():
    assert expected_bytes(conv(), "float32") == conv().file_bytes


def test_recipes_are_ordered_by_size_and_keep_the_overhead():
    # Wide enough that the weights outweigh what quantization parameters add.
    tensors = [
        TensorSpec("x", (1, 512)),
        TensorSpec("w", (128, 512), data=bytes(4 * 128 * 512)),
        TensorSpec("b", (128,), data=bytes(4 * 128)),
        TensorSpec("y", (1, 128)),
    ]
    float32 = facts(read_model(build(tensors, [OperatorSpec("FULLY_CONNECTED", (0, 1, 2), (3,))])))
    sizes = {name: expected_bytes(float32, name) for name in RECIPES}
    assert sizes["int4"] < sizes["dynamic_range"] < sizes["int8"] < sizes["int8_float_io"] < sizes["int16x8"]
    assert sizes["int16x8"] < sizes["float16"] < sizes["float32"]
    assert sizes["uint8"] == sizes["int8_float_io"]
    for name, size in sizes.items():
        assert size >= smallest_bytes(float32, name) + float32.overhead_bytes
    # Codes, then 12 bytes for the scale and zero point of each channel of weights and biases; biases of 4 bytes;
    # 24 bytes for the parameter table of each of four tensors, and one scale for each of two activations.
    weights, channels = 128 * 512, 128
    expected = float32.overhead_bytes + weights + channels * (12 + 4 + 12) + 4 * 24 + 2 * 12
    assert sizes["int8"] == expected


def test_small_weights_stay_float32_in_dynamic_range():
    found = conv()
    assert found.parameter_tensors[0].elements < 1024
    assert expected_bytes(found, "dynamic_range") == found.file_bytes


def test_depthwise_weights_stay_float32_in_int4():
    tensors = [
        TensorSpec("x", (1, 3, 3, 512)),
        TensorSpec("w", (1, 3, 3, 512), data=bytes(4 * 9 * 512)),
        TensorSpec("b", (512,), data=bytes(4 * 512)),
        TensorSpec("y", (1, 1, 1, 512)),
    ]
    found = facts(read_model(build(tensors, [OperatorSpec("DEPTHWISE_CONV_2D", (0, 1, 2), (3,))])))
    assert expected_bytes(found, "int4") == found.file_bytes
    assert expected_bytes(found, "dynamic_range") < found.file_bytes


def test_smallest_bytes_are_the_codes_alone():
    found = conv()
    assert smallest_bytes(found, "int8") == found.parameters
    assert smallest_bytes(found, "int4") == found.parameters // 2
    with pytest.raises(KeyError):
        smallest_bytes(found, "int5")


def test_names_that_the_converter_joins_are_expected_in_8_bits():
    """An unrolled LSTM's int8 file was 15% above the size that was expected without them; with them 0.7% below."""
    tensors = [TensorSpec("axis", (), "INT32", data=bytes(4)), TensorSpec("x", (1, 4)), TensorSpec("ab", (1, 2))]
    tensors.append(TensorSpec("cde", (1, 2)))
    found = facts(read_model(build(tensors, [OperatorSpec("SPLIT", (0, 1), (2, 3))], inputs=(1,))))
    assert found.joined_names == 2 * len("ab;cde") - len("abcde")
    without = dataclasses.replace(found, joined_names=0)
    grown = {name: expected_bytes(found, name) - expected_bytes(without, name) for name in RECIPES}
    assert {name for name, bytes_ in grown.items() if bytes_} == {
        name for name, recipe in RECIPES.items() if recipe.activations == "int8"
    }
    assert set(grown.values()) == {0, 7}
