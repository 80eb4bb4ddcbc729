from dataclasses import replace

import numpy as np
import pytest
import tflite as schema

from liteproof.checks import METRICS, Verdict, judge
from liteproof.errors import Unmeasured
from liteproof.measure import identity
from liteproof.recipes import RECIPES
from liteproof.tflite.facts import facts
from liteproof.tflite.matching import match_weights
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build, bytes_of, conv_options
from tests.tflite.networks import network, network_bytes, trained

FLOAT32 = network()


def verdict(measurement):
    return judge(measurement, METRICS[measurement.metric].default).verdict


def promises(model, recipe, float32=FLOAT32):
    return identity.recipe_mismatches(model, facts(model), facts(float32), RECIPES[recipe])


# -- the recipe's promises --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_conversion_keeps_its_recipes_promises(recipe):
    # Dynamic range leaves tensors of fewer than 1,024 weights in float: the small network may be either.
    assert promises(network(recipe), recipe).value == 0


@pytest.mark.parametrize(
    ("made", "sold", "words"),
    [
        ("dynamic_range", "float32", "weight 'conv/weights' of CONV_2D is INT8, float32 promises FLOAT32"),
        ("float16", "float32", "is FLOAT16, float32 promises FLOAT32"),
        ("int8", "float32", "activations are INT8"),
        ("float32", "float16", "is FLOAT32, float16 promises FLOAT16"),
        ("float32", "int8", "no activation is INT8"),
        ("dynamic_range", "int8", "no activation is INT8"),
        ("int4", "dynamic_range", "is INT4, dynamic_range promises INT8"),
        ("int4", "int8", "is INT4, int8 promises INT8"),
        ("dynamic_range", "int4", "is INT8, int4 promises INT4"),
        ("int8", "int8_float_io", "input 'input' is INT8, int8_float_io promises FLOAT32"),
        ("int8_float_io", "int8", "input 'input' is FLOAT32, int8 promises INT8"),
        ("int8", "uint8", "output 'probabilities' is INT8, uint8 promises UINT8"),
        ("uint8", "int8", "is UINT8, int8 promises INT8"),
        ("int8_float_io", "int16x8", "no activation is INT16"),
        ("int16x8", "int8_float_io", "no activation is INT8"),
    ],
)
def test_file_sold_as_another_recipe_is_caught(made, sold, words):
    measurement = promises(network(made), sold)
    assert verdict(measurement) is Verdict.FAIL
    assert any(words in promise for promise in measurement.evidence["found"])


def test_large_float_weights_are_no_dynamic_range():
    values = trained()
    large = {"dense/weights": lambda stored: replace(stored, values=np.tile(stored.values, (4, 4)).astype("<f4"))}
    model = network("float32", values, spoil=large)
    assert "weight 'dense/weights' of FULLY_CONNECTED is FLOAT32" in promises(model, "dynamic_range").detail


@pytest.mark.parametrize("recipe", ["int8", "dynamic_range"])
def test_four_bits_in_eight_are_caught(recipe):
    fewer = {"dense/weights": lambda stored: replace(stored, values=np.rint(stored.values / 127 * 7))}
    measurement = promises(network(recipe, spoil=fewer), recipe)
    assert measurement.value == 1
    assert "weight 'dense/weights' is INT8, but its codes go no further than 7" in measurement.detail


def test_integer_inputs_of_the_source_stay_what_they_are():
    # Token ids: no scale, the same type in every variant.
    def gather(kind, scales=(), outputs="FLOAT32"):
        tensors = [
            TensorSpec("ids", (1, 4), "INT32"),
            TensorSpec("table", (50, 8), kind, data=np.full(400, 90, "<f4" if kind == "FLOAT32" else "i1").tobytes(),
                       scales=scales, zero_points=(0,) * len(scales)),
            TensorSpec("y", (1, 4, 8), outputs, scales=scales, zero_points=(0,) * len(scales)),
        ]  # fmt: skip
        return read_model(build(tensors, [OperatorSpec("GATHER", (1, 0), (2,))]))

    assert promises(gather("INT8", (0.1,), "INT8"), "int8", float32=gather("FLOAT32")).value == 0


