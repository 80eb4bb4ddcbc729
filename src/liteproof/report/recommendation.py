"""Which variant to ship: for each target the accepted one that the manifest prefers.

The preference decides among the accepted variants: the smallest file, the shortest median time on that target, or the
most accurate (accuracy; without labels the agreement with the source; for a regression R²). Where it
cannot tell two apart, or nothing was measured, the order `FALLBACK` does. What would have been preferred and was
rejected is named, and so is what comes next if the recommended one turns out not to serve.

    >>> from liteproof.report.results import Results, Run
    >>> recommendations(Results(Run("r", "", "", True, "0.1.0", None)))
    []
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteproof.checks import Verdict
from liteproof.errors import ModelError, UsageError
from liteproof.report import wording
from liteproof.report.results import Results
from liteproof.report.statement import subject_name
from liteproof.store import Store, file_sha256

PREFERENCES = ("smallest", "fastest", "most-accurate")
# From what gains most to what is safest.
FALLBACK = ("int8", "int8_float_io", "dynamic_range", "float16", "float32")
ACCEPTABLE = (Verdict.PASS, Verdict.PROVISIONAL)
_ACCURACY = ("accuracy", "top1_agreement", "r_squared", "cosine_similarity")


@dataclass(frozen=True)
class Recommendation:
    """What to ship to one target.

    Attributes:
        model: The model.
        target: The target.
        prefer: The manifest's preference.
        variant: The recommended variant; None if none was accepted.
        provisional: Whether it passes with too few samples to be sure.
        because: The number that decided, in words; None where the fallback order did.
        rejected: Variants that would have been preferred, with their verdicts.
        then: Accepted variants to fall back to, in this order.
    """

    model: str
    target: str
    prefer: str
    variant: str | None
    provisional: bool = False
    because: str | None = None
    rejected: tuple[tuple[str, Verdict], ...] = ()
    then: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The recommendation in one line."""
        if self.variant is None:
            return f"{self.model} on {self.target}: ship nothing: no variant was accepted"
        text = f"{self.model} on {self.target}: ship {self.variant} ({self.because or 'by the order of fallback'}"
        text += ", PROVISIONAL)" if self.provisional else ")"
        if self.rejected:
            text += f"; rejected before it: {', '.join(f'{name} {verdict}' for name, verdict in self.rejected)}"
        if self.then:
            text += f"; then {' → '.join(self.then)}"
        return text


def recommendations(results: Results) -> list[Recommendation]:
    """What to ship, for each model on each target where it was judged; nothing for a run that was cut off."""
    if not results.run.complete:
        return []
    found = []
    for model, facts in results.models.items():
        judged = results.verdicts.get(model, {})
        for target in results.targets:
            verdicts = {v: judged[v][target] for v in facts["variants"] if target in judged.get(v, {})}
            if verdicts:
                found.append(_recommend(results, model, facts, target, verdicts))
    return found


def lines(results: Results) -> list[str]:
    """The recommendations as every report shows them, a line each."""
    return [found.line for found in recommendations(results)]


def choose(results: Results, model: str | None, target: str | None) -> Recommendation:
    """The one recommendation that is asked for; the model or the target may be left out where there is only one.

    Raises:
        UsageError: if that leaves none or several, or if the run was cut off.
    """
    found = recommendations(results)
    chosen = [r for r in found if model in (None, r.model) and target in (None, r.target)]
    if len(chosen) == 1:
        return chosen[0]
    known = ", ".join(f"--model={r.model} --target={r.target}" for r in found)
    if not results.run.complete:
        raise UsageError("the run was cut off, so it recommends nothing", where=results.run.id, next="run again")
    raise UsageError(
        "several recommendations fit" if chosen else "no recommendation fits",
        expected=f"one of {known}" if known else "a run that judged something",
        where=" ".join(f"--{name}={value}" for name, value in (("model", model), ("target", target)) if value),
        next="name the model and the target",
    )


def file_of(results: Results, run: Path, chosen: Recommendation, store: Store) -> Path:
    """Where the recommended file is: in the run's release folder, or else in the store.

    Raises:
        ModelError: if no variant was accepted.
        UsageError: if it is in neither.
    """
    if chosen.variant is None:
        raise ModelError(chosen.line, next="see the missed gates in the run's reports")
    sha256 = results.models[chosen.model]["variants"][chosen.variant]["sha256"]
    released = run / "release" / chosen.model / subject_name(chosen.model, chosen.variant)
    if released.is_file() and file_sha256(released) == sha256:
        return released
    kept = store.content(sha256, suffix=".tflite")
    if kept is None:
        raise UsageError(
            f"{chosen.variant} of {chosen.model} is no longer in the store",
            expected=f"the file of sha256 {sha256}",
            where=str(store.root),
            next="run again",
        )
    return kept


def _recommend(
    results: Results, model: str, facts: Mapping[str, Any], target: str, verdicts: Mapping[str, Verdict]
) -> Recommendation:
    prefer = facts.get("prefer") or PREFERENCES[0]
    values = _values(results, model, facts, target, prefer)
    recipes = {variant: facts["variants"][variant].get("recipe", variant) for variant in verdicts}

    def rank(variant: str) -> tuple[bool, float, int]:
        value = values.get(variant)
        return value is None, 0.0 if value is None else value[0], _fallback(recipes[variant])

    ranked = sorted(verdicts, key=rank)
    accepted = [variant for variant in ranked if verdicts[variant] in ACCEPTABLE]
    if not accepted:
        return Recommendation(model, target, prefer, None)
    chosen = accepted[0]
    before = ranked[: ranked.index(chosen)]
    return Recommendation(
        model,
        target,
        prefer,
        chosen,
        provisional=verdicts[chosen] is Verdict.PROVISIONAL,
        because=f"{prefer}: {values[chosen][1]}" if chosen in values else None,
        rejected=tuple((variant, verdicts[variant]) for variant in before),
        then=tuple(sorted((v for v in accepted[1:] if recipes[v] in FALLBACK), key=lambda v: _fallback(recipes[v]))),
    )


def _fallback(recipe: str) -> int:
    return FALLBACK.index(recipe) if recipe in FALLBACK else len(FALLBACK)


def _values(
    results: Results, model: str, facts: Mapping[str, Any], target: str, prefer: str
) -> dict[str, tuple[float, str]]:
    """Of each variant the number to be least, and how it is written; empty where nothing was measured."""
    if prefer == "smallest":
        sizes = {variant: found.get("bytes") for variant, found in facts["variants"].items()}
        return {variant: (float(size), wording.size(size)) for variant, size in sizes.items() if size is not None}
    for metric in ("latency_p50_ms",) if prefer == "fastest" else _ACCURACY:
        sign = 1.0 if prefer == "fastest" else -1.0
        found = {
            c.variant: (sign * c.value, f"{metric} {wording.number(metric, c.value)}")
            for c in results.checks
            if (c.model, c.target, c.metric) == (model, target, metric) and c.value is not None
        }
        if found:
            return found
    return {}
