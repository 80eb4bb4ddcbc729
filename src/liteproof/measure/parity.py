"""Does the target answer as the host does, on the same inputs?

    >>> host = np.array([[0.9, 0.1], [0.4, 0.6]], np.float32)
    >>> there = {"default": (host, np.array([[0.9, 0.1], [0.6, 0.4]], np.float32))}
    >>> parity_top1(there).value
    0.5

One file on two machines runs by different kernels, so single steps of an integer output are no fault; a class that
flips is. The runtime's reference kernels define the arithmetic: where these differ too, the inputs or the file do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.decisions import Floats, decisions
from liteproof.measure.outputs import Codes
from liteproof.measure.runtime import Kernels
from liteproof.statistics import wilson, wilson_lower, wilson_samples_to_settle

# By kind of kernels, how many evaluation samples are answered on both sides. The reference kernels take a hundred times
# longer.
SAMPLES: Mapping[Kernels, int] = {"default": 64, "builtin": 64, "reference": 8}

# For each kind of kernels the host's outputs and the target's, of the same shape.
Pairs = Mapping[Kernels, tuple[Floats, Floats]]


@dataclass(frozen=True)
class Difference:
    """How two machines' outputs differ by one kind of kernels.

    Attributes:
        samples: Samples that were compared.
        share: Share of values that differ.
        largest: Largest difference, as a real value.
        steps: The same in steps of the output's codes; None for outputs without codes.
        flips: Samples whose class differs.
    """

    samples: int
    share: float
    largest: float
    steps: float | None
    flips: int

    def __str__(self) -> str:
        size = f"{self.largest:.3g}" if self.steps is None else f"{self.steps:g} steps"
        return f"{self.share:.2%} of values differ, by up to {size}; {self.flips} of {self.samples} classes flip"


def difference(host: Floats, here: Floats, codes: Codes | None = None, threshold: float | None = None) -> Difference:
    """Compare the outputs of two machines.

    Args:
        host: Shape (n, …).
        here: The same shape.
        codes: Of an output with integer codes.
        threshold: Of a binary model.

    Raises:
        Unmeasured: if they are not of one shape.
    """
    if host.shape != here.shape:
        raise Unmeasured(f"the host answers in shape {list(host.shape)}, the target in {list(here.shape)}")
    same = (host == here) | (np.isnan(host) & np.isnan(here))
    distance = np.where(same, 0.0, np.abs(host.astype(np.float64) - here.astype(np.float64)))
    largest = float(distance.max(initial=0.0))
    flips = int(np.count_nonzero(decisions(host, threshold) != decisions(here, threshold)))
    steps = None if codes is None else largest / codes.step
    return Difference(len(host), float(np.mean(~same)), largest, steps if steps is None else round(steps, 6), flips)


def parity_top1(pairs: Pairs, codes: Codes | None = None, threshold: float | None = None) -> Measurement:
    """Share of samples that target and host decide alike, each by its default kernels."""
    found = _differences(pairs, codes, threshold)
    shipped = found["default"]
    n, alike = shipped.samples, shipped.samples - shipped.flips
    return Measurement(
        "parity_top1",
        alike / n,
        samples=n,
        interval=wilson(alike, n),
        bound=wilson_lower(alike, n),
        settle=partial(wilson_samples_to_settle, alike / n, direction="at_least"),
        detail=_told(found),
        causes=_causes(found) if shipped.flips else (),
        evidence=_evidence(found),
    )


def parity_lsb(pairs: Pairs, codes: Codes, threshold: float | None = None) -> Measurement:
    """Largest difference between target and host, in steps of the output, each by its default kernels."""
    found = _differences(pairs, codes, threshold)
    return Measurement(
        "parity_lsb",
        found["default"].steps,
        samples=found["default"].samples,
        detail=_told(found),
        causes=_causes(found) if found["default"].largest else (),
        evidence=_evidence(found),
    )


def _differences(pairs: Pairs, codes: Codes | None, threshold: float | None) -> dict[Kernels, Difference]:
    if "default" not in pairs:
        raise Unmeasured("parity: the host has no answers of its own to compare with", next="pytest --target=host")
    return {kernels: difference(*both, codes, threshold) for kernels, both in pairs.items()}


def _told(found: Mapping[Kernels, Difference]) -> str:
    return "\n".join(f"{kernels} kernels: {each}" for kernels, each in found.items())


def _evidence(found: Mapping[Kernels, Difference]) -> dict[str, object]:
    return {
        "kernels": {
            kernels: {"samples": d.samples, "share": d.share, "largest": d.largest, "steps": d.steps, "flips": d.flips}
            for kernels, d in found.items()
        }
    }


def _causes(found: Mapping[Kernels, Difference]) -> tuple[str, ...]:
    """What the kinds of kernels, compared with each other, point to."""
    reference = found.get("reference")
    if reference is not None and reference.share == 0:
        return ("the reference kernels answer alike: the optimised kernels of one of the two machines differ",)
    if reference is not None:
        return ("the reference kernels differ too: the two runtimes define an operator of this file differently",)
    return ("the kernels of one of the two machines round differently",)
