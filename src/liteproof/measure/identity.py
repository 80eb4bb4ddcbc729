"""Is the file what it claims to be: this recipe, this network, this size, for this runtime?

Read from the flatbuffer alone, but for `float32_error`; so it holds for files that the target's runtime does not load.

    >>> found = impossible_bytes(900_000, facts(read_model("float32.tflite")), RECIPES["int8"])   # doctest: +SKIP
    >>> found.value, found.detail                                                                # doctest: +SKIP
    (1357984.0, '2,257,984 parameters of 8 bits take 2,257,984 bytes, the file has 900,000')
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import Unmeasured
from liteproof.measure.blocks import blocks, by_row
from liteproof.recipes import Recipe, of_layer
from liteproof.tflite.arithmetic import type_range
from liteproof.tflite.facts import End, Facts, ParameterTensor, is_real_valued, smallest_bytes, smallest_bytes_mixed
from liteproof.tflite.layer_promises import broken_promises, layer_promises
from liteproof.tflite.layers import LayerPair, align_layers
from liteproof.tflite.matching import Matching, Parameter
from liteproof.tflite.op_versions import FOUR_BIT_CONVOLUTION, known_versions, lacking, needed
from liteproof.tflite.reader import Model, OperatorCode
from liteproof.tflite.select_ops import COST, runs, select_operators

_NAMED = 3

# Operators whose weights every recipe that knows them converts; LiteRT Quantizer leaves depthwise weights in float at
# 4 bits, and TFLiteConverter leaves weights of fewer than 1,024 values in float for dynamic range.
_CONVERTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_CONVERTED_AT_FOUR_BITS = frozenset({"CONV_2D", "FULLY_CONNECTED"})
_SMALLEST_DYNAMIC_RANGE = 1024

# Options that say how an operator is quantized, not what it computes.
_OF_QUANTIZATION = frozenset({"asymmetric_quantize_inputs", "weights_format"})


def recipe_mismatches(
    model: Model, found: Facts, float32: Facts, promise: Recipe, network: Model | None = None
) -> Measurement:
    """How many promises of its recipe a file breaks: types of weights, activations, inputs and outputs.

    Args:
        model: The variant.
        found: Its facts.
        float32: Facts of the float32 variant: which ends carry real values.
        promise: What the recipe says.
        network: The float32 variant's file, for a mixed recipe, which makes a promise of each of its layers.
    """
    if promise.rules and network is not None:
        return _count(
            "recipe_mismatches",
            broken_promises(network, model, promise.rules),
            model.where,
            (f"the file was not made by the rules of {promise.name}, or a rule does not speak of what it should",),
        )
    broken = [
        *_wrong_weights(found, promise),
        *_unused_bits(model, promise),
        *_wrong_activations(model, promise),
        *_wrong_ends(found, float32, promise),
    ]
    causes = (f"the file was not made by the recipe {promise.name}: it is {found.quantization}",) if broken else ()
    return _count("recipe_mismatches", broken, model.where, causes)


def _wrong_weights(found: Facts, promise: Recipe) -> Iterator[str]:
    wanted = promise.weights.upper()
    for tensor in found.parameter_tensors:
        if tensor.role == "weight" and tensor.type != wanted and _is_converted(tensor, promise):
            yield f"weight '{tensor.name}' of {tensor.operator} is {tensor.type}, {promise.name} promises {wanted}"


def _is_converted(tensor: ParameterTensor, promise: Recipe) -> bool:
    """Whether a recipe leaves no choice about the type of a weight."""
    if promise.weights == "float32":
        return True
    if promise.weight_bits == 4:
        # An 8-bit weight is none of a 4-bit recipe's, wherever it is; a float depthwise weight is.
        return tensor.operator in _CONVERTED_AT_FOUR_BITS or tensor.type == "INT8"
    if tensor.operator not in _CONVERTED:
        return False
    if promise.weights == "int8" and not promise.quantized_activations and tensor.type == "FLOAT32":
        return tensor.elements >= _SMALLEST_DYNAMIC_RANGE
    return True


def _unused_bits(model: Model, promise: Recipe) -> Iterator[str]:
    """Integer weights whose codes leave the upper bit of their type unused: fewer bits in a wider type.

    A recipe scales each channel, or the tensor, so that its largest weight takes the last code; those that optimise
    scales go beyond it.
    """
    if promise.weights not in ("int8", "int4"):
        return
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.type != promise.weights.upper() or tensor.quantization.kind == "none" or len(tensor.shape) < 2:
                continue
            codes = model.constant(tensor)
            largest = 0 if codes is None else max(-int(codes.min(initial=0)), int(codes.max(initial=0)))
            if 0 < largest <= type_range(tensor.type)[1] // 2:
                yield f"weight '{tensor.name}' is {tensor.type}, but its codes go no further than {largest}"


def _wrong_activations(model: Model, promise: Recipe) -> Iterator[str]:
    computed = {
        tensor.type
        for graph in model.subgraphs
        for tensor in graph.tensors
        if is_real_valued(tensor) and (not model.buffers[tensor.buffer].size or tensor.is_variable)
    }
    wanted = promise.activations.upper()
    integers = {kind for kind in computed if "INT" in kind}
    if promise.quantized_activations and wanted not in computed:
        yield f"no activation is {wanted}, as {promise.name} promises: they are {', '.join(sorted(computed))}"
    if not promise.quantized_activations and integers:
        yield f"activations are {', '.join(sorted(integers))}, {promise.name} promises {wanted}"


def _wrong_ends(found: Facts, float32: Facts, promise: Recipe) -> Iterator[str]:
    pairs = [("input", pair) for pair in _paired(found.inputs, float32.inputs)]
    pairs += [("output", pair) for pair in _paired(found.outputs, float32.outputs)]
    for kind, (ours, theirs) in pairs:
        # Token ids and the like are integers in the float32 variant too, and stay what they are.
        wanted = promise.inputs.upper() if theirs.type == "FLOAT32" else theirs.type
        if ours.type != wanted:
            yield f"{kind} '{ours.name}' is {ours.type}, {promise.name} promises {wanted}"


def _paired(ours: Sequence[End], theirs: Sequence[End]) -> Iterator[tuple[End, End]]:
    """Ends that belong together: by name where the names are the same, else by shape, else in order."""
    if {end.name for end in ours} == {end.name for end in theirs}:
        by_name = {end.name: end for end in theirs}
        yield from ((end, by_name[end.name]) for end in ours)
        return
    left = list(theirs)
    for end in ours:
        if left:
            alike = [other for other in left if _same_shape(end.shape, other.shape)]
            partner = (alike or left)[0]
            left.remove(partner)
            yield end, partner


def interface_mismatches(found: Facts, float32: Facts, samples: Sequence[tuple[int, ...]]) -> Measurement:
    """How many inputs and outputs differ from the float32 variant's and the source's in number or shape.

    Args:
        found: Facts of the variant.
        float32: Facts of the float32 variant.
        samples: Shape of each of the source's outputs for one sample; (classes,) for a classifier.
    """
    wrong = []
    for kind, ours, theirs in (
        ("inputs", found.inputs, float32.inputs),
        ("outputs", found.outputs, float32.outputs),
    ):
        if len(ours) != len(theirs):
            wrong.append(f"{len(ours)} {kind}, the float32 variant has {len(theirs)}")
        wrong += [
            f"'{a.name}' is of shape {list(a.shape)}, the float32 variant's {list(b.shape)}"
            for a, b in _paired(ours, theirs)
            if not _same_shape(a.shape, b.shape)
        ]
    for sample in samples:
        if not any(_same_shape(end.shape, (-1, *sample)) for end in found.outputs):
            shapes = ", ".join(str(list(end.shape)) for end in found.outputs)
            wrong.append(f"no output is of the source's shape {list(sample)} for one sample: they are {shapes}")
    return _count("interface_mismatches", wrong, "", ("this is another network",) if wrong else ())


def _same_shape(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two shapes are the same but for the batch, which may be open in one and 1 in the other."""
    if len(a) != len(b):
        return False
    open_batch = bool(a) and {a[0], b[0]} <= {1, -1}
    rest = zip(a[open_batch:], b[open_batch:], strict=True)
    return all(x == y or -1 in (x, y) for x, y in rest)


