"""Which layer spoils a variant, why, and what would help.

What each layer does wrong by itself is measured (`liteproof.measure.layers`); what the file says against a layer is
read (`liteproof.measure.layer_faults`). A layer that is charged comes first: a dropped bias may cost less than 8 bits
do elsewhere, and is the defect all the same.

    >>> found = diagnose(float32_file, int8_file, images[:32], RECIPES["int8"])       # doctest: +SKIP
    >>> found[0].layer.place, found[0].cause                                          # doctest: +SKIP
    ('CONV_2D #3', "weight 'conv' of CONV_2D #3: channel 3 is 2.00 times what it should be: the scale is wrong")
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from liteproof.errors import LiteproofError
from liteproof.measure.end_faults import coarse_channels, suspect_ends
from liteproof.measure.layer_faults import Charge, layer_faults
from liteproof.measure.layers import LayerError, trace, unmeasured
from liteproof.measure.tensors import Values
from liteproof.recipes import Recipe
from liteproof.tflite.matching import WeightPair, match_weights
from liteproof.tflite.reader import read_model

if TYPE_CHECKING:
    from liteproof.measure.subject import Subject

# As many samples tell layers apart: on the example models 16 and 64 name the same ones.
SAMPLES = 32

# Own error of the worst channel, as a share of the layer's range, up to which it only rounds. Rounding to 255 codes
# costs 0.1%; healthy int8 layers come to 0.1 to 0.5%.
ROUNDS = 0.006

# Where an 8-bit tensor uses fewer of its codes than this, it has lost a bit or more.
FEW_CODES = 128
WIDE = 4.0

_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """A layer, and what is the matter with it.

    Attributes:
        layer: What it does wrong.
        faults: What the file says against it.
        cause: The likely cause of its error.
        cure: What would help; "" where nothing is wrong with it.
    """

    layer: LayerError
    faults: tuple[str, ...]
    cause: str
    cure: str

    @property
    def suspicious(self) -> bool:
        """Whether the layer does more than round."""
        return bool(self.faults) or self.layer.severity > ROUNDS


def diagnose(
    float32: Path,
    variant: Path,
    values: Values | None,
    promise: Recipe,
    *,
    fed_with: Values | None = None,
    passed_over: frozenset[str] = frozenset(),
    runtime: str | None = None,
    threads: int = 1,
) -> tuple[Finding, ...]:
    """Every layer of a variant with its error, the most suspicious first.

    Args:
        float32: The float32 variant.
        variant: The variant under judgement.
        values: As `liteproof.measure.layers.trace` takes them; None to read the files and run nothing.
        promise: The recipe that the variant claims to follow.
        fed_with: The same samples as the variant takes them, where that is not as float32 does.
        passed_over: Layers of the variant that compute something else than float32's by design.
        runtime: As `open_session` takes it.
        threads: Threads for one inference.

    Raises:
        ModelError: A file does not load, or the two are not of one network.
    """
    models = read_model(float32), read_model(variant)
    charges = layer_faults(*models, promise)
    layers = () if values is None else trace(float32, variant, values, fed_with, runtime=runtime, threads=threads)
    charges = {place: charge for place, charge in charges.items() if place not in passed_over}
    layers = tuple(layer for layer in layers if layer.place not in passed_over)
    run = {layer.place for layer in layers}
    still = [unmeasured(charge.place, charge.tensor) for charge in charges.values() if charge.place not in run]
    weights = {pair.operator: pair for pair in match_weights(*models).of("weight")}
    # Where most layers are charged, weights were changed by design, or are another network's: then errors alone decide.
    charged = charges.keys() if 2 * len(charges) <= max(2, len(weights)) else set()
    ranked = sorted((*still, *layers), key=lambda layer: (layer.place not in charged, -layer.severity))
    return tuple(_finding(layer, charges.get(layer.place), weights.get(layer.place)) for layer in ranked)


def top_of_diagnosis(case: Subject) -> tuple[str, ...]:
    """What probably spoils a case in a sentence each, for the message of a gate that it missed: its input, or layers.

    Nothing where layers cannot be looked at: a message must not fail for want of one.
    """
    try:
        if fed_otherwise := suspect_ends(case):
            return fed_otherwise
        case.open("builtin")  # tried in a process of its own first
        coarse = coarse_channels(case.ends)
        evaluation = case.evaluation.at(case.evaluation.evenly(SAMPLES))
        found = diagnose(
            case.same_weights.path,
            case.file.path,
            evaluation.x,
            case.variant.promise,
            fed_with=case.as_fed(evaluation).x,
            passed_over=case.folded_layers,
            runtime=case.runtime[0],
            threads=case.target.threads,
        )
    except LiteproofError:
        return ()
    return (*coarse, *summary(found))


def summary(found: Sequence[Finding]) -> tuple[str, ...]:
    """The most suspicious layers in a sentence each; one for all of them where none stands out."""
    named = tuple(f"layer {f.layer.place} ({f.layer.name}): {f.cause}" for f in found if f.suspicious)
    if named or not found:
        return named[:_NAMED]
    last = [f.layer for f in found if f.layer.sqnr_db is not None]
    lowest = min(last, key=lambda layer: layer.sqnr_db or 0.0) if last else None
    depth = f", to {lowest.sqnr_db:.1f} dB at {lowest.place}" if lowest else ""
    return (f"no layer stands out: roundings add up over {len(found)} layers{depth}",)


def _finding(layer: LayerError, charge: Charge | None, weight: WeightPair | None) -> Finding:
    if charge is not None:
        cure = "convert again from the trained source: this file is defective"
        return Finding(layer, charge.faults, "; ".join(charge.faults[:2]), cure)
    cause, cure = next(_explanations(layer, weight))
    return Finding(layer, (), cause, cure)


def _explanations(layer: LayerError, weight: WeightPair | None) -> Iterator[tuple[str, str]]:
    """What may explain a layer's error, with what would help; the most specific first."""
    if layer.nonfinite:
        yield (
            f"{layer.nonfinite} values are NaN or infinite, and are not in float32",
            "look for NaN among weights and scales: liteproof inspect FILE",
        )
    if layer.severity <= ROUNDS:
        yield ("it only rounds", "")
    if layer.saturation_noise > 0.5:
        yield _saturation(layer)
    if layer.step and layer.codes_used is not None and layer.codes_used < FEW_CODES:
        yield (
            f"its values span {layer.codes_used:.0f} codes of {layer.type}: the range is too wide",
            "calibrate without outliers, and normalised as the evaluation set is; or int16 activations (int16x8)",
        )
    spread = _channel_spread(weight)
    if weight is not None and spread > WIDE:
        yield (
            f"one scale for weights of all channels: the widest is {spread:.3g} times the median",
            "per-channel weights, the default of both toolchains",
        )
    if weight is not None and weight.variant.tensor.type in ("INT4", "INT2"):
        yield (
            f"weights of {weight.variant.tensor.type[3:]} bits: {_worst(layer)}",
            "8-bit weights for this layer, or for all (dynamic_range)",
        )
    yield (_worst(layer), "keep this layer float, or int16 activations (int16x8)")


