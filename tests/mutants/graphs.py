"""Wrong graphs and wrong files: operators, ends, versions, missing and cut parts."""

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.mutants.edit import File
from tests.mutants.kinds import At, Origin, edits, files
from tests.mutants.parameters import first_output, output_at

BUILTINS = schema.BuiltinOperator
FUSED = schema.ActivationFunctionType


def reorder_classes(file: File, order: np.ndarray) -> At:
    """Take the classes of the last layer in another order, or only some of them."""
    layer = file.layers[-1]
    for tensor in (layer.weights, layer.bias):
        file.write(tensor, file.read(tensor)[order])
        if file.is_quantized(tensor):
            quantization = file.quantization(tensor)
            quantization.scale = file.scales(tensor)[order]
            quantization.zeroPoint = np.zeros(len(order), np.int64)
    return At(layer.operator, (layer.weights, layer.bias))


@edits("int8")
def classes_permuted(file: File, from_: Origin) -> At:
    """The output classes are in another order: that of another labels file."""
    return reorder_classes(file, np.roll(np.arange(len(file.read(file.layers[-1].bias))), 1))


@edits("int8")
def two_classes_swapped(file: File, from_: Origin) -> At:
    """Two of the output classes are swapped."""
    order = np.arange(len(file.read(file.layers[-1].bias)))
    order[[4, 9]] = order[[9, 4]]
    return reorder_classes(file, order)


@edits("float32")
def class_missing(file: File, from_: Origin) -> At:
    """The last class is missing."""
    found = reorder_classes(file, np.arange(len(file.read(file.layers[-1].bias)) - 1))
    for tensor in (file.layers[-1].output, first_output(file)):
        shape = np.array(file.tensor(tensor).shape)
        shape[-1] -= 1
        file.tensor(tensor).shape = shape
        if file.tensor(tensor).shapeSignature is not None:
            signature = np.array(file.tensor(tensor).shapeSignature)
            signature[-1] -= 1
            file.tensor(tensor).shapeSignature = signature
    return found


def remove_softmax(file: File) -> At:
    """Let the graph end at the logits."""
    operator = file.operators("SOFTMAX")[-1]
    logits, found = int(file.graph.operators[operator].inputs[0]), output_at(file)
    del file.graph.operators[operator]
    file.graph.outputs = np.array([logits], np.int32)
    for signature in file.model.signatureDefs or []:
        signature.outputs[0].tensorIndex = logits
    return found


@edits("int8")
def softmax_removed(file: File, from_: Origin) -> At:
    """The softmax at the end is gone: outputs are logits."""
    return remove_softmax(file)


@edits("float32")
def float32_softmax_removed(file: File, from_: Origin) -> At:
    """The softmax at the end of a float32 file is gone: outputs are logits."""
    return remove_softmax(file)


@edits("int8")
def softmax_flattened(file: File, from_: Origin) -> At:
    """The softmax has a temperature of two: every class stays the same, no probability does."""
    operator = file.operators("SOFTMAX")[-1]
    file.graph.operators[operator].builtinOptions.beta = 0.5
    return output_at(file)


def drop_activation(file: File, from_: Origin) -> At:
    """Take the fused ReLU off one layer."""
    fused = lambda layer: file.graph.operators[layer.operator].builtinOptions.fusedActivationFunction  # noqa: E731
    layer = from_.any_layer(file, lambda layer: fused(layer) != FUSED.NONE)
    file.graph.operators[layer.operator].builtinOptions.fusedActivationFunction = FUSED.NONE
    return At(layer.operator, (layer.output,))


@edits("float32")
def relu_removed(file: File, from_: Origin) -> At:
    """One layer has lost its ReLU."""
    return drop_activation(file, from_)


@edits("int8")
def relu_removed_where_the_range_clips(file: File, from_: Origin) -> At:
    """One int8 layer has lost its ReLU; its output's range begins at zero all the same."""
    return drop_activation(file, from_)


@edits("float32")
def relu_clips_at_one(file: File, from_: Origin) -> At:
    """The ReLU of one layer clips its values to [-1, 1]."""
    layer = from_.any_layer(file)
    file.graph.operators[layer.operator].builtinOptions.fusedActivationFunction = FUSED.RELU_N1_TO_1
    return At(layer.operator, (layer.output,))


@edits("float32")
def batch_norm_not_folded(file: File, from_: Origin) -> At:
    """One convolution's batch normalization is an operator MUL and an operator ADD of its own."""
    layer = from_.any_layer(file, lambda layer: layer.name == "CONV_2D")
    node, weights = file.graph.operators[layer.operator], file.read(layer.weights)
    gain = np.abs(weights).reshape(len(weights), -1).max(axis=1) + np.float32(0.01)
    file.write(layer.weights, weights / gain.reshape(-1, 1, 1, 1))
    gains = file.add_tensor(layer.bias, "batch_norm/gain", gain)
    offsets = file.add_tensor(layer.bias, "batch_norm/offset", file.read(layer.bias))
    file.write(layer.bias, np.zeros(len(gain)))
    between = [file.add_tensor(layer.output, f"batch_norm/{name}") for name in ("convolved", "scaled")]
    fused = node.builtinOptions.fusedActivationFunction
    node.builtinOptions.fusedActivationFunction = FUSED.NONE
    node.outputs = np.array([between[0]], np.int32)
    scale = arithmetic(file, "MUL", (between[0], gains), between[1], FUSED.NONE)
    shift = arithmetic(file, "ADD", (between[1], offsets), layer.output, fused)
    file.graph.operators[layer.operator + 1 : layer.operator + 1] = [scale, shift]
    return At(layer.operator, (layer.weights, layer.bias))


