"""Each rule of the specification has a healthy file that it passes and a broken one that it rejects.

The files are built tensor by tensor; that the rules hold for what converters really write is
`test_specification_conversions.py`.
"""

from dataclasses import replace

import numpy as np
import pytest

from liteproof.recipes import RECIPES
from liteproof.tflite.reader import read_model
from liteproof.tflite.specification import RULES, violations
from tests.tflite.build import OperatorSpec, TensorSpec, build

INT8, INT16X8 = "int8", "int16x8"


def codes(*shape, dtype=np.int8):
    return (np.arange(np.prod(shape)) % 255 - 127).astype(dtype).tobytes()


class Network:
    """A file as tensors by name, so that a test changes one of them."""

    def __init__(self, tensors, operators, inputs, outputs, recipe):
        self.tensors = {spec.name: spec for spec in tensors}
        self.operators, self.inputs, self.outputs, self.recipe = operators, inputs, outputs, recipe

    def but(self, name, **changes):
        """The same with one tensor changed."""
        tensors = [replace(spec, **changes) if spec.name == name else spec for spec in self.tensors.values()]
        return Network(tensors, self.operators, self.inputs, self.outputs, self.recipe)

    def promising(self, recipe):
        return Network(self.tensors.values(), self.operators, self.inputs, self.outputs, recipe)

    def violations(self):
        index = {name: i for i, name in enumerate(self.tensors)}
        operators = [
            OperatorSpec(name, tuple(index[i] for i in inputs), tuple(index[o] for o in outputs))
            for name, inputs, outputs in self.operators
        ]
        file = build(
            list(self.tensors.values()), operators, [index[i] for i in self.inputs], [index[o] for o in self.outputs]
        )
        return violations(read_model(file), RECIPES[self.recipe])


def int8_network():
    half = {"scales": (0.5,), "zero_points": (3,)}
    tensors = [
        TensorSpec("in", (1, 4, 4, 1), "INT8", **half),
        TensorSpec("conv/w", (2, 3, 3, 1), "INT8", codes(2, 3, 3, 1), (0.25, 0.1), (0, 0), axis=0),
        TensorSpec("conv/b", (2,), "INT32", codes(2, dtype=np.int32), (0.125, 0.05), (0, 0)),
        TensorSpec("conv", (1, 4, 4, 2), "INT8", scales=(0.2,), zero_points=(-128,)),
        TensorSpec("depth/w", (1, 3, 3, 2), "INT8", codes(1, 3, 3, 2), (0.5, 0.25), (0, 0), axis=3),
        TensorSpec("depth/b", (2,), "INT32", codes(2, dtype=np.int32), (0.1, 0.05), (0, 0)),
        TensorSpec("depth", (1, 4, 4, 2), "INT8", scales=(0.3,), zero_points=(-5,)),
        TensorSpec("pool", (1, 2, 2, 2), "INT8", scales=(0.3,), zero_points=(-5,)),
        TensorSpec("shape", (2,), "INT32", np.array([1, 8], np.int32).tobytes()),
        TensorSpec("flat", (1, 8), "INT8", scales=(0.3,), zero_points=(-5,)),
        TensorSpec("dense/w", (3, 8), "INT8", codes(3, 8), (0.5,), (0,)),
        TensorSpec("dense/b", (3,), "INT32", codes(3, dtype=np.int32), (0.15,), (0,)),
        TensorSpec("dense", (1, 3), "INT8", scales=(0.7,), zero_points=(127,)),
        TensorSpec("out", (1, 3), "INT8", scales=(1 / 256,), zero_points=(-128,)),
    ]
    operators = [
        ("CONV_2D", ("in", "conv/w", "conv/b"), ("conv",)),
        ("DEPTHWISE_CONV_2D", ("conv", "depth/w", "depth/b"), ("depth",)),
        ("MAX_POOL_2D", ("depth",), ("pool",)),
        ("RESHAPE", ("pool", "shape"), ("flat",)),
        ("FULLY_CONNECTED", ("flat", "dense/w", "dense/b"), ("dense",)),
        ("SOFTMAX", ("dense",), ("out",)),
    ]
    return Network(tensors, operators, ["in"], ["out"], INT8)


