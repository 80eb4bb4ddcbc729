"""The JSON Schemas of `model.toml` and `targets.toml`, for editors that complete and check TOML.

    python -m liteproof.manifest.json_schema model > docs/model.schema.json
    python -m liteproof.manifest.json_schema targets > docs/targets.schema.json

They are made from the classes and metrics that reading uses, so they cannot say anything else.

    >>> model_schema()["$defs"]["limits"]["properties"]["top1_agreement"]["maximum"]
    1.0
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import msgspec

from liteproof.checks import METRICS, Metric
from liteproof.manifest.schema import METRIC_NAME, NAME, RESERVED_NAMES, Manifest, TargetTable
from liteproof.recipes import RECIPES

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAMES = {"pattern": NAME, "not": {"enum": sorted(RESERVED_NAMES)}}


def model_schema() -> dict[str, Any]:
    """The JSON Schema of `model.toml`."""
    _, definitions = _components(Manifest)
    manifest = definitions.pop("Manifest")
    manifest["properties"]["variants"] |= {"minProperties": 1, "propertyNames": _NAMES}
    manifest["properties"]["budgets"] = {"$ref": "#/$defs/budgets"}
    manifest["required"] = ["model", "data", "variants"]
    manifest["properties"]["metrics"] |= {"propertyNames": {"pattern": METRIC_NAME, "not": {"enum": sorted(METRICS)}}}
    manifest |= {"if": {"not": {"required": ["metrics"]}}, "then": {"properties": {"budgets": _built_in_only()}}}
    recipe = definitions["VariantTable"]["properties"]["recipe"]
    recipe["anyOf"] = [{"enum": list(RECIPES)}, {"type": "string", "pattern": r"\.json$"}]
    del recipe["type"]
    definitions |= _budgets()
    return {"$schema": _DIALECT, **manifest, "title": "model.toml of liteproof", "$defs": definitions}


def targets_schema() -> dict[str, Any]:
    """The JSON Schema of `targets.toml`."""
    top, definitions = _components(TargetTable)
    return {
        "$schema": _DIALECT,
        "title": "targets.toml of liteproof",
        "description": "Where the suites run, one table a target. [host] is this machine and always exists.",
        "type": "object",
        "propertyNames": _NAMES,
        "additionalProperties": top,
        "$defs": definitions,
    }


def _components(kind: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    (top,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return top, _without_null(definitions)


def _without_null(node: Any) -> Any:
    """TOML has no null: a key that may be left out is not one that may be null."""
    if isinstance(node, list):
        return [_without_null(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _without_null(value) for key, value in node.items() if not (key == "default" and value is None)}
    choices = [choice for choice in plain.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        del plain["anyOf"]
        plain |= choices[0]
    elif choices:
        plain["anyOf"] = choices
    return plain


def _budgets() -> dict[str, Any]:
    limits = {metric.name: _limit(metric) for metric in METRICS.values()}
    losses = {name: {"type": "number", "minimum": 0, "description": _loss(METRICS[name])} for name in METRICS}
    own = {"type": "number", "description": "The limit of a metric of your own: a name in [metrics]."}
    regression = {"$ref": "#/$defs/regression"}
    by_target = {
        "type": "object",
        "description": "Limits for every variant on one target: [budgets.all.TARGET].",
        "additionalProperties": {"$ref": "#/$defs/limits"},
    }
    return {
        "limits": {
            "type": "object",
            "description": "Limits, one a metric; the metric fixes the direction.",
            "properties": limits,
            "additionalProperties": own,
        },
        "regression": {
            "type": "object",
            "description": "Allowed losses against the accepted baseline: times and sizes relative, rates absolute.",
            "properties": losses,
            "additionalProperties": {"type": "number", "minimum": 0, "description": own["description"]},
        },
        "variant_budgets": {
            "type": "object",
            "description": "Limits for one variant; a table in it is for one target.",
            "properties": {**limits, "regression": regression},
            "additionalProperties": {"anyOf": [own, {"$ref": "#/$defs/limits"}]},
        },
        "budgets": {
            "type": "object",
            "description": "Limits for every variant; a table in it is for one variant, or [budgets.all.TARGET].",
            "properties": {**limits, "regression": regression, "all": by_target},
            "additionalProperties": {"anyOf": [own, {"$ref": "#/$defs/variant_budgets"}]},
        },
    }


def _built_in_only() -> dict[str, Any]:
    """Budgets of a manifest without metrics of its own: a number under any other name is a misspelt metric."""
    names = {"propertyNames": {"enum": list(METRICS)}}
    known = {f"^({'|'.join(METRICS)})$": True, "^regression$": names}
    by_target = {"type": "object", **names}
    by_variant = {"type": "object", "patternProperties": known, "additionalProperties": by_target}
    return {"patternProperties": known, "additionalProperties": by_variant}


def _limit(metric: Metric) -> dict[str, Any]:
    words = "at least" if metric.direction == "at_least" else "at most"
    unit = f", in {metric.unit}" if metric.unit in ("ms", "MB", "bytes", "dB") else ""
    node: dict[str, Any] = {"type": "number", "description": f"{metric.text}: {words}{unit}"}
    if metric.direction == "at_least" and math.isfinite(metric.highest):
        node["maximum"] = metric.highest
    if metric.direction == "at_most" and math.isfinite(metric.lowest):
        node["minimum"] = metric.lowest
    return node


def _loss(metric: Metric) -> str:
    return f"{metric.name}: allowed loss, {'as a share of the baseline' if metric.relative else 'absolute'}"


def metric_table() -> str:
    """Every metric as `docs/manifest.md` lists it, in Markdown."""
    rows = ["| metric | limit | default | meaning |", "|---|---|---|---|"]
    for metric in METRICS.values():
        words = "at least" if metric.direction == "at_least" else "at most"
        unit = f" ({metric.unit})" if metric.unit in ("ms", "MB", "bytes", "dB", "lsb") else ""
        default = "" if metric.default is None else f"{metric.default:g}"
        rows.append(f"| `{metric.name}` | {words}{unit} | {default} | {metric.text} |")
    return "\n".join(rows) + "\n"


def dumped(schema: dict[str, Any]) -> str:
    """The schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Print the schema that the one argument names."""
    schemas = {"model": model_schema, "targets": targets_schema}
    if len(arguments) != 1 or arguments[0] not in (*schemas, "metrics"):
        print("usage: python -m liteproof.manifest.json_schema model|targets|metrics", file=sys.stderr)  # noqa: T201
        return 4
    sys.stdout.write(metric_table() if arguments[0] == "metrics" else dumped(schemas[arguments[0]]()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
