"""Real conversions, task by task, as a worker does them."""

import zipfile

import numpy as np
import pytest

from liteproof.convert.tasks import Task, export_key
from liteproof.convert.worker import Workplace, answer
from liteproof.errors import ModelError
from liteproof.measure.runtime import open_session
from liteproof.recipes import RECIPES
from liteproof.tflite.facts import facts
from liteproof.tflite.reader import read_model
from liteproof.tflite.select_ops import select_operators
from tests.tflite.networks import network_bytes

from . import plans

pytestmark = pytest.mark.slow

# What is trained further is converted in test_training.py.
TENSORFLOW = [
    recipe for recipe in RECIPES if "tensorflow" in RECIPES[recipe].toolchains and not RECIPES[recipe].training
]
LITERT = [recipe for recipe in RECIPES if "litert" in RECIPES[recipe].toolchains]


@pytest.fixture
def work(tmp_path, sources):
    folder = tmp_path / "made"
    folder.mkdir()
    return Workplace(folder, str(sources))


def done(task, work):
    """The event of a task that must come to a good end."""
    event = answer(task, work)
    assert event.kind in ("made", "exported", "converted", "reference"), event
    return event


def export(model, work):
    return done(Task("export", export_key(model), model, "source"), work)


def convert(model, work, recipe="float32", toolchain="tensorflow", key=None):
    key = key or (model.float32_key if (recipe, toolchain) == ("float32", "tensorflow") else f"{toolchain}-{recipe}")
    done(Task("convert", key, model, recipe, recipe, toolchain), work)
    return work.path(key)


def reference(model, work):
    event = done(Task("reference", "reference", model, "reference"), work)
    with np.load(work.path("reference"), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}, event.meta


def evaluation(model):
    with np.load(model.evaluation.path) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "y"}


def agreement(path, model, expected):
    outputs = open_session(path).predict(evaluation(model)["x"])[0]
    return np.abs(outputs - expected).max()


@pytest.mark.parametrize("source", ["image.keras", "image.h5", "image_savedmodel"])
def test_each_kind_of_source_gives_a_float32_file_that_answers_as_the_source(image_model, work, source):
    model = image_model(source)
    export(model, work)
    path = convert(model, work)
    outputs, _ = reference(model, work)
    assert agreement(path, model, outputs["output"]) < 1e-5


@pytest.fixture(scope="module")
def converted(tmp_path_factory, image_model, sources):
    """The image model's variants by (toolchain, recipe), and its reference."""
    folder = tmp_path_factory.mktemp("made")
    work, model = Workplace(folder, str(sources)), image_model("image.keras")
    export(model, work)
    variants = {("tensorflow", recipe): convert(model, work, recipe) for recipe in TENSORFLOW}
    variants |= {("litert", recipe): convert(model, work, recipe, "litert") for recipe in LITERT}
    return model, variants, reference(model, work)[0]["output"]


@pytest.mark.parametrize("made", [("tensorflow", r) for r in TENSORFLOW] + [("litert", r) for r in LITERT])
def test_a_recipe_gives_what_it_promises(converted, made):
    model, variants, expected = converted
    promise = RECIPES[made[1]]
    session = open_session(variants[made])
    ends = {spec.dtype for spec in (*session.inputs, *session.outputs)}
    assert ends == {promise.inputs}
    weights = {tensor.type for tensor in facts(read_model(variants[made])).parameter_tensors if tensor.role == "weight"}
    assert promise.weights.upper() in weights
    assert agreement(variants[made], model, expected) < (0.15 if promise.weight_bits == 4 else 0.05)


def test_the_batch_stays_free(converted):
    model, variants, expected = converted
    session = open_session(variants["tensorflow", "float32"])
    assert session.inputs[0].shape_signature == (-1, 8, 8, 1)
    assert np.abs(session.predict(evaluation(model)["x"], batch=20)[0] - expected).max() < 1e-5


def test_the_same_work_gives_the_same_bytes(converted, image_model, work):
    model, variants, _ = converted
    export(model, work)
    for toolchain, recipe in (("tensorflow", "float32"), ("tensorflow", "int8"), ("litert", "int8")):
        assert convert(model, work, recipe, toolchain).read_bytes() == variants[toolchain, recipe].read_bytes()


def test_the_reference_says_what_the_source_is(image_model, work):
    outputs, meta = reference(image_model("image.keras"), work)
    assert outputs["output"].shape == (20, 4)
    assert outputs["output"].dtype == np.float32
    assert (meta["outputs"], meta["activation"], meta["samples"]) == ("probabilities", "softmax", 20)
    assert meta["parameters"] == 8 * 9 + 4 * 8 + (8 * 9 + 8) + (288 * 16 + 16) + (16 * 4 + 4)
    assert meta["toolchain"].startswith("tensorflow 2.")


