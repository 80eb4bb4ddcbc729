"""`[variants.NAME]`: what a variant is, how it is made, and under which key the store keeps it.

    >>> variants = Variants(origin, folder, memory, find)                                  # doctest: +SKIP
    >>> variants.read("int8", table, Place("model.toml", "variants.int8")).key             # doctest: +SKIP
    '5f2b…'

A key is the digest of all that decides a variant's bytes, so it is known before anything is converted.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from liteproof import plan
from liteproof.manifest import keys, select_operators
from liteproof.manifest import training as training_keys
from liteproof.manifest.files import Folder
from liteproof.manifest.interface import read_interface
from liteproof.manifest.memory import Memory
from liteproof.manifest.place import Place, clean, nearest, one_of, written
from liteproof.manifest.schema import RemoteTable, VariantTable
from liteproof.mixed import read_rules
from liteproof.recipes import RECIPES, Recipe, promise_of

# Finds a file that a key of a table names, be it in the model's folder or elsewhere.
Find = Callable[[str | RemoteTable, str, Place], plan.File]


@dataclass(frozen=True)
class Origin:
    """What the variants of a model are made from.

    Attributes:
        source: The source's file.
        identity: What of the source decides a variant's bytes.
        calibration: The calibration set; None if there is none.
        trained_on: What decides a training beside a variant's own keys; None without a training set.
        inputs: Names of the evaluation set's inputs.
    """

    source: plan.File
    identity: keys.Source
    calibration: plan.Samples | None
    trained_on: Mapping[str, object] | None
    inputs: Sequence[str]


@dataclass(frozen=True)
class Claim:
    """What a variant claims to be.

    Attributes:
        recipe: Its recipe's name; of a mixed one, the file of its rules.
        rules: Of a mixed recipe, its rules by layer, under the key that `recipes.promise_of` looks for.
        promise: What both promise.
        options: What its limits follow from: the rules, and the sparsity of a pruned one.
    """

    recipe: str
    rules: Mapping[str, object]
    promise: Recipe
    options: Mapping[str, object]


class Variants:
    """Reads the variants of one manifest."""

    def __init__(self, origin: Origin, folder: Folder, memory: Memory, find: Find) -> None:
        self._origin = origin
        self._folder = folder
        self._memory = memory
        self._find = find

    def read(self, name: str, table: VariantTable, place: Place) -> plan.Variant:
        """The variant, as yet without limits, baselines and waivers.

        Args:
            name: Its name.
            table: `[variants.NAME]`.
            place: The table.

        Raises:
            UsageError: if the table makes no sense, or asks for what the source or the data cannot give.
        """
        claim = self._claim(name, table, place)
        make = self._as_it_is if self._is_there(table, claim) else self._converted
        variant = make(name, table, claim, place)
        return dataclasses.replace(variant, **read_interface(table, claim.promise, self._origin.inputs, place))

    def _is_there(self, table: VariantTable, claim: Claim) -> bool:
        """Whether nothing has to be made: a file that was handed over, or the float source itself."""
        own = self._origin.identity.kind == "tflite" and claim.recipe == "float32" and table.toolchain is None
        return table.file is not None or own

    def _as_it_is(self, name: str, table: VariantTable, claim: Claim, place: Place) -> plan.Variant:
        if table.file is None:
            source = self._origin.source
            return plan.Variant(name, claim.recipe, None, source, keys.file_key(source.sha256), {})
        if table.toolchain:
            raise place.wrong(f"toolchain in {place.name} beside file", "one of the two", "remove toolchain")
        file = self._find(table.file, "file", place)
        key, trained = keys.file_key(file.sha256), self._trained_elsewhere(table, claim.promise, place)
        options = {**claim.options, **select_operators.options(table, claim.promise, None, place)}
        return plan.Variant(name, claim.recipe, None, file, key, {}, options=options, training=trained)

    def _converted(self, name: str, table: VariantTable, claim: Claim, place: Place) -> plan.Variant:
        origin, promise = self._origin, claim.promise
        toolchain = _toolchain(promise, table, origin.identity.kind, place)
        calibrated_on = self._calibrated_on(claim, place)
        trained = self._training(table, promise, place)
        made_by = "mixed" if claim.rules else training_keys.CONVERTED_BY.get(claim.recipe, claim.recipe)
        select = select_operators.options(table, promise, toolchain, place)
        from_key = trained.key if trained else None
        made_with = {**claim.rules, **select}
        key = keys.variant_key(origin.identity, made_by, toolchain, calibrated_on, made_with, from_key)
        options = {**claim.options, **select}
        return plan.Variant(name, claim.recipe, toolchain, None, key, {}, options=options, training=trained)

    def _calibrated_on(self, claim: Claim, place: Place) -> dict[str, str] | None:
        if not claim.promise.calibrated:
            return None
        calibration = self._origin.calibration
        if calibration is None:
            raise place.wrong(
                f"recipe {claim.recipe} needs a calibration set",
                "calibration in [data]: samples in any form that evaluation can have",
                'add calibration = "calibration.npz" to [data], with some hundred training samples',
            )
        return {"sha256": calibration.sha256}

    def _training(self, table: VariantTable, promise: Recipe, place: Place) -> plan.Training | None:
        """How the source is trained further for a recipe that asks for it."""
        identity, trained_on = self._origin.identity, self._origin.trained_on
        training_keys.require_sense(table, promise, identity.kind, trained_on is not None, place)
        if not promise.training:
            return None
        settings = training_keys.settings(table, promise)
        key = keys.training_key(identity, promise.training, {**settings, **(trained_on or {})})
        float32 = keys.variant_key(identity, "float32", "tensorflow", None, {}, key)
        return plan.Training(float32, None, key, promise.training, settings)

    def _trained_elsewhere(self, table: VariantTable, promise: Recipe, place: Place) -> plan.Training | None:
        training_keys.require_sense_of_file(table, promise, place)
        if table.float32 is None:
            return None
        float32 = self._memory.file(self._folder.find(table.float32, "float32", place))
        return plan.Training(keys.file_key(float32.sha256), float32)

    def _claim(self, name: str, table: VariantTable, place: Place) -> Claim:
        recipe, rules = _recipe(name, table, place), self._rules(table, place)
        promise = promise_of(recipe, rules)
        return Claim(recipe, rules, promise, {**rules, **training_keys.claims(table, promise, place)})

    def _rules(self, table: VariantTable, place: Place) -> dict[str, object]:
        """The rules of a mixed recipe, under the key that `recipes.promise_of` looks for; nothing of another.

        Raises:
            UsageError: if its file is not what LiteRT Quantizer saves.
        """
        if not _is_rules(table.recipe):
            return {}
        path = self._folder.find(table.recipe or "", "recipe", place)
        try:
            rules = json.loads(path.read_text(encoding="utf-8-sig"))
            read_rules(rules)
        except (OSError, ValueError, RecursionError) as error:
            raise place.wrong(
                f"recipe = {written(table.recipe)} in {place.name}: {clean(str(error))}",
                "an array of rules as LiteRT Quantizer's save() or RecipeManager writes it",
                "docs/recipes.md shows one",
            ) from error
        return {"rules": rules}


def _recipe(name: str, table: VariantTable, place: Place) -> str:
    recipe = table.recipe or name
    if recipe in RECIPES or _is_rules(table.recipe):
        return recipe
    if table.recipe:
        found, cure = f"recipe = {written(recipe)} in {place.name}", "correct the recipe"
    elif table.file is not None:
        found = f"{place.name} does not say what its file claims to be"
        cure = f'add recipe = "{nearest(name, RECIPES) or "int8"}"'
    else:
        found = f"{place.name} is not named after a recipe, and names none"
        cure = f'rename it, or add recipe = "{nearest(name, RECIPES) or "int8"}"'
    raise place.wrong(found, one_of(recipe, RECIPES, what="a recipe"), cure)


def _toolchain(promise: Recipe, table: VariantTable, kind: str, place: Place) -> str:
    can = promise.toolchains
    if kind == "tflite":  # TFLiteConverter starts from Keras and SavedModels only
        can = tuple(toolchain for toolchain in can if toolchain != "tensorflow")
    if not can:
        others = [name for name, entry in RECIPES.items() if "litert" in entry.toolchains]
        raise place.wrong(
            f"recipe {promise.name} cannot start from a .tflite source",
            f"float32 (the source itself), one of {', '.join(others)}, or file = …",
            "name the Keras original as source, or hand the variant over as a file",
        )
    toolchain = table.toolchain or can[0]
    if toolchain not in can:
        reason = " from a .tflite source" if toolchain in promise.toolchains else ""
        raise place.wrong(
            f"toolchain {toolchain} does not know recipe {promise.name}{reason}",
            " or ".join(can),
            f'write toolchain = "{can[0]}", or remove the key',
        )
    return toolchain


def _is_rules(recipe: str | None) -> bool:
    """Whether a recipe is a file of rules by layer."""
    return recipe is not None and recipe.endswith(".json")
