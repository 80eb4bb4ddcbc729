"""A `.tflite` file as frozen records, read without a runtime.

The runtimes' Python interfaces hide what a gate must see: they report int4 tensors as int8, they say nothing about
operator versions, and a damaged file can kill the process. This reader looks at the flatbuffer itself, through the
accessors of the published schema (PyPI `tflite`).

    >>> model = read_model(Path("digits_int8.tflite"))                # doctest: +SKIP
    >>> [operator.name for operator in model.subgraphs[0].operators]  # doctest: +SKIP
    ['CONV_2D', 'MAX_POOL_2D', 'RESHAPE', 'FULLY_CONNECTED', 'SOFTMAX']
    >>> weights = model.subgraphs[0].tensors[1]                       # doctest: +SKIP
    >>> model.constant(weights).dtype, weights.quantization.kind      # doctest: +SKIP
    (dtype('int8'), 'per_axis')

Files are memory-mapped, and constants are views of the map where the type allows it. Whatever is wrong with a file is
told as one `ModelError`.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from liteproof.errors import ModelError, UsageError
from liteproof.tflite import schema

QuantizationKind = Literal["none", "per_tensor", "per_axis", "blockwise"]


# Options whose numbers have names, by the enumeration that names them.
_NAMED_OPTIONS = {"fused_activation_function": "ActivationFunctionType", "padding": "Padding"}
_CUSTOM = 32
_BLOCKWISE = 2

# What a reader of quantized graphs asks of an operator: accessors of the schema's option tables.
_FUSED = ("FusedActivationFunction",)
_WINDOW = ("Padding", "StrideH", "StrideW", *_FUSED)
_OPTION_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Conv2DOptions": (*_WINDOW, "DilationHFactor", "DilationWFactor"),
    "DepthwiseConv2DOptions": (*_WINDOW, "DepthMultiplier", "DilationHFactor", "DilationWFactor"),
    "TransposeConvOptions": _WINDOW,
    "Pool2DOptions": (*_WINDOW, "FilterHeight", "FilterWidth"),
    "FullyConnectedOptions": (*_FUSED, "WeightsFormat", "KeepNumDims", "AsymmetricQuantizeInputs"),
    "BatchMatMulOptions": ("AdjX", "AdjY", "AsymmetricQuantizeInputs"),
    "ConcatenationOptions": ("Axis", *_FUSED),
    "AddOptions": _FUSED,
    "SubOptions": _FUSED,
    "MulOptions": _FUSED,
    "DivOptions": _FUSED,
    "L2NormOptions": _FUSED,
    "SoftmaxOptions": ("Beta",),
    "LeakyReluOptions": ("Alpha",),
    "ReducerOptions": ("KeepDims",),
    "IfOptions": ("ThenSubgraphIndex", "ElseSubgraphIndex"),
    "WhileOptions": ("CondSubgraphIndex", "BodySubgraphIndex"),
    "CallOnceOptions": ("InitSubgraphIndex",),
}

_ALL = slice(None)
_NUMPY_TYPES: Mapping[str, np.dtype[Any]] = {
    "FLOAT32": np.dtype("<f4"),
    "FLOAT16": np.dtype("<f2"),
    "FLOAT64": np.dtype("<f8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "BOOL": np.dtype("?"),
    "COMPLEX64": np.dtype("<c8"),
    "COMPLEX128": np.dtype("<c16"),
    "BFLOAT16": np.dtype("<u2"),
}
_PACKED_BITS: Mapping[str, int] = {"INT4": 4, "UINT4": 4, "INT2": 2}
_OTHER_BITS: Mapping[str, int] = {"FLOAT8_E4M3FN": 8, "FLOAT8_E5M2": 8}


def bits_per_element(tensor_type: str) -> int | None:
    """Bits that one element of a tensor type takes in the file; None where it varies (STRING, RESOURCE, TYPE_23)."""
    if tensor_type in _NUMPY_TYPES:
        return _NUMPY_TYPES[tensor_type].itemsize * 8
    return _PACKED_BITS.get(tensor_type, _OTHER_BITS.get(tensor_type))


@dataclass(frozen=True, eq=False)
class Quantization:
    """How codes become real values: real = (code - zero_point) * scale.

    Attributes:
        scales: (channels,) float32; one for the whole tensor, one per slice along `axis`, or none.
        zero_points: (channels,) int64, as many as scales (a file that leaves them out means 0).
        axis: The quantized dimension, of use where kind is "per_axis".
        kind: "none" without scales. "blockwise" keeps its scales in another tensor, `scale_tensor`.
        block_size: Elements that share one scale, for "blockwise"; else 0.
        scale_tensor: Index of the tensor with the block scales, for "blockwise"; else -1.
    """

    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    axis: int = 0
    kind: QuantizationKind = "none"
    block_size: int = 0
    scale_tensor: int = -1


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        index: Position in the subgraph's `tensors`.
        name: UTF-8 with control characters and invalid bytes escaped.
        shape: Dimensions; 1 where unknown at conversion.
        shape_signature: Dimensions with -1 where unknown; equal to `shape` where the file has none.
        type: Name in the schema: "INT8", "FLOAT32", "INT4" …, or "TYPE_23" for a number without a name.
        buffer: Index into `Model.buffers`; 0 is the empty buffer.
        is_variable: Whether it keeps state between inferences.
        sparse: Whether the buffer holds a compressed layout, not one value after the other.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    type: str
    buffer: int
    quantization: Quantization
    is_variable: bool = False
    sparse: bool = False

    @property
    def elements(self) -> int:
        """Number of elements that the shape declares."""
        count = 1
        for dimension in self.shape:
            count *= max(dimension, 0)
        return count


@dataclass(frozen=True)
class Operator:
    """One node of a subgraph.

    Attributes:
        index: Position in the subgraph's `operators`.
        name: The builtin's name ("CONV_2D"), a custom operator's code, or "BUILTIN_999" for an unknown number.
        version: The operator's version; a runtime that does not know it refuses the file.
        inputs: Tensor indices; -1 for an optional input that is left out.
        outputs: Tensor indices.
        custom: Whether it is outside the builtin set.
        options: Scalars of its option table in snake case: {"fused_activation_function": "RELU6", "stride_h": 1, …}.
    """

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    custom: bool = False
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class OperatorCode:
    """An operator that the file uses: its name and the version a runtime must know."""

    name: str
    version: int
    custom: bool


@dataclass(frozen=True)
class Buffer:
    """Where a constant's bytes lie.

    Attributes:
        index: Position in `Model.buffers`.
        offset: From the start of the file.
        size: In bytes; 0 for a tensor that is computed.
        outside: Whether the bytes lie after the flatbuffer's tables (`Buffer.offset` in the schema).
    """

    index: int
    offset: int
    size: int
    outside: bool


@dataclass(frozen=True)
class Signature:
    """A named entry point: input and output names with the tensor indices they stand for."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True)