def test_a_tflite_source_is_judged_by_litert(converted, image_model, work, sources):
    _, variants, expected = converted
    (sources / "image.tflite").write_bytes(variants["tensorflow", "float32"].read_bytes())
    model = image_model("image.tflite")
    outputs, meta = reference(model, work)
    assert np.abs(outputs["output"] - expected).max() < 1e-5
    assert meta["toolchain"].startswith("ai_edge_litert")
    assert meta["outputs"] == "probabilities"
    work.path(model.float32_key).write_bytes((sources / "image.tflite").read_bytes())
    assert convert(model, work, "int8", "litert").read_bytes()[4:8] == b"TFL3"


def test_a_tflite_source_without_a_signature_gives_what_needs_no_calibration(image_model, work, sources):
    import tensorflow as tf

    function = tf.function(lambda x: tf.nn.relu(x) @ tf.ones([64, 4])).get_concrete_function(tf.TensorSpec([1, 64]))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.experimental_lower_to_saved_model = False
    (sources / "unsigned.tflite").write_bytes(converter.convert())
    model = image_model("unsigned.tflite")
    work.path(model.float32_key).write_bytes((sources / "unsigned.tflite").read_bytes())
    assert convert(model, work, "int4", "litert").read_bytes()[4:8] == b"TFL3"
    plans.arrays(sources / "unsigned_calibration.npz", x=np.ones((3, 64), np.float32))
    model = image_model("unsigned.tflite", calibration=sources / "unsigned_calibration.npz")
    event = answer(Task("convert", "k", model, "int8", "int8", "litert"), work)
    assert (event.kind, "has no signature" in event.reason) == ("failed", True)


def test_several_inputs_and_outputs_keep_their_names(work, sources):
    model = plans.model(
        sources / "two.keras", "keras", [], name="two", evaluation=sources / "two_evaluation.npz",
        calibration=sources / "two_calibration.npz",
    )  # fmt: skip
    export(model, work)
    expected, _ = reference(model, work)
    assert {name: array.shape for name, array in expected.items()} == {"output_0": (10, 3), "output_1": (10, 2)}
    float32 = convert(model, work)
    for path, most in (
        (float32, 1e-5),
        (convert(model, work, "int8"), 0.1),
        (convert(model, work, "int8_float_io", "litert"), 0.1),
    ):
        session = open_session(path)
        assert sorted(spec.key for spec in session.inputs) == ["a_right", "left"]
        outputs = dict(zip((spec.key for spec in session.outputs), session.predict(evaluation(model)), strict=True))
        assert {name: np.abs(outputs[name] - array).max() < most for name, array in expected.items()} == {
            "output_0": True, "output_1": True,
        }  # fmt: skip


def test_a_calibration_callable_gives_what_its_arrays_give(converted, image_model, work, sources):
    _, variants, _ = converted
    (sources / "users_data.py").write_text(
        "from pathlib import Path\nimport numpy as np\n\n\ndef batches():\n"
        "    x = np.load(Path(__file__).with_name('image_calibration.npz'))['x']\n"
        "    yield x[:7]\n    yield x[7:].astype(np.float64)\n"
    )
    model = image_model("image.keras", calibration="users_data:batches")
    done(Task("make", model.calibration.key, model, "calibration", samples=model.calibration), work)
    export(model, work)
    assert convert(model, work, "int8").read_bytes() == variants["tensorflow", "int8"].read_bytes()


# -- sources that do not load -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("broken.keras", "does not load: it is damaged: a .keras file is a zip archive, and this is none"),
        ("broken.h5", "does not load: it is damaged: Unable to synchronously open file (truncated file"),
        ("no_model.h5", "does not load: it is damaged"),
        ("damaged_savedmodel", "does not load: it is damaged: saved_model.pb cannot be read"),
    ],
)
def test_a_broken_source_fails_with_one_line(image_model, work, source, reason):
    model = image_model(source)
    event = answer(Task("export", export_key(model), model, "source"), work)
    assert event.kind == "failed"
    assert event.reason.startswith(f"the source of {model.name} {reason}")
    assert "\n" not in event.reason


def test_an_archive_with_a_part_missing_is_damaged(image_model, work, sources):
    with zipfile.ZipFile(sources / "image.keras") as whole, zipfile.ZipFile(sources / "part.keras", "w") as part:
        for name in ("metadata.json", "config.json"):
            part.writestr(name, whole.read(name))
    model = image_model("part.keras")
    event = answer(Task("export", export_key(model), model, "source"), work)
    assert (event.kind, "it is damaged" in event.reason) == ("failed", True)


@pytest.mark.parametrize("source", ["lambda.keras", "lambda.h5"])
def test_code_in_a_source_needs_trust(image_model, work, source):
    model = image_model(source)
    event = answer(Task("export", export_key(model), model, "source"), work)
    assert event.kind == "usage"
    assert "carries code" in event.error[0]
    assert "trust = true" in event.error[3]


@pytest.mark.parametrize("source", ["lambda.keras", "lambda.h5"])
def test_a_trusted_source_loads(image_model, work, source):
    outputs, _ = reference(image_model(source, trust=True), work)
    with np.load(image_model(source).evaluation.path) as arrays:
        np.testing.assert_allclose(outputs["output"], 2 * arrays["x"].reshape(20, -1), rtol=1e-6)


