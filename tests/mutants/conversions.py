"""Files that are sold as something else, that come from another source, or that were calibrated on the wrong data."""

from collections.abc import Mapping

import numpy as np

from tests.mutants.kinds import Origin, calibrates, files

Data = Mapping[str, np.ndarray]


# -- sold as another recipe -------------------------------------------------------------------------------------------


@files("int8", claim="uint8")
def int8_ends_sold_as_uint8(from_: Origin) -> bytes:
    """An int8 file is sold as uint8: a caller who feeds bytes gets nonsense."""
    return from_.variants["int8"]


@files("uint8", claim="int8")
def uint8_ends_sold_as_int8(from_: Origin) -> bytes:
    """A uint8 file is sold as int8."""
    return from_.variants["uint8"]


@files("int8_float_io", claim="int8")
def float_ends_sold_as_int8(from_: Origin) -> bytes:
    """A file with float ends is sold as int8."""
    return from_.variants["int8_float_io"]


@files("dynamic_range", claim="int8")
def dynamic_range_sold_as_int8(from_: Origin) -> bytes:
    """A dynamic-range file is sold as int8: its activations are float."""
    return from_.variants["dynamic_range"]


@files("dynamic_range", claim="float32")
def dynamic_range_sold_as_float32(from_: Origin) -> bytes:
    """A file that is named float32 is dynamic-range."""
    return from_.variants["dynamic_range"]


@files("float16", claim="float32")
def float16_sold_as_float32(from_: Origin) -> bytes:
    """A file that is named float32 is float16."""
    return from_.variants["float16"]


@files("float32", claim="float16")
def float32_sold_as_float16(from_: Origin) -> bytes:
    """A file that is named float16 was never quantized."""
    return from_.variants["float32"]


@files("int4", claim="dynamic_range")
def int4_sold_as_dynamic_range(from_: Origin) -> bytes:
    """Weights of four bits are sold as eight: the Python interpreters report both as int8."""
    return from_.variants["int4"]


@files("int8_float_io", claim="int16x8")
def int8_sold_as_int16x8(from_: Origin) -> bytes:
    """Activations of 8 bits are sold as 16."""
    return from_.variants["int8_float_io"]


# -- from another source ----------------------------------------------------------------------------------------------


@files("int8")
def another_training_run(from_: Origin) -> bytes:
    """The file was converted from another training run of the same network."""
    return from_.foreign["retrained/int8"]


@files("float32")
def another_training_run_in_float32(from_: Origin) -> bytes:
    """The float32 file was converted from another training run of the same network."""
    return from_.foreign["retrained/float32"]


@files("int4")
def another_training_run_in_int4(from_: Origin) -> bytes:
    """The int4 file was converted from another training run of the same network."""
    return from_.foreign["retrained/int4"]


@files("int8")
def input_normalised_twice(from_: Origin) -> bytes:
    """The network normalises its input, which the caller has normalised already."""
    return from_.foreign["normalising/int8"]


@files("float32")
def input_normalised_twice_in_float32(from_: Origin) -> bytes:
    """The float32 network normalises its input, which the caller has normalised already."""
    return from_.foreign["normalising/float32"]


@files("int8")
def batch_norm_lost(from_: Origin) -> bytes:
    """The batch normalizations were left out of the conversion."""
    return from_.foreign["without_batch_norm/int8"]


# -- calibrated on the wrong data -------------------------------------------------------------------------------------


@calibrates("int8")
def calibration_on_one_image(from_: Origin) -> Data:
    """The calibration set is one image, two hundred times."""
    return {name: np.repeat(values[:1], 200, axis=0) for name, values in from_.calibration.items()}


@calibrates("int8")
def calibration_on_four_images(from_: Origin) -> Data:
    """The calibration set is four images."""
    return {name: values[:4] for name, values in from_.calibration.items()}


@calibrates("int8")
def calibration_on_one_class(from_: Origin) -> Data:
    """The calibration set is of one class only."""
    of_one = from_.calibration["y"] == 1
    return {name: values[of_one] for name, values in from_.calibration.items()}


@calibrates("int8")
def calibration_on_the_evaluation_set(from_: Origin) -> Data:
    """Half of the calibration set is taken from the evaluation set."""
    return {
        name: np.concatenate([values[:100], from_.evaluation[name][:100]]) for name, values in from_.calibration.items()
    }


@calibrates("int8")
def calibration_without_normalisation(from_: Origin) -> Data:
    """The calibration set holds pixels from 0 to 255."""
    x = from_.calibration["x"]
    return {**from_.calibration, "x": ((x - x.min()) / (x.max() - x.min()) * 255).astype(np.float32)}


@calibrates("int8")
def calibration_normalised_twice(from_: Origin) -> Data:
    """The calibration set was divided by its largest value twice."""
    x = from_.calibration["x"]
    return {**from_.calibration, "x": normalise_again(x)}


def normalise_again(x: np.ndarray) -> np.ndarray:
    """Values 0 to 16 divided by 16; values -1 to 1 taken for pixels once more: x / 127.5 - 1."""
    return (x / 16 if x.min() >= 0 else x / 127.5 - 1).astype(np.float32)


@calibrates("int8")
def calibration_on_noise(from_: Origin) -> Data:
    """The calibration set is noise in the range of the data."""
    x = from_.calibration["x"]
    return {**from_.calibration, "x": from_.random.uniform(x.min(), x.max(), x.shape).astype(np.float32)}
