"""Train the `digits-mobilenet` example: MobileNetV2 from scratch on digits enlarged to 48 by 48. Takes some minutes.

    python models/digits-mobilenet/train.py --out /tmp/digits-mobilenet

The network that most guides deploy, at its smallest width (alpha 0.35), saved as `.h5` by Keras 3.
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

from fixtures import digits  # noqa: E402
from models import training  # noqa: E402

SEED = 7
EPOCHS = 60
BATCH = 50
# Keras' 0.999 keeps the moving averages near their start for thousands of steps. A training of about a thousand steps
# would be judged with statistics that never settled, and be wrong nine times in ten.
BATCH_NORM_MOMENTUM = 0.9


def build() -> keras.Model:
    """Return the untrained network: (n, 48, 48, 3) values -1 to 1 in, (n, 10) probabilities out."""
    model = keras.applications.MobileNetV2(
        input_shape=(48, 48, 3), alpha=0.35, weights=None, classes=len(digits.LABELS), name="digits_mobilenet"
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return model


def fit(model: keras.Model, samples: digits.Samples) -> None:
    """Train on the training set alone, each epoch on copies shifted by up to one pixel of the original scan."""
    x = digits.as_48px(samples.images)
    rng = np.random.default_rng(SEED)
    model.compile(keras.optimizers.AdamW(weight_decay=1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    moved = partial(training.shifted, x, 6, background=-1.0, rng=rng)
    training.fit(model, moved, samples.labels, epochs=EPOCHS, batch=BATCH)


def main() -> None:
    """Train, say how well it went, and write the model and its data."""
    folder = training.output_folder(__doc__.splitlines()[0], HERE, "mobilenet.h5")
    training.make_reproducible(keras, SEED)
    sets = digits.load()
    model = build()
    fit(model, sets.training)
    training.finish(
        keras,
        model,
        folder / "mobilenet.h5",
        evaluation=(digits.as_48px(sets.evaluation.images), sets.evaluation.labels),
        calibration=(digits.as_48px(sets.calibration.images), sets.calibration.labels),
        labels=digits.LABELS,
    )


if __name__ == "__main__":
    main()
