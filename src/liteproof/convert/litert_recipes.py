"""Variants by LiteRT Quantizer, from the float32 `.tflite`. No TensorFlow.

    >>> tflite = quantize("int4", Path("float32.tflite"))           # doctest: +SKIP
    >>> tflite[4:8]                                                 # doctest: +SKIP
    b'TFL3'

What each recipe promises stands in `liteproof.recipes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from liteproof.convert.data import Samples
from liteproof.errors import ModelError

Settings = Any  # litert_quantizer's recipe, which is not typed
_NEEDS_NUMPY_2 = ("OCTAV",)


def quantize(recipe: str, float32: Path, samples: Samples | None = None, rules: Settings | None = None) -> bytes:
    """A `.tflite` from a float32 one.

    Args:
        recipe: One of `RECIPES`.
        float32: The float32 `.tflite`.
        samples: The calibration set by the names of the float32 file's signature, for a recipe that needs one.
        rules: Of a mixed recipe, as its file has them.

    Raises:
        ModelError: if ranges are needed and the file has no signature, or if an algorithm needs another numpy.
        UsageError: if the calibration set is wrong.
        ValueError, RuntimeError: LiteRT Quantizer's own, if the file cannot be quantized so.
    """
    from litert_quantizer.quantizer import Quantizer

    content = float32.read_bytes()
    if rules is not None:
        _require_numpy(rules)
    quantizer = Quantizer(content, RECIPES[recipe]() if rules is None else rules)
    ranges = _ranges(content, samples) if samples else None
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _require_numpy(rules: Settings) -> None:
    import numpy as np

    needing = [rule["algorithm_key"] for rule in rules if rule["algorithm_key"] in _NEEDS_NUMPY_2]
    if needing and np.__version__.startswith("1."):
        raise ModelError(
            f"the algorithm {needing[0]} needs numpy 2, and this is numpy {np.__version__}",
            next="convert it once in an environment of its own, with the same store (LITEPROOF_STORE): python3 -m venv "
            "convert && convert/bin/pip install 'liteproof[convert]' 'numpy>=2' && convert/bin/liteproof convert",
        )


def _ranges(content: bytes, samples: Samples) -> Mapping[str, Any]:
    """The smallest and the largest value of each tensor over the calibration set.

    Not as the tool does it unless told: its ranges are moving averages over the samples, which cut off what a single
    sample has (on the small digit model: outputs off by 0.50 at most, 0.04 with the true ranges, as TFLiteConverter has
    them); and it copies every tensor to Python, which takes a dozen times as long as the profiler inside the runtime.
    """
    from ai_edge_litert.interpreter import Interpreter
    from litert_quantizer.calibrator import CalibrationMode, Calibrator
    from litert_quantizer.recipe_manager import RecipeManager
    from litert_quantizer.utils.qsv_utils import min_max_update

    signature = next(iter(Interpreter(model_content=content).get_signature_list()), None)
    if signature is None:
        raise ModelError(
            "the float32 file has no signature, without which LiteRT Quantizer calibrates nothing",
            next="convert it anew with a signature, as TFLiteConverter.from_saved_model does",
        )
    calibrator = Calibrator(content, 1, CalibrationMode.CALIBRATION_PROFILER_BASED, min_max_update)
    calibrator.calibrate({signature: list(samples())}, RecipeManager())
    ranges: Mapping[str, Any] = calibrator.get_model_qsvs()
    return ranges


def _int4() -> Settings:
    """Weights in 4 bits.

    The weight-only settings agree with the source as often (0.995 and 0.993 on the two digit models) but split every
    bias off into an addition of its own: a larger file, and another graph than the float32 one's.
    """
    from litert_quantizer import recipe

    return recipe.dynamic_wi4_afp32()


def _dynamic_range() -> Settings:
    """Weights in 8 bits; activations are quantized while it runs."""
    from litert_quantizer import recipe

    return recipe.dynamic_wi8_afp32()


def _int8() -> Settings:
    """8 bits inside and at both ends."""
    from litert_quantizer import recipe

    return recipe.static_wi8_ai8()


def _int8_float_io() -> Settings:
    """8 bits inside, float at both ends."""
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import TFLOperationName
    from litert_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    manager.load_quantization_recipe(_int8())
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        manager.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return manager.get_quantization_recipe()


RECIPES: Mapping[str, Callable[[], Settings]] = {
    "int4": _int4,
    "dynamic_range": _dynamic_range,
    "int8": _int8,
    "int8_float_io": _int8_float_io,
}
