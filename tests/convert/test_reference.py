import numpy as np
import pytest

from liteproof.convert.reference import batch_size, meaning, predictions
from liteproof.convert.sources import Source
from liteproof.errors import ModelError
from liteproof.manifest.source import Input


def source(function, *, batch=None, outputs=("output_0",)):
    return Source((Input("x", (batch, 2), "float32"),), outputs, function, 0, None, None)


X = np.arange(10, dtype=np.float32).reshape(5, 2)


def test_one_output_is_called_output_and_keeps_the_order_of_samples():
    found = predictions(source(lambda x: {"output_0": x.sum(axis=1)}), {"x": X})
    assert list(found) == ["output"]
    np.testing.assert_array_equal(found["output"], X.sum(axis=1))


def test_several_outputs_keep_their_names_and_order():
    both = source(lambda x: {"a": x, "b": -x}, outputs=("b", "a"))
    found = predictions(both, {"x": X})
    assert list(found) == ["b", "a"]
    np.testing.assert_array_equal(found["b"], -X)


def test_a_fixed_batch_is_filled_up_and_cut_again():
    batches = []

    def function(x):
        batches.append(x.copy())
        return {"output_0": x}

    found = predictions(source(function, batch=3), {"x": X})
    assert [len(batch) for batch in batches] == [3, 3]
    np.testing.assert_array_equal(found["output"], X)


def test_everything_is_float32():
    found = predictions(source(lambda x: {"output_0": x.astype(np.float16)}), {"x": X})
    assert found["output"].dtype == np.float32


def test_an_output_without_a_row_for_each_sample_is_the_models_fault():
    with pytest.raises(ModelError, match="for 5 samples"):
        predictions(source(lambda x: {"output_0": x.sum(axis=0)}), {"x": X})


def test_batches_of_large_samples_are_small():
    free = [Input("x", (None, 224, 224, 3), "float32")]
    assert batch_size(free, {"x": np.zeros((1, 224, 224, 3), np.float32)}) == 13
    assert batch_size(free, {"x": np.zeros((1, 2), np.float32)}) == 256


SOFTMAX = np.array([[0.2, 0.8], [0.5, 0.5]], np.float32)
SCORES = np.array([[-3.0, 2.0], [0.5, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("outputs", "activation", "told"),
    [
        (SOFTMAX, None, "probabilities"),
        (SCORES, None, "logits"),
        (SOFTMAX, "linear", "logits"),
        (SCORES, "sigmoid", "probabilities"),
        (SOFTMAX * 0.9, None, "logits"),
        (np.array([[0.1], [0.9]], np.float32), None, "probabilities"),
        (np.array([0.1, 0.9], np.float32), None, "probabilities"),
        (np.array([[1.1], [0.9]], np.float32), None, "logits"),
        (np.array([[np.nan, 0.9]], np.float32), None, None),
    ],
)
def test_what_outputs_mean(outputs, activation, told):
    assert meaning(outputs, activation) == told
