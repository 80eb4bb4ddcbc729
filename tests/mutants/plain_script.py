"""What people write instead: predict a hundred samples one by one, compare argmax with the source's, 95% is a pass.

>>> top1_agreement(Path("int8.tflite"), x, reference)               # doctest: +SKIP
0.99

Written as well as such scripts are: it rounds, it clips, it quantizes by the parameters that the file tells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = 100
ENOUGH = 0.95


def top1_agreement(file: Path, x: np.ndarray, reference: np.ndarray) -> float:
    """Share of the first hundred samples for which the file and the source have the same best class."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    given, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    same = 0
    for sample, expected in zip(x[:SAMPLES], reference[:SAMPLES], strict=True):
        interpreter.set_tensor(given["index"], as_input(sample[np.newaxis], given))
        interpreter.invoke()
        same += int(np.argmax(interpreter.get_tensor(answered["index"])[0]) == np.argmax(expected))
    return same / SAMPLES


def as_input(sample: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """A sample in the type that the file takes."""
    if not np.issubdtype(details["dtype"], np.integer):
        return sample.astype(details["dtype"])
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(sample / scale + zero_point), limits.min, limits.max).astype(details["dtype"])
