"""Each gate on the calibration set keeps a sound one and rejects what it is there for."""

import numpy as np
import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.measure import calibration
from liteproof.measure.evaluation import Evaluation


def images(n, seed, low=0.0, high=255.0):
    return np.random.default_rng(seed).uniform(low, high, (n, 6, 6)).astype(np.float32)


def of(x, labels=None):
    return Evaluation({"x": x}, labels)


EVALUATION = of(images(60, 1, -1, 1))


def verdict(measurement):
    return judge(measurement, METRICS[measurement.metric].default).verdict


class TestSamples:
    def test_a_hundred_distinct_ones_are_enough(self):
        found = of(images(100, 2))
        assert verdict(calibration.calibration_samples(found)) is Verdict.PASS
        assert verdict(calibration.calibration_duplicates(found)) is Verdict.PASS

    def test_ninety_nine_are_too_few(self):
        assert verdict(calibration.calibration_samples(of(images(99, 2)))) is Verdict.FAIL

    def test_one_sample_repeated_is_one(self):
        found = calibration.calibration_samples(of(np.repeat(images(1, 2), 200, axis=0)))
        assert (found.value, verdict(found)) == (1, Verdict.FAIL)
        assert found.causes == ("one sample is repeated 200 times",)

    def test_a_duplicate_is_named(self):
        x = images(150, 2)
        x[140] = x[7]
        found = calibration.calibration_duplicates(of(x))
        assert (found.value, verdict(found)) == (1, Verdict.FAIL)
        assert found.detail == "sample 7 is there 2 times"

    def test_minus_zero_is_zero(self):
        x = np.zeros((2, 3), np.float32)
        x[1] = -0.0
        assert calibration.calibration_samples(of(x)).value == 1

    def test_samples_that_differ_in_one_of_several_inputs_are_distinct(self):
        inputs = {"left": np.zeros((3, 2)), "right": np.arange(3.0)[:, None]}
        assert calibration.calibration_samples(Evaluation(inputs, None)).value == 3


class TestOverlap:
    def test_none_shared(self):
        assert verdict(calibration.calibration_overlap(of(images(100, 2, -1, 1)), EVALUATION)) is Verdict.PASS

    def test_shared_samples_are_named(self):
        x = images(100, 2, -1, 1)
        x[50] = EVALUATION.inputs["x"][3]
        found = calibration.calibration_overlap(of(x), EVALUATION)
        assert (found.value, verdict(found)) == (1, Verdict.FAIL)
        assert found.detail == "evaluation 3 = calibration 50"

    def test_the_same_values_in_another_type_are_shared(self):
        levels = np.random.default_rng(0).integers(0, 256, (10, 4))
        found = calibration.calibration_overlap(of(levels.astype(np.float64)), of(levels.astype(np.uint8)))
        assert found.value == 10

    def test_doubles_that_become_the_same_floats_are_shared(self):
        thirds = np.arange(1, 9).reshape(4, 2) / 3
        assert calibration.calibration_overlap(of(thirds), of(thirds.astype(np.float32))).value == 4

    def test_large_integers_are_not_rounded_together(self):
        ids = np.array([[2**24], [2**24 + 1]])
        assert calibration.calibration_overlap(of(ids[:1]), of(ids[1:])).value == 0

    def test_the_only_input_may_go_by_its_name_in_one_set(self):
        x = images(5, 2)
        assert calibration.calibration_overlap(Evaluation({"pixels": x}, None), of(x)).value == 5


class TestClasses:
    def test_all_covered(self):
        found = calibration.calibration_classes_missing(np.arange(100) % 10, np.arange(10))
        assert verdict(found) is Verdict.PASS

    def test_a_set_sorted_by_class_and_cut_is_rejected(self):
        found = calibration.calibration_classes_missing(np.repeat([0, 1, 2], 40), np.arange(5), labels=tuple("abcde"))
        assert (found.value, verdict(found)) == (2, Verdict.FAIL)
        assert "none of d, e" in found.detail

    def test_fewer_samples_than_classes_lack_only_what_they_could_have(self):
        assert calibration.calibration_classes_missing(np.arange(100), np.arange(1000)).value == 0
        assert calibration.calibration_classes_missing(np.zeros(100, int), np.arange(1000)).value == 99


