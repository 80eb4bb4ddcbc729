"""Files made by rules keep them, layer by layer; files that do not are told apart."""

import numpy as np
import pytest

from liteproof.measure import identity, size
from liteproof.mixed import read_rules
from liteproof.recipes import mixed
from liteproof.tflite.facts import facts
from liteproof.tflite.layer_promises import broken_promises, float_layers, idle_rules, layer_promises
from liteproof.tflite.reader import read_model
from liteproof.tflite.specification import violations
from tests.test_mixed import dynamic, rule, static, weight_only

pytestmark = pytest.mark.slow

EIGHT = rule(".*", "*", static(8))
RULES = {
    "int8": [EIGHT],
    "float_head": [EIGHT, rule(".*", "FULLY_CONNECTED")],
    "float_conv": [EIGHT, rule(".*", "CONV_2D")],
    "wide_head": [EIGHT, rule(".*", "FULLY_CONNECTED", static(16))],
    "dynamic": [rule(".*", "*", dynamic(8)), rule(".*", "FULLY_CONNECTED", dynamic(4))],
    "blocks": [rule(".*", "*", dynamic(8)), rule(".*", "FULLY_CONNECTED", dynamic(4, "BLOCKWISE_32"))],
    "tensorwise": [rule(".*", "CONV_2D", dynamic(8, "TENSORWISE"))],
    "weight_only": [rule(".*", "FULLY_CONNECTED", weight_only(8))],
    "conv_only": [rule(".*", "CONV_2D", static(8))],
}


def _network():
    """Two convolutions, two dense layers and a softmax, as TFLiteConverter writes them."""
    import tensorflow as tf

    rng = np.random.default_rng(1)
    stem, body, hidden, head = (
        tf.constant(rng.normal(size=shape) / 4, tf.float32)
        for shape in [(3, 3, 2, 4), (3, 3, 4, 8), (128, 64), (64, 5)]
    )

    def serve(x):
        y = tf.nn.relu(tf.nn.conv2d(x, stem, 1, "SAME") + 0.1)
        y = tf.nn.relu(tf.nn.conv2d(y, body, 2, "SAME") + tf.range(8, dtype=tf.float32) / 10)
        y = tf.nn.relu(tf.reshape(y, [1, 128]) @ hidden + 0.2)
        return {"y": tf.nn.softmax(y @ head + tf.range(5, dtype=tf.float32))}

    module = tf.Module()
    module.serve = tf.function(serve, input_signature=[tf.TensorSpec([1, 8, 8, 2], tf.float32, "x")])
    return tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function()], module).convert()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The float32 network and the files that LiteRT Quantizer makes of it by each set of rules."""
    from liteproof.convert.litert_recipes import quantize

    folder = tmp_path_factory.mktemp("mixed")
    float32 = folder / "float32.tflite"
    float32.write_bytes(_network())
    found = {"float32": read_model(float32)}
    rng = np.random.default_rng(2)
    batches = [{"x": rng.normal(size=(1, 8, 8, 2)).astype(np.float32)} for _ in range(20)]
    for name, rules in RULES.items():
        samples = (lambda: iter(batches)) if any("activation_tensor_config" in str(r) for r in rules) else None
        (folder / f"{name}.tflite").write_bytes(quantize(f"{name}.json", float32, samples, rules))
        found[name] = read_model(folder / f"{name}.tflite")
    return found


@pytest.mark.parametrize("name", RULES)
def test_a_file_keeps_the_rules_that_it_was_made_by(made, name):
    rules = read_rules(RULES[name])
    assert broken_promises(made["float32"], made[name], rules) == []
    promise = mixed(name, rules)
    assert violations(made[name], promise, made["float32"]) == ()
    found = facts(made["float32"])
    assert identity.impossible_bytes(made[name], found, promise, made["float32"]).value == 0
    allowed = float_layers(made["float32"], made[name], rules)
    assert identity.float_ops(facts(made[name]), allowed).value == 0


@pytest.mark.parametrize("name", RULES)
def test_a_file_breaks_the_rules_of_every_other(made, name):
    kept = [other for other in RULES if not broken_promises(made["float32"], made[name], read_rules(RULES[other]))]
    assert kept == [name]


def test_a_layer_left_in_float_is_named_with_its_rule(made):
    rules = read_rules(RULES["int8"])
    told = broken_promises(made["float32"], made["float_head"], rules)
    assert any("FULLY_CONNECTED" in line and "FLOAT32 weights, rule 1 (.*, *) promises INT8" in line for line in told)
    assert identity.float_ops(facts(made["float_head"]), float_layers(made["float32"], made["float_head"], rules)).value
    broken = violations(made["float_head"], mixed("int8", rules), made["float32"])
    assert {"integer_only", "ends_type"} & {violation.rule for violation in broken}


def test_a_layer_quantized_against_the_rules_is_named(made):
    told = broken_promises(made["float32"], made["int8"], read_rules(RULES["float_conv"]))
    assert any("CONV_2D" in line and "no rule" in line for line in told)


def test_fewer_bits_are_told_by_the_size_too(made):
    found, network = facts(made["float32"]), made["float32"]
    promise = mixed("dynamic", read_rules(RULES["dynamic"]))
    limit = size.default_size_ratio(found, promise, network)
    assert made["dynamic"].bytes / network.bytes <= limit < 1.0
    assert network.bytes / network.bytes > limit


def test_a_rule_that_speaks_of_nothing_is_told(made):
    rules = read_rules([EIGHT, rule("no_such_layer", "*"), rule(".*", "HARD_SWISH", static(8))])
    assert [found.number for found in idle_rules(made["float32"], rules)] == [2, 3]
    assert "rule 2 (no_such_layer, *) holds for no operator" in broken_promises(made["float32"], made["int8"], rules)[0]


def test_weights_below_a_smallest_size_may_stay_in_float(made):
    config = {**dynamic(8), "min_weight_elements": 10**6}
    rules = read_rules([rule(".*", "*", config)])
    assert broken_promises(made["float32"], made["float32"], rules) == []
    assert layer_promises(made["float32"], rules)
