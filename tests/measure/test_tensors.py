import doctest

import numpy as np
import pytest

from liteproof.errors import ModelError
from liteproof.measure import tensors
from liteproof.measure.tensors import TensorSpec, decode, encode, in_source_order, match

CODES = TensorSpec("x", shape=(1, 3), dtype="int8", scales=(0.5,), zero_points=(-1,))
TOKENS = TensorSpec("ids", shape=(1, 3), dtype="int32")
FLOATS = TensorSpec("x", shape=(1, 3), dtype="float32")


def test_examples_run():
    assert doctest.testmod(tensors).failed == 0


def test_codes_saturate_and_round_half_to_even():
    assert encode(CODES, np.array([[0.25, 0.75, 99.0]])).tolist() == [[-1, 1, 127]]


@pytest.mark.parametrize("value", [1.5, np.nan, np.inf, 2.0**31, -(2.0**40)])
def test_a_value_that_an_unscaled_integer_cannot_hold_is_refused_with_its_place(value):
    with pytest.raises(ModelError, match=r"'ids' is int32 without a scale and cannot take \S+ at \[0, 2\]"):
        encode(TOKENS, np.array([[1.0, 2.0, value]]))


def test_an_unscaled_integer_takes_what_it_represents_exactly():
    codes = encode(TOKENS, np.array([[1.0, -2.0, 2.0**31 - 1]]))
    assert codes.dtype == np.int32
    assert codes.tolist() == [[1, -2, 2**31 - 1]]


def test_integers_outside_the_type_are_refused_not_wrapped():
    with pytest.raises(ModelError, match=r"cannot take 256 at \[1\]"):
        encode(TensorSpec("x", (2,), "uint8"), np.array([255, 256]))


def test_a_scale_of_zero_is_no_scale():
    spec = TensorSpec("x", (1,), "int8", scales=(0.0,), zero_points=(0,))
    assert not spec.quantized
    assert encode(spec, np.array([3.0])).tolist() == [3]
    assert decode(spec, np.array([3], np.int8)).tolist() == [3.0]


def test_floats_are_rounded_but_never_to_infinity():
    assert encode(FLOATS, np.array([0.1])).tolist() == [np.float32(0.1)]
    assert np.isnan(encode(FLOATS, np.array([np.nan]))).all()
    with pytest.raises(ModelError, match="1e\\+300"):
        encode(FLOATS, np.array([1e300]))


def test_nan_has_no_code():
    with pytest.raises(ModelError, match="NaN") as caught:
        encode(CODES, np.array([[0.0, np.nan, 0.0]]))
    assert caught.value.where == "nan at [0, 1]"


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(ModelError, match="cannot take <U1"):
        encode(FLOATS, np.array(["a"]))
    with pytest.raises(ModelError, match="string tensor"):
        encode(TensorSpec("text", (1,), "bytes"), np.array([1.0]))


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_scales_that_are_no_numbers_are_refused_at_both_ends(scale):
    spec = TensorSpec("x", (1,), "int8", scales=(scale,), zero_points=(0,))
    with pytest.raises(ModelError, match="scale"):
        encode(spec, np.array([1.0]))
    with pytest.raises(ModelError, match="scale"):
        decode(spec, np.array([1], np.int8))


def test_scales_by_axis():
    spec = TensorSpec("x", (1, 2), "int8", scales=(0.5, 2.0), zero_points=(0, 1), axis=1)
    assert encode(spec, np.array([[1.0, 4.0], [2.0, 8.0]])).tolist() == [[2, 3], [4, 5]]
    assert decode(spec, np.array([[2, 3]], np.int8)).tolist() == [[1.0, 4.0]]
    assert (spec.scale, spec.zero_point) == (0.0, 0)


LEFT = TensorSpec("serving_default_left:0", (1, 3), "float32", key="a", index=4)
RIGHT = TensorSpec("serving_default_right:0", (1, 2), "float32", key="b", index=1)


@pytest.mark.parametrize("names", [("a", "b"), ("left", "right"), ("serving_default_left:0", "b")])
def test_inputs_go_by_any_of_their_names(names):
    left, right = np.zeros((5, 3)), np.zeros((5, 2))
    assert [a.shape for a in match([LEFT, RIGHT], {names[1]: right, names[0]: left})] == [(5, 3), (5, 2)]


@pytest.mark.parametrize("names", [["left"], ["left", "rigth"], ["left", "right", "third"], ["left", "a"]])
def test_names_that_do_not_fit_one_to_one_are_refused_and_all_are_listed(names):
    with pytest.raises(ModelError) as caught:
        match([LEFT, RIGHT], dict.fromkeys(names, np.zeros((1, 3))))
    assert all(repr(name) in caught.value.found for name in names)
    assert "'a' (tensor 'serving_default_left:0'), 'b' (tensor" in caught.value.expected


def test_several_inputs_need_names():
    with pytest.raises(ModelError, match="one array without a name for a model with 2 inputs"):
        match([LEFT, RIGHT], np.zeros((1, 3)))


def test_outputs_stand_in_the_source_models_order_by_number_not_by_letter():
    specs = [TensorSpec(f"t{i}", (1,), "float32", key=f"output_{i}") for i in (10, 2, 0, 1)]
    assert [spec.key for spec in in_source_order(specs)] == ["output_0", "output_1", "output_2", "output_10"]
    unnamed = [TensorSpec(name, (1,), "float32", key=name) for name in ("mask", "box")]
    assert [spec.key for spec in in_source_order(unnamed)] == ["mask", "box"]
