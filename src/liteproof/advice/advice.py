"""What to convert for a device, whether quantization is needed at all, and what to budget; with the reasons.

    >>> found = advise(Path("flowers.keras"), Situation(DEVICES["server"], ram=512 * MB))    # doctest: +SKIP
    >>> found.needed, found.convert                                                            # doctest: +SKIP
    (False, ('float32',))

Every number is an estimate, made from the source's file and, where it is at hand or had to be made, the float32
`.tflite`'s graph. What is right is measured by the suites.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from liteproof.advice import edge_tpu
from liteproof.advice.devices import MB, Device, size_text
from liteproof.advice.estimates import (
    RUNTIME_BYTES,
    SESSION_BYTES,
    Estimate,
    estimates,
    keras_memory,
    micro_arena,
    runtime_memory,
)
from liteproof.advice.network import converted, of_description, why_not
from liteproof.advice.operators import not_mapped, unknown_to_micro
from liteproof.convert.tasks import Event
from liteproof.errors import LiteproofError, UsageError
from liteproof.init.model import describe_any
from liteproof.manifest.description import Description
from liteproof.manifest.place import Place, shown
from liteproof.manifest.source import kind_of_source
from liteproof.recipes import RECIPES
from liteproof.tflite.facts import Facts, facts
from liteproof.tflite.reader import Model, read_model

# From the least to the most that a recipe changes; from a .tflite only LiteRT Quantizer's.
_ORDER = ("float32", "float16", "dynamic_range", "int8", "int4")
_GRAPH_WANTED = ("microcontroller", "edge-tpu")
# What the Edge TPU keeps of parameters on the chip: of its 8 MB compilers' logs show some 6.9 MiB.
_ON_CHIP = int(6.9 * MB)

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Situation:
    """A device with the memory and flash that the user has."""

    device: Device
    ram: int | None = None
    flash: int | None = None

    @property
    def memory(self) -> int:
        """Bytes of memory."""
        return self.ram or self.device.ram

    @property
    def storage(self) -> int | None:
        """Bytes for the file; None: no limit."""
        return self.flash or self.device.flash

    @property
    def room(self) -> int:
        """Bytes of memory that a process with the model may take."""
        return int(self.memory * self.device.share)


@dataclass(frozen=True)
class Advice:
    """What to do.

    Attributes:
        source: The source's path, as shown.
        described: What it is.
        situation: The device.
        network: Facts of the float32 `.tflite`.
        estimated: Whether these are estimated from weights, for want of the graph.
        estimates: For each recipe.
        needed: Whether quantization is needed at all; None where nothing fits.
        answer: The answer to that question, in one sentence.
        convert: Recipes to convert, the recommended one first.
        budgets: Limits by recipe and metric.
        reasons: Why.
        sums: How the numbers come about, a line each.
        doubts: What could not be checked, and what stands in the way.
    """

    source: str
    described: Description
    situation: Situation
    network: Facts
    estimated: bool
    estimates: tuple[Estimate, ...]
    needed: bool | None
    answer: str
    convert: tuple[str, ...]
    budgets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Known:
    """What was found out of a source."""

    path: Path
    described: Description
    network: Facts
    graph: Model | None
    estimates: tuple[Estimate, ...]
    why_no_graph: str = ""

    def estimate(self, recipe: str) -> Estimate:
        return next(one for one in self.estimates if one.recipe == recipe)

    def advice(self, situation: Situation, **conclusion: Any) -> Advice:
        """Advice on this source, with its conclusion."""
        return Advice(
            source=shown(self.path),
            described=self.described,
            situation=situation,
            network=self.network,
            estimated=self.graph is None,
            **conclusion,
        )

    @property
    def recipes(self) -> tuple[str, ...]:
        return tuple(one.recipe for one in self.estimates)

    @property
    def open_sized(self) -> tuple[str, ...]:
        """The inputs that leave a size open beside the batch's: nobody knows what activations then take."""
        return _open_sized(self.described)


def advise(source: Path, situation: Situation, *, listener: Listener = lambda _: None) -> Advice:
    """Advice for a source on a device.

    Raises:
        UsageError: if the source is not there, of no known kind, or quantized already.
        ModelError: if it is broken.
    """
    place = Place(shown(source))
    if not source.exists():
        raise place.wrong("there is no such file", "a .keras, an .h5, a SavedModel's folder or a float .tflite")
    known = _found_out(source, kind_of_source(source, place), situation.device, listener)
    rules = {"microcontroller": _for_microcontroller, "edge-tpu": _for_edge_tpu}
    return rules.get(situation.device.kind, _for_computer)(known, situation, listener)


