"""Layer by layer: where a variant's error comes from.

Two questions are asked of each layer. How far is its output from the float32 variant's? Errors add up from layer to
layer, so that tells where the network has gone wrong by, not where it went wrong. And: what does the float32 layer make
of the very inputs that the variant's layer got? The difference to that is the layer's own doing.

    >>> found = trace(Path("float32.tflite"), Path("int8.tflite"), images[:32])     # doctest: +SKIP
    >>> max(found, key=lambda layer: layer.severity).place                          # doctest: +SKIP
    'CONV_2D #3'

Inner tensors can only be read without XNNPACK, so this looks at the built-in kernels' path, not at the one that ships;
`liteproof.measure.outputs.kernel_path_flips` compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.checks import Measurement
from liteproof.errors import ModelError
from liteproof.measure.batches import count, grouped
from liteproof.measure.runtime import Session, open_session
from liteproof.measure.tensors import Array, Values, encode, match
from liteproof.tflite.arithmetic import dequantize, type_range
from liteproof.tflite.excerpt import excerpt
from liteproof.tflite.facts import FLOAT_TYPES, is_real_valued
from liteproof.tflite.layers import LayerPair, align_layers, computed_tensors, conversions_before
from liteproof.tflite.reader import Model, Tensor, read_model

Floats = npt.NDArray[np.float64]

# What equal outputs count as, in decibels.
EXACT_DB = 200.0

# Layers by name, in the order of the graph, each with its signal to noise against float32's in dB; None where it is
# equal or has no signal.
Drift = tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, eq=False)
class LayerError:
    """What one layer of a variant does wrong.

    Attributes:
        place: The variant's operator, "CONV_2D #3"; "input NAME" for an input that is fed codes.
        tensor: Name of the tensor that the layer writes.
        type: Type of that tensor.
        shape: Its shape.
        step: Real value of one code of it; 0.0 for floats.
        samples: Samples looked at; 0 where the layer could not be run, and then nothing below says anything.
        sqnr_db: Signal to noise of the output against the float32 variant's own run; None where that is all zero.
        own_sqnr_db: Signal to noise against the float32 layer fed with this layer's inputs.
        own_rms: The same error as a root mean square, real value.
        own_max: Its largest, real value.
        channel_rms: (channels,) root mean square of the own error in each channel (last dimension).
        channel_bias: (channels,) mean of the own error in each channel.
        low: Smallest value that the float32 layer makes of the inputs.
        high: Largest.
        saturated: Share of values that are pinned to an end of the type, and lie beyond it in float32.
        saturation_noise: Their share of the own error's power.
        nonfinite: Values that are NaN or infinite, and are not in float32.
    """

    place: str
    tensor: str
    type: str
    shape: tuple[int, ...]
    step: float
    samples: int
    sqnr_db: float | None
    own_sqnr_db: float | None
    own_rms: float
    own_max: float
    channel_rms: Floats
    channel_bias: Floats
    low: float
    high: float
    saturated: float
    saturation_noise: float
    nonfinite: int

    @property
    def name(self) -> str:
        """The layer as the source called it, as far as the tensor's name tells: "block_1_expand_relu_1"."""
        *path, operation = self.tensor.split(";")[0].split("/")
        named = [part for part in path if part != "batchnorm"]
        return named[-1] if named else operation

    @property
    def own_rms_steps(self) -> float | None:
        """The own error in steps of the layer's tensor; None for a float tensor."""
        return self.own_rms / self.step if self.step else None

    @property
    def own_max_steps(self) -> float | None:
        """The largest own error in steps; None for a float tensor."""
        return self.own_max / self.step if self.step else None

    @property
    def worst_channel(self) -> int:
        """The channel with the largest own error."""
        return int(np.argmax(self.channel_rms)) if self.channel_rms.size else 0

    @property
    def span(self) -> float:
        """Length of the range of the float32 layer's values; 0 is always in it, as in a quantized tensor's."""
        return max(self.high, 0.0) - min(self.low, 0.0)

    @property
    def codes_used(self) -> float | None:
        """How many codes the layer's values span; None for a float tensor."""
        return self.span / self.step if self.step else None

    @property
    def severity(self) -> float:
        """The own error of the worst channel as a share of the range of the layer's values. Layers are ranked by it.

        About 0.001 for an output that is only rounded to 8 bits; a share, so that layers that compute in float can be
        compared with those that do not.
        """
        if self.nonfinite or not self.samples:
            return math.inf
        worst = float(self.channel_rms.max(initial=0.0))
        if not worst:
            return 0.0
        return worst / self.span if self.span else math.inf


