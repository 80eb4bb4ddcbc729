from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteproof.errors import ModelError, UsageError
from liteproof.tflite.facts import facts
from liteproof.tflite.reader import Model, read_model, unpack
from tests.tflite.build import OperatorSpec, TensorSpec, build, bytes_of, conv_options

CONV = OperatorSpec("CONV_2D", (0, 1, 2), (3,), version=3, options=conv_options)


def small_conv(**settings: object) -> bytes:
    """An int8 CONV_2D of two filters."""
    tensors = [
        TensorSpec("image", (1, 4, 4, 1), "INT8", scales=(0.5,), zero_points=(-128,), signature=(-1, 4, 4, 1)),
        TensorSpec("w", (2, 1, 1, 1), "INT8", bytes_of(-127, 3, dtype=np.int8), (0.1, 0.2), (0, 0), axis=0),
        TensorSpec("b", (2,), "INT32", bytes_of(5, -6, dtype=np.int32), (0.05, 0.1), (0, 0), axis=0),
        TensorSpec("out", (1, 2, 2, 2), "INT8", scales=(0.25,), zero_points=(7,)),
    ]
    return build(tensors, [CONV], **settings)  # type: ignore[arg-type]


def one_constant(spec: TensorSpec, *, outside: bool = False) -> Model:
    return read_model(build([TensorSpec("x", (1,)), spec], [OperatorSpec("ADD", (0, 1), (0,))], outside=outside))


def constant_of(spec: TensorSpec, *, outside: bool = False) -> np.ndarray | None:
    model = one_constant(spec, outside=outside)
    return model.constant(model.subgraphs[0].tensors[1])


def test_a_graph_is_read_whole():
    model = read_model(small_conv(metadata={"min_runtime_version": b"2.17.0\0\0"}))
    (graph,) = model.subgraphs
    assert (model.version, model.description, graph.name) == (3, "made by a test", "main")
    assert (graph.inputs, graph.outputs) == ((0,), (3,))
    (conv,) = graph.operators
    assert (conv.name, conv.version, conv.inputs, conv.outputs, conv.custom) == ("CONV_2D", 3, (0, 1, 2), (3,), False)
    assert conv.options["fused_activation_function"] == "RELU6"
    assert (conv.options["padding"], conv.options["stride_h"]) == ("VALID", 2)
    image, weights = graph.tensors[:2]
    assert (image.shape, image.shape_signature, image.type) == ((1, 4, 4, 1), (-1, 4, 4, 1), "INT8")
    assert (image.quantization.kind, image.quantization.zero_points.tolist()) == ("per_tensor", [-128])
    assert weights.quantization.kind == "per_axis"
    np.testing.assert_array_equal(weights.quantization.scales, np.array([0.1, 0.2], np.float32))
    (signature,) = model.signatures
    assert (signature.key, signature.inputs, signature.outputs) == ("serving_default", {"in_0": 0}, {"out_0": 3})
    assert bytes(model.buffer_data(model.metadata["min_runtime_version"])) == b"2.17.0\0\0"


