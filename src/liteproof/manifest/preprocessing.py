"""What [data] declares once for all sets: scale, offset, range; what is for images or tables only.

    >>> from liteproof.plan import Making
    >>> place = Place("model.toml", "data")
    >>> declared = Preprocessing(DataTable("evaluation.npz", scale=0.5), place, None)
    >>> declared.of(Read(Making("arrays", {}), None), "evaluation").making.scale
    {'x': (0.5,)}

Values become x × scale + offset, in float32, where the arrays are made (`liteproof.convert.samples`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from liteproof.manifest.data import SINGLE, Arrays
from liteproof.manifest.forms import IMAGES, TABLE, Read
from liteproof.manifest.place import Place, clean, one_of, written
from liteproof.manifest.schema import DataTable
from liteproof.manifest.source import Input

Factors = Mapping[str, tuple[float, ...]]

_FOR_IMAGES = ("resize", "color", "range")


def input_names(arrays: Arrays | None, inputs: Sequence[Input] | None) -> tuple[str, ...]:
    """Names of a set's input arrays; of one whose arrays are not known yet, as the source has them."""
    if arrays is not None:
        return tuple(array.name for array in arrays.inputs)
    several = inputs is not None and len(inputs) > 1
    return tuple(given.name for given in inputs or ()) if several else (SINGLE,)


class Preprocessing:
    """What one manifest declares for its sets.

    Raises:
        UsageError: if it contradicts itself.
    """

    def __init__(self, data: DataTable, place: Place, inputs: Sequence[Input] | None) -> None:
        self._data, self._place, self._inputs = data, place, inputs
        if data.range is not None and (data.scale is not None or data.offset is not None):
            raise place.wrong(f"range in {place.name} beside scale or offset", "one of the two", "remove range")

    def of(self, read: Read, key: str) -> Read:
        """A set with what [data] declares for all of them.

        Args:
            read: As it is named.
            key: "evaluation", "calibration" or "training".

        Raises:
            UsageError: if a key means nothing for it, or does not fit its arrays.
        """
        self._require_forms(read.making.form, key)
        names = input_names(read.arrays, self._inputs)
        scale, offset = self._declared(names)
        if not scale and not offset:
            return read
        making = replace(read.making, scale=scale, offset=offset)
        return Read(making, self._scaled(read.arrays, scale, offset), None, read.classes)

    def _require_forms(self, form: str, key: str) -> None:
        """Keys that hold for all sets mean something for each."""
        if form != IMAGES:
            for name in _FOR_IMAGES:
                if getattr(self._data, name) is not None:
                    raise self._place.wrong(
                        f"{name} in {self._place.name} is for images; the {key} set is none",
                        "folders of images for all sets: what is declared once holds for all of them",
                        f"remove {name}, or name a folder of images as {key}",
                    )
        if self._data.columns is not None and form != TABLE:
            raise self._place.wrong(
                f"columns in {self._place.name} is for .csv files; the {key} set is none",
                "a .csv for all sets",
                "remove columns",
            )

    def _declared(self, names: Sequence[str]) -> tuple[Factors, Factors]:
        """What values are multiplied by and what is added, by input; nothing where they stay as they are."""
        scale, offset = self._factors("scale", names), self._factors("offset", names)
        if self._data.range is not None:
            low, high = self._data.range
            scale, offset = {SINGLE: ((high - low) / 255,)}, {SINGLE: (low,)}
            if low >= high:
                raise self._place.wrong(f"range = {written(self._data.range)} in {self._place.name}", "low, then high")
        return (
            {name: factors for name, factors in scale.items() if set(factors) != {1.0}},
            {name: factors for name, factors in offset.items() if set(factors) != {0.0}},
        )

    def _factors(self, key: str, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """By input, what `scale` or `offset` says."""
        given = getattr(self._data, key)
        if given is None:
            return {}
        if isinstance(given, dict):
            for name in given:
                if name not in names:
                    raise self._place.wrong(
                        f"{key} = {written(given)} in {self._place.name}: there is no array '{clean(name)}'",
                        one_of(name, names, what="an input's array"),
                    )
            return {name: self._numbers(key, value) for name, value in given.items()}
        if len(names) > 1:
            raise self._place.wrong(
                f"{key} = {written(given)} in {self._place.name} does not say of which input",
                f"a table by input: {', '.join(map(clean, names))}",
                f"{key} = {{ {clean(names[0])} = {written(given)} }}",
            )
        return {names[0]: self._numbers(key, given)}

    def _numbers(self, key: str, given: float | Sequence[float]) -> tuple[float, ...]:
        numbers = (float(given),) if isinstance(given, (int, float)) else tuple(map(float, given))
        if not numbers or not np.isfinite(numbers).all() or (key == "scale" and 0.0 in numbers):
            raise self._place.wrong(
                f"{key} = {written(given)} in {self._place.name}",
                "finite numbers" + (" other than 0" if key == "scale" else ""),
            )
        return numbers

    def _scaled(self, arrays: Arrays | None, scale: Factors, offset: Factors) -> Arrays | None:
        if arrays is None:
            return None
        for key, factors in (("scale", scale), ("offset", offset)):
            for array in arrays.arrays:
                found = len(factors.get(array.name, (0.0,)))
                last = array.shape[-1] if len(array.shape) > 1 else 1
                if found not in (1, last):
                    raise self._place.wrong(
                        f"{key} in {self._place.name} has {found} numbers, the last axis of "
                        f"'{clean(array.name)}' {last}",
                        f"one number, or {last}",
                    )
        changed = tuple(
            msgspec.structs.replace(array, dtype="float32") if array.name in {*scale, *offset} else array
            for array in arrays.arrays
        )
        return msgspec.structs.replace(arrays, arrays=changed, packed=0)
