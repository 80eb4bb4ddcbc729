"""The script that people write instead: convert by every recipe, compare with the original, print a table.

    python benchmarks/plain_script.py models/digits-mobilenet [--parts parts.json]

It does what guides and repositories do, no worse and no better: each recipe is a `from_keras_model` of its own, each
comparison asks the original by `predict` and the converted file by its interpreter, one sample at a time, and the time
of an inference is the mean of a hundred after ten. int4, which TFLiteConverter does not have, comes from LiteRT
Quantizer. It uses nothing of liteproof. `gate_vs_plain_script.py` takes its time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

PARTS: dict[str, float] = {}


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Add what a block takes to a part of the whole, to show where the time goes."""
    started = time.perf_counter()
    yield
    PARTS[name] = PARTS.get(name, 0.0) + time.perf_counter() - started


def quantize(converter: Any, calibration: np.ndarray) -> None:
    """Set a converter to full integer inside."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def convert(model: Any, recipe: str, calibration: np.ndarray) -> bytes:
    """The model by one of the recipes."""
    if recipe == "int4":
        from litert_quantizer import recipe as recipes
        from litert_quantizer.quantizer import Quantizer

        return bytes(
            Quantizer(convert(model, "float32", calibration), recipes.dynamic_wi4_afp32())
            .quantize(None, enable_progress_bar=False, enable_progress_report=False)
            .quantized_model
        )
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if recipe == "dynamic_range":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    if recipe in ("int8", "uint8", "int8_float_io", "int16x8"):
        quantize(converter, calibration)
    if recipe in ("int8", "uint8"):
        converter.inference_input_type = converter.inference_output_type = getattr(tf, recipe)
    if recipe == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return bytes(converter.convert())


def answers(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """A function that asks a converted file for one sample."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    given, told = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def ask(sample: np.ndarray) -> np.ndarray:
        values = sample[np.newaxis]
        if given["dtype"] != np.float32:
            scale, zero_point = given["quantization"]
            limits = np.iinfo(given["dtype"])
            values = np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(given["dtype"])
        interpreter.set_tensor(given["index"], values)
        interpreter.invoke()
        output = interpreter.get_tensor(told["index"])[0]
        if told["dtype"] != np.float32:
            scale, zero_point = told["quantization"]
            output = (output.astype(np.float32) - zero_point) * scale
        return output

    return ask


def compare(model: Any, content: bytes, x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Agreement with the original, accuracy, and milliseconds of one inference."""
    ask = answers(content)
    agreed = right = 0
    for sample, label in zip(x, y, strict=True):
        with part("predict, one sample at a time"):
            expected = int(np.argmax(model.predict(sample[np.newaxis], verbose=0)[0]))
        with part("interpreter, one sample at a time"):
            found = int(np.argmax(ask(sample)))
        agreed += found == expected
        right += found == label
    with part("timing"):
        for _ in range(10):
            ask(x[0])
        started = time.perf_counter()
        for _ in range(100):
            ask(x[0])
        milliseconds = (time.perf_counter() - started) * 10
    return agreed / len(x), right / len(x), milliseconds


RECIPES = ("float32", "dynamic_range", "float16", "int8", "uint8", "int8_float_io", "int16x8", "int4")


def main() -> None:
    """Compare every recipe, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with a source, evaluation.npz and calibration.npz")
    parser.add_argument("--recipe", action="append", choices=RECIPES, help="this one only (repeatable)")
    parser.add_argument("--parts", type=Path, help="leave here what each part took, as JSON")
    options = parser.parse_args()
    with part("load"):
        (source,) = (path for path in options.model.iterdir() if path.suffix in (".h5", ".keras"))
        model = keras.models.load_model(source, compile=False)
        evaluation, calibration = (np.load(options.model / f"{name}.npz") for name in ("evaluation", "calibration"))
        x, y, samples = evaluation["x"], evaluation["y"], calibration["x"]
    print(f"{'variant':15}{'kB':>7}{'agreement':>11}{'accuracy':>10}{'ms':>8}", flush=True)
    for recipe in options.recipe or RECIPES:
        with part("conversion"):
            content = convert(model, recipe, samples)
        agreement, accuracy, milliseconds = compare(model, content, x, y)
        print(f"{recipe:15}{len(content) / 1e3:7.0f}{agreement:11.4f}{accuracy:10.4f}{milliseconds:8.3f}", flush=True)
    if options.parts:
        options.parts.write_text(json.dumps(PARTS))


if __name__ == "__main__":
    main()