def test_a_file_is_mapped_and_constants_are_views_of_it(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(small_conv())
    model = read_model(path)
    weights = model.constant(model.subgraphs[0].tensors[1])
    assert weights.tolist() == [[[[-127]]], [[[3]]]]
    assert not weights.flags.owndata
    assert not weights.flags.writeable
    assert model.bytes == path.stat().st_size


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize(
    ("type_name", "dtype"), [("FLOAT32", "<f4"), ("FLOAT16", "<f2"), ("INT64", "<i8"), ("UINT8", "u1"), ("BOOL", "?")]
)
def test_constants_of_numpy_types(type_name, dtype, outside):
    values = np.array([[1, 0, 1]], dtype)
    found = constant_of(TensorSpec("c", (1, 3), type_name, values.tobytes()), outside=outside)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_buffers_outside_the_tables_are_found():
    model = one_constant(TensorSpec("c", (2,), data=bytes_of(1.5, 2.5)), outside=True)
    (buffer,) = [b for b in model.buffers if b.size]
    assert (buffer.outside, buffer.offset + buffer.size) == (True, model.bytes)
    assert facts(model).parameters == 2


def test_four_bit_codes_come_low_nibble_first_and_signed():
    found = constant_of(TensorSpec("c", (5,), "INT4", bytes([0x21, 0xF8, 0x07]), (0.1,), (0,)))
    assert found.dtype == np.int8
    assert found.tolist() == [1, 2, -8, -1, 7]


def test_two_bit_and_unsigned_codes():
    assert constant_of(TensorSpec("c", (4,), "INT2", bytes([0b11_10_01_00]))).tolist() == [0, 1, -2, -1]
    assert constant_of(TensorSpec("c", (2,), "UINT4", bytes([0xF8]))).tolist() == [8, 15]


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=33))
def test_unpacking_inverts_packing(codes):
    padded = [*codes, 0] if len(codes) % 2 else codes
    raw = np.array(
        [(low & 15) | (high & 15) << 4 for low, high in zip(padded[::2], padded[1::2], strict=True)], np.uint8
    )
    assert unpack(raw, len(codes), 4, signed=True).tolist() == codes


def test_bfloat16_widens_exactly():
    raw = np.array([1.5, -3.0], np.float32).view(np.uint32) >> 16
    assert constant_of(TensorSpec("c", (2,), "BFLOAT16", raw.astype("<u2").tobytes())).tolist() == [1.5, -3.0]


def test_types_that_numpy_lacks_come_as_raw_bytes():
    found = constant_of(TensorSpec("c", (7,), "STRING", b"raw"))
    assert found.tobytes() == b"raw"
    model = one_constant(TensorSpec("c", (3,), 23, b"raw"))
    assert model.subgraphs[0].tensors[1].type == "TYPE_23"


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("computed", (2,)),
        TensorSpec("state", (1,), data=bytes_of(1.0), is_variable=True),
        TensorSpec("pruned", (9,), data=bytes_of(1.0), sparse=True),
    ],
)
def test_tensors_without_plain_values_have_no_constant(spec):
    assert constant_of(spec) is None


def test_blockwise_quantization_is_told_apart():
    spec = TensorSpec("c", (2,), "INT4", bytes([0x21]), block_size=32, scale_tensor=1)
    quantization = one_constant(spec).subgraphs[0].tensors[1].quantization
    assert (quantization.kind, quantization.block_size, quantization.scale_tensor) == ("blockwise", 32, 1)


def test_zero_points_left_out_mean_zero():
    spec = TensorSpec("c", (2,), "INT8", b"ab", (0.5, 0.25), (), axis=0)
    assert one_constant(spec).subgraphs[0].tensors[1].quantization.zero_points.tolist() == [0, 0]


def test_operator_code_without_the_old_field_is_read_from_the_new_one():
    # LiteRT Quantizer writes only the new field; read by the schema package's accessor its DEQUANTIZE would be an ADD.
    tensors = [TensorSpec("x", (1,), "INT8", scales=(1.0,), zero_points=(0,)), TensorSpec("y", (1,))]
    model = read_model(build(tensors, [OperatorSpec("DEQUANTIZE", (0,), (1,), litert_quantizer_code=True)]))
    assert model.subgraphs[0].operators[0].name == "DEQUANTIZE"


def test_operators_beyond_127_and_custom_ones():
    tensors = [TensorSpec("x", (1,)), TensorSpec("y", (1,))]
    operators = [OperatorSpec("GELU", (0, -1), (1,)), OperatorSpec("FlexErf", (1,), (1,), custom=True)]
    gelu, erf = read_model(build(tensors, operators)).subgraphs[0].operators
    assert (gelu.name, gelu.inputs, gelu.custom) == ("GELU", (0, -1), False)
    assert (erf.name, erf.custom) == ("FlexErf", True)


def test_names_are_made_safe_to_print():
    name = one_constant(TensorSpec(b"a\x1b[31m\xff\nb", (1,), data=bytes_of(1.0))).subgraphs[0].tensors[1].name
    assert name == r"a\x1b[31m\xff\nb"