def trace(
    float32: Path,
    variant: Path,
    values: Values,
    fed_with: Values | None = None,
    *,
    runtime: str | None = None,
    threads: int = 1,
    alone: bool = True,
) -> tuple[LayerError, ...]:
    """Run both files on samples and compare them layer by layer, in the variant's order.

    Args:
        float32: The float32 variant.
        variant: The variant under judgement.
        values: (n, …), or such an array for each input's name, in the source model's own domain; 8 to 64 samples do.
        fed_with: The same samples as the variant takes them; None: as they are.
        runtime: As `open_session` takes it.
        threads: Threads for one inference.
        alone: Whether each float32 layer is also run alone on what the variant's layer gets, which takes the memory of
            the float32 file twice more. Without it a layer's own error is the whole one.

    Raises:
        ModelError: A file does not load, or no layer of one is found in the other.
    """
    models = read_model(float32), read_model(variant)
    pairs = [pair for pair in align_layers(*models) if comparable(pair, *models)]
    if not pairs:
        raise ModelError(
            "no layer of the variant is found in the float32 variant",
            expected="conversions of one network",
            where=str(variant),
        )
    options: dict[str, Any] = {"runtime": runtime, "threads": threads, "kernels": "builtin"}
    theirs = open_session(float32, preserve_all_tensors=True, **options)
    ours = open_session(variant, preserve_all_tensors=True, **options)
    excerpts = _Excerpts(float32.read_bytes(), models[0], pairs, options) if alone else None
    tallies = {pair.variant.place: _Tally(models[1].subgraphs[0].tensors[pair.variant.output]) for pair in pairs}
    ends = _Ends(models[1])
    own = values if fed_with is None else fed_with
    for expected_of, sample in zip(_samples(theirs, values), _samples(ours, own), strict=True):
        _infer(theirs, expected_of)
        _infer(ours, sample)
        held = _Held(ours, models[1])
        ends.add(held, ours, sample)
        for pair, expected in excerpts.run(held) if excerpts else ((pair, None) for pair in pairs):
            whole = theirs.fetch_tensor(pair.float32.output)
            raw = held.raw(pair.variant.output)
            tallies[pair.variant.place].add(raw, whole if expected is None else expected, whole)
    measured = [tally.error(place) for place, tally in tallies.items() if tally.samples]
    return (*ends.inputs(), *measured, *ends.outputs())


def drift(layers: Iterable[LayerError]) -> Drift:
    """How far each layer's output is from the float32 variant's own run: errors add up from layer to layer."""
    found = ((layer.name, layer.sqnr_db) for layer in layers)
    return tuple((name, None if db is None or db >= EXACT_DB else round(db, 1)) for name, db in found)


def beside(measurement: Measurement, layers: Drift) -> Measurement:
    """A measurement of the outputs with the layers that lead to them as its evidence, for the plot of a report.

    >>> beside(Measurement("sqnr_db", 30.0), (("conv", 38.5), ("dense", 30.0))).evidence
    {'layers': (('conv', 38.5), ('dense', 30.0))}
    """
    return replace(measurement, evidence={**measurement.evidence, "layers": layers}) if layers else measurement


def comparable(pair: LayerPair, float32: Model, variant: Model) -> bool:
    """Whether a pair's outputs are real values, and the float32 layer can be fed with what the variant's layer gets."""
    theirs, ours = float32.subgraphs[0].tensors, variant.subgraphs[0].tensors
    output = ours[pair.variant.output]
    return (
        theirs[pair.float32.output].type in FLOAT_TYPES
        and is_real_valued(output)
        and output.quantization.kind in ("none", "per_tensor")
        and len(pair.feeds) == len(pair.float32.inputs)
        and all(theirs[i].shape == ours[j].shape for i, j in pair.feeds.items())
    )


def unmeasured(place: str, tensor: Tensor) -> LayerError:
    """A layer that was not run: it, or the file, cannot be."""
    nothing: Floats = np.zeros(0)
    step = float(tensor.quantization.scales[0]) if tensor.quantization.kind == "per_tensor" else 0.0
    whats_known = (place, tensor.name, tensor.type, tensor.shape, step)
    return LayerError(*whats_known, 0, None, None, 0.0, 0.0, nothing, nothing, 0.0, 0.0, 0.0, 0.0, 0)


