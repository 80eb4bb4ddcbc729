"""Kinds of defects: what each is, what it starts from, and what it is sold as.

A kind is a function whose name is the kind's, whose docstring says what is wrong in one sentence, and which a decorator
enters into `KINDS`:

    @edits("int8")
    def filter_sign_flipped(file, from_):
        \"\"\"All weights of one filter have the wrong sign.\"\"\"
        layer = from_.any_layer(file)
        ...
        return At(layer.operator, (layer.weights,))

- `edits`: changes an opened healthy file in place, and returns where, if that is one layer.
- `files`: returns the content of a whole file, or that and where its defect sits.
- `calibrates`: returns another calibration set, which the model is then converted with.

`from_` is what a mutant can be made from: the healthy variants, other conversions, and a random generator whose seed is
the kind's name, so that a mutant is the same in every run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from tests.mutants.edit import File, Layer


@dataclass(frozen=True)
class At:
    """Where a defect sits: the operator that it spoils, and the tensors that it changes, as the base file counts them.

    A kind that makes a whole file counts as that file does.
    """

    operator: int
    tensors: tuple[int, ...]


# A whole file, with the place of its defect if that is one layer.
Content = bytes | tuple[bytes, At]


@dataclass(frozen=True)
class Origin:
    """What mutants of one example model are made from.

    Attributes:
        model: The model's name.
        variants: The healthy `.tflite` of each variant by name.
        foreign: `.tflite` files of other sources, by "source/variant" (see `sources`), and those of this source that
            only mutants are made from (see `further`).
        calibration: The healthy calibration set: x and y.
        evaluation: The evaluation set: x and y.
        float32: Of each variant that was trained further: the float32 `.tflite` of its weights.
        seed: Of `random`.
    """

    model: str
    variants: Mapping[str, bytes]
    foreign: Mapping[str, bytes]
    calibration: Mapping[str, np.ndarray]
    evaluation: Mapping[str, np.ndarray]
    float32: Mapping[str, bytes] = field(default_factory=dict)
    seed: int = 0

    @cached_property
    def random(self) -> np.random.Generator:
        """A generator of its own for each kind."""
        return np.random.default_rng(self.seed)

    def any_layer(self, file: File, accepts: Callable[[Layer], bool] = lambda _: True) -> Layer:
        """One of the layers that are accepted."""
        candidates = [layer for layer in file.layers if accepts(layer)]
        return candidates[self.random.integers(len(candidates))]

    def any_channel(self, file: File, layer: Layer) -> int:
        """One of a layer's output channels, not of the weakest half: a filter of zeros cannot be spoiled."""
        return int(self.random.choice(strongest(file, layer)))


def strongest(file: File, layer: Layer) -> np.ndarray:
    """The stronger half of a layer's output channels, strongest first."""
    weights = np.moveaxis(file.dequantize(layer.weights), layer.axis, 0)
    norms = np.abs(weights.reshape(len(weights), -1)).sum(axis=1)
    return np.argsort(-norms)[: max(2, len(norms) // 2)]


@dataclass(frozen=True)
class Kind:
    """One kind of defect.

    Attributes:
        name: As the table spells it.
        text: What is wrong, in one sentence.
        base: The healthy variant that it starts from, and that its outputs are compared with.
        claim: The recipe that it is sold as; "mixed" is that of `further`.
        family: The module that it is from.
        change: Edits an opened file.
        content: Makes a whole file.
        calibration: Makes another calibration set.
        only: The models that it can be made from; none: all.
    """

    name: str
    text: str
    base: str
    claim: str
    family: str
    change: Callable[[File, Origin], At | None] | None = None
    content: Callable[[Origin], Content] | None = None
    calibration: Callable[[Origin], Mapping[str, np.ndarray]] | None = None
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mutant:
    """A kind made from one model.

    Attributes:
        content: The file; None for a model that is to be converted with `calibration`.
        calibration: The calibration set, for such a kind.
        at: Where the defect sits, if that is one layer.
        tensors: Names of the tensors that it changes.
        operators: The operator that it spoils and those that read what it changes, as messages spell them.
    """

    kind: Kind
    content: bytes | None
    calibration: Mapping[str, np.ndarray] | None = None
    at: At | None = None
    tensors: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {}

Change = Callable[[File, Origin], At | None]


def _enter(function: Callable, base: str, claim: str | None, only: Sequence[str], **how: object) -> None:
    name = function.__name__
    assert name not in KINDS, name
    text = " ".join((function.__doc__ or "").split())
    assert text, f"{name} does not say what is wrong"
    family = Path(function.__code__.co_filename).stem
    KINDS[name] = Kind(name, text, base, claim or base, family, only=tuple(only), **how)


def edits(base: str, claim: str | None = None, only: Sequence[str] = ()) -> Callable[[Change], Change]:
    """Enter a kind that edits the file of a healthy variant."""

    def enter(function: Change) -> Change:
        _enter(function, base, claim, only, change=function)
        return function

    return enter


def files(base: str, claim: str | None = None, only: Sequence[str] = ()) -> Callable:
    """Enter a kind that makes a whole file."""

    def enter(function: Callable[[Origin], Content]) -> Callable[[Origin], Content]:
        _enter(function, base, claim, only, content=function)
        return function

    return enter


def calibrates(base: str) -> Callable:
    """Enter a kind that converts with another calibration set."""

    def enter(function: Callable) -> Callable:
        _enter(function, base, None, (), calibration=function)
        return function

    return enter


def mutate(kind: Kind, origin: Origin) -> Mutant:
    """Make a mutant of a kind from a model. The same every time."""
    seeded = replace(origin, seed=zlib.crc32(kind.name.encode()))
    if kind.content is not None:
        made = kind.content(seeded)
        return _placed(kind, made[0], File(made[0]), made[1]) if isinstance(made, tuple) else Mutant(kind, made)
    if kind.calibration is not None:
        return Mutant(kind, None, calibration=kind.calibration(seeded))
    assert kind.change is not None
    file = File(origin.variants[kind.base])
    at = kind.change(file, seeded)
    if at is None:
        return Mutant(kind, file.packed())
    return _placed(kind, file.packed(), File(origin.variants[kind.base]), at)


def _placed(kind: Kind, content: bytes, counted: File, at: At) -> Mutant:
    """A mutant with the names of the place, by the file that counts it."""
    readers = [operator for tensor in at.tensors for operator in counted.readers(tensor)]
    operators = tuple(counted.place(operator) for operator in dict.fromkeys([at.operator, *readers]))
    return Mutant(kind, content, None, at, tuple(map(counted.tensor_name, at.tensors)), operators)
