"""What a `.tflite` file is, from its own tables: parameters, types, operators, kind of quantization, size.

    >>> found = facts(read_model(Path("digits_int8.tflite")))         # doctest: +SKIP
    >>> found.quantization, found.parameters, found.float_ops         # doctest: +SKIP
    ('full_integer', 4682, 0)

The size that a healthy conversion has follows from the float32 file: `expected_bytes(float32, "int8")`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from liteproof.recipes import RECIPES, Recipe
from liteproof.tflite.reader import Model, Operator, Subgraph, Tensor

QuantizationScheme = Literal["none", "float16", "dynamic_range", "weight_only", "full_integer", "int16x8", "mixed"]
Role = Literal["weight", "bias", "other"]

Readers = dict[int, list[tuple[Operator, int]]]

FLOAT_TYPES = frozenset({"FLOAT32", "FLOAT16", "FLOAT64", "BFLOAT16", "FLOAT8_E4M3FN", "FLOAT8_E5M2"})

# Which inputs of an operator are weights and which are biases (schema and kernels of LiteRT).
_LSTM_WEIGHTS = (*range(1, 12), 16)
_LSTM_BIASES = (12, 13, 14, 15, 17)
WEIGHT_INPUTS: Mapping[str, tuple[int, ...]] = {
    "CONV_2D": (1,),
    "DEPTHWISE_CONV_2D": (1,),
    "FULLY_CONNECTED": (1,),
    "TRANSPOSE_CONV": (1,),
    "CONV_3D": (1,),
    "CONV_3D_TRANSPOSE": (1,),
    "EMBEDDING_LOOKUP": (1,),
    "GATHER": (0,),
    "BATCH_MATMUL": (0, 1),
    "LSTM": _LSTM_WEIGHTS,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _LSTM_WEIGHTS,
    "RNN": (1, 2),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (1, 2),
    "SVDF": (1, 2),
}
BIAS_INPUTS: Mapping[str, tuple[int, ...]] = {
    "CONV_2D": (2,),
    "DEPTHWISE_CONV_2D": (2,),
    "FULLY_CONNECTED": (2,),
    "TRANSPOSE_CONV": (3,),
    "CONV_3D": (2,),
    "LSTM": _LSTM_BIASES,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _LSTM_BIASES,
    "RNN": (3,),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (3,),
    "SVDF": (3,),
}
# The dimension along which weights have a scale each (8-bit quantization specification); others have one scale.
PER_AXIS_DIMENSION = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}

# Operators that move or convert values and compute nothing: a float tensor at one of them is no float arithmetic.
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "DENSIFY", "CAST")
_SHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SHAPE", "RANK", "BROADCAST_TO", "TILE", "REVERSE_V2", "TRANSPOSE")
_PARTS = ("SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "PACK", "UNPACK", "GATHER", "GATHER_ND")
_SPACE = ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
_CONTROL = ("WHILE", "IF", "CALL", "CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
_NOT_COMPUTING = frozenset(_CONVERSIONS + _SHAPES + _PARTS + _SPACE + _CONTROL)


@dataclass(frozen=True)
class ParameterTensor:
    """A constant that carries real values: a weight, a bias, or another operand of arithmetic.

    Attributes:
        name: The tensor's name.
        role: By the input of the operator it feeds, looked up through DEQUANTIZE.
        operator: Name of that operator; "" where nothing reads it.
        type: "FLOAT32", "INT8" …
        elements: Number of values.
        channels: Scales that a per-axis quantization gives it.
        bytes: What it takes in the file.
        reader: Index of that operator; -1 where nothing reads it, and outside the first subgraph.
    """

    name: str
    role: Role
    operator: str
    type: str
    elements: int
    channels: int
    bytes: int
    reader: int = -1


@dataclass(frozen=True)
class OperatorCount:
    """How often an operator occurs, and in which version."""

    name: str
    version: int
    count: int


@dataclass(frozen=True)
class End:
    """An input or output of the first subgraph; scale 0.0 where it is not quantized."""

    name: str
    shape: tuple[int, ...]
    type: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Facts:
    """What a file is.

    Attributes:
        file_bytes: Size of the file.
        parameters: Number of values in weights, biases and other real-valued constants; shapes, axes and indices
            do not count, and constants that share a buffer count once.
        parameter_tensors: Those constants one by one.
        elements_by_type: Parameters by type.
        bytes_by_type: Bytes of all constants by type, indices included.
        constant_bytes: Sum of `bytes_by_type`.
        overhead_bytes: The rest of the file: tables, names, quantization parameters, metadata, alignment.
        activations: Number of tensors that are computed from float or quantized values.
        operators: Histogram over all subgraphs, most frequent first.
        float_operators: Operators that compute in float, as "CONV_2D #3": one of the activations they read or write
            is a float tensor, and they do more than move values.
        quantization: "none"; "float16" weights; "dynamic_range" (integer weights, read by the operators themselves);
            "weight_only" (integer weights, dequantized first); "full_integer" and "int16x8" (8 or 16-bit
            activations, no float arithmetic); "mixed" for anything between.
        inputs: Of the first subgraph.
        outputs: Of the first subgraph.
        custom_operators: Codes of operators outside the builtin set, Flex ones included.
        flex_operators: Those that need TensorFlow's own kernels ("FlexErf").
        min_runtime_version: As the converter noted it; "" where it did not.
        joined_names: Bytes by which names of tensors grow when the file is converted to 8-bit activations.
    """

    file_bytes: int
    parameters: int
    parameter_tensors: tuple[ParameterTensor, ...]
    elements_by_type: Mapping[str, int]
    bytes_by_type: Mapping[str, int]
    constant_bytes: int
    overhead_bytes: int
    activations: int
    operators: tuple[OperatorCount, ...]
    float_operators: tuple[str, ...]
    quantization: QuantizationScheme
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    custom_operators: tuple[str, ...]
    flex_operators: tuple[str, ...]
    min_runtime_version: str
    joined_names: int = 0

    @property
    def float_ops(self) -> int:
        """Number of operators that compute in float."""
        return len(self.float_operators)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all parameters: no file with these values in these types can be smaller."""
        return sum(tensor.bytes for tensor in self.parameter_tensors)

    @property
    def bytes_per_parameter(self) -> float:
        """Near 4 for float32, 2 for float16, 1 for 8 bits; small networks lie above. NaN without parameters."""
        return self.parameter_bytes / self.parameters if self.parameters else float("nan")


