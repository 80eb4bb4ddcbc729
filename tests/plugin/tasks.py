"""Small trained models of every task and shape, written as users have them: `python -m tests.plugin.tasks FOLDER`.

Each is a folder with a `.keras` source, arrays and a manifest; some beside files that a user would hand over, sound and
not. A process of its own makes them, so that no test's process has TensorFlow in it.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers
N, CALIBRATION, EVALUATION = 1000, 150, 400
RNG = np.random.default_rng(0)

MANIFEST = """
[model]
task = "{task}"
source = "source.keras"
{model}
[data]
evaluation = "evaluation.npz"
calibration = "calibration.npz"
{variants}
"""


def write(folder, model, task, arrays, variants, more="", y=None):
    """The folder of a model: the first samples are judged on, the next calibrated on, the rest was trained on."""
    folder.mkdir(parents=True)
    model.save(folder / "source.keras")
    for name, part in (("evaluation", slice(EVALUATION)), ("calibration", slice(EVALUATION, EVALUATION + CALIBRATION))):
        labels = {} if y is None else {"y": y[part]}
        np.savez(folder / f"{name}.npz", **{key: array[part] for key, array in arrays.items()}, **labels)
    tables = "\n".join(f"[variants.{name}]" for name in variants) if isinstance(variants, tuple) else variants
    (folder / "model.toml").write_text(MANIFEST.format(task=task, model=more, variants=tables))


def trained(model, x, y, loss, epochs=12):
    """The model, fitted to the samples that are neither judged nor calibrated on."""
    model.compile(keras.optimizers.Adam(5e-3), loss)
    rest = slice(EVALUATION + CALIBRATION, None)
    x = [part[rest] for part in x] if isinstance(x, list) else x[rest]
    model.fit(x, [part[rest] for part in y] if isinstance(y, list) else y[rest], epochs=epochs, verbose=0)
    return model


def tabular(root):
    """46 numbers, five classes whose names are the labels; the same network with logits, labelled by numbers."""
    names = ["fist", "palm", "point", "victory", "thumb"]
    y = RNG.integers(0, 5, N)
    x = (RNG.normal(size=(5, 46))[y] + RNG.normal(size=(N, 46))).astype(np.float32)
    for name, activation, more, labels in (
        ("tabular", "softmax", f"labels = {names}", np.array(names)[y]),
        ("logits", None, "", y),
    ):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
        network = keras.Sequential(
            [keras.Input((46,), name="features"), layers.Dense(64, "relu"), layers.Dense(5, activation)]
        )
        write(root / name, trained(network, x, y, loss), "classification", {"x": x}, ("float32", "int8"), more, labels)


def one_logit(root):
    """A binary classifier that ends in one logit, with a threshold on the probability."""
    y = RNG.integers(0, 2, N)
    x = (RNG.normal(size=(N, 12)) + y[:, None] * 0.9).astype(np.float32)
    network = keras.Sequential([keras.Input((12,)), layers.Dense(32, "relu"), layers.Dense(1)])
    network = trained(network, x, y, keras.losses.BinaryCrossentropy(from_logits=True))
    write(root / "one-logit", network, "binary", {"x": x}, ("float32", "int8"), "threshold = 0.2", y)


def autoencoder(root):
    """A regression onto its input, without labels."""
    x = np.repeat(RNG.uniform(0, 1, (N, 4)), 8, axis=1).astype(np.float32)
    network = keras.Sequential([keras.Input((32,)), layers.Dense(24, "relu"), layers.Dense(4), layers.Dense(32)])
    write(root / "autoencoder", trained(network, x, x, "mse", 25), "regression", {"x": x}, ("float32", "int8"))


def tokens(root):
    """Token ids and numbers in, a box and a class out: classes are told from the second output."""
    ids, extra = RNG.integers(0, 50, (N, 10)).astype(np.int32), RNG.normal(size=(N, 3)).astype(np.float32)
    y, box = (np.sum(ids < 15, axis=1) > 3).astype(int), np.stack([extra[:, 0], extra[:, 1] - extra[:, 2]], 1)
    first, second = keras.Input((10,), dtype="int32", name="words"), keras.Input((3,), name="extra")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(50, 12)(first))
    joined = layers.Dense(48, "relu")(layers.Concatenate()([pooled, second]))
    outputs = [layers.Dense(2, name="z_box")(joined), layers.Dense(3, "softmax", name="a_class")(joined)]
    network = keras.Model([first, second], outputs)
    network = trained(network, [ids, extra], [box, y], ["mse", "sparse_categorical_crossentropy"], 25)
    arrays = {"words": ids, "extra": extra}
    more = 'decision_output = "output_1"'
    write(root / "tokens", network, "classification", arrays, ("float32", "int8", "int8_float_io"), more, y)


def twins(root):
    """Two inputs and two outputs of equal shape; files in which they were swapped, and one with names of its own."""
    left, right = (RNG.normal(size=(N, 6)).astype(np.float32) for _ in range(2))
    ends = [keras.Input((6,), name=name) for name in ("left", "right")]
    hidden = layers.Dense(48, "relu")(layers.Concatenate()(ends))
    network = keras.Model(ends, [layers.Dense(3, name="second")(hidden), layers.Dense(3, name="first")(hidden)])
    network = trained(network, [left, right], [left[:, :3] - right[:, :3], np.abs(right[:, 3:])], ["mse", "mse"], 20)
    variants = """
