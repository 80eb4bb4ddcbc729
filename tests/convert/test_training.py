"""Real trainings: what comes of them keeps the gates, and what only looks like it does not."""

import sys

import numpy as np
import pytest

from liteproof.convert import rebuilding
from liteproof.convert.tasks import Task, export_key
from liteproof.convert.worker import Workplace, answer
from liteproof.errors import ModelError
from liteproof.measure import size, weights
from liteproof.measure.runtime import open_session
from liteproof.plan import Training
from liteproof.tflite.facts import facts
from liteproof.tflite.matching import match_weights
from liteproof.tflite.reader import read_model
from tests.mutants.edit import File

from . import plans

pytestmark = pytest.mark.slow

SETTINGS = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-3, "seed": 0, "sparsity": 0.0, "loss": None}


@pytest.fixture(scope="module")
def data(sources):
    x = np.random.default_rng(8).uniform(0, 16, (160, 8, 8, 1)).astype(np.float32)
    y = x[:, :4, :4].mean(axis=(1, 2, 3)) > 8.0
    with np.load(sources / "image_evaluation.npz") as judged:
        x[:5] = judged["x"][:5]
    return plans.samples_of(plans.arrays(sources / "train.npz", x=x, y=y.astype(np.int64)))


class Shop:
    """Trains one model and converts what comes of it, in this process."""

    def __init__(self, folder, model, root):
        folder.mkdir()
        self.told = []
        self.work, self.model = Workplace(folder, str(root), self.told.append), model

    def train(self, method, **settings):
        key = f"{method}-{len(list(self.work.folder.iterdir()))}"
        training = Training(f"{key}-float32", None, key, method, {**SETTINGS, **settings})
        event = answer(Task("train", key, self.model, "training", training=training), self.work)
        return training, event

    def convert(self, training, recipe, key=None):
        key = key or f"{training.key}-{recipe}"
        task = Task("convert", key, self.model, recipe, recipe, "tensorflow", training=training)
        event = answer(task, self.work)
        assert event.kind == "converted", event
        return self.work.path(key)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, image_model, data, sources):
    return Shop(tmp_path_factory.mktemp("shop") / "made", image_model("image.keras", training=data), sources)


@pytest.fixture(scope="module")
def aware(shop):
    """An aware training with its float file and its int8 file."""
    training, event = shop.train("aware")
    assert event.kind == "trained", event
    return event, shop.convert(training, "float32"), shop.convert(training, "qat_int8")


@pytest.fixture(scope="module")
def pruned(shop):
    training, event = shop.train("pruning", sparsity=0.5)
    assert event.kind == "trained", event
    return shop.convert(training, "pruned_float32"), shop.convert(training, "pruned_int8")


@pytest.fixture(scope="module")
def source_float32(shop):
    answer(Task("export", export_key(shop.model), shop.model, "source"), shop.work)
    task = Task("convert", shop.model.float32_key, shop.model, "float32", "float32", "tensorflow")
    assert answer(task, shop.work).kind == "converted"
    return shop.work.path(shop.model.float32_key)


def error(float32, path):
    return weights.weight_error_lsb(match_weights(read_model(float32), read_model(path))).value


def test_an_aware_file_is_its_own_float_file_rounded(aware):
    _, float32, int8 = aware
    assert error(float32, int8) <= 0.501
    found = facts(read_model(int8))
    assert (found.quantization, found.inputs[0].type, found.outputs[0].type) == ("full_integer", "INT8", "INT8")
    matching = match_weights(read_model(float32), read_model(int8))
    assert weights.bias_error_lsb(matching).value <= 0.501
    assert not matching.unmatched_float32
    assert not matching.unmatched_variant


def test_an_aware_file_is_not_the_source_rounded_but_related_to_it(aware, source_float32):
    _, _, int8 = aware
    assert error(source_float32, int8) > 5
    assert weights.weight_correlation(match_weights(read_model(source_float32), read_model(int8))).value > 0.8


def test_an_aware_file_answers_as_its_float_file(aware, shop):
    _, float32, int8 = aware
    with np.load(shop.model.evaluation.path) as arrays:
        expected, found = (open_session(path).predict(arrays["x"])[0] for path in (float32, int8))
    assert np.abs(expected - found).max() < 0.15


def test_an_aware_file_of_another_training_is_told_apart(aware, shop):
    training, _ = shop.train("aware", seed=1)
    assert error(aware[1], shop.convert(training, "qat_int8")) > 1


def test_a_wrong_scale_in_an_aware_file_is_told(aware, tmp_path):
    _, float32, int8 = aware
    edited = File(int8.read_bytes())
    tensor = edited.graph.tensors[edited.layers[0].weights]
    tensor.quantization.scale = 2.0 * np.asarray(tensor.quantization.scale)
    (tmp_path / "wrong.tflite").write_bytes(edited.packed())
    assert error(float32, tmp_path / "wrong.tflite") > 10


