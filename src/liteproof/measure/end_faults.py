"""Is it the ends of a file that are at fault: fed in another domain than it takes, inputs or outputs swapped?

A wrong answer to "which numbers go in" (0 to 1, -1 to 1, pixels from 0 to 255) is the commonest fault of a file that
was handed over, and looks like a broken network: so it is tried on a few samples before any layer is blamed.

    >>> suspect_ends(case)                                                                # doctest: +SKIP
    ('its input domain is another one: fed with source × 127.5 + 127.5 it agrees with the source on 32 of 32 …',)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from liteproof.checks import CLASSES
from liteproof.errors import LiteproofError
from liteproof.measure.decisions import decisions
from liteproof.measure.domain import likely_domains
from liteproof.measure.tensors import Array, TensorSpec
from liteproof.plan import InputDomain

if TYPE_CHECKING:
    from liteproof.measure.subject import Subject

SAMPLES = 32
# A channel that takes fewer codes than this has lost all but the coarsest of what it says.
FEW_STEPS = 16
LOOKED_AT = 1000

# Another domain is to blame if it leaves less than a third of the error: quantization's own share stays in both.
LESS = 1 / 3

Domains = Mapping[str, InputDomain]
Ends = Sequence[tuple[TensorSpec, Array]]


@dataclass(frozen=True)
class _Fit:
    """How well the outputs fit the source's when the variant is fed in some domains."""

    domains: Domains
    error: float
    words: str


def suspect_ends(case: Subject) -> tuple[str, ...]:
    """What of a file's ends explains that it does not answer as the source does; nothing if nothing does.

    Only for a file that was handed over, or one whose manifest says how it is fed: what is converted here takes what
    the source takes, under the source's names.
    """
    if case.variant.file is None and not case.variant.domains:
        return ()
    return (*_swapped_outputs(case), *_swapped_inputs(case)) or _domains(case)


def coarse_channels(ends: Ends) -> tuple[str, ...]:
    """Channels of integer inputs whose values take next to no codes, since another channel's range decides the scale.

    >>> spec = TensorSpec("x", (1, 2), "int8", scales=(4.0,), zero_points=(-128,))
    >>> coarse_channels([(spec, np.array([[1000.0, 0.1], [20.0, 0.2], [500.0, 0.3]]))])[0].partition(":")[0]
    'channel 1 of input x spans 0.05 steps of its codes'

    Args:
        ends: Each integer input with what it is fed with, shape (n, …, channels).
    """
    return tuple(said for spec, values in ends for said in _coarse(spec, values))


def _coarse(spec: TensorSpec, values: Array) -> Iterator[str]:
    if not spec.scale or values.ndim < 2 or values.shape[-1] < 2:
        return
    rows = values[:LOOKED_AT].reshape(-1, values.shape[-1])
    spans = (rows.max(axis=0) - rows.min(axis=0)) / spec.scale
    coarse = np.flatnonzero((spans > 0) & (spans < FEW_STEPS) & (spans < spans.max() / 8))
    if len(coarse):
        worst, widest = int(coarse[spans[coarse].argmin()]), int(spans.argmax())
        low, high = rows[:, worst].min(), rows[:, worst].max()
        more = f" (as do {len(coarse) - 1} more)" if len(coarse) > 1 else ""
        yield (
            f"channel {worst} of input {spec.key or spec.name} spans {spans[worst]:.2g} steps of its codes{more}: "
            f"its values go from {low:.4g} to {high:.4g}, and channel {widest} decides the one step of "
            f"{spec.scale:.4g}; bring the channels to one scale before the model, give them inputs of their own, or "
            "keep the inputs float (dynamic_range, int16x8)"
        )


def _swapped_outputs(case: Subject) -> Iterator[str]:
    """Outputs of one shape of which each answers as the other one of the source."""
    for one, other in combinations(case.every_output, 2):
        if one.reference.shape != other.reference.shape:
            continue
        now = _error(one.values, one.reference) + _error(other.values, other.reference)
        swapped = _error(one.values, other.reference) + _error(other.values, one.reference)
        if swapped < LESS * now:
            yield (
                f"its outputs are swapped: {one.name} answers as the source's {other.name} does, and the other way "
                f"round; name them in output_names, or convert again"
            )


