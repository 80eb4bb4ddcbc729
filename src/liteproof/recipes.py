"""What each recipe promises: types of weights, activations and ends, and what a variant is held to by default.

A recipe is a promise about a file, whoever made it: a converter of ours, or a notebook elsewhere.

    >>> RECIPES["int8"].inputs, RECIPES["int8_float_io"].inputs, RECIPES["int4"].weight_bits
    ('int8', 'float32', 4)
    >>> RECIPES["int4"].default_toolchain
    'litert'
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType

from liteproof.mixed import OPTIMISING, LayerRule, calibrated, promised, read_rules


@dataclass(frozen=True)
class Recipe:
    """One way to make a variant.

    Attributes:
        name: The recipe's name in `model.toml`.
        weights: Type of the quantized weights ("float32", "float16", "int8", "int4").
        activations: Type of the tensors between operators ("float32", "int8", "int16").
        inputs: Type of the input and output tensors that carry real values.
        toolchains: Who can carry it out; the first is the default.
        calibrated: Whether activation ranges come from a calibration set.
        budgets: Limits that hold unless a manifest says otherwise; none in absolute time or memory.
        size_margin: What `size_ratio` may exceed the size that is derived from the parameter count, as a share.
        training: How the source is trained further before it is converted: "aware" (of quantization) or "pruning";
            "" where its weights are only rounded.
        rules: Of a mixed recipe: what it promises of each layer; the fields above say what it is as a whole.
    """

    name: str
    weights: str
    activations: str
    inputs: str
    toolchains: tuple[str, ...]
    calibrated: bool
    budgets: Mapping[str, float]
    size_margin: float = 0.15
    training: str = ""
    rules: tuple[LayerRule, ...] = ()

    @property
    def default_toolchain(self) -> str:
        """The toolchain that is taken when a manifest names none."""
        return self.toolchains[0]

    @property
    def weight_bits(self) -> int:
        """Bits of one quantized weight."""
        return {"float32": 32, "float16": 16, "int8": 8, "int4": 4, "int2": 2}[self.weights]

    @property
    def integer_io(self) -> bool:
        """Whether the ends carry integer codes."""
        return self.inputs in ("int8", "uint8")

    @property
    def quantized_activations(self) -> bool:
        """Whether the specification's rules for activations apply."""
        return self.activations in ("int8", "int16")


def _budgets(**limits: float) -> Mapping[str, float]:
    return MappingProxyType(limits)


# Where these come from: float32 and float16 only round, so a class changes on a tie at most; 8-bit activations have
# 256 levels, for which two points of agreement on near-ties are usual and five a defect; 4-bit weights have 15.
# For regressions: R² of 0.98 is noise of a fiftieth of the variance (17 dB below it); healthy int8 conversions of three
# small networks lie at 0.997 to 0.999, int4 at 0.905 to 0.99.
_ROUNDING = _budgets(top1_agreement=0.99, accuracy_drop=0.01, cosine_similarity=0.9999, r_squared=0.9999)
_EIGHT_BIT = _budgets(top1_agreement=0.95, accuracy_drop=0.02, cosine_similarity=0.99, r_squared=0.98, saturation=0.05)

# Training moves decisions near a boundary, the right way if it is good for anything, so agreement with the source may
# be lower than after rounding; accuracy may not. Fine-tuning for a few epochs leaves a correlation of 0.99 and more,
# another training of the same network 0.1 and less.
#
# Of a range, an eighth is enough only where TFLiteConverter's calibrator sets it, which gives tensors that are
# overwritten the range of both (`liteproof.measure.activations`). Training and LiteRT Quantizer do not (measured: 0.66
# of each range and more is needed), so no more than one bit may be unused there.
_OWN_RANGES = 0.5
_AWARE = _budgets(
    top1_agreement=0.95,
    accuracy_drop=0.02,
    cosine_similarity=0.98,
    r_squared=0.95,
    saturation=0.05,
    weight_correlation=0.8,
    activation_range_use=_OWN_RANGES,
)
_PRUNED = _budgets(top1_agreement=0.90, accuracy_drop=0.03, cosine_similarity=0.95, r_squared=0.85)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe("float32", "float32", "float32", "float32", ("tensorflow",), False, _ROUNDING),
            Recipe(
                "dynamic_range",
                "int8",
                "float32",
                "float32",
                ("tensorflow", "litert"),
                False,
                _budgets(top1_agreement=0.97, accuracy_drop=0.015, cosine_similarity=0.99, r_squared=0.99),
            ),
            Recipe("float16", "float16", "float32", "float32", ("tensorflow",), False, _ROUNDING),
            Recipe("int8", "int8", "int8", "int8", ("tensorflow", "litert"), True, _EIGHT_BIT),
            Recipe("uint8", "int8", "int8", "uint8", ("tensorflow",), True, _EIGHT_BIT),
            Recipe("int8_float_io", "int8", "int8", "float32", ("tensorflow", "litert"), True, _EIGHT_BIT),
            Recipe(
                "int16x8",
                "int8",
                "int16",
                "float32",
                ("tensorflow",),
                True,
                _budgets(top1_agreement=0.97, accuracy_drop=0.015, cosine_similarity=0.99, r_squared=0.99),
            ),
            Recipe(
                "int4",
                "int4",
                "float32",
                "float32",
                ("litert",),
                False,
                _budgets(top1_agreement=0.90, accuracy_drop=0.05, cosine_similarity=0.95, r_squared=0.85),
            ),
            Recipe("qat_int8", "int8", "int8", "int8", ("tensorflow",), False, _AWARE, training="aware"),
            Recipe(
                "pruned_float32", "float32", "float32", "float32", ("tensorflow",), False, _PRUNED, training="pruning"
            ),
            Recipe(
                "pruned_int8",
                "int8",
                "int8",
                "int8",
                ("tensorflow",),
                True,
                _budgets(**_PRUNED, saturation=0.05),
                training="pruning",
            ),
        )
    }
)