# -- inputs and outputs -----------------------------------------------------------------------------------------------


def ends(inputs, outputs):
    tensors = [TensorSpec(f"x{i}", shape) for i, shape in enumerate(inputs)]
    tensors += [TensorSpec(f"y{i}", shape) for i, shape in enumerate(outputs)]
    every = range(len(tensors))
    operators = [OperatorSpec("SOFTMAX", tuple(every[: len(inputs)]), tuple(every[len(inputs) :]))]
    return facts(read_model(build(tensors, operators, every[: len(inputs)], every[len(inputs) :])))


@pytest.mark.parametrize("inputs", [[(1, 8, 8, 1)], [(-1, 8, 8, 1)], [(-1, -1, 8, 1)]])
def test_same_inputs_and_outputs(inputs):
    assert identity.interface_mismatches(ends(inputs, [(1, 10)]), ends([(1, 8, 8, 1)], [(-1, 10)]), [(10,)]).value == 0


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([(1, 8, 8, 1)], [(1, 9)], "no output is of the source's shape [10] for one sample"),
        ([(1, 8, 8, 3)], [(1, 10)], "'x0' is of shape [1, 8, 8, 3], the float32 variant's [1, 8, 8, 1]"),
        ([(1, 64)], [(1, 10)], "'x0' is of shape [1, 64]"),
        ([(1, 8, 8, 1), (1, 2)], [(1, 10)], "2 inputs, the float32 variant has 1"),
        ([(1, 8, 8, 1)], [(1, 10), (1, 10)], "2 outputs, the float32 variant has 1"),
        ([(2, 8, 8, 1)], [(1, 10)], "'x0' is of shape [2, 8, 8, 1]"),
    ],
)
def test_other_inputs_and_outputs_are_caught(inputs, outputs, words):
    found = identity.interface_mismatches(ends(inputs, outputs), ends([(1, 8, 8, 1)], [(1, 10)]), [(10,)])
    assert verdict(found) is Verdict.FAIL
    assert words in found.detail


def test_float32_with_other_classes_than_the_source_is_caught():
    same = ends([(1, 4)], [(1, 9)])
    assert identity.interface_mismatches(same, same, [(10,)]).value == 1


# -- parameters -------------------------------------------------------------------------------------------------------


def without(part):
    """The network of three layers without one bias or one layer's weights."""
    return network(spoil={part: lambda stored: replace(stored, values=stored.values[:0])})


@pytest.mark.parametrize("recipe", RECIPES)
def test_conversion_has_every_parameter(recipe):
    assert identity.parameter_mismatch(match_weights(FLOAT32, network(recipe))).value == 0


def test_parameters_that_are_gone_are_counted():
    matching = match_weights(FLOAT32, without("conv/bias"))
    found = identity.parameter_mismatch(matching)
    assert found.value == 8
    assert "bias 'conv/bias' [8] of CONV_2D #0 is not in the variant" in found.detail
    assert "1 biases dropped" in found.causes[0]


def test_parameters_that_came_on_top_are_counted():
    found = identity.parameter_mismatch(match_weights(without("dense/bias"), FLOAT32))
    assert found.value == 5
    assert "is not in float32" in found.detail


def test_bias_of_zeros_may_come_and_go():
    values = trained()
    values["dense/bias"][:] = 0
    assert identity.parameter_mismatch(match_weights(without("dense/bias"), network(values=values))).value == 0


def test_unfolded_batch_norm_is_named():
    def chain(*constants):
        tensors, operators = [TensorSpec("x", (1, 4))], []
        for number, (name, shape) in enumerate(constants):
            data = np.ones(shape, "<f4").tobytes()
            tensors += [TensorSpec(f"c{number}", shape, data=data), TensorSpec(f"y{number}", (1, 4))]
            before = operators[-1].outputs[0] if operators else 0
            operators.append(OperatorSpec(name, (before, len(tensors) - 2), (len(tensors) - 1,)))
        return read_model(build(tensors, operators))

    folded = chain(("FULLY_CONNECTED", (4, 4)))
    unfolded = chain(("FULLY_CONNECTED", (4, 4)), ("MUL", (4,)), ("ADD", (4,)))
    found = identity.parameter_mismatch(match_weights(folded, unfolded))
    assert found.value == 8
    assert "batch norms or rescalings were left in the graph" in found.causes[0]