[variants.int8]
[variants.own_names]
file = "own_names.tflite"
recipe = "float32"
input_names = { left = "a", right = "b" }
output_names = { output_0 = "p", output_1 = "o" }
[variants.untold]
file = "own_names.tflite"
recipe = "float32"
[variants.swapped_outputs]
file = "swapped_outputs.tflite"
recipe = "float32"
[variants.swapped_inputs]
file = "swapped_inputs.tflite"
recipe = "float32"
"""
    write(root / "twins", network, "regression", {"left": left, "right": right}, variants)
    for name, inputs, outputs in (
        ("own_names", ("a", "b"), ("p", "o")),
        ("swapped_outputs", ("left", "right"), ("output_1", "output_0")),
        ("swapped_inputs", ("right", "left"), ("output_0", "output_1")),
    ):
        (root / "twins" / f"{name}.tflite").write_bytes(with_names(network, inputs, outputs, root.parent / name))


def with_names(network, inputs, outputs, folder):
    """The network's float file, its inputs and outputs called so in the signature."""
    ends = [keras.Input((6,), name=name) for name in inputs]
    keras.Model(ends, dict(zip(outputs, network(ends), strict=True))).export(folder, verbose=False)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()


def pixels(root):
    """An image classifier of -1 to 1, and a file that takes pixels: fed as it should be, otherwise, or unsaid."""
    y = RNG.integers(0, 2, N)
    shades = RNG.integers(0, 120, (N, 12, 12, 1))
    shades[:, 4:8, 2:10, 0] += y[:, None, None] * 90
    shades[:, 0, 0], shades[:, 0, 1] = 0, 255
    x = (shades / np.float32(127.5) - np.float32(1)).astype(np.float32)
    network = keras.Sequential(
        [
            keras.Input((12, 12, 1), name="eye"),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(16, "relu"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    network = trained(network, x, y, "binary_crossentropy", 6)
    variants = """
[variants.uint8]
input_scale = 127.5
input_offset = 127.5
"""
    for name, said in (
        ("taken", "input_scale = 127.5\ninput_offset = 127.5"),
        ("wrong", "input_scale = 255"),
        ("unsaid", ""),
    ):
        variants += f'[variants.{name}]\nfile = "pixels_uint8.tflite"\nrecipe = "uint8"\n{said}\n'
    write(root / "pixels", network, "binary", {"x": x}, variants, y=y)
    image = keras.Input((12, 12, 1), name="eye")
    keras.Model(image, network(layers.Rescaling(1 / 127.5, -1.0)(image))).export(
        root.parent / "rescaled", verbose=False
    )
    converter = tf.lite.TFLiteConverter.from_saved_model(str(root.parent / "rescaled"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([shade[None].astype(np.float32)] for shade in shades[EVALUATION:][:150])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    (root / "pixels" / "pixels_uint8.tflite").write_bytes(converter.convert())


def sequences(root):
    """An unrolled LSTM: names as long as its file, and a first state that is zero."""
    x = RNG.normal(size=(N, 8, 6)).astype(np.float32)
    y = (x[:, :, 0].sum(axis=1) > 0).astype(int)
    network = keras.Sequential([keras.Input((8, 6)), layers.LSTM(16, unroll=True), layers.Dense(2, "softmax")])
    network = trained(network, x, y, "sparse_categorical_crossentropy", 10)
    write(root / "sequences", network, "classification", {"x": x}, ("float32", "int8"), y=y)


def main(folder):
    keras.utils.set_random_seed(1)
    for make in (tabular, one_logit, autoencoder, tokens, twins, pixels, sequences):
        make(Path(folder) / "models")


if __name__ == "__main__":
    main(sys.argv[1])
