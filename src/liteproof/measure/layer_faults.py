"""What a file itself says against its layers, before any of them is run.

Weights and biases that are not the float32 variant's, options of operators that are not, rules of the quantization
specification that are broken, layers that are missing, additional, or of another shape: each is charged to the operator
that it spoils.

    >>> found = layer_faults(read_model("float32.tflite"), read_model("int8.tflite"), RECIPES["int8"])  # doctest: +SKIP
    >>> found["CONV_2D #3"].faults                                                                     # doctest: +SKIP
    ("bias 'conv/bias' of CONV_2D #3: it is all zero",)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from liteproof.checks import METRICS
from liteproof.errors import ModelError
from liteproof.measure.identity import differing_options
from liteproof.measure.layers import comparable
from liteproof.measure.weights import bias_error_lsb, weight_error_lsb
from liteproof.recipes import Recipe
from liteproof.tflite.facts import is_real_valued
from liteproof.tflite.layers import Alignment, Layer, align_layers
from liteproof.tflite.matching import Matching, WeightPair, match_weights
from liteproof.tflite.reader import Model, Tensor
from liteproof.tflite.specification import violations


@dataclass(frozen=True, eq=False)
class Charge:
    """What is held against one layer.

    Attributes:
        place: The operator, "CONV_2D #3": the variant's, or the float32 variant's that is missing.
        tensor: What it writes.
        faults: At least one.
    """

    place: str
    tensor: Tensor
    faults: tuple[str, ...]


def layer_faults(float32: Model, variant: Model, promise: Recipe) -> Mapping[str, Charge]:
    """The charges against layers of the first subgraph, by place.

    Args:
        float32: The float32 variant.
        variant: The variant under judgement.
        promise: The recipe that it claims to follow.
    """
    alignment = align_layers(float32, variant)
    found: dict[str, list[str]] = defaultdict(list)
    tensors = {place: tensor for place, tensor, _ in _missing(alignment, float32)}
    tensors |= {
        f"{op.name} #{op.index}": variant.subgraphs[0].tensors[op.outputs[0]]
        for op in variant.subgraphs[0].operators
        if op.outputs
    }
    for place, _, fault in (*_missing(alignment, float32), *_of_other_shape(alignment, float32, variant)):
        found[place].append(fault)
    constants = _of_constants(alignment, match_weights(float32, variant))
    for place, fault in (*constants, *_of_options(alignment), *_of_rules(float32, variant, promise)):
        found[place].append(fault)
    return {place: Charge(place, tensors[place], tuple(faults)) for place, faults in found.items() if place in tensors}


def _missing(alignment: Alignment, float32: Model) -> list[tuple[str, Tensor, str]]:
    """Layers of the float32 variant that have no counterpart of their kind."""
    ours = [layer.operator.name for layer in alignment.variant_alone]
    found = []
    for layer in alignment.float32_alone:
        tensor = float32.subgraphs[0].tensors[layer.output]
        if layer.operator.name in ours:
            ours.remove(layer.operator.name)
        elif is_real_valued(tensor):
            found.append(
                (layer.place, tensor, f"it is missing: float32 has {layer.place}, which writes '{tensor.name}'")
            )
    return found


def _of_other_shape(alignment: Alignment, float32: Model, variant: Model) -> Iterator[tuple[str, Tensor, str]]:
    """Layers that are in both files, or in this one only, and compute something else."""
    theirs, ours = float32.subgraphs[0].tensors, variant.subgraphs[0].tensors
    waiting = list(alignment.float32_alone)
    for layer in alignment.variant_alone:
        tensor = ours[layer.output]
        if not is_real_valued(tensor):
            continue
        partner = _take(waiting, layer.operator.name)
        if partner is None:
            yield layer.place, tensor, "it is additional: float32 has no such operator here"
        else:
            shapes = f"it writes {list(tensor.shape)}, float32's {list(theirs[partner.output].shape)}"
            yield layer.place, tensor, shapes
    for pair in alignment.pairs:
        differ = [(i, j) for i, j in pair.feeds.items() if theirs[i].shape != ours[j].shape]
        if differ and not comparable(pair, float32, variant):
            i, j = differ[0]
            shapes = f"it reads {list(ours[j].shape)}, float32's {list(theirs[i].shape)}"
            yield pair.variant.place, ours[pair.variant.output], shapes


def _take(waiting: list[Layer], name: str) -> Layer | None:
    """The first layer of this kind, taken out of the list."""
    found = next((layer for layer in waiting if layer.operator.name == name), None)
    if found is not None:
        waiting.remove(found)
    return found


def _of_constants(alignment: Alignment, matching: Matching) -> Iterator[tuple[str, str]]:
    """Weights and biases that are not the float32 variant's, rounded."""
    by_place: dict[str, list[WeightPair]] = defaultdict(list)
    for pair in matching.pairs:
        by_place[pair.operator].append(pair)
    for place, pairs in by_place.items():
        yield from ((place, fault) for fault in _of_pairs(Matching(tuple(pairs))))
    places = {pair.float32.place: pair.variant.place for pair in alignment.pairs}
    for parameter in matching.unmatched_float32:
        if parameter.role == "bias" and parameter.place in places:
            yield places[parameter.place], f"its bias is missing: float32's {parameter.place} has one"


def _of_pairs(matching: Matching) -> Iterator[str]:
    for measure in (weight_error_lsb, bias_error_lsb):
        try:
            measurement = measure(matching)
        except ModelError as error:  # cut short, or its scales do not fit it
            yield error.found
            return
        if (measurement.value or 0.0) > (METRICS[measurement.metric].default or 0.0):
            yield from measurement.causes


def _of_options(alignment: Alignment) -> Iterator[tuple[str, str]]:
    """Operators that compute with other options than the float32 variant's."""
    for pair in alignment.pairs:
        for name, expected, found in differing_options(pair):
            yield pair.variant.place, f"{name} is {found}, float32's {expected}"


def _of_rules(float32: Model, variant: Model, promise: Recipe) -> Iterator[tuple[str, str]]:
    """Rules of the specification that are broken."""
    try:
        broken_rules = violations(variant, promise, float32)
    except ModelError:
        return  # a constant that cannot be read: the charge above says which
    for violation in broken_rules:
        if violation.subgraph == 0:
            broken = (
                f"{violation.rule}: tensor '{violation.tensor}' has {violation.found}, expected {violation.expected}"
            )
            yield f"{violation.operator} #{violation.operator_index}", broken
