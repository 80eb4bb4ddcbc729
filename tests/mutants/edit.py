"""Editing a `.tflite`: its tables as objects, its constants as arrays, and the flatbuffer packed again.

>>> file = File(Path("int8.tflite").read_bytes())                  # doctest: +SKIP
>>> layer = file.layers[0]                                         # doctest: +SKIP
>>> file.write(layer.weights, -file.read(layer.weights))           # doctest: +SKIP
>>> spoiled = file.packed()                                        # doctest: +SKIP

The object interface is that of LiteRT's own schema package. Reading and packing without a change is the control: the
suites must not tell such a file from the healthy one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

DTYPES = {
    schema.TensorType.FLOAT32: np.dtype("<f4"),
    schema.TensorType.FLOAT16: np.dtype("<f2"),
    schema.TensorType.INT8: np.dtype("i1"),
    schema.TensorType.UINT8: np.dtype("u1"),
    schema.TensorType.INT16: np.dtype("<i2"),
    schema.TensorType.INT32: np.dtype("<i4"),
    schema.TensorType.INT64: np.dtype("<i8"),
}
NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
# The dimension of output channels of an operator's weights.
CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


@dataclass(frozen=True)
class Layer:
    """An operator with constant weights and bias, by tensor indices.

    `weights` and `bias` are the tensors that hold the values, which in float16 files lie behind a DEQUANTIZE.
    """

    operator: int
    name: str
    input: int
    weights: int
    bias: int
    output: int

    @property
    def axis(self) -> int:
        """The dimension of output channels in the weights."""
        return CHANNELS[self.name]


class File:
    """A `.tflite` opened for editing."""

    def __init__(self, content: bytes) -> None:
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        self.graph = self.model.subgraphs[0]
        for buffer in self.model.buffers:
            if buffer.offset > 1:  # kept outside the tables
                buffer.data = np.frombuffer(content[buffer.offset : buffer.offset + buffer.size], np.uint8)
                buffer.offset = buffer.size = 0

    def packed(self) -> bytes:
        """The flatbuffer."""
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    # -- operators --------------------------------------------------------------------------------------------------

    def operator_name(self, index: int) -> str:
        """ "CONV_2D" """
        code = self.model.operatorCodes[self.graph.operators[index].opcodeIndex]
        return NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def place(self, index: int) -> str:
        """An operator as messages spell it: "CONV_2D #3"."""
        return f"{self.operator_name(index)} #{index}"

    def operators(self, name: str) -> list[int]:
        """The indices of all operators of this name, in order."""
        return [i for i in range(len(self.graph.operators)) if self.operator_name(i) == name]

    def own_code(self, operator: int) -> schema.OperatorCodeT:
        """An operator code that only this operator has: to be changed."""
        node = self.graph.operators[operator]
        code = copy.deepcopy(self.model.operatorCodes[node.opcodeIndex])
        node.opcodeIndex = self._appended(self.model.operatorCodes, code)
        return code

    def add_code(self, number: int, version: int = 1) -> int:
        """A new operator code; its index."""
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        return self._appended(self.model.operatorCodes, code)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The operators with weights and a bias, in order."""
        return tuple(self._layers())

    def _layers(self) -> Iterator[Layer]:
        for index, node in enumerate(self.graph.operators):
            name = self.operator_name(index)
            if name in CHANNELS and len(node.inputs) == 3:
                source, weights, bias = (int(tensor) for tensor in node.inputs)
                yield Layer(index, name, source, self._behind(weights), self._behind(bias), int(node.outputs[0]))

    def _behind(self, tensor: int) -> int:
        """The constant that a DEQUANTIZE makes this tensor of; the tensor itself where there is none."""
        for index in self.operators("DEQUANTIZE"):
            if int(self.graph.operators[index].outputs[0]) == tensor:
                return int(self.graph.operators[index].inputs[0])
        return tensor

    def writer(self, tensor: int) -> int:
        """The operator that computes a tensor; -1 for the graph's inputs."""
        found = [i for i, node in enumerate(self.graph.operators) if tensor in node.outputs]
        return found[0] if found else -1

    def readers(self, tensor: int) -> list[int]:
        """The operators that read a tensor."""
        return [i for i, node in enumerate(self.graph.operators) if tensor in node.inputs]

    # -- tensors ----------------------------------------------------------------------------------------------------

    def tensor(self, index: int) -> schema.TensorT:
        """A tensor's table."""
        return self.graph.tensors[index]

    def tensor_name(self, index: int) -> str:
        """A tensor's name."""
        return self.tensor(index).name.decode()

    def quantization(self, index: int) -> schema.QuantizationParametersT:
        """A tensor's scales and zero points."""
        return self.tensor(index).quantization

    def scales(self, index: int) -> np.ndarray:
        """A tensor's scales, float32; a copy."""
        return np.array(self.quantization(index).scale, np.float32)

    def is_quantized(self, index: int) -> bool:
        """Whether a tensor has a scale."""
        quantization = self.tensor(index).quantization
        return quantization is not None and quantization.scale is not None and len(quantization.scale) > 0

    def read(self, index: int) -> np.ndarray:
        """The values that the file holds for a tensor, of its shape; a copy."""
        tensor = self.tensor(index)
        raw = np.asarray(self.model.buffers[tensor.buffer].data, np.uint8).tobytes()
        return np.frombuffer(raw, DTYPES[tensor.type]).reshape(tensor.shape).copy()

    def write(self, index: int, values: np.ndarray) -> None:
        """Replace a tensor's values, and its shape with theirs; other tensors that share the buffer keep theirs."""
        tensor = self.tensor(index)
        content = np.ascontiguousarray(values, DTYPES[tensor.type]).tobytes()
        tensor.shape = np.array(values.shape, np.int32)
        if sum(other.buffer == tensor.buffer for other in self.graph.tensors) > 1:
            tensor.buffer = self.add_buffer(content)
        else:
            self.model.buffers[tensor.buffer].data = np.frombuffer(content, np.uint8)

    def add_buffer(self, content: bytes | None) -> int:
        """A new buffer, without content for what is computed; its index."""
        buffer = schema.BufferT()
        buffer.data = None if content is None else np.frombuffer(content, np.uint8)
        return self._appended(self.model.buffers, buffer)

    def add_tensor(self, like: int, name: str, values: np.ndarray | None = None) -> int:
        """A new tensor of the type, shape and quantization of another one, or with these values; its index."""
        tensor = copy.deepcopy(self.tensor(like))
        tensor.name = name.encode()
        index = self._appended(self.graph.tensors, tensor)
        if values is None:
            tensor.buffer = self.add_buffer(None)
        else:
            self.write(index, values)
        return index

    @staticmethod
    def _appended(table: list, entry: object) -> int:
        table.append(entry)
        return len(table) - 1

    # -- quantized values -------------------------------------------------------------------------------------------

    def quantize(self, index: int, values: np.ndarray) -> np.ndarray:
        """Codes of real values by a tensor's own scales, for zero points of 0: to the nearest, within the type."""
        tensor = self.tensor(index)
        info = np.iinfo(DTYPES[tensor.type])
        low = max(info.min, -info.max)  # symmetric, as weights are
        codes = np.rint(np.asarray(values, np.float64) / self.spread(index))
        return np.clip(codes, low, info.max).astype(DTYPES[tensor.type])

    def dequantize(self, index: int) -> np.ndarray:
        """The real values of a constant, float64."""
        return self.read(index).astype(np.float64) * (self.spread(index) if self.is_quantized(index) else 1.0)

    def spread(self, index: int) -> np.ndarray:
        """A tensor's scales in a shape that broadcasts over it, float64."""
        shape = [1] * len(self.tensor(index).shape)
        scales = self.scales(index).astype(np.float64)
        if scales.size > 1:
            shape[self.quantization(index).quantizedDimension] = -1
        return scales.reshape(shape)

    def rescale(self, tensor: int, factor: float, floats: File | None = None) -> None:
        """Another scale for an activation, and what follows from it for the biases of the layers that read it.

        The file keeps to the specification: only the range that the activation can represent is another. A bias that is
        rounded a second time may be off by a step; not if `floats`, the float32 file of the same weights, gives it.
        """
        self.quantization(tensor).scale = self.scales(tensor) * np.float32(factor)
        for place, layer in enumerate(self.layers):
            if layer.input == tensor:
                real = floats.dequantize(floats.layers[place].bias) if floats else self.dequantize(layer.bias)
                self.quantization(layer.bias).scale = self.scales(layer.bias) * np.float32(factor)
                self.write(layer.bias, self.quantize(layer.bias, real))


def edited(content: bytes, change: Callable[[File], object] = lambda _: None) -> bytes:
    """A file after a change."""
    file = File(content)
    change(file)
    return file.packed()
