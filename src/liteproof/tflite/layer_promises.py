"""What a mixed recipe promises of each layer of a network, and whether a file keeps it.

    >>> promises = layer_promises(read_model(Path("float32.tflite")), RULES)             # doctest: +SKIP
    >>> promises[8].weights, promises[8].activations                                      # doctest: +SKIP
    ('INT4', 'FLOAT32')
    >>> broken_promises(float32, variant, RULES)                                          # doctest: +SKIP
    ['FULLY_CONNECTED #8 has FLOAT32 weights, rule 1 (.*, *) promises INT8']

The rules are matched against the float32 file, from which LiteRT Quantizer starts: names of tensors in a variant may be
others. A layer of the variant is held to the promise of the layer that it is lined up with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from liteproof.mixed import LayerRule, promised
from liteproof.tflite.facts import PER_AXIS_DIMENSION, is_real_valued
from liteproof.tflite.layers import Alignment, align_layers, computed_tensors, layers
from liteproof.tflite.matching import Parameter, parameters
from liteproof.tflite.reader import Model, Operator

# Where the tool calls an operator otherwise.
_CALLED = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}


def layer_promises(float32: Model, rules: Sequence[LayerRule]) -> dict[int, LayerRule]:
    """For each operator of the float32 file that is to be quantized, by its index: the rule that holds."""
    found = {}
    for layer in layers(float32):
        operation = _CALLED.get(layer.operator.name, layer.operator.name)
        rule = promised(rules, operation, _scope(float32, layer.operator.outputs))
        if rule is not None:
            found[layer.operator.index] = rule
    return found


def promises_of_variant(float32: Model, variant: Model, rules: Sequence[LayerRule]) -> dict[int, LayerRule]:
    """The same for the operators of a variant, as far as they are lined up with the float32 file's."""
    theirs = layer_promises(float32, rules)
    return {
        pair.variant.operator.index: theirs[pair.float32.operator.index]
        for pair in align_layers(float32, variant)
        if pair.float32.operator.index in theirs
    }


def end_types(float32: Model, rules: Sequence[LayerRule]) -> tuple[list[str], list[str]]:
    """The promised types of the real-valued inputs and outputs, in order; of others the type that they have."""
    graph = float32.subgraphs[0]
    found: list[list[str]] = []
    for operation, ends in (("INPUT", graph.inputs), ("OUTPUT", graph.outputs)):
        kinds = []
        for index in ends:
            rule = promised(rules, operation, _scope(float32, (index,)))
            tensor = graph.tensors[index]
            kinds.append(rule.activations if rule is not None and is_real_valued(tensor) else tensor.type)
        found.append(kinds)
    return found[0], found[1]


def idle_rules(float32: Model, rules: Sequence[LayerRule]) -> list[LayerRule]:
    """Rules that hold for no operator and no end: a misspelt name, or what the tool cannot do and passes over."""
    graph = float32.subgraphs[0]
    operators = [(_CALLED.get(op.name, op.name), _scope(float32, op.outputs)) for op in graph.operators]
    operators += [("INPUT", _scope(float32, (index,))) for index in graph.inputs]
    operators += [("OUTPUT", _scope(float32, (index,))) for index in graph.outputs]
    return [r for r in rules if not any(r.matches(name, scope) and r.can(name) for name, scope in operators)]


def broken_promises(float32: Model, variant: Model, rules: Sequence[LayerRule]) -> list[str]:
    """What of its rules a file does not keep, layer by layer; a layer that no rule quantizes must be float."""
    promises, aligned = layer_promises(float32, rules), align_layers(float32, variant)
    weights = _weights(variant)
    theirs = _weights(float32)
    broken = [f"{rule.place} holds for no operator of the network" for rule in idle_rules(float32, rules)]
    for pair in aligned:
        rule = promises.get(pair.float32.operator.index)
        had = theirs.get(pair.float32.operator.index)
        small = rule is not None and had is not None and had.tensor.elements < rule.smallest
        has = weights.get(pair.variant.operator.index)
        if has is not None and not small:
            broken += _wrong_weights(pair.variant.operator, has, rule)
        broken += _wrong_activations(variant, pair.variant.operator, rule)
    return broken + list(_lost(aligned, promises)) + list(_wrong_ends(float32, variant, rules))


def float_layers(float32: Model, variant: Model, rules: Sequence[LayerRule]) -> frozenset[str]:
    """The variant's operators that may compute in float, as `Facts.float_operators` names them."""
    promises = promises_of_variant(float32, variant, rules)
    aligned = align_layers(float32, variant)
    alone = {layer.operator.index for layer in aligned.variant_alone}
    return frozenset(
        f"{op.name} #{op.index}"
        for op in variant.subgraphs[0].operators
        if op.index not in alone and (op.index not in promises or promises[op.index].activations == "FLOAT32")
    )