def _swapped_inputs(case: Subject) -> Iterator[str]:
    """Inputs of one shape with which the file answers as the source does when each is fed with the other's array."""
    chosen = case.evaluation.at(case.evaluation.evenly(SAMPLES))
    expected = case.reference[case.evaluation.evenly(SAMPLES)]
    now = _error(case.outputs[case.evaluation.evenly(SAMPLES)], expected)
    for (one, a), (other, b) in combinations(chosen.inputs.items(), 2):
        if a.shape != b.shape or a.dtype != b.dtype:
            continue
        inputs = MappingProxyType({**chosen.inputs, one: b, other: a})
        swapped = case.answers_to(case.as_fed(replace(chosen, inputs=inputs)))
        if _error(swapped, expected) < LESS * now:
            yield (
                f"its inputs are swapped: with {one} and {other} exchanged it answers as the source does; "
                f"name them in input_names, or convert again"
            )


def _error(ours: Array, theirs: Array) -> float:
    """Mean absolute difference; infinite where a value is not finite."""
    found = float(np.abs(ours.astype(np.float64) - theirs).mean())
    return found if np.isfinite(found) else np.inf


def _domains(case: Subject) -> tuple[str, ...]:
    """The input domains in which the variant answers as the source does, if it does not in its own; the best first."""
    now = _fit(case, case.variant.domains)
    tried = [fit for domains in _candidates(case) if (fit := _fit(case, domains)) is not None]
    better = [fit for fit in tried if now is None or fit.error < LESS * now.error]
    said = now.words if now else "fails"
    fed = _told(case.variant.domains) or "with the source's own values"
    named = {_told(fit.domains): fit for fit in sorted(better, key=lambda fit: fit.error)}
    return tuple(
        f"its input domain is another one: fed {told} it {fit.words}; fed {fed}, as now, it {said}; write {_keys(fit)}"
        for told, fit in ((told or "with the source's own values", fit) for told, fit in list(named.items())[:2])
    )


def _candidates(case: Subject) -> Iterator[Domains]:
    """No domain at all, and the usual ones of each input while the others stay as they are."""
    if case.variant.domains:
        yield {}
    for name, values in case.evaluation.inputs.items():
        if values.dtype.kind == "f":
            for domain in likely_domains(values):
                yield {**case.variant.domains, name: domain}


def _fit(case: Subject, domains: Domains) -> _Fit | None:
    """Feed the variant so; None where it cannot be."""
    chosen = case.evaluation.evenly(SAMPLES)
    try:
        values = case.as_fed(case.evaluation.at(chosen), domains)
        answers = case.answers_to(values)
    except LiteproofError:
        return None
    expected = case.reference[chosen]
    if answers.shape != expected.shape or not np.isfinite(answers).all():
        return None
    error = _error(answers, expected)
    if case.model.task not in CLASSES:
        return _Fit(domains, error, f"is off by {error:.3g} on average")
    alike = int(np.count_nonzero(decisions(answers, case.threshold) == decisions(expected, case.threshold)))
    return _Fit(domains, error, f"agrees with the source on {alike} of {len(chosen)} samples")


def _told(domains: Domains) -> str:
    if len(domains) == 1:
        return f"with {next(iter(domains.values()))}"
    return "with " + ", ".join(f"{name}: {domain}" for name, domain in domains.items()) if domains else ""


def _keys(fit: _Fit) -> str:
    """What to write into the manifest."""
    if not fit.domains:
        return "neither input_scale nor input_offset"
    single = len(fit.domains) == 1
    scales = {name: _number(domain.scale) for name, domain in fit.domains.items()}
    offsets = {name: _number(domain.offset) for name, domain in fit.domains.items()}
    return f"input_scale = {_toml(scales, single)}, input_offset = {_toml(offsets, single)}"


def _number(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"[{', '.join(f'{value:g}' for value in values)}]"


def _toml(values: Mapping[str, str], single: bool) -> str:
    if single:
        return next(iter(values.values()))
    return "{ " + ", ".join(f"{name} = {value}" for name, value in values.items()) + " }"
