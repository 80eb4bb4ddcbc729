"""What `report.html` shows, as plain data: the template only places it.

>>> from liteproof.report.results import Results, Run
>>> page = page_of(Results(Run("r", "2026-11-20T12:00:00Z", "2026-11-20T12:01:30Z", True, "0.1.0", None)))
>>> page.headline, page.took
('0 of 0 accepted', '1 min 30 s')
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from liteproof.checks import METRICS, Check, Verdict, metric_of
from liteproof.report import comparison, recommendation, signoff, table, wording
from liteproof.report.markdown import headline
from liteproof.report.results import Results

ACCEPTED = (Verdict.PASS, Verdict.PROVISIONAL)
CLASSIFICATION = ("size_bytes", "size_ratio", "top1_agreement", "accuracy_drop", "latency_p50_ms", "latency_p95_ms")
REGRESSION = (
    "size_bytes",
    "size_ratio",
    "r_squared",
    "cosine_similarity",
    "max_abs_error",
    "latency_p50_ms",
    "latency_p95_ms",
)
FLIPS_SHOWN = 15
NAMED = 3


@dataclass(frozen=True)
class Item:
    """One check, as a row of a table. `gate` is the anchor of its message where it was missed."""

    check: Check
    anchor: str
    value: str
    limit: str
    margin: str
    interval: str
    gate: str | None


@dataclass(frozen=True)
class Outcome:
    """How one case came out. `verdict` is None where it was not judged or has no gate."""

    variant: str
    verdict: Verdict | None
    anchor: str
    blocking: tuple[GateText, ...]
    judged: bool


@dataclass(frozen=True)
class Decision:
    """One model on one target: what may ship, and what keeps the rest back."""

    model: str
    anchor: str
    target: str
    outcomes: tuple[Outcome, ...]

    @property
    def accepted(self) -> tuple[Outcome, ...]:
        """What keeps all its gates, provisionally or for sure."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict in ACCEPTED)

    @property
    def blocked(self) -> tuple[Outcome, ...]:
        """What does not, or was not judged."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict not in ACCEPTED)

    @property
    def verdict(self) -> Verdict | None:
        """The worst verdict of the row."""
        found = [outcome.verdict for outcome in self.outcomes if outcome.verdict]
        return min(found, key=list(Verdict).index, default=None)


@dataclass(frozen=True)
class GateText:
    """A missed or unsure gate with all that it says."""

    gate: table.Gate
    anchor: str
    short: str
    sampled: str
    note: str


@dataclass(frozen=True)
class Case:
    """One case as a row: the check of each main metric, None where there is none."""

    model: str
    variant: str
    target: str
    verdict: Verdict | None
    anchor: str
    items: tuple[Item | None, ...]


@dataclass(frozen=True)
class FlipTable:
    """How often each class became another, for each case that tells. `largest` is the largest count."""

    cases: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    left_out: int
    largest: int


@dataclass(frozen=True)
class ModelPart:
    """All of one model."""

    name: str
    anchor: str
    facts: tuple[str, ...]
    items: tuple[Item, ...]
    flips: FlipTable | None
    several_targets: bool
    task: str


@dataclass(frozen=True)
class Digest:
    """A file by its content."""

    model: str
    what: str
    file: str
    bytes: int | None
    sha256: str | None
    made_by: str


@dataclass(frozen=True)
class Page:
    """The whole report."""

    results: Results
    headline: str
    verdict: Verdict | None
    started: str
    took: str
    taken_over: str
    decisions: tuple[Decision, ...]
    signoff: tuple[str, ...]
    recommendations: tuple[str, ...]
    columns: tuple[str, ...]
    cases: tuple[Case, ...]
    gates: tuple[GateText, ...]
    models: tuple[ModelPart, ...]
    environment: tuple[tuple[str, tuple[str, ...]], ...]
    waivers: tuple[Mapping[str, str], ...]
    unjudged: tuple[tuple[str, str, str, str, str], ...]
    inapplicable: tuple[tuple[str, str, str, str], ...]
    command: str
    since_accepted: tuple[tuple[comparison.Change, tuple[str, ...]], ...]
    digests: tuple[Digest, ...]
    metrics: tuple[tuple[str, str, str], ...]
    variants: tuple[str, ...]


def page_of(results: Results) -> Page:
    """Everything that the report shows."""
    anchors = _anchors(results.checks)
    gates = tuple(_gates(results, anchors))
    gate_of = {
        (g.gate.check.model, g.gate.check.variant, g.gate.check.target, metric): g.anchor
        for g in gates
        for metric in (g.gate.check.metric, *g.gate.also)
    }
    items = [_item(check, anchors, gate_of) for check in results.checks]
    decisions = tuple(_decisions(results, gates))
    verdicts = [decision.verdict for decision in decisions if decision.verdict]
    columns = _columns(results)
    return Page(
        results=results,
        headline=headline(results),
        verdict=min(verdicts, key=list(Verdict).index, default=None),
        started=results.run.started.replace("T", " ").replace("Z", " UTC"),
        took=_took(results.run.started, results.run.finished),
        taken_over=wording.taken_over(results.checks),
        decisions=decisions,
        signoff=tuple(signoff.lines(results)),
        recommendations=tuple(recommendation.lines(results)),
        columns=columns,
        cases=tuple(_cases(results, items, columns)),
        gates=gates,
        models=tuple(_models(results, items)),
        environment=_environment(results.targets),
        waivers=tuple(_waivers(results)),
        unjudged=tuple(_unjudged(results)),
        inapplicable=tuple(_inapplicable(results)),
        command=shlex.join(["pytest", *results.run.command]),
        since_accepted=tuple((change, comparison.row(change)) for change in comparison.since_accepted(results)),
        digests=tuple(_digests(results)),
        metrics=_metrics(results),
        variants=tuple(dict.fromkeys(variant for facts in results.models.values() for variant in facts["variants"])),
    )


def slug(*names: str) -> str:
    """Names as an anchor: letters, digits, dots, hyphens and underscores only.

    >>> slug("check", "<script>", "int8")
    'check--script--int8'
    """
    return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "-", name) for name in names)


def _anchors(checks: Sequence[Check]) -> dict[int, str]:
    """An anchor for each check, by its identity; the same in every report of the same results."""
    seen: dict[str, int] = {}
    found = {}
    for check in checks:
        name = slug("check", check.model, check.variant, check.target, check.metric)
        seen[name] = seen.get(name, 0) + 1
        found[id(check)] = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return found


def _item(check: Check, anchors: Mapping[int, str], gate_of: Mapping[tuple[str, str, str, str], str]) -> Item:
    number = wording.number
    interval = check.interval
    blocked = check.verdict is not None and check.verdict is not Verdict.PASS
    return Item(
        check,
        anchors[id(check)],
        number(check.metric, check.value),
        wording.limit(check.metric, check.limit, check.better),
        number(check.metric, check.margin, signed=True),
        wording.NONE if interval is None else " to ".join(number(check.metric, end) for end in interval),
        gate_of.get((check.model, check.variant, check.target, check.metric)) if blocked else None,
    )


def _gates(results: Results, anchors: Mapping[int, str]) -> Iterator[GateText]:
    for gate in table.gates(results):
        check = gate.check
        number = partial(wording.number, check.metric)
        sampled = ""
        if check.samples is not None:
            sampled = f"{check.samples:,} {'rounds' if check.metric.startswith('latency') else 'samples'}"
            if check.interval is not None:
                low, high = map(number, check.interval)
                sampled += f", 95% interval {low} to {high}"
        if check.verdict is Verdict.UNMEASURED:
            names = (check.metric, *gate.also)
            short = f"{', '.join(names) if len(names) <= NAMED else f'{len(names)} metrics'} not measured"
        elif check.verdict is Verdict.PROVISIONAL:
            short = f"{check.metric} unsure"
        elif check.metric == "loads":
            short = "does not load"
        else:
            limit = "" if check.limit is None else f" ({wording.limit(check.metric, check.limit, check.better)})"
            short = f"{check.metric} {number(check.value)}{limit}"
        note = wording.unsure(check.samples_to_settle) if check.verdict is Verdict.PROVISIONAL else ""
        yield GateText(gate, anchors[id(check)].replace("check-", "gate-", 1), short, sampled, note)


def _decisions(results: Results, gates: Sequence[GateText]) -> Iterator[Decision]:
    judged = {(check.model, check.variant, check.target) for check in results.checks}
    by_case: dict[tuple[str, str, str], list[GateText]] = {}
    for text in gates:
        check = text.gate.check
        by_case.setdefault((check.model, check.variant, check.target), []).append(text)
    for model, facts in results.models.items():
        for target in results.targets:
            outcomes = tuple(
                Outcome(
                    variant,
                    results.verdicts.get(model, {}).get(variant, {}).get(target),
                    slug("case", model, variant, target),
                    tuple(by_case.get((model, variant, target), ())),
                    (model, variant, target) in judged,
                )
                for variant in facts["variants"]
            )
            yield Decision(model, slug("model", model), target, outcomes)


def _columns(results: Results) -> tuple[str, ...]:
    """The main metrics of the tasks that the run has."""
    tasks = {facts.get("task") for facts in results.models.values()}
    wanted = [*(CLASSIFICATION if tasks != {"regression"} else ()), *(REGRESSION if "regression" in tasks else ())]
    measured = {check.metric for check in results.checks}
    own = dict.fromkeys(check.metric for check in results.checks if check.better)
    return (*(metric for metric in dict.fromkeys(wanted) if metric in measured), *own)


def _cases(results: Results, items: Sequence[Item], columns: Sequence[str]) -> Iterator[Case]:
    cases: dict[tuple[str, str, str], dict[str, Item]] = {}
    for item in items:
        check = item.check
        cases.setdefault((check.model, check.variant, check.target), {})[check.metric] = item
    for (model, variant, target), found in cases.items():
        verdict = results.verdicts.get(model, {}).get(variant, {}).get(target)
        row = tuple(found.get(metric) for metric in columns)
        yield Case(model, variant, target, verdict, slug("case", model, variant, target), row)


def _models(results: Results, items: Sequence[Item]) -> Iterator[ModelPart]:
    by_model: dict[str, list[Item]] = {}
    for item in items:
        by_model.setdefault(item.check.model, []).append(item)
    for name, facts in results.models.items():
        mine = by_model.get(name, [])
        targets = {item.check.target for item in mine}
        yield ModelPart(
            name,
            slug("model", name),
            tuple(_facts(facts)),
            tuple(mine),
            _flips([item.check for item in mine]),
            len(targets) > 1,
            facts.get("task", ""),
        )


def _facts(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts.get("task"):
        yield str(facts["task"])
    if (facts.get("evaluation") or {}).get("samples") is not None:
        yield f"{facts['evaluation']['samples']:,} evaluation samples"
    for part in ("evaluation", "calibration"):
        if done := treatment((facts.get(part) or {}).get("preprocessing") or {}):
            yield f"{part}: {done}"
    if (facts.get("source") or {}).get("file"):
        yield f"source {facts['source']['file']}"


def treatment(preprocessing: Mapping[str, Any]) -> str:
    """What was done to samples, in words.

    >>> treatment({"resize": [96, 96], "color": "rgb", "scale": {"x": [0.5]}, "offset": {"x": [-1.0]}, "samples": 200})
    '200 drawn; resized to 96 × 96, rgb, x × 0.5, x − 1'
    """
    drawn = [f"{preprocessing['samples']} drawn"] if preprocessing.get("samples") else []
    drawn += ["in proportion to the classes"] if preprocessing.get("stratify") else []
    drawn += [f"seed {preprocessing['seed']}"] if preprocessing.get("seed") else []
    done = []
    if preprocessing.get("resize"):
        height, width = preprocessing["resize"]
        done.append(f"resized to {height} × {width}")
    done += [preprocessing["color"]] if preprocessing.get("color") else []
    for name, factors in (preprocessing.get("scale") or {}).items():
        done.append(f"{name} × {_factors(factors)}")
    for name, factors in (preprocessing.get("offset") or {}).items():
        single = len(factors) == 1 and factors[0] < 0
        done.append(f"{name} − {-factors[0]:g}" if single else f"{name} + {_factors(factors)}")
    return "; ".join(filter(None, (", ".join(drawn), ", ".join(done))))


def _factors(factors: Sequence[float]) -> str:
    return f"{factors[0]:.4g}" if len(factors) == 1 else f"{len(factors)} numbers"


def _flips(checks: Sequence[Check]) -> FlipTable | None:
    found = [c for c in checks if c.metric == "top1_agreement" and c.evidence.get("flips")]
    if not found:
        return None
    several = len({c.target for c in checks}) > 1
    counts: dict[str, list[int]] = {}
    for column, check in enumerate(found):
        flips = check.evidence["flips"]
        assert isinstance(flips, Mapping)  # noqa: S101 - narrows the type of a JSON value
        for pair, count in flips.items():
            counts.setdefault(str(pair), [0] * len(found))[column] = int(count)
    rows = sorted(counts.items(), key=lambda row: (-sum(row[1]), row[0]))
    return FlipTable(
        tuple(f"{c.variant} · {c.target}" if several else c.variant for c in found),
        tuple((pair, tuple(row)) for pair, row in rows[:FLIPS_SHOWN]),
        max(0, len(rows) - FLIPS_SHOWN),
        max(itertools.chain.from_iterable(counts.values())),
    )


def _environment(targets: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A row for each fact that any target tells, a column for each target."""
    flat = [dict(_flatten(machine)) for machine in targets.values()]
    facts = dict.fromkeys(fact for machine in flat for fact in machine)
    return tuple((fact, tuple(machine.get(fact, wording.NONE) for machine in flat)) for fact in facts)


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{label}: ")
        elif isinstance(value, (list, tuple)):
            yield label, ", ".join(map(str, value)) or wording.NONE
        else:
            yield label, wording.NONE if value is None else str(value)


