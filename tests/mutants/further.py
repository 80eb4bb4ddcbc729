"""Healthy variants beside those of the models' own manifests: trained further, and of mixed precision.

>>> sorted(tables("digits"))
['mixed', 'pruned_int8', 'qat_int8']
>>> claimed("qat_int8")
{'recipe': 'qat_int8', 'float32': 'qat_int8.float32.tflite'}

Trainings take some twenty seconds each, so only `digits`, which has a training set, is trained further. Mixed recipes
are LiteRT Quantizer's and take a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liteproof.mixed import NO_QUANTIZE, STATIC_INT8

Rules = list[dict[str, Any]]

SPARSITY = 0.5
TRAINED = {
    "qat_int8": {"epochs": 3},
    "pruned_int8": {"epochs": 5, "sparsity": SPARSITY, "learning_rate": 0.001},
}
# Converted with them; mutants are made from these.
RETRAINED = {"retrained_qat_int8": {"recipe": "qat_int8", "epochs": 3, "seed": 1}}
MODELS_TRAINED = ("digits",)
RULES = "mixed.json"


@dataclass(frozen=True)
class Layers:
    """What a mixed recipe names in a model, as `regex` finds it: each with its operator."""

    in_float: tuple[str, str]
    in_16_bits: tuple[str, str]
    in_8_bits: tuple[str, str]


LAYERS = {
    "digits": Layers(("stem_relu", "CONV_2D"), ("probabilities", "FULLY_CONNECTED"), ("hidden", "FULLY_CONNECTED")),
    "digits-mobilenet": Layers(
        ("Conv1_relu", "CONV_2D"), ("predictions", "FULLY_CONNECTED"), ("block_5_project", "CONV_2D")
    ),
}


def tables(model: str) -> dict[str, dict[str, Any]]:
    """The healthy variants as `[variants]` names them, each by the claim that its files make."""
    return {**(TRAINED if model in MODELS_TRAINED else {}), "mixed": {"recipe": RULES}}


def spoiled_tables(model: str) -> dict[str, dict[str, Any]]:
    """Variants that mutants are made from: another training, and mixed recipes that do not keep the healthy one's."""
    mixed = {f"mixed_{name}": {"recipe": f"{name}.json"} for name in _spoiled(LAYERS[model])}
    return {**(RETRAINED if model in MODELS_TRAINED else {}), **mixed}


def recipe_files(model: str) -> dict[str, bytes]:
    """The recipe files that these tables name."""
    named = {RULES: healthy_rules(model), **{f"{name}.json": r for name, r in _spoiled(LAYERS[model]).items()}}
    return {name: json.dumps(rules, indent=2).encode() for name, rules in named.items()}


def claimed(claim: str) -> dict[str, Any]:
    """What the table of a file says that makes a claim: its recipe, and what it is held to beside."""
    if claim == "mixed":
        return {"recipe": RULES}
    if claim not in TRAINED:
        return {"recipe": claim}
    pruned = {key: value for key, value in TRAINED[claim].items() if key == "sparsity"}
    return {"recipe": claim, "float32": f"{claim}.float32.tflite", **pruned}


def healthy_rules(model: str) -> Rules:
    """int8, but one layer in float and one with 16-bit activations."""
    layers = LAYERS[model]
    return [_every(), _in_float(layers.in_float), _in_16_bits(layers.in_16_bits)]


def _spoiled(layers: Layers) -> dict[str, Rules]:
    every, in_float, in_16_bits = _every(), _in_float(layers.in_float), _in_16_bits(layers.in_16_bits)
    return {
        "float_in_8_bits": [every, in_16_bits],
        "16_in_8_bits": [every, in_float],
        "8_bits_in_float": [every, in_float, in_16_bits, _in_float(layers.in_8_bits)],
        "8_in_16_bits": [every, in_float, in_16_bits, _in_16_bits(layers.in_8_bits)],
    }


def _every() -> dict[str, Any]:
    return {"regex": ".*", "operation": "*", "algorithm_key": "min_max_uniform_quantize", "op_config": STATIC_INT8}


def _in_float(layer: tuple[str, str]) -> dict[str, Any]:
    return {"regex": layer[0], "operation": layer[1], "algorithm_key": NO_QUANTIZE}


def _in_16_bits(layer: tuple[str, str]) -> dict[str, Any]:
    activations: Mapping[str, Any] = {"num_bits": 16, "symmetric": True, "granularity": "TENSORWISE", "dtype": "INT"}
    config = {**STATIC_INT8, "activation_tensor_config": activations}
    return {
        "regex": layer[0],
        "operation": layer[1],
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": config,
    }
