"""Train the `gesture` example: a network on 46 numbers of made-up hands, in the format of Keras 2. Takes half a minute.

    pip install "liteproof[legacy]"
    python models/gesture/train.py --out /tmp/gesture

What is trained on no image: 21 points of a hand and four distances, five gestures, 15 thousand parameters. Legacy Keras
writes the `.h5`, as the notebooks of Keras 2 did. The hands are synthetic (fixtures/gestures.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # the checkout, for fixtures and models.training

import tf_keras as keras  # noqa: E402
from tf_keras import layers  # noqa: E402

from fixtures import gestures  # noqa: E402
from models import training  # noqa: E402

SEED = 7
EPOCHS = 30
BATCH = 50
FURTHER = 1000  # hands that are stored, for the recipes that train further


def build() -> keras.Model:
    """Return the untrained network: (n, 46) features in, (n, 5) probabilities out."""
    return keras.Sequential(
        [
            keras.Input((gestures.FEATURES,), name="hand"),
            layers.Dense(128, activation="relu", name="wide"),
            layers.BatchNormalization(momentum=0.9, name="wide_bn"),
            layers.Dropout(0.2, name="wide_dropout"),
            layers.Dense(64, activation="relu", name="narrow"),
            layers.Dropout(0.2, name="narrow_dropout"),
            layers.Dense(len(gestures.LABELS), activation="softmax", name="probabilities"),
        ],
        name="gesture",
    )


def main() -> None:
    """Train, say how well it went, and write the model and its data."""
    folder = training.output_folder(__doc__.splitlines()[0], HERE, "gesture.h5")
    training.make_reproducible(keras, SEED)
    sets = gestures.load()
    model = build()
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    training.fit(model, lambda: sets.training.features, sets.training.labels, epochs=EPOCHS, batch=BATCH)
    training.finish(
        keras,
        model,
        folder / "gesture.h5",
        evaluation=(sets.evaluation.features, sets.evaluation.labels),
        calibration=(sets.calibration.features, sets.calibration.labels),
        labels=gestures.LABELS,
        further=(sets.training.features[:FURTHER], sets.training.labels[:FURTHER]),
    )


if __name__ == "__main__":
    main()
