"""`[budgets]`: which limit holds for which variant on which target.

    >>> place = Place("model.toml", "budgets")
    >>> written = {"top1_agreement": 0.9, "int8": {"top1_agreement": 0.95, "pi": {"latency_p95_ms": 70}}}
    >>> budgets = read_budgets(written, variants=["int8", "float16"], targets=["host", "pi"], place=place)
    >>> budgets.limits["int8", "pi"], budgets.limits[None, None]
    ({'latency_p95_ms': 70.0}, {'top1_agreement': 0.9})

The later one wins: the metric's default, the recipe's default, `[budgets]`, `[budgets.all.TARGET]`,
`[budgets.VARIANT]`, `[budgets.VARIANT.TARGET]`. The default of `size_ratio` is not among them: it follows from the
float32 file, which does not exist yet when a plan is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from liteproof.applicability import unmet
from liteproof.checks import METRICS, Better, metric_of
from liteproof.manifest.place import Place, kind_of, nearest, one_of, written
from liteproof.manifest.schema import RESERVED_METRICS
from liteproof.plan import Model, Variant

EVERY = "all"
REGRESSION = "regression"

Limits = Mapping[str, float]


@dataclass(frozen=True)
class Budgets:
    """Budgets as written.

    Attributes:
        limits: Limits by variant and target; None stands for every one.
        regressions: Allowed losses against the accepted baseline by variant; None stands for every one.
        place: `[budgets]`.
    """

    limits: Mapping[tuple[str | None, str | None], Limits]
    regressions: Mapping[str | None, Limits]
    place: Place

    def limits_for(self, model: Model, variant: Variant, target: str) -> dict[str, float]:
        """Every limit that holds for this variant on this target, of metrics that can apply to it."""
        merged = {metric.name: metric.default for metric in METRICS.values() if metric.default is not None}
        merged |= variant.default_budgets
        for level in ((None, None), (None, target), (variant.name, None), (variant.name, target)):
            merged |= self.limits.get(level, {})
        return _applicable(merged, model, variant)

    def regression_for(self, model: Model, variant: Variant) -> dict[str, float]:
        """Every allowed loss against the baseline, of metrics that can apply to this variant."""
        return _applicable({**self.regressions.get(None, {}), **self.regressions.get(variant.name, {})}, model, variant)

    def require_applicable(self, model: Model) -> None:
        """A budget that gates nothing is a mistake.

        Raises:
            UsageError: if a metric cannot apply to the very variant that a table names, or to none of all variants.
        """
        for variant_name, table, metric in self._written():
            asked = [v for v in model.variants if variant_name in (None, v.name)]
            reasons = [unmet(model.metric(metric), model, variant) for variant in asked]
            if all(reasons):
                gates = f"'{variant_name}'" if variant_name else "any variant"
                raise table.wrong(
                    f"{metric} in {table.name} cannot apply to {gates}",
                    f"a metric that can: {reasons[0]}",
                    f"remove {metric} from {table.name}",
                )

    def _written(self) -> Iterator[tuple[str | None, Place, str]]:
        for (variant, target), limits in self.limits.items():
            table = self.place
            if variant or target:
                table = table.at(variant or EVERY)
            yield from ((variant, table.at(target) if target else table, metric) for metric in limits)
        for variant, losses in self.regressions.items():
            table = self.place.at(variant) if variant else self.place
            yield from ((variant, table.at(REGRESSION), metric) for metric in losses)


def _applicable(limits: Limits, model: Model, variant: Variant) -> dict[str, float]:
    return {name: limit for name, limit in limits.items() if unmet(model.metric(name), model, variant) is None}


def read_budgets(
    raw: Mapping[str, object],
    *,
    variants: Iterable[str],
    targets: Iterable[str],
    own: Mapping[str, Better] = MappingProxyType({}),
    place: Place,
) -> Budgets:
    """The budgets of a manifest, against the names of its variants, of the targets, and of its own metrics.

    Raises:
        UsageError: if a metric, a variant or a target is unknown, if a limit is no number, or if no measurement could
            ever keep it.
    """
    reading = _Reading(list(variants), list(targets), {}, {}, own)
    for key, value in raw.items():
        if key == REGRESSION:
            reading.regressions[None] = reading.losses(value, place)
        elif isinstance(value, dict) and key not in METRICS:
            reading.variant_table(key, value, place)
        else:
            reading.add(None, None, key, value, place)
    return Budgets(reading.limits, reading.regressions, place)


@dataclass(frozen=True)
class _Reading:
    variants: list[str]
    targets: list[str]
    limits: dict[tuple[str | None, str | None], dict[str, float]]
    regressions: dict[str | None, Limits]
    own: Mapping[str, Better]

    def add(self, variant: str | None, target: str | None, metric: str, value: object, place: Place) -> None:
        if not isinstance(value, dict) and metric in (*self.variants, *self.targets, EVERY):
            table = place.at(metric).name
            raise place.wrong(f"{metric} = {written(value)} in {place.name} is {kind_of(value)}", f"a table: {table}")
        self.limits.setdefault((variant, target), {})[metric] = self._limit(metric, value, place)

    def variant_table(self, name: str, table: Mapping[str, object], place: Place) -> None:
        if name not in (*self.variants, EVERY):
            raise self._unknown_variant(name, place)
        here = place.at(name)
        variant = None if name == EVERY else name
        for key, value in table.items():
            if key == REGRESSION and variant:
                self.regressions[variant] = self.losses(value, here)
            elif isinstance(value, dict) and key not in METRICS:
                self._target_table(variant, key, value, here)
            elif variant:
                self.add(variant, None, key, value, here)
            else:
                raise here.wrong(
                    f"{key} = {written(value)} in {here.name}",
                    f"a table for a target, {here.at('TARGET').name}; what holds everywhere stands in {place.name}",
                    f"move it to {place.name}",
                )

    def _target_table(self, variant: str | None, target: str, table: Mapping[str, object], place: Place) -> None:
        if target not in self.targets:
            raise place.wrong(
                f"{place.at(target).name} names no target",
                one_of(target, self.targets, what="a target"),
                f"define [{target}] in targets.toml, or correct the name",
            )
        here = place.at(target)
        for key, value in table.items():
            if key == REGRESSION:
                raise here.wrong(
                    f"{REGRESSION} in {here.name}",
                    "regression budgets in [budgets] or [budgets.VARIANT]",
                    "move it there",
                )
            self.add(variant, target, key, value, here)

    def _unknown_variant(self, name: str, place: Place) -> Exception:
        if name in self.targets:
            return place.wrong(
                f"{place.at(name).name} names a target, not a variant",
                f"{place.at(EVERY).at(name).name} for every variant on it",
                "add 'all.'",
            )
        return place.wrong(
            f"{place.at(name).name} names no variant",
            one_of(name, [*self.variants, EVERY], what="a variant"),
            "correct the name, or remove the table",
        )

    def _limit(self, metric: str, value: object, place: Place) -> float:
        _require_metric(metric, self.own, place)
        limit = _number(metric, value, place)
        reason = metric_of(metric, self.own.get(metric)).impossible(limit)
        if reason:
            raise place.wrong(
                f"{metric} = {written(value)} in {place.name} is impossible", reason, "choose another limit"
            )
        return limit

    def losses(self, raw: object, place: Place) -> Limits:
        """Allowed losses against the baseline."""
        here = place.at(REGRESSION)
        if not isinstance(raw, dict):
            raise place.wrong(
                f"{REGRESSION} = {written(raw)} in {place.name} is {kind_of(raw)}", "a table: { latency_p50_ms = 0.10 }"
            )
        losses = {}
        for metric, value in raw.items():
            _require_metric(metric, self.own, here)
            losses[metric] = _number(metric, value, here)
            if not 0 <= losses[metric] < math.inf:
                raise here.wrong(f"{metric} = {written(value)} in {here.name}", "an allowed loss: a number from 0")
        return losses


def _require_metric(name: str, own: Mapping[str, Better], place: Place) -> None:
    if name in METRICS or name in own:
        return
    if name in RESERVED_METRICS:
        raise place.wrong(
            f"{name} in {place.name} is not measured by this version of liteproof",
            "a metric that a suite measures, so that the limit gates something",
            f"remove {name}",
        )
    close = nearest(name, (*METRICS, *own))
    expected = (
        f"one of the metrics; nearest: '{close}'" if close else f"one of the metrics: {', '.join((*METRICS, *own))}"
    )
    raise place.wrong(
        f"unknown metric '{name}' in {place.name}", expected, f"write '{close}'" if close else f"remove '{name}'"
    )


def _number(metric: str, value: object, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise place.wrong(f"{metric} = {written(value)} in {place.name} is {kind_of(value)}", "a number: the limit")
    try:
        return float(value)
    except OverflowError:
        return math.inf