def facts(model: Model) -> Facts:
    """Gather what a file is.

    Args:
        model: As read by `liteproof.tflite.reader.read_model`.
    """
    constants = tuple(_constants(model))
    uses = [readers(graph) for graph in model.subgraphs]
    parameters = tuple(_parameter(model, uses, i, tensor) for i, tensor in constants if is_real_valued(tensor))
    bytes_by_type = _total((tensor.type, model.buffers[tensor.buffer].size) for _, tensor in constants)
    constant_bytes = sum(bytes_by_type.values())
    custom = tuple(dict.fromkeys(code.name for code in model.operator_codes if code.custom))
    graph = model.subgraphs[0]
    return Facts(
        file_bytes=model.bytes,
        parameters=sum(tensor.elements for tensor in parameters),
        parameter_tensors=parameters,
        elements_by_type=_total((tensor.type, tensor.elements) for tensor in parameters),
        bytes_by_type=bytes_by_type,
        constant_bytes=constant_bytes,
        overhead_bytes=model.bytes - constant_bytes,
        activations=sum(1 for tensor in _computed(model) if is_real_valued(tensor)),
        operators=_histogram(model),
        float_operators=tuple(_float_operators(model)),
        quantization=_scheme(model, uses),
        inputs=tuple(_end(graph.tensors[i]) for i in graph.inputs),
        outputs=tuple(_end(graph.tensors[i]) for i in graph.outputs),
        custom_operators=custom,
        flex_operators=tuple(code for code in custom if code.startswith("Flex")),
        min_runtime_version=_note(model, "min_runtime_version"),
        joined_names=sum(_joined(graph, op) for graph in model.subgraphs for op in graph.operators),
    )


