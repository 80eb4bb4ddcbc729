"""Train the `eyes` example: is a drawn eye open or closed? One sigmoid. Synthetic data. Takes about half a minute.

    python models/eyes/train.py --out /tmp/eyes

The kind of network that a drowsiness detector runs on a small board: a few separable convolutions, a dense layer, and
one score, the probability that the eye is closed.
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

from fixtures import eyes  # noqa: E402
from models import training  # noqa: E402

SEED = 3
EPOCHS = 30
BATCH = 50


def build() -> keras.Model:
    """Return the untrained network: (n, 16, 24, 1) values -1 to 1 in, (n, 1) probabilities of a closed eye out."""
    return keras.Sequential(
        [
            keras.Input((eyes.HEIGHT, eyes.WIDTH, 1), name="eye"),
            layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem"),
            layers.BatchNormalization(momentum=0.9, name="stem_bn"),
            layers.ReLU(name="stem_relu"),
            layers.MaxPooling2D(2, name="stem_pool"),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise"),
            layers.BatchNormalization(momentum=0.9, name="depthwise_bn"),
            layers.ReLU(name="depthwise_relu"),
            layers.Conv2D(16, 1, use_bias=False, name="pointwise"),
            layers.BatchNormalization(momentum=0.9, name="pointwise_bn"),
            layers.ReLU(name="pointwise_relu"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(32, activation="relu", name="hidden"),
            layers.Dense(1, activation="sigmoid", name="closed"),
        ],
        name="eyes",
    )


def fit(model: keras.Model, samples: eyes.Samples) -> None:
    """Train on the training set alone, each epoch on copies shifted by up to one pixel."""
    x = eyes.as_source(samples.pixels)
    model.compile(keras.optimizers.Adam(), "binary_crossentropy", metrics=["accuracy"])
    moved = partial(training.shifted, x, 1, background=0.0, rng=np.random.default_rng(SEED))
    training.fit(model, moved, samples.labels, epochs=EPOCHS, batch=BATCH)


def main() -> None:
    """Train, say how well it went, and write the model and its data."""
    folder = training.output_folder(__doc__.splitlines()[0], HERE, "eyes.keras")
    training.make_reproducible(keras, SEED)
    sets = eyes.load()
    model = build()
    fit(model, sets.training)
    training.finish(
        keras,
        model,
        folder / "eyes.keras",
        evaluation=(sets.evaluation.pixels, sets.evaluation.labels),
        calibration=(sets.calibration.pixels, sets.calibration.labels),
        labels=eyes.LABELS,
        as_source=eyes.as_source,
    )


if __name__ == "__main__":
    main()
