"""Sources of every kind, made once for the slow tests."""

import os
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
    (folder / "broken.keras").write_bytes((folder / "image.keras").read_bytes()[:2000])
    (folder / "broken.h5").write_bytes((folder / "image.h5").read_bytes()[:2000])
    (folder / "no_model.h5").write_text("hello")
    damaged = folder / "damaged_savedmodel"
    damaged.mkdir()
    (damaged / "saved_model.pb").write_bytes(b"junk" * 50)
    return folder


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
