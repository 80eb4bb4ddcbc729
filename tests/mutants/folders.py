"""Model folders that say what is to be judged: an example model's manifest with other variants, sources or data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liteproof.measure.activations import CLIPPING_LIMIT
from liteproof.recipes import RECIPES

ROOT = Path(__file__).parents[2]


def folder_of(name: str) -> Path:
    """The folder of an example model."""
    return ROOT / "models" / name


def manifest_of(name: str) -> dict[str, Any]:
    """The manifest of an example model."""
    return tomllib.loads((folder_of(name) / "model.toml").read_text())


def rounded_variants(name: str) -> list[str]:
    """The variants of an example model whose weights are the source's, rounded by a recipe of one name."""
    variants = manifest_of(name)["variants"]
    return [variant for variant in variants if variant in RECIPES and not RECIPES[variant].training]


def write_model(
    folder: Path,
    name: str,
    variants: Mapping[str, Mapping[str, Any]],
    source: Path | None = None,
    calibration: Path | None = None,
    beside: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a model folder like an example model's.

    Args:
        folder: Where; its name is the new model's name.
        name: The example model whose data, labels and budgets it has.
        variants: Tables of `[variants]` by name. Each gets the budgets that the example model gives its recipe, and the
            limit that converted variants have by default: that their ranges are those of this calibration set.
        source: Another source.
        calibration: Another calibration set.
        beside: Files of the folder that tables name, by name.
    """
    original, where = manifest_of(name), folder_of(name)
    model = dict(original["model"], allow_outside=True)
    model |= {"source": str(source or where / model["source"]), "labels": str(where / model["labels"])}
    data = {
        "evaluation": str(where / original["data"]["evaluation"]),
        "calibration": str(calibration or where / original["data"]["calibration"]),
    }
    if "training" in original["data"]:
        data["training"] = str(where / original["data"]["training"])
    budgets = original["budgets"]
    lines = [*table("model", model), *table("data", data)]
    for variant, entries in variants.items():
        lines += table(f"variants.{variant}", entries)
    lines += table("budgets", {key: value for key, value in budgets.items() if not isinstance(value, dict)})
    for variant, entries in variants.items():
        recipe = entries.get("recipe", variant)
        by_rules = recipe.endswith(".json")
        calibrated = by_rules or RECIPES[recipe].calibrated
        ranges = {"activation_clipping_lsb": CLIPPING_LIMIT} if calibrated else {}
        lines += table(f"budgets.{variant}", budgets.get("mixed" if by_rules else recipe, {}) | ranges)
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in (beside or {}).items():
        (folder / file).write_bytes(content)
    (folder / "model.toml").write_text("\n".join(lines) + "\n")
    return folder


def table(name: str, entries: Mapping[str, Any]) -> list[str]:
    """A TOML table. JSON's spelling of strings, numbers and booleans is TOML's too."""
    return [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in entries.items()), ""]
