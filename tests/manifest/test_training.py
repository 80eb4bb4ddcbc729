"""Recipes that train the source further: their keys, what they are refused for, what they are held to."""

import numpy as np
import pytest

from liteproof.applicability import unmet
from liteproof.checks import METRICS
from liteproof.plan import float_io_twin, same_weights_key
from tests.manifest.build import images

QAT = "[variants.qat_int8]\nepochs = 2\n"
PRUNED = "[variants.{0}]\nepochs = 2\nsparsity = 0.5\n"
DATA = 'calibration = "calibration.npz"\n'


@pytest.fixture
def trained(repository, model):
    model.arrays("train", x=images(30, seed=5), y=np.arange(30) % 10)
    model.replace(DATA, DATA + 'training = "train.npz"\n')
    model.add(QAT + PRUNED.format("pruned_int8") + PRUNED.format("pruned_float32"))
    return repository


def test_defaults_are_filled_in(trained):
    training = trained.variant("qat_int8").training
    assert training.method == "aware"
    assert training.settings == {
        "epochs": 2, "batch_size": 32, "learning_rate": 1e-4, "seed": 0, "sparsity": 0.0, "loss": None,
    }  # fmt: skip


def test_two_recipes_that_prune_alike_share_a_training_and_its_float_file(trained):
    pruned, plain = trained.variant("pruned_int8"), trained.variant("pruned_float32")
    assert pruned.training == plain.training
    assert plain.key == pruned.training.float32_key != trained.load().models[0].float32_key
    assert pruned.training.key != trained.variant("qat_int8").training.key


@pytest.mark.parametrize(
    ("key", "value"),
    [("epochs", 3), ("batch_size", 16), ("learning_rate", 0.01), ("seed", 7), ("loss", '"mse"')],
)
def test_every_setting_decides_the_bytes(trained, model, key, value):
    before = trained.variant("qat_int8")
    table = QAT.replace("epochs = 2", "epochs = 3") if key == "epochs" else f"{QAT}{key} = {value}\n"
    model.replace(QAT, table)
    after = trained.variant("qat_int8")
    assert before.key != after.key
    assert before.training.float32_key != after.training.float32_key


@pytest.mark.parametrize("name", ["train", "evaluation"])
def test_the_data_and_what_is_left_out_of_it_decide_the_bytes(trained, model, name):
    before, other = trained.variant("qat_int8").key, trained.variant("int8").key
    model.arrays(name, x=images(30, seed=6), y=np.arange(30) % 10)
    assert trained.variant("qat_int8").key != before
    assert trained.variant("int8").key == other


def test_weights_are_held_to_the_float_file_of_the_same_training(trained):
    (loaded,) = trained.load().models
    by_name = {variant.name: variant for variant in loaded.variants}
    assert same_weights_key(loaded, by_name["int8"]) == loaded.float32_key
    assert same_weights_key(loaded, by_name["qat_int8"]) == by_name["qat_int8"].training.float32_key
    applies = {name: unmet(METRICS["weight_error_lsb"], loaded, variant) is None for name, variant in by_name.items()}
    assert applies == {
        "float32": False, "int8": True, "int8_float_io": True,
        "qat_int8": True, "pruned_int8": True, "pruned_float32": False,
    }  # fmt: skip


def test_limits_of_a_pruned_variant_follow_from_its_sparsity(trained):
    assert trained.limits("pruned_float32")["sparsity"] == 0.49
    assert trained.limits("pruned_float32")["compressed_ratio"] == 0.7
    assert 0.7 < trained.limits("pruned_int8")["weight_correlation"] < 0.95
    assert "compressed_ratio" not in trained.limits("pruned_int8")
    assert "sparsity" not in trained.limits("qat_int8")


def test_a_file_that_was_trained_elsewhere_brings_its_float_model(repository, model):
    for name in ("aware", "float"):
        (model.path / f"{name}.tflite").write_bytes(f"....TFL3 {name}".encode())
    model.add('[variants.qat_int8]\nfile = "aware.tflite"\nfloat32 = "float.tflite"\n')
    variant = repository.variant("qat_int8")
    assert variant.training.float32.path.endswith("float.tflite")
    assert "weight_error_lsb" in variant.budgets["host"]
    model.replace('float32 = "float.tflite"\n', "")
    assert repository.variant("qat_int8").training is None
    assert "weight_error_lsb" not in repository.variant("qat_int8").budgets["host"]


@pytest.mark.parametrize(
    ("table", "found", "cure"),
    [
        ("[variants.qat_int8]\n", "has no epochs", "add epochs"),
        (QAT + "sparsity = 0.5\n", "sparsity = 0.5 in [variants.qat_int8]", "remove sparsity"),
        ("[variants.pruned_int8]\nepochs = 2\n", "needs a sparsity", "add sparsity"),
        ("[variants.float16]\nepochs = 2\n", "epochs = 2 in [variants.float16]", "remove epochs"),
        ('[variants.float16]\nfloat32 = "a.tflite"\n', "float32 in [variants.float16]", "remove float32"),
        (QAT + "seed = -1\n", "seed = -1", ""),
        (QAT + "learning_rate = 0\n", "learning_rate = 0", ""),
    ],
)
def test_what_cannot_be_meant_is_refused(repository, model, table, found, cure):
    model.arrays("train", x=images(30, seed=5), y=np.arange(30) % 10)
    model.replace(DATA, DATA + 'training = "train.npz"\n')
    model.add(table)
    message = repository.refused()
    assert found in message
    assert cure in message


def test_training_needs_a_training_set(repository, model):
    model.add(QAT)
    message = repository.refused()
    assert "recipe qat_int8 in [variants.qat_int8] needs a training set" in message
    assert 'training = "train.npz"' in message


def test_only_a_keras_source_can_be_trained(repository, model):
    model.arrays("train", x=images(30, seed=5), y=np.arange(30) % 10)
    model.replace(DATA, DATA + 'training = "train.npz"\n')
    folder = model.path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    model.replace("model.keras", "saved")
    model.add(QAT)
    assert "trains the source, which is a SavedModel" in repository.refused()


def test_a_variant_that_was_trained_further_is_no_twin_of_one_that_was_not(trained):
    """Its outputs are other ones by design: they are not held to those of the source's int8_float_io."""
    (model,) = trained.load().models
    assert float_io_twin(model, trained.variant("int8")).name == "int8_float_io"
    assert float_io_twin(model, trained.variant("pruned_int8")) is None
    assert float_io_twin(model, trained.variant("qat_int8")) is None
