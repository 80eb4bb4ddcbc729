"""Other sources of an example model: another training run, one that normalises its input, one without batch norms.

    python -m tests.mutants.sources models/digits /tmp/out

writes `retrained.keras`, `normalising.keras` and `without_batch_norm.keras`. Another training run of the small network
is trained from nothing; MobileNetV2 goes on from the committed weights with another seed and the learning rate it began
with, which moves every weight by many steps and leaves accuracy as it was.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

NAMES = ("retrained", "normalising", "without_batch_norm")
SEED = 8
EPOCHS = {"digits": 30, "digits-mobilenet": 6}
ROOT = Path(__file__).parents[2]


def main(folder: Path, out: Path) -> None:
    """Make the three sources."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.path.insert(0, str(ROOT))
    import keras

    source = next(path for path in folder.iterdir() if path.suffix in (".keras", ".h5"))

    def load() -> Any:
        return keras.saving.load_model(source, compile=False)

    for name, model in (
        ("retrained", retrained(folder, load())),
        ("normalising", normalising(load())),
        ("without_batch_norm", without_batch_norm(load())),
    ):
        keras.Model(model.inputs, model.outputs, name=model.name).save(out / f"{name}.keras")


def retrained(folder: Path, model: Any) -> Any:
    """Another training run by the model's own script."""
    import keras

    from fixtures import digits
    from models import training

    script = load_script(folder / "train.py")
    script.SEED, script.EPOCHS = SEED, EPOCHS[folder.name]
    training.make_reproducible(keras, SEED)
    if folder.name == "digits":
        model = script.build()
    script.fit(model, digits.load().training)
    return model


def load_script(path: Path) -> ModuleType:
    """A training script as a module."""
    spec = importlib.util.spec_from_file_location(f"train_{path.parent.name.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def normalising(model: Any) -> Any:
    """The model behind a layer that normalises what is normalised already."""
    import keras

    shape = model.inputs[0].shape[1:]
    rescale = keras.layers.Rescaling(1 / 16) if shape[0] == 8 else keras.layers.Rescaling(1 / 127.5, offset=-1.0)
    given = keras.Input(shape, name=model.inputs[0].name)
    return keras.Model(given, model(rescale(given)), name=model.name)


def without_batch_norm(model: Any) -> Any:
    """Every batch normalization changes nothing."""
    import keras
    import numpy as np

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([np.sqrt(variance + layer.epsilon), mean, mean, variance])
            assert gamma.shape == beta.shape
    return model


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
