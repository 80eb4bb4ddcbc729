"""Rescaled inputs, as converters fold them into the first layer's weights.

A file that takes pixels where its source takes -1 to 1 holds the rescaling itself. TFLiteConverter does not keep it
as operators: with x = (f - o) / s for what is fed, W x + b is (W / s) f + (b - Σ W o / s), and those are the weights
and the biases that the file has.

    >>> pairs = as_fed(match_weights(float32, variant), {0: InputDomain((127.5,), (127.5,))})     # doctest: +SKIP
    >>> pairs.pairs[0].float32.values                  # what the first layer should have: W / 127.5  # doctest: +SKIP

Where a padding lies between, only the factor can be folded, and the shift stays an operator before the layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.plan import InputDomain
from liteproof.tflite.facts import WEIGHT_INPUTS
from liteproof.tflite.matching import Matching, Parameter, WeightPair
from liteproof.tflite.reader import Model

# What may stand between an input and the first layer: conversions, a change of shape, and the rescaling itself.
_BETWEEN = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST", "RESHAPE"})
_RESCALING = frozenset({"MUL", "DIV", "ADD", "SUB"})

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Folded(Parameter):
    """A constant of the float32 variant with a rescaling of the input folded into it."""

    folded: npt.NDArray[np.float32]

    def rows(self, rows: slice) -> npt.NDArray[np.float32]:
        """The real values of some rows after folding."""
        return self.folded[rows]


def as_fed(matching: Matching, domains: Mapping[int, InputDomain]) -> Matching:
    """The pairs, with the float32 variant's first layers as they are in the domain that the variant is fed in.

    Each constant may have the rescaling in it or not, whichever is nearer to what the variant has; and operands of a
    rescaling that the variant computes before its first layers are no parameters that float32 lacks.

    Args:
        matching: The float32 variant's constants and the variant's.
        domains: By the place of the input in the float32 variant's graph.
    """
    if not matching.pairs or not domains:
        return matching
    float32, variant = matching.pairs[0].float32.model, matching.pairs[0].variant.model
    first = first_layers(float32, domains)
    weights = {p.float32.place: p.float32 for p in matching.of("weight") if p.float32.place in first}
    pairs = [
        _nearer(pair, weights[pair.float32.place], first[pair.float32.place])
        if pair.float32.place in weights and pair.role in ("weight", "bias")
        else pair
        for pair in matching.pairs
    ]
    before = _before_first_layers(variant)
    return dataclasses.replace(
        matching,
        pairs=tuple(pairs),
        unmatched_variant=tuple(p for p in matching.unmatched_variant if p.place not in before),
    )


def first_layers(model: Model, domains: Mapping[int, InputDomain]) -> dict[str, InputDomain]:
    """The operators with weights that read an input of the first subgraph, as "CONV_2D #0", each with its domain."""
    graph = model.subgraphs[0]
    carried = {graph.inputs[place]: domain for place, domain in domains.items() if place < len(graph.inputs)}
    found = {}
    for operator in graph.operators:
        source = next((carried[index] for index in operator.inputs[:1] if index in carried), None)
        if source is None:
            continue
        if operator.name in WEIGHT_INPUTS:
            found[f"{operator.name} #{operator.index}"] = source
        elif operator.name in _BETWEEN:
            carried |= dict.fromkeys(operator.outputs, source)
    return found


def _before_first_layers(model: Model) -> frozenset[str]:
    """The rescaling operators that stand between an input and the first layers."""
    graph = model.subgraphs[0]
    carried, found = set(graph.inputs), set()
    for operator in graph.operators:
        if carried.intersection(operator.inputs) and operator.name in _BETWEEN | _RESCALING:
            carried.update(operator.outputs)
            if operator.name in _RESCALING:
                found.add(f"{operator.name} #{operator.index}")
    return frozenset(found)


def _nearer(pair: WeightPair, weight: Parameter, domain: InputDomain) -> WeightPair:
    """The pair, with the float32 constant folded if that is nearer to the variant's."""
    ours = pair.variant.values.astype(np.float64)
    best, distance = pair, _distance(pair.float32.values.astype(np.float64), ours)
    for folded in _folded(pair.float32, weight, domain):
        if folded.shape == ours.shape and (found := _distance(folded, ours)) < distance:
            fields = {f.name: getattr(pair.float32, f.name) for f in dataclasses.fields(Parameter)}
            best, distance = WeightPair(Folded(**fields, folded=folded.astype(np.float32)), pair.variant), found
    return best


def _folded(parameter: Parameter, weight: Parameter, domain: InputDomain) -> Iterator[Floats]:
    """A first layer's weight or bias with the rescaling in it; nothing where the channels do not fit."""
    scale, offset = np.asarray(domain.scale), np.asarray(domain.offset)
    weights = weight.values.astype(np.float64)
    if any(given.size not in (1, weights.shape[-1]) for given in (scale, offset)):
        return
    if parameter.role == "weight":
        yield weights / scale
        return
    # The channels of the output are the last axis of depthwise weights (a kernel for each), and the first of others.
    shifts: Any = weights * (offset / scale)
    kept = -1 if weight.operator == "DEPTHWISE_CONV_2D" else 0
    axes = tuple(axis for axis in range(shifts.ndim) if axis != kept % shifts.ndim)
    yield parameter.values.astype(np.float64) - shifts.sum(axis=axes)


def _distance(a: Floats, b: Floats) -> float:
    return float(np.abs(a - b).max(initial=0.0)) if a.shape == b.shape else np.inf