# -- float32 against the source ---------------------------------------------------------------------------------------


def test_float32_error_is_relative_to_the_largest_output():
    reference = np.array([[100.0, 0.0], [50.0, -20.0]])
    outputs = reference + np.array([[0.0, 0.0], [0.0, 0.01]])
    found = identity.float32_error(reference, outputs)
    assert found.value == pytest.approx(1e-4)
    assert found.detail == "largest at sample 1"


@pytest.mark.parametrize(("error", "expected"), [(3e-6, Verdict.PASS), (2e-3, Verdict.FAIL), (1e-2, Verdict.FAIL)])
def test_float_accuracy_is_told_from_float16_and_8_bits(error, expected):
    reference = np.array([[0.9, 0.1]])
    assert verdict(identity.float32_error(reference, reference + error)) is expected


@pytest.mark.parametrize("outputs", [np.full((1, 2), np.nan), np.zeros((1, 3))])
def test_outputs_that_cannot_be_compared_are_unmeasured(outputs):
    with pytest.raises(Unmeasured):
        identity.float32_error(np.zeros((1, 2)), outputs)


# -- size, operators, versions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_size_of_a_conversion_is_possible(recipe):
    assert identity.impossible_bytes(network(recipe), facts(FLOAT32), RECIPES[recipe]).value == 0


def test_size_that_is_too_good_is_caught():
    many = facts(network(spoil={"dense/weights": lambda s: replace(s, values=np.tile(s.values, (20, 20)))}))
    found = identity.impossible_bytes(network("int8"), many, RECIPES["int8"])
    assert verdict(found) is Verdict.FAIL
    assert "parameters of 8 bits take" in found.detail


def test_bound_does_not_hold_for_sparse_files():
    tensors = [TensorSpec("x", (1, 4)), TensorSpec("w", (4, 4), data=b"\1\2", sparse=True), TensorSpec("y", (1, 4))]
    sparse = read_model(build(tensors, [OperatorSpec("FULLY_CONNECTED", (0, 1), (2,))]))
    many = facts(network(spoil={"dense/weights": lambda s: replace(s, values=np.tile(s.values, (20, 20)))}))
    assert identity.impossible_bytes(sparse, many, RECIPES["int8"]).value == 0


def test_float_operators_in_an_integer_network_are_counted():
    assert identity.float_ops(facts(network("int8"))).value == 0
    assert identity.float_ops(facts(network("int8_float_io"))).value == 0
    found = identity.float_ops(facts(network("dynamic_range")))
    assert found.value == 4
    assert "CONV_2D #0" in found.detail


@pytest.mark.parametrize(
    ("name", "words"), [("FlexErf", "Select TF ops (FlexErf)"), ("Fast", "custom operators (Fast)")]
)
def test_operators_outside_the_builtin_set_are_counted(name, words):
    assert identity.custom_ops(FLOAT32).value == 0
    found = identity.custom_ops(read_model(network_bytes(custom=name)))
    assert verdict(found) is Verdict.FAIL
    assert words in found.causes[0]


def test_select_operators_that_the_manifest_allows_are_told_with_their_cost():
    model = read_model(network_bytes(custom="FlexErf"))
    found = identity.custom_ops(model, select_tf_ops=True)
    assert verdict(found) is Verdict.PASS
    assert found.detail.startswith("FlexErf; Select TF operators need TensorFlow's own kernels")
    own = identity.custom_ops(read_model(network_bytes(custom="Fast")), select_tf_ops=True)
    assert verdict(own) is Verdict.FAIL


