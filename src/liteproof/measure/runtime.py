"""One adapter over the three runtimes: ai_edge_litert, tflite_runtime and TensorFlow's own tf.lite.

    >>> session = open_session(Path("model.tflite"))                     # doctest: +SKIP
    >>> session.inputs[0].dtype, session.inputs[0].scale                 # doctest: +SKIP
    ('int8', 0.0078)
    >>> (probabilities,) = session.predict(images)                       # doctest: +SKIP
    >>> probabilities.shape, probabilities.dtype                         # doctest: +SKIP
    ((597, 10), dtype('float32'))

A `Session` takes values of the source model's own domain and gives real values back. Below `predict` stand its steps,
for those who time or compare them: `quantize_inputs`, `feed`, `run`, `fetch`, `dequantize_outputs`.

A runtime is imported when the first session opens on it, never before; TensorFlow only if it is asked for by name or
nothing else is installed. A file may crash a runtime, and this process with it: ask `liteproof.measure.probe` first.
"""

from __future__ import annotations

import ctypes
import difflib
import importlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from liteproof.errors import ModelError, TargetError, UsageError
from liteproof.measure.batches import block_of, candidates, count, grouped, takes, ungrouped
from liteproof.measure.delegation import Delegated, delegated
from liteproof.measure.tensors import Array, TensorSpec, Values, decode, encode, in_source_order, match
from liteproof.packages import installed
from liteproof.plan import Delegate
from liteproof.tflite.excerpt import with_outputs
from liteproof.tflite.reader import read_model

Kernels = Literal["default", "builtin", "reference"]
Phase = Literal["load", "allocate"]
Shape = tuple[int, ...]
Conversion = Callable[[TensorSpec, Array], Array]

# In order of preference, with the distributions that carry each.
_DISTRIBUTIONS = {
    "ai_edge_litert": ("ai-edge-litert", "ai-edge-litert-nightly"),
    "tflite_runtime": ("tflite-runtime", "tflite-runtime-nightly"),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tf-nightly"),
}

# "default" is what ships: optimised kernels and XNNPACK where it takes the operators.
_RESOLVERS = {"default": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}

