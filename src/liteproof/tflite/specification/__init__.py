"""The rules of the TensorFlow Lite 8-bit quantization specification that a file can break.

    >>> RULES["weight_zero_point"].text
    'Zero points of weights are 0.'
    >>> found = violations(read_model(path), RECIPES["int8"])        # doctest: +SKIP
    >>> print(found[0])                                              # doctest: +SKIP
    bias_scale: CONV_2D #3, tensor 7 'conv/bias': found scale 0.002, expected input scale times weight scale, 0.001

Also int16x8's rules, and integers only where the recipe promises it. The rules speak of tensors that carry 8 and 16-bit
codes, and of weights and biases: an int32 shape, a float activation of a dynamic-range file and a uint8 end behind a
QUANTIZE break none. What the recipe promises decides the rules about types (`weight_type`, `activation_type`,
`integer_only`, `ends_type`); all others look at the tensors alone. Recurrent cells (LSTM, SVDF, RNN) have rules of
their own for weights, biases and states, which are not among these.

Source: https://ai.google.dev/edge/litert/models/quantization_spec, and where `Rule.source` says so the LiteRT kernels
and the quantizer's table of operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from liteproof.recipes import Recipe, of_layer
from liteproof.tflite.layer_promises import promises_of_variant
from liteproof.tflite.reader import Model
from liteproof.tflite.specification import activations, biases, integer, weights
from liteproof.tflite.specification.rule import Graph, Node, Rule, Violation

__all__ = ["RULES", "Rule", "Violation", "violations"]

RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.id: rule for rule in (*weights.RULES, *biases.RULES, *activations.RULES, *integer.RULES)}
)


def violations(model: Model, promise: Recipe, float32: Model | None = None) -> tuple[Violation, ...]:
    """What breaks a rule, in the order of execution.

    A tensor that several operators read is named once for each rule, with the first operator that touches it.

    Args:
        model: The file.
        promise: The recipe that it claims to follow.
        float32: The float32 file, for a mixed recipe: its rules speak of that file's layers.

    Raises:
        ModelError: The bytes of a constant do not fit its shape.
    """
    found: dict[tuple[object, ...], Violation] = {}
    layers = None
    if promise.rules and float32 is not None:
        rules = promises_of_variant(float32, model, promise.rules)
        layers = {index: of_layer(rule, promise.name) for index, rule in rules.items()}
    for index in range(len(model.subgraphs)):
        for node in Graph(model, index, promise, layers).nodes():
            for violation in _at(node):
                place = (violation.subgraph, violation.tensor_index)
                found.setdefault((violation.rule, *place, violation.found, violation.expected), violation)
    return tuple(found.values())


def _at(node: Node) -> list[Violation]:
    operator, graph = node.operator, node.graph.index
    return [
        Violation(rule.id, graph, operator.index, operator.name, tensor.index, tensor.name, found, expected)
        for rule in RULES.values()
        for tensor, found, expected in rule.check(node)
    ]
