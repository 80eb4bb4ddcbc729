"""Files of Keras 2 and Keras 3, each loaded by the Keras that reads it; and what is said where that fails."""

import importlib.util
import json
import zipfile

import numpy as np
import pytest

from liteproof.convert import keras_source
from liteproof.convert.conversion import prepare
from liteproof.convert.keras_package import LEGACY, require_installed
from liteproof.convert.keras_source import Request, load
from liteproof.convert.sources import from_keras
from liteproof.convert.tasks import Task
from liteproof.errors import ModelError, UsageError
from liteproof.manifest import keras_file
from liteproof.manifest.keras_file import KerasFile
from liteproof.measure.runtime import open_session
from liteproof.store import Store

from . import plans


def request(path, **more):
    kind = path.suffix[1:]
    file = keras_file.read(path, kind)
    more.setdefault("keras", keras_file.reader(file, kind) if file else "keras")
    return Request(f"the source of {path.stem}", path, kind, where="model.toml [model]", **more)


def distance(path, folder, **more):
    """How far a loaded file's outputs are from what the Keras that wrote it predicted."""
    source = from_keras(load(request(path, **more)))
    with np.load(folder / f"{path.stem}.npz") as arrays:
        outputs = source.function(**{source.inputs[0].name: arrays["x"]})
    return np.abs(np.asarray(outputs["output_0"]) - np.load(folder / f"{path.stem}.npy")).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("plain.h5", "keras"),
        ("plain.keras", "tf-keras"),
        ("hard.h5", "tf-keras"),
        ("image.h5", "tf-keras"),
        ("image.keras", "tf-keras"),
        ("recurrent.h5", "tf-keras"),
        ("recurrent.keras", "tf-keras"),
    ],
)
def test_a_file_of_keras_2_gives_what_keras_2_gave(old, name, reads):
    assert request(old / name).keras == reads
    assert distance(old / name, old) < 1e-5


@pytest.mark.slow
def test_keras_3_takes_hard_sigmoid_for_something_else(old):
    """Why a file is not simply tried: Keras 3 loads this one without a word, and computes another slope."""
    assert distance(old / "hard.h5", old, keras="keras") > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image.h5", "recurrent.h5", "plain.keras", "image.keras"])
def test_the_wrong_keras_is_never_heard_raw(old, name):
    with pytest.raises(ModelError) as refused:
        load(request(old / name, keras="keras"))
    assert "it was written by Keras 2." in refused.value.found
    assert "Unrecognized keyword" not in str(refused.value)
    assert "deserialize" not in str(refused.value)


# -- code -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_code_needs_trust_and_the_layer_is_named(old, suffix):
    with pytest.raises(UsageError) as refused:
        load(request(old / f"lambda.{suffix}"))
    assert refused.value.found.endswith("carries code that loading it would run: Lambda layer 'twice'")
    assert refused.value.next == "add trust = true if you know who made the file"
    assert distance(old / f"lambda.{suffix}", old, trust=True) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"class_name": "function", "module": "os", "config": "system"}, "has system, which Keras does not know"),
        ({"class_name": "function", "module": "builtins", "config": "eval"}, "has eval, which Keras does not know"),
        ({"class_name": "Popen", "module": "subprocess", "config": {}}, "has Popen, which Keras does not know"),
    ],
)
def test_legacy_keras_imports_no_module_that_a_file_names(old, tmp_path, node, said):
    """Unlike Keras 3, it would import whatever stands there, safe mode or not."""
    path = tmp_path / "plain.keras"
    with zipfile.ZipFile(old / "plain.keras") as whole, zipfile.ZipFile(path, "w") as spoilt:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"]["activation"] = {**node, "registered_name": node["class_name"]}
                content = json.dumps(config).encode()
            spoilt.writestr(name, content)
    with pytest.raises(UsageError, match=said):
        load(request(path))


