"""Files of mixed precision whose layers are not what the rules promise: see `further` for the rules."""

import numpy as np

from tests.mutants.edit import DTYPES, File, Layer
from tests.mutants.kinds import At, Content, Origin, edits, files
from tests.mutants.weights import at


def boundary(file: File) -> int:
    """The operator that takes 8 bits to 16."""
    bits = lambda tensor: DTYPES[file.tensor(int(tensor)).type].itemsize  # noqa: E731
    nodes = file.graph.operators
    (found,) = [
        i for i in file.operators("QUANTIZE") if (bits(nodes[i].inputs[0]), bits(nodes[i].outputs[0])) == (1, 2)
    ]
    return found


def by_other_rules(from_: Origin, name: str) -> Content:
    """A file that other rules made, and the layer whose types are not those of the healthy one."""
    theirs, ours = File(from_.variants["mixed"]), File(from_.foreign[name])
    layer = next(
        layer
        for layer, other in zip(ours.layers, theirs.layers, strict=True)
        if kinds(ours, layer) != kinds(theirs, other)
    )
    return from_.foreign[name], At(layer.operator, (layer.weights, layer.output))


def kinds(file: File, layer: Layer) -> tuple[int, ...]:
    return tuple(file.tensor(tensor).type for tensor in (layer.input, layer.weights, layer.output))


@files("mixed")
def float_layer_quantized(from_: Origin) -> Content:
    """The layer that the rules leave in float is int8."""
    return by_other_rules(from_, "mixed_float_in_8_bits")


@files("mixed")
def layer_left_in_float(from_: Origin) -> Content:
    """A layer that the rules promise in int8 is left in float."""
    return by_other_rules(from_, "mixed_8_bits_in_float")


@files("mixed")
def int16_activations_where_int8_is_promised(from_: Origin) -> Content:
    """A layer that the rules promise in int8 has 16-bit activations, whose kernels are slow."""
    return by_other_rules(from_, "mixed_8_in_16_bits")


@files("mixed")
def int8_activations_where_int16_is_promised(from_: Origin) -> Content:
    """The last layer has 8-bit activations where the rules promise 16."""
    return by_other_rules(from_, "mixed_16_in_8_bits")


@files("int8", claim="mixed")
def int8_sold_as_mixed(from_: Origin) -> bytes:
    """A file that is int8 throughout is sold as mixed."""
    return from_.variants["int8"]


@edits("mixed")
def float_layer_of_another_training(file: File, from_: Origin) -> At:
    """The layer in float has the weights and biases of another training."""
    layer = from_.any_layer(file, lambda layer: not file.is_quantized(layer.weights))
    other = File(from_.foreign["retrained/float32"])
    theirs = other.layers[file.layers.index(layer)]
    file.write(layer.weights, other.read(theirs.weights))
    file.write(layer.bias, other.read(theirs.bias))
    return at(layer, layer.weights, layer.bias)


@edits("mixed")
def float_layer_rounded(file: File, from_: Origin) -> At:
    """The weights of the layer in float went through int8."""
    layer = from_.any_layer(file, lambda layer: not file.is_quantized(layer.weights))
    values = file.read(layer.weights)
    step = np.abs(values).max() / 127
    file.write(layer.weights, np.rint(values / step) * step)
    return at(layer)


@edits("mixed")
def scale_halved_between_8_and_16_bits(file: File, from_: Origin) -> At:
    """Where 8 bits become 16, the scale is half of what the values need; the biases follow it: no rule is broken."""
    operator = boundary(file)
    tensor = int(file.graph.operators[operator].outputs[0])
    file.rescale(tensor, 0.5, File(from_.variants["float32"]))
    return At(operator, (tensor,))


@edits("mixed")
def int16_range_far_too_wide(file: File, from_: Origin) -> At:
    """The range of the 16-bit logits is 16 times too wide, as after one outlier in calibration."""
    layer = from_.any_layer(file, lambda layer: DTYPES[file.tensor(layer.output).type].itemsize == 2)
    file.rescale(layer.output, 16.0)
    return At(layer.operator, (layer.output,))
