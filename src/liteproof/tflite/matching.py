"""Which constant of a variant was which constant of the float32 variant.

    >>> matching = match_weights(read_model("float32.tflite"), read_model("int8.tflite"))   # doctest: +SKIP
    >>> matching.pairs[0].operator, matching.pairs[0].role, matching.pairs[0].axis          # doctest: +SKIP
    ('CONV_2D #1', 'weight', 0)
    >>> matching.unmatched_float32, matching.unmatched_variant                              # doctest: +SKIP
    ((), ())

Conversions of one network keep its operators in order, whatever they call the tensors: so constants are matched by the
operator that they feed and their place among its inputs. Where the two graphs differ, the longest common run of
operators with equal names and weight shapes is aligned; what is left over is matched by the same key in any order, the
more alike the better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from liteproof.errors import ModelError
from liteproof.tflite.arithmetic import dequantize
from liteproof.tflite.facts import BIAS_INPUTS, FLOAT_TYPES, PER_AXIS_DIMENSION, WEIGHT_INPUTS, is_real_valued
from liteproof.tflite.reader import Model, Operator, Subgraph, Tensor

# A megabyte in float32, and some ten times that in what is computed of it.
PIECE_VALUES = 1 << 18

Role = Literal["weight", "bias", "operand"]

# Operators that converters put between a constant and its reader, or at the ends of the graph.
_LOOKED_THROUGH = frozenset({"QUANTIZE", "DEQUANTIZE", "DENSIFY", "CAST"})


@dataclass(frozen=True, eq=False)
class Parameter:
    """A constant that an operator reads: as a weight, as a bias, or as another operand of its arithmetic.

    Nothing is kept: values are computed from the mapped file when asked for, so that large models stay on the disk.

    Attributes:
        model: The file.
        tensor: The tensor that the file stores, which may lie behind a DEQUANTIZE.
        role: By the input that it feeds.
        operator: Name of the operator that reads it, "CONV_2D".
        place: The operator in words for a message: "CONV_2D #3", with the subgraph where it is not the first.
        position: Which of the operator's inputs it is.
    """

    model: Model
    tensor: Tensor
    role: Role
    operator: str
    place: str
    position: int

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The real values, of the tensor's shape; codes are dequantized.

        Raises:
            ModelError: The file does not hold them in a way that this reader decodes.
        """
        return self.rows(slice(None))

    def rows(self, rows: slice) -> npt.NDArray[np.float32]:
        """The real values of some rows along the first dimension; a scalar is taken whole.

        Raises:
            ModelError: As `values`.
        """
        some = self.model.constant(self.tensor, rows)
        shape = self.tensor.shape
        if some is None or some.shape != ((len(range(shape[0])[rows]), *shape[1:]) if shape else ()):
            raise self._undecoded("has a layout that is not decoded")
        if self.tensor.type in FLOAT_TYPES:
            return some.astype(np.float32, copy=False)
        quantization = self.tensor.quantization
        if quantization.kind == "blockwise":
            return some.astype(np.float32) * self.steps_of(rows).astype(np.float32)
        axis = quantization.axis if quantization.kind == "per_axis" else None
        mine = rows if axis == 0 and len(quantization.scales) == self.tensor.shape[0] else slice(None)
        try:
            return dequantize(some, quantization.scales[mine], quantization.zero_points[mine], axis)
        except ValueError as error:
            raise self._undecoded(f"cannot be dequantized: {error}") from error

    def pieces(self) -> Iterator[slice]:
        """Rows of at most `PIECE_VALUES` values, one after the other: what is computed of them stays small."""
        if not self.tensor.shape:
            yield slice(None)
            return
        count = self.tensor.shape[0]
        size = max(1, PIECE_VALUES * count // max(1, self.tensor.elements))
        size = size // 8 * 8 or size  # packed codes of eight rows fill whole bytes
        yield from (slice(start, start + size) for start in range(0, max(1, count), size))

    @property
    def codes(self) -> npt.NDArray[Any]:
        """What the file stores, of the tensor's shape: codes where it is quantized."""
        stored = self.model.constant(self.tensor)
        if stored is None:
            raise self._undecoded("has a layout that is not decoded")
        return stored

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """The real value of one code, in a shape that broadcasts over the tensor's.

        Raises:
            ModelError: The tensor carries floats, or its scales do not fit it.
        """
        quantization, shape = self.tensor.quantization, self.tensor.shape
        if quantization.kind == "blockwise":
            return self._block_steps()
        scales = quantization.scales.astype(np.float64)
        if scales.size <= 1:
            return scales.reshape([1] * len(shape))
        if quantization.axis >= len(shape) or shape[quantization.axis] != scales.size:
            raise self._undecoded(f"has {scales.size} scales along dimension {quantization.axis} of {list(shape)}")
        across = [1] * len(shape)
        across[quantization.axis] = -1
        return scales.reshape(across)

    def steps_of(self, rows: slice) -> npt.NDArray[np.float64]:
        """The steps of some rows along the first dimension.

        Raises:
            ModelError: As `steps`.
        """
        steps = self.steps
        return steps[rows] if steps.ndim and len(steps) > 1 else steps

    def _block_steps(self) -> npt.NDArray[np.float64]:
        """One scale for each block of elements along the quantized dimension, kept in a tensor of its own."""
        quantization, shape = self.tensor.quantization, self.tensor.shape
        for graph in self.model.subgraphs:
            # A tensor's index counts in its own subgraph: find the one that holds this very tensor.
            if self.tensor.index < len(graph.tensors) and graph.tensors[self.tensor.index] is self.tensor:
                scales = self.model.constant(graph.tensors[quantization.scale_tensor])
                break
        else:
            scales = None
        blocks = [
            -(-size // quantization.block_size) if dimension == len(shape) - 1 else size
            for dimension, size in enumerate(shape)
        ]
        if scales is None or scales.size != int(np.prod(blocks)):
            raise self._undecoded(f"has block scales that do not fit {list(shape)}")
        each = np.repeat(scales.reshape(blocks).astype(np.float64), quantization.block_size, axis=-1)
        return each[..., : shape[-1]]

    def _undecoded(self, why: str) -> ModelError:
        return ModelError(f"{self.role} '{self.tensor.name}' of {self.place} {why}", where=self.model.where)


@dataclass(frozen=True, eq=False)
class WeightPair:
    """The same constant in the float32 variant and in the variant under judgement."""

    float32: Parameter
    variant: Parameter

    @property
    def role(self) -> Role:
        """Weight, bias, or another operand."""
        return self.variant.role

    @property
    def operator(self) -> str:
        """Where the variant reads it: "CONV_2D #3"."""
        return self.variant.place

    @property
    def axis(self) -> int | None:
        """The dimension of the channels: where the variant has a scale each, else where its operator would."""
        quantization, rank = self.variant.tensor.quantization, len(self.variant.tensor.shape)
        if self.role == "bias":
            return 0 if rank == 1 else None
        dimension = PER_AXIS_DIMENSION.get(self.variant.operator)
        if quantization.kind == "per_axis":
            dimension = quantization.axis
        return dimension if dimension is not None and dimension < rank else None


@dataclass(frozen=True, eq=False)
class Matching:
    """What belongs together, and what has no partner.

    Attributes:
        pairs: In the order of the variant's graph; a constant that several operators share once.
        unmatched_float32: Constants of the float32 variant that the variant does not have.
        unmatched_variant: Constants of the variant that the float32 variant does not have.
    """

    pairs: tuple[WeightPair, ...]
    unmatched_float32: tuple[Parameter, ...] = ()
    unmatched_variant: tuple[Parameter, ...] = ()

    def of(self, *roles: Role) -> tuple[WeightPair, ...]:
        """The pairs of these roles."""
        return tuple(pair for pair in self.pairs if pair.role in roles)


@dataclass(frozen=True)
class _Node:
    """An operator that reads constants."""

    name: str
    parameters: tuple[Parameter, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """What must be equal for two operators to be the same. Biases are left out: one may have been dropped."""
        return (self.name, tuple((p.position, p.tensor.shape) for p in self.parameters if p.role != "bias"))


def match_weights(float32: Model, variant: Model) -> Matching:
    """Pair the real-valued constants of two conversions of one network.

    Args:
        float32: The float32 variant, after the converter's fusions.
        variant: The variant under judgement.
    """
    theirs, ours = list(_nodes(float32)), list(_nodes(variant))
    aligned = _align(theirs, ours)
    pairs: dict[tuple[int, int], WeightPair] = {}
    for i, j in sorted(aligned.items(), key=lambda entry: entry[1]):
        for pair in _pair_inputs(theirs[i], ours[j]):
            pairs.setdefault((id(pair.float32.tensor), id(pair.variant.tensor)), pair)
    kept = tuple(pairs.values())
    return Matching(
        kept,
        _without_partner(theirs, {id(pair.float32.tensor) for pair in kept}),
        _without_partner(ours, {id(pair.variant.tensor) for pair in kept}),
    )


def parameters(model: Model) -> tuple[Parameter, ...]:
    """Every constant that carries real values, once, in the order of the operators that read them."""
    found = {id(parameter.tensor): parameter for node in _nodes(model) for parameter in node.parameters}
    return tuple(found.values())


def _nodes(model: Model) -> Iterator[_Node]:
    """Every operator that reads real-valued constants, in order, subgraph after subgraph."""
    for number, graph in enumerate(model.subgraphs):
        producers = {index: operator for operator in graph.operators for index in operator.outputs}
        where = f" of subgraph {number}" if number else ""
        for operator in graph.operators:
            if operator.name in _LOOKED_THROUGH:
                continue
            found = tuple(
                Parameter(model, tensor, _role(operator.name, position), operator.name, place, position)
                for place in [f"{operator.name} #{operator.index}{where}"]
                for position, index in enumerate(operator.inputs)
                if (tensor := _constant_behind(model, graph, producers, index)) is not None
            )
            if found:
                yield _Node(operator.name, found)


def _role(operator: str, position: int) -> Role:
    if position in WEIGHT_INPUTS.get(operator, ()):
        return "weight"
    return "bias" if position in BIAS_INPUTS.get(operator, ()) else "operand"


def _constant_behind(model: Model, graph: Subgraph, producers: dict[int, Operator], index: int) -> Tensor | None:
    """The stored, real-valued tensor that an input leads back to through conversions; None if it is computed."""
    # A constant passes two conversions at the most (DENSIFY, then DEQUANTIZE); a damaged graph may hold a circle.
    for _ in range(4):
        if index < 0:
            return None
        tensor = graph.tensors[index]
        if model.buffers[tensor.buffer].size and not tensor.is_variable:
            return tensor if is_real_valued(tensor) else None
        producer = producers.get(index)
        if producer is None or producer.name not in _LOOKED_THROUGH or not producer.inputs:
            return None
        index = producer.inputs[0]
    return None


def _align(theirs: Sequence[_Node], ours: Sequence[_Node]) -> dict[int, int]:
    """Which operator of the float32 variant (key) is which of the variant (value)."""
    keys = [node.key for node in theirs], [node.key for node in ours]
    steps = SequenceMatcher(None, *keys, autojunk=False).get_opcodes()
    aligned = {i1 + k: j1 + k for step, i1, i2, j1, _ in steps if step == "equal" for k in range(i2 - i1)}
    _align_alike(theirs, ours, aligned)
    for step, i1, i2, j1, j2 in steps:
        if step == "replace":
            _align_stretch(theirs, ours, aligned, range(i1, i2), range(j1, j2))
    return aligned


def _align_alike(theirs: Sequence[_Node], ours: Sequence[_Node], aligned: dict[int, int]) -> None:
    """Align what is left over by equal keys, wherever it stands; of several, those with the most alike values."""
    waiting = defaultdict(list)
    for j in sorted(set(range(len(ours))) - set(aligned.values())):
        waiting[ours[j].key].append(j)
    for i, node in enumerate(theirs):
        candidates = waiting.get(node.key) if i not in aligned else None
        if candidates:
            best = max(candidates, key=lambda j: _likeness(node, ours[j]))
            candidates.remove(best)
            aligned[i] = best


def _align_stretch(
    theirs: Sequence[_Node], ours: Sequence[_Node], aligned: dict[int, int], here: range, there: range
) -> None:
    """Align what is left over between the same neighbours, if it is the same operators: their weights changed shape."""
    left = [i for i in here if i not in aligned]
    right = [j for j in there if j not in aligned.values()]
    if [theirs[i].name for i in left] == [ours[j].name for j in right]:
        aligned.update(zip(left, right, strict=True))


def _likeness(a: _Node, b: _Node) -> float:
    return sum(cosine_of(pair) for pair in _pair_inputs(a, b))


def cosine_of(pair: WeightPair) -> float:
    """`cosine` of the two constants of a pair, a piece at a time."""

    def vectors() -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        for rows in pair.variant.pieces():
            yield _finite_vector(pair.float32.rows(rows)), _finite_vector(pair.variant.rows(rows))

    squares = np.sum([(x @ x, y @ y) for x, y in vectors()], axis=0)
    lengths = [float(length) for length in np.sqrt(squares)]
    if not all(lengths):
        return 1.0 if not any(lengths) else 0.0
    return float(np.clip(sum(x / lengths[0] @ (y / lengths[1]) for x, y in vectors()), -1.0, 1.0))


def cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Cosine of the angle between two arrays taken as vectors; 1 for two zero vectors, 0 where only one is zero.

    NaN and infinity count as zero.
    """
    x, y = _finite_vector(a), _finite_vector(b)
    lengths = float(np.linalg.norm(x)), float(np.linalg.norm(y))
    if not all(lengths):
        return 1.0 if not any(lengths) else 0.0
    return float(np.clip((x / lengths[0]) @ (y / lengths[1]), -1.0, 1.0))


def _finite_vector(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64).ravel(), posinf=0.0, neginf=0.0)


def _pair_inputs(theirs: _Node, ours: _Node) -> Iterator[WeightPair]:
    """The inputs of one operator that are constants in both files, in one shape."""
    by_position = {parameter.position: parameter for parameter in ours.parameters}
    for parameter in theirs.parameters:
        partner = by_position.get(parameter.position)
        if partner is not None and partner.tensor.shape == parameter.tensor.shape:
            yield WeightPair(parameter, partner)


def _without_partner(nodes: Sequence[_Node], matched: set[int]) -> tuple[Parameter, ...]:
    found: dict[int, Parameter] = {}
    for node in nodes:
        for parameter in node.parameters:
            if id(parameter.tensor) not in matched:
                found.setdefault(id(parameter.tensor), parameter)
    return tuple(found.values())
