from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteproof.tflite.arithmetic import code_dtype, dequantize, quantize, type_range
from tests.tflite.build import OperatorSpec, TensorSpec, build

# Scales and zero points as converters choose them: an image's 1/255, a softmax's 1/256, an odd one, int16's.
PARAMETERS = [
    ("INT8", 1 / 255, -128),
    ("INT8", 0.0235294122, -7),
    ("UINT8", 1 / 256, 0),
    ("UINT8", 0.137, 131),
    ("INT16", 3.1e-5, 0),
]
QUANTIZABLE = st.sampled_from(["INT2", "INT4", "UINT4", "INT8", "UINT8", "INT16", "INT32"])

Run = Callable[[bytes, np.ndarray], np.ndarray]


@pytest.fixture(params=["ai_edge_litert", "tflite_runtime", pytest.param("tensorflow.lite", marks=pytest.mark.slow)])
def run(request) -> Run:
    """Runs a one-input, one-output file on a runtime."""
    if request.param == "tensorflow.lite":
        runtime = pytest.importorskip("tensorflow").lite
    else:
        pytest.importorskip(request.param)
        runtime = importlib.import_module(f"{request.param}.interpreter")

    def run_file(file: bytes, values: np.ndarray) -> np.ndarray:
        interpreter = runtime.Interpreter(model_content=file)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run_file


def all_codes(tensor_type: str) -> np.ndarray:
    low, high = type_range(tensor_type)
    return np.arange(low, high + 1).astype(code_dtype(tensor_type))


def conversion(operator: str, shape: tuple[int, ...], tensor_type: str, scale: float, zero_point: int) -> bytes:
    real = TensorSpec("real", shape)
    coded = TensorSpec("coded", shape, tensor_type, scales=(scale,), zero_points=(zero_point,))
    tensors = [real, coded] if operator == "QUANTIZE" else [coded, real]
    return build(tensors, [OperatorSpec(operator, (0,), (1,), version=3 if tensor_type == "INT16" else 2)])


@pytest.mark.parametrize(("tensor_type", "scale", "zero_point"), PARAMETERS)
def test_dequantize_equals_the_runtime_for_every_code(run, tensor_type, scale, zero_point):
    codes = all_codes(tensor_type)
    theirs = run(conversion("DEQUANTIZE", codes.shape, tensor_type, scale, zero_point), codes)
    np.testing.assert_array_equal(dequantize(codes, scale, zero_point), theirs)


@pytest.mark.parametrize(("tensor_type", "scale", "zero_point"), PARAMETERS)
def test_quantize_equals_the_runtime_away_from_ties(run, tensor_type, scale, zero_point):
    low, high = type_range(tensor_type)
    beyond = 1.1 * scale * (high - low)
    random = np.random.default_rng(7).uniform(-beyond, beyond, 5000)
    ties = (np.arange(low, high) + 0.5 - zero_point) * scale
    values = np.concatenate([random, ties]).astype(np.float32)

    theirs = run(conversion("QUANTIZE", values.shape, tensor_type, scale, zero_point), values).astype(np.int64)
    apart = np.abs(theirs - quantize(values, scale, zero_point, tensor_type))

    quotient = values.astype(np.float64) / np.float32(scale)
    # Runtimes divide or multiply by 1 / scale, in float32: some units in the last place decide next to a tie.
    tie = np.abs(quotient % 1.0 - 0.5) <= 4 * np.spacing(np.abs(quotient).astype(np.float32))
    assert tie.sum() >= high - low
    assert apart[~tie].max() == 0
    assert apart[tie].max() <= 1


@pytest.mark.parametrize(
    ("tensor_type", "expected"),
    [("INT2", (-2, 1)), ("INT4", (-8, 7)), ("UINT4", (0, 15)), ("INT8", (-128, 127)), (np.uint8, (0, 255)),
     (np.dtype("int16"), (-32768, 32767)), ("INT64", (-(2**63), 2**63 - 1))],
)  # fmt: skip
def test_type_range(tensor_type, expected):
    assert type_range(tensor_type) == expected


def test_types_without_codes_are_refused():
    with pytest.raises(ValueError, match="FLOAT32 carries no codes"):
        type_range("FLOAT32")


@pytest.mark.parametrize(
    ("tensor_type", "dtype"),
    [
        ("INT4", "int8"),
        ("INT2", "int8"),
        ("UINT4", "uint8"),
        ("UINT16", "uint16"),
        ("INT32", "int32"),
        ("INT64", "int64"),
    ],
)
def test_code_dtype(tensor_type, dtype):
    assert code_dtype(tensor_type) == dtype


def test_ties_go_to_the_even_code():
    assert quantize([0.5, 1.5, 2.5, -0.5, -1.5], 1.0, 0, "INT8").tolist() == [0, 2, 2, 0, -2]