def _saturation(layer: LayerError) -> tuple[str, str]:
    share = f"{layer.saturated:.2%} of its values lie beyond the range of its codes"
    return (
        f"{share}: float32 reaches [{layer.low:.4g}, {layer.high:.4g}]",
        "more calibration data, that reaches what the evaluation set reaches; or int16 activations (int16x8)",
    )


def _worst(layer: LayerError) -> str:
    """The channel with the largest error, and whether it is an offset or a scatter."""
    channel = layer.worst_channel
    rms = float(layer.channel_rms[channel])
    offset = bool(rms) and abs(float(layer.channel_bias[channel])) > math.sqrt(0.5) * rms
    kind = "a constant offset" if offset else "an error that changes from value to value"
    ordinary = float(np.median(layer.channel_rms))
    beside = f", {rms / ordinary:.3g} times the median channel's" if ordinary and layer.channel_rms.size > 1 else ""
    return f"channel {channel} is off by {layer.severity:.2%} of the layer's range{beside}: {kind}"


def _channel_spread(weight: WeightPair | None) -> float:
    """How much wider the widest channel is than the median one, where one scale serves all of them; else 1."""
    if weight is None or weight.axis is None or weight.variant.tensor.quantization.kind != "per_tensor":
        return 1.0
    values = np.abs(np.moveaxis(weight.float32.values, weight.axis, 0))
    widths = values.reshape(len(values), -1).max(axis=1)
    median = float(np.median(widths))
    return float(widths.max()) / median if median else 1.0