def boundaries(float32: Model, rules: Sequence[LayerRule]) -> int:
    """How many tensors of a conversion pass from one type to another: each needs a QUANTIZE or DEQUANTIZE."""
    graph, promises = float32.subgraphs[0], layer_promises(float32, rules)
    inputs, outputs = end_types(float32, rules)
    kinds = dict(zip(graph.inputs, inputs, strict=True))
    crossed = set()
    for layer in layers(float32):
        rule = promises.get(layer.operator.index)
        own = rule.activations if rule is not None else "FLOAT32"
        crossed |= {(index, own) for index in layer.inputs.values() if kinds.get(index, "FLOAT32") != own}
        kinds |= dict.fromkeys(layer.operator.outputs, own)
    ends = zip(graph.outputs, outputs, strict=True)
    return len(crossed) + sum(kinds.get(index, "FLOAT32") != kind for index, kind in ends)


def _scope(model: Model, tensors: Sequence[int]) -> str:
    return "".join(f"{model.subgraphs[0].tensors[index].name};" for index in tensors if index >= 0)


def _weights(model: Model) -> dict[int, Parameter]:
    """The weights of each operator of the first subgraph, by its index."""
    graph = model.subgraphs[0]
    by_place = {p.place: p for p in parameters(model) if p.role == "weight"}
    named = ((op.index, by_place.get(f"{op.name} #{op.index}")) for op in graph.operators)
    return {index: parameter for index, parameter in named if parameter is not None}


def _wrong_weights(operator: Operator, weights: Parameter, rule: LayerRule | None) -> Iterator[str]:
    place, kind = f"{operator.name} #{operator.index}", weights.tensor.type
    wanted, said = (rule.weights, f"{rule.place} promises") if rule else ("FLOAT32", "no rule asks for more than")
    if kind != wanted:
        yield f"{place} has {kind} weights, {said} {wanted}"
        return
    if rule is None or rule.mode == "cast":
        return
    found, scales = weights.tensor.quantization, weights.tensor.quantization.scales.size
    blocks = found.block_size if found.kind == "blockwise" else 0
    channels = weights.tensor.shape[PER_AXIS_DIMENSION.get(operator.name, 0)]
    if max(rule.block, 0) != blocks:
        yield f"{place} has {_blocks(blocks)}, {rule.place} promises {_blocks(max(rule.block, 0))}"
    elif not blocks and scales != (1 if rule.block < 0 else channels):
        yield f"{place} has {scales} scales, {rule.place} promises {'one' if rule.block < 0 else 'one a channel'}"
    direct = operator.inputs[weights.position] == weights.tensor.index
    if direct != (rule.mode != "weight_only"):
        how = "reads its weights as they are" if direct else "reads dequantized weights"
        yield f"{place} {how}, {rule.place} promises {'weights alone' if direct else 'integer arithmetic'}"


def _blocks(size: int) -> str:
    return f"scales for blocks of {size}" if size else "no blocks"


def _wrong_activations(variant: Model, operator: Operator, rule: LayerRule | None) -> Iterator[str]:
    tensors, computed = variant.subgraphs[0].tensors, computed_tensors(variant)
    if not any(is_real_valued(tensors[i]) for i in operator.outputs if i >= 0):
        return  # SHAPE and the like read no values
    wanted = rule.activations if rule else "FLOAT32"
    touched = [tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0 and i in computed]
    kinds = dict.fromkeys(t.type for t in touched if is_real_valued(t) and t.type != wanted)
    if kinds:
        said = f"{rule.place} promises {wanted}" if rule else "no rule quantizes it"
        yield f"{operator.name} #{operator.index} computes in {', '.join(kinds)}, {said}"


def _lost(aligned: Alignment, promises: Mapping[int, LayerRule]) -> Iterator[str]:
    for layer in aligned.float32_alone:
        if layer.operator.index in promises:
            rule = promises[layer.operator.index]
            yield f"float32's {layer.place}, of which {rule.place} speaks, has no partner in the variant"


def _wrong_ends(float32: Model, variant: Model, rules: Sequence[LayerRule]) -> Iterator[str]:
    graph = variant.subgraphs[0]
    for what, wanted, ends in zip(
        ("input", "output"), end_types(float32, rules), (graph.inputs, graph.outputs), strict=True
    ):
        for kind, index in zip(wanted, ends, strict=False):
            if graph.tensors[index].type != kind:
                yield f"{what} '{graph.tensors[index].name}' is {graph.tensors[index].type}, the rules promise {kind}"