def test_the_same_training_gives_the_same_bytes(aware, shop):
    training, _ = shop.train("aware")
    assert shop.convert(training, "qat_int8").read_bytes() == aware[2].read_bytes()


def test_evaluation_samples_are_left_out_and_progress_is_told(aware, shop):
    event = aware[0]
    assert event.meta["left_out"] == 5
    assert len(event.meta["losses"]) == 3
    assert event.meta["toolchain"].startswith("tensorflow_model_optimization 0.8")
    assert any("epoch 3 of 3" in told.reason for told in shop.told)


def test_pruning_comes_to_its_end_and_stays(pruned, source_float32):
    float32, int8 = pruned
    assert 0.5 <= size.sparsity(read_model(float32)).value < 0.52
    assert size.sparsity(read_model(int8)).value >= 0.5
    assert size.sparsity(read_model(source_float32)).value < 0.05
    assert size.compressed_ratio(float32, source_float32).value < 0.75
    assert error(float32, int8) <= 0.501


def test_what_diverges_is_no_result(shop):
    _, event = shop.train("pruning", sparsity=0.5, learning_rate=1e9, epochs=2)
    assert (event.kind, "diverged" in event.reason, "learning_rate" in event.reason) == ("failed", True, True)


def test_a_loss_that_is_none_is_the_users(shop):
    _, event = shop.train("aware", loss="cross_entropie")
    assert event.kind == "usage"
    assert event.error[0] == 'loss = "cross_entropie" is none that tf-keras knows'


@pytest.mark.parametrize("source", ["custom.keras", "lambda.keras"])
def test_a_source_that_cannot_be_rebuilt_says_why_and_the_way_out(image_model, data, sources, tmp_path, source):
    model = image_model(source, custom_objects="users_layers:objects", trust=True, training=data)
    _, event = Shop(tmp_path / "made", model, sources).train("aware")
    assert event.kind == "failed"
    assert "takes models of tf-keras (Keras 2) only" in event.reason
    assert "tf-keras has no layer like" in event.reason
    assert ".h5" in event.reason


def test_a_rebuilt_model_that_answers_otherwise_is_refused(shop, monkeypatch):
    faithful = rebuilding._legacy_layer

    def unfaithful(layer):
        legacy = faithful(layer)
        if type(layer).__name__ == "BatchNormalization":
            legacy.epsilon = 0.5
        return legacy

    samples = [np.random.default_rng(1).uniform(0, 16, (8, 8, 8, 1)).astype(np.float32)]
    owner = shop.work.source(shop.model).owner
    assert type(rebuilding.rebuilt(owner, samples)).__module__.startswith("tf_keras")
    monkeypatch.setattr(rebuilding, "_legacy_layer", unfaithful)
    with pytest.raises(ModelError, match="its outputs differ by"):
        rebuilding.rebuilt(owner, samples)


@pytest.fixture
def train_two(sources, tmp_path):
    """Trains a regression of two inputs."""
    rng = np.random.default_rng(4)
    values = {"left": rng.normal(size=(40, 6)).astype(np.float32), "a_right": rng.normal(size=(40, 3))}
    data = plans.arrays(tmp_path / "two_train.npz", **values, y=rng.normal(size=(40, 3)).astype(np.float32))

    def train(source):
        evaluation = sources / "two_evaluation.npz"
        training = plans.samples_of(data)
        model = plans.model(
            source, "keras", [], name="two", evaluation=evaluation, task="regression", training=training
        )
        return Shop(tmp_path / "made", model, sources).train("pruning", sparsity=0.5, epochs=1)[1]

    return train


def test_several_inputs_are_trained_together(train_two, tmp_path):
    import keras

    left, right = keras.Input((6,), name="left"), keras.Input((3,), name="a_right")
    keras.Model([left, right], keras.layers.Dense(3)(keras.layers.Concatenate()([left, right]))).save(
        tmp_path / "joined.keras"
    )
    event = train_two(tmp_path / "joined.keras")
    assert event.kind == "trained", event


def test_several_outputs_are_refused(train_two, sources):
    event = train_two(sources / "two.keras")
    assert (event.kind, "the source has 2 outputs" in event.reason) == ("failed", True)


def test_a_missing_package_is_said_with_the_command(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization.quantization.keras", None)
    _, event = shop.train("aware")
    assert event.kind == "usage"
    assert event.error[0].startswith("tensorflow_model_optimization is not installed")
    assert event.error[3] == "pip install 'liteproof[train]'"
