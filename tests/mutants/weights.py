"""Wrong weights and biases: what training and conversion made is not what the file holds."""

import numpy as np

from tests.mutants.edit import File, Layer
from tests.mutants.kinds import At, Origin, edits, strongest


def at(layer: Layer, *tensors: int) -> At:
    return At(layer.operator, tensors or (layer.weights,))


def by_channel(values: np.ndarray, layer: Layer) -> np.ndarray:
    """A view with the output channels first."""
    return np.moveaxis(values, layer.axis, 0)


def two_channels(file: File, layer: Layer) -> tuple[int, int]:
    """The strongest channel, and the one of the stronger half that differs most from it."""
    filters = by_channel(file.dequantize(layer.weights), layer)
    first, *others = strongest(file, layer).tolist()
    distances = [np.abs(filters[first] - filters[other]).sum() for other in others]
    return first, others[int(np.argmax(distances))]


def swap(values: np.ndarray, layer: Layer, one: int, other: int) -> np.ndarray:
    """Swap two channels of weights, or two entries of a vector."""
    view = by_channel(values, layer) if values.ndim > 1 else values
    view[[one, other]] = view[[other, one]]
    return values


@edits("int8")
def filters_swapped(file: File, from_: Origin) -> At:
    """The codes of two filters of one layer are swapped; their scales and biases are not."""
    layer = from_.any_layer(file)
    one, other = two_channels(file, layer)
    file.write(layer.weights, swap(file.read(layer.weights), layer, one, other))
    return at(layer)


@edits("int8")
def channels_swapped(file: File, from_: Origin) -> At:
    """Two output channels of one layer are swapped with their scales and biases; the next layer does not know."""
    layer = from_.any_layer(file)
    one, other = two_channels(file, layer)
    for tensor in (layer.weights, layer.bias):
        file.write(tensor, swap(file.read(tensor), layer, one, other))
        scales = file.scales(tensor)
        scales[[one, other]] = scales[[other, one]]
        file.quantization(tensor).scale = scales
    return at(layer, layer.weights, layer.bias)


@edits("int8")
def filter_sign_flipped(file: File, from_: Origin) -> At:
    """All weights of one filter have the wrong sign."""
    layer = from_.any_layer(file)
    codes = file.read(layer.weights)
    channel = from_.any_channel(file, layer)
    by_channel(codes, layer)[channel] *= -1
    file.write(layer.weights, codes)
    return at(layer)


@edits("int8")
def filter_copied_over_another(file: File, from_: Origin) -> At:
    """One filter is a copy of another one."""
    layer = from_.any_layer(file)
    one, other = two_channels(file, layer)
    codes = file.read(layer.weights)
    by_channel(codes, layer)[other] = by_channel(codes, layer)[one]
    file.write(layer.weights, codes)
    return at(layer)


@edits("int8")
def kernel_transposed(file: File, from_: Origin) -> At:
    """The 3 by 3 kernels of one layer have height and width exchanged."""
    layer = from_.any_layer(file, lambda layer: tuple(file.tensor(layer.weights).shape[1:3]) == (3, 3))
    file.write(layer.weights, np.swapaxes(file.read(layer.weights), 1, 2))
    return at(layer)


@edits("int8")
def layer_zeroed(file: File, from_: Origin) -> At:
    """All weights of one layer are zero."""
    layer = from_.any_layer(file)
    file.write(layer.weights, np.zeros_like(file.read(layer.weights)))
    return at(layer)


@edits("int8")
def weights_of_minus_128(file: File, from_: Origin) -> At:
    """The most negative weights of one layer have the code -128, which the specification leaves out."""
    layer = from_.any_layer(file, lambda layer: bool((file.read(layer.weights) == -127).any()))
    codes = file.read(layer.weights)
    codes[codes == -127] = -128
    file.write(layer.weights, codes)
    return at(layer)


@edits("int8")
def one_bit_flipped(file: File, from_: Origin) -> At:
    """One bit of one layer's weights is flipped: the second highest of one code."""
    layer = from_.any_layer(file)
    codes = file.read(layer.weights)
    flat = codes.view(np.uint8).reshape(-1)
    flat[from_.random.integers(flat.size)] ^= 0x40
    file.write(layer.weights, codes)
    return at(layer)


@edits("int8")
def codes_one_too_high(file: File, from_: Origin) -> At:
    """Every code of one layer's weights is one too high."""
    layer = from_.any_layer(file)
    file.write(layer.weights, np.minimum(file.read(layer.weights).astype(np.int16) + 1, 127))
    return at(layer)


@edits("int8")
def weights_truncated(file: File, from_: Origin) -> At:
    """The weights of one layer were cut towards zero instead of rounded to the nearest code."""
    layer = from_.any_layer(file)
    exact = matching_float(from_, file, layer) / file.spread(layer.weights)
    file.write(layer.weights, np.trunc(exact))
    return at(layer)


def matching_float(from_: Origin, file: File, layer: Layer) -> np.ndarray:
    """The float32 variant's weights of the same layer, float64."""
    floats = File(from_.variants["float32"])
    return floats.dequantize(floats.layers[file.layers.index(layer)].weights)


@edits("int8")
def weights_noisy(file: File, from_: Origin) -> None:
    """Every weight of every layer is off by up to two codes."""
    for layer in file.layers:
        codes = file.read(layer.weights).astype(np.int16)
        noise = from_.random.integers(-2, 3, codes.shape)
        file.write(layer.weights, np.clip(codes + noise, -127, 127))


