"""Which Keras wrote a file, which one reads it, and what code it has: told without either."""

import json
import zipfile

import pytest

from liteproof.manifest.keras_file import KerasFile, code_in, read, reader
from tests.manifest.build import functional, input_layer, sequential


def layer(kind, **config):
    return {"class_name": kind, "config": {"name": kind.lower(), "dtype": "float32", **config}}


def old_input(*shape):
    return layer("InputLayer", batch_input_shape=[None, *shape])


def read_by(*layers, version="2.15.0", kind="h5"):
    return reader(KerasFile(sequential(*layers), version), kind)


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_keras_3_reads_what_it_wrote(kind):
    assert read_by(layer("LSTM"), layer("Lambda"), version="3.15.1", kind=kind) == "keras"


def test_keras_3_reads_the_plain_layers_of_keras_2_from_an_h5_only():
    plain = layer("Dense", activation="relu"), layer("BatchNormalization", axis=[1]), layer("Dropout")
    assert read_by(*plain) == "keras"
    assert read_by(*plain, kind="keras") == "tf-keras"


@pytest.mark.parametrize(
    "other",
    [
        layer("LSTM", time_major=False),
        layer("DepthwiseConv2D", groups=1),
        layer("TFOpLambda", function="math.truediv"),
        layer("LocallyConnected1D"),
        layer("MyOwn"),
        layer("Dense", activation="hard_sigmoid"),
        layer("Dense", activation={"class_name": "function", "config": "mine"}),
        layer("Dense", dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}}),
        layer("BatchNormalization", axis=[1, 2]),
        layer("Dense", name="block/dense"),
        sequential(layer("Dense")),
        {**layer("Dense"), "inbound_nodes": [[["scan", 0, 0, {"training": False}]]]},
    ],
)
def test_anything_else_of_keras_2_is_left_to_legacy_keras(other):
    assert read_by(layer("Dense"), other) == "tf-keras"


def test_a_call_with_tensors_alone_is_plain():
    called = {**layer("Dense"), "inbound_nodes": [[["scan", 0, 0, {}]]]}
    assert reader(KerasFile(functional(["scan", 0, 0], old_input(3), called), "2.15.0"), "h5") == "keras"


def test_a_file_without_a_version_is_told_by_its_inputs():
    assert read_by(old_input(3), layer("LSTM"), version=None) == "tf-keras"
    assert read_by(input_layer("scan", [None, 3]), layer("LSTM"), version=None) == "keras"


@pytest.mark.parametrize("config", [None, [], 7, {}, {"class_name": "Sequential", "config": {"layers": [3]}}])
def test_a_configuration_of_no_shape_is_left_to_keras_3(config):
    assert reader(KerasFile(config, "2.15.0"), "h5") == "keras"
    assert code_in(config) == ()


def test_code_is_found_in_models_within_and_in_wrappers():
    in_list = layer("Lambda", name="one", function=["4wEAAA==", None, None], function_type="lambda")
    in_node = layer("Lambda", name="two", function={"class_name": "__lambda__", "config": {"code": "4wEAAA=="}})
    shape = layer("Lambda", name="three", function="mine", output_shape=["4wEA"], output_shape_type="lambda")
    named = layer("Lambda", name="four", function="mine", function_type="function")
    wrapped = layer("TimeDistributed", layer=in_node)
    config = sequential(layer("Dense"), sequential(in_list), wrapped, shape, named)
    assert code_in(config) == ("one", "two", "three")


def test_versions_are_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"] = "2.12.0"
        file.attrs["model_config"] = json.dumps(sequential(old_input(46), layer("Dense")))
    with zipfile.ZipFile(tmp_path / "new.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(sequential(layer("Dense"))))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
    assert (read(tmp_path / "old.h5", "h5").version, read(tmp_path / "new.keras", "keras").version) == (
        "2.12.0",
        "3.15.1",
    )
    assert read(tmp_path / "new.keras", "h5") is None
