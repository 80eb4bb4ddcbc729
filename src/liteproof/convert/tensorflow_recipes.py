"""Variants by TFLiteConverter: one short function for each recipe.

    >>> tflite = convert("int8", Path("exported"), samples)         # doctest: +SKIP
    >>> tflite[4:8]                                                 # doctest: +SKIP
    b'TFL3'

What each recipe promises stands in `liteproof.recipes`. Source: TensorFlow's guide to post-training quantization.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from liteproof.convert.data import Samples
from liteproof.convert.sources import SIGNATURE
from liteproof.errors import ModelError

Converter = Any  # tf.lite.TFLiteConverter, which is not typed
Setting = Callable[[Converter, Samples | None], None]


def convert(recipe: str, exported: Path, samples: Samples | None, *, select_tf_ops: bool = False) -> bytes:
    """A `.tflite` from an exported source.

    Args:
        recipe: One of `RECIPES`.
        exported: The SavedModel that `sources.export` wrote.
        samples: The calibration set, for a recipe that needs one.
        select_tf_ops: Whether operators that TensorFlow Lite lacks may stay TensorFlow's own.

    Raises:
        ModelError: if the source cannot be converted so; with the converter's own reason.
        UsageError: if the calibration set is wrong.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    converter = tf.lite.TFLiteConverter.from_saved_model(str(exported), signature_keys=[SIGNATURE])
    RECIPES[recipe](converter, samples)
    if select_tf_ops:
        builtin = converter.target_spec.supported_ops
        converter.target_spec.supported_ops = [*builtin, tf.lite.OpsSet.SELECT_TF_OPS]
    try:
        return bytes(converter.convert())
    except ConverterError as error:
        raise _refusal(str(error)) from error


def _float32(converter: Converter, samples: Samples | None) -> None:
    """As it is."""


def _dynamic_range(converter: Converter, samples: Samples | None) -> None:  # noqa: ARG001
    """Weights in 8 bits; activations are quantized while it runs."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _float16(converter: Converter, samples: Samples | None) -> None:  # noqa: ARG001
    """Weights in 16 bits."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _int8_float_io(converter: Converter, samples: Samples | None) -> None:
    """8 bits inside, float at both ends. An operator without an 8-bit kernel is an error, not left in float."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def _int8(converter: Converter, samples: Samples | None) -> None:
    """8 bits inside and at both ends."""
    import tensorflow as tf

    _int8_float_io(converter, samples)
    converter.inference_input_type = converter.inference_output_type = tf.int8


def _uint8(converter: Converter, samples: Samples | None) -> None:
    """The same with unsigned ends."""
    import tensorflow as tf

    _int8_float_io(converter, samples)
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def _int16x8(converter: Converter, samples: Samples | None) -> None:
    """Activations in 16 bits, weights in 8, float at both ends."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]


def _qat_int8(converter: Converter, samples: Samples | None) -> None:  # noqa: ARG001
    """8 bits inside and at both ends, with the ranges that training has found."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8


RECIPES: Mapping[str, Setting] = {
    "float32": _float32,
    "dynamic_range": _dynamic_range,
    "float16": _float16,
    "int8": _int8,
    "uint8": _uint8,
    "int8_float_io": _int8_float_io,
    "int16x8": _int16x8,
    "qat_int8": _qat_int8,
    "pruned_float32": _float32,
    "pruned_int8": _int8,
}


def _refusal(text: str) -> ModelError:
    """The converter's reason in one line, without the places in the graph that only its authors can read."""
    select, custom = _operators(text)
    if custom:
        return ModelError(
            f"it needs custom operators, which no runtime has without a library of their own: {', '.join(custom)}",
            next="replace them by TensorFlow's own",
        )
    if any(name.startswith("TensorList") for name in select) or "Lowering tensor list ops" in text:
        return ModelError(
            "a recurrent layer with a free batch needs Select TF operators (TensorListReserve, TensorListStack)",
            next="give its input a fixed batch, or the layer unroll = True; or the variant select_tf_ops = true",
        )
    halves = [name for name in select if re.search(rf"\btf\.{name}\(tensor<[^>]*xf16>", text)]
    if halves:
        return ModelError(
            f"it computes in float16 (a mixed precision policy), for which TensorFlow Lite has no {', '.join(halves)}",
            next="rebuild it under the policy float32, set_weights from the trained one, and save that; the recipe "
            "float16 keeps weights in 16 bits",
        )
    if select:
        return ModelError(
            f"it needs Select TF operators, which TensorFlow Lite does not have itself: {', '.join(select)}",
            next="replace them, or give the variant select_tf_ops = true, which few runtimes can run",
        )
    lines = (re.sub(r"^.*?error: (loc\(.*\)\): )?", "", line).strip() for line in text.splitlines() if "error:" in line)
    reasons = list(dict.fromkeys(line for line in lines if line)) or [text.strip().splitlines()[0]]
    return ModelError("; ".join(reasons)[:500])


def _operators(text: str) -> tuple[list[str], list[str]]:
    """TensorFlow's own operators and custom ones that the converter asks for."""
    found = []
    for heading in ("TF Select ops", "Custom ops"):
        listed = re.search(rf"{heading}: ([^\n]+)", text)
        found.append([name.strip() for name in listed[1].split(",")] if listed else [])
    select, custom = found
    if "ERROR_NEEDS_FLEX_OPS" in text and not select:
        select = list(dict.fromkeys(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", text)))
    return select, custom
