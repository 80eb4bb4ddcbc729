"""What the training scripts of the example models share: command line, seed, the fit, and the files that they write.

    python models/digits/train.py --out /tmp/digits

Used by the scripts in this folder only; the harness itself trains nothing. Keras comes as an argument:
most scripts use Keras 3, one legacy Keras.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

DATA_FILES = ("evaluation.npz", "calibration.npz", "labels.txt")

Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]  # x in the model's input domain, and y


def output_folder(description: str, default: Path, model_file: str) -> Path:
    """Read `--out` and `--force` from the command line; return the folder to write to, made if missing.

    Exits with status 4 if the folder holds one of the files to be written and `--force` was not given.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--out", type=Path, default=default, metavar="DIR", help="where to write (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the files of an earlier training")
    options = parser.parse_args()
    folder: Path = options.out
    existing = [name for name in (model_file, *DATA_FILES) if (folder / name).exists()]
    if existing and not options.force:
        print(f"{folder} already holds {', '.join(existing)}; nothing was written.", file=sys.stderr)
        print("Train into another folder with --out DIR, or overwrite with --force.", file=sys.stderr)
        raise SystemExit(4)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def make_reproducible(keras: ModuleType, seed: int) -> None:
    """Seed Python, numpy and TensorFlow, and ask for kernels whose result does not depend on thread timing."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(model: Any, x: Callable[[], NDArray[np.float32]], y: NDArray[np.int64], *, epochs: int, batch: int) -> None:
    """Train a compiled model, the learning rate falling from 0.002 to 0 along half a cosine.

    Args:
        model: The model.
        x: Gives the training samples of an epoch, each time varied anew.
        y: Their labels.
        epochs: Number of epochs; ten times in all it says how it goes.
        batch: Samples of one step.
    """
    every = max(1, epochs // 10)
    for epoch in range(epochs):
        model.optimizer.learning_rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        history = model.fit(x(), y, batch_size=batch, verbose=0).history
        if (epoch + 1) % every == 0:
            loss, accuracy = history["loss"][0], history["accuracy"][0]
            print(f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}, accuracy {accuracy:.4f}", flush=True)


def shifted(x: NDArray[np.float32], pixels: int, background: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return images (n, h, w, c), each moved by up to `pixels` in both directions, the gap filled with background."""
    padded = np.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), constant_values=background)
    height, width = x.shape[1:3]
    down, right = rng.integers(0, 2 * pixels + 1, (2, len(x)))
    moved = [image[d : d + height, r : r + width] for image, d, r in zip(padded, down, right, strict=True)]
    return np.stack(moved)


def finish(
    keras: ModuleType,
    model: Any,
    path: Path,
    *,
    evaluation: Arrays,
    calibration: Arrays,
    labels: Sequence[str],
    further: Arrays | None = None,
    as_source: Callable[[Any], NDArray[np.float32]] = lambda x: x,
) -> None:
    """Say how well a classifier does on the evaluation set, and write it with its data and labels beside it.

    It is written without the optimizer's state: nobody resumes this training, and it would triple the file.

    Args:
        keras: The Keras that the model is of.
        model: The model: a probability for each class, or one of the second of two.
        path: Where it is written.
        evaluation: Samples and labels, as they are stored.
        calibration: The same.
        labels: Names of the classes.
        further: Samples and labels that recipes which train the model further are given; None: there are no such.
        as_source: Brings samples as they are stored into the model's input domain.
    """
    x, y = evaluation
    outputs = model.predict(as_source(x), verbose=0)
    classes = outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] >= 0.5
    print(f"held-out accuracy {float(np.mean(classes == y)):.4f} on {len(x)} samples")
    keras.Model(model.inputs, model.outputs, name=model.name).save(path)
    sets = {"evaluation": evaluation, "calibration": calibration, **({"training": further} if further else {})}
    for name, arrays in sets.items():
        np.savez_compressed(path.parent / f"{name}.npz", x=arrays[0], y=arrays[1])
    (path.parent / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    print(f"written to {path.parent}")
