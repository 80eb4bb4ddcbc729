"""Writing a `model.toml`: what `liteproof init` and `liteproof advise --write` leave.

>>> print(manifest_text(Draft("flowers", "flowers.h5", "classification", outputs="probabilities",
...                           variants={"int8": "integers throughout"}, budgets={"int8": {"top1_agreement": 0.95}})))
# flowers: what is under acceptance (docs: manifest.md).
<BLANKLINE>
[model]
task = "classification"
source = "flowers.h5"
outputs = "probabilities"
<BLANKLINE>
[data]
evaluation = "evaluation.npz"
<BLANKLINE>
[variants.int8]                    # integers throughout
<BLANKLINE>
[budgets.int8]
top1_agreement = 0.95              # at least: share of samples whose class is the source's
<BLANKLINE>
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from liteproof.checks import METRICS
from liteproof.recipes import RECIPES

_COLUMN = 35
# Of a recipe's default limits those that a reader should see and may want to change.
_SHOWN = ("top1_agreement", "accuracy_drop", "cosine_similarity")


@dataclass(frozen=True)
class Draft:
    """A manifest before it is written.

    Attributes:
        name: The model's name.
        source: Its file, relative to the manifest.
        task: "classification", "binary" or "regression".
        outputs: "probabilities" or "logits"; None: left out.
        labels: The file of labels; None: left out.
        trust: Whether the source may carry code of its own.
        evaluation: The evaluation set.
        calibration: The calibration set; None: left out.
        variants: Recipes, each with a remark.
        budgets: Limits by table ("" for every variant, a variant's name) and metric.
        notes: Remarks on keys.
        head: Lines of comment at the top.
        footer: Lines of comment at the end.
    """

    name: str
    source: str
    task: str
    outputs: str | None = None
    labels: str | None = None
    trust: bool = False
    evaluation: str = "evaluation.npz"
    calibration: str | None = None
    variants: Mapping[str, str] = field(default_factory=dict)
    budgets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    head: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()


def recipe_budgets(recipe: str, task: str, *, labelled: bool) -> dict[str, float]:
    """The limits of a recipe that a manifest should show: its defaults, as far as they have a meaning for the task."""
    shown = _SHOWN if task == "regression" else _SHOWN[:2]
    limits = RECIPES[recipe].budgets
    return {
        metric: limits[metric]
        for metric in shown
        if metric in limits and task in METRICS[metric].tasks and (labelled or "labels" not in METRICS[metric].needs)
    }


def manifest_text(draft: Draft) -> str:
    """The file's text."""
    lines = [f"# {draft.name}: what is under acceptance (docs: manifest.md)."]
    lines += [f"# {line}" for line in draft.head]
    lines += ["", "[model]", *_keys(draft, "task", "source", "labels", "outputs")]
    lines += [_remarked("trust = true", "the source carries code, which loading it runs")] if draft.trust else []
    lines += ["", "[data]", *_keys(draft, "evaluation", "calibration"), ""]
    lines += [_remarked(f"[variants.{recipe}]", remark) for recipe, remark in draft.variants.items()]
    for table, limits in draft.budgets.items():
        if limits:
            lines += ["", f"[budgets.{table}]" if table else "[budgets]"]
            lines += [_limit(metric, limit) for metric, limit in limits.items()]
    lines += ["", *(f"# {line}" for line in draft.footer)]
    return "\n".join(lines).rstrip() + "\n"


def _keys(draft: Draft, *keys: str) -> list[str]:
    given = {key: getattr(draft, key) for key in keys}
    return [_remarked(f"{key} = {toml(value)}", draft.notes.get(key, "")) for key, value in given.items() if value]


def _limit(metric: str, limit: float) -> str:
    known = METRICS[metric]
    return _remarked(f"{metric} = {limit:g}", f"{known.direction.replace('_', ' ')}: {known.text}")


def _remarked(line: str, remark: str) -> str:
    return f"{line.ljust(_COLUMN - 1)} # {remark}" if remark else line


def toml(text: str) -> str:
    """A string as TOML writes it; JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
