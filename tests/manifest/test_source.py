"""What sources expect is told from files that Keras, h5py and converters wrote."""

import json
from pathlib import Path

import pytest

from liteproof.manifest.place import Place
from liteproof.manifest.source import Expectation, Input, find_expectation, kind_of_source
from tests.manifest.build import functional, input_layer, keras_file, sequential

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "measure" / "data"


def of(tmp_path, config):
    (tmp_path / "model.keras").write_bytes(keras_file(config))
    return find_expectation(tmp_path / "model.keras", "keras").inputs


def test_a_keras_file_that_keras_wrote():
    found = find_expectation(ROOT / "models" / "digits" / "digits.keras", "keras")
    assert found.inputs == (Input("scan", (None, 8, 8, 1), "float32"),)
    assert found.keras_version.startswith("3.")


def test_an_h5_that_keras_wrote():
    pytest.importorskip("h5py")
    found = find_expectation(ROOT / "models" / "digits-mobilenet" / "mobilenet.h5", "h5")
    assert [given.shape for given in found.inputs] == [(None, 48, 48, 3)]
    assert found.keras_version.startswith("3.")


@pytest.mark.parametrize(
    ("name", "inputs", "quantized"),
    [
        ("dense_float32", (Input("features", (None, 6), "float32"),), False),
        ("two_in_two_out_float32", (Input("left", (None, 3), "float32"), Input("right", (None, 2), "float32")), False),
        ("dense_int8", (Input("features", (None, 6), "int8"),), True),
        ("dense_int8_float_io", (Input("features", (None, 6), "float32"),), True),
        ("tokens_int8", (Input("ids", (None, 4), "int32"),), True),
    ],
)
def test_a_tflite_that_a_converter_wrote(name, inputs, quantized):
    assert find_expectation(DATA / f"{name}.tflite", "tflite") == Expectation(inputs, quantized=quantized)


A, B = input_layer("a", [None, 4]), input_layer("b", [None, 3], "int32")
INPUT_A, INPUT_B = Input("a", (None, 4), "float32"), Input("b", (None, 3), "int32")
DENSE = {"class_name": "Dense", "config": {"name": "dense"}}


@pytest.mark.parametrize(
    ("config", "inputs"),
    [
        (functional(["a", 0, 0], A, DENSE), (INPUT_A,)),
        (functional([["a", 0, 0]], A, DENSE), (INPUT_A,)),
        (functional([["b", 0, 0], ["a", 0, 0]], A, B, DENSE), (INPUT_B, INPUT_A)),
        (functional({"p": ["a", 0, 0], "q": ["b", 0, 0]}, A, B), (INPUT_A, INPUT_B)),
        (sequential(A, DENSE), (INPUT_A,)),
        (sequential(functional(["a", 0, 0], A), DENSE), (INPUT_A,)),
        (sequential(sequential(A, DENSE), DENSE), (INPUT_A,)),
        (sequential(DENSE), None),
        (sequential(), None),
        (functional(["gone", 0, 0], A), None),
        ({"class_name": "MyModel", "config": {"units": 3}}, None),
        ({"class_name": "MyModel", "config": {"layers": 3}}, None),
        ({"class_name": "Functional", "config": "nonsense"}, None),
        (["nonsense"], None),
        (None, None),
    ],
)
def test_configurations(tmp_path, config, inputs):
    assert of(tmp_path, config) == inputs


def test_a_type_may_be_a_policy(tmp_path):
    layer = input_layer("a", [None, 4], {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}})
    assert of(tmp_path, sequential(layer)) == (Input("a", (None, 4), "float16"),)


def test_an_h5_as_keras_2_writes_it(tmp_path):
    """Keras 2 gives the first layer `batch_input_shape`, with or without an InputLayer before it."""
    h5py = pytest.importorskip("h5py")
    layer = {"class_name": "Dense", "config": {"name": "dense", "batch_input_shape": [None, 46], "dtype": "float32"}}
    with h5py.File(tmp_path / "gesture.h5", "w") as file:
        file.attrs["keras_version"] = b"2.15.0"
        file.attrs["model_config"] = json.dumps(sequential(layer)).encode()
    found = find_expectation(tmp_path / "gesture.h5", "h5")
    assert found == Expectation((Input("dense", (None, 46), "float32"),), "2.15.0", "keras")


@pytest.mark.parametrize("attribute", [{"layer_names": ["dense"]}, {}])
def test_weights_alone_are_recognised(tmp_path, attribute):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs.update(attribute)
        if not attribute:
            file.create_group("layers")
    assert find_expectation(tmp_path / "weights.h5", "h5").weights_only


@pytest.mark.parametrize("kind", ["keras", "h5", "tflite"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"....TFL3", b"nonsense" * 99])
def test_a_broken_file_says_nothing_and_raises_nothing(tmp_path, kind, content):
    (tmp_path / "model").write_bytes(content)
    assert find_expectation(tmp_path / "model", kind) is None


@pytest.mark.parametrize(
    ("name", "kind"), [("a.keras", "keras"), ("a.H5", "h5"), ("a.hdf5", "h5"), ("a.tflite", "tflite")]
)
def test_the_suffix_tells_the_kind(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"")
    assert kind_of_source(tmp_path / name, Place("model.toml", "model")) == kind
