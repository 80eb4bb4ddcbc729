"""The corpus: broken, strange and malicious relatives of the tiny model.

>>> made = corpus()
>>> made["empty"].content, made["empty"].same
(b'', False)
>>> made["names_html"].same
True

Each is the tiny classifier of `tests/plugin/tiny.py` with one thing wrong, or built as that classifier could be but is
not. A kind whose network is `same` may be accepted; any other that is has slipped through.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import flatbuffers
import numpy as np
import tflite as schema

from tests.plugin.tiny import WEIGHTS, fully_connected_options, network, softmax_options
from tests.tflite.build import GraphSpec, OperatorSpec, TensorSpec, build, bytes_of

Kinds = dict[str, "Kind"]


@dataclass(frozen=True)
class Kind:
    """One file: its content, the recipe that it claims, and whether it computes what the healthy one does."""

    content: bytes
    recipe: str = "float32"
    same: bool = False


def corpus() -> Kinds:
    """Every kind by name."""
    made: Kinds = {}
    for part in (
        identifiers,
        truncations,
        shapes,
        references,
        ends,
        operators,
        names,
        kinds_of_tensors,
        quantization,
        graphs,
    ):
        for name, kind in part():
            made[name] = kind if isinstance(kind, Kind) else Kind(kind)
    return made


Part = Iterator[tuple[str, bytes | Kind]]


# -- the tiny model in pieces -----------------------------------------------------------------------------------------

TENSORS = (
    TensorSpec("x", (1, 4)),
    TensorSpec("weights", (3, 4), data=WEIGHTS.tobytes()),
    TensorSpec("bias", (3,), data=bytes(12)),
    TensorSpec("logits", (1, 3)),
    TensorSpec("probabilities", (1, 3)),
)
DENSE = OperatorSpec("FULLY_CONNECTED", (0, 1, 2), (3,), options=fully_connected_options)
SOFTMAX = OperatorSpec("SOFTMAX", (3,), (4,), options=softmax_options)


def with_tensor(index: int, **changes: Any) -> bytes:
    """The tiny model with one tensor changed."""
    tensors = [replace(spec, **changes) if i == index else spec for i, spec in enumerate(TENSORS)]
    return build(tensors, [DENSE, SOFTMAX])


def with_operators(*operators: OperatorSpec, tensors: tuple[TensorSpec, ...] = TENSORS, **more: Any) -> bytes:
    """The tiny model's tensors under other operators."""
    return build(tensors, operators, **more)


def patched(content: bytes, find: Callable[[Any], Any], slot: int, value: int) -> bytes:
    """The file with one scalar of 32 bits overwritten, where the table has it."""
    table = find(schema.Model.GetRootAs(content, 0))._tab
    assert table.Offset(slot), "the table has no such field"
    at = table.Pos + table.Offset(slot)
    return content[:at] + struct.pack("<I", value) + content[at + 4 :]


def options(kind: str, **fields: float) -> Callable[[flatbuffers.Builder], tuple[int, int]]:
    """A builder of an operator's option table, of any kind and with any values."""

    def make(builder: flatbuffers.Builder) -> tuple[int, int]:
        getattr(schema, f"{kind}Start")(builder)
        for name, value in fields.items():
            getattr(schema, f"{kind}Add{name}")(builder, value)
        return getattr(schema.BuiltinOptions, kind), getattr(schema, f"{kind}End")(builder)

    return make


# -- the parts --------------------------------------------------------------------------------------------------------


