"""Constants a piece at a time: the same values, and the same measurements, as of whole tensors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteproof.measure import weights
from liteproof.tflite import matching
from liteproof.tflite.matching import cosine, cosine_of, match_weights
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build

STEP = 0.1


def dense(values, type_="FLOAT32", axis=None):
    """One FULLY_CONNECTED with these weights, quantized along an axis or as a whole."""
    scales, data = (), values.astype("<f4").tobytes()
    if type_ != "FLOAT32":
        scales = (STEP,) if axis is None else tuple(STEP * (1 + np.arange(values.shape[axis]) % 3))
        across = np.expand_dims(np.array(scales), 1 - (axis or 0)) if len(scales) > 1 else STEP
        high = 7 if type_ == "INT4" else 127
        codes = np.clip(np.rint(values / across), -high, high).astype(np.int8)
        data = codes.tobytes()
        if type_ == "INT4":
            low = np.append(codes.ravel(), np.zeros(codes.size % 2, np.int8)).view(np.uint8) & 15
            data = (low[::2] | low[1::2] << 4).tobytes()
    weight = TensorSpec("w", values.shape, type_, data, scales, (0,) * len(scales), axis or 0)
    tensors = [TensorSpec("x", (1, values.shape[1])), weight, TensorSpec("y", (1, values.shape[0]))]
    return read_model(build(tensors, [OperatorSpec("FULLY_CONNECTED", (0, 1), (2,))]))


@pytest.mark.parametrize(
    "kind", [("FLOAT32", None), ("INT8", None), ("INT8", 0), ("INT8", 1), ("INT4", None), ("INT4", 0)]
)
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 9)),
    piece=st.integers(1, 60),
    spoilt=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_pieces_measure_what_whole_tensors_do(kind, shape, piece, spoilt, seed):
    generator = np.random.default_rng(seed)
    values = generator.uniform(-0.7, 0.7, shape)
    other = np.where(generator.random(shape) < 0.1, values + 1, values) if spoilt else values

    def measured():
        found = match_weights(dense(values), dense(other, *kind))
        (pair,) = found.pairs
        whole = pair.variant.values
        assert np.array_equal(np.concatenate([pair.variant.rows(rows) for rows in pair.variant.pieces()]), whole)
        error, unusable = weights.weight_error_lsb(found), weights.unusable_weights(found)
        assert cosine_of(pair) == pytest.approx(cosine(pair.float32.values, whole), abs=1e-12)
        return error.value, error.detail, error.causes, error.evidence, unusable.value

    at_once = measured()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(matching, "PIECE_VALUES", piece)
        assert measured() == at_once
