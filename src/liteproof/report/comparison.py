"""What changed: between two runs, between two targets of one run, or since a model was accepted.

>>> from liteproof.checks import Check, Verdict
>>> def check(value, verdict):
...     return Check("digits", "int8", "host", "agreement", "top1_agreement", value, 0.95, value - 0.95, 597,
...                  None, verdict, "acceptance/test_agreement.py::test_top1_agreement[digits-int8-host]")
>>> change = changes([check(0.99, Verdict.PASS)], [check(0.94, Verdict.FAIL)])[0]
>>> change.arrow, difference(change), change.effect, verdicts(change)
('↓', '-0.0500', 'worse', 'PASS → FAIL')
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from liteproof.checks import METRICS, Better, Check, Verdict, metric_of
from liteproof.errors import UsageError
from liteproof.report import wording
from liteproof.report.results import Results

Key = tuple[str, str, str]

_EXACT = ("share", "count", "bytes", "ms", "MB")


@dataclass(frozen=True)
class Change:
    """One metric of one case, before and after. A side that was not measured is None.

    Attributes:
        within_noise: The metric varies from run to run (it is a time) and the two 95% intervals overlap.
    """

    model: str
    variant: str
    where: str
    metric: str
    before: float | None
    after: float | None
    verdict_before: Verdict | None = None
    verdict_after: Verdict | None = None
    within_noise: bool = False
    better: Better | None = None

    @property
    def difference(self) -> float | None:
        """After less before."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def arrow(self) -> str:
        """Which way the number went."""
        difference = self.difference
        return "·" if not difference else "↑" if difference > 0 else "↓"

    @property
    def effect(self) -> str:
        """What it means: "better", "worse", "within noise", "by rounding", or "" where nothing can be said."""
        difference = self.difference
        if not difference or (self.metric not in METRICS and self.better is None):
            return ""
        if self.within_noise:
            return "within noise"
        if self._by_rounding:
            return "by rounding"
        return (
            "better" if (difference > 0) == (metric_of(self.metric, self.better).direction == "at_least") else "worse"
        )

    @property
    def _by_rounding(self) -> bool:
        """Whether a real number changed by so little that it is written as it was. Shares, counts, bytes are exact."""
        if self.metric not in METRICS or METRICS[self.metric].unit in _EXACT:
            return False
        return wording.number(self.metric, self.before) == wording.number(self.metric, self.after)

    @property
    def verdict_changed(self) -> bool:
        """Whether the gate came out differently."""
        return self.verdict_before is not self.verdict_after


@dataclass(frozen=True)
class Flips:
    """Samples of one case for which the two sides decide differently, each with the two classes."""

    model: str
    variant: str
    where: str
    samples: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True)
class Outputs:
    """How far the outputs lie apart, over the first values that both sides recorded.

    Attributes:
        different: How many of the `compared` values differ.
        largest: The largest difference, in the outputs' own unit.
        steps: The same in quantization steps, where the output has them.
    """

    model: str
    variant: str
    where: str
    compared: int
    different: int
    largest: float
    steps: float | None


@dataclass(frozen=True)
class Comparison:
    """Two sides of something. `notes` are what makes them less comparable than they look."""

    before: str
    after: str
    changes: tuple[Change, ...]
    flips: tuple[Flips, ...]
    outputs: tuple[Outputs, ...]
    unchanged: int
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    notes: tuple[str, ...]


def between_runs(before: Results, after: Results) -> Comparison:
    """What changed from one run to another, case by case."""
    return _compare(
        before.run.id, after.run.id, _by_case(before.checks), _by_case(after.checks), tuple(_notes(before, after))
    )


def between_targets(results: Results, first: str, second: str) -> Comparison:
    """What differs between two targets of one run.

    Raises:
        UsageError: if the run has no such target.
    """
    for target in (first, second):
        if target not in results.targets:
            raise UsageError(
                f"the run has no target {target!r}",
                expected=f"one of {', '.join(results.targets)}",
                where=results.run.id,
            )
    where = f"{first} → {second}"
    sides = [
        {(model, variant, where): found for (model, variant, on), found in _by_case(results.checks).items() if on == t}
        for t in (first, second)
    ]
    notes = tuple(_note_targets(results.targets[first], results.targets[second], first, second))
    return _compare(first, second, sides[0], sides[1], notes)


