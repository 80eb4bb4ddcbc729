"""The published schemas are what the code makes, and say of a manifest what reading it says."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from liteproof.checks import METRICS
from liteproof.manifest.json_schema import dumped, main, metric_table, model_schema, targets_schema
from liteproof.recipes import RECIPES

ROOT = Path(__file__).parents[2]
SCHEMAS = {"model": model_schema, "targets": targets_schema}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_the_one_that_the_code_makes(name):
    committed = (ROOT / "docs" / f"{name}.schema.json").read_text(encoding="utf-8")
    assert committed == dumped(SCHEMAS[name]()), (
        f"run: python -m liteproof.manifest.json_schema {name} > docs/{name}.schema.json"
    )


def test_the_command_prints_it(capsys):
    assert main(["targets"]) == 0
    assert json.loads(capsys.readouterr().out)["title"].startswith("targets.toml")
    assert main(["modle"]) == 4
    command = [sys.executable, "-m", "liteproof.manifest.json_schema", "model"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == dumped(model_schema())


def test_every_metric_and_recipe_can_be_completed():
    schema = model_schema()["$defs"]
    assert set(schema["limits"]["properties"]) == set(METRICS)
    assert schema["VariantTable"]["properties"]["recipe"]["anyOf"][0]["enum"] == list(RECIPES)


def test_every_key_has_a_description():
    tables = {**model_schema()["$defs"], **targets_schema()["$defs"]}
    for name, table in tables.items():
        for key, node in table.get("properties", {}).items():
            assert node.get("description") or "$ref" in node, (name, key)


def test_no_key_may_be_null():
    assert "null" not in dumped(model_schema()) + dumped(targets_schema())


def valid(path, schema):
    import jsonschema

    content = json.loads(json.dumps(tomllib.loads(path), default=str))
    return jsonschema.Draft202012Validator(schema).is_valid(content)


def test_the_page_lists_every_metric_as_it_is():
    page = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")
    assert metric_table() in page, "run: python -m liteproof.manifest.json_schema metrics"


EXAMPLES = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_documented_examples_are_valid():
    models = [text for text in EXAMPLES if "[model]" in text]
    targets = [text for text in EXAMPLES if "ssh =" in text]
    assert models
    assert targets
    assert all(valid(text, model_schema()) for text in models)
    assert all(valid(text, targets_schema()) for text in targets)


def test_the_documented_examples_can_be_loaded(repository, model):
    (model.path / "model.keras").rename(model.path / "digits.keras")
    (model.path / "best_model_int8.tflite").write_bytes(b"....TFL3")
    (model.path / "labels.txt").write_text("\n".join("0123456789"))
    (repository.root / "targets.toml").write_text(next(text for text in EXAMPLES if "ssh =" in text))
    for text in (text for text in EXAMPLES if "[model]" in text):
        model.manifest(text)
        (loaded,) = repository.load(target_names=["host", "pi"]).models
    assert repository.limits("int8", "pi")["latency_p95_ms"] == 70
    assert loaded.release == ("host", "pi")


@pytest.mark.parametrize(
    "change",
    [
        ("task =", "taks ="),
        ("top1_agreement = 0.95", "top1_agreement = 1.1"),
        ("top1_agreement = 0.95", "top1_agrement = 0.95"),
        ("[variants.int8]", "[variants.all]"),
        ('recipe = "int8"', 'recipe = "int9"'),
    ],
)
def test_a_wrong_manifest_is_wrong_by_the_schema_too(change):
    text = max(EXAMPLES, key=len)
    assert change[0] in text
    assert not valid(text.replace(*change), model_schema())