def _waivers(results: Results) -> Iterator[Mapping[str, str]]:
    for model, facts in results.models.items():
        for variant, made in facts["variants"].items():
            for waiver in made.get("waivers") or ():
                texts = {key: "" if value is None else str(value) for key, value in waiver.items()}
                yield {"rule": "", "tensor": "", "reason": "", "until": "", **texts, "model": model, "variant": variant}


def _unjudged(results: Results) -> Iterator[tuple[str, str, str, str, str]]:
    """What did not run, or gave no measurement: model, variant, target, what, why."""
    cut = "the run was cut off before it" if not results.run.complete else "no selected test judges it"
    for case in table.not_judged(results):
        yield (*case, "everything", cut)
    for gate in table.gates(results):
        check = gate.check
        if check.verdict is Verdict.UNMEASURED:
            what = ", ".join((check.metric, *gate.also))
            yield check.model, check.variant, check.target, what, check.detail or "no reason was recorded"


def _inapplicable(results: Results) -> Iterator[tuple[str, str, str, str]]:
    """Metrics that have no meaning for a variant: model, variant, the metrics of one reason, the reason."""
    for model, facts in results.models.items():
        for variant, made in facts["variants"].items():
            reasons: dict[str, list[str]] = {}
            for metric, reason in (made.get("not_applicable") or {}).items():
                reasons.setdefault(str(reason).removeprefix(f"{metric} "), []).append(metric)
            for reason, metrics in reasons.items():
                yield model, variant, ", ".join(metrics), reason


