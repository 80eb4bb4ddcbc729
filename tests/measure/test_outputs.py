"""Each gate on outputs keeps healthy ones and rejects what it is there for."""

import numpy as np
import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.errors import Unmeasured
from liteproof.measure import outputs
from liteproof.measure.outputs import Codes, codes_of
from liteproof.tflite.reader import read_model
from tests.measure.models import data

SOFTMAX_INT8 = Codes(1 / 256, 0.0, 255 / 256)


def verdict(measurement):
    return judge(measurement, METRICS[measurement.metric].default).verdict


@pytest.fixture
def source():
    """Probabilities of 200 samples in ten classes, twenty of each, most of them clear."""
    logits = np.random.default_rng(3).normal(size=(200, 10)).astype(np.float32)
    logits[np.arange(200), np.arange(200) % 10] += 7
    return softmax(logits)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def rounded(values, codes=SOFTMAX_INT8):
    """What an int8 file makes of these outputs."""
    low, high = round(codes.low / codes.step), round(codes.high / codes.step)
    return (np.clip(np.rint(values / codes.step), low, high) * codes.step).astype(np.float32)


class TestFrozenOutputs:
    def test_rounded_outputs_move(self, source):
        assert verdict(outputs.frozen_outputs(source, rounded(source))) is Verdict.PASS

    def test_constant_outputs_are_rejected(self, source):
        found = outputs.frozen_outputs(source, np.tile(source[:1], (200, 1)))
        assert (found.value, verdict(found)) == (10, Verdict.FAIL)

    def test_noise_around_a_constant_is_rejected(self, source):
        noise = np.random.default_rng(0).normal(0, 1e-4, source.shape).astype(np.float32)
        assert outputs.frozen_outputs(source, source[:1] + noise).value == 10

    def test_one_value_that_stays_put_is_rejected(self, source):
        variant = source.copy()
        variant[:, 4] = 0.1
        assert outputs.frozen_outputs(source, variant).value == 1

    def test_a_value_that_hardly_moves_in_the_source_may_stay_put(self, source):
        still = np.column_stack([source, np.full(200, 0.5) + np.arange(200) * 1e-5])
        variant = still.copy()
        variant[:, -1] = 0.5
        assert outputs.frozen_outputs(still, variant).value == 0

    def test_a_source_that_never_moves_measures_nothing(self):
        with pytest.raises(Unmeasured, match="same for every sample"):
            outputs.frozen_outputs(np.ones((5, 3)), np.ones((5, 3)))

    def test_another_shape_measures_nothing(self, source):
        with pytest.raises(Unmeasured):
            outputs.frozen_outputs(source, source[:, :9])


class TestLostClasses:
    def test_all_classes_reached(self, source):
        assert verdict(outputs.lost_classes(source, rounded(source))) is Verdict.PASS

    def test_one_class_for_everything_is_rejected(self, source):
        found = outputs.lost_classes(source, np.tile(np.eye(10)[3], (200, 1)))
        assert (found.value, verdict(found)) == (9, Verdict.FAIL)

    def test_one_class_for_everything_is_rejected_on_few_samples(self):
        assert outputs.lost_classes(np.eye(3), np.tile(np.eye(3)[0], (3, 1))).value == 2

    def test_nan_decides_for_nothing(self, source):
        assert outputs.lost_classes(source, np.full_like(source, np.nan)).value == 10

    def test_a_class_that_is_never_found_is_named(self, source):
        variant = source.copy()
        variant[:, 7] = 0
        labels = tuple("abcdefghij")
        assert "never h" in outputs.lost_classes(source, variant, labels=labels).detail

    def test_a_rare_class_may_be_missed(self):
        source = np.eye(2)[[0] * 20 + [1] * 8]
        source = np.column_stack([source, np.zeros(28)])
        source[0] = [0, 0, 1]
        variant = source.copy()
        variant[0] = [1, 0, 0]
        assert outputs.lost_classes(source, variant).value == 0

    def test_binary_scores(self):
        source = np.array([0.1] * 6 + [0.9] * 6)
        assert outputs.lost_classes(source, np.full(12, 0.2), threshold=0.5).value == 1

    def test_a_source_of_one_class_measures_nothing(self):
        with pytest.raises(Unmeasured, match="one class only"):
            outputs.lost_classes(np.eye(3)[[1, 1, 1]], np.eye(3))


