"""Select TF operators: TensorFlow's own kernels inside a `.tflite`, spelled "Flex…", and which runtimes have them.

    >>> runs("ai_edge_litert", "2.3.0"), runs("tensorflow", "2.15.1"), runs("tensorflow", "2.21.0")
    (False, True, False)

Measured with three converted networks: ai_edge_litert 2.3.0, tflite_runtime 2.14.0 and tensorflow 2.21.0 refuse them
("Select TensorFlow op(s) … not supported by this interpreter"), tensorflow 2.15.1 runs them. That 2.18.1
does and 2.20.0 does not is told by LiteRT's issue 6458: the pip package is built without the Flex delegate since.
"""

from __future__ import annotations

import re

from liteproof.tflite.reader import Model

COST = (
    "Select TF operators need TensorFlow's own kernels: the package tensorflow up to 2.18 (some 500 MB), or a Flex "
    "delegate library of your own; no release of ai_edge_litert or tflite_runtime has them"
)
_PREFIX = "Flex"
_LAST_WITH, _FIRST_WITHOUT = (2, 18), (2, 20)


def select_operators(model: Model) -> tuple[str, ...]:
    """The Select TF operators that a file lists: ("FlexFFT",)."""
    names = (code.name for code in model.operator_codes if code.custom)
    return tuple(dict.fromkeys(name for name in names if name.startswith(_PREFIX)))


def runs(runtime: str, version: str) -> bool | None:
    """Whether a runtime has them, without a delegate; None where it is not known."""
    if runtime != "tensorflow":
        return False
    release = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if release <= _LAST_WITH:
        return True
    return False if release >= _FIRST_WITHOUT else None
