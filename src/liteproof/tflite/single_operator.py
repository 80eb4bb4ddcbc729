"""Files with one operator, or none, made on the spot: what a runtime does with them tells what it knows.

>>> file = dequantize_model("INT8", 256, scale=0.5, zero_point=-3)
>>> from liteproof.tflite.reader import read_model
>>> model = read_model(file)
>>> model.subgraphs[0].operators[0].name, model.subgraphs[0].tensors[0].quantization.zero_points.tolist()
('DEQUANTIZE', [-3])
>>> read_model(operator_list_model(9, version=12)).operator_codes[0]
OperatorCode(name='FULLY_CONNECTED', version=12, custom=False)
"""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np

from liteproof.tflite import schema

# The first version of DEQUANTIZE that takes each type (LiteRT's table of operator versions).
_DEQUANTIZE_VERSIONS = {"UINT8": 1, "INT8": 2, "INT16": 3}


def dequantize_model(tensor_type: str, count: int, *, scale: float, zero_point: int) -> bytes:
    """A `.tflite` whose only operator is DEQUANTIZE, with one scale.

    Args:
        tensor_type: "UINT8", "INT8" or "INT16".
        count: Number of codes that one inference takes; shapes are (count,).
        scale: Of the input.
        zero_point: Of the input.

    Raises:
        KeyError: Another type.
    """
    version = _DEQUANTIZE_VERSIONS[tensor_type]
    b = flatbuffers.Builder(1024)
    quantization = _quantization(b, scale, zero_point)
    codes = _tensor(b, "codes", count, getattr(schema.TensorType, tensor_type), quantization)
    values = _tensor(b, "values", count, schema.TensorType.FLOAT32)
    operator = _operator(b)
    graph = _subgraph(b, [codes, values], [operator], inputs=[0], outputs=[1])
    return _finish(b, _operator_code(b, schema.BuiltinOperator.DEQUANTIZE, version), graph)


def operator_list_model(number: int, *, version: int) -> bytes:
    """A `.tflite` without operators that lists one: runtimes refuse the file if they lack it in this version.

    Args:
        number: The operator's number in the schema's BuiltinOperator.
        version: Its version.
    """
    b = flatbuffers.Builder(512)
    graph = _subgraph(b, [], [], inputs=[], outputs=[])
    return _finish(b, _operator_code(b, number, version), graph)


def _finish(b: flatbuffers.Builder, code: int, graph: int) -> bytes:
    schema.BufferStart(b)
    buffers = _tables(b, [schema.BufferEnd(b)])
    codes, graphs = _tables(b, [code]), _tables(b, [graph])
    schema.ModelStart(b)
    schema.ModelAddVersion(b, 3)
    schema.ModelAddOperatorCodes(b, codes)
    schema.ModelAddSubgraphs(b, graphs)
    schema.ModelAddBuffers(b, buffers)
    b.Finish(schema.ModelEnd(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def _tables(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _integers(b: flatbuffers.Builder, numbers: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.array(numbers, np.int32)))


def _operator_code(b: flatbuffers.Builder, number: int, version: int) -> int:
    schema.OperatorCodeStart(b)
    # Numbers above 127 do not fit the old field, which then holds 127.
    schema.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
    schema.OperatorCodeAddVersion(b, version)
    schema.OperatorCodeAddBuiltinCode(b, number)
    return int(schema.OperatorCodeEnd(b))


def _operator(b: flatbuffers.Builder) -> int:
    inputs, outputs = _integers(b, [0]), _integers(b, [1])
    schema.OperatorStart(b)
    schema.OperatorAddInputs(b, inputs)
    schema.OperatorAddOutputs(b, outputs)
    return int(schema.OperatorEnd(b))


def _quantization(b: flatbuffers.Builder, scale: float, zero_point: int) -> int:
    scales = b.CreateNumpyVector(np.array([scale], np.float32))
    zero_points = b.CreateNumpyVector(np.array([zero_point], np.int64))
    schema.QuantizationParametersStart(b)
    schema.QuantizationParametersAddScale(b, scales)
    schema.QuantizationParametersAddZeroPoint(b, zero_points)
    return int(schema.QuantizationParametersEnd(b))


def _tensor(b: flatbuffers.Builder, name: str, count: int, kind: int, quantization: int | None = None) -> int:
    text, shape = b.CreateString(name), _integers(b, [count])
    schema.TensorStart(b)
    schema.TensorAddName(b, text)
    schema.TensorAddShape(b, shape)
    schema.TensorAddType(b, kind)
    if quantization is not None:
        schema.TensorAddQuantization(b, quantization)
    return int(schema.TensorEnd(b))


def _subgraph(
    b: flatbuffers.Builder, tensors: Sequence[int], operators: Sequence[int], *, inputs: list[int], outputs: list[int]
) -> int:
    tables = _tables(b, tensors), _tables(b, operators)
    ends = _integers(b, inputs), _integers(b, outputs)
    schema.SubGraphStart(b)
    schema.SubGraphAddTensors(b, tables[0])
    schema.SubGraphAddOperators(b, tables[1])
    schema.SubGraphAddInputs(b, ends[0])
    schema.SubGraphAddOutputs(b, ends[1])
    return int(schema.SubGraphEnd(b))
