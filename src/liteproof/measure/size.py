"""File sizes, and what size a recipe can be expected to give.

>>> size_ratio(29_000, 100_000).value
0.29
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from liteproof.checks import Measurement
from liteproof.recipes import Recipe, of_layer
from liteproof.tflite.facts import Facts, expected_bytes, expected_bytes_mixed
from liteproof.tflite.layer_promises import boundaries, layer_promises
from liteproof.tflite.matching import Parameter, parameters
from liteproof.tflite.reader import Model

# Operators whose weights pruning takes; depthwise weights it leaves.
_PRUNED = frozenset({"CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})


def size_ratio(variant_bytes: int, float32_bytes: int) -> Measurement:
    """File bytes over the float32 variant's file bytes."""
    return Measurement(
        "size_ratio",
        variant_bytes / float32_bytes,
        detail=f"{variant_bytes:,} of {float32_bytes:,} bytes",
    )


def source_size_ratio(variant_bytes: int, source_bytes: int) -> Measurement:
    """File bytes over the source file's (which may hold an optimizer's state, and be no fair measure)."""
    return Measurement(
        "source_size_ratio",
        variant_bytes / source_bytes,
        detail=f"{variant_bytes:,} of {source_bytes:,} bytes",
    )


def size_bytes(variant_bytes: int) -> Measurement:
    """File bytes."""
    return Measurement("size_bytes", float(variant_bytes))


def compressed_ratio(variant: Path, float32: Path) -> Measurement:
    """What is left of the file after deflate, over what is left of the float32 variant's."""
    ours, theirs = (len(zlib.compress(path.read_bytes())) for path in (variant, float32))
    return Measurement("compressed_ratio", ours / theirs, detail=f"{ours:,} of {theirs:,} bytes after deflate")


def sparsity(model: Model) -> Measurement:
    """The smallest share of zeros in the weights of a convolution or dense layer, to the nearest weight.

    n weights can be pruned to a sparsity only up to half a weight, so half a weight is added: 22 zeros of 30 are 0.75.
    """
    weights = [
        parameter for parameter in parameters(model) if parameter.role == "weight" and parameter.operator in _PRUNED
    ]
    if not weights:
        return Measurement("sparsity", 0.0, detail="the network has no convolution and no dense layer")
    zeros = [(parameter.tensor.elements - _not_zero(parameter), parameter) for parameter in weights]
    shares = [min(1.0, (count + 0.5) / max(parameter.tensor.elements, 1)) for count, parameter in zeros]
    worst = int(np.argmin(shares))
    count, least = zeros[worst]
    total = sum(count for count, _ in zeros) / max(1, sum(parameter.tensor.elements for parameter in weights))
    return Measurement(
        "sparsity",
        shares[worst],
        detail=f"{total:.4f} of all; least in {_weight(least)}: {count:,} of {least.tensor.elements:,} are zero",
        causes=(
            "training ended before pruning had come to its end, or went on without it",
            "the file was converted from weights that were not pruned",
        ),
        next=f"liteproof inspect {model.where}",
    )


def _weight(parameter: Parameter) -> str:
    return f"'{parameter.tensor.name}' of {parameter.place}"


def default_size_ratio(float32: Facts, recipe: Recipe, network: Model) -> float:
    """The limit for `size_ratio` that follows from what the float32 file holds.

    The expected size is derived from the parameter count at the recipe's bit width and the graph's overhead, which is
    why a small deep network may keep int8 at 0.39 of float32 rather than 0.25; the recipe's margin comes on top. Of a
    mixed recipe each layer counts at its own width.

    Args:
        float32: Facts of the float32 file.
        recipe: What is promised.
        network: The float32 file itself.
    """
    if recipe.rules:
        rules = layer_promises(network, recipe.rules)
        layers = {index: of_layer(rule, recipe.name) for index, rule in rules.items()}
        expected = expected_bytes_mixed(float32, layers, boundaries(network, recipe.rules))
    else:
        expected = expected_bytes(float32, recipe.name)
    return round(expected * (1.0 + recipe.size_margin) / float32.file_bytes, 3)


def _not_zero(parameter: Parameter) -> int:
    return sum(int(np.count_nonzero(parameter.rows(rows))) for rows in parameter.pieces())
