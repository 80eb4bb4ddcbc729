"""What each recipe makes of a network: bytes of the file, memory of a process that answers with it. Estimates, all.

>>> runtime_memory(95 * 2**20, 24_900_000, "float32", 2 * 2**20) // 2**20
238
"""

from __future__ import annotations

from dataclasses import dataclass

from liteproof.advice.arena import arena
from liteproof.recipes import RECIPES
from liteproof.tflite.facts import Facts, expected_bytes
from liteproof.tflite.reader import Model

# Resident memory of Python with numpy and ai_edge_litert 2.3 before a file is loaded, and what loading one and
# answering adds whatever its size. Measured on x86-64; within a few MB on 64-bit ARM.
RUNTIME_BYTES, SESSION_BYTES = 43 << 20, 7 << 19
# The same for TensorFlow 2.21 with Keras 3, and what a first prediction adds.
TENSORFLOW_BYTES, PREDICTION_BYTES = 632 << 20, 45 << 20
# Bytes of a weight as XNNPACK lays it out again for its kernels, beside the file: float16 is widened first.
_PACKED = {"float32": 4.0, "float16": 4.0, "int8": 1.0, "int4": 0.5}

# TensorFlow Lite Micro's own structures, measured with tflite-micro 0.dev20261023 on a 64-bit machine (a 32-bit one
# needs less): a multiplier and a shift for each channel, an entry for each tensor, a node and data for each operator.
_MICRO_BYTES, _CHANNEL_BYTES, _TENSOR_BYTES, _OPERATOR_BYTES = 1024, 8, 24, 150
_PER_CHANNEL = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"})


@dataclass(frozen=True)
class Estimate:
    """What a recipe makes of a network, in bytes; memory is None where it is not estimated."""

    recipe: str
    file: int
    memory: int | None


def runtime_memory(file: int, parameters: int, recipe: str, activations: int = 0) -> int:
    """Peak resident bytes of a process that answers by LiteRT.

    Args:
        file: Bytes of the `.tflite`.
        parameters: Number of weights.
        recipe: How it was made.
        activations: Bytes of its arena.
    """
    packed = 0.0 if recipe == "int16x8" else _PACKED[RECIPES[recipe].weights]  # XNNPACK leaves int16 activations alone
    return int(RUNTIME_BYTES + SESSION_BYTES + file + packed * parameters + activations)


def keras_memory(weight_bytes: int) -> int:
    """Peak resident bytes of a process that answers with the source itself, by TensorFlow."""
    return TENSORFLOW_BYTES + PREDICTION_BYTES + weight_bytes


def estimates(network: Facts, recipes: tuple[str, ...], graph: Model | None) -> tuple[Estimate, ...]:
    """An estimate for each recipe.

    Args:
        network: Facts of the float32 file, real or estimated.
        recipes: Names of recipes.
        graph: The float32 file; None: activations are left out of the memory.
    """
    found = []
    for recipe in recipes:
        promise, file = RECIPES[recipe], expected_bytes(network, recipe)
        width = {"float32": 4, "int8": 1, "int16": 2}[promise.activations]
        activations = arena(graph, width).bytes if graph else 0
        found.append(Estimate(recipe, file, runtime_memory(file, network.parameters, recipe, activations)))
    return tuple(found)


def micro_arena(graph: Model) -> tuple[int, int]:
    """The tensor arena of a full-integer network on TensorFlow Lite Micro: activations, and its own structures.

    Args:
        graph: The float32 file; every float activation will take a byte.
    """
    first = graph.subgraphs[0]
    channels = sum(first.tensors[op.outputs[0]].shape[-1] for op in first.operators if op.name in _PER_CHANNEL)
    own = (
        _MICRO_BYTES
        + _CHANNEL_BYTES * channels
        + _TENSOR_BYTES * len(first.tensors)
        + _OPERATOR_BYTES * len(first.operators)
    )
    return arena(graph, bytes_per_value=1).bytes, own
