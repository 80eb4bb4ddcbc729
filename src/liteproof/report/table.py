"""One row a variant: the table that the terminal, the pull request and the README show.

>>> HEADINGS
('variant', 'size', 'ratio', 'agree', 'drop', 'p50 ms', 'p95 ms', 'verdict')
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from liteproof.checks import Check, Verdict
from liteproof.report import wording
from liteproof.report.results import Results

HEADINGS = ("variant", "size", "ratio", "agree", "drop", "p50 ms", "p95 ms", "verdict")
REGRESSION_HEADINGS = ("variant", "size", "ratio", "cosine", "max err", "p50 ms", "p95 ms", "verdict")
_MEASURED = 5  # so many columns stand before the times


@dataclass(frozen=True)
class Section:
    """The rows of one model on one target. Each row has as many cells as there are headings."""

    model: str
    target: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdicts: tuple[Verdict | None, ...]


def sections(results: Results, most_own: int = 2) -> Iterator[Section]:
    """The table, a section for each model on each target, variants in the order of the manifest.

    Args:
        results: Of a run.
        most_own: Columns for metrics of a manifest's own: the first so many.
    """
    checks = {(c.model, c.variant, c.target, c.metric): c for c in results.checks}
    judged = {(c.model, c.variant, c.target): None for c in results.checks}
    for model, facts in results.models.items():
        for target, machine in results.targets.items():
            variants = [v for v in facts["variants"] if (model, v, target) in judged]
            if not variants:
                continue
            regression = facts.get("task") == "regression"
            own = tuple(facts.get("metrics") or ())[:most_own]
            headings = REGRESSION_HEADINGS if regression else HEADINGS
            yield Section(
                model,
                target,
                f"{model} on {target} ({machine.get('runtime', '?')}, {machine.get('machine', '?')})",
                (*headings[:_MEASURED], *own, *headings[_MEASURED:]),
                tuple(_row(checks, model, v, target, results, regression, own) for v in variants),
                tuple(results.verdicts.get(model, {}).get(v, {}).get(target) for v in variants),
            )


def _row(
    checks: dict[tuple[str, str, str, str], Check],
    model: str,
    variant: str,
    target: str,
    results: Results,
    regression: bool,
    own: tuple[str, ...],
) -> tuple[str, ...]:
    def value(metric: str) -> float | None:
        check = checks.get((model, variant, target, metric))
        return check.value if check else None

    def cell(metric: str) -> str:
        return wording.number(metric, value(metric))

    def time(metric: str) -> str:
        measured = value(metric)
        return wording.NONE if measured is None else wording.milliseconds(measured)

    size = results.models[model]["variants"][variant].get("bytes")
    verdict = results.verdicts.get(model, {}).get(variant, {}).get(target)
    first, second = ("cosine_similarity", "max_abs_error") if regression else ("top1_agreement", "accuracy_drop")
    return (
        variant,
        wording.NONE if size is None else wording.size(size),
        cell("size_ratio"),
        cell(first),
        cell(second),
        *map(cell, own),
        time("latency_p50_ms"),
        time("latency_p95_ms"),
        str(verdict or wording.NONE),
    )


@dataclass(frozen=True)
class Gate:
    """A gate that was not kept for sure; `also` names the metrics left unmeasured for the same reason."""

    check: Check
    also: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """What was measured, the limit and the distance; or all the metrics that were not measured."""
        if not self.also:
            return wording.gate_line(self.check)
        return f"{len(self.also) + 1} metrics not measured: {', '.join((self.check.metric, *self.also))}"


def gates(results: Results) -> list[Gate]:
    """What blocks or is unsure, worst first.

    A file that does not load leaves twenty metrics unmeasured for one reason: that is one entry, not twenty.
    """
    groups: dict[object, list[Check]] = {}
    for number, check in enumerate(missed(results)):
        same = (check.model, check.variant, check.target, check.detail)
        groups.setdefault(same if check.verdict is Verdict.UNMEASURED else number, []).append(check)
    return [Gate(first, tuple(check.metric for check in rest)) for first, *rest in groups.values()]


def not_judged(results: Results) -> list[tuple[str, str, str]]:
    """Cases of the run (model, variant, target) of which nothing at all was recorded."""
    judged = {(check.model, check.variant, check.target) for check in results.checks}
    return [
        case
        for model, facts in results.models.items()
        for variant in facts["variants"]
        for target in results.targets
        if (case := (model, variant, target)) not in judged
    ]


def missed(results: Results) -> list[Check]:
    """The checks that block: failed ones first, then unmeasured, then provisional, each in the order they ran."""
    order = list(Verdict)
    blocking = [c for c in results.checks if c.verdict is not None and c.verdict is not Verdict.PASS]
    return sorted(blocking, key=lambda c: order.index(c.verdict or Verdict.PASS))