def int16x8_network():
    tensors = [
        TensorSpec("in", (1, 4)),
        TensorSpec("in/q", (1, 4), "INT16", scales=(0.001,), zero_points=(0,)),
        TensorSpec("dense/w", (3, 4), "INT8", codes(3, 4), (0.5, 0.25, 0.1), (0, 0, 0), axis=0),
        TensorSpec("dense/b", (3,), "INT64", codes(3, dtype=np.int64), (0.0005, 0.00025, 0.0001), (0, 0, 0)),
        TensorSpec("dense", (1, 3), "INT16", scales=(0.002,), zero_points=(0,)),
        TensorSpec("out/q", (1, 3), "INT16", scales=(1 / 32768,), zero_points=(0,)),
        TensorSpec("out", (1, 3)),
    ]
    operators = [
        ("QUANTIZE", ("in",), ("in/q",)),
        ("FULLY_CONNECTED", ("in/q", "dense/w", "dense/b"), ("dense",)),
        ("SOFTMAX", ("dense",), ("out/q",)),
        ("DEQUANTIZE", ("out/q",), ("out",)),
    ]
    return Network(tensors, operators, ["in"], ["out"], INT16X8)


def dynamic_range_network():
    tensors = [
        TensorSpec("in", (1, 4)),
        TensorSpec("w", (3, 4), "INT8", codes(3, 4), (0.5, 0.25, 0.1), (0, 0, 0), axis=0),
        TensorSpec("b", (3,), data=codes(3, dtype=np.float32)),
        TensorSpec("dense", (1, 3)),
        TensorSpec("out", (1, 3)),
    ]
    operators = [("FULLY_CONNECTED", ("in", "w", "b"), ("dense",)), ("SOFTMAX", ("dense",), ("out",))]
    return Network(tensors, operators, ["in"], ["out"], "dynamic_range")


def weight_only_network():
    """Weights that a DEQUANTIZE turns into floats before they are used; 4 bits, as LiteRT Quantizer writes them."""
    packed = bytes(range(12))
    tensors = [
        TensorSpec("in", (1, 4, 4, 1)),
        TensorSpec("w", (2, 3, 2, 2), "INT4", packed, (0.5, 0.25), (0, 0), axis=0),
        TensorSpec("w/float", (2, 3, 2, 2)),
        TensorSpec("b", (2,), data=codes(2, dtype=np.float32)),
        TensorSpec("out", (1, 4, 4, 2)),
    ]
    operators = [("DEQUANTIZE", ("w",), ("w/float",)), ("CONV_2D", ("in", "w/float", "b"), ("out",))]
    return Network(tensors, operators, ["in"], ["out"], "int4")


def single(operator, inputs, outputs, type_="INT8", recipe=INT8):
    """One operator; inputs and outputs as (scale, zero point)."""
    specs = [TensorSpec(f"in{i}", (1, 4), type_, scales=(s,), zero_points=(z,)) for i, (s, z) in enumerate(inputs)]
    specs += [TensorSpec(f"out{i}", (1, 4), type_, scales=(s,), zero_points=(z,)) for i, (s, z) in enumerate(outputs)]
    ins = [spec.name for spec in specs if spec.name.startswith("in")]
    outs = [spec.name for spec in specs if spec.name.startswith("out")]
    return Network(specs, [(operator, ins, outs)], ins, outs, recipe)


def transposed_convolution():
    tensors = [
        TensorSpec("shape", (4,), "INT32", np.array([1, 4, 4, 2], np.int32).tobytes()),
        TensorSpec("w", (2, 3, 3, 1), "INT8", codes(2, 3, 3, 1), (0.5, 0.25), (0, 0), axis=0),
        TensorSpec("in", (1, 2, 2, 1), "INT8", scales=(0.2,), zero_points=(1,)),
        TensorSpec("b", (2,), "INT32", codes(2, dtype=np.int32), (0.1, 0.05), (0, 0)),
        TensorSpec("out", (1, 4, 4, 2), "INT8", scales=(0.3,), zero_points=(1,)),
    ]
    return Network(tensors, [("TRANSPOSE_CONV", ("shape", "w", "in", "b"), ("out",))], ["in"], ["out"], INT8)


HEALTHY = {
    "int8": int8_network(),
    "int16x8": int16x8_network(),
    "int16x8, int32 biases": int16x8_network().but("dense/b", type="INT32", data=codes(3, dtype=np.int32)),
    "dynamic_range": dynamic_range_network(),
    "weight-only int4": weight_only_network(),
    "transposed convolution": transposed_convolution(),
}