class Subgraph:
    """One graph; the first is what an interpreter runs."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """A `.tflite` file.

    Attributes:
        version: Of the schema; runtimes know 3.
        metadata: Buffer index by entry name.
        bytes: Size of the file.
        where: The file's name, for messages.
    """

    version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    operator_codes: tuple[OperatorCode, ...]
    buffers: tuple[Buffer, ...]
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, int]
    bytes: int
    where: str
    _data: memoryview = field(repr=False)

    def buffer_data(self, index: int) -> memoryview:
        """The raw bytes of a buffer, without a copy."""
        buffer = self.buffers[index]
        return self._data[buffer.offset : buffer.offset + buffer.size]

    def constant(self, tensor: Tensor, rows: slice = _ALL) -> npt.NDArray[Any] | None:
        """The codes or values that the file holds for a tensor.

        Args:
            tensor: The tensor.
            rows: Of the first dimension; only they are unpacked. A scalar has none.

        Returns:
            An array of the tensor's shape, or of these rows: a read-only view of the file where numpy has the type;
            int8 or uint8 for packed 4- and 2-bit codes; float32 for BFLOAT16. For types without a numpy counterpart
            (STRING, FLOAT8_…) the raw bytes as a flat uint8 array. None for a tensor without stored values (computed,
            or a variable) and for sparse layouts, which are not decoded.

        Raises:
            ModelError: The bytes do not fit the shape.
        """
        if not self.buffers[tensor.buffer].size or tensor.is_variable or tensor.sparse:
            return None
        raw = np.frombuffer(self.buffer_data(tensor.buffer), np.uint8)
        bits = bits_per_element(tensor.type)
        if bits is None:
            return raw
        expected = (tensor.elements * bits + 7) // 8
        if raw.size != expected or any(dimension < 0 for dimension in tensor.shape):
            raise ModelError(
                f"tensor {tensor.index} '{tensor.name}' holds {raw.size} bytes",
                expected=f"{expected} bytes for {tensor.type} of shape {list(tensor.shape)}",
                where=self.where,
                next="convert the model again",
            )
        if rows == _ALL or not tensor.shape:
            return _decode(raw, tensor)
        start, stop, _ = rows.indices(tensor.shape[0])
        first, last = (row * bits * tensor.elements // tensor.shape[0] for row in (start, stop))
        if first % 8:  # a row that begins within a byte
            return _decode(raw, tensor)[rows]
        return _decode(raw[first // 8 : (last + 7) // 8], tensor, (stop - start, *tensor.shape[1:]))


def _decode(raw: npt.NDArray[np.uint8], tensor: Tensor, shape: tuple[int, ...] | None = None) -> npt.NDArray[Any]:
    shape = tensor.shape if shape is None else shape
    if tensor.type in _PACKED_BITS:
        bits = _PACKED_BITS[tensor.type]
        return unpack(raw, math.prod(shape), bits, signed=tensor.type.startswith("INT")).reshape(shape)
    if tensor.type == "BFLOAT16":
        # The upper half of a float32.
        return (raw.view("<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    if tensor.type in _NUMPY_TYPES:
        return raw.view(_NUMPY_TYPES[tensor.type]).reshape(shape)
    return raw


def unpack(raw: npt.NDArray[np.uint8], count: int, bits: int, *, signed: bool) -> npt.NDArray[Any]:
    """Codes of 2 or 4 bits from their bytes; the lowest bits of a byte come first.

    Source: `tensor_utils::UnpackDenseInt4IntoInt8` of the LiteRT kernels.

        >>> unpack(np.array([0x21, 0x0F], np.uint8), 3, 4, signed=True)
        array([ 1,  2, -1], dtype=int8)
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = ((raw[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1)[:count]
    if not signed:
        return codes
    # Shifting up and down again copies the sign bit; both shifts stay within int8.
    up = np.int8(8 - bits)
    return (codes.view(np.int8) << up) >> up


def read_model(source: Path | str | bytes) -> Model:
    """Read a `.tflite` file.

    Args:
        source: A path, which is memory-mapped, or the file's bytes.

    Raises:
        UsageError: There is no such file.
        ModelError: The content is not a whole `.tflite`.
    """
    where = "<bytes>" if isinstance(source, bytes) else str(source)
    data = memoryview(source) if isinstance(source, bytes) else _map(Path(source))
    _require_identifier(data, where)
    try:
        return _Reading(data, where).model()
    except _Damage as damage:
        raise _damaged(str(damage), where) from damage
    # What a generated accessor can stumble over; its own words ("bad number -916 for type uint32") help nobody.
    except (struct.error, LookupError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        raise _damaged("an offset leads outside it", where) from error


def _map(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise UsageError(
            f"cannot read '{path}': {error.strerror or error}", expected="a .tflite file", where=str(path)
        ) from error


# What people hand over in place of a model, by its first bytes.
_MISTAKEN = {
    b"version https://git-lfs": ("a Git LFS pointer, not the file it stands for", "git lfs pull"),
    b"PK\x03\x04": ("a zip archive (a .keras file?)", "convert it first"),
    b"\x89HDF\r\n": ("an HDF5 file (a Keras .h5?)", "convert it first"),
    b"<": ("a web page or XML text", "download the raw file"),
}


def _require_identifier(data: memoryview, where: str) -> None:
    head = bytes(data[:32])
    if head[4:8] == b"TFL3":
        return
    found, cure = f"bytes 4 to 8 are {head[4:8]!r}", "convert or copy the file again"
    if not head:
        found = "the file is empty"
    for start, (what, then) in _MISTAKEN.items():
        if head.startswith(start):
            found, cure = f"the file is {what}", then
    raise ModelError(found, expected="a .tflite file: a flatbuffer with identifier TFL3", where=where, next=cure)


class _Damage(Exception):
    """What is wrong with the flatbuffer, in words for its user."""


def _damaged(what: str, where: str) -> ModelError:
    return ModelError(
        f"the flatbuffer is damaged: {what}",
        expected="a whole .tflite file",
        where=where,
        next="convert or copy the file again, and compare checksums",
    )


class _Reading:
    """One pass over a file.

    Every length that the file declares is checked against its size before anything of that length is made, and all
    of them together may not exceed a small multiple of it: tables that point at each other cannot make a small
    file large.
    """

    def __init__(self, data: memoryview, where: str) -> None:
        self._data = data
        self._where = where
        self._allowance = 2 * len(data) + 4096

    def model(self) -> Model:
        root = schema.Model.GetRootAs(self._data, 0)
        codes = tuple(self._operator_code(code) for code in self._tables(root, "OperatorCodes"))
        buffers = tuple(self._buffer(i, buffer) for i, buffer in enumerate(self._tables(root, "Buffers")))
        subgraphs = tuple(self._subgraph(graph, codes) for graph in self._tables(root, "Subgraphs"))
        if not subgraphs:
            raise _Damage("it has no subgraph")
        model = Model(
            version=root.Version(),
            description=self._text(root, 10),
            subgraphs=subgraphs,
            operator_codes=codes,
            buffers=buffers,
            signatures=tuple(self._signature(entry) for entry in self._tables(root, "SignatureDefs")),
            metadata={self._text(entry, 4): int(entry.Buffer()) for entry in self._tables(root, "Metadata")},
            bytes=len(self._data),
            where=self._where,
            _data=self._data,
        )
        _require_references(model)
        return model

    def _spend(self, size: int, what: str) -> None:
        self._allowance -= size
        if size > len(self._data) or self._allowance < 0:
            raise _Damage(f"{what} would take more bytes than the file has")

    def _tables(self, parent: Any, field_name: str) -> Iterator[Any]:
        """The tables of a vector field."""
        length = getattr(parent, f"{field_name}Length")()
        # 4 bytes for each reference and at least 4 for what it refers to.
        self._spend(8 * length, field_name)
        get = getattr(parent, field_name)
        return (get(i) for i in range(length))

    def _numbers(self, parent: Any, field_name: str, dtype: str) -> npt.NDArray[Any]:
        """The numbers of a vector field; empty where the file has none."""
        length = getattr(parent, f"{field_name}Length")()
        self._spend(length * np.dtype(dtype).itemsize, field_name)
        if not length:
            return np.empty(0, dtype)
        numbers: npt.NDArray[Any] = getattr(parent, f"{field_name}AsNumpy")()
        return numbers.astype(dtype)

    def _integers(self, parent: Any, field_name: str) -> tuple[int, ...]:
        return tuple(self._numbers(parent, field_name, "<i4").tolist())

    def _text(self, parent: Any, slot: int) -> str:
        """A string field. The generated accessor cuts a string that runs past the end; this one refuses it."""
        table = parent._tab
        at = table.Offset(slot)
        if not at:
            return ""
        start, length = table.Vector(at), table.VectorLen(at)
        self._spend(length, "a name")
        # A zero byte follows every string; a file that lacks it was cut.
        if start + length >= len(self._data):
            raise _Damage("a name runs past the end of the file")
        text = bytes(self._data[start : start + length]).decode("utf-8", errors="backslashreplace")
        return text if text.isprintable() else "".join(map(_printable, text))

    def _int32(self, table: Any, slot: int) -> int:
        """A scalar field that the accessors do not give as it is; 0 where the file has none."""
        at = table.Offset(slot)
        return int.from_bytes(self._data[table.Pos + at :][:4], "little", signed=True) if at else 0

    def _operator_code(self, code: Any) -> OperatorCode:
        # Old writers fill the 8-bit field only; new ones keep 127 in it for what does not fit; LiteRT Quantizer leaves
        # it 0. The larger field holds, as in the runtimes. The accessor BuiltinCode() prefers the old field (so that
        # a DEQUANTIZE of LiteRT Quantizer reads as ADD): hence the slot itself.
        number = max(code.DeprecatedBuiltinCode(), self._int32(code._tab, 10))
        custom = number == _CUSTOM
        name = self._text(code, 6) if custom else schema.names("BuiltinOperator").get(number, f"BUILTIN_{number}")
        return OperatorCode(name or "CUSTOM", code.Version(), custom)

    def _buffer(self, index: int, buffer: Any) -> Buffer:
        table = buffer._tab
        length = buffer.DataLength()
        # The runtimes' rule: bytes in the tables win; offsets 0 and 1 stand for "none".
        outside = not length and buffer.Offset() > 1
        if outside:
            offset, length = buffer.Offset(), buffer.Size()
        else:
            offset = table.Vector(table.Offset(4)) if length else 0
        self._spend(length, f"buffer {index}")
        if offset + length > len(self._data):
            raise _Damage(f"buffer {index} runs past the end of the file")
        return Buffer(index, int(offset), int(length), outside)

    def _subgraph(self, graph: Any, codes: tuple[OperatorCode, ...]) -> Subgraph:
        return Subgraph(
            name=self._text(graph, 12),
            tensors=tuple(self._tensor(i, tensor) for i, tensor in enumerate(self._tables(graph, "Tensors"))),
            inputs=self._integers(graph, "Inputs"),
            outputs=self._integers(graph, "Outputs"),
            operators=tuple(
                self._operator(i, operator, codes) for i, operator in enumerate(self._tables(graph, "Operators"))
            ),
        )

    def _tensor(self, index: int, tensor: Any) -> Tensor:
        shape = self._integers(tensor, "Shape")
        number = tensor.Type()
        return Tensor(
            index=index,
            name=self._text(tensor, 10),
            shape=shape,
            shape_signature=self._integers(tensor, "ShapeSignature") or shape,
            type=schema.names("TensorType").get(number, f"TYPE_{number}"),
            buffer=tensor.Buffer(),
            quantization=self._quantization(tensor.Quantization(), shape),
            is_variable=tensor.IsVariable(),
            sparse=tensor.Sparsity() is not None,
        )

    def _quantization(self, parameters: Any, shape: tuple[int, ...]) -> Quantization:
        if parameters is None:
            return _NOT_QUANTIZED
        scales = self._numbers(parameters, "Scale", "<f4")
        zero_points = self._numbers(parameters, "ZeroPoint", "<i8")
        axis = parameters.QuantizedDimension()
        if parameters.DetailsType() == _BLOCKWISE:
            return self._blockwise(parameters.Details(), axis)
        if not scales.size:
            return _NOT_QUANTIZED
        if not zero_points.size:
            zero_points = np.zeros(scales.size, np.int64)
        if zero_points.size != scales.size:
            raise _Damage(f"a tensor has {scales.size} scales and {zero_points.size} zero points")
        if shape == (scales.size,):
            axis = 0  # older converters gave a bias the dimension of its weights; a vector has but one
        if scales.size > 1 and not 0 <= axis < len(shape):
            raise _Damage(f"a tensor of {len(shape)} dimensions is quantized along dimension {axis}")
        return Quantization(scales, zero_points, axis, "per_axis" if scales.size > 1 else "per_tensor")

    def _blockwise(self, details: Any, axis: int) -> Quantization:
        if details is None:
            raise _Damage("a blockwise quantization has no details")
        # The schema package has no accessors for this table: its scales are slot 4, its block size slot 8.
        scale_tensor, block_size = self._int32(details, 4), self._int32(details, 8)
        none = _NOT_QUANTIZED
        return Quantization(none.scales, none.zero_points, axis, "blockwise", block_size, scale_tensor)

    def _operator(self, index: int, operator: Any, codes: tuple[OperatorCode, ...]) -> Operator:
        code = codes[operator.OpcodeIndex()]
        return Operator(
            index=index,
            name=code.name,
            version=code.version,
            inputs=self._integers(operator, "Inputs"),
            outputs=self._integers(operator, "Outputs"),
            custom=code.custom,
            options=_options(operator),
        )

    def _signature(self, entry: Any) -> Signature:
        def indices(field_name: str) -> dict[str, int]:
            return {self._text(item, 4): int(item.TensorIndex()) for item in self._tables(entry, field_name)}

        return Signature(self._text(entry, 8), int(entry.SubgraphIndex()), indices("Inputs"), indices("Outputs"))


_NOT_QUANTIZED = Quantization(np.empty(0, np.float32), np.empty(0, np.int64))


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _snake_case(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")


def _options(operator: Any) -> dict[str, str | int | float | bool]:
    """The scalars of an operator's option table that `_OPTION_FIELDS` names."""
    kind = schema.names("BuiltinOptions").get(operator.BuiltinOptionsType(), "")
    union = operator.BuiltinOptions()
    if kind not in _OPTION_FIELDS or union is None:
        return {}
    table = getattr(schema, kind)()
    table.Init(union.Bytes, union.Pos)
    values = {_snake_case(name): getattr(table, name)() for name in _OPTION_FIELDS[kind]}
    return {
        key: schema.names(_NAMED_OPTIONS[key]).get(value, value) if key in _NAMED_OPTIONS else value
        for key, value in values.items()
    }


def _require_references(model: Model) -> None:
    """Every index must lead to something, as the runtimes demand at load.

    Raises:
        _Damage: One does not.
    """
    for graph in model.subgraphs:
        count = len(graph.tensors)
        for tensor in graph.tensors:
            if tensor.buffer >= len(model.buffers):
                raise _Damage(f"tensor {tensor.index} names buffer {tensor.buffer} of {len(model.buffers)}")
            if tensor.quantization.kind == "blockwise" and not 0 <= tensor.quantization.scale_tensor < count:
                raise _Damage(f"tensor {tensor.index} has its scales in a tensor that is not there")
        ends = graph.inputs + graph.outputs
        if any(not 0 <= index < count for index in ends):
            raise _Damage(f"the graph's ends {list(ends)} are not among its {count} tensors")
        for operator in graph.operators:
            # -1 stands for an optional tensor that is left out.
            if any(not -1 <= index < count for index in operator.inputs + operator.outputs):
                raise _Damage(f"operator {operator.index} {operator.name} names a tensor that is not there")
    for signature in model.signatures:
        if signature.subgraph >= len(model.subgraphs):
            raise _Damage(f"signature '{signature.key}' names subgraph {signature.subgraph}")
        tensors = len(model.subgraphs[signature.subgraph].tensors)
        if any(index >= tensors for index in (*signature.inputs.values(), *signature.outputs.values())):
            raise _Damage(f"signature '{signature.key}' names a tensor that is not there")
    for name, buffer in model.metadata.items():
        if buffer >= len(model.buffers):
            raise _Damage(f"metadata '{name}' names buffer {buffer} of {len(model.buffers)}")