def _digests(results: Results) -> Iterator[Digest]:
    for model, facts in results.models.items():
        for part in ("manifest", "source", "evaluation", "calibration"):
            found = facts.get(part)
            if found and found.get("sha256"):
                for file in found.get("made_from") or [found]:
                    yield Digest(model, part, str(file.get("file") or ""), file.get("bytes"), file["sha256"], "")
            if found and found.get("arrays_sha256"):
                done = treatment(found.get("preprocessing") or {})
                yield Digest(model, f"{part} arrays", str(found.get("file")), None, found["arrays_sha256"], done)
        for variant, made in facts["variants"].items():
            by = ", ".join(str(made[key]) for key in ("recipe", "toolchain") if made.get(key))
            yield Digest(model, f"variant {variant}", str(made.get("file")), made.get("bytes"), made.get("sha256"), by)


def _metrics(results: Results) -> tuple[tuple[str, str, str], ...]:
    """Each metric of the run: name, direction, what it is; a manifest's own last."""
    words = {"at_least": "at least", "at_most": "at most"}
    used = {check.metric for check in results.checks}
    own = {check.metric: metric_of(check.metric, check.better) for check in results.checks if check.better}
    found = [*(metric for metric in METRICS.values() if metric.name in used), *own.values()]
    return tuple((metric.name, words[metric.direction], metric.text) for metric in found)


def _took(started: str, finished: str) -> str:
    try:
        seconds = round((datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds())
    except ValueError:
        return ""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
