"""The keys of a variant that is trained further: which ones a recipe takes, and what holds where one is left out.

>>> table = VariantTable(epochs=2, sparsity=0.5)
>>> settings(table, RECIPES["pruned_int8"])["sparsity"], settings(table, RECIPES["qat_int8"])["batch_size"]
(0.5, 32)
"""

from __future__ import annotations

from collections.abc import Mapping

from liteproof.manifest.place import Place, written
from liteproof.manifest.schema import VariantTable
from liteproof.recipes import RECIPES, Recipe

# Of whose making a variant is, once training is done: two recipes that pruned alike share the float file.
CONVERTED_BY: Mapping[str, str] = {"pruned_float32": "float32", "pruned_int8": "int8"}

BATCH_SIZE, LEARNING_RATE, SEED = 32, 1e-4, 0
_KEYS = ("epochs", "batch_size", "learning_rate", "seed", "loss", "sparsity")
_SOURCES = ("keras", "h5")


def settings(table: VariantTable, promise: Recipe) -> dict[str, object]:
    """How to train, defaults filled in: the fields of `liteproof.convert.training.Settings`."""
    return {
        "epochs": table.epochs or 1,
        "batch_size": table.batch_size or BATCH_SIZE,
        "learning_rate": LEARNING_RATE if table.learning_rate is None else table.learning_rate,
        "seed": SEED if table.seed is None else table.seed,
        "sparsity": float(table.sparsity or 0.0) if promise.training == "pruning" else 0.0,
        "loss": table.loss,
    }


def claims(table: VariantTable, promise: Recipe, place: Place) -> dict[str, object]:
    """What a variant's limits follow from beside its recipe.

    Raises:
        UsageError: if the sparsity of a pruned one is not given.
    """
    if promise.training != "pruning":
        return {}
    if table.sparsity is None:
        raise place.wrong(
            f"recipe {promise.name} in {place.name} needs a sparsity",
            "sparsity = 0.5: the share of each layer's weights that is zero",
            "add sparsity",
        )
    return {"sparsity": float(table.sparsity)}


def require_sense(table: VariantTable, promise: Recipe, source_kind: str, has_data: bool, place: Place) -> None:
    """A variant that is converted here has the keys that its recipe needs, and none that mean nothing for it.

    Args:
        table: The variant's table.
        promise: Its recipe.
        source_kind: As `plan.Model` has it.
        has_data: Whether the manifest names a training set.
        place: The table, for messages.

    Raises:
        UsageError: if not, or if the source cannot be trained.
    """
    if table.float32 is not None:
        raise place.wrong(
            f"float32 in {place.name}", "float32 beside a file that was built elsewhere", "remove float32"
        )
    if not promise.training:
        trains = ", ".join(name for name, recipe in RECIPES.items() if recipe.training)
        _refuse(table, _KEYS, f"it means nothing for {promise.name}: only {trains} train the source", place)
        return
    if promise.training != "pruning":
        _refuse(table, ("sparsity",), f"it means nothing for {promise.name}, which does not prune", place)
    if source_kind not in _SOURCES:
        found = {"savedmodel": "a SavedModel", "tflite": "a .tflite"}[source_kind]
        raise place.wrong(
            f"recipe {promise.name} in {place.name} trains the source, which is {found}",
            "a .keras or .h5 source: its layers can be trained",
            "name the Keras original as source, or hand the variant over: file = …",
        )
    if not has_data:
        raise place.wrong(
            f"recipe {promise.name} in {place.name} needs a training set",
            "training in [data]: samples with labels, in any form that evaluation can have",
            'add training = "train.npz" to [data]',
        )
    if table.epochs is None:
        raise place.wrong(f"recipe {promise.name} in {place.name} has no epochs", "epochs = 3", "add epochs")


def require_sense_of_file(table: VariantTable, promise: Recipe, place: Place) -> None:
    """A file that was handed over is not trained here; only what it claims to be is said of it.

    Raises:
        UsageError: if a key means nothing for it.
    """
    unfit = tuple(key for key in _KEYS if key != "sparsity" or promise.training != "pruning")
    _refuse(table, unfit, "it means nothing beside file: a file is judged as it is", place)
    if table.float32 is not None and not promise.training:
        _refuse(table, ("float32",), f"{promise.name} is compared with the model's own float32 variant", place)


def _refuse(table: VariantTable, keys: tuple[str, ...], expected: str, place: Place) -> None:
    for key in keys:
        if getattr(table, key) is not None:
            raise place.wrong(f"{key} = {written(getattr(table, key))} in {place.name}", expected, f"remove {key}")
