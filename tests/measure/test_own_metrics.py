"""Functions of the user's: what they may give, and how their mistakes are told."""

import sys

import numpy as np
import pytest

from liteproof.checks import Verdict, judge
from liteproof.errors import UsageError
from liteproof.measure.own_metrics import evaluate, load
from liteproof.plan import OwnMetric

IOU = OwnMetric("mean_iou", "users:mean_iou", "higher")
OFF = OwnMetric("pixels_off", "users:pixels_off", "lower")
OUTPUTS = np.linspace(0, 1, 40).reshape(20, 2).astype(np.float32)


def measured(function, metric=IOU, labels=None):
    return evaluate(metric, function, OUTPUTS, OUTPUTS, labels)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the user's module, of a name of its own each time."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def write(text, name=f"users_{tmp_path.name}"):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    for name in [name for name in sys.modules if name.startswith("users_")]:
        del sys.modules[name]


def test_one_number_is_exact_and_held_in_its_direction():
    found = measured(lambda *_: 0.8)
    assert (found.value, found.samples, found.bound) == (0.8, 20, None)
    assert judge(found, 0.75).verdict is Verdict.PASS
    assert judge(found, 0.85).verdict is Verdict.FAIL
    found = measured(lambda *_: 0.8, OFF)
    assert judge(found, 0.75).verdict is Verdict.FAIL
    assert judge(found, 0.85).verdict is Verdict.PASS


@pytest.mark.parametrize(("metric", "better_side"), [(IOU, 0.5), (OFF, 1.5)])
def test_a_number_a_sample_has_a_bound_on_its_bad_side(metric, better_side):
    values = np.random.default_rng(0).uniform(0, 2, 20)
    found = measured(lambda *_: values, metric)
    assert found.value == pytest.approx(values.mean())
    assert (found.bound < found.value) == (metric is IOU)
    near = found.value + (-1e-3 if metric is IOU else 1e-3)
    assert judge(found, near).verdict is Verdict.PROVISIONAL
    assert judge(found, near).samples_to_settle > 20
    assert judge(found, better_side).verdict is Verdict.PASS


def test_labels_and_outputs_arrive_and_cannot_be_spoiled():
    labels = np.arange(20)

    def spoil(reference, variant, y):
        assert np.array_equal(y, np.arange(20))
        reference[:] = variant[:] = y[:] = 0
        return 1

    assert measured(spoil, labels=labels).value == 1
    assert OUTPUTS.max() == 1
    assert labels.max() == 19


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "NoneType, no number"),
        ("0.8", "str, no number"),
        ([0.1, 0.2], "an array of shape (2,)"),
        ([[0.1], [0.2, 0.3]], "list, no number"),
        (float("nan"), "NaN or infinity"),
        (1j, "complex, no number"),
    ],
)
def test_what_is_no_number_is_unmeasured_and_said(given, said):
    found = measured(lambda *_: given)
    assert found.value is None
    assert f"users:mean_iou gave {said}" in found.detail
    assert judge(found, 0.5).verdict is Verdict.UNMEASURED


def test_an_error_is_the_users_with_file_and_line(module):
    name = module("import numpy as np\n\ndef f(reference, variant, labels):\n    return np.stack([1, [2]])\n")
    function = load(f"{name}:f")
    found = measured(function, OwnMetric("mean_iou", f"{name}:f", "higher"))
    assert found.value is None
    assert f"{name}:f failed: ValueError: all input arrays must have the same shape" in found.detail
    assert f"where:    {name}.py, line 4" in found.detail


def test_one_that_wants_to_end_the_process_does_not(module):
    name = module("import sys\n\ndef f(*given):\n    sys.exit(3)\n")
    assert "SystemExit: 3" in measured(load(f"{name}:f")).detail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import not_there_at_all\n", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("x = 1\n", "has no attribute 'f'"),
        ("f = 3\n", "is no function"),
        ("def f(:\n", "line 1"),
        ("1 / 0\n", "line 1"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told(module, text, said):
    name = module(text)
    with pytest.raises(UsageError) as refused:
        load(f"{name}:f")
    assert said in str(refused.value)