def identifiers() -> Part:
    healthy = network()
    yield "empty", b""
    yield "one_byte", b"\0"
    yield "identifier_only", b"\x1c\0\0\0TFL3"
    yield "identifier_wrong", healthy[:4] + b"TFL2" + healthy[8:]
    yield "identifier_zero", healthy[:4] + bytes(4) + healthy[8:]
    yield "root_outside", b"\xff\xff\xff\x7f" + healthy[4:]
    yield "zeros", bytes(4096)
    yield "zip", b"PK\x03\x04" + bytes(256)
    yield "hdf5", b"\x89HDF\r\n\x1a\n" + bytes(256)
    yield "html", b"<!DOCTYPE html><html><script>alert(1)</script></html>"
    yield "trailing_garbage", Kind(healthy + b"\xde\xad\xbe\xef" * 64, same=True)
    yield "schema_version_99", patched(healthy, lambda model: model, 4, 99)


def truncations() -> Part:
    healthy = network()
    for at in boundaries(healthy):
        yield f"cut_at_{at:04}", healthy[:at]


def boundaries(content: bytes) -> list[int]:
    """Where a structure of the flatbuffer begins or ends: tables, their vtables, vectors and strings."""
    found = set()

    def table(accessor: Any) -> None:
        position = accessor._tab.Pos
        found.update((position, position - struct.unpack_from("<i", content, position)[0]))

    def vector(start: int, count: int, size: int) -> None:
        found.update((start - 4, start, start + count * size))

    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    tables = [model, graph, model.SignatureDefs(0)]
    tables += [graph.Tensors(i) for i in range(graph.TensorsLength())]
    tables += [graph.Operators(i) for i in range(graph.OperatorsLength())]
    tables += [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    for accessor in tables:
        table(accessor)
    for holder, slot, size in ((model, 6, 4), (model, 8, 4), (model, 12, 4), (graph, 4, 4), (graph, 10, 4)):
        tab = holder._tab
        vector(tab.Vector(tab.Offset(slot)), tab.VectorLen(tab.Offset(slot)), size)
    for i in range(model.BuffersLength()):
        table(model.Buffers(i))
        if model.Buffers(i).DataLength():
            tab = model.Buffers(i)._tab
            vector(tab.Vector(tab.Offset(4)), tab.VectorLen(tab.Offset(4)), 1)
    return sorted(at for at in found if 8 < at < len(content))


def shapes() -> Part:
    yield "input_negative", with_tensor(0, shape=(1, -4))
    yield "input_zero", with_tensor(0, shape=(0, 4))
    yield "input_scalar", with_tensor(0, shape=())
    yield "input_huge", with_tensor(0, shape=(1 << 20, 1 << 20))
    yield "input_overflow", with_tensor(0, shape=(2**31 - 1, 2**31 - 1, 2**31 - 1))
    yield "input_wider", with_tensor(0, shape=(1, 5))
    yield "input_other_rank", with_tensor(0, shape=(1, 1, 2, 2))
    yield "input_rank_200", with_tensor(0, shape=(1,) * 199 + (4,))
    yield "output_huge", with_tensor(4, shape=(1 << 16, 1 << 16))
    yield "logits_negative", with_tensor(3, shape=(-1, -3))
    yield "weights_huge", with_tensor(1, shape=(1 << 30, 4))
    yield "weights_negative", with_tensor(1, shape=(-3, 4))
    yield "weights_zero", with_tensor(1, shape=(0, 4))
    yield "weights_larger_than_their_buffer", with_tensor(1, shape=(300, 400))
    yield "weights_without_data", with_tensor(1, data=None)
    yield "bias_short", with_tensor(2, data=bytes(4))
    yield "bias_long", with_tensor(2, shape=(30,), data=bytes(120))
    yield "batch_dynamic", Kind(with_tensor(0, signature=(-1, 4)), same=True)
    yield "all_dynamic", Kind(with_tensor(0, signature=(-1, -1)), same=True)
    yield "signature_of_other_rank", Kind(with_tensor(0, signature=(-1, -1, -1)), same=True)
    # 4 GB in the arena, asked for by a few bytes.
    large = (
        TensorSpec("x", (1, 4)),
        TensorSpec("dims", (2,), "INT32", data=bytes_of(1 << 15, 1 << 15, dtype=np.int32)),
    )
    yield "arena_of_gigabytes", with_operators(
        OperatorSpec("FILL", (1, 2), (3,), options=options("FillOptions")),
        OperatorSpec("SUM", (3, 4), (5,), options=options("ReducerOptions", KeepDims=True)),
        tensors=(
            *large,
            TensorSpec("one", (), data=bytes_of(1.0)),
            TensorSpec("filled", (1 << 15, 1 << 15)),
            TensorSpec("axis", (1,), "INT32", data=bytes_of(0, dtype=np.int32)),
            TensorSpec("probabilities", (1, 1 << 15)),
        ),
    )  # fmt: skip


def references() -> Part:
    healthy = network()

    def tensor(index: int) -> Callable[[Any], Any]:
        return lambda model: model.Subgraphs(0).Tensors(index)

    yield "buffer_out_of_range", patched(healthy, tensor(1), 8, 99)
    yield "buffer_out_of_all_range", patched(healthy, tensor(1), 8, 0xFFFFFFFF)
    yield "opcode_out_of_range", patched(healthy, lambda model: model.Subgraphs(0).Operators(1), 4, 77)
    yield "operator_reads_no_tensor", with_operators(replace(DENSE, inputs=(0, 99, 2)), SOFTMAX)
    yield "operator_reads_minus_two", with_operators(replace(DENSE, inputs=(0, -2, 2)), SOFTMAX)
    yield "operator_leaves_weights_out", with_operators(replace(DENSE, inputs=(0, -1, 2)), SOFTMAX)
    yield "operator_writes_nowhere", with_operators(replace(DENSE, outputs=(99,)), SOFTMAX)
    yield "operator_writes_minus_one", with_operators(replace(DENSE, outputs=(-1,)), SOFTMAX)
    yield "operator_reads_what_it_writes", with_operators(replace(DENSE, inputs=(3, 1, 2)), SOFTMAX)
    yield "operator_reads_weights_as_samples", with_operators(replace(DENSE, inputs=(1, 1, 2)), SOFTMAX)
    yield "operators_in_a_ring", with_operators(replace(DENSE, inputs=(4, 1, 2)), SOFTMAX)
    yield "operators_backwards", with_operators(SOFTMAX, DENSE)
    yield "operator_writes_weights", with_operators(DENSE, replace(SOFTMAX, outputs=(1,)))
    yield "one_subgraph_a_thousand_times", build(TENSORS, [DENSE, SOFTMAX], subgraphs=1000)
    yield "constants_outside", Kind(build(TENSORS, [DENSE, SOFTMAX], outside=True), same=True)
    yield "constants_outside_cut", build(TENSORS, [DENSE, SOFTMAX], outside=True)[:-20]
    yield (
        "metadata_many",
        Kind(build(TENSORS, [DENSE, SOFTMAX], metadata={f"m{i}": b"x" for i in range(200)}), same=True),
    )


def ends() -> Part:
    both = [DENSE, SOFTMAX]
    yield "no_inputs", build(TENSORS, both, inputs=())
    yield "no_outputs", build(TENSORS, both, outputs=())
    yield "inputs_twice", build(TENSORS, both, inputs=(0, 0))
    yield "input_is_the_weights", build(TENSORS, both, inputs=(1,))
    yield "input_not_there", build(TENSORS, both, inputs=(55,))
    yield "output_is_the_input", build(TENSORS, both, outputs=(0,))
    yield "output_is_a_constant", build(TENSORS, both, outputs=(1,))
    yield "outputs_twice", Kind(build(TENSORS, both, outputs=(4, 4)), same=True)
    yield "outputs_swapped", build(TENSORS, both, outputs=(3, 4))
    yield "no_operators", build(TENSORS, [])
    yield "no_tensors", build([], [], inputs=(), outputs=())
    yield "no_signature", Kind(build(TENSORS, both, signatures=()), same=True)
    yield "signature_to_no_subgraph", build(TENSORS, both, signatures=[("serving_default", 9)])
    yield "several_signatures", Kind(build(TENSORS, both, signatures=[("a", 0), ("b", 0), ("c", 0)]), same=True)
    yield "signatures_of_one_name", Kind(build(TENSORS, both, signatures=[("a", 0), ("a", 0)]), same=True)


def operators() -> Part:
    yield "version_99", with_operators(replace(DENSE, version=99), SOFTMAX)
    yield "version_negative", with_operators(replace(DENSE, version=-1), SOFTMAX)
    yield "custom_operator", with_operators(replace(DENSE, name="Evil", custom=True, options=None), SOFTMAX)
    yield "custom_without_a_name", with_operators(replace(DENSE, name="", custom=True, options=None), SOFTMAX)
    yield "flex_operator", with_operators(replace(DENSE, name="FlexMatMul", custom=True, options=None), SOFTMAX)
    yield (
        "operator_unknown",
        patched(
            with_operators(replace(DENSE, name="GELU", options=None), SOFTMAX),
            lambda model: model.OperatorCodes(0),
            10,
            9999,
        ),
    )
    yield "options_missing", with_operators(replace(DENSE, options=None), replace(SOFTMAX, options=None))
    # Runtimes read the table as the operator's own, whatever it says that it is: zeros where the defaults are zero.
    another = with_operators(replace(DENSE, options=softmax_options), SOFTMAX)
    yield "options_of_another", Kind(another, same=True)
    yield "inputs_missing", with_operators(replace(DENSE, inputs=(0,)), SOFTMAX)
    yield "inputs_none", with_operators(replace(DENSE, inputs=()), SOFTMAX)
    yield "inputs_too_many", with_operators(replace(DENSE, inputs=(0, 1, 2) * 40), SOFTMAX)
    yield "outputs_none", with_operators(replace(DENSE, outputs=()), SOFTMAX)
    yield "softmax_beta_nan", with_operators(DENSE, replace(SOFTMAX, options=options("SoftmaxOptions", Beta=math.nan)))
    yield "softmax_beta_huge", with_operators(DENSE, replace(SOFTMAX, options=options("SoftmaxOptions", Beta=1e30)))
    yield (
        "activation_unknown",
        with_operators(replace(DENSE, options=options("FullyConnectedOptions", FusedActivationFunction=120)), SOFTMAX),
    )
    yield (
        "weights_format_unknown",
        with_operators(replace(DENSE, options=options("FullyConnectedOptions", WeightsFormat=9)), SOFTMAX),
    )
    image = (TensorSpec("x", (1, 4)), TensorSpec("to", (4,), "INT32", data=bytes_of(1, 2, 2, 1, dtype=np.int32)))
    pool = (*image, TensorSpec("image", (1, 2, 2, 1)), TensorSpec("probabilities", (1, 1, 1, 1)))
    for name, fields in (
        ("stride_zero", {"StrideH": 0, "StrideW": 0, "FilterHeight": 2, "FilterWidth": 2}),
        ("filter_zero", {"StrideH": 1, "StrideW": 1, "FilterHeight": 0, "FilterWidth": 0}),
        ("filter_negative", {"StrideH": 1, "StrideW": 1, "FilterHeight": -2, "FilterWidth": -2}),
        ("filter_huge", {"StrideH": 1, "StrideW": 1, "FilterHeight": 2**31 - 1, "FilterWidth": 2**31 - 1}),
    ):
        yield (
            f"pool_{name}",
            with_operators(
                OperatorSpec("RESHAPE", (0, 1), (2,)),
                OperatorSpec("AVERAGE_POOL_2D", (2,), (3,), options=options("Pool2DOptions", **fields)),
                tensors=pool,
            ),
        )
    row = TensorSpec("row", (1,), "INT32", data=bytes_of(10**6, dtype=np.int32))
    yield (
        "gather_out_of_range",
        with_operators(
            OperatorSpec("GATHER", (1, 2), (3,), options=options("GatherOptions", Axis=0)),
            tensors=(TENSORS[0], TENSORS[1], row, TensorSpec("probabilities", (1, 4))),
        ),
    )
    yield (
        "reshape_to_more",
        with_operators(
            OperatorSpec("RESHAPE", (0, 1), (2,)),
            tensors=(
                TENSORS[0],
                TensorSpec("to", (2,), "INT32", data=bytes_of(1 << 15, 1 << 15, dtype=np.int32)),
                TensorSpec("probabilities", (1, 3)),
            ),
        ),
    )


def names() -> Part:
    def named(*texts: str | bytes) -> Kind:
        tensors = [replace(spec, name=text) for spec, text in zip(TENSORS, texts, strict=True)]
        return Kind(build(tensors, [DENSE, SOFTMAX]), same=True)

    yield "names_duplicate", named("x", "x", "x", "x", "x")
    yield "names_empty", named("", "", "", "", "")
    yield "names_control", named("\x1b[2J\x1b[31mx", "w\0w", "b\r\nb", "l\bl", "\x1b]0;owned\x07p")
    yield "names_html", named("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;", "]]>", "<!--")
    yield "names_not_utf8", named(b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\x80", b"\xf8\x88\x80\x80\x80")
    yield "names_long", named("x" * 100_000, "w" * 100_000, "b", "l", "p")
    yield "names_of_paths", named("../../../../etc/passwd", "/dev/zero", "C:\\x", "~/x", "$(reboot)")
    yield "names_that_format", named("{0}", "%s%s%s%n", "${x}", "{x!r:>9999999}", "\\x41")
    yield "names_right_to_left", named("\u202ex", "\u200b", "\ufeff", "e\u0301" * 50, "🤖")


def kinds_of_tensors() -> Part:
    yield "input_string", with_tensor(0, type="STRING")
    yield "output_string", with_tensor(4, type="STRING")
    yield "weights_string", with_tensor(1, type="STRING")
    yield "input_complex", with_tensor(0, type="COMPLEX64")
    yield "input_int64", with_tensor(0, type="INT64")
    yield "input_bool", with_tensor(0, type="BOOL")
    yield "input_resource", with_tensor(0, type="RESOURCE")
    yield "input_variant", with_tensor(0, type="VARIANT")
    yield "type_unknown", with_tensor(0, type=99)
    yield "weights_type_unknown", with_tensor(1, type=99)
    yield "weights_int4", with_tensor(1, type="INT4", data=bytes(6))
    yield "weights_sparse", with_tensor(1, sparse=True)
    yield "weights_variable", with_tensor(1, is_variable=True)
    yield "input_variable", Kind(with_tensor(0, is_variable=True), same=True)
    yield "weights_nan", with_tensor(1, data=np.full((3, 4), np.nan, np.float32).tobytes())
    yield "weights_infinite", with_tensor(1, data=np.full((3, 4), np.inf, np.float32).tobytes())
    yield "bias_nan", with_tensor(2, data=np.full(3, np.nan, np.float32).tobytes())


# -- quantization -----------------------------------------------------------------------------------------------------

INPUT_SCALE, WEIGHT_SCALE = 1 / 255, 8 / 127
INT8 = (
    TensorSpec("x", (1, 4), "INT8", scales=(INPUT_SCALE,), zero_points=(-128,)),
    TensorSpec(
        "weights",
        (3, 4),
        "INT8",
        data=np.round(WEIGHTS / WEIGHT_SCALE).astype(np.int8).tobytes(),
        scales=(WEIGHT_SCALE,) * 3,
        zero_points=(0,) * 3,
    ),
    TensorSpec(
        "bias",
        (3,),
        "INT32",
        data=bytes(12),
        scales=(INPUT_SCALE * WEIGHT_SCALE,) * 3,
        zero_points=(0,) * 3,
    ),
    TensorSpec("logits", (1, 3), "INT8", scales=(8 / 255,), zero_points=(-128,)),
    TensorSpec("probabilities", (1, 3), "INT8", scales=(1 / 256,), zero_points=(-128,)),
)


def quantized(index: int = 0, **changes: Any) -> Kind:
    """The tiny model in int8, with one tensor changed."""
    tensors = [replace(spec, **changes) if i == index else spec for i, spec in enumerate(INT8)]
    return Kind(build(tensors, [replace(DENSE, version=4), replace(SOFTMAX, version=2)]), "int8", same=not changes)


def quantization() -> Part:
    yield "int8_healthy", quantized()
    for place, index in (("input", 0), ("weights", 1), ("bias", 2), ("logits", 3), ("output", 4)):
        count = len(INT8[index].scales)
        for name, value in (
            ("zero", 0.0),
            ("nan", math.nan),
            ("infinite", math.inf),
            ("negative", -1.0),
            ("denormal", 1e-45),
        ):
            yield f"{place}_scale_{name}", quantized(index, scales=(value,) * count)
        yield f"{place}_scales_too_many", quantized(index, scales=INT8[index].scales * 5)
        yield f"{place}_scales_missing", quantized(index, scales=(), zero_points=())
        yield f"{place}_zero_points_too_many", quantized(index, zero_points=(0,) * 7)
        yield (
            f"{place}_zero_points_missing",
            Kind(quantized(index, zero_points=()).content, "int8", same=index in (1, 2)),
        )
    yield "weights_scales_too_few", quantized(1, scales=(WEIGHT_SCALE,) * 2, zero_points=(0, 0))
    yield "weights_axis_outside", quantized(1, axis=7)
    yield "weights_axis_negative", quantized(1, axis=-1)
    yield "weights_axis_of_inputs", quantized(1, axis=1)
    yield "input_zero_point_outside", quantized(0, zero_points=(4000,))
    yield "input_zero_point_extreme", quantized(0, zero_points=(-(2**62),))
    yield "blocks_of_zero_scales", quantized(1, type="INT4", data=bytes(6), scales=(), block_size=2, scale_tensor=99)
    yield "blocks_of_no_elements", quantized(1, type="INT4", data=bytes(6), scales=(), block_size=-1, scale_tensor=2)


# -- state and control flow -------------------------------------------------------------------------------------------


def graphs() -> Part:
    yield "state_svdf", _svdf()
    yield "state_lstm", _lstm()
    yield "state_not_marked", _svdf(is_variable=False)
    for name, fields, same in (
        ("healthy", {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 2}, True),
        ("missing_branch", {"ThenSubgraphIndex": 7, "ElseSubgraphIndex": 8}, False),
        ("negative_branch", {"ThenSubgraphIndex": -1, "ElseSubgraphIndex": -1}, False),
        ("of_itself", {"ThenSubgraphIndex": 0, "ElseSubgraphIndex": 0}, False),
    ):
        yield f"if_{name}", Kind(_if(**fields), same=same)
    yield "while_endless", _while(cond=1, body=2)
    yield "while_of_itself", _while(cond=1, body=0)
    yield "while_missing", _while(cond=8, body=9)
    yield "while_cond_is_body", _while(cond=2, body=2)
    yield "while_endless_for_real_inputs", _while(cond=1, body=2, depends=True)
    yield (
        "call_once_itself",
        with_operators(
            OperatorSpec("CALL_ONCE", (), (), options=options("CallOnceOptions", InitSubgraphIndex=0)), DENSE, SOFTMAX
        ),
    )
    yield (
        "call_once_missing",
        with_operators(
            OperatorSpec("CALL_ONCE", (), (), options=options("CallOnceOptions", InitSubgraphIndex=5)), DENSE, SOFTMAX
        ),
    )


def _svdf(*, is_variable: bool = True) -> bytes:
    """A layer that remembers: each output holds something of the sample before."""
    memory = 2
    tensors = (
        TENSORS[0],
        TENSORS[1],
        TensorSpec("time", (3, memory), data=np.ones((3, memory), np.float32).tobytes()),
        TENSORS[2],
        TensorSpec("state", (1, 3 * memory), is_variable=is_variable),
        TensorSpec("logits", (1, 3)),
        TensorSpec("probabilities", (1, 3)),
    )
    svdf = OperatorSpec("SVDF", (0, 1, 2, 3, 4), (5,), options=options("SVDFOptions", Rank=1))
    return build(tensors, [svdf, replace(SOFTMAX, inputs=(5,), outputs=(6,))])


def _lstm() -> bytes:
    """A recurrent cell over one step, with its two states as variables."""
    cell = np.full((3, 4), 0.5, np.float32).tobytes()
    recurrent = np.full((3, 3), 0.25, np.float32).tobytes()
    tensors = (
        TensorSpec("x", (1, 4)),
        TensorSpec("to", (3,), "INT32", data=bytes_of(1, 1, 4, dtype=np.int32)),
        TensorSpec("steps", (1, 1, 4)),
        *(TensorSpec(f"input_{i}", (3, 4), data=cell) for i in range(4)),
        *(TensorSpec(f"recurrent_{i}", (3, 3), data=recurrent) for i in range(4)),
        *(TensorSpec(f"bias_{i}", (3,), data=bytes(12)) for i in range(4)),
        TensorSpec("activation_state", (1, 3), is_variable=True),
        TensorSpec("cell_state", (1, 3), is_variable=True),
        TensorSpec("probabilities", (1, 1, 3)),
    )
    lstm = OperatorSpec(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        (2, 3, 4, 5, 6, 7, 8, 9, 10, -1, -1, -1, 11, 12, 13, 14, -1, -1, 15, 16, -1, -1, -1, -1),
        (17,),
        options=options("UnidirectionalSequenceLSTMOptions", FusedActivationFunction=4),
    )
    return build(tensors, [OperatorSpec("RESHAPE", (0, 1), (2,)), lstm])


_BRANCH = GraphSpec(TENSORS, [DENSE, SOFTMAX], outputs=(4,))


def _if(**fields: int) -> bytes:
    tensors = (
        TensorSpec("x", (1, 4)),
        TensorSpec("yes", (1,), "BOOL", data=b"\1"),
        TensorSpec("probabilities", (1, 3)),
    )
    choice = OperatorSpec("IF", (1, 0), (2,), options=options("IfOptions", **fields))
    return build(tensors, [choice], more=[_BRANCH, _BRANCH])


def _while(*, cond: int, body: int, depends: bool = False) -> bytes:
    tensors = (TensorSpec("x", (1, 4)), TensorSpec("probabilities", (1, 4)))
    loop = OperatorSpec(
        "WHILE", (0,), (1,), options=options("WhileOptions", CondSubgraphIndex=cond, BodySubgraphIndex=body)
    )
    # The condition holds for ever: always, or for whatever sums to more than zero.
    total = (
        TensorSpec("x", (1, 4)),
        TensorSpec("axes", (2,), "INT32", data=bytes_of(0, 1, dtype=np.int32)),
        TensorSpec("total", ()),
        TensorSpec("zero", (), data=bytes_of(0.0 if depends else -1.0)),
        TensorSpec("on", (), "BOOL"),
    )
    condition = GraphSpec(
        total,
        [
            OperatorSpec("SUM", (0, 1), (2,), options=options("ReducerOptions")),
            OperatorSpec("GREATER", (2, 3), (4,), options=options("GreaterOptions")),
        ],
        outputs=(4,),
    )
    step = GraphSpec(
        (TensorSpec("x", (1, 4)), TensorSpec("one", (), data=bytes_of(1.0)), TensorSpec("y", (1, 4))),
        [OperatorSpec("MUL", (0, 1), (2,), options=options("MulOptions"))],
        outputs=(2,),
    )
    return build(tensors, [loop], more=[condition, step])