@pytest.mark.parametrize("network", HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_file_breaks_no_rule(network):
    assert network.violations() == ()


FULL_RANGE = np.full((2, 3, 3, 1), -128, np.int8).tobytes()

# One defect for each way to break a rule: rule, healthy file, tensor, change, what the message must name.
DEFECTS = [
    ("weight_type", "int8", "conv/w", {"type": "INT16", "data": codes(2, 3, 3, 1, dtype=np.int16)}, "INT16"),
    ("weight_type", "int8", "dense/w", {"type": "INT4", "data": bytes(12)}, "INT4"),
    ("weight_zero_point", "int8", "conv/w", {"zero_points": (0, 7)}, "7 in channel 1"),
    ("weight_zero_point", "dynamic_range", "w", {"zero_points": (1, 0, 2)}, "1 in channel 0 and 1 more"),
    ("weight_zero_point", "weight-only int4", "w", {"zero_points": (0, 1)}, "1 in channel 1"),
    ("weight_range", "int8", "conv/w", {"data": FULL_RANGE}, "18 of 18 codes are -128"),
    ("weight_range", "dynamic_range", "w", {"data": bytes([0x80] + [1] * 11)}, "1 of 12 codes are -128"),
    ("weight_per_axis", "int8", "conv/w", {"scales": (0.25,), "zero_points": (0,)}, "1 scale for the whole tensor"),
    ("weight_per_axis", "int8", "depth/w", {"scales": (0.5,), "zero_points": (0,)}, "1 scale for the whole tensor"),
    ("weight_per_axis", "int8", "dense/w", {"scales": (), "zero_points": ()}, "no scale"),
    ("per_axis_dimension", "int8", "conv/w", {"axis": 1}, "dimension 1 of shape [2, 3, 3, 1]"),
    ("per_axis_dimension", "int8", "depth/w", {"axis": 0}, "dimension 0"),
    ("per_axis_dimension", "dynamic_range", "w", {"axis": 1}, "dimension 1"),
    ("per_axis_dimension", "weight-only int4", "w", {"axis": 3}, "dimension 3"),
    ("per_axis_dimension", "transposed convolution", "w", {"axis": 3}, "dimension 3"),
    ("per_axis_scales", "dynamic_range", "w", {"scales": (0.5, 0.5), "zero_points": (0, 0)}, "2 scales"),
    ("bias_type", "int8", "conv/b", {"type": "INT64", "data": codes(2, dtype=np.int64)}, "INT64"),
    ("bias_type", "int16x8", "dense/b", {"type": "INT16", "data": codes(3, dtype=np.int16)}, "INT16"),
    ("bias_zero_point", "int8", "dense/b", {"zero_points": (5,)}, "5"),
    ("bias_scale", "int8", "conv/b", {"scales": (0.125, 0.0625)}, "0.0625 in channel 1"),
    ("bias_scale", "int8", "depth/b", {"scales": (0.1,), "zero_points": (0,)}, "1 scales"),
    ("bias_scale", "int8", "dense/b", {"scales": (), "zero_points": ()}, "no scale"),
    ("bias_scale", "int16x8", "dense/b", {"scales": (5e-4, 5e-4, 1e-4)}, "in channel 1"),
    ("bias_scale", "transposed convolution", "b", {"scales": (0.1, 0.1)}, "in channel 1"),
    ("scale_value", "int8", "dense", {"scales": (float("nan"),)}, "nan"),
    ("scale_value", "int8", "dense", {"scales": (0.0,)}, "scale 0"),
    ("scale_value", "int8", "in", {"scales": (float("inf"),)}, "inf"),
    ("scale_value", "dynamic_range", "w", {"scales": (0.5, -0.5, 0.5)}, "-0.5 in channel 1"),
    ("scale_value", "dynamic_range", "w", {"scales": (0.5, 0.0, 0.5)}, "0 in channel 1"),
    ("activation_type", "int8", "conv", {"type": "UINT8", "zero_points": (0,)}, "UINT8"),
    ("activation_type", "int16x8", "dense", {"type": "INT8"}, "INT8"),
    ("activation_per_tensor", "int8", "conv", {"scales": (0.2, 0.3), "zero_points": (0, 0), "axis": 3}, "2 scales"),
    ("activation_per_tensor", "int8", "dense", {"scales": (), "zero_points": ()}, "no scale"),
    ("zero_point_range", "int8", "in", {"zero_points": (128,)}, "128"),
    ("zero_point_range", "int8", "dense", {"zero_points": (-129,)}, "-129"),
    ("int16_zero_point", "int16x8", "dense", {"zero_points": (1,)}, "1"),
    ("fixed_output_params", "int8", "out", {"zero_points": (-127,)}, "zero point -127"),
    ("fixed_output_params", "int16x8", "out/q", {"scales": (1 / 65536,)}, "scale 1.52587891e-05"),
    ("same_scale", "int8", "pool", {"scales": (0.30001,)}, "0.300"),
    ("same_scale", "int8", "flat", {"zero_points": (-4,)}, "zero point -4"),
    ("integer_only", "int8", "conv", {"type": "FLOAT32", "scales": (), "zero_points": ()}, "FLOAT32"),
    ("integer_only", "int16x8", "dense", {"type": "FLOAT32", "scales": (), "zero_points": ()}, "FLOAT32"),
    ("ends_type", "int8", "out", {"type": "INT16", "scales": (1 / 32768,), "zero_points": (0,)}, "INT16"),
    ("ends_type", "int16x8", "out", {"type": "INT16", "scales": (1.0,), "zero_points": (0,)}, "INT16"),
]


@pytest.mark.parametrize(
    ("rule", "base", "tensor", "change", "found"), DEFECTS, ids=[f"{d[0]}-{d[2]}" for d in DEFECTS]
)
def test_a_rule_rejects_what_breaks_it(rule, base, tensor, change, found):
    broken = [v for v in HEALTHY[base].but(tensor, **change).violations() if v.rule == rule]
    assert [violation.tensor for violation in broken][:1] == [tensor]
    assert found in broken[0].found
    assert broken[0].expected


def test_every_rule_has_a_defect():
    assert {defect[0] for defect in DEFECTS} == set(RULES)


def test_every_rule_says_what_it_demands_and_who_says_so():
    for name, rule in RULES.items():
        assert rule.id == name
        assert rule.text.endswith(".")
        assert rule.source
        assert rule.cause


def test_a_violation_names_rule_operator_tensor_found_and_expected():
    (violation,) = int8_network().but("dense/b", zero_points=(5,)).violations()
    assert str(violation) == "bias_zero_point: FULLY_CONNECTED #4, tensor 11 'dense/b': found 5, expected 0"


def test_a_tensor_that_two_operators_read_is_named_once():
    network = int8_network()
    network.operators.insert(1, ("MAX_POOL_2D", ("conv",), ("conv/again",)))
    network.tensors["conv/again"] = replace(network.tensors["conv"], name="conv/again")
    found = network.but("conv", zero_points=(300,)).violations()
    assert [v.operator for v in found if (v.rule, v.tensor) == ("zero_point_range", "conv")] == ["CONV_2D"]


# The specification's own entries, copied by hand from its text.
SAME_SCALE = [
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "MAX_POOL_2D",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "SPACE_TO_DEPTH",
    "PAD",
    "GATHER",
    "BATCH_TO_SPACE_ND",
    "SPACE_TO_BATCH_ND",
    "TRANSPOSE",
    "SQUEEZE",
    "MAXIMUM",
    "MINIMUM",
    "PADV2",
    "SLICE",
]
FREE = ["ADD", "SUB", "MUL", "MEAN", "SUM", "QUANTIZE", "RELU", "LEAKY_RELU"]
FIXED = [
    ("L2_NORMALIZATION", "INT8", 1 / 128, 0),
    ("LOGISTIC", "INT8", 1 / 256, -128),
    ("SOFTMAX", "INT8", 1 / 256, -128),
    ("TANH", "INT8", 1 / 128, 0),
    ("LOG_SOFTMAX", "INT8", 16 / 256, 127),
    ("LOGISTIC", "INT16", 1 / 32768, 0),
    ("SOFTMAX", "INT16", 1 / 32768, 0),
    ("TANH", "INT16", 1 / 32768, 0),
]


@pytest.mark.parametrize("operator", SAME_SCALE)
def test_operators_of_one_scale(operator):
    assert single(operator, [(0.5, 3)], [(0.5, 3)]).violations() == ()
    for other in [(0.5, 4), (0.25, 3)]:
        (violation,) = single(operator, [(0.5, 3)], [other]).violations()
        assert (violation.rule, violation.tensor) == ("same_scale", "out0")


@pytest.mark.parametrize("operator", FREE)
def test_operators_of_free_scales(operator):
    assert single(operator, [(0.5, 3)], [(0.25, 4)]).violations() == ()


@pytest.mark.parametrize(("operator", "type_", "scale", "zero_point"), FIXED)
def test_operators_of_fixed_outputs(operator, type_, scale, zero_point):
    recipe, point = (INT8, 3) if type_ == "INT8" else (INT16X8, 0)

    def rules(*output):
        found = single(operator, [(0.5, point)], [output], type_, recipe).violations()
        return {violation.rule for violation in found} - {"ends_type"}

    assert rules(scale, zero_point) == set()
    assert rules(scale * 2, zero_point) == {"fixed_output_params"}
    assert "fixed_output_params" in rules(scale, zero_point - 1)


def test_one_of_several_inputs_with_another_scale_is_named():
    (violation,) = single("CONCATENATION", [(0.5, 3), (0.4, 3)], [(0.5, 3)]).violations()
    assert (violation.rule, violation.tensor) == ("same_scale", "in1")


def test_bias_scales_may_be_rounded_in_any_order():
    """Products in float32 and in float64 are both healthy; a millionth and a half is not."""
    rng = np.random.default_rng(5)
    inputs, weights = np.exp(rng.uniform(-12, 2, 40)), np.exp(rng.uniform(-12, 2, 40))
    network = int8_network()
    for a, b in zip(inputs, weights, strict=True):
        single_products = float(np.float32(a) * np.float32(b))
        for product, healthy in [(a * b, True), (single_products, True), (a * b * (1 + 1.5e-6), False)]:
            flat = network.but("flat", scales=(a,)).but("pool", scales=(a,)).but("depth", scales=(a,))
            found = flat.but("dense/w", scales=(b,)).but("dense/b", scales=(product,)).violations()
            assert (not found) == healthy, (a, b, product)


def test_scale_0_may_stand_for_zeros():
    """The converter writes it for channels of zeros beside int16 activations."""
    data = np.frombuffer(codes(3, 4), np.int8).reshape(3, 4).copy()
    data[1] = 0
    bias = np.array([1, 0, 2], np.int64).tobytes()
    network = int16x8_network().but("dense/w", scales=(0.5, 0.0, 0.1), data=data.tobytes())
    assert network.but("dense/b", scales=(0.0005, 0.0, 0.0001), data=bias).violations() == ()
    (violation,) = network.but("dense/b", scales=(0.0005, 0.0, 0.0001)).violations()
    assert (violation.rule, violation.tensor) == ("scale_value", "dense/b")


def test_quantize_and_uint8_ends_are_in_order():
    network = int8_network()
    network.tensors["in/u"] = TensorSpec("in/u", (1, 4, 4, 1), "UINT8", scales=(0.5,), zero_points=(131,))
    network.tensors["out/u"] = TensorSpec("out/u", (1, 3), "UINT8", scales=(1 / 256,), zero_points=(0,))
    network.operators.insert(0, ("QUANTIZE", ("in/u",), ("in",)))
    network.operators.append(("QUANTIZE", ("out",), ("out/u",)))
    network.inputs, network.outputs = ["in/u"], ["out/u"]
    assert network.promising("uint8").violations() == ()
    assert {violation.rule for violation in network.violations()} == {"ends_type"}


def test_a_float_tensor_that_is_read_for_its_shape_alone_is_in_order():
    network = int8_network()
    network.tensors["pool/float"] = TensorSpec("pool/float", (1, 2, 2, 2))
    network.tensors["sizes"] = TensorSpec("sizes", (4,), "INT32")
    network.operators[3:3] = [("DEQUANTIZE", ("pool",), ("pool/float",)), ("SHAPE", ("pool/float",), ("sizes",))]
    assert network.violations() == ()
    network.outputs = ["out", "pool/float"]
    assert {violation.rule for violation in network.violations()} == {"integer_only", "ends_type"}


def test_a_fallback_to_float_between_integers_is_named():
    network = int16x8_network()
    network.tensors["dense/float"] = TensorSpec("dense/float", (1, 3))
    network.tensors["elu"] = TensorSpec("elu", (1, 3))
    network.tensors["elu/q"] = replace(network.tensors["dense"], name="elu/q")
    network.operators[2:3] = [
        ("DEQUANTIZE", ("dense",), ("dense/float",)),
        ("ELU", ("dense/float",), ("elu",)),
        ("QUANTIZE", ("elu",), ("elu/q",)),
        ("SOFTMAX", ("elu/q",), ("out/q",)),
    ]
    found = network.violations()
    assert [(v.rule, v.operator, v.tensor) for v in found] == [
        ("integer_only", "DEQUANTIZE", "dense/float"),
        ("integer_only", "ELU", "elu"),
    ]


def test_plain_integers_without_a_scale_are_not_activations():
    ids = TensorSpec("ids", (1, 4), "INT32")
    moved = TensorSpec("moved", (4,), "INT32")
    mask = TensorSpec("mask", (1, 4), "INT8")
    masked = TensorSpec("masked", (4,), "INT8")
    operators = [("SQUEEZE", ["ids"], ["moved"]), ("SQUEEZE", ["mask"], ["masked"])]
    assert Network([ids, moved, mask, masked], operators, ["ids", "mask"], ["moved", "masked"], INT8).violations() == ()


def test_a_dequantize_that_reads_itself_does_not_hang():
    network = weight_only_network()
    network.operators[0] = ("DEQUANTIZE", ("w/float",), ("w/float",))
    assert network.violations() == ()
