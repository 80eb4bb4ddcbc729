"""Does the file keep to the quantization specification, but for what the manifest waives?

    >>> clean = spec_violations(read_model(path), RECIPES["int8"], (), date(2026, 11, 20))   # doctest: +SKIP
    >>> clean.value, clean.detail                                                            # doctest: +SKIP
    (0.0, None)
    >>> waiver = Waiver("int8", "bias_scale", "vendor compiler", until=date(2026, 1, 1))
    >>> has_run_out(waiver, date(2026, 1, 1)), has_run_out(waiver, date(2026, 1, 2))
    (False, True)

Waivers whose rule is a metric are not this module's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime

from liteproof.checks import METRICS, Measurement
from liteproof.plan import Waiver
from liteproof.recipes import Recipe
from liteproof.tflite.reader import Model
from liteproof.tflite.specification import RULES, Violation, violations

NAMED = 3


def today() -> date:
    """The day by UTC, the same wherever a run is started. By this machine's clock: a board needs a right one."""
    return datetime.now(UTC).date()


def has_run_out(waiver: Waiver, day: date) -> bool:
    """Whether the waiver's last day is over."""
    return day > waiver.until


def spec_violations(
    model: Model, promise: Recipe, waivers: Sequence[Waiver], day: date, float32: Model | None = None
) -> Measurement:
    """How many rules of the specification are broken, each tensor counted for itself, and not waived.

    A waiver that has run out waives nothing; it counts, and so does one that matches nothing.

    Args:
        model: The variant's file.
        promise: The recipe that it claims to follow.
        waivers: Those that name the variant; the ones for metrics are passed over.
        day: The day that decides which waivers have run out.
        float32: The float32 variant's file, for a mixed recipe.
    """
    found = violations(model, promise, float32)
    ours = [waiver for waiver in waivers if waiver.rule not in METRICS]
    alive = [waiver for waiver in ours if not has_run_out(waiver, day)]
    waived = {violation: waiver for violation in found for waiver in alive if _covers(waiver, violation)}
    standing = [violation for violation in found if violation not in waived]
    void = [message for waiver in ours if (message := _void(waiver, found, day))]
    return Measurement(
        "spec_violations",
        float(len(standing) + len(void)),
        detail=_detail(standing, void, waived),
        causes=_causes(standing),
        next=f"liteproof inspect {model.where}" if standing else None,
        evidence={
            "violations": [asdict(violation) for violation in standing],
            "void_waivers": void,
            "waived": [_waived_evidence(violation, waiver) for violation, waiver in waived.items()],
        },
    )


def _covers(waiver: Waiver, violation: Violation) -> bool:
    """Whether a waiver speaks of this violation.

    A converter that fuses layers joins their names with semicolons; any of them will do.
    """
    names = {violation.tensor, *violation.tensor.split(";")}
    return waiver.rule == violation.rule and (waiver.tensor is None or waiver.tensor in names)


def _void(waiver: Waiver, found: Sequence[Violation], day: date) -> str | None:
    """What is wrong with a waiver; None if it is alive and needed."""
    name = f"waiver for {waiver.rule}" + (f" at '{waiver.tensor}'" if waiver.tensor else "")
    if waiver.rule not in RULES:
        return f"{name} names no rule of the specification; these are: {', '.join(RULES)}"
    if has_run_out(waiver, day):
        return f"{name} has run out on {waiver.until}"
    if not any(_covers(waiver, violation) for violation in found):
        return f"{name} matches nothing"
    return None


def _detail(standing: Sequence[Violation], void: Sequence[str], waived: Mapping[Violation, Waiver]) -> str | None:
    lines = [str(violation) for violation in standing[:NAMED]]
    if len(standing) > NAMED:
        lines.append(f"and {len(standing) - NAMED} more")
    lines += void
    for waiver in dict.fromkeys(waived.values()):
        count = sum(other == waiver for other in waived.values())
        lines.append(f"waived until {waiver.until}: {count} of {waiver.rule} ({waiver.reason})")
    return "\n".join(lines) or None


def _causes(standing: Sequence[Violation]) -> tuple[str, ...]:
    """The likely cause of each broken rule, the most broken first."""
    broken = Counter(violation.rule for violation in standing)
    return tuple(f"{rule}: {RULES[rule].cause}" for rule, _ in broken.most_common())


def _waived_evidence(violation: Violation, waiver: Waiver) -> dict[str, object]:
    return {**asdict(violation), "reason": waiver.reason, "until": waiver.until.isoformat()}
