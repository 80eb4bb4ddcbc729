"""Each kind says what it is, is drawn by its name, and changes the file that it starts from (three layers here)."""

import numpy as np
import pytest

from liteproof.recipes import RECIPES
from tests.mutants import conversions, further, graphs, mixed, parameters, trained, weights  # noqa: F401 - they enter their kinds
from tests.mutants.edit import edited
from tests.mutants.kinds import KINDS, Origin, mutate
from tests.mutants.table import FAMILIES
from tests.tflite.networks import network_bytes
from tests.tflite.networks import trained as weights_of

ORIGIN = Origin(
    "small",
    {**{recipe: network_bytes(recipe) for recipe in RECIPES}, "mixed": network_bytes("int8")},
    {
        "retrained/int8": network_bytes("int8", weights_of(1)),
        "retrained_qat_int8": network_bytes("int8", weights_of(1)),
        "without_batch_norm/float32": network_bytes("float32", weights_of(1)),
    },
    {"x": np.arange(600.0, dtype=np.float32).reshape(300, 2), "y": np.arange(300) % 3},
    {"x": -np.arange(600.0, dtype=np.float32).reshape(300, 2), "y": np.arange(300) % 3},
    {"qat_int8": network_bytes("float32")},
)
# What the small network has not: option tables, an activation function, a pool, residuals, ten classes, zeros,
# ranges of several lengths, layers of several types …
NEEDS_MORE = {
    "softmax_flattened",
    "relu_removed",
    "relu_removed_where_the_range_clips",
    "relu_clips_at_one",
    "batch_norm_not_folded",
    "neurons_cut",
    "dead_weight",
    "class_missing",
    "classes_permuted",
    "two_classes_swapped",
    "pool_changes_the_scale",
    "residual_scale_wrong",
    "mask_of_another_layer",
    "layer_not_pruned",
    "qat_scale_of_another_layer",
    "qat_range_of_another_layer",
    "zeros_lost",
    "pruned_beyond_what_was_trained",
    *(name for name, kind in KINDS.items() if kind.family == "mixed"),
}
EDITS = [name for name, kind in KINDS.items() if kind.change is not None and name not in NEEDS_MORE]
# What the issue demands at the least.
# fmt: off
DEMANDED = {
    "input_zero_point_off_by_one", "input_zero_point_off_by_ten", "output_zero_point_off_by_one",
    "output_zero_point_off_by_ten", "inner_zero_point_off_by_one", "inner_zero_point_off_by_ten",
    "activation_scale_doubled", "weight_scale_doubled", "channel_scale_wrong", "channels_swapped",
    "bias_dropped", "bias_scale_wrong", "filter_sign_flipped", "another_training_run", "layer_zeroed",
    "batch_norm_not_folded", "batch_norm_lost", "activation_range_clipped", "classes_permuted",
    "softmax_removed", "int8_ends_sold_as_uint8", "uint8_ends_sold_as_int8", "float_ends_sold_as_int8",
    "input_normalised_twice", "nan_weight", "quantized_dimension_wrong", "per_tensor_weights",
    "calibration_on_one_image", "calibration_without_normalisation", "int4_sold_as_dynamic_range",
    "four_bit_codes_in_eight", "dynamic_range_sold_as_float32", "operator_version_too_new", "buffer_truncated",
}
# fmt: on


def test_what_is_demanded_is_there():
    assert set(KINDS) >= DEMANDED


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_says_what_is_wrong_in_a_sentence(kind):
    assert kind.text[0].isupper()
    assert kind.text.endswith(".")
    assert "|" not in kind.text, "it would break the table"
    assert {kind.base, kind.claim} <= {*RECIPES, "mixed"}
    assert kind.family in FAMILIES


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_the_file(name):
    mutant = mutate(KINDS[name], ORIGIN)
    assert mutant.content != edited(ORIGIN.variants[KINDS[name].base])


@pytest.mark.parametrize("name", EDITS)
def test_a_mutant_is_the_same_every_time(name):
    assert mutate(KINDS[name], ORIGIN).content == mutate(KINDS[name], ORIGIN).content


def test_kinds_draw_different_layers():
    places = {mutate(KINDS[name], ORIGIN).operators[:1] for name in EDITS}
    assert len(places - {()}) >= 3


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.calibration], ids=lambda kind: kind.name)
def test_a_calibration_set_stays_one(kind):
    data = mutate(kind, ORIGIN).calibration
    assert data["x"].dtype == np.float32
    assert len(data["x"]) == len(data["y"]) > 0