def _samples(session: Session, values: Values) -> Iterator[dict[str, Array]]:
    """One sample after the other, in groups of one, by the names of the inputs."""
    arrays = match(session.inputs, values)
    total = count(session.inputs, arrays)
    groups = [grouped(spec, array, 1) for spec, array in zip(session.inputs, arrays, strict=True)]
    for i in range(total):
        yield {spec.plain_name: group[i] for spec, group in zip(session.inputs, groups, strict=True)}


def _infer(session: Session, sample: Mapping[str, Array]) -> None:
    session.reset()
    session.invoke(
        [encode(spec, array) for spec, array in zip(session.inputs, match(session.inputs, sample), strict=True)]
    )


class _Held:
    """What the variant's tensors hold after an inference."""

    def __init__(self, session: Session, model: Model) -> None:
        self._session = session
        self._tensors = model.subgraphs[0].tensors

    def raw(self, index: int) -> Array:
        return self._session.fetch_tensor(index)

    def real(self, index: int) -> Array:
        """Real values; of a tensor that carries none (a shape, an index) what it holds."""
        return _real(self._tensors[index], self.raw(index))


def _real(tensor: Tensor, raw: Array) -> Array:
    if tensor.type in FLOAT_TYPES or tensor.quantization.kind == "none":
        return raw
    quantization = tensor.quantization
    if not np.any(quantization.scales):  # a converter's fault, seen in files: every code stands for 0
        return np.zeros(raw.shape, np.float32)
    return dequantize(raw, quantization.scales, quantization.zero_points, quantization.axis)


class _Excerpts:
    """The float32 variant's layers, each fed with what the variant's layer was fed with.

    No layer of an excerpt reads what another one of it writes, so that a few excerpts hold all layers.
    """

    def __init__(self, data: bytes, model: Model, pairs: Sequence[LayerPair], options: Mapping[str, Any]) -> None:
        self._parts = []
        computed = computed_tensors(model)
        for part in _independent(pairs):
            feeds = {theirs: ours for pair in part for theirs, ours in pair.feeds.items()}
            outputs = [pair.float32.output for pair in part]
            file = excerpt(data, _with_constants(model, part, computed), list(feeds), outputs)
            self._parts.append((open_session(file, **options), part, feeds))

    def run(self, held: _Held) -> Iterator[tuple[LayerPair, Array]]:
        """Each layer with its float32 output on the variant's inputs."""
        for session, part, feeds in self._parts:
            session.feed([held.real(feeds[spec.index]).astype(spec.dtype) for spec in session.inputs])
            session.run()
            for pair in part:
                yield pair, session.fetch_tensor(pair.float32.output)


def _independent(pairs: Sequence[LayerPair]) -> list[list[LayerPair]]:
    """Layers in groups such that none reads what another of its group writes. Greedy: two or three groups do."""
    groups: list[list[LayerPair]] = []
    for pair in pairs:
        reads = set(pair.float32.inputs.values())
        writes = set(pair.float32.operator.outputs)
        for group in groups:
            read = {index for other in group for index in other.float32.inputs.values()}
            written = {index for other in group for index in other.float32.operator.outputs}
            if not reads & written and not writes & read:
                group.append(pair)
                break
        else:
            groups.append([pair])
    return groups


def _with_constants(model: Model, part: Sequence[LayerPair], computed: frozenset[int]) -> list[int]:
    """The operators of some layers, and those that prepare constants (DEQUANTIZE of float16 weights)."""
    kept = {pair.float32.operator.index for pair in part}
    return [op.index for op in model.subgraphs[0].operators if op.index in kept or not computed & set(op.outputs)]


