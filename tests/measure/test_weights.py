from dataclasses import replace

import numpy as np
import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.errors import ModelError, Unmeasured
from liteproof.measure.weights import bias_error_lsb, unusable_weights, weight_correlation, weight_error_lsb
from liteproof.tflite.matching import Matching, match_weights
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build
from tests.tflite.networks import channels, network, rounded, trained, with_channels

RECIPES = ["dynamic_range", "float16", "int8", "uint8", "int8_float_io", "int16x8", "int4"]
GATES = (weight_error_lsb, bias_error_lsb, weight_correlation, unusable_weights)


def verdict(measurement):
    return judge(measurement, METRICS[measurement.metric].default).verdict


def missed(matching, gates=GATES):
    """The gates that a file misses under their default limits."""
    found = [gate(matching) for gate in gates]
    return {measurement.metric: measurement for measurement in found if verdict(measurement) is not Verdict.PASS}


def spoiled(recipe, **changes):
    """The network against its float32 variant, with changed constants: `dense_weights=change`."""
    spoil = {name.replace("_", "/"): change for name, change in changes.items()}
    return match_weights(network(), network(recipe, spoil=spoil))


def in_channel(number, change):
    """Change the codes of one channel."""

    def spoil(stored):
        codes = channels(stored)
        codes[number] = change(codes[number])
        return with_channels(stored, codes)

    return spoil


def swapped(*numbers):
    def spoil(stored):
        codes = channels(stored)
        codes[list(numbers)] = codes[list(numbers[::-1])]
        return with_channels(stored, codes)

    return spoil


def scaled(factor, channel=None):
    def spoil(stored):
        scales = stored.scales.copy()
        scales[slice(None) if channel is None else channel] *= np.float32(factor)
        return replace(stored, scales=scales)

    return spoil


def codes(change):
    return lambda stored: replace(stored, values=change(stored.values.copy()))


def toward_zero(values):
    """The float16 values next to the network's weights on the side of zero."""
    beyond = np.abs(values) > np.abs(trained()["conv/weights"])
    return (values.view(np.uint16) - beyond).view("<f2")


# -- no false alarm ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_healthy_conversion_passes_every_gate(recipe):
    matching = match_weights(network(), network(recipe))
    assert missed(matching) == {}
    assert 0.4 < weight_error_lsb(matching).value <= 0.501


def test_float32_against_itself_is_exact():
    matching = match_weights(network(), network())
    assert (weight_error_lsb(matching).value, bias_error_lsb(matching).value) == (0.0, 0.0)


@pytest.mark.parametrize("recipe", ["int8", "int16x8"])
def test_codes_that_outgrow_float32_are_no_defect(recipe):
    # Biases near the end of int32: float32 rounds them by some hundred steps.
    values = trained()
    values["dense/bias"] = (values["dense/bias"] * 2e4).astype(np.float32)
    float32 = network(values=values)

    def in_float32(stored):
        quotient = values["dense/bias"] / stored.scales.astype(np.float32)
        return replace(stored, values=np.rint(quotient.astype(np.float32)))

    matching = match_weights(float32, network(recipe, values, spoil={"dense/bias": in_float32}))
    pair = matching.of("bias")[-1]
    assert np.abs(pair.variant.codes).max() > 2**24
    assert bias_error_lsb(matching).value <= 0.501


def test_subnormal_float16_weights_are_no_defect():
    values = trained()
    values["conv/weights"] = (values["conv/weights"] * 1e-7).astype(np.float32)
    assert weight_error_lsb(match_weights(network(values=values), network("float16", values))).value <= 0.5


def test_channel_of_zeros_is_no_defect():
    values = trained()
    values["dense/weights"][2] = 0.0
    plain_bias = {"dense/bias": lambda _: rounded(values["dense/bias"], np.full(5, 1e-3, np.float32), "INT32", 0)}
    matching = match_weights(network(values=values), network("int8", values, spoil=plain_bias))
    assert matching.pairs[4].variant.tensor.quantization.scales[2] == 0.0
    assert missed(matching) == {}


