"""Train the `digits` example: a small CNN on 8 by 8 scans of handwritten digits. Takes about half a minute.

    python models/digits/train.py --out /tmp/digits

Small, but with what real mobile networks are made of: convolution, depthwise and pointwise convolution, batch
normalization, max pooling, a hidden dense layer and a softmax.
"""

from __future__ import annotations

import os
import sys
from functools import partial
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
    moved = partial(training.shifted, x, 1, background=0.0, rng=rng)
    training.fit(model, moved, samples.labels, epochs=EPOCHS, batch=BATCH)


def main() -> None:
    """Train, say how well it went, and write the model and its data."""
    folder = training.output_folder(__doc__.splitlines()[0], HERE, "digits.keras")
    training.make_reproducible(keras, SEED)
    sets = digits.load()
    model = build()
    fit(model, sets.training)
    training.finish(
        keras,
        model,
        folder / "digits.keras",
        evaluation=(digits.as_8px(sets.evaluation.images), sets.evaluation.labels),
        calibration=(digits.as_8px(sets.calibration.images), sets.calibration.labels),
        labels=digits.LABELS,
        further=(digits.as_8px(sets.training.images), sets.training.labels),
    )


if __name__ == "__main__":
    main()
