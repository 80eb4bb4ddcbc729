"""The key `select_tf_ops` of a variant: whether its conversion may fall back to TensorFlow's own operators.

>>> for_float32({"int8": VariantTable(select_tf_ops=True)}), for_float32({"float32": VariantTable()})
(True, False)
"""

from __future__ import annotations

from collections.abc import Mapping

from liteproof.manifest.place import Place
from liteproof.manifest.schema import VariantTable
from liteproof.recipes import Recipe

OPTION = "select_tf_ops"


def options(table: VariantTable, promise: Recipe, toolchain: str | None, place: Place) -> dict[str, object]:
    """What a variant is made with, or of a file, what it may hold.

    Raises:
        UsageError: if the key means nothing for it.
    """
    if not table.select_tf_ops:
        return {}
    if toolchain == "litert":
        raise place.wrong(
            f"select_tf_ops in {place.name} means nothing for toolchain litert, which starts from the float32 file",
            "select_tf_ops on the variant float32",
            "move it to [variants.float32]",
        )
    if promise.training and table.file is None:
        raise place.wrong(
            f"select_tf_ops in {place.name}: a model that is trained further is converted with builtin operators only",
            "a recipe without training",
            "remove select_tf_ops",
        )
    return {OPTION: True}


def for_float32(variants: Mapping[str, VariantTable]) -> bool:
    """Whether the float32 `.tflite`, which others are compared with, may hold them.

    As the variant float32 says; where there is none, as soon as any other converted variant may.
    """
    converted = {name: table for name, table in variants.items() if table.file is None}
    declared = [table for name, table in converted.items() if (table.recipe or name) == "float32"]
    return any(table.select_tf_ops for table in declared or converted.values())