def parameter_mismatch(matching: Matching) -> Measurement:
    """How many parameters one of the two files has and the other has not, by place in the graph and by shape.

    After the converter's fusions: batch norms are folded into the weights before them, so both have fewer parameters
    than Keras counts. Tensors that are all zero do not count: a bias of zeros may come and go.
    """
    lost = [parameter for parameter in matching.unmatched_float32 if _holds_anything(parameter)]
    added = [parameter for parameter in matching.unmatched_variant if _holds_anything(parameter)]
    alone = [f"{_called(p)} is not in the variant" for p in lost] + [f"{_called(p)} is not in float32" for p in added]
    count = sum(parameter.tensor.elements for parameter in (*lost, *added))
    if not count:
        return Measurement("parameter_mismatch", 0.0)
    return Measurement(
        "parameter_mismatch", float(count), detail=_listed(alone), causes=tuple(_other_network(matching, lost, added))
    )


def _other_network(matching: Matching, lost: Sequence[Parameter], added: Sequence[Parameter]) -> Iterator[str]:
    if lost and not added:
        biases = all(p.role == "bias" for p in lost)
        yield f"{len(lost)} {'biases' if biases else 'tensors'} dropped: a layer is gone, or its buffer is empty"
    elif not lost and {p.operator for p in added} <= {"MUL", "ADD", "SUB", "DIV"}:
        yield "batch norms or rescalings were left in the graph that the float32 variant has folded into weights"
    else:
        yield f"another network, or another version of it: {len(matching.pairs)} tensors have a partner in float32"


