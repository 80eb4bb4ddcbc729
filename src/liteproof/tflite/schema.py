"""The accessors of the published schema (PyPI `tflite`), imported when the first file is read.

Its two hundred modules take more than half as long to import as numpy, and a run is collected without them.

    >>> from liteproof.tflite import schema
    >>> schema.BuiltinOperator.CONV_2D, schema.names("Padding")
    (3, {0: 'SAME', 1: 'VALID'})
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

# The package ends at BFLOAT16 and before StableHLO's case; LiteRT 2 writes these too.
_NEWER: Mapping[str, Mapping[int, str]] = {
    "TensorType": {19: "INT2", 20: "UINT4", 21: "FLOAT8_E4M3FN", 22: "FLOAT8_E5M2"},
    "BuiltinOperator": {209: "STABLEHLO_CASE"},
}


def __getattr__(name: str) -> Any:
    import tflite

    return getattr(tflite, name)


@cache
def names(enumeration: str) -> dict[int, str]:
    """The names of an enumeration by number, those of newer writers included."""
    import tflite

    known = {number: name for name, number in vars(getattr(tflite, enumeration)).items() if isinstance(number, int)}
    return {**known, **_NEWER.get(enumeration, {})}