@pytest.mark.parametrize(
    ("runtime", "version", "delegate", "lacks"),
    [
        ("ai_edge_litert", "2.3.0", False, True),
        ("tflite_runtime", "2.14.0", False, True),
        ("tensorflow", "2.21.0", False, True),
        ("tensorflow", "2.15.1", False, False),
        ("ai_edge_litert", "2.3.0", True, False),
    ],
)
def test_a_runtime_without_tensorflows_kernels_is_caught_before_it_loads_the_file(runtime, version, delegate, lacks):
    model = read_model(network_bytes(custom="FlexErf"))
    found = identity.unknown_op_versions(model, runtime, version, delegate=delegate)
    assert ("lacks FlexErf" in (found.detail or "")) is lacks
    assert ("tensorflow<2.19" in (found.next or "")) is lacks


def test_operator_version_that_the_runtime_lacks_is_caught():
    model = read_model(network_bytes("dynamic_range", versions={"FULLY_CONNECTED": 12}))
    found = identity.unknown_op_versions(model, "tflite_runtime", "2.14.0")
    assert verdict(found) is Verdict.FAIL
    assert found.detail == "tflite_runtime 2.14.0 lacks FULLY_CONNECTED version 12 (it knows 1 to 10)"
    assert identity.unknown_op_versions(model, "ai_edge_litert", "2.3.0").value == 0


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("dynamic_range", "FULLY_CONNECTED version 12"),
        ("int4", "CONV_2D of float activations and INT4 weights"),
    ],
)
def test_file_that_needs_more_than_it_lists_is_caught(recipe, words):
    found = identity.unknown_op_versions(network(recipe), "tflite_runtime", "2.14.0")
    assert verdict(found) is Verdict.FAIL
    assert words in found.detail
    assert f"does not say that it needs {words}" in found.causes[1]
    assert identity.unknown_op_versions(network(recipe), "ai_edge_litert", "2.3.0").value == 0


def test_version_that_cannot_be_told_is_said_and_not_counted():
    model = read_model(network_bytes(versions={"CONV_2D": 99}))
    found = identity.unknown_op_versions(model, "ai_edge_litert", "99.0")
    assert found.value == 0
    assert found.detail == "not known of ai_edge_litert 99.0: CONV_2D version 99"


# -- the network's operators ------------------------------------------------------------------------------------------


def convolution(options=conv_options, name="CONV_2D"):
    tensors = [
        TensorSpec("x", (1, 4, 4, 1)),
        TensorSpec("w", (1, 1, 1, 1), data=bytes_of(1.0)),
        TensorSpec("y", (1, 2, 2, 1)),
    ]
    return read_model(build(tensors, [OperatorSpec(name, (0, 1, -1), (2,), options=options)]))


def no_relu(builder):
    kind, _ = conv_options(builder)
    schema.Conv2DOptionsStart(builder)
    schema.Conv2DOptionsAddPadding(builder, schema.Padding.VALID)
    schema.Conv2DOptionsAddStrideW(builder, 2)
    schema.Conv2DOptionsAddStrideH(builder, 2)
    return kind, schema.Conv2DOptionsEnd(builder)


def test_operators_with_the_same_options_are_the_same():
    assert identity.operator_mismatches(convolution(), convolution()).value == 0


def test_activation_that_was_dropped_is_named_with_its_operator():
    measurement = identity.operator_mismatches(convolution(), convolution(no_relu))
    assert verdict(measurement) is Verdict.FAIL
    assert measurement.detail == "CONV_2D #0 has fused_activation_function NONE, the float32 variant RELU6"


def test_activation_in_an_operator_of_its_own_is_as_good_as_a_fused_one():
    tensors = [TensorSpec("x", (1, 4, 4, 1)), TensorSpec("w", (1, 1, 1, 1), data=bytes_of(1.0))]
    tensors += [TensorSpec("z", (1, 2, 2, 1)), TensorSpec("y", (1, 2, 2, 1))]
    apart = [OperatorSpec("CONV_2D", (0, 1, -1), (2,), options=no_relu), OperatorSpec("RELU6", (2,), (3,))]
    assert identity.operator_mismatches(convolution(), read_model(build(tensors, apart))).value == 0
