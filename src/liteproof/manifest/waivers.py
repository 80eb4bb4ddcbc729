"""`[[waivers]]`: what a manifest exempts a variant from, by rule or metric, with a reason and a last day.

>>> read_waivers([], ["int8"], [], Place("model.toml", "waivers"))
()
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from liteproof import plan
from liteproof.checks import METRICS
from liteproof.manifest.place import Place, one_of, written
from liteproof.manifest.schema import WaiverTable


def read_waivers(
    tables: Sequence[WaiverTable], variants: Collection[str], own: Collection[str], place: Place
) -> tuple[plan.Waiver, ...]:
    """The waivers that a manifest declares.

    Args:
        tables: `[[waivers]]`.
        variants: Names of the model's variants.
        own: Names of the manifest's own metrics.
        place: The tables.

    Raises:
        UsageError: if one is for no variant, or from no rule and no metric.
    """
    metrics = (*METRICS, *own)
    for table in tables:
        if table.variant not in variants:
            raise place.wrong(
                f"variant = {written(table.variant)} in [[waivers]]",
                one_of(table.variant, variants, what="a variant"),
                "correct the name, or remove the waiver",
            )
        if table.rule not in metrics:
            _require_rule(table.rule, metrics, place)
    return tuple(plan.Waiver(table.variant, table.rule, table.reason, table.until, table.tensor) for table in tables)


def _require_rule(rule: str, metrics: Sequence[str], place: Place) -> None:
    from liteproof.tflite.specification import RULES  # only a manifest with waivers pays for it

    if rule not in RULES:
        raise place.wrong(
            f"rule = {written(rule)} in [[waivers]] is no rule and no metric",
            one_of(rule, {*RULES, *metrics}, what="a rule or a metric"),
            "docs/suites/quantization_spec.md lists the rules",
        )
