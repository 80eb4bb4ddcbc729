"""Makes small `.tflite` files, tensor by tensor, with the schema package's own builders: no TensorFlow needed.

>>> file = build([TensorSpec("x", (4,), "INT8", scales=(0.5,), zero_points=(3,)), TensorSpec("y", (4,))],
...              [OperatorSpec("DEQUANTIZE", (0,), (1,), version=2)])
>>> file[4:8]
b'TFL3'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import tflite as schema

TYPES = {name: n for name, n in vars(schema.TensorType).items() if isinstance(n, int)} | {"INT2": 19, "UINT4": 20}
OPERATORS = {name: n for name, n in vars(schema.BuiltinOperator).items() if isinstance(n, int)}


@dataclass(frozen=True)
class TensorSpec:
    name: str | bytes
    shape: tuple[int, ...]
    type: str | int = "FLOAT32"
    data: bytes | None = None
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    is_variable: bool = False
    sparse: bool = False
    signature: tuple[int, ...] | None = None
    block_size: int = 0
    scale_tensor: int = 0


@dataclass(frozen=True)
class OperatorSpec:
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    version: int = 1
    custom: bool = False
    options: Callable[[flatbuffers.Builder], tuple[int, int]] | None = None
    litert_quantizer_code: bool = False  # the old 8-bit field left 0, as LiteRT Quantizer does


@dataclass(frozen=True)
class GraphSpec:
    """A further subgraph, which control flow leads to. Its operators count on from those of the graphs before it."""

    tensors: Sequence[TensorSpec]
    operators: Sequence[OperatorSpec]
    inputs: Sequence[int] = (0,)
    outputs: Sequence[int] = (-1,)


def conv_options(builder: flatbuffers.Builder) -> tuple[int, int]:
    """Options of CONV_2D with stride 2 and a fused RELU6."""
    schema.Conv2DOptionsStart(builder)
    schema.Conv2DOptionsAddPadding(builder, schema.Padding.VALID)
    schema.Conv2DOptionsAddStrideW(builder, 2)
    schema.Conv2DOptionsAddStrideH(builder, 2)
    schema.Conv2DOptionsAddFusedActivationFunction(builder, schema.ActivationFunctionType.RELU6)
    return schema.BuiltinOptions.Conv2DOptions, schema.Conv2DOptionsEnd(builder)


def build(
    tensors: Sequence[TensorSpec],
    operators: Sequence[OperatorSpec],
    inputs: Sequence[int] = (0,),
    outputs: Sequence[int] = (-1,),
    *,
    outside: bool = False,
    metadata: dict[str, bytes] | None = None,
    subgraphs: int = 1,
    more: Sequence[GraphSpec] = (),
    signatures: Sequence[tuple[str, int]] = (("serving_default", 0),),
) -> bytes:
    """A file with one graph.

    Args:
        outputs: Tensor indices; negative ones count from the end.
        outside: Put constants after the tables, and let `Buffer.offset` and `size` tell where.
        subgraphs: How many times to list the graph.
        more: Further graphs.
        signatures: Their keys and the subgraphs that they name, each with the ends of the first graph.
    """
    graphs = (GraphSpec(tensors, operators, inputs, [index % len(tensors) for index in outputs]), *more)
    graph = _File(graphs, metadata or {}, subgraphs, signatures)
    if not outside:
        return graph.bytes()
    # The offsets depend on the length of the tables, which does not depend on the offsets.
    start = len(graph.bytes(offset=16))
    return graph.bytes(offset=start) + b"".join(graph.constants)


class _File:
    def __init__(
        self,
        graphs: Sequence[GraphSpec],
        metadata: dict[str, bytes],
        subgraphs: int,
        signatures: Sequence[tuple[str, int]],
    ) -> None:
        self.graphs, self.metadata = graphs, metadata
        self.subgraphs, self.signatures = subgraphs, signatures
        self.operators = [op for graph in graphs for op in graph.operators]
        self.tensors = [tensor for graph in graphs for tensor in graph.tensors]
        self.constants = [t.data for t in self.tensors if t.data is not None] + list(metadata.values())

    def bytes(self, offset: int = 0) -> bytes:
        """The flatbuffer; with an offset, its constants are taken to lie there."""
        b = flatbuffers.Builder(1024)
        description = b.CreateString("made by a test")
        first, *others = [self._subgraph(b, i) for i in range(len(self.graphs))]
        signatures = _vector(b, [self._signature(b, *entry) for entry in self.signatures])
        metadata = self._metadata(b)
        codes = _vector(b, [_operator_code(b, op) for op in self.operators])
        buffers = self._buffers(b, offset)
        subgraphs = _vector(b, [first] * self.subgraphs + others)
        schema.ModelStart(b)
        schema.ModelAddVersion(b, 3)
        schema.ModelAddOperatorCodes(b, codes)
        schema.ModelAddSubgraphs(b, subgraphs)
        schema.ModelAddDescription(b, description)
        schema.ModelAddBuffers(b, buffers)
        schema.ModelAddMetadata(b, metadata)
        schema.ModelAddSignatureDefs(b, signatures)
        b.Finish(schema.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())

    def _buffers(self, b: flatbuffers.Builder, offset: int) -> int:
        made = [_buffer(b, None, 0)]
        for data in self.constants:
            made.append(_buffer(b, data, offset))
            offset += len(data) if offset else 0
        return _vector(b, made)

    def _subgraph(self, b: flatbuffers.Builder, number: int) -> int:
        graph, before = self.graphs[number], self.graphs[:number]
        name = b.CreateString("main")
        made, buffer = [], sum(tensor.data is not None for other in before for tensor in other.tensors)
        for spec in graph.tensors:
            buffer += spec.data is not None
            made.append(_tensor(b, spec, buffer if spec.data is not None else 0))
        tensors = _vector(b, made)
        first = sum(len(other.operators) for other in before)
        operators = _vector(b, [_operator(b, first + i, op) for i, op in enumerate(graph.operators)])
        inputs = _int32s(b, graph.inputs)
        outputs = _int32s(b, [len(graph.tensors) + i if i < 0 and number else i for i in graph.outputs])
        schema.SubGraphStart(b)
        schema.SubGraphAddTensors(b, tensors)
        schema.SubGraphAddInputs(b, inputs)
        schema.SubGraphAddOutputs(b, outputs)
        schema.SubGraphAddOperators(b, operators)
        schema.SubGraphAddName(b, name)
        return schema.SubGraphEnd(b)

    def _metadata(self, b: flatbuffers.Builder) -> int:
        first = 1 + len(self.constants) - len(self.metadata)
        made = []
        for i, entry in enumerate(self.metadata):
            name = b.CreateString(entry)
            schema.MetadataStart(b)
            schema.MetadataAddName(b, name)
            schema.MetadataAddBuffer(b, first + i)
            made.append(schema.MetadataEnd(b))
        return _vector(b, made)

    def _signature(self, b: flatbuffers.Builder, name: str, subgraph: int) -> int:
        graph = self.graphs[0]
        inputs = _vector(b, [_tensor_map(b, f"in_{i}", index) for i, index in enumerate(graph.inputs)])
        outputs = _vector(b, [_tensor_map(b, f"out_{i}", index) for i, index in enumerate(graph.outputs)])
        key = b.CreateString(name)
        schema.SignatureDefStart(b)
        schema.SignatureDefAddInputs(b, inputs)
        schema.SignatureDefAddOutputs(b, outputs)
        schema.SignatureDefAddSignatureKey(b, key)
        schema.SignatureDefAddSubgraphIndex(b, subgraph)
        return int(schema.SignatureDefEnd(b))


def _vector(b: flatbuffers.Builder, tables: Sequence[int]) -> int:
    b.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        b.PrependUOffsetTRelative(table)
    return int(b.EndVector())


def _int32s(b: flatbuffers.Builder, numbers: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.array(numbers, np.int32)))


def _buffer(b: flatbuffers.Builder, data: bytes | None, offset: int) -> int:
    inside = b.CreateNumpyVector(np.frombuffer(data, np.uint8)) if data and not offset else None
    schema.BufferStart(b)
    if inside is not None:
        schema.BufferAddData(b, inside)
    elif data:
        schema.BufferAddOffset(b, offset)
        schema.BufferAddSize(b, len(data))
    return int(schema.BufferEnd(b))


def _operator_code(b: flatbuffers.Builder, op: OperatorSpec) -> int:
    custom = b.CreateString(op.name) if op.custom else None
    number = OPERATORS["CUSTOM"] if op.custom else OPERATORS[op.name]
    schema.OperatorCodeStart(b)
    if not op.litert_quantizer_code:
        schema.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
    if custom is not None:
        schema.OperatorCodeAddCustomCode(b, custom)
    schema.OperatorCodeAddVersion(b, op.version)
    schema.OperatorCodeAddBuiltinCode(b, number)
    return int(schema.OperatorCodeEnd(b))


def _operator(b: flatbuffers.Builder, index: int, op: OperatorSpec) -> int:
    inputs, outputs = _int32s(b, op.inputs), _int32s(b, op.outputs)
    options = op.options(b) if op.options else None
    schema.OperatorStart(b)
    schema.OperatorAddOpcodeIndex(b, index)
    schema.OperatorAddInputs(b, inputs)
    schema.OperatorAddOutputs(b, outputs)
    if options:
        schema.OperatorAddBuiltinOptionsType(b, options[0])
        schema.OperatorAddBuiltinOptions(b, options[1])
    return int(schema.OperatorEnd(b))


def _tensor(b: flatbuffers.Builder, spec: TensorSpec, buffer: int) -> int:
    name, shape = b.CreateString(spec.name), _int32s(b, spec.shape)
    signature = None if spec.signature is None else _int32s(b, spec.signature)
    quantization = _quantization(b, spec)
    sparsity = _sparsity(b) if spec.sparse else None
    schema.TensorStart(b)
    schema.TensorAddShape(b, shape)
    schema.TensorAddType(b, TYPES[spec.type] if isinstance(spec.type, str) else spec.type)
    schema.TensorAddBuffer(b, buffer)
    schema.TensorAddName(b, name)
    if quantization is not None:
        schema.TensorAddQuantization(b, quantization)
    schema.TensorAddIsVariable(b, spec.is_variable)
    if sparsity is not None:
        schema.TensorAddSparsity(b, sparsity)
    if signature is not None:
        schema.TensorAddShapeSignature(b, signature)
    return int(schema.TensorEnd(b))


def _sparsity(b: flatbuffers.Builder) -> int:
    schema.SparsityParametersStart(b)
    return int(schema.SparsityParametersEnd(b))


def _quantization(b: flatbuffers.Builder, spec: TensorSpec) -> int | None:
    if not spec.scales and not spec.block_size:
        return None
    details = _blockwise(b, spec) if spec.block_size else None
    scales = b.CreateNumpyVector(np.array(spec.scales, np.float32))
    zero_points = b.CreateNumpyVector(np.array(spec.zero_points, np.int64))
    schema.QuantizationParametersStart(b)
    schema.QuantizationParametersAddScale(b, scales)
    schema.QuantizationParametersAddZeroPoint(b, zero_points)
    schema.QuantizationParametersAddQuantizedDimension(b, spec.axis)
    if details is not None:
        schema.QuantizationParametersAddDetailsType(b, 2)
        schema.QuantizationParametersAddDetails(b, details)
    return int(schema.QuantizationParametersEnd(b))


def _blockwise(b: flatbuffers.Builder, spec: TensorSpec) -> int:
    """BlockwiseQuantization: scales, zero_points, block_size; the schema package does not have it."""
    b.StartObject(3)
    b.PrependInt32Slot(0, spec.scale_tensor, 0)
    b.PrependInt32Slot(2, spec.block_size, 0)
    return int(b.EndObject())


def _tensor_map(b: flatbuffers.Builder, name: str, index: int) -> int:
    text = b.CreateString(name)
    schema.TensorMapStart(b)
    schema.TensorMapAddName(b, text)
    schema.TensorMapAddTensorIndex(b, index)
    return int(schema.TensorMapEnd(b))


def bytes_of(*values: Any, dtype: Any = np.float32) -> bytes:
    """The bytes of numbers, as a tensor's data."""
    return np.array(values, dtype).tobytes()
