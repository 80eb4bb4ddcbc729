import numpy as np
import pytest

from liteproof.errors import Unmeasured
from liteproof.measure import agreement, decisions

SOURCE = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.45, 0.40, 0.15], [0.1, 0.1, 0.8]])


def flipped(*samples):
    outputs = SOURCE.copy()
    outputs[list(samples)] = np.roll(SOURCE[list(samples)], 1, axis=1)
    return outputs


def test_equal_outputs_agree_everywhere():
    measured = agreement.top1_agreement(SOURCE, SOURCE)
    assert (measured.value, measured.samples, measured.detail) == (1.0, 4, None)
    assert measured.bound < 1.0


def test_flips_are_told_with_classes_and_certainty():
    measured = agreement.top1_agreement(SOURCE, flipped(0, 2), labels=("a", "b", "c"))
    assert measured.value == 0.5
    assert "sample 0: a → b" in measured.detail
    assert "1 on clear cases, 1 on near-ties; most from a (2)" in measured.detail
    assert measured.evidence["flips"] == {"a→b": 2}


def test_nan_agrees_with_nothing_although_its_argmax_is_0():
    outputs = SOURCE.copy()
    outputs[0] = np.nan
    measured = agreement.top1_agreement(SOURCE, outputs)
    assert measured.value == 0.75
    assert "a → nothing" in agreement.top1_agreement(SOURCE, outputs, labels=("a", "b", "c")).detail


def test_binary_uses_the_threshold():
    scores = np.array([[0.2], [0.6]])
    assert decisions.decisions(scores, 0.5).tolist() == [0, 1]
    assert decisions.decisions(scores, 0.7).tolist() == [0, 0]


def test_top5_counts_a_class_among_the_sources_five_best():
    reference = np.arange(8.0)[None, :].repeat(2, axis=0)
    outputs = np.zeros((2, 8))
    outputs[0, 3], outputs[1, 2] = 1, 1
    assert agreement.top5_agreement(reference, outputs).value == 0.5


def test_confidence_drift_is_the_mean_change_where_the_class_stays():
    outputs = SOURCE.copy()
    outputs[0] = [0.8, 0.2, 0.0]
    measured = agreement.confidence_drift(SOURCE, outputs)
    assert measured.value == pytest.approx(0.1 / 4)
    assert measured.bound >= measured.value
    assert agreement.confidence_drift(SOURCE, flipped(0, 1)).samples == 2


def test_confidence_drift_of_logits_is_one_of_probabilities():
    logits = np.log(SOURCE + 1e-9)
    assert agreement.confidence_drift(logits, logits + 3.0).value == pytest.approx(0.0, abs=1e-6)


def test_confidence_drift_needs_a_class_that_stays():
    with pytest.raises(Unmeasured, match="no sample keeps its class"):
        agreement.confidence_drift(SOURCE, flipped(0, 1, 2, 3))


@pytest.mark.parametrize("metric", ["max_abs_error", "mean_abs_error", "cosine_similarity", "sqnr_db"])
def test_errors_are_unmeasured_on_nan(metric):
    outputs = SOURCE.copy()
    outputs[1, 1] = np.nan
    with pytest.raises(Unmeasured, match="NaN"):
        getattr(agreement, metric)(SOURCE, outputs)


def test_errors_by_hand():
    outputs = SOURCE + np.array([[0.0, 0.0, 0.3]])
    assert agreement.max_abs_error(SOURCE, outputs).value == pytest.approx(0.3)
    assert agreement.mean_abs_error(SOURCE, outputs).value == pytest.approx(0.1)
    assert agreement.cosine_similarity(SOURCE, 2 * SOURCE).value == pytest.approx(1.0)
    assert agreement.sqnr_db(SOURCE, 1.1 * SOURCE).value == pytest.approx(20.0)


def test_nonfinite_outputs_are_counted_where_the_source_is_finite():
    outputs = SOURCE.copy()
    outputs[1, 1], outputs[2, 0] = np.nan, np.inf
    measured = agreement.nonfinite_outputs(SOURCE, outputs)
    assert measured.value == 2
    assert "first in sample 1" in measured.detail


def test_r_squared_sees_what_cosine_misses_far_from_zero():
    kelvin = np.linspace(290, 300, 50).reshape(-1, 1)
    constant = np.full_like(kelvin, 295.0)
    assert agreement.cosine_similarity(kelvin, constant).value > 0.9999
    assert agreement.sqnr_db(kelvin, constant).value > 35
    assert agreement.r_squared(kelvin, constant).value == pytest.approx(0.0)
    assert agreement.r_squared(kelvin, kelvin).value == 1.0
    assert agreement.r_squared(kelvin, kelvin + 5).value < 0


def test_r_squared_of_a_source_that_says_one_thing_is_unmeasured():
    with pytest.raises(Unmeasured, match="the same for every sample"):
        agreement.r_squared(np.full((9, 2), 3.0), np.zeros((9, 2)))


@pytest.mark.parametrize(("kept", "said"), [(0, "no sample keeps"), (1, "one sample keeps")])
def test_confidence_of_fewer_than_two_samples_is_unmeasured(kept, said):
    with pytest.raises(Unmeasured, match=said):
        agreement.confidence_drift(SOURCE, flipped(*range(kept, len(SOURCE))))