def _holds_anything(parameter: Parameter) -> bool:
    if parameter.tensor.quantization.kind == "none":
        return bool(np.any(parameter.codes))
    return any(np.any(parameter.rows(rows)) for rows in parameter.pieces())


def operator_mismatches(float32: Model, variant: Model) -> Measurement:
    """How many operators have other options than the float32 variant's: stride, padding, fused activation, beta.

    Operators are paired as `liteproof.tflite.layers` lines layers up; those without a partner are left to other checks.
    An activation that the variant computes in an operator of its own is as good as a fused one.
    """
    wrong = [
        f"{pair.variant.place} has {name} {found}, the float32 variant {expected}"
        for pair in align_layers(float32, variant)
        for name, expected, found in differing_options(pair)
    ]
    causes = ("the file was edited, or converted from another version of the network",) if wrong else ()
    return _count("operator_mismatches", wrong, variant.where, causes)


def differing_options(pair: LayerPair) -> Iterator[tuple[str, object, object]]:
    """Options in which an operator differs from the float32 variant's: name, what float32 has, what the variant has."""
    theirs, ours = pair.float32.operator.options, pair.variant.operator.options
    apart = pair.variant.output not in pair.variant.operator.outputs
    for name in sorted(theirs.keys() & ours.keys() - _OF_QUANTIZATION):
        if theirs[name] != ours[name] and not (apart and name == "fused_activation_function"):
            yield name, theirs[name], ours[name]


def _largest_error(outputs: npt.NDArray[Any], reference: npt.NDArray[Any]) -> npt.NDArray[Any]:
    error = np.abs(outputs.astype(np.float64) - reference)
    return np.asarray(error.reshape(len(error), -1).max(axis=1, initial=0.0))