def _joined(graph: Subgraph, operator: Operator) -> int:
    """By how much the names of an operator's outputs grow in 8 bits.

    TFLiteConverter quantizes an operator of several outputs (SPLIT, UNPACK) into one whose every output bears all their
    names, joined by semicolons: in an unrolled LSTM that is a seventh of the file.
    """
    lengths = [len(graph.tensors[index].name) for index in operator.outputs]
    if len(lengths) < 2:
        return 0
    return len(lengths) * (sum(lengths) + len(lengths) - 1) - sum(lengths)


def is_real_valued(tensor: Tensor) -> bool:
    """Whether a tensor carries real values: floats, or codes with a scale. Shapes, axes and indices do not."""
    return tensor.type in FLOAT_TYPES or tensor.quantization.kind != "none"


def _is_constant(model: Model, tensor: Tensor) -> bool:
    return model.buffers[tensor.buffer].size > 0 and not tensor.is_variable


def _constants(model: Model) -> Iterator[tuple[int, Tensor]]:
    """Constants, each with its subgraph's index; where several share a buffer, the first."""
    seen: set[int] = set()
    for i, graph in enumerate(model.subgraphs):
        for tensor in graph.tensors:
            if _is_constant(model, tensor) and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                yield i, tensor


def _computed(model: Model) -> Iterator[Tensor]:
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if not _is_constant(model, tensor):
                yield tensor


