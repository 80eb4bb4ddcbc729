"""Train the `digits` example: a small CNN on 8 by 8 scans of handwritten digits. Takes about half a minute.

    python models/digits/train.py --out /tmp/digits

Small, but with what real mobile networks are made of: convolution, depthwise and pointwise convolution, batch
normalization, max pooling, a hidden dense layer and a softmax.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # the checkout, for fixtures and models.training

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

from fixtures import digits  # noqa: E402
from models import training  # noqa: E402

SEED = 7
EPOCHS = 80
BATCH = 50


def build() -> keras.Model:
    """Return the untrained network: (n, 8, 8, 1) values 0 to 16 in, (n, 10) probabilities out."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="scan"),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem"),
            layers.BatchNormalization(momentum=0.9, name="stem_bn"),
            layers.ReLU(name="stem_relu"),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise"),
            layers.BatchNormalization(momentum=0.9, name="depthwise_bn"),
            layers.ReLU(name="depthwise_relu"),
            layers.Conv2D(32, 1, use_bias=False, name="pointwise"),
            layers.BatchNormalization(momentum=0.9, name="pointwise_bn"),
            layers.ReLU(name="pointwise_relu"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(48, activation="relu", name="hidden"),
            layers.Dense(len(digits.LABELS), activation="softmax", name="probabilities"),
        ],
        name="digits",
    )


def fit(model: keras.Model, samples: digits.Samples) -> None:
    """Train on the training set alone, each epoch on copies shifted by up to one pixel."""
    x = digits.as_8px(samples.images)
    rng = np.random.default_rng(SEED)
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    for epoch in range(EPOCHS):
        model.optimizer.learning_rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        moved = training.shifted(x, 1, background=0.0, rng=rng)
        history = model.fit(moved, samples.labels, batch_size=BATCH, verbose=0).history
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1}/{EPOCHS}: loss {history['loss'][0]:.4f}, accuracy {history['accuracy'][0]:.4f}")


def main() -> None:
    """Train, say how well it went, and write the model and its data."""
    folder = training.output_folder(__doc__.splitlines()[0], HERE, "digits.keras")
    training.make_reproducible(SEED)
    sets = digits.load()
    model = build()
    fit(model, sets.training)
    x = digits.as_8px(sets.evaluation.images)
    print(f"held-out accuracy {training.held_out_accuracy(model, x, sets.evaluation.labels):.4f} on {len(x)} scans")
    # Without the optimizer's state: nobody resumes this training, and it would triple the file.
    keras.Model(model.inputs, model.outputs, name=model.name).save(folder / "digits.keras")
    training.write_arrays(folder / "evaluation.npz", x, sets.evaluation)
    calibration = sets.calibration
    training.write_arrays(folder / "calibration.npz", digits.as_8px(calibration.images), calibration)
    training.write_labels(folder)
    print(f"written to {folder}")


if __name__ == "__main__":
    main()
