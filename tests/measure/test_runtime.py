import dataclasses
import importlib
import subprocess
import sys

import numpy as np
import pytest

from liteproof.errors import ModelError, TargetError, UsageError
from liteproof.measure import runtime
from liteproof.measure.runtime import Session, default_runtime, one_line, open_session
from liteproof.plan import Delegate
from liteproof.tflite.arithmetic import dequantize
from tests.measure.models import (
    RUNTIMES,
    data,
    dequantizer,
    fixed_batch_of_four,
    fully_convolutional,
    identity_like,
    overwritten,
    positives,
    quantizer,
    running_sum,
)

FEATURES = np.random.default_rng(3).normal(size=(70, 6)).astype(np.float32)
KERNELS = ("default", "builtin", "reference")

each_runtime = pytest.mark.parametrize("name", RUNTIMES)


def session(model: str, name: str, **options) -> Session:
    return open_session(data(model), runtime=name, **options)


# Which runtime


def test_installed_runtimes_are_listed_without_importing_one():
    code = (
        "import sys; from liteproof.measure.runtime import installed_runtimes; print(*installed_runtimes());"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'ai_edge_litert', 'tflite_runtime', 'tensorflow'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names, imported = done.stdout.splitlines()
    assert set(RUNTIMES) <= set(names.split())
    assert imported == ""


def only(*installed):
    return lambda distribution: "1.0" if distribution in installed else None


@pytest.mark.parametrize(
    ("distributions", "first"),
    [
        (("tensorflow", "tflite-runtime", "ai-edge-litert"), "ai_edge_litert"),
        (("tensorflow", "tflite-runtime"), "tflite_runtime"),
        (("tensorflow-cpu",), "tensorflow"),
    ],
)
def test_the_default_runtime_is_the_first_installed(monkeypatch, distributions, first):
    monkeypatch.setattr(runtime, "installed", only(*distributions))
    assert default_runtime() == first


def test_no_runtime_at_all_names_the_pip_command(monkeypatch):
    monkeypatch.setattr(runtime, "installed", only())
    with pytest.raises(TargetError, match="pip install ai-edge-litert"):
        default_runtime()
    runtime.bind.cache_clear()
    with pytest.raises(TargetError, match="pip install tflite-runtime"):
        open_session(data("dense_int8"), runtime="tflite_runtime")


def test_tflite_runtime_under_numpy_2_is_refused_before_it_is_imported(monkeypatch):
    runtime.bind.cache_clear()
    monkeypatch.setattr(np, "__version__", "2.1.0")
    monkeypatch.setattr(importlib, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    with pytest.raises(TargetError, match=r"does not work with numpy 2\.1\.0") as caught:
        open_session(data("dense_int8"), runtime="tflite_runtime")
    assert caught.value.next == "pip install 'numpy<2'"


def test_a_misspelt_runtime_names_the_nearest():
    with pytest.raises(UsageError, match="nearest: 'tflite_runtime'"):
        open_session(data("dense_int8"), runtime="tflite-runtime")


# What is refused


@each_runtime
@pytest.mark.parametrize("content", [b"", b"no flatbuffer", b"\x1c\0\0\0TFL3"], ids=["empty", "text", "header"])
def test_a_broken_file_is_the_models_fault_in_one_line(name, content, tmp_path):
    file = tmp_path / "broken.tflite"
    file.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        open_session(file, runtime=name)
    assert caught.value.found
    assert "\n" not in caught.value.found
    assert caught.value.where == str(file)


def test_what_is_missing_is_the_users_or_the_machines_fault(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        open_session(tmp_path / "none.tflite")
    with pytest.raises(UsageError, match="no signature 'train'"):
        open_session(data("dense_int8"), signature="train")
    with pytest.raises(UsageError, match="0 threads"):
        open_session(data("dense_int8"), threads=0)
    with pytest.raises(TargetError, match=r"delegate libnone\.so does not load"):
        open_session(data("dense_int8"), delegate=Delegate("libnone.so"))


def test_reasons_are_one_printable_line():
    assert one_line(ValueError("a\n  b\x1b[31mNode number 3 (ADD) failed")) == "a b [31m; Node number 3 (ADD) failed"
    assert one_line(MemoryError()) == "MemoryError"


# What the ends are


@each_runtime
def test_ends_are_told_with_type_scale_and_names(name):
    opened = session("dense_uint8", name)
    (x,), (y,) = opened.inputs, opened.outputs
    assert (x.name, x.key, x.plain_name) == ("serving_default_features:0", "features", "features")
    assert (x.shape, x.shape_signature, x.dtype) == ((1, 6), (-1, 6), "uint8")
    assert x.quantized
    assert x.scale > 0
    assert (y.scale, y.zero_point) == (1 / 256, 0)
    assert opened.signatures == ("serving_default",)


@each_runtime
def test_outputs_stand_in_the_source_models_order(name):
    opened = session("two_in_two_out_float32", name)
    assert [(spec.key, spec.shape) for spec in opened.outputs] == [("output_0", (1, 2)), ("output_1", (1, 3))]


# What it computes


@each_runtime
@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("recipe", ["int8", "uint8", "int8_float_io"])
def test_recipes_agree_with_float32_within_their_steps(name, kernels, recipe):
    reference = session("dense_float32", name).predict(FEATURES)[0]
    outputs = session(f"dense_{recipe}", name, kernels=kernels).predict(FEATURES)[0]
    assert outputs.dtype == np.float32
    assert outputs.shape == (70, 4)
    # Calibrated on a normal distribution; the few samples beyond its ends are pinned.
    assert np.median(np.abs(outputs - reference)) < 2 / 256
    assert np.mean(outputs.argmax(1) == reference.argmax(1)) > 0.95


@each_runtime
@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("integer", ["int8", "uint8"])
def test_integer_ends_equal_float_ends_to_the_bit(name, kernels, integer):
    integer_io = session(f"dense_{integer}", name, kernels=kernels)
    float_io = session("dense_int8_float_io", name, kernels=kernels)
    (codes,) = integer_io.quantize_inputs(FEATURES)
    # The float twin is fed what the codes stand for, so that no input is a tie.
    (x,) = integer_io.inputs
    twin = float_io.predict(dequantize(codes, x.scale, x.zero_point))[0]
    (raw,) = integer_io.predict_codes(codes)
    assert raw.dtype == np.dtype(integer)
    assert np.array_equal(integer_io.dequantize_outputs([raw])[0], twin)
    assert np.array_equal(integer_io.predict(FEATURES)[0], twin)


@pytest.mark.parametrize("model", ["dense_float32", "dense_int8", "two_in_two_out_int8", "tokens_int8"])
def test_runtimes_agree(model):
    litert, older = session(model, "ai_edge_litert"), session(model, "tflite_runtime")
    assert [(s.name, s.shape, s.scale) for s in litert.inputs] == [(s.name, s.shape, s.scale) for s in older.inputs]
    rng = np.random.default_rng(5)
    values = {
        spec.name: rng.integers(0, 10, (20, *spec.shape[1:]))
        if spec.dtype == "int32"
        else rng.normal(size=(20, *spec.shape[1:]))
        for spec in litert.inputs
    }
    for one, other in zip(litert.predict(values), older.predict(values), strict=True):
        step = max(spec.scale for spec in litert.outputs) or 1e-6
        assert np.abs(one - other).max() <= 2.01 * step


@each_runtime
@pytest.mark.parametrize("type_", ["INT8", "UINT8"])
def test_our_arithmetic_is_the_runtimes_own_away_from_ties_and_a_step_off_on_them(name, type_):
    zero_point = 128 if type_ == "UINT8" else -3
    values = np.random.default_rng(0).uniform(-80, 80, (500, 4)).astype(np.float32)
    ties = (np.arange(-40, 40).reshape(-1, 4) + 0.5).astype(np.float32) * 0.5
    by_operator = open_session(quantizer(type_, 0.5, zero_point), runtime=name)
    ours = open_session(dequantizer(type_, 0.5, zero_point), runtime=name)
    for array, apart in ((values, 0), (ties, 1)):
        codes = by_operator.predict_codes(array)[0].astype(int)
        assert np.abs(ours.quantize_inputs(array)[0].astype(int) - codes).max() <= apart
    codes = ours.quantize_inputs(values)[0]
    (real,) = by_operator.dequantize_outputs([codes])
    assert np.array_equal(ours.predict_codes(codes)[0], real)


@each_runtime
def test_tokens_without_a_scale_are_fed_as_they_are(name):
    opened = session("tokens_int8", name)
    ids = np.random.default_rng(0).integers(0, 10, (9, 4))
    assert not opened.inputs[0].quantized
    assert np.array_equal(opened.predict(ids)[0], opened.predict(ids.astype(np.float64))[0])
    with pytest.raises(ModelError, match=r"cannot take 0.5 at \[0, 0\]"):
        opened.predict(ids * 0 + 0.5)


@each_runtime
def test_an_inference_that_fails_is_the_models_fault(name):
    with pytest.raises(ModelError, match="gather index out of bounds"):
        session("tokens_int8", name).predict(np.full((2, 4), 99))


# Several samples


@each_runtime
@pytest.mark.parametrize("model", ["dense_float32", "dense_int8", "dense_int8_float_io"])
@pytest.mark.parametrize("batch", [7, 32, 1000])
def test_batches_answer_like_single_samples(name, model, batch):
    opened = session(model, name)
    singly = opened.predict(FEATURES)[0]
    assert opened.batch == 1
    together = opened.predict(FEATURES, batch=batch)[0]
    assert opened.batch == min(batch, len(FEATURES))
    assert np.allclose(together, singly, atol=1e-6)
    assert np.array_equal(opened.predict(FEATURES[:3])[0], singly[:3])


@each_runtime
def test_several_inputs_and_outputs_in_batches(name):
    opened = session("two_in_two_out_float32", name)
    rng = np.random.default_rng(0)
    values = {"right": rng.normal(size=(10, 2)), "left": rng.normal(size=(10, 3))}
    first, second = opened.predict(values, batch=4)
    assert (opened.batch, first.shape, second.shape) == (4, (10, 2), (10, 3))
    for one, other in zip(opened.predict(values), (first, second), strict=True):
        assert np.allclose(one, other, atol=1e-6)
    # `second` depends on the right input alone: the arrays went where their names say.
    assert np.allclose(opened.predict({**values, "left": values["left"] * 0})[1], second, atol=1e-6)


@each_runtime
def test_a_model_that_refuses_batches_is_fed_one_by_one(name):
    opened = session("fixed_reshape_float32", name)
    values = np.random.default_rng(0).normal(size=(9, 2, 3))
    outputs = opened.predict(values, batch=4)[0]
    assert opened.batch == 1
    assert np.array_equal(outputs, opened.predict(values)[0])
    assert np.allclose(outputs.sum(axis=1), 1)


@each_runtime
def test_a_model_fixed_to_a_batch_is_fed_that_many(name):
    opened = open_session(fixed_batch_of_four(), runtime=name)
    values = np.arange(18, dtype=np.float32).reshape(9, 2)
    assert np.array_equal(opened.predict(values)[0], values)
    assert opened.batch == 4


@each_runtime
def test_state_does_not_leak_from_sample_to_sample(name):
    opened = open_session(running_sum(), runtime=name)
    ones = np.ones((3, 2, 1), np.float32)
    assert opened.predict(ones, batch=3)[0].ravel().tolist() == [1, 2, 1, 2, 1, 2]
    assert opened.batch == 1
    # A bare inference keeps it, as an application's would; `reset` is there for it.
    opened.reset()
    assert [opened.invoke([ones[:1]])[0].ravel().tolist() for _ in range(2)] == [[1, 2], [3, 4]]


@each_runtime
@pytest.mark.parametrize(("shape", "samples"), [((), (5,)), ((3,), (5, 3)), ((1, 2), (5, 2)), ((4, 2), (5, 2))])
def test_shapes_with_and_without_a_batch(name, shape, samples):
    values = np.arange(np.prod(samples), dtype=np.float32).reshape(samples)
    outputs = open_session(identity_like("NEG", shape), runtime=name).predict(values)[0]
    assert np.array_equal(outputs, -values)


@each_runtime
def test_open_dimensions_are_fed_as_they_come(name):
    opened = open_session(identity_like("NEG", (1, 1, 2), (-1, -1, 2)), runtime=name)
    for length in (5, 2, 5):
        values = np.random.default_rng(length).normal(size=(6, length, 2)).astype(np.float32)
        assert np.array_equal(opened.predict(values, batch=4)[0], -values)
        assert opened.batch == 4


@each_runtime
def test_outputs_that_change_their_shape_are_refused_not_stretched(name):
    opened = open_session(positives(), runtime=name)
    assert opened.predict(np.array([[1, 0, 0], [0, 0, 1]]))[0].tolist() == [[0, 0], [0, 2]]
    with pytest.raises(ModelError, match=r"shape \[1, 2\] came out as \[2, 2\] for another sample"):
        opened.predict(np.array([[1, 0, 0], [0, 1, 1]]))


@each_runtime
def test_more_samples_than_a_block_holds(name):
    opened = open_session(identity_like("NEG", (1, 1 << 16)), runtime=name)
    values = np.random.default_rng(0).normal(size=(9, 1 << 16)).astype(np.float32)
    assert np.array_equal(opened.predict(values)[0], -values)


def test_codes_of_another_type_are_refused():
    with pytest.raises(ModelError, match="is int8, not float32"):
        session("dense_int8", "ai_edge_litert").predict_codes(FEATURES)


# Step by step


@each_runtime
def test_the_steps_make_up_predict(name):
    opened = session("dense_int8", name)
    opened.feed(opened.quantize_inputs(FEATURES[4:5]))
    opened.run()
    held = opened.fetch()
    opened.run()  # what was fetched is a copy: nothing of the runtime's is held on to
    assert np.array_equal(opened.dequantize_outputs(held)[0], opened.predict(FEATURES)[0][4:5])


@each_runtime
def test_a_bare_inference_after_batches(name):
    opened = session("dense_int8", name)
    together = opened.predict(FEATURES, batch=32)[0]
    raw = opened.invoke(opened.quantize_inputs(FEATURES[:1]))
    assert np.array_equal(opened.dequantize_outputs(raw)[0], together[:1])
    with pytest.raises(ModelError, match=r"of shape \[-1, 6\] and cannot take \[1, 5\]"):
        opened.invoke([np.zeros((1, 5), np.int8)])
    assert np.array_equal(opened.predict(FEATURES, batch=32)[0], together)


@each_runtime
@pytest.mark.parametrize("kernels", KERNELS)
def test_inner_tensors_can_be_kept(name, kernels):
    opened = session("dense_float32", name, kernels=kernels, preserve_all_tensors=True)
    outputs = opened.invoke([FEATURES[:1]])[0]
    (logits,) = [spec for spec in opened.tensors() if spec.index == opened.outputs[0].index - 1]
    exponents = np.exp(opened.fetch_tensor(logits.index))
    assert np.allclose(exponents / exponents.sum(), outputs, atol=1e-6)


@each_runtime
@pytest.mark.parametrize("kernels", KERNELS)
def test_inner_tensors_are_kept_where_an_operator_may_overwrite_them(name, kernels):
    opened = open_session(overwritten(), runtime=name, kernels=kernels, preserve_all_tensors=True)
    x = np.array([[-3, -1, 1, 3]], np.float32)
    for samples in (x, np.repeat(x, 2, axis=0)):  # allocated anew for the larger batch
        (found,) = opened.predict(samples, batch=len(samples))
        assert np.array_equal(found, np.abs(3 - 2 * samples))
        for index, expected in ((3, -samples), (4, -2 * samples), (5, 3 - 2 * samples)):
            assert np.array_equal(opened.fetch_tensor(index), expected), f"tensor {index}"


@each_runtime
def test_keeping_inner_tensors_changes_neither_ends_nor_state(name):
    for model in (data("two_signatures_float32"), data("dense_int8"), running_sum()):
        plain, keeping = (open_session(model, runtime=name, preserve_all_tensors=keep) for keep in (False, True))
        assert (keeping.inputs, keeping.outputs, keeping.signatures) == (plain.inputs, plain.outputs, plain.signatures)
        values = {spec.plain_name: np.ones((3, *spec.shape[1:]), np.float32) for spec in plain.inputs}
        for ours, theirs in zip(keeping.predict(values), plain.predict(values), strict=True):
            assert np.array_equal(ours, theirs)


@each_runtime
@pytest.mark.parametrize(("signature", "factor"), [(None, 0.5), ("halve", 0.5), ("twice", 2.0)])
def test_each_signature_can_be_run(name, signature, factor):
    opened = session("two_signatures_float32", name, signature=signature)
    assert opened.signatures == ("halve", "twice")
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    for batch in (1, 2):
        assert np.array_equal(opened.predict({"x": values}, batch=batch)[0], values * factor)
        assert opened.batch == batch


@pytest.mark.slow
@pytest.mark.parametrize("model", ["dense_float32", "dense_int8", "dense_uint8", "dense_int8_float_io"])
def test_tensorflows_own_interpreter_agrees(model):
    ours, litert = session(model, "tensorflow"), session(model, "ai_edge_litert")
    assert ours.runtime.startswith("tensorflow ")
    assert ours.inputs == litert.inputs
    assert np.allclose(ours.predict(FEATURES, batch=8)[0], litert.predict(FEATURES)[0], atol=2 / 256)
    assert np.array_equal(
        session(model, "tensorflow", kernels="reference").predict(FEATURES)[0],
        session(model, "ai_edge_litert", kernels="reference").predict(FEATURES)[0],
    )


def test_tflite_runtime_after_tensorflow_is_refused_with_the_reason():
    """In a process of its own, as the order of imports is what it is about; no TensorFlow needed to stand in for it."""
    code = (
        "import sys, types; sys.modules['tensorflow'] = types.ModuleType('tensorflow')\n"
        "from liteproof.errors import TargetError\n"
        "from liteproof.measure.runtime import bind\n"
        "try: bind('tflite_runtime')\n"
        "except TargetError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "loaded TensorFlow before it" in done.stdout


# Sizes that the file leaves open

IMAGES = np.random.default_rng(4).uniform(size=(12, 11, 9, 3)).astype(np.float32)


@each_runtime
@pytest.mark.parametrize("kernels", KERNELS)
def test_open_sizes_are_those_of_the_samples(name, kernels):
    opened = open_session(fully_convolutional(), runtime=name, kernels=kernels)
    assert opened.inputs[0].shape_signature == (-1, -1, -1, 3)
    (means,) = opened.predict(IMAGES)
    assert means.shape == (12, 3)
    assert means.min() >= 0
    assert means.std() > 0
    np.testing.assert_allclose(opened.predict(IMAGES, batch=4)[0], means, rtol=1e-5)
    assert opened.batch == 4
    # The means of an image's part are another matter than those of the whole, and asked of the same session.
    (of_a_part,) = opened.predict(IMAGES[:, :7, :7])
    assert of_a_part.shape == (12, 3)
    assert not np.allclose(of_a_part, means)


@each_runtime
def test_samples_that_open_sizes_cannot_be_are_refused_and_the_session_lives_on(name):
    opened = open_session(fully_convolutional(), runtime=name)
    with pytest.raises(ModelError, match=rf"does not take inputs of shape \[1, 2, 2, 3\] on {name}"):
        opened.predict(IMAGES[:, :2, :2])
    with pytest.raises(ModelError, match=r"is of shape \[-1, -1, -1, 3\] and cannot take samples of shape \[9, 9, 4\]"):
        opened.predict(np.zeros((2, 9, 9, 4), np.float32))
    assert opened.predict(IMAGES)[0].shape == (12, 3)


@each_runtime
def test_what_a_file_of_open_sizes_hands_over_shows_once_it_is_fed(name):
    opened = open_session(fully_convolutional(), runtime=name)
    opened.predict(IMAGES[:1])
    assert opened.hands_over


@each_runtime
def test_inner_tensors_of_open_sizes_can_be_read(name):
    opened = open_session(fully_convolutional(), runtime=name, kernels="builtin", preserve_all_tensors=True)
    opened.predict(IMAGES[:1])
    assert opened.fetch_tensor(3).shape == (1, 3, 2, 3)


def test_where_operators_have_no_readable_name_a_delegate_may_have_some(monkeypatch):
    """A flipped bit in an operator's name: the runtime raises an error on listing what it has loaded."""

    class Unnamed:
        def _get_ops_details(self):
            return b"\xff".decode()

    session = open_session(data("dense_int8"))
    monkeypatch.setattr(session, "_graph", dataclasses.replace(session._graph, interpreter=Unnamed()))
    assert session.hands_over
