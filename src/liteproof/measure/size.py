"""File sizes, and what size a recipe can be expected to give.

>>> size_ratio(29_000, 100_000).value
0.29
"""

from __future__ import annotations

from liteproof.checks import Measurement
from liteproof.recipes import Recipe
from liteproof.tflite.facts import Facts, expected_bytes


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


def default_size_ratio(float32: Facts, recipe: Recipe) -> float:
    """The limit for `size_ratio` that follows from what the float32 file holds.

    The expected size is derived from the parameter count at the recipe's bit width and the graph's overhead, which is
    why a small deep network may keep int8 at 0.39 of float32 rather than 0.25; the recipe's margin comes on top.
    """
    return round(expected_bytes(float32, recipe.name) * (1.0 + recipe.size_margin) / float32.file_bytes, 3)
