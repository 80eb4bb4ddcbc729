"""Wrong quantization parameters: scales, zero points, the quantized dimension.

Weights and biases keep their codes unless said otherwise.
"""

import numpy as np

from tests.mutants.edit import File, Layer
from tests.mutants.kinds import At, Origin, edits


def shift_zero_point(file: File, tensor: int, by: int) -> None:
    """Move a zero point."""
    quantization = file.quantization(tensor)
    quantization.zeroPoint = np.array(quantization.zeroPoint, np.int64) + by


def inner(file: File, from_: Origin) -> Layer:
    """A layer whose output another layer reads."""
    inputs = {layer.input for layer in file.layers}
    return from_.any_layer(file, lambda layer: layer.output in inputs)


def first_input(file: File) -> int:
    return int(file.graph.inputs[0])


def first_output(file: File) -> int:
    return int(file.graph.outputs[0])


def input_at(file: File) -> At:
    tensor = first_input(file)
    return At(file.readers(tensor)[0], (tensor,))


def output_at(file: File) -> At:
    tensor = first_output(file)
    return At(file.writer(tensor), (tensor,))


@edits("int8")
def input_zero_point_off_by_one(file: File, from_: Origin) -> At:
    """The input's zero point is one too high."""
    shift_zero_point(file, first_input(file), 1)
    return input_at(file)


@edits("int8")
def input_zero_point_off_by_ten(file: File, from_: Origin) -> At:
    """The input's zero point is ten too high."""
    shift_zero_point(file, first_input(file), 10)
    return input_at(file)


@edits("int8")
def input_zero_point_below_range(file: File, from_: Origin) -> At:
    """The input's zero point is -200, which no int8 can be."""
    shift_zero_point(file, first_input(file), -200 - int(file.quantization(first_input(file)).zeroPoint[0]))
    return input_at(file)


@edits("int8")
def input_scale_halved(file: File, from_: Origin) -> At:
    """The input's scale is half of what its data needs; the biases follow it."""
    file.rescale(first_input(file), 0.5)
    return input_at(file)


@edits("uint8")
def unsigned_input_read_as_signed(file: File, from_: Origin) -> At:
    """The uint8 input has the zero point that an int8 input would have, plus 256."""
    tensor = first_input(file)
    shift_zero_point(file, tensor, 128 if file.quantization(tensor).zeroPoint[0] < 100 else -100)
    return input_at(file)


@edits("int8")
def output_zero_point_off_by_one(file: File, from_: Origin) -> At:
    """The output's zero point is one too high."""
    shift_zero_point(file, first_output(file), 1)
    return output_at(file)


@edits("int8")
def output_zero_point_off_by_ten(file: File, from_: Origin) -> At:
    """The output's zero point is ten too high."""
    shift_zero_point(file, first_output(file), 10)
    return output_at(file)


@edits("int8")
def output_scale_doubled(file: File, from_: Origin) -> At:
    """The output's scale is 1/128 where the softmax answers in 1/256."""
    tensor = first_output(file)
    file.quantization(tensor).scale = file.scales(tensor) * 2
    return output_at(file)


@edits("uint8")
def unsigned_output_zero_point_off(file: File, from_: Origin) -> At:
    """The uint8 output's zero point is 128: it was carried over from the int8 one with its sign changed."""
    shift_zero_point(file, first_output(file), 128)
    return output_at(file)


@edits("int8")
def inner_zero_point_off_by_one(file: File, from_: Origin) -> At:
    """The zero point of one activation is one too high."""
    layer = inner(file, from_)
    shift_zero_point(file, layer.output, 1)
    return At(layer.operator, (layer.output,))


@edits("int8")
def inner_zero_point_off_by_ten(file: File, from_: Origin) -> At:
    """The zero point of one activation is ten too high."""
    layer = inner(file, from_)
    shift_zero_point(file, layer.output, 10)
    return At(layer.operator, (layer.output,))


@edits("int16x8")
def int16_zero_point_not_zero(file: File, from_: Origin) -> At:
    """An int16 activation has a zero point of 100."""
    layer = inner(file, from_)
    shift_zero_point(file, layer.output, 100)
    return At(layer.operator, (layer.output,))


@edits("int8")
def activation_scale_doubled(file: File, from_: Origin) -> At:
    """The scale of one activation is doubled; the biases of the layers that read it do not follow."""
    layer = inner(file, from_)
    file.quantization(layer.output).scale = file.scales(layer.output) * 2
    return At(layer.operator, (layer.output,))


@edits("int8")
def activation_range_clipped(file: File, from_: Origin) -> At:
    """The range of one activation covers half of its values; the biases follow it, so that no rule is broken."""
    layer = inner(file, from_)
    file.rescale(layer.output, 0.5)
    return At(layer.operator, (layer.output,))


@edits("int8")
def activation_range_far_too_wide(file: File, from_: Origin) -> At:
    """The range of one activation is 16 times too wide, as after one outlier in calibration; the biases follow it."""
    layer = inner(file, from_)
    file.rescale(layer.output, 16.0)
    return At(layer.operator, (layer.output,))


@edits("int16x8")
def int16_activation_range_far_too_wide(file: File, from_: Origin) -> At:
    """The range of one 16-bit activation is 16 times too wide; the biases follow it."""
    layer = inner(file, from_)
    file.rescale(layer.output, 16.0)
    return At(layer.operator, (layer.output,))


@edits("int8")
def logits_range_clipped(file: File, from_: Origin) -> At:
    """The range of the logits covers a quarter of their values."""
    layer = file.layers[-1]
    file.quantization(layer.output).scale = file.scales(layer.output) / 4
    return At(layer.operator, (layer.output,))