# Damage. Every way to break a file ends in one ModelError: no traceback, no hang, no large allocation.


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "the file is empty"),
        (b"\x1c\0\0\0TFL2" + bytes(64), "bytes 4 to 8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(64), "a zip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"TFL3", "bytes 4 to 8"),
        (b"\x08\0\0\0TFL3", "damaged"),
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "damaged"),
    ],
)
def test_what_is_no_model_is_named(content, found, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError) as error:
        read_model(path)
    assert found in error.value.found
    assert error.value.where == str(path)
    assert error.value.next


def test_a_missing_file_is_the_request_at_fault(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        read_model(tmp_path / "nowhere.tflite")
    with pytest.raises(UsageError):
        read_model(tmp_path)


@pytest.mark.parametrize("outside", [False, True])
def test_every_truncation_is_refused(outside):
    content = small_conv(outside=outside)
    # Zeros at the very end are a string's end and padding; without the former it is refused, the latter is no loss.
    stop = len(content.rstrip(b"\0")) + (content[-1] == 0)
    for length in range(stop):
        with pytest.raises(ModelError):
            read_model(content[:length])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_overwritten_bytes_give_a_model_or_a_model_error(data):
    content = bytearray(small_conv(metadata={"min_runtime_version": b"1.5.0"}))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(8, len(content) - 4))
        content[at : at + 4] = data.draw(
            st.sampled_from([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", bytes(4)])
            | st.binary(min_size=4, max_size=4)
        )
    # Anything else that is raised fails the test.
    with contextlib.suppress(ModelError):
        model = read_model(bytes(content))
        facts(model)
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                model.constant(tensor)


def test_tables_that_repeat_each_other_are_bounded():
    # 50,000 references of 4 bytes to one graph: each declares more work than the file has bytes.
    content = small_conv(subgraphs=50_000)
    with pytest.raises(ModelError, match="more bytes than the file has"):
        read_model(content)


@pytest.mark.parametrize(
    ("operator", "found"),
    [
        (OperatorSpec("ADD", (0, 9), (1,)), "names a tensor that is not there"),
        (OperatorSpec("ADD", (-2,), (1,)), "names a tensor that is not there"),
    ],
)
def test_references_must_lead_somewhere(operator, found):
    with pytest.raises(ModelError, match=found):
        read_model(build([TensorSpec("x", (1,)), TensorSpec("y", (1,))], [operator]))


def test_a_graph_input_must_be_a_tensor():
    with pytest.raises(ModelError, match="are not among its 1 tensors"):
        read_model(build([TensorSpec("x", (1,))], [], inputs=(4,)))


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (TensorSpec("c", (2,), "INT8", b"ab", (0.1, 0.2, 0.3), (0, 0)), "3 scales and 2 zero points"),
        (TensorSpec("c", (1, 2), "INT8", b"ab", (0.1, 0.2), (0, 0), axis=4), "along dimension 4"),
    ],
)
def test_quantization_must_fit_itself(spec, found):
    with pytest.raises(ModelError, match=found):
        one_constant(spec)


@pytest.mark.parametrize("shape", [(3,), (2**31 - 1, 2**31 - 1, 2**31 - 1), (-1, -2)])
def test_a_constant_must_fit_its_shape(shape):
    with pytest.raises(ModelError, match="tensor 1 'c' holds 8 bytes"):
        constant_of(TensorSpec("c", shape, data=bytes_of(1.0, 2.0)))


def test_a_bias_quantized_along_the_dimension_of_its_weights_is_read_along_its_own():
    """As older TensorFlow Lite converters wrote it, and the models of TensorFlow Lite Micro still have it."""
    bias = TensorSpec("b", (4,), "INT32", data=bytes(16), scales=(0.1, 0.2, 0.3, 0.4), zero_points=(0,) * 4, axis=3)
    model = read_model(build([TensorSpec("x", (4,)), bias, TensorSpec("y", (4,))], [OperatorSpec("ADD", (0, 1), (2,))]))
    assert model.subgraphs[0].tensors[1].quantization.axis == 0