@pytest.mark.slow
def test_a_lambda_that_calls_a_function_of_a_library_needs_trust(old, tmp_path):
    """keras.utils.get_file, named in a Lambda, would fetch a file: no code in the model, and code all the same."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "lambda.h5"
    path.write_bytes((old / "lambda.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layer = config["config"]["layers"][-1]["config"]
        layer.update(function="get_file", function_type="function")
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(UsageError, match="a Lambda layer that calls get_file"):
        load(request(path))


@pytest.mark.slow
def test_custom_objects_of_the_other_keras_are_told(old):
    import keras

    class Doubling(keras.layers.Layer):
        pass

    with pytest.raises(UsageError) as refused:
        load(request(old / "custom.h5", objects=lambda: {"Doubling": Doubling}))
    assert refused.value.found.startswith("custom object Doubling is a class of keras, and the source of custom")


@pytest.mark.slow
def test_a_custom_layer_that_nobody_gave_is_named(old):
    with pytest.raises(UsageError, match="has Doubling, which Keras does not know"):
        load(request(old / "custom.keras"))


# -- in worker processes ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_both_kerases_in_one_run(old, sources, image_model, tmp_path):
    """Each source in a worker with its own Keras, custom layers of `tensorflow.keras` included, in safe mode."""
    store = Store(tmp_path / "store")
    models = [
        plans.model(old / f"{name}.h5", "h5", [plans.variant(name, "float32")], name=name,
                    evaluation=old / f"{name}.npz", keras=LEGACY, custom_objects=objects)
        for name, objects in (("image", None), ("custom", "old_layers:objects"))
    ]  # fmt: skip
    models.insert(1, image_model("image.keras", name="new"))
    prepare(plans.plan(*models, root=old), store, workers=1)
    for model in models:
        assert store.failure(model.float32_key) is None
        if model.name != "new":
            outputs = open_session(store.get(model.float32_key).path).predict(np.load(old / f"{model.name}.npz")["x"])[
                0
            ]
            assert np.abs(outputs - np.load(old / f"{model.name}.npy")).max() < 1e-5
    meta = {model.name: store.get(model.reference_key).meta["versions"] for model in models}
    assert ("tf-keras" in meta["image"], "keras" in meta["image"]) == (True, False)
    assert ("tf-keras" in meta["new"], "keras" in meta["new"]) == (False, True)


def test_only_what_loads_a_source_cares_which_keras_it_is(tmp_path):
    path = plans.arrays(tmp_path / "evaluation.npz", x=np.zeros((2, 3)))
    model = plans.model(path, "h5", [], evaluation=path, keras=LEGACY)
    assert [Task(kind, "k", model, "x", "int8", "tensorflow").keras for kind in ("export", "reference", "convert")] == [
        LEGACY,
        LEGACY,
        None,
    ]


# -- what is missing, and what versions say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keras", "extra", "missing"),
    [("tf-keras", "legacy", "it needs tf-keras"), ("keras", "convert", "it needs Keras 3")],
)
def test_a_keras_that_is_not_installed_is_one_sentence_and_a_command(monkeypatch, keras, extra, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=missing) as refused:
        require_installed(keras, "the source of gesture", "gesture.h5")
    assert refused.value.next == f"pip install 'liteproof[{extra}]'"


def test_nothing_is_started_where_legacy_keras_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    path = plans.arrays(tmp_path / "evaluation.npz", x=np.zeros((2, 3)))
    model = plans.model(path, "h5", [plans.variant("tiny", "float32")], evaluation=path, keras=LEGACY)
    with pytest.raises(UsageError, match="needs tf-keras, which is not installed"):
        prepare(plans.plan(model), Store(tmp_path / "store"), command=("false",))


WORDS = [
    "Unrecognized keyword arguments: ['batch_shape']",
    "Error when deserializing 'InputLayer'.\n\nException encountered: Unrecognized keyword arguments: ['optional']",
    "Unrecognized keyword arguments passed to LSTM: {'time_major': False}",
    "Unknown dtype policy: 'DTypePolicy'. Please ensure you are using a `keras.utils.custom_object_scope`",
    "Could not deserialize class 'Functional' because its parent module keras.src.models.functional cannot be found.",
    "Could not locate class 'Functional'. Make sure custom classes are decorated with …",
]


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize(("wrote", "next_"), [("99.1.0", "pip install -U keras"), ("2.15.0", ""), (None, "")])
def test_words_that_only_keras_developers_read_are_put_into_others(tmp_path, text, wrote, next_):
    asked = Request("the source of gesture", tmp_path / "gesture.h5", "h5", "keras", "model.toml [model]")
    config = {"class_name": "Functional", "module": "keras.src.models.functional", "config": {}}
    error = keras_source._told(text, KerasFile(config, wrote), asked)
    assert isinstance(error, ModelError)
    assert error.next == next_
    assert error.found.startswith("the source of gesture does not load: ")
    for word in ("Unrecognized keyword", "dtype policy", "deserialize", "locate"):
        assert word not in str(error)
    if wrote:
        assert f"it was written by Keras {wrote}" in error.found