def promise_of(recipe: str, options: Mapping[str, object]) -> Recipe:
    """What a recipe promises, be it one by name or a mixed one, whose rules are among the options.

    Raises:
        ValueError: if the rules are none.
    """
    return mixed(recipe, read_rules(options["rules"])) if "rules" in options else RECIPES[recipe]


def mixed(name: str, rules: tuple[LayerRule, ...]) -> Recipe:
    """The recipe that rules by layer make. Its budgets are the loosest of the recipes that it is mixed of."""
    narrowest = min(rules, key=lambda rule: rule.weight_bits)
    inside = {rule.activations.lower() for rule in rules if rule.mode == "static"} - {"uint8"}
    ends = promised(rules, "INPUT", "")
    parts = [RECIPES[_PARTS[rule.weight_bits]].budgets for rule in rules]
    parts += [RECIPES[{"int8": "int8", "int16": "int16x8"}[kind]].budgets for kind in inside]
    limits = {
        "top1_agreement": min(part["top1_agreement"] for part in parts),
        "accuracy_drop": max(part["accuracy_drop"] for part in parts),
        "cosine_similarity": min(part["cosine_similarity"] for part in parts),
        "saturation": 0.05,
    }
    if inside:
        limits["activation_range_use"] = _OWN_RANGES
    if any(rule.algorithm in OPTIMISING for rule in rules):
        limits["weight_error_lsb"] = _OPTIMISED_ERROR
    return Recipe(
        name,
        narrowest.weights.lower(),
        "int8" if "int8" in inside else "int16" if inside else "float32",
        ends.activations.lower() if ends is not None else "float32",
        ("litert",),
        calibrated(rules),
        MappingProxyType(limits),
        rules=rules,
    )


def of_layer(rule: LayerRule | None, name: str) -> Recipe:
    """What one rule of a mixed recipe promises, as the recipe of a network of one layer."""
    if rule is None:
        return RECIPES["float32"]
    inside = rule.activations.lower()
    return Recipe(name, rule.weights.lower(), inside, inside, ("litert",), False, MappingProxyType({}), rules=(rule,))


# The recipe whose limits rules with weights of so many bits have.
_PARTS = {32: "float32", 16: "float16", 8: "dynamic_range", 4: "int4", 2: "int4"}
# Measured at 4 bits: 2.8 steps where a scale is chosen for the many and against the few largest.
_OPTIMISED_ERROR = 3.0


def pruning_budgets(sparsity: float, promise: Recipe) -> Mapping[str, float]:
    """What a variant is held to that was pruned to a sparsity, beside its recipe's own budgets.

    Of normally distributed weights, the largest 1 - s keep a cosine of √(2 (t φ(t) + Q(t))) to all of them, where
    Q(t) = (1 - s) / 2 is the tail of the distribution beyond t, φ its density; training on takes some of it away.
    Deflate saves nearly nothing of float32 weights that are not zero, and most of those that are (measured: 0.37 of
    the file at a sparsity of 0.5, 0.63 at 0.8); at 8 bits it depends on the weights too much for a limit.

    >>> budgets = pruning_budgets(0.5, RECIPES["pruned_float32"])
    >>> budgets["sparsity"], round(budgets["weight_correlation"], 2), budgets["compressed_ratio"]
    (0.49, 0.77, 0.7)
    """
    normal = NormalDist()
    tail = (1.0 - sparsity) / 2.0
    edge = normal.inv_cdf(1.0 - tail)
    kept = 2.0 * (edge * normal.pdf(edge) + tail)
    limits = {"sparsity": round(sparsity - 0.01, 4), "weight_correlation": round(_DRIFT * math.sqrt(kept), 4)}
    if promise.weights == "float32":
        limits["compressed_ratio"] = round(1.0 - 0.6 * sparsity, 4)
    return MappingProxyType(limits)


# What training on may take of the correlation.
_DRIFT = 0.8
