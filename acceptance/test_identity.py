"""The file is what it claims to be: this recipe, this network, of this training, for this runtime.

docs/suites/identity.md says where each rule comes from and what to do when it fails.
"""

import pytest

from liteproof.checks import worst_of
from liteproof.measure import identity, weights
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("recipe_mismatches")
def test_keeps_its_recipes_promises(case: Subject, check: Check) -> None:
    """Weights, activations, inputs and outputs have the types that the recipe promises."""
    promise, network = case.variant.promise, case.float32_flatbuffer
    check(identity.recipe_mismatches(case.flatbuffer, case.facts, case.float32_facts, promise, network))


@pytest.mark.measures("float_ops")
def test_computes_in_integers(case: Subject, check: Check) -> None:
    """No operator of an integer recipe fell back to float."""
    check(identity.float_ops(case.facts, case.float_layers))


@pytest.mark.measures("interface_mismatches")
def test_has_the_sources_inputs_and_outputs(case: Subject, check: Check) -> None:
    """As many inputs, outputs and classes as the source, of the same shapes."""
    check(identity.interface_mismatches(case.facts, case.float32_facts, case.sample_shapes))


@pytest.mark.measures("parameter_mismatch")
def test_has_the_sources_parameters(case: Subject, check: Check) -> None:
    """The constants of the float32 variant, each at its place in the graph, and no others."""
    check(identity.parameter_mismatch(case.matching))


@pytest.mark.measures("operator_mismatches")
def test_has_the_sources_operators(case: Subject, check: Check) -> None:
    """Strides, paddings, fused activations and other options are the float32 variant's."""
    check(identity.operator_mismatches(case.float32_flatbuffer, case.flatbuffer))


@pytest.mark.measures("weight_correlation")
def test_is_of_the_same_training(case: Subject, check: Check) -> None:
    """The weights are the source's: another training run agrees on the classes, and has other weights."""
    check(weights.weight_correlation(case.matching))


@pytest.mark.measures("float32_error")
def test_float32_reproduces_the_source(case: Subject, check: Check) -> None:
    """The float32 variant, which others are compared with, gives the source's outputs to float accuracy."""
    pairs = case.float32_beside_source
    check(worst_of({name: identity.float32_error(*answers) for name, answers in pairs.items()}))


@pytest.mark.measures("impossible_bytes")
def test_size_is_possible(case: Subject, check: Check) -> None:
    """The file has room for the network's parameters in the recipe's bits."""
    promise, network = case.variant.promise, case.float32_flatbuffer
    check(identity.impossible_bytes(case.flatbuffer, case.float32_facts, promise, network))


@pytest.mark.measures("custom_ops", "unknown_op_versions")
def test_runtime_has_its_operators(case: Subject, check: Check) -> None:
    """Every operator is builtin (or allowed to be TensorFlow's own), in a version that the target's runtime knows."""
    check(identity.custom_ops(case.flatbuffer, select_tf_ops=case.variant.select_tf_ops))
    check(identity.unknown_op_versions(case.flatbuffer, *case.runtime, delegate=case.target.delegate is not None))
