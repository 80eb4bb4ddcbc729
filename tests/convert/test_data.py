from dataclasses import replace

import numpy as np
import pytest

from liteproof.convert import data
from liteproof.errors import UsageError
from liteproof.manifest.source import Input
from liteproof.plan import Samples

from . import plans

SCAN = Input("scan", (None, 4), "float32")
TWO = (Input("left", (None, 4), "float32"), Input("right", (None, 2), "int32"))


@pytest.fixture
def model_with(tmp_path):
    def build(calibration, **evaluation):
        (tmp_path / "tiny.keras").write_bytes(b"a source")
        file = plans.arrays(tmp_path / "evaluation.npz", **(evaluation or {"x": np.zeros((3, 4), np.float32)}))
        return plans.model(tmp_path / "tiny.keras", "keras", [], evaluation=file, calibration=calibration)

    return build


def made(key):
    raise AssertionError(f"nothing is made here: {key}")


def evaluation(model, inputs):
    return data.cast(data.evaluation(model, inputs, made), inputs)


def test_evaluation_goes_by_input_name_in_the_inputs_type(model_with):
    model = model_with(None, x=np.ones((3, 4), np.float64), y=np.array([0, 1, 2]))
    values = evaluation(model, [SCAN])
    assert list(values) == ["scan"]
    assert values["scan"].dtype == np.float32


def test_several_inputs_go_by_name(model_with):
    model = model_with(None, right=np.ones((3, 2), np.int64), left=np.zeros((3, 4), np.float32))
    values = evaluation(model, TWO)
    assert [(name, array.shape, array.dtype.name) for name, array in values.items()] == [
        ("left", (3, 4), "float32"),
        ("right", (3, 2), "int32"),
    ]


def test_nothing_is_loaded_before_it_is_fed(model_with):
    values = data.evaluation(model_with(None), [SCAN], made)
    assert isinstance(values["scan"], np.memmap)


def test_one_file_for_each_input_and_the_labels(model_with, tmp_path):
    arrays = {"left": np.ones((3, 4), np.float32), "right": np.ones((3, 2), np.int32), "y": np.arange(3)}
    files = {}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
        files[name] = plans.file_of(tmp_path / f"{name}.npy")
    model = replace(model_with(None), evaluation=Samples(files["left"].path, "together", 0, arrays=files))
    assert {name: array.shape for name, array in data.evaluation(model, TWO, made).items()} == {
        "left": (3, 4),
        "right": (3, 2),
    }


def test_arrays_that_were_made_are_found_by_their_key(model_with, tmp_path):
    model = model_with(None)
    samples = plans.samples_of(model.evaluation.path, form="arrays", samples=2)
    lies = plans.arrays(tmp_path / "made.npz", x=np.ones((2, 4), np.float32))
    values = data.inputs_of(samples, [SCAN], {samples.key: lies}.__getitem__)
    assert values["scan"].sum() == 8


def test_a_wrong_shape_is_the_users(model_with):
    with pytest.raises(UsageError, match=r"shape \(3, 4\)"):
        evaluation(model_with(None), [Input("scan", (None, 5), "float32")])


def test_a_file_that_has_changed_is_refused(model_with):
    model = model_with(None)
    plans.arrays(model.evaluation.path, x=np.ones((3, 4), np.float32))
    with pytest.raises(UsageError, match="has changed"):
        evaluation(model, [SCAN])


def test_a_file_that_changes_during_the_run_is_refused(model_with):
    model = model_with(None)
    evaluation(model, [SCAN])
    plans.arrays(model.evaluation.path, x=np.ones((4, 4), np.float32))
    with pytest.raises(UsageError, match="has changed"):
        evaluation(model, [SCAN])


def test_pickled_objects_are_refused(model_with):
    with pytest.raises(UsageError, match="never unpickled"):
        evaluation(model_with(None, x=np.array([{"a": 1}], dtype=object)), [SCAN])


def test_calibration_comes_one_sample_at_a_time_again_and_again(model_with, tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    samples = data.calibration(model_with(plans.arrays(tmp_path / "c.npz", x=x, y=np.arange(3))), [SCAN], made)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([sample["scan"] for sample in samples()]), x)
    assert {sample["scan"].shape for sample in samples()} == {(1, 4)}


def test_a_batch_that_is_fixed_is_kept():
    batches = [{"scan": np.zeros((5, 4), np.float32)}]
    fixed = [Input("scan", (2, 4), "float32")]
    assert [sample["scan"].shape for sample in data.singly(batches, fixed)] == [(2, 4), (2, 4)]


def test_everything_is_checked_before_anything_is_converted(model_with, tmp_path):
    model = model_with(plans.arrays(tmp_path / "c.npz", x=np.zeros((3, 9), np.float32)))
    with pytest.raises(UsageError, match=r"shape \(3, 9\)"):
        data.require_data(model, [SCAN], ".")


def test_a_callable_that_is_not_there_is_told_before_anything_is_converted(model_with):
    with pytest.raises(UsageError, match="cannot be imported: ModuleNotFoundError"):
        data.require_data(model_with("no_such_module_here:batches"), [SCAN], ".")


def test_a_recipe_without_its_calibration_set_is_the_users(model_with):
    with pytest.raises(UsageError, match="no calibration set"):
        data.calibration(model_with(None), [SCAN], made)