@edits("int8")
def weights_pruned(file: File, from_: Origin) -> None:
    """The smallest fifth of the weights of every layer is zero, and nobody said so."""
    for layer in file.layers:
        codes = file.read(layer.weights)
        codes[np.abs(codes) <= np.quantile(np.abs(codes), 0.2)] = 0
        file.write(layer.weights, codes)


@edits("int8")
def four_bit_codes_in_eight(file: File, from_: Origin) -> None:
    """The weights of every layer have 15 levels, in int8 tensors with scales that fit: four bits sold as eight."""
    for layer in file.layers:
        real, bias = file.dequantize(layer.weights), file.dequantize(layer.bias)
        widest = np.abs(by_channel(real, layer)).reshape(len(file.scales(layer.weights)), -1).max(axis=1)
        ratio = np.where(widest > 0, widest / 7 / file.scales(layer.weights), 1.0).astype(np.float32)
        for tensor, values in ((layer.weights, real), (layer.bias, bias)):
            file.quantization(tensor).scale = file.scales(tensor) * ratio
            file.write(tensor, file.quantize(tensor, values))


@edits("dynamic_range")
def four_bit_codes_in_dynamic_range(file: File, from_: Origin) -> None:
    """The weights of a dynamic-range file have 15 levels, in int8 tensors with scales that fit."""
    for layer in file.layers:
        if file.is_quantized(layer.weights):
            real = file.dequantize(layer.weights)
            file.quantization(layer.weights).scale = file.scales(layer.weights) * np.float32(127 / 7)
            file.write(layer.weights, file.quantize(layer.weights, real))


@edits("int8")
def layer_of_another_training_run(file: File, from_: Origin) -> At:
    """One layer has weights, biases and scales of another training run."""
    return transplant(file, from_.any_layer(file), File(from_.foreign["retrained/int8"]))


def transplant(file: File, layer: Layer, other: File) -> At:
    """Give a layer the weights, biases and scales of the same layer of another file."""
    theirs = other.layers[file.layers.index(layer)]
    real = other.dequantize(theirs.bias)
    file.write(layer.weights, other.read(theirs.weights))
    file.quantization(layer.weights).scale = other.scales(theirs.weights)
    file.quantization(layer.bias).scale = other.scales(theirs.weights) * file.scales(layer.input)
    file.write(layer.bias, file.quantize(layer.bias, real))
    return at(layer, layer.weights, layer.bias)


@edits("int8")
def bias_dropped(file: File, from_: Origin) -> At:
    """A dense layer has lost its bias: the operator's third input, optional for its kernels, is left out."""
    layer = from_.any_layer(file, lambda layer: layer.name == "FULLY_CONNECTED")
    inputs = np.array(file.graph.operators[layer.operator].inputs)
    inputs[2] = -1
    file.graph.operators[layer.operator].inputs = inputs
    return at(layer, layer.bias)


@edits("int8")
def bias_zeroed(file: File, from_: Origin) -> At:
    """All biases of one layer are zero."""
    layer = from_.any_layer(file)
    file.write(layer.bias, np.zeros_like(file.read(layer.bias)))
    return at(layer, layer.bias)


@edits("float32")
def float32_bias_zeroed(file: File, from_: Origin) -> At:
    """All biases of one layer are zero, in a float32 file."""
    layer = from_.any_layer(file)
    file.write(layer.bias, np.zeros_like(file.read(layer.bias)))
    return at(layer, layer.bias)


@edits("int8")
def bias_of_one_class_too_large(file: File, from_: Origin) -> At:
    """The bias of one class is so large that it always wins."""
    layer = file.layers[-1]
    codes = file.read(layer.bias)
    codes[3] = 2**28
    file.write(layer.bias, codes)
    return at(layer, layer.bias)


@edits("float32")
def nan_weight(file: File, from_: Origin) -> At:
    """One weight is NaN."""
    layer = from_.any_layer(file)
    values = file.read(layer.weights)
    values.reshape(-1)[from_.random.integers(values.size)] = np.nan
    file.write(layer.weights, values)
    return at(layer)


@edits("float16")
def infinite_weight(file: File, from_: Origin) -> At:
    """One weight of a float16 file is infinite: it did not fit."""
    layer = from_.any_layer(file)
    values = file.read(layer.weights)
    values.reshape(-1)[from_.random.integers(values.size)] = np.inf
    file.write(layer.weights, values)
    return at(layer)


@edits("float16")
def float16_truncated(file: File, from_: Origin) -> None:
    """The float16 weights were cut towards zero instead of rounded to the nearest."""
    for layer in file.layers:
        exact = matching_float(from_, file, layer)
        nearest = exact.astype(np.float16)
        beyond = np.abs(nearest.astype(np.float64)) > np.abs(exact)
        file.write(layer.weights, np.where(beyond, np.nextafter(nearest, np.float16(0)), nearest))


@edits("float16")
def bfloat16_in_float16(file: File, from_: Origin) -> None:
    """The weights of a float16 file went through bfloat16 and have 8 bits of precision left."""
    for layer in file.layers:
        values = file.read(layer.weights).astype(np.float32)
        file.write(layer.weights, (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))


@edits("float32")
def float16_in_float32(file: File, from_: Origin) -> None:
    """The weights of a float32 file went through float16."""
    for layer in file.layers:
        file.write(layer.weights, file.read(layer.weights).astype(np.float16).astype(np.float32))
