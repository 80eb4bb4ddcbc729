"""Sources of every kind, made once for the slow tests."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from . import plans

CLASSES = 4


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """A folder with small sources, sound and broken, and arrays that fit them."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    folder = tmp_path_factory.mktemp("sources")
    keras.utils.set_random_seed(3)
    _save_images(keras, folder)
    _save_two_inputs(keras, folder)
    _save_with_code(keras, folder)
    _save_of_open_length(keras, folder)
    (folder / "broken.keras").write_bytes((folder / "image.keras").read_bytes()[:2000])
    (folder / "broken.h5").write_bytes((folder / "image.h5").read_bytes()[:2000])
    (folder / "no_model.h5").write_text("hello")
    damaged = folder / "damaged_savedmodel"
    damaged.mkdir()
    (damaged / "saved_model.pb").write_bytes(b"junk" * 50)
    return folder


def _save_of_open_length(keras, folder):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None, 6), name="motion"),
            layers.Conv1D(8, 5, activation="relu"),
            layers.Conv1D(8, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.save(folder / "sequence.keras")


def _save_images(keras, folder):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="scan"),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),  # large enough: TFLiteConverter leaves weights of under 1024 values
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.save(folder / "image.keras")
    model.save(folder / "image.h5")
    model.export(folder / "image_savedmodel", verbose=False)
    values = np.random.default_rng(0).uniform(0, 16, (40, 8, 8, 1)).astype(np.float32)
    plans.arrays(folder / "image_evaluation.npz", x=values[:20], y=np.arange(20) % CLASSES)
    # What is judged here is the conversion, not the choice of samples: every range that evaluation needs is calibrated.
    plans.arrays(folder / "image_calibration.npz", x=values)
    plans.arrays(folder / "wrong_evaluation.npz", x=values[:20, :7])


def _save_two_inputs(keras, folder):
    left, right = keras.Input((6,), name="left"), keras.Input((3,), name="a_right")
    joined = keras.layers.Concatenate()([left, right])
    outputs = [keras.layers.Dense(3, name="z")(joined), keras.layers.Dense(2, name="a")(right)]
    keras.Model([left, right], outputs).save(folder / "two.keras")
    rng = np.random.default_rng(1)
    values = {"left": rng.normal(size=(30, 6)).astype(np.float32), "a_right": rng.normal(size=(30, 3))}
    plans.arrays(folder / "two_evaluation.npz", **{name: array[:10] for name, array in values.items()})
    plans.arrays(folder / "two_calibration.npz", **values)


def _save_with_code(keras, folder):
    class Doubling(keras.layers.Layer):
        def call(self, x):
            return x * 2

    inputs = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(inputs)
    for suffix in ("keras", "h5"):
        keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(flat)).save(folder / f"lambda.{suffix}")
        keras.Model(inputs, Doubling()(flat)).save(folder / f"custom.{suffix}")
    (folder / "users_layers.py").write_text(
        "import keras\n\n\nclass Doubling(keras.layers.Layer):\n    def call(self, x):\n        return x * 2\n\n\n"
        "def objects():\n    return {'Doubling': Doubling}\n"
    )


@pytest.fixture(scope="session")
def image_model(sources):
    """Builds a model of a plan over one of the image sources."""

    def build(source, recipes=("float32",), **more):
        kind = {".keras": "keras", ".h5": "h5", ".tflite": "tflite"}.get(Path(source).suffix, "savedmodel")
        name = more.pop("name", Path(source).name.replace(".", "_"))
        variants = [plans.variant(name, recipe, toolchain=tool) for recipe, tool in map(_named, recipes)]
        more.setdefault("calibration", sources / "image_calibration.npz")
        more.setdefault("evaluation", sources / "image_evaluation.npz")
        return plans.model(sources / source, kind, variants, name=name, **more)

    return build


def _named(recipe):
    return recipe if isinstance(recipe, tuple) else (recipe, None)


# -- files of legacy Keras ---------------------------------------------------------------------------------------------

WRITE = """
import sys
import numpy as np
import tf_keras as keras

folder = sys.argv[1]
layers = keras.layers
keras.utils.set_random_seed(4)


class Doubling(layers.Layer):
    def call(self, x):
        return x * 2


inputs = keras.Input((12, 12, 3), name="photo")
x = keras.applications.mobilenet_v2.preprocess_input(inputs)  # TFOpLambda layers
x = layers.DepthwiseConv2D(3, name="depthwise")(layers.Conv2D(4, 3, padding="same")(x))
MODELS = {
    "plain": keras.Sequential([
        layers.Dense(8, activation="relu", input_shape=(6,)), layers.BatchNormalization(), layers.Dropout(0.2),
        layers.Dense(3, activation="softmax"),
    ]),
    "hard": keras.Sequential([layers.Dense(8, activation="hard_sigmoid", input_shape=(6,)), layers.Dense(3)]),
    "image": keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))),
    "recurrent": keras.Sequential([layers.LSTM(5, input_shape=(7, 2)), layers.Dense(2)]),
    "lambda": keras.Sequential([layers.Dense(4, input_shape=(6,)), layers.Lambda(lambda x: x * 2, name="twice")]),
    "custom": keras.Sequential([layers.Dense(4, input_shape=(6,)), Doubling()]),
}
for name, model in MODELS.items():
    for suffix in ("h5", "keras"):
        model.save(f"{folder}/{name}.{suffix}")
    x = np.random.default_rng(0).normal(size=(9, *model.input_shape[1:])).astype(np.float32)
    np.savez(f"{folder}/{name}.npz", x=x, y=np.arange(9) % 2)
    np.save(f"{folder}/{name}.npy", model.predict(x, verbose=0))
"""


@pytest.fixture(scope="session")
def old(tmp_path_factory):
    """A folder of files that legacy Keras wrote, with inputs and its own predictions."""
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf-keras is not installed")
    folder = tmp_path_factory.mktemp("old")
    (folder / "write.py").write_text(WRITE)
    subprocess.run([sys.executable, "write.py", str(folder)], cwd=folder, check=True, capture_output=True, timeout=300)
    (folder / "old_layers.py").write_text(
        "from tensorflow import keras\n\n\nclass Doubling(keras.layers.Layer):\n    def call(self, x):\n"
        "        return x * 2\n\n\ndef objects():\n    return {'Doubling': Doubling}\n"
    )
    return folder
