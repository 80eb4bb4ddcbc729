"""How a variant is fed and read where it differs from the source: `input_scale`, `input_offset`, names of its ends.

>>> from liteproof.recipes import RECIPES
>>> place = Place("model.toml", "variants.uint8")
>>> table = VariantTable(input_scale=127.5, input_offset=127.5)
>>> print(read_interface(table, RECIPES["uint8"], ["x"], place)["domains"]["x"])
source × 127.5 + 127.5
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from liteproof.manifest.place import Place, one_of, written
from liteproof.manifest.schema import VariantTable
from liteproof.plan import InputDomain
from liteproof.recipes import Recipe

Factor = float | list[float] | dict[str, Any]


def read_interface(table: VariantTable, promise: Recipe, inputs: Sequence[str], place: Place) -> dict[str, Any]:
    """What of a variant's table says how it is fed and read: fields of `plan.Variant`.

    Args:
        table: `[variants.NAME]`.
        promise: Of its recipe.
        inputs: Names of the evaluation set's inputs.
        place: The table.

    Raises:
        UsageError: if it means nothing for this variant, names no input, or no number can be what it says.
    """
    _require_sense(table, promise, place)
    for name in table.input_names:
        _require_input(name, "input_names", inputs, place)
    scales = _by_input("input_scale", table.input_scale, inputs, place)
    offsets = _by_input("input_offset", table.input_offset, inputs, place)
    domains = {
        name: InputDomain(scales.get(name, (1.0,)), offsets.get(name, (0.0,)))
        for name in inputs
        if name in scales or name in offsets
    }
    for name, domain in domains.items():
        if 1 not in (len(domain.scale), len(domain.offset)) and len(domain.scale) != len(domain.offset):
            raise place.wrong(
                f"input_scale has {len(domain.scale)} numbers, input_offset {len(domain.offset)} for input {name}",
                "as many in both, one for each channel, or a single number",
            )
    return {"domains": domains, "input_names": table.input_names, "output_names": table.output_names}


def _require_sense(table: VariantTable, promise: Recipe, place: Place) -> None:
    if table.file is not None:
        return
    for key in ("input_names", "output_names"):
        if getattr(table, key):
            raise place.wrong(
                f"{key} in {place.name} beside no file", "a file: what is converted here keeps names", f"remove {key}"
            )
    for key in ("input_scale", "input_offset"):
        if getattr(table, key) is not None and not promise.integer_io:
            raise place.wrong(
                f"{key} in {place.name}: {promise.name} has float inputs, which take what the source takes",
                "a file, or a recipe with integer inputs (int8, uint8), whose codes are fed",
                f"remove {key}, or name the file that takes other values",
            )


def _by_input(key: str, given: Factor | None, inputs: Sequence[str], place: Place) -> dict[str, tuple[float, ...]]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if len(inputs) > 1:
            raise place.wrong(
                f"{key} = {written(given)} in {place.name} is for one input; the model has {', '.join(inputs)}",
                f"a table: {key} = {{ {inputs[0]} = {written(given)} }}",
            )
        given = {inputs[0]: given}
    found = {}
    for name, factor in given.items():
        _require_input(name, key, inputs, place)
        numbers = tuple(map(float, factor)) if isinstance(factor, list) else (float(factor),)
        if not numbers or not all(map(math.isfinite, numbers)) or (key == "input_scale" and 0.0 in numbers):
            raise place.wrong(
                f"{key} = {written(factor)} in {place.name}",
                "finite numbers" + (" other than 0" if key == "input_scale" else ""),
            )
        found[name] = numbers
    return found


def _require_input(name: str, key: str, inputs: Sequence[str], place: Place) -> None:
    if name not in inputs:
        raise place.wrong(
            f"{key} in {place.name} names '{name}'",
            one_of(name, inputs, what="an array of the evaluation set"),
            "correct the name",
        )
