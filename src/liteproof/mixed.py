"""Recipes of LiteRT Quantizer's own: rules by layer, and what they promise of each.

    >>> float_head = [
    ...     {"regex": ".*", "operation": "*", "algorithm_key": "min_max_uniform_quantize", "op_config": STATIC_INT8},
    ...     {"regex": "logits", "operation": "FULLY_CONNECTED", "algorithm_key": "no_quantize"},
    ... ]
    >>> rules = read_rules(float_head)
    >>> promised(rules, "CONV_2D", "net/stem/Relu;").activations
    'INT8'
    >>> promised(rules, "FULLY_CONNECTED", "net/logits/MatMul;") is None
    True

The file is what that tool saves: an array of rules. Of the rules that match an operator (its name, and `regex` found
in the names of its outputs) and that the tool can carry out for it, the last one holds; an operator that none matches
stays in float. Which operators it can carry which settings out for is `SUPPORTED`, as release 0.11 has it: what it
cannot, it passes over without a word, and so it does where a misspelt `regex` matches nothing.

Source: litert_quantizer's recipe_manager.py and default_policy.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NO_QUANTIZE, MIN_MAX, CASTING = "no_quantize", "min_max_uniform_quantize", "float_casting"
# Those that choose a smaller scale than the largest weight needs. GPTQ is not among them: release 0.11 writes floats
# where 4-bit codes should be.
OPTIMISING = ("MSE", "OCTAV")
ALGORITHMS = (NO_QUANTIZE, MIN_MAX, CASTING, *OPTIMISING)
EVERY = "*"

STATIC_INT8: Mapping[str, Any] = {
    "activation_tensor_config": {"num_bits": 8, "symmetric": False, "granularity": "TENSORWISE", "dtype": "INT"},
    "weight_tensor_config": {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"},
    "compute_precision": "INTEGER",
    "explicit_dequantize": False,
}

_WEIGHTED = "BATCH_MATMUL CONV_2D CONV_2D_TRANSPOSE DEPTHWISE_CONV_2D EMBEDDING_LOOKUP FULLY_CONNECTED"
_STATIC = (
    "ADD AVERAGE_POOL_2D BATCH_MATMUL BROADCAST_TO CONCATENATION CONV_2D CONV_2D_TRANSPOSE DEPTHWISE_CONV_2D DIV "
    "DYNAMIC_UPDATE_SLICE EQUAL FULLY_CONNECTED GATHER GATHER_ND GELU INPUT LOGISTIC MAXIMUM MAX_POOL_2D MEAN "
    "MIRROR_PAD MUL NOT_EQUAL OUTPUT PACK PAD PADV2 REDUCE_MIN RELU RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR "
    "RSQRT SELECT SELECT_V2 SLICE SOFTMAX SPLIT SQRT STABLEHLO_COMPOSITE STRIDED_SLICE SUB SUM TANH TRANSPOSE UNPACK"
)
_STATIC_4 = "CONV_2D FULLY_CONNECTED INPUT OUTPUT"

# By mode, bits of weights, type of activations and whether scales are for blocks: the operators.
SUPPORTED: Mapping[tuple[str, int, str, bool], frozenset[str]] = {
    key: frozenset(operators.split())
    for key, operators in {
        ("static", 8, "INT16", False): _STATIC,
        ("static", 8, "INT8", False): f"{_STATIC} HARD_SWISH SPACE_TO_DEPTH SQUARED_DIFFERENCE",
        ("static", 8, "UINT8", False): "INPUT OUTPUT",
        ("static", 4, "INT16", False): _STATIC_4,
        ("static", 4, "INT8", False): _STATIC_4,
        ("dynamic", 8, "FLOAT32", False): _WEIGHTED,
        ("dynamic", 4, "FLOAT32", False): "CONV_2D EMBEDDING_LOOKUP FULLY_CONNECTED",
        ("dynamic", 4, "FLOAT32", True): "EMBEDDING_LOOKUP FULLY_CONNECTED",
        ("dynamic", 2, "FLOAT32", False): "CONV_2D EMBEDDING_LOOKUP FULLY_CONNECTED",
        ("dynamic", 2, "FLOAT32", True): "FULLY_CONNECTED",
        ("weight_only", 8, "FLOAT32", False): _WEIGHTED,
        ("weight_only", 4, "FLOAT32", False): "BATCH_MATMUL CONV_2D EMBEDDING_LOOKUP FULLY_CONNECTED",
        ("cast", 16, "FLOAT32", False): "BATCH_MATMUL CONV_2D CONV_2D_TRANSPOSE DEPTHWISE_CONV_2D EMBEDDING_LOOKUP "
        "FULLY_CONNECTED",
    }.items()
}
OPERATIONS = frozenset({EVERY}).union(*SUPPORTED.values())


@dataclass(frozen=True)
class LayerRule:
    """What one rule promises of the operators that it holds for.

    Attributes:
        number: Its place in the file, from 1.
        regex: Is searched for in the names of an operator's outputs, joined by ";".
        operation: The operator's name in the tool's spelling, or "*".
        algorithm: How weights are quantized; "no_quantize" leaves the operator in float.
        mode: "float", "static" (integer activations), "dynamic" (float ones, integer weights), "weight_only" (integer
            weights, dequantized first) or "cast" (float16 weights).
        weight_bits: Of weights.
        activations: Type of the tensors between operators: "FLOAT32", "INT8", "UINT8", "INT16".
        block: Weights of one scale within a channel; 0: all of the channel, -1: all of the tensor.
        smallest: Weights of fewer values stay in float.
    """

    number: int
    regex: str
    operation: str
    algorithm: str
    mode: str = "float"
    weight_bits: int = 32
    activations: str = "FLOAT32"
    block: int = 0
    smallest: int = 0

    @property
    def weights(self) -> str:
        """Type of weights."""
        return {2: "INT2", 4: "INT4", 8: "INT8", 16: "FLOAT16", 32: "FLOAT32"}[self.weight_bits]

    @property
    def place(self) -> str:
        """The rule in words: "rule 2 (logits, FULLY_CONNECTED)"."""
        return f"rule {self.number} ({self.regex}, {self.operation})"

    def matches(self, operation: str, scope: str) -> bool:
        """Whether it speaks of an operator."""
        return self.operation in (EVERY, operation) and re.search(self.regex, scope) is not None

    def can(self, operation: str) -> bool:
        """Whether the tool carries it out for an operator; what it cannot, it leaves to the rules before."""
        if self.mode == "float":
            return True
        return operation in SUPPORTED.get((self.mode, self.weight_bits, self.activations, self.block > 0), frozenset())


def promised(rules: Sequence[LayerRule], operation: str, scope: str) -> LayerRule | None:
    """The rule that holds for an operator; None if it stays in float.

    Args:
        rules: In the file's order.
        operation: The operator's name in the tool's spelling; INPUT or OUTPUT for an end of the graph.
        scope: The names of its outputs, each followed by ";".
    """
    found = None
    for rule in _by_precedence(rules):
        if rule.matches(operation, scope) and rule.can(operation):
            found = rule
    return found if found is not None and found.mode != "float" else None


def _by_precedence(rules: Sequence[LayerRule]) -> list[LayerRule]:
    """The rules from the least to the most pressing.

    The tool keeps them by `regex`, in the order in which each was seen first; a rule for "*" takes the place of all
    before it of the same `regex`, one for an operator that of its like.
    """
    scopes: dict[str, list[LayerRule]] = {}
    for rule in rules:
        before = scopes.setdefault(rule.regex, [])
        same = [i for i, other in enumerate(before) if other.operation == rule.operation]
        if rule.operation == EVERY:
            before[:] = [rule]
        elif same:
            before[same[0]] = rule
        else:
            before.append(rule)
    return [rule for scope in scopes.values() for rule in scope]


# -- reading ----------------------------------------------------------------------------------------------------------


def read_rules(content: object) -> tuple[LayerRule, ...]:
    """The rules of a file.

    Raises:
        ValueError: if it is not what the tool saves, or asks for what cannot be judged here; in one sentence.
    """
    if not isinstance(content, list) or not content:
        raise ValueError("it is no array of rules")
    return tuple(_rule(number, rule) for number, rule in enumerate(content, 1))


def _rule(number: int, rule: object) -> LayerRule:
    def wrong(what: str) -> ValueError:
        return ValueError(f"rule {number} {what}")

    if not isinstance(rule, dict):
        raise wrong("is no object")
    texts = [rule.get(key) for key in ("regex", "operation", "algorithm_key")]
    if not all(isinstance(text, str) for text in texts):
        raise wrong("needs regex, operation and algorithm_key, each a string")
    regex, operation, algorithm = (str(text) for text in texts)
    try:
        re.compile(regex)
    except re.error as error:
        raise wrong(f"has the regex '{regex}', which is none: {error}") from error
    if operation not in OPERATIONS:
        raise wrong(f"is for the operation '{operation}', which LiteRT Quantizer does not know")
    if algorithm not in ALGORITHMS:
        raise wrong(f"has the algorithm '{algorithm}'; those that can be judged are {', '.join(ALGORITHMS)}")
    if algorithm == NO_QUANTIZE:
        return LayerRule(number, regex, operation, algorithm)
    try:
        read = LayerRule(number, regex, operation, algorithm, **_config(algorithm, rule["op_config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise wrong(f"has an op_config that is not understood: {error!r}") from error
    key = (read.mode, read.weight_bits, read.activations, read.block > 0)
    if key not in SUPPORTED or (operation != EVERY and not read.can(operation)):
        names = f"{read.weights} weights{' by blocks' if read.block > 0 else ''}, {read.activations} activations"
        raise wrong(f"asks for {names} ({read.mode}), which LiteRT Quantizer cannot do for {operation}")
    return read


def _config(algorithm: str, config: Mapping[str, Any]) -> dict[str, Any]:
    if config.get("skip_checks"):
        raise ValueError("skip_checks = true: what comes of it cannot be told beforehand")
    weights, activations = config["weight_tensor_config"], config.get("activation_tensor_config")
    smallest = int(config.get("min_weight_elements", 0))
    if algorithm == CASTING:
        return {"mode": "cast", "weight_bits": 16, "smallest": smallest}
    explicit, integer = bool(config.get("explicit_dequantize")), config.get("compute_precision") == "INTEGER"
    if activations is not None:
        kind = {"INT": "INT", "UINT": "UINT"}[activations.get("dtype", "INT")]
        found = {"mode": "static", "activations": f"{kind}{int(activations['num_bits'])}"}
    elif integer == explicit:
        raise ValueError("either compute_precision INTEGER, or FLOAT with explicit_dequantize")
    else:
        found = {"mode": "dynamic" if integer else "weight_only"}
    return {**found, "weight_bits": int(weights["num_bits"]), "block": _block(weights), "smallest": smallest}


def _block(weights: Mapping[str, Any]) -> int:
    granularity = "TENSORWISE" if "granularity" not in weights else str(weights["granularity"])
    if size := int(weights.get("block_size", 0)):
        return size
    if granularity.startswith("BLOCKWISE_"):
        return int(granularity.removeprefix("BLOCKWISE_"))
    return {"CHANNELWISE": 0, "TENSORWISE": -1}[granularity]


def calibrated(rules: Iterable[LayerRule]) -> bool:
    """Whether they need a calibration set."""
    return any(rule.mode == "static" for rule in rules)