@edits("int8")
def weight_scale_doubled(file: File, from_: Origin) -> At:
    """The scales of one layer's weights are doubled; its bias does not follow."""
    layer = from_.any_layer(file)
    file.quantization(layer.weights).scale = file.scales(layer.weights) * 2
    return At(layer.operator, (layer.weights,))


@edits("dynamic_range")
def dynamic_range_weight_scale_doubled(file: File, from_: Origin) -> At:
    """The scales of one layer's weights are doubled, in a dynamic-range file."""
    layer = from_.any_layer(file, lambda layer: file.is_quantized(layer.weights))
    file.quantization(layer.weights).scale = file.scales(layer.weights) * 2
    return At(layer.operator, (layer.weights,))


@edits("int4")
def int4_weight_scale_off_by_a_tenth(file: File, from_: Origin) -> At:
    """The scales of one layer's 4-bit weights are a tenth too large."""
    layer = from_.any_layer(file, lambda layer: file.is_quantized(layer.weights))
    file.quantization(layer.weights).scale = file.scales(layer.weights) * np.float32(1.1)
    return At(layer.operator, (layer.weights,))


def spoil_channel(file: File, tensor: int, channel: int, factor: float) -> None:
    """Another scale for one channel."""
    scales = file.scales(tensor)
    scales[channel] *= np.float32(factor)
    file.quantization(tensor).scale = scales


@edits("int8")
def channel_scale_wrong(file: File, from_: Origin) -> At:
    """The scale of one channel of one layer's weights is half as large again."""
    layer = from_.any_layer(file)
    spoil_channel(file, layer.weights, from_.any_channel(file, layer), 1.5)
    return At(layer.operator, (layer.weights,))


@edits("int8")
def channel_scale_wrong_with_its_bias(file: File, from_: Origin) -> At:
    """The scale of one channel is half as large again, and the bias follows it: no rule is broken."""
    layer = from_.any_layer(file)
    channel = from_.any_channel(file, layer)
    real = file.dequantize(layer.bias)
    for tensor in (layer.weights, layer.bias):
        spoil_channel(file, tensor, channel, 1.5)
    file.write(layer.bias, file.quantize(layer.bias, real))
    return At(layer.operator, (layer.weights, layer.bias))


@edits("int8")
def weight_scale_is_nan(file: File, from_: Origin) -> At:
    """The scale of one channel of one layer's weights is NaN."""
    layer = from_.any_layer(file)
    spoil_channel(file, layer.weights, from_.any_channel(file, layer), np.nan)
    return At(layer.operator, (layer.weights,))


@edits("int8")
def weight_zero_point_not_zero(file: File, from_: Origin) -> At:
    """The weights of one layer have a zero point of 3."""
    layer = from_.any_layer(file)
    shift_zero_point(file, layer.weights, 3)
    return At(layer.operator, (layer.weights,))


@edits("int8")
def bias_scale_wrong(file: File, from_: Origin) -> At:
    """The scales of one bias are four times what input and weights make them."""
    layer = from_.any_layer(file)
    file.quantization(layer.bias).scale = file.scales(layer.bias) * 4
    return At(layer.operator, (layer.bias,))


@edits("int8")
def bias_quantized_by_another_scale(file: File, from_: Origin) -> At:
    """The codes of one bias are a quarter of what they should be: another scale was meant."""
    layer = from_.any_layer(file)
    file.write(layer.bias, np.rint(file.read(layer.bias) / 4))
    return At(layer.operator, (layer.bias,))


@edits("int8")
def quantized_dimension_wrong(file: File, from_: Origin) -> At:
    """The scales of one layer's weights are said to lie along another dimension."""
    layer = from_.any_layer(file, lambda layer: len(file.tensor(layer.weights).shape) == 4)
    file.quantization(layer.weights).quantizedDimension = {0: 3, 3: 0}[layer.axis]
    return At(layer.operator, (layer.weights,))


@edits("int8")
def per_tensor_weights(file: File, from_: Origin) -> At:
    """One convolution's weights have one scale for all channels: requantized, so that only precision is lost."""
    layer = from_.any_layer(file, lambda layer: layer.name != "FULLY_CONNECTED")
    real, bias = file.dequantize(layer.weights), file.dequantize(layer.bias)
    for tensor, values in ((layer.weights, real), (layer.bias, bias)):
        quantization = file.quantization(tensor)
        quantization.scale = file.scales(tensor).max(keepdims=True)
        quantization.zeroPoint = np.zeros(1, np.int64)
        file.write(tensor, file.quantize(tensor, values))
    return At(layer.operator, (layer.weights, layer.bias))


@edits("int8")
def one_scale_missing(file: File, from_: Origin) -> At:
    """The weights of one layer have a scale less than they have channels."""
    layer = from_.any_layer(file)
    quantization = file.quantization(layer.weights)
    quantization.scale, quantization.zeroPoint = file.scales(layer.weights)[:-1], np.array(quantization.zeroPoint)[:-1]
    return At(layer.operator, (layer.weights,))


@edits("int8", only=["digits"])
def pool_changes_the_scale(file: File, from_: Origin) -> At:
    """A max pooling has another scale out than in: its kernel copies codes as they are."""
    operator = file.operators("MAX_POOL_2D")[0]
    tensor = int(file.graph.operators[operator].outputs[0])
    file.quantization(tensor).scale = file.scales(tensor) * np.float32(1.25)
    return At(operator, (tensor,))


@edits("int8", only=["digits-mobilenet"])
def residual_scale_wrong(file: File, from_: Origin) -> At:
    """The output of one residual addition has a scale a quarter too large."""
    operator = int(from_.random.choice(file.operators("ADD")))
    tensor = int(file.graph.operators[operator].outputs[0])
    file.quantization(tensor).scale = file.scales(tensor) * np.float32(1.25)
    return At(operator, (tensor,))
