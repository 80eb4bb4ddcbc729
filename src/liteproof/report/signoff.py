"""Whether a run is a sign-off: every gate PASS on every target of the release, and nothing that makes that doubtful.

>>> from liteproof.report.results import Results, Run
>>> cut = Results(Run("r", "", "", False, "0.1.0", None, selected=9, ran=4))
>>> blockers(cut, Demand({"digits": ("host",)}))[0]
'the run was cut off: 4 of 9 tests ran'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from liteproof.checks import Check, Verdict
from liteproof.report.results import Results

Case = tuple[str, str, str]


@dataclass(frozen=True)
class Demand:
    """What the sign-off of a run takes, and what is known about the run beside its results.

    Attributes:
        release: Model → the targets that its manifest names for release.
        gates: Of each case (model, variant, target) that the release demands, the metrics that have a limit.
        rehearsals: Targets that are emulated or borrowed.
        objections: What else blocks, a sentence each: how the run was narrowed, the state of the work tree.
    """

    release: Mapping[str, Sequence[str]]
    gates: Mapping[Case, Sequence[str]] | None = None
    rehearsals: frozenset[str] = frozenset()
    objections: Sequence[str] = ()


def blockers(results: Results, demand: Demand) -> tuple[str, ...]:
    """What keeps this run from being a sign-off, a sentence each; empty where nothing does."""
    found = [
        *_cut_off(results),
        *demand.objections,
        *_targets(results, demand),
        *_missed(results),
        *_without_verdict(results, demand),
        *_never_checked(results, demand),
    ]
    return tuple(dict.fromkeys(found))


def lines(results: Results) -> list[str]:
    """What came of the sign-off, as every report shows it: the decision, then what blocks; none if none was asked."""
    signoff = results.signoff
    if signoff is None:
        return []
    if signoff.granted:
        return [f"sign-off granted: {', '.join(results.models)}"]
    return [f"sign-off refused, blocked by {len(signoff.blocked_by)}:", *signoff.blocked_by]


def withdrawn(results: Results, reason: str) -> Results:
    """The results of a run whose sign-off was granted and whose release folder could not be written."""
    if results.signoff is None or not results.signoff.granted:
        return results
    blocked = (f"the release folder could not be written: {reason}",)
    return replace(results, signoff=replace(results.signoff, granted=False, blocked_by=blocked))


def _cut_off(results: Results) -> Iterator[str]:
    run = results.run
    if not run.complete:
        yield f"the run was cut off: {run.ran} of {run.selected} tests ran"


def _targets(results: Results, demand: Demand) -> Iterator[str]:
    if not demand.release:
        yield "no model was judged"
    for model, targets in demand.release.items():
        for target in targets:
            if target not in results.targets:
                yield f"{model} was not judged on {target}, which its manifest names for release"
    for target in results.targets:
        if target in demand.rehearsals:
            yield f"{target} is a rehearsal target: times mean nothing there"


def _missed(results: Results) -> Iterator[str]:
    """One sentence for each case and verdict that is not PASS."""
    groups: dict[tuple[str, str, str, Verdict], list[Check]] = {}
    for check in results.checks:
        if check.verdict is not None and check.verdict is not Verdict.PASS:
            groups.setdefault((check.model, check.variant, check.target, check.verdict), []).append(check)
    order = list(Verdict)
    for model, variant, target, verdict in sorted(groups, key=lambda group: order.index(group[3])):
        metrics = dict.fromkeys(check.metric for check in groups[model, variant, target, verdict])
        yield f"{model} / {variant} on {target}: {verdict} ({', '.join(metrics)})"


def _without_verdict(results: Results, demand: Demand) -> Iterator[str]:
    for model, targets in demand.release.items():
        for variant in results.models.get(model, {}).get("variants", {}):
            for target in targets:
                judged = results.verdicts.get(model, {}).get(variant, {})
                if target in results.targets and target not in judged:
                    yield f"{model} / {variant} on {target} was not judged"


def _never_checked(results: Results, demand: Demand) -> Iterator[str]:
    """Gates that the manifest sets and that no test of this run held."""
    held = {(c.model, c.variant, c.target, c.metric) for c in results.checks if c.limit is not None}
    for (model, variant, target), metrics in (demand.gates or {}).items():
        if target not in results.verdicts.get(model, {}).get(variant, {}):
            continue  # said already: not judged at all
        lacking = [metric for metric in metrics if (model, variant, target, metric) not in held]
        if lacking:
            yield f"{model} / {variant} on {target}: no test held {', '.join(lacking)}"
