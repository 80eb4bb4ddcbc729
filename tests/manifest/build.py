"""Small models' folders for the tests: sources that look as Keras writes them, arrays, and a manifest."""

import io
import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np

VALID = """
[model]
task = "classification"
source = "model.keras"

[data]
evaluation = "evaluation.npz"
calibration = "calibration.npz"

[variants.float32]
[variants.int8]
[variants.int8_float_io]
"""


def input_layer(name, shape, dtype="float32"):
    """An InputLayer's node as Keras 3 writes it."""
    return {"class_name": "InputLayer", "name": name, "config": {"batch_shape": shape, "dtype": dtype, "name": name}}


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": list(layers)}}


def functional(input_layers, *layers):
    return {"class_name": "Functional", "config": {"layers": list(layers), "input_layers": input_layers}}


IMAGE = sequential(input_layer("scan", [None, 8, 8, 1]))


def keras_file(config=IMAGE):
    """The bytes of a .keras archive (without weights, which nobody here looks at)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
    return stream.getvalue()


def images(n=12, seed=0):
    return np.random.default_rng(seed).random((n, 8, 8, 1), np.float32)


class ModelFolder:
    """A model's folder that is right; a test spoils one thing."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(parents=True)
        (path / "model.keras").write_bytes(keras_file())
        self.arrays("evaluation", x=images(), y=np.arange(12) % 10)
        self.arrays("calibration", x=images(seed=1))
        self.manifest(VALID)

    def manifest(self, text):
        (self.path / "model.toml").write_text(text, encoding="utf-8")

    def add(self, text):
        """Append to the manifest."""
        self.manifest((self.path / "model.toml").read_text(encoding="utf-8") + text)

    def replace(self, old, new):
        text = (self.path / "model.toml").read_text(encoding="utf-8")
        assert old in text
        self.manifest(text.replace(old, new))

    def arrays(self, name, **arrays):
        np.savez(self.path / f"{name}.npz", **arrays)

    def age(self):
        """Files as they are a while after they were written, when their times can be relied on."""
        past = time.time() - 3600
        for path in self.path.rglob("*"):
            os.utime(path, (past, past))
