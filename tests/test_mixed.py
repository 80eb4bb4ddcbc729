"""Rules by layer: read, resolved as LiteRT Quantizer resolves them, refused where they cannot be judged."""

import itertools
import random

import pytest

from liteproof.checks import METRICS
from liteproof.mixed import (
    NO_QUANTIZE,
    OPERATIONS,
    STATIC_INT8,
    SUPPORTED,
    LayerRule,
    promised,
    read_rules,
)
from liteproof.recipes import RECIPES, mixed, promise_of

DYNAMIC = {"weight_tensor_config": {"num_bits": 8, "granularity": "CHANNELWISE"}, "compute_precision": "INTEGER"}


def weights(bits, granularity="CHANNELWISE"):
    return {"num_bits": bits, "symmetric": True, "granularity": granularity, "dtype": "INT"}


def dynamic(bits, granularity="CHANNELWISE"):
    return {
        "weight_tensor_config": weights(bits, granularity),
        "compute_precision": "INTEGER",
        "explicit_dequantize": False,
    }


def static(bits):
    activations = {"num_bits": bits, "symmetric": bits == 16, "granularity": "TENSORWISE", "dtype": "INT"}
    return {**STATIC_INT8, "activation_tensor_config": activations}


def weight_only(bits):
    return {**dynamic(bits), "compute_precision": "FLOAT", "explicit_dequantize": True}


def rule(regex, operation, config=None, algorithm="min_max_uniform_quantize"):
    named = {"regex": regex, "operation": operation, "algorithm_key": algorithm if config else NO_QUANTIZE}
    return {**named, "op_config": config} if config else named


CONFIGS = [static(8), static(16), dynamic(8), dynamic(4), dynamic(4, "BLOCKWISE_32"), weight_only(8), weight_only(4)]


def test_the_last_rule_that_matches_holds():
    rules = read_rules([rule(".*", "*", static(8)), rule("head", "FULLY_CONNECTED", static(16)), rule("stem", "*")])
    assert promised(rules, "CONV_2D", "net/body;").activations == "INT8"
    assert promised(rules, "FULLY_CONNECTED", "net/head;").activations == "INT16"
    assert promised(rules, "CONV_2D", "net/head;").activations == "INT8"
    assert promised(rules, "CONV_2D", "net/stem;") is None


def test_what_the_tool_cannot_do_for_an_operator_is_left_to_the_rules_before():
    rules = read_rules([rule(".*", "*", dynamic(8)), rule("a|b", "*", dynamic(4))])
    assert promised(rules, "CONV_2D", "a;").weights == "INT4"
    assert promised(rules, "DEPTHWISE_CONV_2D", "a;").weights == "INT8"
    assert promised(rules, "SOFTMAX", "a;") is None


@pytest.mark.slow
def test_rules_resolve_as_the_tool_resolves_them():
    from litert_quantizer.recipe_manager import RecipeManager

    draw = random.Random(5)
    operations = ["*", "CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D", "SOFTMAX"]
    compared = 0
    while compared < 300:
        content = [
            rule(draw.choice([".*", "a", "b", "a|c"]), draw.choice(operations), draw.choice([*CONFIGS, None]))
            for _ in range(draw.randint(1, 5))
        ]
        try:
            rules = read_rules(content)
        except ValueError:
            with pytest.raises(ValueError, match=r"."):
                RecipeManager().load_quantization_recipe(content)
            continue
        manager = RecipeManager()
        manager.load_quantization_recipe(content)
        for operation, scope in itertools.product(operations[1:], ["a;", "b;", "c;"]):
            algorithm, config = manager.get_quantization_configs(operation, scope)
            found = promised(rules, operation, scope)
            if algorithm == NO_QUANTIZE:
                assert found is None, (content, operation, scope)
                continue
            assert found is not None, (content, operation, scope)
            assert found.weight_bits == config.weight_tensor_config.num_bits
            inside = config.activation_tensor_config
            assert found.activations == (f"INT{inside.num_bits}" if inside else "FLOAT32")
            compared += 1


