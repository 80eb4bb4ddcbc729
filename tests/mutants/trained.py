"""Files of networks that were trained further, for quantization or to be pruned, that are not what training made.

They are handed over with the float32 file of the same trained weights, as `docs/recipes.md` asks for.
"""

import numpy as np

from tests.mutants.edit import File, Layer
from tests.mutants.further import MODELS_TRAINED
from tests.mutants.kinds import At, Origin, edits, files
from tests.mutants.parameters import inner, shift_zero_point
from tests.mutants.weights import at, transplant


def prunable(layer: Layer) -> bool:
    """Whether pruning takes its weights: depthwise ones it leaves."""
    return layer.name != "DEPTHWISE_CONV_2D"


def another(file: File, from_: Origin, layer: Layer) -> Layer:
    """A layer other than this one, of those that pruning takes."""
    return from_.any_layer(file, lambda other: prunable(other) and other is not layer)


# -- quantization-aware training --------------------------------------------------------------------------------------


@edits("qat_int8", only=MODELS_TRAINED)
def qat_scale_of_another_layer(file: File, from_: Origin) -> At:
    """One activation has the scale and zero point of another one; the biases of those that read it do not follow."""
    layer = inner(file, from_)
    others = [other for other in file.layers if other.output != layer.output]
    other = others[from_.random.integers(len(others))]
    theirs, ours = file.quantization(other.output), file.quantization(layer.output)
    ours.scale, ours.zeroPoint = file.scales(other.output), np.array(theirs.zeroPoint, np.int64)
    return At(layer.operator, (layer.output,))


@edits("qat_int8", only=MODELS_TRAINED)
def qat_range_of_another_layer(file: File, from_: Origin) -> At:
    """One activation has the range of another one, and the biases of those that read it follow: no rule is broken."""
    layer = inner(file, from_)
    others = [other for other in file.layers if other.output != layer.output]
    other = others[from_.random.integers(len(others))]
    factor = file.scales(other.output)[0] / file.scales(layer.output)[0]
    file.rescale(layer.output, float(factor), File(from_.float32["qat_int8"]))
    return At(layer.operator, (layer.output,))


@edits("qat_int8", only=MODELS_TRAINED)
def qat_weight_scales_of_another_layer(file: File, from_: Origin) -> At:
    """The weights of one layer have another layer's scales, and its bias follows them: no rule is broken."""
    layer = from_.any_layer(file)
    other = another(file, from_, layer)
    real = file.dequantize(layer.bias)
    scales = np.resize(file.scales(other.weights), file.scales(layer.weights).shape)
    file.quantization(layer.weights).scale = scales
    file.quantization(layer.bias).scale = scales * file.scales(layer.input)
    file.write(layer.bias, file.quantize(layer.bias, real))
    return at(layer, layer.weights, layer.bias)


@edits("qat_int8", only=MODELS_TRAINED)
def qat_range_where_training_began(file: File, from_: Origin) -> At:
    """The logits' range is [-6, 6], where tensorflow-model-optimization lets every range begin."""
    layer = file.layers[-1]
    quantization = file.quantization(layer.output)
    quantization.scale, quantization.zeroPoint = np.array([12 / 255], np.float32), np.zeros(1, np.int64)
    return At(layer.operator, (layer.output,))


@edits("qat_int8", only=MODELS_TRAINED)
def qat_zero_point_off_by_ten(file: File, from_: Origin) -> At:
    """The zero point of one activation of a quantization-aware file is ten too high."""
    layer = inner(file, from_)
    shift_zero_point(file, layer.output, 10)
    return At(layer.operator, (layer.output,))


@edits("qat_int8", only=MODELS_TRAINED)
def qat_layer_of_another_training(file: File, from_: Origin) -> At:
    """One layer has weights, biases and scales of another quantization-aware training of the same source."""
    return transplant(file, from_.any_layer(file), File(from_.foreign["retrained_qat_int8"]))


