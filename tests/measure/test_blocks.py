"""What is measured a block at a time is what is measured of the whole arrays."""

import doctest
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteproof.errors import Unmeasured
from liteproof.measure import accuracy, agreement, blocks, calibration, dequantization, identity, outputs
from liteproof.measure.evaluation import Evaluation
from liteproof.measure.tensors import TensorSpec

CODES = outputs.Codes(1 / 256, 0.0, 255 / 256)
END = TensorSpec("x", (1, 7), "int8", scales=(0.05,), zero_points=(3,))
LABELS = np.arange(23) % 7

METRICS = {
    "top1_agreement": agreement.top1_agreement,
    "top5_agreement": agreement.top5_agreement,
    "confidence_drift": agreement.confidence_drift,
    "max_abs_error": agreement.max_abs_error,
    "mean_abs_error": agreement.mean_abs_error,
    "cosine_similarity": agreement.cosine_similarity,
    "sqnr_db": agreement.sqnr_db,
    "nonfinite_outputs": agreement.nonfinite_outputs,
    "accuracy": lambda _, ours: accuracy.accuracy(ours, LABELS),
    "accuracy_drop": lambda theirs, ours: accuracy.accuracy_drop(theirs, ours, LABELS),
    "worst_class": lambda theirs, ours: accuracy.worst_class_recall_drop(theirs, ours, LABELS),
    "invalid_probabilities": lambda _, ours: outputs.invalid_probabilities(ours, CODES),
    "lost_classes": outputs.lost_classes,
    "frozen_outputs": outputs.frozen_outputs,
    "output_saturation": lambda theirs, ours: outputs.output_saturation(theirs, ours, CODES),
    "kernel_path_flips": lambda theirs, ours: outputs.kernel_path_flips(theirs, ours, theirs),
    "float32_error": identity.float32_error,
    "roundtrip_error_lsb": lambda _, ours: dequantization.roundtrip_error_lsb([(END, np.nan_to_num(ours))]),
    "saturation": lambda _, ours: dequantization.saturation([(END, ours)]),
    "io_mismatch": lambda theirs, ours: dequantization.io_mismatch(ours, theirs, 1 / 256),
    "calibration_overlap": lambda theirs, ours: calibration.calibration_overlap(
        Evaluation({"x": theirs[::2]}, None), Evaluation({"x": ours}, None)
    ),
}

SPECIAL = np.array([0.0, -0.0, 1.0, 255 / 256, 1e6, np.nan, np.inf], np.float32)


def probabilities(generator):
    rows = generator.random((23, 7), np.float32) + np.float32(0.001)
    return rows / rows.sum(axis=1, keepdims=True)


def anything(generator):
    drawn = generator.normal(size=(23, 7)).astype(np.float32), generator.choice(SPECIAL, (23, 7))
    return np.where(generator.random((23, 7)) < generator.random() ** 3, drawn[1], drawn[0])


def measured(metric, reference, found):
    try:
        made = METRICS[metric](reference, found)
    except Unmeasured as error:
        return str(error)
    told = {name: getattr(made, name) for name in ("value", "samples", "interval", "bound", "evidence", "causes")}
    return {**told, "detail": made.detail}


def same(one, other):
    if isinstance(one, dict) and "value" in one:
        # Sums are added up in another order; nothing else may differ.
        numbers = {"value", "bound", "interval"}
        rest = one.keys() - numbers
        assert {name: one[name] for name in rest} == {name: other[name] for name in rest}
        for name in numbers:
            expected = [float("nan") if v is None else v for v in np.ravel(np.array(one[name], float))]
            assert np.ravel(np.array(other[name], float)) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
    else:
        assert one == other


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    kinds=st.sampled_from([(probabilities, probabilities), (probabilities, anything), (anything, anything)]),
    rows=st.integers(1, 8),
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_blocks_of_any_size_measure_the_same(metric, seed, kinds, rows):
    generator = np.random.default_rng(seed)
    reference, found = (kind(generator) for kind in kinds)
    found = np.where(generator.random((23, 1)) < generator.random(), reference, found)
    whole = measured(metric, reference, found)
    with mock.patch.object(blocks, "BLOCK_VALUES", 7 * rows):
        same(whole, measured(metric, reference, found))


def test_examples_run():
    assert doctest.testmod(blocks).failed == 0


def test_a_row_that_is_larger_than_a_block_is_one():
    assert [start for start, _ in blocks.blocks(np.zeros((3, 100)), values=10)] == [0, 1, 2]


def test_scores_without_a_second_axis_and_labels_go_together():
    found = [(start, len(a), len(b)) for start, a, b in blocks.blocks(np.zeros((5, 4)), np.zeros(5), values=8)]
    assert found == [(0, 2, 2), (2, 2, 2), (4, 1, 1)]
