"""The source's own predictions on the evaluation set: what every variant is held against.

>>> found = predictions(source, {"scan": images})               # doctest: +SKIP
>>> found["output"].shape, found["output"].dtype                # doctest: +SKIP
((597, 10), dtype('float32'))
>>> meaning(np.array([[0.2, 0.8], [0.5, 0.5]], np.float32))
'probabilities'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.convert.data import Values, cast
from liteproof.convert.sources import Source
from liteproof.errors import ModelError
from liteproof.manifest.source import Input

Predictions = Mapping[str, npt.NDArray[np.float32]]

SINGLE_OUTPUT = "output"

# Large batches are fast; the inputs of one stay within this, so that an ordinary network's activations fit in memory.
_BATCH_BYTES = 8 << 20
_LARGEST_BATCH = 256

_PROBABILITIES = frozenset({"softmax", "sigmoid", "hard_sigmoid"})
_LOGITS = frozenset({"linear", "log_softmax", "log_sigmoid"})


def predictions(source: Source, values: Values) -> Predictions:
    """Predictions of a loaded source, float32 of shape (n, …) for each output in the source's order.

    One output is named "output", several as the source's signature names them.

    Args:
        source: The source.
        values: The evaluation set, (n, …) for each input's name. It is not shuffled.

    Raises:
        ModelError: if an output does not have a row for each sample.
    """
    samples = len(next(iter(values.values())))
    batch = batch_size(source.inputs, values)
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in source.outputs}
    for start in range(0, samples, batch):
        rows = np.arange(start, start + batch)
        if source.inputs[0].shape[:1] == (batch,):
            rows = np.minimum(rows, samples - 1)  # a batch that is fixed is filled up with the last sample
        rows = rows[rows < samples]
        outputs = source.function(**cast({name: array[rows] for name, array in values.items()}, source.inputs))
        for name, part in parts.items():
            part.append(np.asarray(outputs[name])[: samples - start])
    return _by_output({name: np.concatenate(part) for name, part in parts.items()}, samples)


def predictions_of_tflite(path: Path, values: Values, inputs: Sequence[Input]) -> Predictions:
    """The same of a `.tflite` source, by ai_edge_litert.

    Raises:
        ModelError: if the file does not load or does not take the values.
        TargetError: if ai_edge_litert is not installed.
    """
    from liteproof.measure.runtime import open_session

    session = open_session(path, runtime="ai_edge_litert")
    fed = values if len(values) > 1 else next(iter(values.values()))
    outputs = session.predict(fed, batch=batch_size(inputs, values))
    names = [spec.key or spec.plain_name for spec in session.outputs]
    return _by_output(dict(zip(names, outputs, strict=True)), len(next(iter(values.values()))))


def batch_size(inputs: Sequence[Input], values: Values) -> int:
    """Samples for one inference: what an input is fixed to, else as many as fit."""
    fixed = next((given.shape[0] for given in inputs if given.shape and given.shape[0]), None)
    if fixed:
        return fixed
    sample_bytes = sum(array[:1].nbytes for array in values.values())
    return max(1, min(_LARGEST_BATCH, _BATCH_BYTES // max(1, sample_bytes)))


def meaning(outputs: npt.NDArray[np.float32], activation: str | None = None) -> str | None:
    """Whether a classifier's outputs are "probabilities" or "logits"; None where neither can be told.

    The last activation says so where it is known. Else values between 0 and 1 are probabilities if there is one, or if
    those of each sample sum to one.

    Args:
        outputs: (n, classes), or (n, 1) or (n,) of a binary model.
        activation: Name of the last layer's activation.
    """
    if activation in _PROBABILITIES:
        return "probabilities"
    if activation in _LOGITS:
        return "logits"
    values = outputs.reshape(len(outputs), -1)
    if not len(values) or not np.isfinite(values).all():
        return None
    bounded = bool(values.min() >= 0 and values.max() <= 1)
    sums_to_one = bool(np.allclose(values.sum(axis=1), 1, atol=1e-3))
    return "probabilities" if bounded and (values.shape[1] == 1 or sums_to_one) else "logits"


def _by_output(outputs: Mapping[str, npt.NDArray[Any]], samples: int) -> Predictions:
    for name, array in outputs.items():
        if array.shape[:1] != (samples,):
            raise ModelError(f"output {name} has shape {array.shape} for {samples} samples")
    named = outputs if len(outputs) > 1 else {SINGLE_OUTPUT: next(iter(outputs.values()))}
    return {name: array.astype(np.float32) for name, array in named.items()}