@pytest.mark.slow
def test_the_table_of_what_the_tool_can_do_is_the_installed_ones():
    import json

    from litert_quantizer import default_policy
    from litert_quantizer.qtyping import TFLOperationName

    policy = json.loads(default_policy.DEFAULT_JSON_POLICY)
    found = {}
    for name, config in policy["configs"].items():
        inside = config.get("activation_tensor_config")
        kind = f"{inside['dtype']}{inside['num_bits']}" if inside else "FLOAT32"
        mode = "static" if inside else "weight_only" if config["explicit_dequantize"] else "dynamic"
        blocks = config["weight_tensor_config"]["granularity"][0].startswith("BLOCKWISE")
        found[mode, config["weight_tensor_config"]["num_bits"], kind, blocks] = frozenset(
            policy["ops_per_config"][name]
        )
    assert {key: names for key, names in SUPPORTED.items() if key[0] != "cast"} == found
    assert {operation.value for operation in TFLOperationName} >= OPERATIONS


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "it is no array of rules"),
        ([], "it is no array of rules"),
        (["x"], "rule 1 is no object"),
        ([{"regex": ".*"}], "rule 1 needs regex, operation and algorithm_key"),
        ([rule("(", "*")], "rule 1 has the regex '\\('"),
        ([rule(".*", "CONV2D")], "operation 'CONV2D', which LiteRT Quantizer does not know"),
        ([rule(".*", "*", dynamic(4), "GPTQ")], "has the algorithm 'GPTQ'"),
        ([rule(".*", "*", dynamic(4), "HADAMARD_ROTATION")], "has the algorithm 'HADAMARD_ROTATION'"),
        ([rule(".*", "*", {"x": 1})], "op_config that is not understood"),
        ([rule(".*", "*", {**dynamic(8), "skip_checks": True})], "skip_checks"),
        ([rule(".*", "*", dynamic(8)), rule("a", "DEPTHWISE_CONV_2D", dynamic(4))], "rule 2 asks for INT4 weights"),
        ([rule(".*", "CONV_2D", dynamic(4, "BLOCKWISE_32"))], "INT4 weights by blocks"),
        ([rule(".*", "*", static(32))], "INT32 activations"),
    ],
)
def test_what_cannot_be_judged_is_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        read_rules(content)


def test_a_mixed_recipe_has_the_loosest_limits_of_its_parts():
    recipe = mixed("m.json", read_rules([rule(".*", "*", static(8)), rule("a", "FULLY_CONNECTED", dynamic(4))]))
    assert recipe.budgets["top1_agreement"] == RECIPES["int4"].budgets["top1_agreement"]
    assert (recipe.activations, recipe.inputs, recipe.calibrated, recipe.weight_bits) == ("int8", "int8", True, 4)
    assert set(recipe.budgets) <= set(METRICS)


def test_a_mixed_recipe_of_float_activations_is_not_calibrated():
    recipe = promise_of("m.json", {"rules": [rule(".*", "*", dynamic(8)), rule("a", "*", dynamic(4), "MSE")]})
    assert (recipe.activations, recipe.inputs, recipe.calibrated) == ("float32", "float32", False)
    assert recipe.budgets["weight_error_lsb"] == 3.0


def test_a_block_size_of_older_files_is_understood():
    old = {**dynamic(4), "weight_tensor_config": {"num_bits": 4, "symmetric": True, "block_size": 32}}
    assert read_rules([rule(".*", "FULLY_CONNECTED", old)])[0].block == 32
    assert LayerRule(1, ".*", "*", NO_QUANTIZE).mode == "float"


def test_ranges_that_no_overwritten_tensor_widens_are_to_be_used_by_half():
    static_rules = read_rules([rule(".*", "*", static(8)), rule("head", "FULLY_CONNECTED", static(16))])
    assert mixed("mine", static_rules).budgets["activation_range_use"] == 0.5
    assert RECIPES["qat_int8"].budgets["activation_range_use"] == 0.5
    assert METRICS["activation_range_use"].default == 0.125
    assert "activation_range_use" not in mixed("mine", read_rules([rule(".*", "*", dynamic(8))])).budgets
