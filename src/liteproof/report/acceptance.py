"""Take a run's values as the accepted baseline of its models.

>>> from liteproof.report.results import Results, Run
>>> baselines(Results(Run("r", "2026-11-20T12:00:00Z", "", True, "0.1.0", None)))
{}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liteproof.accepted import Baselines
from liteproof.checks import Check, Verdict
from liteproof.errors import UsageError
from liteproof.judging import SAME_MACHINE
from liteproof.plan import Accepted
from liteproof.report.results import Results

ACCEPTABLE = (Verdict.PASS, Verdict.PROVISIONAL)


def baselines(results: Results) -> dict[str, Baselines]:
    """The baseline of each model: the values of every variant that was accepted, target by target.

    Raises:
        UsageError: if the run was cut off, so that it vouches for nothing.
    """
    if not results.run.complete:
        raise UsageError(
            "the run was cut off", expected="a run that judged all it selected", where=results.run.id, next="run again"
        )
    found = {}
    for model, facts in results.models.items():
        variants = {
            variant: {
                target: _accepted(results, model, variant, target, facts)
                for target, verdict in targets.items()
                if verdict in ACCEPTABLE
            }
            for variant, targets in results.verdicts.get(model, {}).items()
        }
        kept = {variant: targets for variant, targets in variants.items() if targets}
        digests = {variant: facts["variants"][variant]["sha256"] for variant in kept}
        if kept:
            found[model] = Baselines(model, results.run.id, results.run.started[:10], kept, digests)
    return found


def _accepted(results: Results, model: str, variant: str, target: str, facts: Mapping[str, Any]) -> Accepted:
    def is_of_case(check: Check) -> bool:
        return (check.model, check.variant, check.target) == (model, variant, target)

    machine = results.targets[target]
    return Accepted(
        metrics={c.metric: c.value for c in results.checks if is_of_case(c) and c.value is not None},
        ran_on={key: str(machine[key]) for key in SAME_MACHINE if key in machine},
        evaluation=facts["evaluation"]["sha256"],
        origin=f"run {results.run.id}",
    )