class TestRange:
    def test_drawn_alike(self):
        found = of(images(100, 2, -1, 1))
        assert verdict(calibration.calibration_range_overlap(found, EVALUATION)) is Verdict.PASS
        assert verdict(calibration.calibration_stretch(found, EVALUATION)) is Verdict.PASS

    @pytest.mark.parametrize(
        ("wrong", "cause"),
        [
            (images(100, 2, 0, 255), "not normalised"),
            (images(100, 2, 0, 255) / 127.5 / 127.5 - 1, "twice"),
            (images(100, 2, 0, 1), "twice"),
            (images(100, 2, -1, 1) + 1, "shifted"),
            ((images(100, 2, -1, 1) - 0.45) / 0.22, "not normalised"),
            (np.zeros((100, 6, 6)), "all the same"),
            (np.full((100, 6, 6), np.nan), "NaN"),
        ],
        ids=["not normalised", "twice", "to 0..1 instead", "another mean", "standardised too", "blank", "nan"],
    )
    def test_another_normalisation_is_rejected(self, wrong, cause):
        found = calibration.calibration_range_overlap(of(wrong), EVALUATION)
        assert verdict(found) is Verdict.FAIL
        assert cause in found.causes[0]

    def test_one_outlier_moves_the_stretch_alone(self):
        x = images(100, 2, -1, 1)
        x[31, 0, 0] = 255
        assert verdict(calibration.calibration_range_overlap(of(x), EVALUATION)) is Verdict.PASS
        found = calibration.calibration_stretch(of(x), EVALUATION)
        assert verdict(found) is Verdict.FAIL
        assert "sample 31" in found.causes[0]

    def test_sparse_inputs_are_alike_by_their_ends(self):
        def one_hot(n, seed):
            return np.eye(90)[np.random.default_rng(seed).integers(0, 90, n)]

        assert calibration.calibration_range_overlap(of(one_hot(120, 1)), of(one_hot(40, 2))).value == 1

    def test_the_worst_input_is_named(self):
        good, bad = images(100, 3, 0, 1), images(100, 4, 0, 1)
        found = calibration.calibration_range_overlap(
            Evaluation({"left": good, "right": bad * 9}, None), Evaluation({"left": good, "right": bad}, None)
        )
        assert found.detail.startswith("input right")
        assert found.value == pytest.approx(1 / 9, rel=0.05)

    def test_a_constant_input_must_stay_so(self):
        assert calibration.calibration_stretch(of(np.ones((9, 2))), of(np.ones((4, 2)))).value == 1
        assert verdict(calibration.calibration_stretch(of(images(9, 1)), of(np.ones((4, 6, 6))))) is Verdict.FAIL


class TestAccuracy:
    def test_a_set_that_the_network_reads_passes(self):
        found = calibration.calibration_accuracy_drop(np.ones(100, bool), np.arange(100) < 90)
        assert (found.value, verdict(found)) == (pytest.approx(0.1), Verdict.PASS)

    def test_noise_does_not(self):
        found = calibration.calibration_accuracy_drop(np.arange(100) < 95, np.arange(200) < 20)
        assert verdict(found) is Verdict.FAIL
        assert found.detail == "0.1000 on the calibration set, 0.9500 on the evaluation set"
        assert "preprocessed otherwise" in found.causes[0]

    def test_a_network_that_is_better_on_it_passes(self):
        assert verdict(calibration.calibration_accuracy_drop(np.arange(10) < 6, np.ones(100, bool))) is Verdict.PASS