def since_accepted(results: Results) -> list[Change]:
    """Differences from each model's accepted baseline, where the results carry one.

    The baseline is `models[NAME]["accepted"]`: variant → target → metric → value.
    """
    found = []
    for check in results.checks:
        accepted = results.models.get(check.model, {}).get("accepted") or {}
        value = accepted.get(check.variant, {}).get(check.target, {}).get(check.metric)
        if value is not None and check.value is not None and value != check.value:
            noise = _varies(check.metric) and _inside(value, check.interval)
            found.append(
                Change(
                    check.model,
                    check.variant,
                    check.target,
                    check.metric,
                    value,
                    check.value,
                    check.verdict,
                    check.verdict,
                    noise,
                    check.better,
                )
            )
    return sorted(found, key=_rank)


def changes(before: Iterable[Check], after: Iterable[Check], where: str | None = None) -> list[Change]:
    """The metrics whose value or verdict changed, most important first.

    Args:
        before: Checks of one side.
        after: Checks of the other; paired with the first by model, variant, target and metric.
        where: What to call the place instead of the target; then targets are not compared.
    """

    def key(check: Check) -> tuple[str, ...]:
        return check.model, check.variant, where or check.target, check.metric

    first = {key(check): check for check in before}
    found = []
    for check in after:
        other = first.get(key(check))
        if other is not None and (other.value != check.value or other.verdict is not check.verdict):
            found.append(
                Change(
                    check.model,
                    check.variant,
                    where or check.target,
                    check.metric,
                    other.value,
                    check.value,
                    other.verdict,
                    check.verdict,
                    _varies(check.metric) and _overlap(other.interval, check.interval),
                    check.better,
                )
            )
    return sorted(found, key=_rank)


def difference(change: Change) -> str:
    """How far the number went; for times and sizes also as a share."""
    if change.difference is None:
        return wording.NONE
    text = wording.number(change.metric, change.difference, signed=True)
    relative = change.metric in METRICS and METRICS[change.metric].relative
    return f"{text} ({change.difference / change.before:+.1%})" if relative and change.before else text


def verdicts(change: Change) -> str:
    """The verdict, or how it changed."""
    before, after = (str(verdict or wording.NONE) for verdict in (change.verdict_before, change.verdict_after))
    return f"{before} → {after}" if change.verdict_changed else after


HEADINGS = ("model / variant", "on", "metric", "before", "after", "change", "verdict")
NAMES = ("model / variant", "metric")
FLIPS_NAMED = 10


def row(change: Change) -> tuple[str, ...]:
    """One change as texts, under `HEADINGS`."""
    moved = f"{change.arrow} {difference(change)} {change.effect}".rstrip() if change.difference else ""
    return (
        f"{change.model} / {change.variant}",
        change.where,
        change.metric,
        wording.number(change.metric, change.before),
        wording.number(change.metric, change.after),
        moved,
        verdicts(change),
    )


def caveats(compared: Comparison) -> list[str]:
    """What makes the two sides less comparable than they look, and what only one of them has."""
    found = list(compared.notes)
    for label, cases in (("before", compared.only_before), ("after", compared.only_after)):
        found += [f"only {label}: {case}" for case in cases]
    return found


def findings(compared: Comparison) -> list[str]:
    """What the sides answer differently: decisions sample by sample, and output values."""
    found = []
    for flips in compared.flips:
        named = ", ".join(f"{sample}: {a} → {b}" for sample, a, b in flips.samples[:FLIPS_NAMED])
        more = f" and {len(flips.samples) - FLIPS_NAMED} more" if len(flips.samples) > FLIPS_NAMED else ""
        text = f"{flips.model} / {flips.variant}, {flips.where}: {len(flips.samples)} samples decided differently"
        found.append(f"{text} ({named}{more})")
    for outputs in compared.outputs:
        if outputs.different:
            steps = "" if outputs.steps is None else f", {outputs.steps:.3g} steps"
            found.append(
                f"{outputs.model} / {outputs.variant}, {outputs.where}: {outputs.different} of the first "
                f"{outputs.compared} output values differ, by up to {outputs.largest:.3g}{steps}"
            )
    return found


def summary(compared: Comparison) -> str:
    """How much changed, in one line."""
    return f"{len(compared.changes)} values changed, {compared.unchanged} are the same"


