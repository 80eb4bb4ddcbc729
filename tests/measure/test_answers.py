"""Sessions side by side and batches change nothing in the answers, or are not used."""

import os
import threading

import numpy as np
import pytest
import tflite as schema
from hypothesis import given
from hypothesis import strategies as st

from liteproof.errors import ModelError
from liteproof.measure import answers as room
from liteproof.measure.answers import BATCH, answers, fits_batches, same_in_batches, side_by_side
from liteproof.measure.runtime import open_session
from liteproof.tflite.reader import read_model
from tests.measure.models import RUNTIMES, data, fixed_batch_of_four, identity_like, positives, running_sum
from tests.tflite.build import OperatorSpec, TensorSpec, build, bytes_of

FEATURES = np.random.default_rng(3).normal(size=(1003, 6)).astype(np.float32)

each_runtime = pytest.mark.parametrize("name", RUNTIMES)


def feed(start, stop):
    return FEATURES[start:stop]


def opener(model, name="ai_edge_litert"):
    return lambda: open_session(model if isinstance(model, bytes) else data(model), runtime=name)


def cumulative() -> bytes:
    """CUMSUM over the batch: a sample's answer depends on those before it."""

    def options(builder):
        schema.CumsumOptionsStart(builder)
        return schema.BuiltinOptions.CumsumOptions, schema.CumsumOptionsEnd(builder)

    tensors = [
        TensorSpec("x", (1, 6), signature=(-1, 6)),
        TensorSpec("axis", (), "INT32", data=bytes_of(0, dtype=np.int32)),
        TensorSpec("y", (1, 6), signature=(-1, 6)),
    ]
    return build(tensors, [OperatorSpec("CUMSUM", (0, 1), (2,), options=options)])


@each_runtime
@pytest.mark.parametrize("sessions", [1, 2, 5])
@pytest.mark.parametrize("model", ["dense_float32", "dense_int8"])
def test_answers_are_those_of_one_session_one_by_one(name, sessions, model):
    (alone,) = open_session(data(model), runtime=name).predict(FEATURES)
    pieces = list(answers(opener(model, name), len(FEATURES), feed, sessions=sessions))
    assert np.concatenate([piece[0] for piece in pieces]).tobytes() == alone.tobytes()
    assert sessions == 1 or len(pieces) >= sessions


@each_runtime
@pytest.mark.parametrize("model", ["dense_float32", "dense_int8", "dense_int8_float_io"])
def test_batches_that_have_shown_it_give_the_same_bits(name, model):
    same = same_in_batches(opener(model, name), FEATURES[:64])
    if not same():
        assert (name, model) == ("tflite_runtime", "dense_float32")  # its sums are added up in another order
        return
    (alone,) = open_session(data(model), runtime=name).predict(FEATURES)
    pieces = list(answers(opener(model, name), len(FEATURES), feed, batch=lambda: BATCH if same() else 1, sessions=2))
    assert np.concatenate([piece[0] for piece in pieces]).tobytes() == alone.tobytes()


@each_runtime
def test_a_file_that_computes_over_the_batch_is_told(name):
    together = open_session(cumulative(), runtime=name).predict(FEATURES[:8], batch=8)[0]
    assert not np.array_equal(together, FEATURES[:8])  # else this test could not fail
    assert not same_in_batches(opener(cumulative(), name), FEATURES[:64])()
    assert same_in_batches(opener(identity_like("NEG", (1, 6), (-1, 6)), name), FEATURES[:64])()


@each_runtime
@pytest.mark.parametrize(("model", "shape"), [(fixed_batch_of_four(), (2,)), (running_sum(), (2, 1))])
def test_a_file_that_refuses_batches_is_not_fed_any(name, model, shape):
    assert not same_in_batches(opener(model, name), np.ones((64, *shape), np.float32))()


@pytest.mark.parametrize("dies", [os.abort, lambda: os.kill(os.getpid(), 11), lambda: 1 / 0])
def test_a_trial_that_dies_takes_nobody_with_it(dies, capfd):
    assert not same_in_batches(dies, FEATURES)()
    capfd.readouterr()


def test_a_trial_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(room, "_TRIAL_S", 1)
    assert not same_in_batches(lambda: threading.Event().wait(600), FEATURES)()


@given(st.integers(1, 5000), st.integers(1, 1 << 22), st.integers(1, 8))
def test_pieces_hold_each_sample_once_in_whole_batches(samples, sample_bytes, sessions):
    bounds = room._bounds(samples, sample_bytes, sessions)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(samples))
    assert all((stop - start) % BATCH == 0 for start, stop in bounds[:-1])
    assert len(bounds) == 1 or bounds[-1][1] - bounds[-1][0] >= BATCH


@pytest.mark.parametrize("samples", [5, 64, 1003])
def test_batches_are_asked_for_while_first_pieces_go_one_by_one(samples):
    """A file whose sessions say how they were asked; the trial is waited for however few pieces there are."""
    asked, taken = [], []

    class Session:
        def predict(self, values, batch):
            taken.append((len(asked), batch, len(values)))
            return (values,)

    def batch():
        asked.append(True)
        return BATCH

    pieces = list(answers(Session, samples, feed, batch=batch, sessions=1))
    assert np.array_equal(np.concatenate([piece[0] for piece in pieces]), FEATURES[:samples])
    assert asked
    assert taken[0][:2] == (0, 1)
    assert all(before and size == BATCH for before, size, _ in taken[1:])
    assert len(taken) == 1 or samples == 1003


def test_outputs_of_another_shape_are_refused_between_sessions_too():
    one, two = np.array([[True, False, False]] * 64), np.array([[True, True, False]] * 64)
    values = np.concatenate([one, two])
    with pytest.raises(ModelError, match="shape"):
        list(answers(opener(positives()), 128, lambda i, j: values[i:j], sessions=2))


def test_a_reader_who_stops_leaves_no_thread_behind():
    before = threading.active_count()
    pieces = answers(opener("dense_float32"), len(FEATURES), feed, sessions=2)
    next(pieces)
    assert threading.active_count() > before
    pieces.close()
    assert threading.active_count() == before


def test_an_error_in_the_middle_is_told():
    def broken(start, stop):
        return FEATURES[start:stop, : 5 if start > 500 else 6]

    with pytest.raises(ModelError, match="cannot take samples of shape"):
        list(answers(opener("dense_float32"), len(FEATURES), broken, sessions=2))


def test_sessions_share_the_cores_and_the_memory(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    assert [side_by_side(1 << 20, threads) for threads in (1, 2, 3, 4, 8)] == [4, 2, 1, 1, 1]
    assert [side_by_side(megabytes << 20, 1) for megabytes in (16, 22, 100)] == [4, 2, 2]


def test_large_activations_are_not_multiplied_by_a_batch():
    assert fits_batches(read_model(data("dense_float32")))
    assert not fits_batches(read_model(identity_like("NEG", (1, 1 << 18))))