class TestInvalidProbabilities:
    def test_float_and_rounded_ones_are_valid(self, source):
        assert verdict(outputs.invalid_probabilities(source)) is Verdict.PASS
        assert verdict(outputs.invalid_probabilities(rounded(source), SOFTMAX_INT8)) is Verdict.PASS

    def test_a_thousand_classes_that_all_round_to_zero_are_valid(self):
        flat = np.full((3, 1000), 0.001, np.float32)
        assert outputs.invalid_probabilities(rounded(flat), SOFTMAX_INT8).value == 0

    def test_logits_are_rejected(self, source):
        found = outputs.invalid_probabilities(np.log(source))
        assert (found.value, verdict(found)) == (1, Verdict.FAIL)
        assert "softmax" in found.causes[0]

    @pytest.mark.parametrize("factor", [0.5, 2.0])
    def test_a_wrong_output_scale_is_rejected(self, source, factor):
        codes = Codes(factor / 256, 0.0, factor * 255 / 256)
        assert outputs.invalid_probabilities(rounded(source) * factor, codes).value == 1

    def test_scores_outside_the_unit_interval_are_rejected(self):
        assert outputs.invalid_probabilities(np.array([0.2, 1.4, -3.0])).value == pytest.approx(2 / 3)

    def test_nan_is_no_probability(self, source):
        source[0, 0] = np.nan
        assert outputs.invalid_probabilities(source).value == pytest.approx(1 / 200)


class TestOutputSaturation:
    def test_a_softmax_may_pin_its_values(self, source):
        found = outputs.output_saturation(source, rounded(source), SOFTMAX_INT8)
        assert found.value == 0
        assert np.mean(rounded(source) == 0) > 0.1

    def test_a_range_that_is_too_short_is_rejected(self):
        values = np.random.default_rng(1).normal(0, 1, (100, 4))
        codes = Codes(0.001, -0.128, 0.127)
        found = outputs.output_saturation(values, np.clip(values, codes.low, codes.high), codes)
        assert verdict(found) is Verdict.FAIL
        assert "too short" in found.causes[0]

    def test_outputs_stuck_at_an_end_are_rejected(self):
        values = np.random.default_rng(1).uniform(-1, 1, (100, 4))
        found = outputs.output_saturation(values, np.full_like(values, 1.27), Codes(0.01, -1.28, 1.27))
        assert (found.value, verdict(found)) == (1, Verdict.FAIL)
        assert "a layer before" in found.causes[0]

    def test_values_beside_the_end_are_where_they_should_be(self):
        codes = Codes(0.01, -1.28, 1.27)
        assert outputs.output_saturation(np.array([[1.279, -1.285]]), np.array([[1.27, -1.28]]), codes).value == 0


class TestRepeated:
    def test_the_same_answers_pass_with_nan_among_them(self, source):
        source[3, 3] = np.nan
        assert verdict(outputs.rerun_mismatch(source, source.copy())) is Verdict.PASS

    def test_one_other_bit_is_rejected(self, source):
        again = source.copy()
        again[5, 5] = np.nextafter(again[5, 5], np.float32(1))
        found = outputs.rerun_mismatch(source, again)
        assert (found.value, verdict(found)) == (pytest.approx(1 / 2000), Verdict.FAIL)


