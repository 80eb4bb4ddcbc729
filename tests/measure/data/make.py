"""Make the tiny `.tflite` files beside this script, with TensorFlow's converter. Run by hand; the files are committed.

    python tests/measure/data/make.py

| file | what it is |
|---|---|
| dense_float32, dense_int8, dense_uint8, dense_int8_float_io | a small classifier in four recipes |
| two_in_two_out_float32, two_in_two_out_int8 | inputs `left`, `right`; outputs shuffled in the graph |
| tokens_int8 | int32 token ids in (no scale), an embedding, int8 out |
| fixed_reshape_float32 | a batch of 1 written into a RESHAPE: cannot be fed in batches |
| two_signatures_float32 | signatures `twice` and `halve`, the second in another subgraph |
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
Calibration = Callable[[], Iterator[dict[str, np.ndarray]]]


def dense() -> keras.Model:
    features = keras.Input((6,), name="features")
    hidden = keras.layers.Dense(5, activation="relu")(features)
    return keras.Model(features, keras.layers.Dense(4, activation="softmax")(hidden))


def two_in_two_out() -> keras.Model:
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    total = keras.layers.Dense(2, name="total")(keras.layers.Concatenate()([left, right]))
    other = keras.layers.Dense(3, name="other")(right)
    return keras.Model([left, right], [total, other])


def tokens() -> keras.Model:
    ids = keras.Input((4,), dtype="int32", name="ids")
    vectors = keras.layers.Embedding(10, 3)(ids)
    return keras.Model(ids, keras.layers.Dense(2)(keras.layers.Flatten()(vectors)))


def convert(model: keras.Model, calibration: Calibration | None = None, dtype: tf.DType | None = None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = calibration
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if dtype is not None:
            converter.inference_output_type = dtype
            if model.inputs[0].dtype == "float32":
                converter.inference_input_type = dtype
        return converter.convert()


def calibration(shapes: dict[str, tuple[int, ...]], below: int | None = None) -> Calibration:
    def batches() -> Iterator[dict[str, np.ndarray]]:
        rng = np.random.default_rng(1)
        for _ in range(50):
            if below is None:
                yield {name: rng.normal(size=(1, *shape)).astype(np.float32) for name, shape in shapes.items()}
            else:
                yield {name: rng.integers(0, below, (1, *shape)).astype(np.int32) for name, shape in shapes.items()}

    return batches


def fixed_reshape() -> bytes:
    @tf.function(input_signature=[tf.TensorSpec((1, 2, 3), tf.float32, name="x")])
    def flatten(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.reshape(x, [1, 6]))

    return tf.lite.TFLiteConverter.from_concrete_functions([flatten.get_concrete_function()]).convert()


def two_signatures() -> bytes:
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 3), tf.float32)])
        def twice(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"doubled": x * 2.0}

        @tf.function(input_signature=[tf.TensorSpec((1, 3), tf.float32)])
        def halve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"halved": x / 2.0}

    module = Module()
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"twice": module.twice, "halve": module.halve})
        return tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["twice", "halve"]).convert()


def main() -> None:
    keras.utils.set_random_seed(7)
    files: dict[str, bytes] = {}
    model, ranges = dense(), calibration({"features": (6,)})
    files["dense_float32"] = convert(model)
    files["dense_int8"] = convert(model, ranges, tf.int8)
    files["dense_uint8"] = convert(model, ranges, tf.uint8)
    files["dense_int8_float_io"] = convert(model, ranges)
    model, ranges = two_in_two_out(), calibration({"left": (3,), "right": (2,)})
    files["two_in_two_out_float32"] = convert(model)
    files["two_in_two_out_int8"] = convert(model, ranges, tf.int8)
    files["tokens_int8"] = convert(tokens(), calibration({"ids": (4,)}, below=10), tf.int8)
    files["fixed_reshape_float32"] = fixed_reshape()
    files["two_signatures_float32"] = two_signatures()
    for name, content in files.items():
        (HERE / f"{name}.tflite").write_bytes(content)


if __name__ == "__main__":
    main()
