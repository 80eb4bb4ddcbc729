import numpy as np
import pytest

from liteproof.errors import UsageError
from liteproof.init import samples
from liteproof.init.samples import Samples, calibrated_on, distinct, draw, part, read_samples, without
from liteproof.manifest.source import Input

VECTOR = (Input("features", (None, 4), "float32"),)


def rows(n, width=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


def test_x_and_y_are_found_by_their_usual_names(tmp_path):
    found = read_samples(saved(tmp_path, images=rows(9), labels=np.arange(9)), VECTOR).evaluation
    assert found.inputs["x"].shape == (9, 4)
    assert found.y.tolist() == list(range(9))
    assert "'images' was taken for the input" in found.notes[-1]


def test_parts_that_the_file_keeps_apart_stay_apart(tmp_path):
    path = saved(tmp_path, x_train=rows(50), y_train=np.zeros(50, int), x_test=rows(9, seed=1), y_test=np.ones(9, int))
    given = read_samples(path, VECTOR)
    assert len(given.evaluation) == 9
    assert given.evaluation.y.tolist() == [1] * 9
    assert len(given.calibration) == 50


def test_an_npy_has_inputs_only(tmp_path):
    np.save(tmp_path / "data.npy", rows(7))
    found = read_samples(tmp_path / "data.npy", VECTOR).evaluation
    assert len(found) == 7
    assert found.y is None


def test_the_channel_of_grey_images_is_added_and_told(tmp_path):
    grey = (Input("scan", (None, 8, 8, 1), "float32"),)
    found = read_samples(saved(tmp_path, x=np.zeros((3, 8, 8), np.float32)), grey).evaluation
    assert found.inputs["x"].shape == (3, 8, 8, 1)
    assert "axis for the one channel" in found.notes[0]


def test_names_of_classes_come_along(tmp_path):
    path = saved(tmp_path, x=rows(4), y=np.array([0, 1, 0, 1]), class_names=np.array(["daisy", "rose"]))
    assert read_samples(path, VECTOR).evaluation.names == ("daisy", "rose")


def test_several_inputs_are_found_by_name(tmp_path):
    two = (Input("left", (None, 4), "float32"), Input("right", (None, 2), "float32"))
    found = read_samples(saved(tmp_path, left=rows(5), right=rows(5, 2)), two).evaluation
    assert {name: array.shape for name, array in found.inputs.items()} == {"left": (5, 4), "right": (5, 2)}
    with pytest.raises(UsageError, match="no array 'right'"):
        read_samples(saved(tmp_path, left=rows(5)), two)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a": rows(3), "b": rows(3)}, "no array can be told to be the input"),
        ({"x": np.array([["a b"], ["c d"]])}, r"holds x \(2, 1\) of text"),
        ({"x": rows(3), "y": np.arange(4)}, "do not go together"),
        ({"x": rows(0)}, "do not go together"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, arrays, said):
    with pytest.raises(UsageError, match=said):
        read_samples(saved(tmp_path, **arrays), VECTOR)


def test_objects_are_never_unpickled(tmp_path):
    path = saved(tmp_path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError, match="cannot read the arrays"):
        read_samples(path, VECTOR)


def test_evaluation_and_calibration_share_no_sample():
    x = rows(300)
    x[200:] = x[:100]
    given = distinct(Samples({"x": x}, np.arange(300) % 3))
    assert len(given) == 200
    assert "100 samples repeat" in given.notes[0]
    evaluation, calibration = part(given, 80, seed=0)
    assert len(evaluation) + len(calibration) == 200
    assert not {row.tobytes() for row in evaluation.inputs["x"]} & {row.tobytes() for row in calibration.inputs["x"]}


def test_a_training_part_loses_what_is_judged_on():
    kept = without(Samples({"x": rows(20)}), Samples({"x": rows(20)[:5]}))
    assert len(kept) == 15


@pytest.mark.parametrize("counts", [(500, 30, 3), (2, 2, 996), (1, 99, 100)])
def test_each_class_has_its_share_on_both_sides(counts):
    y = np.repeat(np.arange(3), counts)
    chosen = draw(y, len(y), 100, seed=1)
    drawn = np.bincount(y[chosen], minlength=3)
    assert 100 <= drawn.sum() <= 103, "one of each small class may come on top"
    for label, count in enumerate(counts):
        assert drawn[label] < count, "evaluation keeps one of each class"
        assert count == 1 or drawn[label] >= 1
        assert abs(drawn[label] - 100 * count / len(y)) <= 3


def test_a_seed_draws_the_same_again_and_another_one_others():
    y = np.arange(400) % 4
    assert (draw(y, 400, 100, 0) == draw(y, 400, 100, 0)).all()
    assert (draw(y, 400, 100, 0) != draw(y, 400, 100, 1)).any()
    assert (draw(None, 400, 100, 0) != draw(None, 400, 100, 1)).any()


def test_calibration_has_what_its_gate_asks_for_where_it_can():
    assert [calibrated_on(n) for n in (2, 150, 200, 400, 4000)] == [1, 75, 100, 100, samples.CALIBRATION]
