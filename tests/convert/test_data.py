import sys

import numpy as np
import pytest

from liteproof.convert import data
from liteproof.errors import UsageError
from liteproof.manifest.source import Input

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


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of the user's into the root folder; gives its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        name = f"users_{abs(hash(text))}"
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\n{text}")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_evaluation_goes_by_input_name_in_the_inputs_type(model_with):
    model = model_with(None, x=np.ones((3, 4), np.float64), y=np.array([0, 1, 2]))
    values = data.evaluation(model, [SCAN])
    assert list(values) == ["scan"]
    assert values["scan"].dtype == np.float32


def test_several_inputs_go_by_name(model_with):
    model = model_with(None, right=np.ones((3, 2), np.int64), left=np.zeros((3, 4), np.float32))
    values = data.evaluation(model, TWO)
    assert [(name, array.shape, array.dtype.name) for name, array in values.items()] == [
        ("left", (3, 4), "float32"),
        ("right", (3, 2), "int32"),
    ]


def test_a_wrong_shape_is_the_users(model_with):
    with pytest.raises(UsageError, match=r"shape \(3, 4\)"):
        data.evaluation(model_with(None), [Input("scan", (None, 5), "float32")])


def test_a_file_that_has_changed_is_refused(model_with):
    model = model_with(None)
    plans.arrays(model.evaluation.path, x=np.ones((3, 4), np.float32))
    with pytest.raises(UsageError, match="has changed"):
        data.evaluation(model, [SCAN])


def test_pickled_objects_are_refused(model_with):
    with pytest.raises(UsageError, match="never unpickled"):
        data.evaluation(model_with(None, x=np.array([{"a": 1}], dtype=object)), [SCAN])


def test_calibration_comes_one_sample_at_a_time_again_and_again(model_with, tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    samples = data.calibration(model_with(plans.arrays(tmp_path / "c.npz", x=x, y=np.arange(3))), [SCAN], ".")
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([sample["scan"] for sample in samples()]), x)
    assert {sample["scan"].shape for sample in samples()} == {(1, 4)}


def test_a_batch_that_is_fixed_is_kept():
    batches = [{"scan": np.zeros((5, 4), np.float32)}]
    fixed = [Input("scan", (2, 4), "float32")]
    assert [sample["scan"].shape for sample in data.singly(batches, fixed)] == [(2, 4), (2, 4)]


def test_a_callable_yields_batches_of_any_size(model_with, module, tmp_path):
    name = module("def batches():\n    yield np.ones((2, 4))\n    yield {'scan': np.zeros((1, 4))}")
    samples = data.calibration(model_with(f"{name}:batches"), [SCAN], str(tmp_path))
    assert [float(sample["scan"].max()) for sample in samples()] == [1.0, 1.0, 0.0]


def test_a_callable_of_another_place_than_the_root_is_not_found(model_with):
    with pytest.raises(UsageError, match="cannot be imported: ModuleNotFoundError"):
        data.calibration(model_with("no_such_module_here:batches"), [SCAN], ".")


def test_a_missing_function_is_named(model_with, module, tmp_path):
    name = module("x = 1")
    with pytest.raises(UsageError, match="has no attribute 'batches'"):
        data.calibration(model_with(f"{name}:batches"), [SCAN], str(tmp_path))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return iter(())", "yields nothing"),
        ("raise KeyError('boom')", "failed: KeyError"),
        ("yield np.ones((2, 5))", "does not fit"),
        ("yield {'other': np.ones((2, 4))}", "does not fit"),
    ],
)
def test_what_a_callable_gives_is_checked(model_with, module, tmp_path, body, message):
    name = module(f"def batches():\n    {body}")
    samples = data.calibration(model_with(f"{name}:batches"), [SCAN], str(tmp_path))
    with pytest.raises(UsageError, match=message):
        list(samples())


def test_everything_is_checked_before_anything_is_converted(model_with, tmp_path):
    model = model_with(plans.arrays(tmp_path / "c.npz", x=np.zeros((3, 9), np.float32)))
    with pytest.raises(UsageError, match=r"shape \(3, 9\)"):
        data.require_data(model, [SCAN], ".")


def test_a_recipe_without_its_calibration_set_is_the_users(model_with):
    with pytest.raises(UsageError, match="no calibration set"):
        data.calibration(model_with(None), [SCAN], ".")