class _Tally:
    """Sums over samples, from which a layer's error comes."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.samples = 0
        self._signal = self._noise = self._own_signal = self._own_max = 0.0
        self._low, self._high = math.inf, -math.inf
        self._channel_noise: Floats = np.zeros(1)
        self._channel_error: Floats = np.zeros(1)
        self._saturation_noise = 0.0
        self._rows = self._values = self._saturated = self._nonfinite = 0

    def add(self, raw: Array, expected: Array, whole: Array | None = None) -> None:
        """One inference.

        Args:
            raw: What the variant's tensor holds.
            expected: What the float32 layer makes of the variant's inputs.
            whole: What it holds in the float32 variant's own run.
        """
        ours = _real(self.tensor, raw).astype(np.float64)
        own = expected.astype(np.float64).reshape(ours.shape)
        self.samples += 1
        self._nonfinite += int(np.count_nonzero(~np.isfinite(ours) & np.isfinite(own)))
        error = np.where(np.isfinite(ours) & np.isfinite(own), ours - own, 0.0)
        rows = error.reshape(-1, error.shape[-1] if error.ndim else 1)
        self._channel_noise = self._channel_noise + np.square(rows).sum(axis=0)
        self._channel_error = self._channel_error + rows.sum(axis=0)
        self._rows += len(rows)
        self._values += error.size
        finite = own[np.isfinite(own)]
        self._own_signal += float(np.square(finite).sum())
        self._own_max = max(self._own_max, float(np.abs(error).max(initial=0.0)))
        self._low = min(self._low, float(finite.min(initial=math.inf)))
        self._high = max(self._high, float(finite.max(initial=-math.inf)))
        saturated = _saturated(self.tensor, raw.reshape(ours.shape), own)
        self._saturated += int(np.count_nonzero(saturated))
        self._saturation_noise += float(np.square(error[saturated]).sum())
        if whole is not None:
            reference = np.nan_to_num(whole.astype(np.float64).reshape(ours.shape))
            self._signal += float(np.square(reference).sum())
            self._noise += float(np.square(np.nan_to_num(ours) - reference).sum())

    def error(self, place: str) -> LayerError:
        """What the sums come to."""
        own_noise = float(self._channel_noise.sum())
        quantized = self.tensor.type not in FLOAT_TYPES
        return LayerError(
            place=place,
            tensor=self.tensor.name,
            type=self.tensor.type,
            shape=self.tensor.shape,
            step=float(self.tensor.quantization.scales[0]) if quantized else 0.0,
            samples=self.samples,
            sqnr_db=_decibels(self._signal, self._noise),
            own_sqnr_db=_decibels(self._own_signal, own_noise),
            own_rms=math.sqrt(own_noise / max(1, self._values)),
            own_max=self._own_max,
            channel_rms=np.sqrt(self._channel_noise / max(1, self._rows)),
            channel_bias=self._channel_error / max(1, self._rows),
            low=self._low,
            high=self._high,
            saturated=self._saturated / max(1, self._values),
            saturation_noise=self._saturation_noise / own_noise if own_noise else 0.0,
            nonfinite=self._nonfinite,
        )


def _saturated(tensor: Tensor, raw: Array, expected: Array) -> npt.NDArray[np.bool_]:
    """Where codes are pinned to an end while float32 lies beyond it. Half a step beyond still rounds to the end."""
    if tensor.type in FLOAT_TYPES:
        return np.zeros(raw.shape, bool)
    low, high = type_range(tensor.type)
    scale, zero_point = float(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0])
    below = (raw <= low) & (expected < (low - 0.5 - zero_point) * scale)
    above = (raw >= high) & (expected > (high + 0.5 - zero_point) * scale)
    return np.asarray(below | above)


def _decibels(signal: float, noise: float) -> float | None:
    """10 log10(signal / noise), at most `EXACT_DB`; None without a signal."""
    if not signal:
        return None
    return min(EXACT_DB, 10.0 * math.log10(signal / noise)) if noise else EXACT_DB


class _Ends:
    """Conversions at the ends of the graph: what quantizing an input, and converting an output, costs."""

    def __init__(self, model: Model) -> None:
        graph = model.subgraphs[0]
        self._inputs: dict[int, tuple[int, str, _Tally]] = {}
        self._outputs: dict[int, tuple[int, str, _Tally]] = {}
        places = {output: f"{op.name} #{op.index}" for op in graph.operators for output in op.outputs}
        for index in graph.inputs:
            first = next(
                (op.outputs[0] for op in graph.operators if op.name == "QUANTIZE" and index in op.inputs), index
            )
            tensor = graph.tensors[first]
            if tensor.quantization.kind == "per_tensor":
                self._inputs[index] = first, places.get(first, f"input {tensor.name}"), _Tally(tensor)
        for index in graph.outputs:
            before = conversions_before(model, index)
            if before != index and is_real_valued(graph.tensors[index]):
                self._outputs[index] = before, places[index], _Tally(graph.tensors[index])

    def add(self, held: _Held, session: Session, sample: Mapping[str, Array]) -> None:
        """One inference."""
        for spec, array in zip(session.inputs, match(session.inputs, sample), strict=True):
            if spec.index in self._inputs:
                first, _, tally = self._inputs[spec.index]
                tally.add(held.raw(first), array, array)
        for index, (before, _, tally) in self._outputs.items():
            tally.add(held.raw(index), held.real(before))

    def inputs(self) -> Iterable[LayerError]:
        """The inputs' rows."""
        return [tally.error(place) for _, place, tally in self._inputs.values()]

    def outputs(self) -> Iterable[LayerError]:
        """The outputs' rows."""
        return [tally.error(place) for _, place, tally in self._outputs.values()]