def _found_out(source: Path, kind: str, device: Device, listener: Listener) -> _Known:
    described = describe_any(source, kind)
    graph, why = None, ""
    if kind == "tflite":
        graph = read_model(source)
        if facts(graph).quantization not in ("none", "float16"):
            raise UsageError(
                "the file is quantized already",
                expected="the float original, which advice is about",
                where=shown(source),
                next="liteproof inspect shows what it is; as a variant (file = …) it can be judged",
            )
    elif device.kind in _GRAPH_WANTED:
        try:
            graph = read_model(converted(source, described, "float32", listener))
        except LiteproofError as error:
            why = why_not(error)
    network = facts(graph) if graph else of_description(described)
    recipes = tuple(r for r in _ORDER if kind != "tflite" or r == "float32" or "litert" in RECIPES[r].toolchains)
    of_known_size = None if _open_sized(described) else graph
    return _Known(source, described, network, graph, estimates(network, recipes, of_known_size), why)


def _open_sized(described: Description) -> tuple[str, ...]:
    return tuple(one.name for one in described.inputs or () if None in one.shape[1:])


# -- computers --------------------------------------------------------------------------------------------------------


def _for_computer(known: _Known, situation: Situation, listener: Listener) -> Advice:  # noqa: ARG001
    device, room = situation.device, situation.room
    fitting = [one.recipe for one in known.estimates if _fits(one, situation)]
    needed = None if not fitting else "float32" not in fitting
    memory = known.estimate("float32").memory or 0
    share = f"{size_text(room)} of its {size_text(situation.memory)} that a process may take"
    if needed is None:
        answer = f"Nothing fits: by these estimates even {known.recipes[-1]} goes beyond the {share}."
    elif needed:
        answer = (
            f"Yes: float32 takes an estimated {size_text(memory)}, more than the {share}"
            + (f" or than {size_text(situation.storage)} of flash" if situation.storage else "")
            + f". {fitting[0]} fits."
        )
    else:
        answer = f"No: float32 takes an estimated {size_text(memory)} of memory, which fits into the {share}."
    convert, why = _computer_recipes(device, fitting)
    return known.advice(
        situation,
        estimates=known.estimates,
        needed=needed,
        answer=answer,
        convert=convert,
        budgets={recipe: {"peak_memory_mb": _memory_budget(known.estimate(recipe), room)} for recipe in convert},
        reasons=(*why, *_of_weights(known.described)),
        sums=_sums(known, device),
        doubts=_operators_of_runtimes(known),
    )


