"""No false alarm: what both toolchains make of the example models breaks no rule."""

import shutil
from pathlib import Path

import pytest

from liteproof.convert.conversion import prepare
from liteproof.manifest import load_plan
from liteproof.recipes import RECIPES
from liteproof.store import Store
from liteproof.tflite.reader import read_model
from liteproof.tflite.specification import violations
from tests.convert.plans import without_trained

MODELS = Path(__file__).parents[2] / "models"
BY_LITERT = [name for name, recipe in RECIPES.items() if recipe.toolchains[1:] == ("litert",)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "digits-mobilenet"])
def test_healthy_conversions_break_no_rule(name, tmp_path):
    folder = tmp_path / "models" / name
    shutil.copytree(MODELS / name, folder)
    with (folder / "model.toml").open("a", encoding="utf-8") as manifest:
        for recipe in BY_LITERT:
            manifest.write(f'\n[variants.{recipe}_litert]\nrecipe = "{recipe}"\ntoolchain = "litert"\n')
    store = Store(tmp_path / "store")
    plan = without_trained(load_plan([tmp_path / "models"], root=tmp_path, store=store))
    prepare(plan, store)
    (model,) = plan.models
    float32, found = read_model(store.get(model.float32_key).path), {}
    for variant in model.variants:
        entry = store.get(variant.key)
        assert entry is not None, store.failure(variant.key)
        found[variant.name] = violations(read_model(entry.path), variant.promise, float32)
    assert {"int8", "int16x8", "int8_litert", "int4"} <= found.keys()
    assert {variant: broken for variant, broken in found.items() if broken} == {}
