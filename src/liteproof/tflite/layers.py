"""Which layer of a variant was which layer of the float32 variant: computed tensors, where `matching` pairs constants.

    >>> found = align_layers(read_model(Path("float32.tflite")), read_model(Path("int8.tflite")))  # doctest: +SKIP
    >>> found.pairs[0].variant.place, found.pairs[0].float32.output, found.pairs[0].variant.output  # doctest: +SKIP
    ('CONV_2D #0', 14, 15)
    >>> found.float32_alone, found.variant_alone                                                   # doctest: +SKIP
    ((), ())

A layer is an operator that computes. QUANTIZE, DEQUANTIZE and CAST belong to none: a layer reads what lies before them.
Conversions of one network keep its operators in order, whatever they call the tensors, so layers are lined up by the
longest common run of equal operators with outputs of equal shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from liteproof.tflite.facts import readers
from liteproof.tflite.reader import Model, Operator, Subgraph

_CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE", "DENSIFY", "CAST"})


@dataclass(frozen=True)
class Layer:
    """An operator of the first subgraph, and the computed tensors around it.

    Attributes:
        operator: The operator.
        inputs: The computed tensors that it reads, by its input's position; conversions are looked through, back to
            what another layer wrote.
        output: The tensor that it writes.
    """

    operator: Operator
    inputs: Mapping[int, int]
    output: int

    @property
    def place(self) -> str:
        """The operator in words, as `matching` writes it: "CONV_2D #3"."""
        return f"{self.operator.name} #{self.operator.index}"


@dataclass(frozen=True)
class LayerPair:
    """The same layer in the float32 variant and in the variant under judgement."""

    float32: Layer
    variant: Layer

    @property
    def feeds(self) -> dict[int, int]:
        """For each computed tensor that the float32 layer reads: the variant's tensor in its place."""
        ours = self.variant.inputs
        return {theirs: ours[position] for position, theirs in self.float32.inputs.items() if position in ours}


@dataclass(frozen=True)
class Alignment:
    """What belongs together, and what has no partner.

    Attributes:
        pairs: In the variant's order.
        float32_alone: Layers that the variant lacks, or has in another shape.
        variant_alone: Layers that the float32 variant lacks, or has in another shape.
    """

    pairs: tuple[LayerPair, ...]
    float32_alone: tuple[Layer, ...] = ()
    variant_alone: tuple[Layer, ...] = ()

    def __iter__(self) -> Iterator[LayerPair]:
        return iter(self.pairs)


def align_layers(float32: Model, variant: Model) -> Alignment:
    """Pair the layers of two conversions of one network.

    Where the variant computes in several operators what the float32 variant computes in one (an activation or a batch
    normalization that was not fused), they are one layer, and the last of them gives its output.

    Args:
        float32: The float32 variant.
        variant: The variant under judgement.
    """
    theirs, ours = layers(float32), layers(variant)
    keys = [_key(float32, layer) for layer in theirs], [_key(variant, layer) for layer in ours]
    blocks = SequenceMatcher(None, *keys, autojunk=False).get_matching_blocks()
    aligned = {block.b + k: block.a + k for block in blocks for k in range(block.size)}
    alone = {layer.operator.index: layer for j, layer in enumerate(ours) if j not in aligned}
    pairs = tuple(LayerPair(theirs[i], _extended(variant, ours[j], alone)) for j, i in aligned.items())
    return Alignment(
        pairs,
        tuple(layer for i, layer in enumerate(theirs) if i not in aligned.values()),
        tuple(alone.values()),
    )


def layers(model: Model) -> tuple[Layer, ...]:
    """The layers of the first subgraph. Operators that only prepare constants are none."""
    graph = model.subgraphs[0]
    producers = {index: operator for operator in graph.operators for index in operator.outputs}
    computed = computed_tensors(model)
    found = []
    for operator in graph.operators:
        if operator.name in _CONVERSIONS or not operator.outputs or operator.outputs[0] not in computed:
            continue
        inputs = {
            position: _origin(graph, producers, index)
            for position, index in enumerate(operator.inputs)
            if index in computed
        }
        found.append(Layer(operator, inputs, operator.outputs[0]))
    return tuple(found)


def computed_tensors(model: Model) -> frozenset[int]:
    """Tensors of the first subgraph whose content depends on its inputs or on its state."""
    graph = model.subgraphs[0]
    found = set(graph.inputs) | {tensor.index for tensor in graph.tensors if tensor.is_variable}
    for operator in graph.operators:
        if found.intersection(operator.inputs):
            found.update(operator.outputs)
    return frozenset(found)


def conversions_before(model: Model, index: int) -> int:
    """The tensor that conversions lead back to from this one; itself where there is none."""
    graph = model.subgraphs[0]
    producers = {output: operator for operator in graph.operators for output in operator.outputs}
    return _behind(producers, index)[-1]


def _key(model: Model, layer: Layer) -> tuple[str, tuple[int, ...]]:
    return layer.operator.name, model.subgraphs[0].tensors[layer.output].shape


def _behind(producers: Mapping[int, Operator], index: int) -> list[int]:
    """A tensor and those that conversions lead back to from it."""
    found = [index]
    # A damaged graph may hold a circle.
    while (producer := producers.get(found[-1])) and producer.name in _CONVERSIONS and producer.inputs[0] not in found:
        found.append(producer.inputs[0])
    return found


def _origin(graph: Subgraph, producers: Mapping[int, Operator], index: int) -> int:
    """What a layer reads, before conversions; but not before those of the graph's own inputs, which are no layer's."""
    chain = [tensor for tensor in _behind(producers, index) if tensor not in graph.inputs]
    return chain[-1] if chain else index


def _extended(variant: Model, layer: Layer, alone: dict[int, Layer]) -> Layer:
    """The layer with those behind it that only the variant has, as long as they keep its shape; `alone` loses them."""
    graph = variant.subgraphs[0]
    uses, output = readers(graph), layer.output
    while True:
        following = {operator.index for operator, _ in uses.get(output, [])}
        if len(following) != 1 or not following <= alone.keys():
            return Layer(layer.operator, layer.inputs, output)
        (index,) = following
        if graph.tensors[alone[index].output].shape != graph.tensors[output].shape:
            return Layer(layer.operator, layer.inputs, output)
        output = alone.pop(index).output
