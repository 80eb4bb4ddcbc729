import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from liteproof.errors import ModelError, UsageError
from liteproof.manifest.description import Output, describe
from tests.plugin.tiny import network

MODELS = Path(__file__).parents[2] / "models"


def test_of_the_example_models():
    digits = describe(MODELS / "digits" / "digits.keras", "keras")
    assert digits.outputs == (Output((None, 10), "softmax"),)
    assert (digits.parameters, digits.bytes_per_parameter, digits.layers["Dense"]) == (26170, 4.0, 2)
    mobilenet = describe(MODELS / "digits-mobilenet" / "mobilenet.h5", "h5")
    assert mobilenet.outputs == (Output((None, 10), "softmax"),)
    assert mobilenet.parameters == 423018


def test_of_a_tflite(tmp_path):
    (tmp_path / "tiny.tflite").write_bytes(network())
    found = describe(tmp_path / "tiny.tflite", "tflite")
    assert found.outputs == (Output((1, 3), "softmax"),)
    assert (found.parameters, dict(found.elements)) == (15, {"float32": 15})


def write_h5(path, config, weights, optimizer=()):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.12.0"
        for number, array in enumerate(weights):
            file[f"model_weights/dense/dense/w{number}:0"] = array
        for number, array in enumerate(optimizer):
            file[f"optimizer_weights/Adam/w{number}:0"] = array
    return path


def layer(kind, name, after=None, **config):
    nodes = [[[after, 0, 0, {}]]] if after else []
    return {"class_name": kind, "config": {"name": name, **config}, "name": name, "inbound_nodes": nodes}


def functional(*layers, output):
    given = [["in", 0, 0]]
    layers = [layer("InputLayer", "in", batch_input_shape=[None, 8, 8, 1], dtype="float32"), *layers]
    config = {"layers": list(layers), "input_layers": given, "output_layers": [[output, 0, 0]]}
    return {"class_name": "Functional", "config": config}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            functional(
                layer("Conv2D", "conv", "in", filters=4, activation="relu"),
                layer("Flatten", "flat", "conv"),
                layer("Dense", "out", "flat", units=1, activation="sigmoid"),
                output="out",
            ),
            Output((None, 1), "sigmoid"),
        ),
        (
            functional(
                layer("GlobalAveragePooling2D", "pool", "in"),
                layer("Dense", "dense", "pool", units=5, activation="linear"),
                layer("Activation", "act", "dense", activation="softmax"),
                layer("Dropout", "drop", "act"),
                output="drop",
            ),
            Output((None, 5), "softmax"),
        ),
        (
            functional(layer("Conv2D", "out", "in", filters=1, activation="sigmoid"), output="out"),
            Output((None, None, None, 1), "sigmoid"),
        ),
        (
            {
                "class_name": "Sequential",
                "config": {
                    "layers": [
                        layer("InputLayer", "in", batch_input_shape=[None, 46], dtype="float32"),
                        layer("Dense", "dense", units=5, activation="linear"),
                        layer("Softmax", "softmax"),
                    ]
                },
            },
            Output((None, 5), "softmax"),
        ),
        *(
            (
                {
                    "class_name": "Sequential",
                    "config": {
                        "layers": [
                            layer("InputLayer", "in", batch_input_shape=[None, 6, 4], dtype="float32"),
                            layer(
                                "Bidirectional",
                                "both",
                                merge_mode=merged,
                                layer=layer("LSTM", "l", units=6, **returned),
                            ),
                        ]
                    },
                },
                Output(shape, "linear"),
            )
            for merged, returned, shape in (
                ("concat", {}, (None, 12)),
                ("sum", {}, (None, 6)),
                ("concat", {"return_sequences": True}, (None, 6, 12)),
            )
        ),
    ],
)
def test_what_keras_2_wrote(tmp_path, config, expected):
    path = write_h5(tmp_path / "old.h5", config, [np.zeros((3, 2), np.float16)], [np.zeros(6, np.float32)])
    found = describe(path, "h5")
    assert found.outputs == (expected,)
    assert (found.parameters, found.bytes_per_parameter, found.optimizer_bytes) == (6, 2.0, 24)
    assert found.keras_version == "2.12.0"


def test_weights_alone_are_refused(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros(3, np.float32)
    with pytest.raises(UsageError, match="without an architecture"):
        describe(tmp_path / "weights.h5", "h5")


@pytest.mark.parametrize(
    ("name", "kind"), [("broken.h5", "h5"), ("broken.keras", "keras"), ("broken.tflite", "tflite")]
)
def test_a_broken_file_is_the_models_fault(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"not a model at all")
    with pytest.raises(ModelError):
        describe(tmp_path / name, kind)


def test_an_archive_without_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelError, match="cannot be read"):
        describe(tmp_path / "empty.keras", "keras")


def test_an_unknown_architecture_tells_no_outputs(tmp_path):
    assert describe(write_h5(tmp_path / "odd.h5", {"class_name": "Own"}, []), "h5").outputs == ()