class TestBatches:
    def test_float_rounding_passes(self, source):
        assert verdict(outputs.batch_mismatch(source, source * np.float32(1 + 1e-7), 8)) is Verdict.PASS

    def test_another_answer_is_rejected(self, source):
        batched = source.copy()
        batched[9] = batched[8]
        assert verdict(outputs.batch_mismatch(source, batched, 8)) is Verdict.FAIL

    def test_one_step_is_rejected_for_integers(self, source):
        single = rounded(source)
        batched = single.copy()
        batched[0, 0] += SOFTMAX_INT8.step
        assert verdict(outputs.batch_mismatch(single, batched, 8, SOFTMAX_INT8)) is Verdict.FAIL

    def test_nan_in_the_batch_alone_is_rejected(self, source):
        assert outputs.batch_mismatch(source, np.full_like(source, np.nan), 8).value == 1

    def test_a_file_that_takes_one_at_a_time_says_so(self, source):
        found = outputs.batch_mismatch(source, source, 1)
        assert (found.value, found.detail) == (0, "the file takes one sample at a time")


class TestKernelPaths:
    def test_steps_are_no_flips(self, source):
        found = outputs.kernel_path_flips(source, rounded(source), rounded(source * 0.97), None, SOFTMAX_INT8)
        assert (found.value, verdict(found)) == (0, Verdict.PASS)
        assert "steps" in found.detail

    def test_wrong_kernels_are_rejected(self, source):
        found = outputs.kernel_path_flips(source, source, np.roll(source, 1, axis=1))
        assert (found.value, verdict(found)) == (1, Verdict.FAIL)

    def test_nan_by_one_path_is_a_flip(self, source):
        assert outputs.kernel_path_flips(source, source, np.full_like(source, np.nan)).value == 1

    def test_unclear_cases_do_not_count(self):
        source = np.array([[0.9, 0.1], [0.55, 0.45]] * 100)
        shipped, builtin = source.copy(), source.copy()
        builtin[1::2] = [0.45, 0.55]
        found = outputs.kernel_path_flips(source, shipped, builtin)
        assert (found.value, found.samples) == (0, 100)

    def test_few_clear_cases_are_provisional(self):
        source = np.array([[0.9, 0.1]] * 30)
        assert verdict(outputs.kernel_path_flips(source, source, source)) is Verdict.PROVISIONAL

    def test_no_clear_case_measures_nothing(self):
        with pytest.raises(Unmeasured, match="sure of no"):
            outputs.kernel_path_flips(np.full((4, 2), 0.5), np.full((4, 2), 0.5), np.full((4, 2), 0.5))

    def test_largest_difference_in_steps(self, source):
        other = rounded(source).copy()
        other[2, 2] += 3 * SOFTMAX_INT8.step
        assert outputs.kernel_path_lsb(rounded(source), other, SOFTMAX_INT8).value == pytest.approx(3, abs=1e-4)


class TestClearCases:
    def test_logits_count_as_their_probabilities(self, source):
        assert outputs.clear_cases(np.log(source)).tolist() == outputs.clear_cases(source).tolist()

    def test_binary_scores_by_their_distance_from_the_threshold(self):
        scores = np.array([0.05, 0.3, 0.5, 0.7, 0.96])
        assert outputs.clear_cases(scores, 0.5).tolist() == [True, False, False, False, True]
        assert outputs.clear_cases(scores, 0.9).tolist() == [True, True, False, False, True]

    def test_binary_logits(self):
        assert outputs.clear_cases(np.array([-5.0, 0.2, 4.0])).tolist() == [True, False, True]


class TestCodesOf:
    @pytest.mark.parametrize("name", ["dense_int8", "dense_uint8", "dense_int8_float_io"])
    def test_a_softmax_has_256_steps_whatever_its_ends(self, name):
        model = read_model(data(name))
        assert codes_of(model, model.subgraphs[0].outputs[0]) == Codes(1 / 256, 0.0, 255 / 256)

    def test_floats_have_none(self):
        model = read_model(data("dense_float32"))
        assert codes_of(model, model.subgraphs[0].outputs[0]) is None
