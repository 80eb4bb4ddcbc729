"""Samples in the groups that one inference takes, and outputs by sample again.

    >>> spec = TensorSpec("x", shape=(1, 2), dtype="float32", shape_signature=(-1, 2))
    >>> samples = np.arange(6.0).reshape(3, 2)
    >>> count([spec], [samples])
    3
    >>> grouped(spec, samples, batch=2)[1]                # the last group is filled up
    array([[4., 5.],
           [4., 5.]])
    >>> ungrouped(np.zeros((2, 2, 10)), batch=2).shape    # two groups of two, ten classes
    (4, 10)

Pure functions over numpy; `liteproof.measure.runtime` feeds the groups to a loaded model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from liteproof.errors import ModelError, UsageError
from liteproof.measure.tensors import Array, TensorSpec

# Samples are encoded and decoded in blocks of about this size: vectorised, and memory stays flat in their number.
BLOCK_BYTES = 1 << 20


def count(specs: Sequence[TensorSpec], arrays: Sequence[Array]) -> int:
    """The number of samples, once each array is known to hold samples of its input's shape."""
    for spec, array in zip(specs, arrays, strict=True):
        wanted = spec.shape_signature or spec.shape
        sample = wanted[1:] if batched(spec, array) else wanted
        if not _fits(sample, array.shape[1:]):
            raise ModelError(
                f"input {spec} is of shape {list(wanted)} and cannot take samples of shape {list(array.shape[1:])}",
                expected=f"an array of shape (n, {', '.join(map(str, sample))})",
            )
    counts = {len(array) for array in arrays}
    if len(counts) != 1 or 0 in counts:
        raise UsageError(
            "inputs of " + " and ".join(str(count) for count in sorted(counts)) + " samples",
            expected="at least one sample, and as many for each input",
        )
    return counts.pop()


def takes(spec: TensorSpec, shape: tuple[int, ...]) -> bool:
    """Whether the input may be given this shape: any batch, any size where the file leaves it open, else its own.

    Runtimes do not see to it: tflite_runtime runs a dense layer of 6 features on 5, past the end of its input.
    """
    own = spec.shape_signature or spec.shape
    return shape == own or (bool(shape) and bool(own) and _fits(own[1:], shape[1:]))


def one_inference(specs: Sequence[TensorSpec], arrays: Sequence[Array]) -> tuple[tuple[int, ...], ...]:
    """Shapes of the inputs for one sample, or for the batch that an input is fixed to.

    >>> spec = TensorSpec("x", shape=(1, 1, 6), dtype="float32", shape_signature=(-1, -1, 6))
    >>> one_inference([spec], [np.zeros((300, 20, 6))])
    ((1, 20, 6),)
    """
    return tuple(
        (max(1, spec.shape[0]), *array.shape[1:]) if batched(spec, array) else array.shape[1:]
        for spec, array in zip(specs, arrays, strict=True)
    )


def _fits(own: tuple[int, ...], given: tuple[int, ...]) -> bool:
    return len(own) == len(given) and all(size in (-1, other) for size, other in zip(own, given, strict=True))


def batched(spec: TensorSpec, samples: Array) -> bool:
    """Whether the input's first dimension is the batch; if not, a sample is the whole tensor."""
    return samples.ndim <= len(spec.shape)


def candidates(specs: Sequence[TensorSpec], arrays: Sequence[Array], batch: int) -> Iterable[int]:
    """Batches to try, in this order: the one asked for, one by one, what the file is fixed to."""
    if not all(batched(spec, array) for spec, array in zip(specs, arrays, strict=True)):
        return (1,)
    return dict.fromkeys((batch, 1, max(1, specs[0].shape[0])))


def grouped(spec: TensorSpec, samples: Array, batch: int) -> Array:
    """Samples in groups of what one inference takes; the last group is filled up with the last sample."""
    if not batched(spec, samples):
        return samples
    missing = -len(samples) % batch
    if missing:
        samples = np.concatenate([samples, np.repeat(samples[-1:], missing, axis=0)])
    return samples.reshape(-1, batch, *samples.shape[1:])


def ungrouped(results: Array, batch: int) -> Array:
    """Outputs by sample again. One whose first dimension is not the batch belongs to its one sample as a whole."""
    if results.shape[1:2] != (batch,):
        return results
    return results.reshape(-1, *results.shape[2:])


def block_of(arrays: Sequence[Array], outputs: Sequence[Array], batch: int) -> int:
    """How many samples to encode at a time: whole batches, of about `BLOCK_BYTES`."""
    each = sum(array[:1].nbytes for array in arrays) + sum(array.nbytes for array in outputs) // batch
    return max(1, BLOCK_BYTES // max(1, each) // batch) * batch
