"""A classifier of four numbers into three classes, small enough to be judged in a second: no TensorFlow, no training.

One dense layer whose weights are rows of the identity: the class is the largest of the first three numbers.
"""

from pathlib import Path

import numpy as np

from tests.tflite.build import OperatorSpec, TensorSpec, build

WEIGHTS = (8.0 * np.eye(3, 4)).astype(np.float32)

MANIFEST = """
[model]
task = "classification"
source = "tiny.tflite"
labels = ["a", "b", "c"]

[data]
evaluation = "evaluation.npz"
calibration = "calibration.npz"

[variants.float32]
[variants.copy]
file = "copy.tflite"
recipe = "float32"
"""


def network(weights=WEIGHTS, shape=(1, 4), softmax=True):
    """The float `.tflite`: FULLY_CONNECTED and SOFTMAX, or the first alone."""
    tensors = [
        TensorSpec("x", shape),
        TensorSpec("weights", (3, 4), data=np.ascontiguousarray(weights, np.float32).tobytes()),
        TensorSpec("bias", (3,), data=np.zeros(3, np.float32).tobytes()),
        TensorSpec("logits", (1, 3)),
        TensorSpec("probabilities", (1, 3)),
    ]
    operators = [
        OperatorSpec("FULLY_CONNECTED", (0, 1, 2), (3,), options=fully_connected_options),
        OperatorSpec("SOFTMAX", (3,), (4,), options=softmax_options),
    ]
    return build(tensors, operators) if softmax else build(tensors[:4], operators[:1])


def fully_connected_options(builder):
    import tflite

    tflite.FullyConnectedOptionsStart(builder)
    return tflite.BuiltinOptions.FullyConnectedOptions, tflite.FullyConnectedOptionsEnd(builder)


def softmax_options(builder):
    import tflite

    tflite.SoftmaxOptionsStart(builder)
    tflite.SoftmaxOptionsAddBeta(builder, 1.0)
    return tflite.BuiltinOptions.SoftmaxOptions, tflite.SoftmaxOptionsEnd(builder)


def samples(n, seed):
    """Inputs with one clear winner among the first three numbers, and its number."""
    random = np.random.default_rng(seed)
    x = random.uniform(0.0, 0.4, (n, 4)).astype(np.float32)
    y = np.arange(n) % 3
    x[np.arange(n), y] += 0.6
    return x, y


def make_model(folder: Path, manifest: str = MANIFEST, n: int = 300) -> Path:
    """Write the model's folder."""
    folder.mkdir(parents=True)
    (folder / "tiny.tflite").write_bytes(network())
    (folder / "copy.tflite").write_bytes(network())
    for name, count, seed in (("evaluation", n, 1), ("calibration", 120, 2)):
        x, y = samples(count, seed)
        np.savez(folder / f"{name}.npz", x=x, y=y)
    (folder / "model.toml").write_text(manifest)
    return folder