# TensorFlow Lite 2.14 lets ADD, SUB, MUL, DIV and others write over an input that nobody else reads, also where it was
# told to preserve all tensors: such a tensor then holds another one's content. Later ones ask first
# (InputTensorCanBeShared in arena_planner.cc). An output of the graph has a place of its own in all of them.
_OVERWRITING = frozenset({"tflite_runtime", "tensorflow"})
_NUMBERS = frozenset({"FLOAT32", "FLOAT16", "FLOAT64", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL"})

# What the runtimes are known to raise about a file.
_REFUSALS = (ValueError, RuntimeError, TypeError, OSError, MemoryError, SystemError, LookupError)


def installed_runtimes() -> dict[str, str]:
    """The version of each runtime that is installed, in order of preference. Imports none of them."""
    versions = {name: filter(None, map(installed, distributions)) for name, distributions in _DISTRIBUTIONS.items()}
    return {name: version for name, found in versions.items() if (version := next(found, None))}


def default_runtime() -> str:
    """The first installed of ai_edge_litert, tflite_runtime, tensorflow.

    Raises:
        TargetError: None is installed.
    """
    for name in installed_runtimes():
        return name
    raise TargetError(
        "no runtime is installed", expected="one of " + ", ".join(_DISTRIBUTIONS), next="pip install ai-edge-litert"
    )


def open_session(
    model: Path | bytes,
    *,
    runtime: str | None = None,
    threads: int = 1,
    kernels: Kernels = "default",
    delegate: Delegate | None = None,
    preserve_all_tensors: bool = False,
    signature: str | None = None,
    announce: Callable[[Phase], None] = lambda _phase: None,
) -> Session:
    """Load a `.tflite` and allocate its tensors: at once, or where it leaves sizes open when samples tell them.

    Args:
        model: The file, or its bytes.
        runtime: "ai_edge_litert", "tflite_runtime" or "tensorflow"; None: the first installed.
        threads: Threads for one inference.
        kernels: "default" is what ships, XNNPACK included; "builtin" the optimised kernels without it; "reference"
            the plain ones that define an operator's arithmetic.
        delegate: A delegate library to hand the graph to.
        preserve_all_tensors: Keep what inner tensors hold, for `Session.fetch_tensor`, on every runtime. It changes the
            path that runs: tflite_runtime then leaves XNNPACK out.
        signature: Which signature to run; None: what a plain `invoke` runs, named by its signature if it has one.
        announce: Called with the name of each phase before it begins, so that a crash in it can be placed.

    Raises:
        ModelError: The file is broken, or the runtime refuses it; with the runtime's own reason.
        TargetError: The runtime or the delegate is missing or does not work here.
        UsageError: There is no such file, runtime or signature.
    """
    if threads < 1:
        raise UsageError(f"{threads} threads", expected="at least 1")
    binding = bind(runtime or default_runtime())
    announce("load")
    where = str(model) if isinstance(model, Path) else f"a model of {len(model)} bytes"
    if isinstance(model, Path) and not model.is_file():
        raise UsageError("no such file", expected="a .tflite file", where=where)
    if not (model.stat().st_size if isinstance(model, Path) else model):
        raise ModelError("the file is empty", expected="a .tflite file", where=where)

    content, outputs = model, None
    if preserve_all_tensors and binding.name in _OVERWRITING:
        content, outputs = _every_tensor_an_output(model)

    def load() -> Any:
        return binding.interpreter(
            **({"model_path": str(content)} if isinstance(content, Path) else {"model_content": content}),
            num_threads=threads,
            experimental_delegates=None if delegate is None else [_load_delegate(binding, delegate)],
            experimental_op_resolver_type=binding.resolvers[_RESOLVERS[kernels]],
            experimental_preserve_all_tensors=preserve_all_tensors,
        )

    release = f"{binding.name} {binding.version}"
    return Session(
        load,
        release,
        where,
        signature=signature,
        announce=announce,
        has_delegate=delegate is not None,
        outputs=outputs,
    )


def _every_tensor_an_output(model: Path | bytes) -> tuple[bytes, int]:
    """A file that also gives out what its operators compute inside, behind its own outputs; and how many those are."""
    data = model.read_bytes() if isinstance(model, Path) else model
    graph = read_model(data).subgraphs[0]
    computed = [index for operator in graph.operators for index in operator.outputs]
    numbers = [i for i in computed if graph.tensors[i].type in _NUMBERS and not graph.tensors[i].is_variable]
    inner = [index for index in dict.fromkeys(numbers) if index not in graph.outputs]
    return with_outputs(data, [*graph.outputs, *inner]), len(graph.outputs)


class Session:
    """A model, loaded and allocated. Not safe for use from several threads at once.

    One of open sizes (`TensorSpec.open_sized`) is allocated when it is first fed.

    Attributes:
        runtime: Name and version of the runtime.
        inputs: In the order of the graph.
        outputs: In the order of the source model, where the signature's names tell it; else in that of the graph.
        signatures: Names of the model's signatures.
        delegated: Which operators its delegate took; None where it was given none.
        batch: How many samples one inference of the last `predict` took: what was asked for if the model allowed it,
            else 1, else what the file is fixed to.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        runtime: str,
        where: str,
        *,
        signature: str | None,
        announce: Callable[[Phase], None],
        has_delegate: bool,
        outputs: int | None = None,
    ) -> None:
        """Use `open_session`. Of the file's outputs only the first `outputs` are the graph's own; None: all."""
        self.runtime = runtime
        self.batch = 1
        self._load = load
        self._where = where
        self._signature = signature
        self._announce = announce
        self._has_delegate = has_delegate
        self._own_outputs = outputs
        self.delegated: Delegated | None = None
        self._graph = self._allocate(())
        self.signatures: tuple[str, ...] = tuple(self._graph.interpreter.get_signature_list())
        self.inputs = self._graph.inputs
        self.outputs = in_source_order(self._graph.outputs)
        # None while nothing is allocated.
        self._shapes = None if _open_sized(self._graph.interpreter) else tuple(spec.shape for spec in self.inputs)
        self._settled: tuple[object, tuple[Array, ...]] = (None, ())

    def __repr__(self) -> str:
        return f"<{self._where} on {self.runtime}>"

    def predict(self, values: Values, batch: int = 1) -> tuple[npt.NDArray[np.float32], ...]:
        """Real outputs for n samples of the source model's own domain.

        Variables of the model (the state of a recurrent cell) are reset before each inference, so samples do not leak
        into each other. A kernel may answer differently in a batch than one by one: compare before relying on it.

        Args:
            values: (n, …), or such an array for each input's name; any dtype that the inputs can take.
            batch: Samples for one inference, where the model allows it; `Session.batch` tells what it came to.

        Returns:
            For each output float32 of shape (n, …).

        Raises:
            ModelError: Names, shapes or values do not fit the inputs; or an inference fails.
            UsageError: There are no samples, or not as many for each input.
        """
        return self._infer(values, batch, encode, decode)

    def predict_codes(self, codes: Values, batch: int = 1) -> tuple[Array, ...]:
        """Like `predict`, with the tensors' own content at both ends: codes in, codes out, nothing converted.

        Raises:
            ModelError: As `predict`; also if a dtype is not the input's.
        """
        return self._infer(codes, batch, _as_it_is, lambda _spec, raw: raw)

    def quantize_inputs(self, values: Values) -> tuple[Array, ...]:
        """What each input holds for these values, in the order of `inputs`; shapes are kept.

        Raises:
            ModelError: A tensor cannot take a value. One without a scale takes only what it represents exactly.
        """
        return tuple(encode(spec, array) for spec, array in zip(self.inputs, match(self.inputs, values), strict=True))

    def dequantize_outputs(self, raw: Sequence[Array]) -> tuple[npt.NDArray[np.float32], ...]:
        """Real values of raw outputs, in the order of `outputs`."""
        return tuple(decode(spec, array) for spec, array in zip(self.outputs, raw, strict=True))

    def invoke(self, codes: Sequence[Array]) -> tuple[Array, ...]:
        """One inference: content of the inputs in, copies of the outputs' content out. Variables keep their state.

        Raises:
            ModelError: The content does not fit, or the inference fails.
        """
        self.feed(codes)
        self.run()
        return self.fetch()

    def feed(self, codes: Sequence[Array]) -> None:
        """Copy content into the inputs. Other shapes than the last ones allocate the tensors anew."""
        shapes = tuple(array.shape for array in codes)
        if shapes != self._shapes:
            for spec, shape in zip(self.inputs, shapes, strict=True):
                if not takes(spec, shape):
                    raise _wrong_shape(spec, shape, self._where)
            self._reallocate(shapes)
        try:
            for spec, array in zip(self.inputs, codes, strict=True):
                self._graph.set(self._graph.slot(spec), array)
        except _REFUSALS as error:
            raise self._refused("does not take its inputs", error) from error

    def _reallocate(self, shapes: tuple[Shape, ...]) -> None:
        """Allocate for inputs of other shapes; where that is refused, for the ones before.

        The old graph goes first: each holds a copy of the weights, repacked.
        """
        before, self._graph = self._shapes, _NO_GRAPH
        try:
            self._graph = self._allocate(shapes)
            self._shapes, self._settled = shapes, (None, ())
        except ModelError:
            self._graph = self._allocate(before or ())
            raise

    def run(self) -> None:
        """The inference alone, on what was fed last: what a latency is measured on."""
        try:
            self._graph.run()
        except _REFUSALS as error:
            raise self._refused("fails in an inference", error) from error

    def fetch(self) -> tuple[Array, ...]:
        """Copies of the outputs' content, in the order of `outputs`."""
        try:
            return tuple(self._graph.get(self._graph.slot(spec)) for spec in self.outputs)
        except _REFUSALS as error:
            raise self._refused("gives no output", error) from error

    def reset(self) -> None:
        """Set the model's variables back to where they start."""
        self._graph.interpreter.reset_all_variables()

    @property
    def hands_over(self) -> bool:
        """Whether a delegate, XNNPACK included, has any of the graph: if not, the built-in kernels run all of it.

        XNNPACK takes its part when the tensors are allocated: of a file of open sizes ask once it was fed.
        """
        try:
            nodes = self._graph.interpreter._get_ops_details()
        except _REFUSALS:  # a name that is no text, say: then nobody can tell
            return True
        return any(node["op_name"] == "DELEGATE" for node in nodes)

    def tensors(self) -> tuple[TensorSpec, ...]:
        """Every tensor of the main graph that the runtime names."""
        return tuple(_spec(details) for details in self._graph.interpreter.get_tensor_details())

    def fetch_tensor(self, index: int) -> Array:
        """Copy of what a tensor of the main graph holds. Inner ones need a session that preserves all tensors.

        Raises:
            ModelError: The runtime does not keep it.
        """
        try:
            array: Array = self._graph.interpreter.get_tensor(index)
        except _REFUSALS as error:
            raise self._refused(f"does not keep tensor {index}", error) from error
        return array

    def _infer(self, values: Values, batch: int, encode: Conversion, decode: Conversion) -> tuple[Array, ...]:
        arrays = match(self.inputs, values)
        samples = count(self.inputs, arrays)
        like = self._settle(arrays, min(batch, samples), encode)
        block = block_of(arrays, like, self.batch)
        outputs: list[Array] = []
        for start in range(0, samples, block):
            stop = min(start + block, samples)
            codes = [encode(spec, array[start:stop]) for spec, array in zip(self.inputs, arrays, strict=True)]
            raw = self._infer_block(codes, like)
            decoded = [decode(spec, array) for spec, array in zip(self.outputs, raw, strict=True)]
            outputs = outputs or [np.empty((samples, *array.shape[1:]), array.dtype) for array in decoded]
            for output, array in zip(outputs, decoded, strict=True):
                output[start:stop] = array
        return tuple(outputs)

    def _settle(self, arrays: Sequence[Array], batch: int, encode: Conversion) -> tuple[Array, ...]:
        """Find the batch that the model allows, by a try on the first samples; its raw outputs are returned."""
        request = (batch, [array.shape[1:] for array in arrays])
        if request == self._settled[0]:
            return self._settled[1]
        refused = None
        for size in candidates(self.inputs, arrays, batch):
            pairs = zip(self.inputs, arrays, strict=True)
            first = [grouped(spec, encode(spec, array[:size]), size)[0, ...] for spec, array in pairs]
            try:
                raw = self.invoke(first)
            except ModelError as error:
                refused = refused or error
                continue
            if not raw or not all(array.size for array in raw):
                raise _answers_nothing(raw, self._where)
            if size == 1 or all(array.shape[:1] == (size,) for array in raw):
                self.batch, self._settled = size, (request, raw)
                return raw
        raise refused or ModelError("the outputs do not follow the batch of the inputs", where=self._where)

    def _infer_block(self, codes: Sequence[Array], like: Sequence[Array]) -> list[Array]:
        """Every sample of a block, one inference after the other; `like` are the outputs of one inference."""
        graph, reset = self._graph, self._graph.interpreter.reset_all_variables
        groups = [grouped(spec, array, self.batch) for spec, array in zip(self.inputs, codes, strict=True)]
        results = [np.empty((len(groups[0]), *array.shape), array.dtype) for array in like]
        feeds = [(graph.slot(spec), group) for spec, group in zip(self.inputs, groups, strict=True)]
        fetches = [(graph.slot(spec), result) for spec, result in zip(self.outputs, results, strict=True)]
        try:
            for i in range(len(groups[0])):
                for slot, group in feeds:
                    graph.set(slot, group[i])
                reset()
                graph.run()
                for slot, result in fetches:
                    output = graph.get(slot)
                    # numpy would stretch an output of another shape in silence.
                    if output.shape != result.shape[1:]:
                        raise _changing_shape(result.shape[1:], output.shape, self._where)
                    result[i] = output
        except _REFUSALS as error:
            raise self._refused("fails in an inference", error) from error
        return [ungrouped(result, self.batch)[: len(codes[0])] for result in results]

    def _allocate(self, shapes: tuple[Shape, ...]) -> _Graph:
        """A graph with its tensors allocated and its inputs of these shapes, if any; else of those that the file has.

        A file of open sizes has none: convolutions and pooling refuse the 1 that stands for each, so that without
        shapes its tensors are not allocated.
        Always in a fresh interpreter: one whose allocation was refused once can crash at the next.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the runtimes' deprecations are not the user's to act on
                interpreter = self._load()
            if self._has_delegate:
                # Before the tensors are allocated: then the runtime's default delegate takes of what is left.
                self.delegated = delegated(interpreter._get_ops_details())
            if not self._signature or _runs_main_graph(interpreter, self._signature):
                for spec, shape in zip(self.inputs if shapes else (), shapes, strict=True):
                    if shape != spec.shape:
                        interpreter.resize_tensor_input(spec.index, shape)
            if shapes or not _open_sized(interpreter):
                self._announce("allocate")
                interpreter.allocate_tensors()
            return _graph_of(interpreter, self._signature, self._own_outputs)
        except _REFUSALS as error:
            what = "does not take inputs of shape " + ", ".join(map(str, map(list, shapes)))
            raise self._refused(what if shapes else "does not load", error) from error

    def _refused(self, what: str, error: BaseException) -> ModelError:
        return ModelError(f"{what} on {self.runtime}: {one_line(error)}", where=self._where)


def one_line(error: BaseException) -> str:
    """A runtime's reason in one printable line."""
    text = re.sub(r"(?<=\S)(?=Node number \d)", "; ", str(error) or type(error).__name__)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@dataclass(frozen=True)
class _Graph:
    """One graph of a loaded model: its ends, and how it is fed, run and read. A slot is what names a tensor there."""

    interpreter: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    slot: Callable[[TensorSpec], Any]
    set: Callable[[Any, Array], None]
    run: Callable[[], None]
    get: Callable[[Any], Array]


_NO_GRAPH: Any = None


def _graph_of(interpreter: Any, signature: str | None, outputs: int | None) -> _Graph:
    """The main graph with its first so many outputs, or the graph of a signature that lies elsewhere."""
    names = list(interpreter.get_signature_list())
    if signature is not None and signature not in names:
        raise UsageError(f"no signature {signature!r}", expected="one of: " + (", ".join(names) or "there are none"))
    if signature is not None and not _runs_main_graph(interpreter, signature):
        return _signature_graph(interpreter, signature)
    naming = signature or next((name for name in names if _runs_main_graph(interpreter, name)), None)
    runner = interpreter.get_signature_runner(naming) if naming else None
    return _Graph(
        interpreter,
        inputs=_named(interpreter.get_input_details(), runner.get_input_details() if runner else {}),
        outputs=_named(interpreter.get_output_details()[:outputs], runner.get_output_details() if runner else {}),
        slot=lambda spec: spec.index,
        set=interpreter.set_tensor,
        run=interpreter.invoke,
        get=interpreter.get_tensor,
    )


def _signature_graph(interpreter: Any, signature: str) -> _Graph:
    """A graph that only its signature reaches: the runtimes' runner allocates and runs it in one call."""
    runner = interpreter.get_signature_runner(signature)
    content: dict[str, Array] = {}
    results: dict[str, Array] = {}
    return _Graph(
        interpreter,
        inputs=tuple(_spec(details, key) for key, details in runner.get_input_details().items()),
        outputs=tuple(_spec(details, key) for key, details in runner.get_output_details().items()),
        slot=lambda spec: spec.key,
        set=content.__setitem__,
        run=lambda: results.update(runner(**content)),
        get=results.__getitem__,
    )


def _open_sized(interpreter: Any) -> bool:
    """Whether an input of the main graph leaves a size open beside the batch's."""
    return any(_spec(details).open_sized for details in interpreter.get_input_details())


def _runs_main_graph(interpreter: Any, signature: str) -> bool:
    """Whether a plain `invoke` runs this signature. No public name of any runtime tells; all three have this one."""
    if signature not in interpreter.get_signature_list():
        return False
    return bool(interpreter.get_signature_runner(signature)._subgraph_index == 0)


def _named(details: Sequence[Mapping[str, Any]], by_key: Mapping[str, Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    """The ends of the main graph in its order, with the signature's names if it names them all."""
    place = {entry["index"]: i for i, entry in enumerate(details)}
    if {entry["index"] for entry in by_key.values()} != set(place):
        return tuple(_spec(entry) for entry in details)
    keys = sorted(by_key, key=lambda key: place[by_key[key]["index"]])
    return tuple(_spec(by_key[key], key) for key in keys)


def _spec(details: Mapping[str, Any], key: str = "") -> TensorSpec:
    quantization = details["quantization_parameters"]
    dtype = np.dtype(details["dtype"])
    # Some writers leave scales on float tensors, where they mean nothing.
    scales = tuple(float(scale) for scale in quantization["scales"]) if dtype.kind in "iu" else ()
    return TensorSpec(
        name=details["name"],
        key=key,
        index=int(details["index"]),
        shape=tuple(int(size) for size in details["shape"]),
        shape_signature=tuple(int(size) for size in details["shape_signature"]),
        dtype=dtype.name,
        scales=scales,
        zero_points=tuple(int(point) for point in quantization["zero_points"])[: len(scales)],
        axis=int(quantization["quantized_dimension"]) if len(scales) > 1 else None,
    )


def _as_it_is(spec: TensorSpec, codes: Array) -> Array:
    if codes.dtype.name != spec.dtype:
        raise ModelError(f"input {spec} is {spec.dtype}, not {codes.dtype}", expected=f"codes in {spec.dtype}")
    return codes


def _wrong_shape(spec: TensorSpec, shape: Shape, where: str) -> ModelError:
    own = list(spec.shape_signature or spec.shape)
    return ModelError(f"input {spec} is of shape {own} and cannot take {list(shape)}", where=where)


def _answers_nothing(raw: Sequence[Array], where: str) -> ModelError:
    found = ", ".join(str(list(array.shape)) for array in raw)
    what = f"its outputs are of shape {found}" if raw else "its graph has no output"
    return ModelError(f"it answers with nothing: {what}", expected="outputs that hold values", where=where)


def _changing_shape(before: Shape, after: Shape, where: str) -> ModelError:
    return ModelError(
        f"an output of shape {list(before)} came out as {list(after)} for another sample",
        expected="outputs of one shape: they are compared sample by sample",
        where=where,
    )


@dataclass(frozen=True)
class Binding:
    """What this module uses of a runtime."""

    name: str
    version: str
    interpreter: Callable[..., Any]
    resolvers: Any
    load_delegate: Callable[..., Any]


@lru_cache
def bind(name: str) -> Binding:
    """Import a runtime, once.

    Raises:
        TargetError: It is not installed, or does not work here.
        UsageError: There is no runtime of this name.
    """
    if name not in _DISTRIBUTIONS:
        near = difflib.get_close_matches(name, _DISTRIBUTIONS, n=1)
        hint = f"; nearest: {near[0]!r}" if near else ""
        raise UsageError(f"no runtime {name!r}", expected="one of " + ", ".join(_DISTRIBUTIONS) + hint)
    install = f"pip install {_DISTRIBUTIONS[name][0]}"
    version = installed_runtimes().get(name)
    if version is None:
        raise TargetError(f"runtime {name} is not installed", next=install)
    if name == "tflite_runtime" and int(np.__version__.split(".")[0]) >= 2:
        raise TargetError(
            f"tflite_runtime {version} does not work with numpy {np.__version__}: it is built against numpy 1",
            expected="numpy < 2, or ai_edge_litert",
            next="pip install 'numpy<2'",
        )
    if name == "tflite_runtime" and "tensorflow" in sys.modules and "tflite_runtime.interpreter" not in sys.modules:
        # Their C++ symbols clash: every file is then refused with "vector::reserve". The other order works.
        raise TargetError(
            f"tflite_runtime {version} does not work in a process that has loaded TensorFlow before it",
            expected="a process of its own, or tflite_runtime loaded first",
            next='name another Python as a target in targets.toml, with runtime = "tflite_runtime"',
        )
    try:
        if name == "tensorflow":
            lite = importlib.import_module("tensorflow").lite
            extras = lite.experimental
            return Binding(name, version, lite.Interpreter, extras.OpResolverType, extras.load_delegate)
        module = importlib.import_module(f"{name}.interpreter")
    except (ImportError, OSError, AttributeError) as error:
        raise TargetError(f"{name} {version} cannot be imported: {one_line(error)}", next=install) from error
    return Binding(name, version, module.Interpreter, module.OpResolverType, module.load_delegate)


def _load_delegate(binding: Binding, delegate: Delegate) -> Any:
    try:
        # The runtimes' own loader leaves a half-made object behind when the library is missing: ask first.
        ctypes.CDLL(delegate.library)
        return binding.load_delegate(delegate.library, dict(delegate.options))
    except (OSError, ValueError, AttributeError) as error:
        raise TargetError(
            f"delegate {delegate.library} does not load: {one_line(error)}",
            expected="a delegate library with tflite_plugin_create_delegate, and its device",
        ) from error