def test_values_beyond_the_range_are_pinned_to_its_ends():
    far = [1e30, -1e30, np.inf, -np.inf, 3.4e38]
    assert quantize(far, 1e-3, 5, "INT8").tolist() == [127, -128, 127, -128, 127]
    assert quantize(far[:2], 1e-3, 5, "INT32").tolist() == [2**31 - 1, -(2**31)]
    assert quantize(far[:2], 1e-3, 0, "INT64").tolist() == [2**63 - 1024, -(2**63)]


def test_long_codes_keep_their_precision():
    # 2**30 + 1 steps: float32 cannot tell it from 2**30.
    value, scale = (2**30 + 1) * 2.0**-20, 2.0**-20
    assert quantize(value, scale, 0, "INT32") == 2**30 + 1
    assert dequantize(np.int32(2**24 + 1), 2.0**-10, 0) == np.float32((2**24 + 1) * 2.0**-10)


@given(
    QUANTIZABLE,
    st.floats(2.0**-20, 1e3, width=32),
    st.integers(-8, 7),
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20),
)
def test_a_round_trip_stays_within_half_a_step_unless_pinned(tensor_type, scale, zero_point, values):
    low, high = type_range(tensor_type)
    codes = quantize(values, scale, zero_point, tensor_type)
    assert codes.min() >= low
    assert codes.max() <= high
    exact = np.asarray(values, np.float64)
    steps = exact / scale
    inside = (steps > low - zero_point) & (steps < high - zero_point)
    error = np.abs(dequantize(codes, scale, zero_point) - exact)
    # float32's own rounding comes on top: of the quotient, and of the product.
    allowed = 0.5 * scale * (1 + 1e-6) + np.spacing(np.abs(exact).astype(np.float32)) * 2
    assert (error[inside] <= allowed[inside]).all()
    assert (codes[steps > high - zero_point + 1] == high).all()
    assert (codes[steps < low - zero_point - 1] == low).all()


@given(QUANTIZABLE, st.integers(0, 2**32 - 1), st.floats(2.0**-20, 10.0, width=32))
def test_codes_survive_the_round_trip(tensor_type, seed, scale):
    low, high = type_range(tensor_type)
    # float32 tells 24 bits apart.
    codes = (
        np.random.default_rng(seed).integers(max(low, -(2**23)), min(high, 2**23), 50).astype(code_dtype(tensor_type))
    )
    np.testing.assert_array_equal(quantize(dequantize(codes, scale, 0), scale, 0, tensor_type), codes)


def test_per_axis_is_each_slice_by_itself():
    values = np.random.default_rng(1).normal(size=(3, 2, 4)).astype(np.float32)
    scales, zero_points = [0.01, 0.02, 0.03, 0.5], [0, 1, -2, 3]
    codes = quantize(values, scales, zero_points, "INT8", axis=2)
    real = dequantize(codes, scales, zero_points, axis=2)
    for i, (scale, zero_point) in enumerate(zip(scales, zero_points, strict=True)):
        np.testing.assert_array_equal(codes[..., i], quantize(values[..., i], scale, zero_point, "INT8"))
        np.testing.assert_array_equal(real[..., i], dequantize(codes[..., i], scale, zero_point))


@pytest.mark.parametrize(
    ("values", "scale", "zero_point", "axis", "found"),
    [
        ([1.0, np.nan], 1.0, 0, None, "1 of 2 values are NaN"),
        ([1.0], 0.0, 0, None, "not quantized"),
        ([1.0], -1.0, 0, None, "positive"),
        ([1.0], np.inf, 0, None, "finite"),
        ([1.0, 2.0, 3.0], [1.0, 1.0], [0, 0], 0, "do not fit shape"),
        ([1.0, 2.0], [1.0, 1.0], [0, 0], None, "do not fit shape"),
        ([1.0, 2.0], [1.0, 1.0], 0, 0, "2 scales and 1 zero points"),
    ],
)
def test_what_has_no_codes_is_refused(values, scale, zero_point, axis, found):
    with pytest.raises(ValueError, match=found):
        quantize(values, scale, zero_point, "INT8", axis)


def test_dequantize_refuses_floats_and_scale_zero():
    with pytest.raises(ValueError, match="codes are integers"):
        dequantize(np.ones(2, np.float32), 1.0, 0)
    with pytest.raises(ValueError, match="not quantized"):
        dequantize(np.ones(2, np.int8), 0.0, 0)


def test_arguments_are_left_alone():
    codes = np.array([1, 2], np.int8)
    dequantize(codes, 0.5, 0)
    assert codes.tolist() == [1, 2]
    values = np.array([1.0, 2.0], np.float32)
    quantize(values, 0.5, 0, "INT8")
    assert values.tolist() == [1.0, 2.0]
