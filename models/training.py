"""What the training scripts of the example models share: one seed, one command line, and no file overwritten.

    python models/digits/train.py --out /tmp/digits

Used by the scripts in this folder only; the harness itself trains nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fixtures import digits

DATA_FILES = ("evaluation.npz", "calibration.npz", "labels.txt")


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


def make_reproducible(seed: int) -> None:
    """Seed Python, numpy and TensorFlow, and ask for kernels whose result does not depend on thread timing."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def shifted(x: NDArray[np.float32], pixels: int, background: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return images (n, h, w, c), each moved by up to `pixels` in both directions, the gap filled with background."""
    padded = np.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), constant_values=background)
    height, width = x.shape[1:3]
    down, right = rng.integers(0, 2 * pixels + 1, (2, len(x)))
    moved = [image[d : d + height, r : r + width] for image, d, r in zip(padded, down, right, strict=True)]
    return np.stack(moved)


def held_out_accuracy(model: keras.Model, x: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    """Return the share of samples whose most probable class is the label."""
    return float(np.mean(model.predict(x, verbose=0).argmax(axis=1) == y))


def write_labels(folder: Path) -> None:
    """Write the class names, one a line, in the order of the model's outputs."""
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in digits.LABELS), encoding="utf-8")


def write_arrays(path: Path, x: NDArray[np.float32], samples: digits.Samples) -> None:
    """Write `x` (float32, in the model's input domain) and `y` (int64 labels) as a compressed .npz."""
    np.savez_compressed(path, x=x, y=samples.labels)