@pytest.mark.parametrize("source", ["custom.keras", "custom.h5"])
def test_an_unknown_class_asks_for_custom_objects(image_model, work, source):
    model = image_model(source)
    event = answer(Task("reference", "reference", model, "reference"), work)
    assert event.kind == "usage"
    assert event.error[0] == f"the source of {model.name} has Doubling, which Keras does not know"


@pytest.mark.parametrize("source", ["custom.keras", "custom.h5"])
def test_custom_objects_come_from_the_root_folder(image_model, work, source):
    outputs, _ = reference(image_model(source, custom_objects="users_layers:objects"), work)
    assert outputs["output"].shape == (20, 64)


@pytest.mark.parametrize("kind", ["export", "reference"])
def test_data_that_does_not_fit_is_the_users(image_model, work, sources, kind):
    model = image_model("image_savedmodel", evaluation=sources / "wrong_evaluation.npz")
    event = answer(Task(kind, "k", model, "source"), work)
    assert event.kind == "usage"
    assert "(20, 7, 8, 1)" in event.error[0]


def test_a_source_that_has_changed_is_the_users(image_model, work, sources):
    copy = sources / "changing.keras"
    copy.write_bytes((sources / "image.keras").read_bytes())
    model = image_model("changing.keras")
    copy.write_bytes((sources / "two.keras").read_bytes())
    event = answer(Task("export", export_key(model), model, "source"), work)
    assert (event.kind, event.error[0]) == ("usage", "the file has changed since the run began")


def test_a_savedmodel_without_a_signature_says_so(image_model, work, sources):
    import tensorflow as tf

    module = tf.Module()
    module.double = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec([None, 3])])
    tf.saved_model.save(module, str(sources / "no_signature"), signatures={})
    model = image_model("no_signature")
    event = answer(Task("export", export_key(model), model, "source"), work)
    assert event.kind == "failed"
    assert event.reason.startswith("the source of no_signature has no signature; expected: serving_default")


@pytest.fixture
def det(sources):
    """A SavedModel with an operator that TensorFlow Lite lacks."""
    import tensorflow as tf

    if not (sources / "det").exists():
        module = tf.Module()
        module.serve = tf.function(
            lambda x: {"output_0": tf.linalg.det(x[..., 0])},
            input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, "x")],
        )
        tf.saved_model.save(module, str(sources / "det"), signatures=module.serve)
    return "det"


def test_an_operator_that_tensorflow_lite_lacks_is_named_with_the_key(image_model, work, det):
    model = image_model(det)
    export(model, work)
    event = answer(Task("convert", "k", model, "float32", "float32", "tensorflow"), work)
    assert event.kind == "failed"
    assert event.reason.startswith(
        "float32 of det cannot be converted by tensorflow: it needs Select TF operators, which TensorFlow Lite does "
        "not have itself: MatrixDeterminant"
    )
    assert "select_tf_ops = true" in event.reason
    assert "\n" not in event.reason


def test_select_operators_stay_where_they_are_allowed(image_model, work, det):
    model = image_model(det)
    export(model, work)
    done(Task("convert", "k", model, "float32", "float32", "tensorflow", {"select_tf_ops": True}), work)
    assert select_operators(read_model(work.path("k"))) == ("FlexMatrixDeterminant",)
    with pytest.raises(ModelError, match="Select TensorFlow op"):
        open_session(work.path("k"), runtime="ai_edge_litert")


def test_a_recurrent_layer_with_a_free_batch_says_what_helps(image_model, work, sources):
    import keras

    keras.Sequential([keras.Input((8, 8)), keras.layers.LSTM(4), keras.layers.Dense(2)]).save(sources / "lstm.keras")
    arrays = plans.arrays(sources / "lstm.npz", x=np.zeros((3, 8, 8), np.float32))
    model = image_model("lstm.keras", evaluation=arrays, calibration=None)
    export(model, work)
    event = answer(Task("convert", "k", model, "float32", "float32", "tensorflow"), work)
    assert event.kind == "failed"
    for words in ("a recurrent layer with a free batch", "unroll = True", "fixed batch", "select_tf_ops = true"):
        assert words in event.reason


def test_custom_operators_of_a_savedmodel_are_named(image_model, work, sources, det):
    folder = sources / "foreign"
    folder.mkdir()
    content = (sources / det / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(content.replace(b"MatrixDeterminant", b"MatrixDeterminanX"))
    model = image_model("foreign")
    event = answer(Task("export", export_key(model), model, "source"), work)
    assert event.kind == "failed"
    assert "it needs custom operators, which this TensorFlow does not have: MatrixDeterminanX" in event.reason


@pytest.mark.parametrize("name", ["FlexErf", "Fast"])
def test_custom_operators_of_a_tflite_source_are_named(image_model, work, sources, name):
    (sources / f"{name}.tflite").write_bytes(network_bytes(custom=name))
    event = answer(Task("reference", "reference", image_model(f"{name}.tflite"), "reference"), work)
    assert event.kind == "failed"
    assert f"it needs operators that ai_edge_litert does not have: {name}" in event.reason