@files("qat_int8", only=MODELS_TRAINED)
def another_quantization_aware_training(from_: Origin) -> bytes:
    """The file is of another quantization-aware training of the same source: other samples came first."""
    return from_.foreign["retrained_qat_int8"]


@edits("qat_int8", only=MODELS_TRAINED)
def qat_batch_norm_fold_lost(file: File, from_: Origin) -> At:
    """The batch normalization of one convolution is not in its weights and bias."""
    layer = from_.any_layer(file, lambda layer: layer.name != "FULLY_CONNECTED")
    folded, plain = File(from_.variants["float32"]), File(from_.foreign["without_batch_norm/float32"])
    norms = []
    for other in (plain, folded):
        weights = np.moveaxis(other.dequantize(other.layers[file.layers.index(layer)].weights), layer.axis, 0)
        norms.append(np.abs(weights.reshape(len(weights), -1)).sum(axis=1))
    scales = (file.scales(layer.weights) * norms[0] / norms[1]).astype(np.float32)
    file.quantization(layer.weights).scale = scales
    file.quantization(layer.bias).scale = scales * file.scales(layer.input)
    file.write(layer.bias, np.zeros_like(file.read(layer.bias)))
    return at(layer, layer.weights, layer.bias)


@files("int8", claim="qat_int8", only=MODELS_TRAINED)
def int8_sold_as_qat(from_: Origin) -> bytes:
    """The source's own weights, only rounded, are sold as quantization-aware."""
    return from_.variants["int8"]


@files("qat_int8", only=MODELS_TRAINED)
def qat_without_batch_norm(from_: Origin) -> bytes:
    """The batch normalizations were left out of the conversion."""
    return from_.foreign["without_batch_norm/int8"]


# -- pruning ----------------------------------------------------------------------------------------------------------


@edits("pruned_int8", only=MODELS_TRAINED)
def mask_of_another_layer(file: File, from_: Origin) -> At:
    """The mask of another layer was laid on one: it has zeros where its weights were kept."""
    layer = from_.any_layer(file, prunable)
    zeros = file.read(another(file, from_, layer).weights).ravel() == 0
    codes = file.read(layer.weights)
    codes[np.resize(zeros, codes.shape)] = 0
    file.write(layer.weights, codes)
    return at(layer)


@edits("pruned_int8", only=MODELS_TRAINED)
def layer_not_pruned(file: File, from_: Origin) -> At:
    """One layer has the source's own weights, which nobody has pruned."""
    return transplant(file, from_.any_layer(file, prunable), File(from_.variants["int8"]))


@edits("pruned_int8", only=MODELS_TRAINED)
def zeros_lost(file: File, from_: Origin) -> At:
    """The zeros of one layer came out as the code 1: smaller than any weight that was kept, and no zeros any more."""
    layer = from_.any_layer(file, prunable)
    codes = file.read(layer.weights)
    codes[codes == 0] = 1
    file.write(layer.weights, codes)
    return at(layer)


@edits("pruned_int8", only=MODELS_TRAINED)
def pruned_beyond_what_was_trained(file: File, from_: Origin) -> None:
    """Half of the weights that training has kept are zero, too: more sparsity than was asked for."""
    for layer in filter(prunable, file.layers):
        codes = file.read(layer.weights)
        codes[np.abs(codes) <= np.median(np.abs(codes[codes != 0]))] = 0
        file.write(layer.weights, codes)


@files("int8", claim="pruned_int8", only=MODELS_TRAINED)
def int8_sold_as_pruned(from_: Origin) -> bytes:
    """A file that was only rounded is sold as pruned."""
    return from_.variants["int8"]


@files("qat_int8", claim="pruned_int8", only=MODELS_TRAINED)
def qat_sold_as_pruned(from_: Origin) -> bytes:
    """A quantization-aware file is sold as pruned."""
    return from_.variants["qat_int8"]
