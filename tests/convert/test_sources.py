"""What is exported from a source gives the converter all of its values, whatever its layers hold them in."""

import numpy as np
import pytest

from liteproof.convert.sources import export, from_keras
from liteproof.convert.tensorflow_recipes import convert
from liteproof.errors import ModelError
from liteproof.measure.runtime import open_session
from liteproof.tflite.reader import read_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def normalized(keras):
    """A layer whose mean and variance are neither weights nor in the graph: constants that its function captures."""
    values = keras.layers.Input((3,))
    scaled = keras.layers.Normalization(mean=[1.0, 200.0, -30.0], variance=[4.0, 900.0, 0.01])(values)
    return keras.Model(values, keras.layers.Dense(2)(scaled))


def looked_up(keras):
    """A table, which cannot become a constant, beside weights that can."""
    words = keras.layers.Input((3,), dtype="int64")
    numbers = keras.layers.IntegerLookup(vocabulary=[1, 5, 7])(words)
    return keras.Model(words, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Embedding(9, 4)(numbers))))


def converted(model, folder, **more):
    export(from_keras(model), folder / "exported")
    path = folder / "float32.tflite"
    path.write_bytes(convert("float32", folder / "exported", None, **more))
    return path


def test_constants_that_a_layer_holds_are_frozen_with_its_weights(keras, tmp_path):
    model = normalized(keras)
    path = converted(model, tmp_path)
    sample = np.float32([[2.0, 190.0, -30.1]])
    (answered,) = open_session(path).predict(sample)
    np.testing.assert_allclose(answered, model.predict(sample, verbose=0), rtol=1e-5)


def test_weights_beside_a_table_are_constants_of_the_file(keras, tmp_path):
    model = read_model(converted(looked_up(keras), tmp_path, select_tf_ops=True))
    operators = {code.name for code in model.operator_codes}
    assert "FlexLookupTableFindV2" in operators
    assert not operators & {"VAR_HANDLE", "READ_VARIABLE"}


def in_half_precision(keras):
    values = keras.layers.Input((8, 3))
    half = keras.layers.Conv1D(4, 3, activation="relu", dtype="mixed_float16")(values)
    return keras.Model(values, keras.layers.Dense(2, dtype="float32")(keras.layers.Flatten()(half)))


def test_mixed_precision_is_named_not_its_operators(keras, tmp_path):
    with pytest.raises(ModelError, match=r"computes in float16 \(a mixed precision policy\)") as refused:
        converted(in_half_precision(keras), tmp_path)
    assert "policy float32" in refused.value.next
    assert "select_tf_ops" not in refused.value.next


@pytest.mark.parametrize("activation", ["swish", "hard_silu", "gelu", "mish"])
def test_activations_are_exported_whatever_their_gradient(keras, tmp_path, activation):
    """EfficientNet's swish is one that TensorFlow gives a gradient; no SavedModel need hold it."""
    values = keras.layers.Input((8, 8, 3))
    model = keras.Model(values, keras.layers.Conv2D(4, 3, activation=activation)(values))
    sample = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    (answered,) = open_session(converted(model, tmp_path)).predict(sample)
    np.testing.assert_allclose(answered, model.predict(sample, verbose=0), atol=1e-5)