def _compare(
    before: str, after: str, first: Mapping[Key, list[Check]], second: Mapping[Key, list[Check]], notes: tuple[str, ...]
) -> Comparison:
    both = [key for key in first if key in second]
    found = [change for key in both for change in changes(first[key], second[key], key[2])]
    shared = sum(len({c.metric for c in first[key]} & {c.metric for c in second[key]}) for key in both)
    return Comparison(
        before,
        after,
        tuple(sorted(found, key=_rank)),
        tuple(flips for key in both if (flips := _flips(key, first[key], second[key]))),
        tuple(outputs for key in both if (outputs := _outputs(key, first[key], second[key]))),
        shared - len(found),
        tuple(" / ".join(key) for key in first if key not in second),
        tuple(" / ".join(key) for key in second if key not in first),
        notes,
    )


def _by_case(checks: Iterable[Check]) -> dict[Key, list[Check]]:
    cases: dict[Key, list[Check]] = {}
    for check in checks:
        cases.setdefault((check.model, check.variant, check.target), []).append(check)
    return cases


def _rank(change: Change) -> tuple[int, str, str, str, str]:
    """A worse verdict first, then a better one, then worse and better numbers, then noise."""
    order = list(Verdict)
    before, after = change.verdict_before, change.verdict_after
    if change.verdict_changed:
        better = before is not None and after is not None and order.index(after) > order.index(before)
        rank = 1 if better or after is None else 0
    else:
        rank = {"worse": 2, "better": 3, "": 4, "within noise": 5, "by rounding": 6}[change.effect]
    return rank, change.model, change.variant, change.where, change.metric


def _varies(metric: str) -> bool:
    """Whether a metric differs from run to run on the same file and data: times, and ratios of times, do."""
    return metric in METRICS and (METRICS[metric].unit in ("ms", "MB") or metric == "speedup")


def _overlap(a: tuple[float, float] | None, b: tuple[float, float] | None) -> bool:
    return a is not None and b is not None and a[0] <= b[1] and b[0] <= a[1]


def _inside(value: float, interval: tuple[float, float] | None) -> bool:
    return interval is not None and interval[0] <= value <= interval[1]


def _notes(before: Results, after: Results) -> Iterator[str]:
    for label, results in (("before", before), ("after", after)):
        if not results.run.complete:
            yield f"the run {label} ({results.run.id}) was cut off or narrowed by a stop: what it lacks is not compared"
    for model in [name for name in before.models if name in after.models]:
        for part, what in (("source", "the source"), ("evaluation", "the evaluation set"), ("manifest", "model.toml")):
            if _digest(before, model, part) != _digest(after, model, part):
                yield f"{model}: {what} is not the same file in both runs"
    for target in [name for name in before.targets if name in after.targets]:
        yield from _note_targets(before.targets[target], after.targets[target], f"{target} before", "after")


def _digest(results: Results, model: str, part: str) -> object:
    return (results.models[model].get(part) or {}).get("sha256")


def _note_targets(first: Mapping[str, Any], second: Mapping[str, Any], before: str, after: str) -> Iterator[str]:
    for fact in ("machine", "runtime", "threads"):
        if first.get(fact) != second.get(fact):
            yield f"{fact}: {before} {first.get(fact)}, {after} {second.get(fact)}"


def _evidence(checks: Iterable[Check], metric: str, name: str) -> Any:
    return next((c.evidence[name] for c in checks if c.metric == metric and name in c.evidence), None)


def _flips(key: Key, first: list[Check], second: list[Check]) -> Flips | None:
    """Samples on which the two sides decide differently.

    Each side tells its flips from the source, so what is in neither list is decided alike. None where a side tells
    none, or not all.
    """
    sides = []
    for checks in (first, second):
        flipped = _evidence(checks, "top1_agreement", "flipped")
        count = sum((_evidence(checks, "top1_agreement", "flips") or {}).values())
        if flipped is None or len(flipped) != count:
            return None
        sides.append({int(sample): (str(source), str(ours)) for sample, source, ours in flipped})
    found = []
    for sample in sorted(sides[0].keys() | sides[1].keys()):
        source = (sides[0].get(sample) or sides[1][sample])[0]
        a, b = (side.get(sample, (source, source))[1] for side in sides)
        if a != b:
            found.append((sample, a, b))
    return Flips(*key, tuple(found)) if found else None


def _outputs(key: Key, first: list[Check], second: list[Check]) -> Outputs | None:
    a, b = (_evidence(checks, "max_abs_error", "first_outputs") for checks in (first, second))
    if not a or not b:
        return None
    apart = [abs(x - y) for x, y in zip(a, b, strict=False)]
    step = _evidence(first, "max_abs_error", "output_step")
    largest = max(apart)
    return Outputs(*key, len(apart), sum(d > 0 for d in apart), largest, largest / step if step else None)