def float32_error(reference: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> Measurement:
    """The largest difference of the float32 variant's outputs from the source's, over the source's largest output.

    Both compute in float32, but add in another order and fold batch norms: some 1e-6 on networks of a hundred layers.
    float16 weights leave 1e-3, 8-bit weights 1e-2, other weights about 1.

    Args:
        reference: The source's outputs, shape (n, …).
        outputs: The float32 variant's, of the same shape.

    Raises:
        Unmeasured: Shapes differ, or an output is not finite.
    """
    if outputs.shape != reference.shape or not all(np.isfinite(rows).all() for _, rows in blocks(outputs)):
        raise Unmeasured(
            f"float32_error: the float32 variant's outputs have shape {outputs.shape} or are not finite",
            expected=f"finite outputs of the source's shape {reference.shape}",
        )
    errors = by_row(_largest_error, outputs, reference)
    largest = max((float(np.abs(rows).max(initial=0.0)) for _, rows in blocks(reference)), default=0.0) or 1.0
    value = float(errors.max(initial=0.0)) / largest
    where = int(errors.argmax()) if errors.size else 0
    return Measurement(
        "float32_error",
        value,
        samples=len(reference),
        detail=f"largest at sample {where}",
        causes=(
            "the file is not a conversion of this source: other weights, or fewer bits than 32",
            "the source computes something that the converter replaced (a custom layer, dropout left on)",
        ),
    )


def impossible_bytes(model: Model, float32: Facts, promise: Recipe, network: Model | None = None) -> Measurement:
    """How many bytes the file lacks to hold the float32 variant's parameters in the recipe's bits.

    n weights of b bits take n × b / 8 bytes, and nothing in the format compresses them but sparse encoding, for
    which the bound does not hold: 0 then.
    """
    if promise.rules and network is not None:
        rules = layer_promises(network, promise.rules)
        least = smallest_bytes_mixed(float32, {index: of_layer(rule, promise.name) for index, rule in rules.items()})
    else:
        least = smallest_bytes(float32, promise.name)
    sparse = any(tensor.sparse for graph in model.subgraphs for tensor in graph.tensors)
    if model.bytes >= least or sparse:
        return Measurement("impossible_bytes", 0.0)
    bits = f"{promise.weight_bits} bits" if not promise.rules else "their layers' bits"
    return Measurement(
        "impossible_bytes",
        float(least - model.bytes),
        detail=f"{float32.parameters:,} parameters of {bits} take {least:,} bytes, the file has {model.bytes:,}",
        causes=("this is another, smaller network: quantization to fewer bits does not explain the size",),
        next=f"liteproof inspect {model.where}",
    )


def float_ops(found: Facts, allowed: frozenset[str] = frozenset()) -> Measurement:
    """How many operators compute in float where the recipe promises integers; conversions at the ends do not count.

    Args:
        found: Facts of the file.
        allowed: Operators that a mixed recipe leaves in float.
    """
    names = tuple(name for name in found.float_operators if name not in allowed)
    causes = (
        "the converter has no integer kernel for these operators and left them in float",
        "these layers were excluded from quantization",
    )
    return Measurement("float_ops", float(len(names)), detail=_listed(names) or None, causes=causes if names else ())


def custom_ops(model: Model, *, select_tf_ops: bool = False) -> Measurement:
    """How many operators are outside the builtin set: custom ones, and TensorFlow's own (Select TF ops, "Flex…").

    Args:
        model: The file.
        select_tf_ops: Whether the manifest allows TensorFlow's own: they are told then, with their cost, not counted.
    """
    names = [op.name for graph in model.subgraphs for op in graph.operators if op.custom]
    kinds = list(dict.fromkeys(names))
    flex = [name for name in kinds if name.startswith("Flex")]
    own = [name for name in kinds if not name.startswith("Flex")]
    causes = []
    if flex:
        causes.append(f"Select TF ops ({_listed(flex)}): no runtime for boards carries TensorFlow's kernels")
    if own:
        causes.append(f"custom operators ({_listed(own)}): the runtime needs a library that registers them")
    if select_tf_ops and flex:
        counted = [name for name in names if name in own]
        detail = f"{_listed(kinds)}; {COST}"
        return Measurement("custom_ops", float(len(counted)), detail=detail, causes=tuple(causes) if own else ())
    return Measurement("custom_ops", float(len(names)), detail=_listed(kinds) or None, causes=tuple(causes))


_WAY_OUT = "a newer runtime on the target (pip install -U ai-edge-litert), or another recipe"
_WAY_OUT_FLEX = 'a target with runtime = "tensorflow" and tensorflow<2.19, or a model without these operators'


def unknown_op_versions(model: Model, runtime: str, version: str, *, delegate: bool = False) -> Measurement:
    """How many of the operators that a file needs a runtime lacks, by its release's own table.

    Known before the file is sent anywhere. Custom operators are counted by `custom_ops`; TensorFlow's own (Select TF
    ops) here too, where the runtime has no kernels for them. A file may need more than it
    lists: then the runtime loads it and computes nonsense (`liteproof.tflite.op_versions`).

    Args:
        model: The file.
        runtime: "ai_edge_litert", "tflite_runtime" or "tensorflow".
        version: Its release, "2.14.0".
        delegate: Whether a delegate library stands beside it, which may bring operators of its own.
    """
    listed = {(code.name, code.version) for code in model.operator_codes}
    answers = [(code, lacking(code, runtime, version)) for code in needed(model)]
    missing = [f"{_versioned(code)}{_knows(code.name, runtime, version)}" for code, no in answers if no]
    unlisted = [_versioned(code) for code, no in answers if no and (code.name, code.version) not in listed]
    untold = [_versioned(code) for code, answer in answers if answer is None]
    flex, has_flex = select_operators(model), None if delegate else runs(runtime, version)
    missing += flex if has_flex is False else ()
    untold += flex if has_flex is None else ()
    detail = f"{runtime} {version} lacks {_listed(missing)}" if missing else None
    if untold:
        detail = "; ".join(filter(None, (detail, f"not known of {runtime} {version}: {_listed(untold)}")))
    causes = []
    if any(no for _, no in answers):
        causes.append(f"the file was converted by a newer toolchain than {runtime} {version}")
    if flex and has_flex is False:
        causes.append(COST)
    if unlisted:
        causes.append(
            f"the file does not say that it needs {_listed(unlisted)}: the runtime loads it and computes nonsense"
        )
    return Measurement(
        "unknown_op_versions",
        float(len(missing)),
        detail=detail,
        causes=tuple(causes),
        next=_WAY_OUT_FLEX if flex and has_flex is False else _WAY_OUT if missing else None,
    )


def _versioned(code: OperatorCode) -> str:
    return code.name if code.name == FOUR_BIT_CONVOLUTION else f"{code.name} version {code.version}"


def _knows(operator: str, runtime: str, version: str) -> str:
    known = known_versions(operator, runtime, version)
    if known is None or operator == FOUR_BIT_CONVOLUTION:
        return ""
    return f" (it knows {known[0]} to {known[-1]})" if known else " (it does not know the operator)"


def _count(metric: str, found: Sequence[str], where: str, causes: tuple[str, ...]) -> Measurement:
    return Measurement(
        metric,
        float(len(found)),
        detail=_listed(found) or None,
        causes=causes,
        next=f"liteproof inspect {where}" if where and found else None,
        evidence={"found": list(found)} if found else {},
    )


def _called(parameter: Parameter) -> str:
    return f"{parameter.role} '{parameter.tensor.name}' {list(parameter.tensor.shape)} of {parameter.place}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