# -- defects are caught, and told apart -------------------------------------------------------------------------------

CAUGHT = {
    "doubled scale": ("int8", {"conv_weights": scaled(2)}, "weight_error_lsb", "it is 2 times what it should be"),
    "one channel's scale": (
        "int8",
        {"conv_weights": scaled(1.5, channel=3)},
        "weight_error_lsb",
        "channel 3 is 1.5 times what it should be",
    ),
    "scale off by a hundredth": ("int8", {"conv_weights": scaled(1.01)}, "weight_error_lsb", "1.01 times"),
    "doubled int4 scale": ("int4", {"dense_weights": scaled(2)}, "weight_error_lsb", "times what it should be"),
    "doubled dynamic-range scale": ("dynamic_range", {"dense_weights": scaled(2)}, "weight_error_lsb", "it is 2 times"),
    "flipped sign": (
        "int8",
        {"depthwise_weights": in_channel(5, np.negative)},
        "weight_error_lsb",
        "channel 5 is float32's with the sign flipped",
    ),
    "swapped channels": (
        "int8",
        {"conv_weights": swapped(1, 4)},
        "weight_error_lsb",
        "channels are permuted: 1 holds 4, 4 holds 1",
    ),
    "zeroed layer": ("int8", {"dense_weights": codes(np.zeros_like)}, "weight_error_lsb", "it is all zero"),
    "zeroed channel": ("float16", {"dense_weights": in_channel(2, np.zeros_like)}, "weight_error_lsb", "all zero"),
    "zero point": (
        "int8",
        {"dense_weights": lambda stored: replace(stored, zero_points=stored.zero_points + 3)},
        "weight_error_lsb",
        "off by -3 steps everywhere",
    ),
    "one weight": (
        "int8",
        {"conv_weights": codes(lambda c: np.where(np.arange(c.size).reshape(c.shape) == 40, -c, c))},
        "weight_error_lsb",
        "1 of 288 elements are off",
    ),
    "cut instead of rounded": (
        "float16",
        {"conv_weights": codes(toward_zero)},
        "weight_error_lsb",
        "cut toward zero",
    ),
    "range cut": ("int8", {"conv_weights": codes(lambda c: np.clip(c, -90, 90))}, "weight_error_lsb", "conv/weights"),
    "float weights moved": (
        "dynamic_range",
        {"dense_bias": codes(lambda v: v * np.float32(1.001))},
        "bias_error_lsb",
        "weights moved after the float32 conversion",
    ),
    "bias scale": ("int8", {"dense_bias": scaled(4)}, "bias_error_lsb", "it is 4 times what it should be"),
    "bias of one class": (
        "int8",
        {"dense_bias": codes(lambda c: c + 900 * (np.arange(5) == 3))},
        "bias_error_lsb",
        "1 of 5 elements are off",
    ),
    "zeroed bias": ("int16x8", {"conv_bias": codes(np.zeros_like)}, "bias_error_lsb", "it is all zero"),
    "NaN weight": (
        "float16",
        {"conv_weights": codes(lambda v: np.where(v == v.max(), np.float16(np.nan), v))},
        "unusable_weights",
        "edited or damaged",
    ),
    "NaN scale": ("int8", {"conv_weights": scaled(np.nan, channel=2)}, "unusable_weights", "edited or damaged"),
    "zero scale": ("int8", {"conv_weights": scaled(0, channel=2)}, "unusable_weights", "edited or damaged"),
    "layer of another training run": (
        "dynamic_range",
        {"dense_weights": lambda s: rounded(trained(9)["dense/weights"], s.scales, "INT8", 0)},
        "weight_correlation",
        "1 of 3 weight tensors were replaced",
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", CAUGHT)
def test_defect_is_caught_and_named(defect):
    recipe, changes, metric, cause = CAUGHT[defect]
    found = missed(spoiled(recipe, **changes))
    assert metric in found
    assert cause in " ".join(found[metric].causes)
    tensor = next(iter(changes)).replace("_", "/")
    assert tensor in found[metric].detail


@pytest.mark.parametrize("recipe", ["float32", *RECIPES])
def test_another_training_run_is_caught_by_every_look_at_the_weights(recipe):
    found = missed(match_weights(network(), network(recipe, trained(seed=1))))
    assert {"weight_error_lsb", "bias_error_lsb", "weight_correlation"} <= found.keys()
    assert "another training run" in found["weight_error_lsb"].causes[0]
    assert "another training run" in found["weight_correlation"].causes[0]


def test_fine_tuned_weights_are_told_from_another_training_run():
    moved = {
        name: (v + np.random.default_rng(3).normal(0, 0.01, v.shape)).astype("<f4") for name, v in trained().items()
    }
    found = missed(match_weights(network(), network("int8", moved)))
    assert "weight_correlation" not in found
    assert "fine-tuning" in found["weight_error_lsb"].causes[0]


def test_recipe_that_optimises_scales_is_told_from_a_defect():
    # A smaller scale pins the largest weights of a channel, and rounds the others better.
    def optimised(layer):
        def spoil(stored):
            scales = stored.scales * np.float32(0.8)
            return replace(
                rounded(trained()[f"{layer}/weights"], scales, stored.type, stored.axis),
                values=np.clip(rounded(trained()[f"{layer}/weights"], scales, stored.type, stored.axis).values, -7, 7),
            )

        return spoil

    found = missed(spoiled("int4", conv_weights=optimised("conv"), dense_weights=optimised("dense")))
    assert "pinned to the ends of INT4: a recipe that optimises scales" in found["weight_error_lsb"].causes[0]


def test_worst_tensor_and_channel_are_named():
    measurement = weight_error_lsb(spoiled("int8", depthwise_weights=scaled(3, channel=6)))
    assert "worst: weight 'depthwise/weights' of DEPTHWISE_CONV_2D #1, channel 6" in measurement.detail
    assert measurement.evidence["off"] == 1
    assert measurement.evidence["worst"][0]["channel"] == 6


def test_scales_along_the_wrong_dimension_are_unusable_and_unmeasured():
    matching = spoiled("int8", dense_weights=lambda stored: replace(stored, axis=1))
    found = unusable_weights(matching)
    assert verdict(found) is Verdict.FAIL
    assert "dense/weights" in found.detail
    with pytest.raises(ModelError, match="5 scales do not fit shape"):
        weight_error_lsb(matching)


# -- what could not be compared ---------------------------------------------------------------------------------------


def test_what_has_no_partner_is_named_beside_the_rest():
    whole = match_weights(network(), network("int8"))
    lost = whole.pairs[4].float32
    measurement = weight_error_lsb(Matching(whole.pairs[:4], unmatched_float32=(lost,)))
    assert measurement.value <= 0.501
    assert "2 of 3 compared, without partner: weight 'dense/weights' of FULLY_CONNECTED #2" in measurement.detail


@pytest.mark.parametrize("gate", [weight_error_lsb, weight_correlation])
def test_nothing_to_compare_is_unmeasured(gate):
    matching = match_weights(network(), network())
    alone = Matching((), tuple(pair.float32 for pair in matching.pairs), tuple(pair.variant for pair in matching.pairs))
    with pytest.raises(Unmeasured, match="none of the float32 variant's constants has a partner"):
        gate(alone)


def test_network_without_weights_has_no_error():
    tensors = [TensorSpec("x", (1, 4)), TensorSpec("y", (1, 4))]
    model = read_model(build(tensors, [OperatorSpec("SOFTMAX", (0,), (1,))]))
    assert missed(match_weights(model, model)) == {}