def _memory_budget(one: Estimate, room: int) -> float:
    """Half as much again as is estimated, in tens of MB, and never more than there is."""
    wanted = 10.0 * math.ceil(1.5 * (one.memory or 0) / 1e7)
    return min(wanted, float(room // 1_000_000))


def _fits(one: Estimate, situation: Situation) -> bool:
    storage = situation.storage
    return (one.memory or 0) <= situation.room and (storage is None or one.file <= storage)


def _computer_recipes(device: Device, fitting: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Recipes to convert, and why."""
    if not fitting:
        return (), ("a smaller network is needed: fewer or narrower layers, or a smaller input",)
    if device.kind == "server":
        if "float32" in fitting:
            return ("float32",), ("a float32 .tflite answers as the source does: nothing can be lost by rounding",)
        return tuple(fitting[:2]), ("the first that fits changes least",)
    if device.kind == "phone":
        return tuple(recipe for recipe in ("float16", "int8", "dynamic_range") if recipe in fitting), (
            "float16: half the download, and what GPU delegates compute in",
            "int8: for phones that have an NPU; needs a calibration set",
        )
    wanted = [recipe for recipe in ("int8", "dynamic_range", "float32") if recipe in fitting] or fitting
    why = [f"for speed int8 may pay all the same; {device.faster}; measure it: the metric speedup"]
    why.append("dynamic_range needs no calibration set; float32 is what both are compared with")
    return tuple(wanted), tuple(why)


def _of_weights(described: Description) -> tuple[str, ...]:
    """What the types that the weights are kept in mean for recipes."""
    said = []
    each = described.bytes_per_parameter
    if each <= 2.1:
        said.append(f"its weights take {each:.1f} bytes each, float16 already: the recipe float16 loses nothing more")
    if described.optimizer_bytes > described.weight_bytes / 2:
        said.append(
            f"{size_text(described.optimizer_bytes)} of the file are the optimizer's state, which no .tflite holds: "
            "compare sizes with the float32 .tflite's, not with this file's"
        )
    return tuple(said)


def _sums(known: _Known, device: Device) -> tuple[str, ...]:
    """How the memory of float32 comes about, and for a server that of serving the source as it is."""
    one, parameters = known.estimate("float32"), known.network.parameters
    idle = runtime_memory(one.file, parameters, "float32")
    parts = (
        f"runtime {size_text(RUNTIME_BYTES)} + session {size_text(SESSION_BYTES)} + file {size_text(one.file)} "
        f"+ weights laid out for the kernels {size_text(4 * parameters)}"
    )
    lines = [f"float32 .tflite by LiteRT, estimated: {parts} = {size_text(idle)} idle"]
    if known.open_sized:
        names = ", ".join(known.open_sized)
        lines.append(f"while it answers: activations on top, not estimated: the size of {names} is open")
    elif known.graph:
        lines.append(f"while it answers, estimated: {size_text((one.memory or idle) - idle)} more for activations")
    else:
        lines.append("while it answers: activations on top, not estimated without the graph (give the float32 .tflite)")
    if device.kind == "server" and known.described.kind != "tflite":
        served = keras_memory(known.described.weight_bytes)
        lines.append(
            f"the source itself in TensorFlow 2.21, estimated: TensorFlow and a prediction "
            f"{size_text(keras_memory(0))} + weights {size_text(known.described.weight_bytes)} = {size_text(served)}"
        )
    return tuple(lines)


def _operators_of_runtimes(known: _Known) -> tuple[str, ...]:
    """Operators that need more than a plain runtime; the suites check versions on the target itself."""
    if known.graph is None:
        return ("operators: the graph is known once it is converted; the suite identity checks them",)
    custom = known.network.custom_operators
    if not custom:
        return ()
    return (f"{', '.join(custom)}: not among the builtin operators; the runtime needs their kernels (Flex: Select TF)",)


# -- microcontrollers -------------------------------------------------------------------------------------------------


def _for_microcontroller(known: _Known, situation: Situation, listener: Listener) -> Advice:  # noqa: ARG001
    flash = int((situation.storage or 0) * situation.device.share)
    needs, sums = _micro_sums(known, situation)
    trouble = tuple(_micro_trouble(known, situation, flash, needs))
    fits = not trouble
    answer = "Yes: a microcontroller runs full-integer networks; int8 fits by these estimates."
    if not fits:
        answer = f"Yes, and int8 is not enough: {'; '.join(trouble)}."
    return known.advice(
        situation,
        estimates=tuple(Estimate(e.recipe, e.file, needs if e.recipe == "int8" else None) for e in known.estimates),
        needed=True if fits else None,
        answer=answer,
        convert=("int8",) if fits else (),
        budgets={"int8": {"size_bytes": float(flash)}} if fits else {},
        reasons=(
            "int8 with integer ends: TensorFlow Lite Micro takes no dynamic-range and no float16 file",
            "the suites judge int8 here by LiteRT's kernels; judge timing and the arena on the device itself",
            *_of_weights(known.described),
        ),
        sums=sums,
        doubts=_unchecked(known, "arena and operators"),
    )


def _micro_sums(known: _Known, situation: Situation) -> tuple[int | None, tuple[str, ...]]:
    """What the tensor arena needs (None without the graph or its sizes), and how that and the file's come about."""
    taken, flash = known.estimate("int8").file, situation.storage or 0
    file = f"int8 file, estimated: {size_text(taken)} of {size_text(flash)} flash"
    if known.graph is None or known.open_sized:
        return None, (file,)
    activations, own = micro_arena(known.graph)
    needs = activations + own
    arena = (
        f"tensor arena, estimated: activations {size_text(activations)} + TensorFlow Lite Micro's own structures "
        f"{size_text(own)} = {size_text(needs)} of {size_text(situation.memory)} RAM"
    )
    return needs, (file, arena)


def _micro_trouble(known: _Known, situation: Situation, flash: int, needs: int | None) -> Iterator[str]:
    """Why int8 does not run there: flash, memory, operators."""
    file = known.estimate("int8").file
    if file > flash:
        yield (
            f"the int8 file, an estimated {size_text(file)}, leaves too little of "
            f"{size_text(situation.storage or 0)} flash to the program"
        )
    if known.open_sized:
        yield (
            f"the size of {', '.join(known.open_sized)} is open and TensorFlow Lite Micro takes fixed ones only: "
            "fix it in the source, keras.Input((128, 6), batch_size=1)"
        )
    if needs is not None and needs > situation.room:
        yield (
            f"the arena, an estimated {size_text(needs)}, is more than the {size_text(situation.room)} of "
            f"{size_text(situation.memory)} RAM that a model may take"
        )
    if known.graph and (unknown := unknown_to_micro(operator.name for operator in known.network.operators)):
        yield f"TensorFlow Lite Micro has no kernel for {', '.join(sorted(unknown))}"


def _unchecked(known: _Known, what: str) -> tuple[str, ...]:
    return () if known.graph else (f"{what}, for want of the graph: {known.why_no_graph}",)


# -- Edge TPU ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mapped:
    """What the Edge TPU runs, as documented or as compiled: operators in all, and those left on the processor."""

    operators: int
    staying: int
    reasons: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def _for_edge_tpu(known: _Known, situation: Situation, listener: Listener) -> Advice:
    documented = _documented(known)
    found = _compiled(known, documented, listener)
    nothing = 0 < found.operators <= found.staying
    parameters = known.network.parameters
    sums = (
        f"parameters, estimated: {size_text(parameters)} of some {size_text(_ON_CHIP)} on the chip"
        + ("" if parameters <= _ON_CHIP else "; the rest is streamed at every inference, which is slow"),
    )
    return known.advice(
        situation,
        estimates=tuple(Estimate(e.recipe, e.file, e.memory if e.recipe == "int8" else None) for e in known.estimates),
        needed=None if nothing else True,
        answer="Yes: the Edge TPU computes in 8-bit integers only." + _left_over(found, nothing=nothing),
        convert=() if nothing else ("int8",),
        budgets={} if nothing else {"int8": {"size_bytes": float(int(known.estimate("int8").file * 1.15))}},
        reasons=(
            "int8 or uint8 with integer ends and fixed sizes: all that its compiler takes",
            *documented.reasons,
            *_free_sizes(known),
            *found.reasons,
            *_of_weights(known.described),
        ),
        sums=sums,
        doubts=(*_unchecked(known, "operators"), *found.doubts),
    )


def _left_over(found: _Mapped, *, nothing: bool) -> str:
    if nothing:
        return " Nothing of this network would run on it."
    if not found.staying:
        return ""
    operators = "1 operator" if found.staying == 1 else f"{found.staying} operators"
    return f" {operators} would stay on the processor."


def _documented(known: _Known) -> _Mapped:
    """What its compiler is documented to map."""
    if known.graph is None:
        return _Mapped(0, 0)
    left, count = not_mapped(known.graph), len(known.graph.subgraphs[0].operators)
    told = f"{count - len(left)} of {count} operators are documented to be mapped; the rest stays on the processor"
    each = (f"not mapped, by its documentation: {line}" for line in _grouped(left))
    return _Mapped(count, len(left), (told, *each))


def _free_sizes(known: _Known) -> tuple[str, ...]:
    free = [end.name for end in known.network.inputs if -1 in end.shape]
    if not free:
        return ()
    told = (
        f"{', '.join(free)}: a size is free, its compiler is documented to want constant ones: fix the batch in "
        "the source, keras.Input(shape, batch_size=1); SHAPE, PACK and STRIDED_SLICE go with it"
    )
    return (told,)


def _compiled(known: _Known, documented: _Mapped, listener: Listener) -> _Mapped:
    """What the compiler maps, tried where it is installed; else what is documented."""
    if not edge_tpu.installed():
        doubt = f"{edge_tpu.PROGRAM} is not installed: what it really maps was not tried"
        return replace(documented, reasons=(), doubts=(doubt,))
    if known.graph is None:
        return replace(documented, reasons=())
    try:
        mapping = edge_tpu.compile_file(converted(known.path, known.described, "int8", listener))
    except LiteproofError as error:
        return _Mapped(documented.operators, documented.operators, doubts=(why_not(error),))
    done = f"{mapping.mapped} of {mapping.operations} operators of the int8 file"
    told = f"{edge_tpu.PROGRAM} {mapping.version} mapped {done}"
    left = (f"left on the processor by the compiler: {each}" for each in mapping.left)
    return _Mapped(documented.operators, mapping.operations - mapping.mapped, (told, *left))


def _grouped(left: Mapping[str, str]) -> list[str]:
    """Operators and reasons, each pair once with how often it occurs."""
    counts = Counter((name.partition(" ")[0], why) for name, why in left.items())
    return [f"{count} × {name}: {why}" for (name, why), count in counts.most_common()]
