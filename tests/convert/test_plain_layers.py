"""Every layer and activation of Keras 2 that is left to Keras 3 is measured: it computes what legacy Keras computes."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from liteproof.manifest import keras_file

pytestmark = pytest.mark.slow

WRITE = """
import sys
import numpy as np
import tf_keras as keras

folder, activations = sys.argv[1], sys.argv[2:]
L = keras.layers
image, signal, row, volume = (8, 8, 2), (8, 2), (6,), (5, 5, 5, 2)
ONE = {
    "AveragePooling1D": (signal, L.AveragePooling1D(2)), "AveragePooling2D": (image, L.AveragePooling2D(3, 2, "same")),
    "BatchNormalization": (image, L.BatchNormalization(epsilon=0.01)), "CenterCrop": (image, L.CenterCrop(3, 3)),
    "Conv1D": (signal, L.Conv1D(4, 3, padding="causal", dilation_rate=2)),
    "Conv2D": (image, L.Conv2D(4, 3, strides=2, padding="same", groups=2)), "Conv3D": (volume, L.Conv3D(4, 2)),
    "Cropping1D": (signal, L.Cropping1D((1, 2))), "Cropping2D": (image, L.Cropping2D(((1, 0), (0, 2)))),
    "Dense": (row, L.Dense(4)), "Dropout": (row, L.Dropout(0.5)), "ELU": (row, L.ELU(0.7)),
    "Flatten": (image, L.Flatten()),
    "GaussianDropout": (row, L.GaussianDropout(0.5)), "GaussianNoise": (row, L.GaussianNoise(0.5)),
    "GlobalAveragePooling1D": (signal, L.GlobalAveragePooling1D()),
    "GlobalAveragePooling2D": (image, L.GlobalAveragePooling2D(keepdims=True)),
    "GlobalMaxPooling1D": (signal, L.GlobalMaxPooling1D()), "GlobalMaxPooling2D": (image, L.GlobalMaxPooling2D()),
    "GroupNormalization": (image, L.GroupNormalization(2)),
    "LayerNormalization": (row, L.LayerNormalization(epsilon=0.01)),
    "LeakyReLU": (row, L.LeakyReLU(0.13)), "MaxPooling1D": (signal, L.MaxPooling1D(2)),
    "MaxPooling2D": (image, L.MaxPooling2D(3, 2, "same")), "MaxPooling3D": (volume, L.MaxPooling3D(2)),
    "Normalization": (row, L.Normalization(mean=1.0, variance=2.0)), "PReLU": (image, L.PReLU(shared_axes=[1, 2])),
    "Permute": (signal, L.Permute((2, 1))), "ReLU": (row, L.ReLU(0.9, 0.1, 0.05)),
    "RepeatVector": (row, L.RepeatVector(2)),
    "Rescaling": (row, L.Rescaling(0.1, -0.5)), "Reshape": (image, L.Reshape((-1, 4))),
    "Resizing": (image, L.Resizing(5, 7, "bicubic")), "Softmax": (signal, L.Softmax(axis=1)),
    "UpSampling1D": (signal, L.UpSampling1D(2)), "UpSampling2D": (image, L.UpSampling2D(2, interpolation="bilinear")),
    "ZeroPadding1D": (signal, L.ZeroPadding1D(2)), "ZeroPadding2D": (image, L.ZeroPadding2D(((0, 1), (1, 0)))),
}
MODELS = {name: keras.Sequential([keras.Input(shape), layer]) for name, (shape, layer) in ONE.items()}
for name in activations:
    MODELS[f"Activation_{name}"] = keras.Sequential([keras.Input(row), L.Dense(4, activation=name), L.Activation(name)])
MODELS["Embedding"] = keras.Sequential([keras.Input((5,), dtype="int32"), L.Embedding(2, 4)])
a, b = keras.Input(row, name="a"), keras.Input(row, name="b")
for name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"):
    MODELS[name] = keras.Model([a, b], getattr(L, name)()([a, b]))
MODELS["Dot"] = keras.Model([a, b], L.Dot(1, normalize=True)([a, b]))
rng = np.random.default_rng(0)
for name, model in MODELS.items():
    model.set_weights([(0.1 * np.abs(rng.normal(size=w.shape)) + 0.02).astype(w.dtype) for w in model.get_weights()])
    given = [
        rng.normal(size=(3, *t.shape[1:])).astype("float32") if name != "Embedding" else rng.integers(0, 2, (3, 5))
        for t in model.inputs
    ]
    output = np.asarray(model(given if len(given) > 1 else given[0], training=False))
    np.savez(f"{folder}/{name}.npz", y=output, **{f"x{at}": x for at, x in enumerate(given)})
    model.save(f"{folder}/{name}.h5")
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with an .h5 of legacy Keras for each layer and activation, with inputs and outputs."""
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf-keras is not installed")
    folder = tmp_path_factory.mktemp("plain")
    command = [sys.executable, "-c", WRITE, str(folder), *keras_file.PLAIN_ACTIVATIONS.split()]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_every_one_of_them_is_measured(written):
    names = {path.stem for path in written.glob("*.h5")}
    wanted = {f"Activation_{name}" for name in keras_file.PLAIN_ACTIVATIONS.split()}
    wanted |= set(keras_file.PLAIN_LAYERS.split()) - {"Activation", "InputLayer"}  # which are in all of those
    assert names == wanted


def test_keras_3_computes_what_legacy_keras_computed(written):
    import keras

    off = {}
    for path in sorted(written.glob("*.h5")):
        file = keras_file.read(path, "h5")
        assert file is not None
        assert keras_file.reader(file, "h5") == "keras", path.name
        model = keras.saving.load_model(path, compile=False)
        with np.load(path.with_suffix(".npz")) as arrays:
            given = [arrays[name] for name in sorted(arrays.files) if name != "y"]
            output = np.asarray(model(given if len(given) > 1 else given[0], training=False))
            off[path.stem] = float(np.abs(output - arrays["y"]).max())
    assert {name: distance for name, distance in off.items() if not distance < 1e-5} == {}
