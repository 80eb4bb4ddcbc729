"""Arrays a block of rows at a time, so that what is computed of them does not grow with the number of samples.

    >>> outputs = np.arange(6.0).reshape(3, 2)
    >>> [(start, rows.tolist()) for start, rows in blocks(outputs, values=4)]
    [(0, [[0.0, 1.0], [2.0, 3.0]]), (2, [[4.0, 5.0]])]
    >>> by_row(lambda rows: rows.sum(axis=1), outputs, values=4)
    array([1., 5., 9.])

The arrays may be mapped files: what is read of them the system may take back at any time. Counts, extremes and whatever
belongs to one row are the same for any size of the blocks; sums may differ in their last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Values of one array in a block: a megabyte in float64, and few enough blocks that Python does not count.
BLOCK_VALUES = 1 << 17


def blocks(*arrays: Array, values: int | None = None) -> Iterator[tuple[Any, ...]]:
    """The number of a block's first row, and these rows of each array.

    Args:
        arrays: Shape (n, …) each.
        values: At most so many values of one array, but at least a row; None: `BLOCK_VALUES`.
    """
    widest = max(int(np.prod(array.shape[1:])) for array in arrays)
    size = max(1, (values or BLOCK_VALUES) // max(1, widest))
    for start in range(0, len(arrays[0]), size):
        yield (start, *(np.asarray(array[start : start + size]) for array in arrays))


def by_row(function: Callable[..., Array], *arrays: Array, values: int | None = None) -> Array:
    """What a function makes of each row, shape (n, …).

    Args:
        function: Maps rows of the arrays, shape (some, …), to an array of shape (some, …), each row for itself.
        arrays: Shape (n, …) each.
        values: As `blocks`.
    """
    parts = [function(*rows) for _, *rows in blocks(*arrays, values=values)]
    return np.concatenate(parts) if parts else function(*arrays)