def _total(pairs: Iterator[tuple[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = defaultdict(int)
    for key, amount in pairs:
        totals[key] += amount
    return dict(totals)


def _histogram(model: Model) -> tuple[OperatorCount, ...]:
    counts = Counter((op.name, op.version) for graph in model.subgraphs for op in graph.operators)
    return tuple(OperatorCount(name, version, count) for (name, version), count in counts.most_common())


def _end(tensor: Tensor) -> End:
    quantized = tensor.quantization.kind == "per_tensor"
    scale = float(tensor.quantization.scales[0]) if quantized else 0.0
    zero_point = int(tensor.quantization.zero_points[0]) if quantized else 0
    return End(tensor.name, tensor.shape_signature, tensor.type, scale, zero_point)


def _note(model: Model, name: str) -> str:
    """A short text from the metadata, without its padding of NUL bytes."""
    if name not in model.metadata:
        return ""
    text = bytes(model.buffer_data(model.metadata[name])[:64]).decode("ascii", errors="backslashreplace")
    return text.split("\0")[0]


def readers(graph: Subgraph) -> Readers:
    """For each tensor that operators read: those operators, each with the position among its inputs."""
    found: Readers = defaultdict(list)
    for operator in graph.operators:
        for position, index in enumerate(operator.inputs):
            found[index].append((operator, position))
    return found


def _use(uses: Readers, index: int) -> tuple[str, Role]:
    """The operator that a constant feeds, and as what; DEQUANTIZE and DENSIFY in between are looked through."""
    name = ""
    for operator, position in _final_readers(uses, index):
        name = operator.name
        if position in WEIGHT_INPUTS.get(name, ()):
            return name, "weight"
        if position in BIAS_INPUTS.get(name, ()):
            return name, "bias"
    return name, "other"


def _final_readers(uses: Readers, index: int) -> list[tuple[Operator, int]]:
    """Who reads a constant after at most two conversions (DENSIFY, then DEQUANTIZE)."""
    found = uses.get(index, [])
    for _ in range(2):
        if not found or not found[0][0].outputs or found[0][0].name not in ("DEQUANTIZE", "DENSIFY"):
            break
        found = uses.get(found[0][0].outputs[0], [])
    return found


def _parameter(model: Model, uses: list[Readers], graph: int, tensor: Tensor) -> ParameterTensor:
    operator, role = _use(uses[graph], tensor.index)
    reading = _final_readers(uses[graph], tensor.index) if graph == 0 else []
    dimension = PER_AXIS_DIMENSION.get(operator, len(tensor.shape))
    size = model.buffers[tensor.buffer].size
    if role == "bias":
        channels = tensor.elements
    else:
        channels = tensor.shape[dimension] if role == "weight" and dimension < len(tensor.shape) else 1
    reader = reading[0][0].index if reading else -1
    return ParameterTensor(tensor.name, role, operator, tensor.type, tensor.elements, channels, size, reader)


def _float_operators(model: Model) -> Iterator[str]:
    for graph in model.subgraphs:
        for op in graph.operators:
            touched = [graph.tensors[i] for i in op.inputs + op.outputs if i >= 0]
            floats = any(t.type in FLOAT_TYPES and not _is_constant(model, t) for t in touched)
            if floats and op.name not in _NOT_COMPUTING:
                yield f"{op.name} #{op.index}"


def _scheme(model: Model, uses: list[Readers]) -> QuantizationScheme:
    activations = {t.type for t in _computed(model) if t.quantization.kind != "none"}
    activations -= FLOAT_TYPES
    if activations:
        if any(True for _ in _float_operators(model)):
            return "mixed"
        if activations <= {"INT8", "UINT8"}:
            return "full_integer"
        return "int16x8" if activations == {"INT16"} else "mixed"
    return _weight_scheme(model, uses)


def _weight_scheme(model: Model, uses: list[Readers]) -> QuantizationScheme:
    """The scheme of a model whose activations are float."""
    found: set[QuantizationScheme] = set()
    for i, tensor in _constants(model):
        if tensor.type == "FLOAT16":
            found.add("float16")
        elif tensor.type not in FLOAT_TYPES and tensor.quantization.kind != "none":
            names = {operator.name for operator, _ in uses[i].get(tensor.index, [])}
            found.add("weight_only" if names == {"DEQUANTIZE"} else "dynamic_range")
    if len(found) > 1:
        return "mixed"
    return found.pop() if found else "none"


# What TFLiteConverter adds to the tables, in bytes. Measured with TensorFlow 2.21: the prediction is within 0.4% for
# five dense, convolutional and depthwise networks, within 1% for the int8 of an unrolled LSTM.
_SCALE = 4 + 8  # a float32 scale and an int64 zero point
_PARAMETER_TABLE = 24  # QuantizationParameters: its table and the lengths of its vectors
_MIN_MAX = 8  # TFLiteConverter leaves the calibrated range of every scale in int16x8 files
_DEQUANTIZE = 105  # an operator, a tensor (its name comes on top) and a buffer
_END_CONVERSION = 200  # a QUANTIZE or DEQUANTIZE at an end, with its tensor and operator code

# TFLiteConverter leaves smaller weights of dynamic-range models in float32.
_SMALLEST_DYNAMIC_RANGE = 1024
# Operators that LiteRT Quantizer gives 4-bit weights; depthwise weights stay float32.
_FOUR_BIT_OPERATORS = frozenset({"CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP", "BATCH_MATMUL"})


def expected_bytes(float32: Facts, recipe: str) -> int:
    """The file size of a healthy conversion by a recipe.

    The parameters at the recipe's widths, one scale and zero point for each channel of weights and biases and for each
    activation, and the float32 file's own overhead. Small deep networks are mostly overhead and channels: MobileNetV2
    0.35 keeps int8 at 0.39 and int4 at 0.25 of float32.

    Args:
        float32: Facts of the float32 `.tflite`.
        recipe: A name of `liteproof.recipes.RECIPES`.

    Raises:
        KeyError: No such recipe.
    """
    promise = RECIPES[recipe]
    if promise.weights == "float32":
        return float32.file_bytes
    size = float32.file_bytes - float32.parameter_bytes
    size += sum(_converted_bytes(tensor, promise) for tensor in float32.parameter_tensors)
    if promise.quantized_activations:
        size += float32.activations * (_SCALE + _PARAMETER_TABLE + _range_bytes(promise))
        size += float32.joined_names if promise.activations == "int8" else 0
        if promise.inputs != promise.activations:
            size += _END_CONVERSION * (len(float32.inputs) + len(float32.outputs))
    return size


def expected_bytes_mixed(float32: Facts, layers: Mapping[int, Recipe], boundaries: int) -> int:
    """The file size of a healthy conversion by a mixed recipe.

    Args:
        float32: Facts of the float32 `.tflite`.
        layers: What is promised of each operator of it that is quantized, by its index.
        boundaries: How many tensors pass from one type to another.
    """
    size = float32.file_bytes - float32.parameter_bytes + boundaries * _END_CONVERSION
    for tensor in float32.parameter_tensors:
        promise = layers.get(tensor.reader)
        size += tensor.bytes if promise is None else _converted_bytes(tensor, promise)
        if promise is not None and tensor.role == "weight" and promise.rules[0].block > 0:
            # A float16 scale for each block, in a tensor of its own.
            size += 2 * -(-tensor.elements // promise.rules[0].block) + _DEQUANTIZE + len(tensor.name)
        if promise is not None and tensor.role == "weight" and promise.rules[0].mode == "weight_only":
            size += _DEQUANTIZE + len(tensor.name)
    wide = sum(promise.quantized_activations for promise in layers.values())
    return size + wide * (_SCALE + _PARAMETER_TABLE + _MIN_MAX)


def smallest_bytes_mixed(float32: Facts, layers: Mapping[int, Recipe]) -> int:
    """The bytes that its parameters take alone, each in the bits of its layer; biases in four bytes or more."""
    bits = 0
    for tensor in float32.parameter_tensors:
        promise = layers.get(tensor.reader)
        narrow = promise is not None and tensor.role != "bias"
        bits += tensor.elements * (promise.weight_bits if promise is not None and narrow else 32)
    return bits // 8


def smallest_bytes(float32: Facts, recipe: str) -> int:
    """The bytes that a recipe's parameters take alone: a smaller file holds another network.

    Raises:
        KeyError: No such recipe.
    """
    return float32.parameters * RECIPES[recipe].weight_bits // 8


def _range_bytes(promise: Recipe) -> int:
    return _MIN_MAX if promise.activations == "int16" else 0


def _converted_bytes(tensor: ParameterTensor, promise: Recipe) -> int:
    """What one float32 parameter tensor takes after conversion, its quantization parameters included."""
    if promise.weights == "float16":
        return tensor.elements * 2 + _DEQUANTIZE + len(tensor.name)
    wide = promise.activations == "int16"
    if promise.quantized_activations and tensor.role == "bias":
        return tensor.elements * (8 if wide else 4) + tensor.channels * _SCALE + _PARAMETER_TABLE
    if promise.quantized_activations and tensor.role == "other":
        return tensor.elements * (2 if wide else 1) + _SCALE + _PARAMETER_TABLE
    if not promise.quantized_activations and not _gets_integer_weights(tensor, promise):
        return tensor.elements * 4
    codes = (tensor.elements * promise.weight_bits + 7) // 8
    return codes + tensor.channels * (_SCALE + _range_bytes(promise)) + _PARAMETER_TABLE


def _gets_integer_weights(tensor: ParameterTensor, promise: Recipe) -> bool:
    """Whether a recipe with float activations quantizes a tensor."""
    if tensor.role != "weight":
        return False
    if promise.weight_bits == 4:
        return tensor.operator in _FOUR_BIT_OPERATORS
    return tensor.elements >= _SMALLEST_DYNAMIC_RANGE