def arithmetic(file: File, name: str, inputs: tuple[int, int], output: int, fused: int) -> schema.OperatorT:
    """A new MUL or ADD."""
    node = schema.OperatorT()
    node.opcodeIndex = file.add_code(getattr(BUILTINS, name))
    node.inputs, node.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    options = schema.MulOptionsT() if name == "MUL" else schema.AddOptionsT()
    options.fusedActivationFunction = fused
    node.builtinOptions = options
    node.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name.capitalize()}Options")
    return node


@edits("int8")
def neurons_cut(file: File, from_: Origin) -> At:
    """The weakest third of the last hidden layer's neurons was cut out, which makes the file smaller than it can be."""
    hidden, last = file.layers[-2:]
    use = np.abs(file.dequantize(last.weights)).sum(axis=0)
    kept = np.sort(np.argsort(-use)[: 2 * len(use) // 3])
    for tensor in (hidden.weights, hidden.bias):
        file.write(tensor, file.read(tensor)[kept])
        quantization = file.quantization(tensor)
        quantization.scale = file.scales(tensor)[kept]
        quantization.zeroPoint = np.zeros(len(kept), np.int64)
    file.write(last.weights, file.read(last.weights)[:, kept])
    for tensor in {hidden.output, last.input}:
        for key in ("shape", "shapeSignature"):
            if getattr(file.tensor(tensor), key) is not None:
                shape = np.array(getattr(file.tensor(tensor), key))
                shape[-1] = len(kept)
                setattr(file.tensor(tensor), key, shape)
    return At(hidden.operator, (hidden.weights, hidden.bias, last.weights))


@edits("int8")
def operator_version_too_new(file: File, from_: Origin) -> At:
    """One layer's operator is of version 99, which no runtime has."""
    layer = from_.any_layer(file)
    file.own_code(layer.operator).version = 99
    return At(layer.operator, (layer.output,))


def make_custom(file: File, operator: int, name: str) -> At:
    """Let an operator be one that is not built in."""
    code, node = file.own_code(operator), file.graph.operators[operator]
    code.builtinCode = code.deprecatedBuiltinCode = BUILTINS.CUSTOM
    code.customCode = name.encode()
    node.builtinOptions, node.builtinOptionsType = None, 0
    return At(operator, (int(node.outputs[0]),))


@edits("float32")
def custom_operator(file: File, from_: Origin) -> At:
    """The softmax is a custom operator that no runtime has."""
    return make_custom(file, file.operators("SOFTMAX")[-1], "FasterSoftmax")


@edits("float32")
def select_tf_operator(file: File, from_: Origin) -> At:
    """The softmax is left to TensorFlow's own kernels (Select TF ops)."""
    return make_custom(file, file.operators("SOFTMAX")[-1], "FlexSoftmax")


@edits("int8")
def buffer_truncated(file: File, from_: Origin) -> At:
    """One layer's weights end in the middle."""
    layer = from_.any_layer(file)
    buffer = file.model.buffers[file.tensor(layer.weights).buffer]
    buffer.data = np.asarray(buffer.data)[: len(buffer.data) // 2]
    return At(layer.operator, (layer.weights,))


@edits("int8")
def buffer_missing(file: File, from_: Origin) -> At:
    """One layer's weights are not in the file."""
    layer = from_.any_layer(file)
    file.model.buffers[file.tensor(layer.weights).buffer].data = None
    return At(layer.operator, (layer.weights,))


@edits("int8")
def dead_weight(file: File, from_: Origin) -> None:
    """The file carries a float32 copy of its weights that nothing reads."""
    for layer in file.layers:
        buffer = file.add_buffer(file.dequantize(layer.weights).astype(np.float32).tobytes())
        entry = copy.deepcopy(file.model.metadata[0])
        entry.name, entry.buffer = f"checkpoint_{layer.operator}".encode(), buffer
        file.model.metadata.append(entry)


@edits("int8")
def bias_of_another_layer(file: File, from_: Origin) -> At:
    """One layer reads the bias of another layer, of the same width."""
    width = {layer: file.tensor(layer.bias).shape[0] for layer in file.layers}
    pairs = [(a, b) for a in file.layers for b in file.layers if a is not b and width[a] == width[b]]
    one, other = pairs[from_.random.integers(len(pairs))]
    inputs = np.array(file.graph.operators[one.operator].inputs)
    inputs[2] = other.bias
    file.graph.operators[one.operator].inputs = inputs
    return At(one.operator, (one.bias, other.bias))


@files("int8")
def file_truncated(from_: Origin) -> bytes:
    """The last third of the file is missing."""
    content = from_.variants["int8"]
    return content[: 2 * len(content) // 3]


@files("int8")
def file_of_zeros(from_: Origin) -> bytes:
    """The file has the right length and holds zeros behind its first half: a download that broke off."""
    content = from_.variants["int8"]
    half = len(content) // 2
    return content[:half] + bytes(len(content) - half)
