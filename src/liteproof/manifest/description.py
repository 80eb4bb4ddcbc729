"""What a trained original is, told from its file: what comes out of it, its parameters, and the types they are kept in.

    >>> found = describe(Path("models/digits-mobilenet/mobilenet.h5"), "h5")   # doctest: +SKIP
    >>> found.outputs, found.parameters, found.bytes_per_parameter              # doctest: +SKIP
    ((Output(shape=(None, 10), activation='softmax'),), 423018, 4.0)

Keras files and `.tflite` are read as they lie there: nothing is loaded, no code of theirs runs, no TensorFlow is
needed. What a SavedModel holds only TensorFlow can tell: `liteproof.convert.description`, in a process of its own.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from liteproof.errors import ModelError, UsageError
from liteproof.manifest.place import shown
from liteproof.manifest.source import Input, find_expectation, referenced

Shape = tuple[int | None, ...]

# Where Keras files keep what is no weight of the network.
_NO_WEIGHTS = ("optimizer", "optimizer_weights", "metrics", "seed_generator", "compile_metrics")
_RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})
_FLAT = frozenset({"Flatten", *_RECURRENT})
_ACTIVATIONS = {"Softmax": "softmax", "ReLU": "relu", "LeakyReLU": "leaky_relu"}
# What leaves an activation's values what they were.
_TRANSPARENT = frozenset({"Dropout", "Flatten", "Reshape", "Identity"})
_LAST_OPERATORS = {
    "SOFTMAX": "softmax",
    "LOGISTIC": "sigmoid",
    "TANH": "tanh",
    "RELU": "relu",
    "LOG_SOFTMAX": "log_softmax",
}
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    RecursionError,
    NotImplementedError,
    zipfile.BadZipFile,
)


class Output(msgspec.Struct, frozen=True):
    """An output: its shape, with None for what is free or unknown, and the activation that it comes from.

    `shape` is None where not even the number of axes is known, `activation` where the file does not tell.
    """

    shape: Shape | None
    activation: str | None

    @property
    def values(self) -> int | None:
        """Values a sample where the output is a vector of known length; else None."""
        return self.shape[-1] if self.shape is not None and len(self.shape) == 2 else None


class Weight(msgspec.Struct, frozen=True):
    """A weight tensor of the source: its path in the file, its shape, its type."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """Number of its values."""
        return math.prod(self.shape)


class Description(msgspec.Struct, frozen=True):
    """What a source is.

    Attributes:
        kind: "keras", "h5", "savedmodel" or "tflite".
        bytes: Size of the file, or of all files of a SavedModel.
        inputs: What it takes; None where the file does not tell.
        outputs: What comes out, in order; empty where the file does not tell.
        weights: Its weights, in the order of the file; of a `.tflite` its float constants.
        optimizer_bytes: What an optimizer's state takes of the file.
        layers: Kinds of layers, or operators of a `.tflite`, with how often each occurs.
        keras_version: The Keras that wrote it; None where the file does not tell.
    """

    kind: str
    bytes: int
    inputs: tuple[Input, ...] | None
    outputs: tuple[Output, ...]
    weights: tuple[Weight, ...]
    optimizer_bytes: int = 0
    layers: Mapping[str, int] = {}
    keras_version: str | None = None

    @property
    def parameters(self) -> int:
        """Number of its weights' values."""
        return sum(weight.elements for weight in self.weights)

    @property
    def elements(self) -> Mapping[str, int]:
        """The same by the type that they are kept in ("float32", "float16", …)."""
        counts: Counter[str] = Counter()
        for weight in self.weights:
            counts[weight.dtype] += weight.elements
        return dict(counts)

    @property
    def weight_bytes(self) -> int:
        """What the parameters take in the types that they are kept in."""
        return sum(count * _size(dtype) for dtype, count in self.elements.items())

    @property
    def bytes_per_parameter(self) -> float:
        """4 of a float32 network, 2 of a float16 one; NaN without parameters."""
        return self.weight_bytes / self.parameters if self.parameters else math.nan


def describe(path: Path, kind: str) -> Description:
    """What a source is.

    Args:
        path: A `.keras`, an `.h5` or a `.tflite`.
        kind: As `liteproof.manifest.source.kind_of_source` calls it.

    Raises:
        UsageError: if it holds no architecture, or if h5py is needed and not installed.
        ModelError: if the file is broken.
    """
    if kind == "tflite":
        return _of_tflite(path)
    try:
        return _of_keras(path) if kind == "keras" else _of_h5(path)
    except _DAMAGE as error:
        raise ModelError(
            f"the file cannot be read: {str(error) or type(error).__name__}",
            expected="a whole Keras model",
            where=shown(path),
        ) from error


def _size(dtype: str) -> int:
    return {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int4": 1}.get(dtype, 1 if "8" in dtype else 4)


# -- Keras ------------------------------------------------------------------------------------------------------------


def _of_keras(path: Path) -> Description:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        with archive.open("model.weights.h5") as stream:
            weights, optimizer = _weights(stream)
    return _described(path, "keras", config, weights, optimizer)


def _of_h5(path: Path) -> Description:
    h5py = _h5py()
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
        if text is None:
            raise UsageError(
                "the file holds weights without an architecture",
                expected="a whole model",
                where=shown(path),
                next='save it with model.save("model.keras"), not with save_weights',
            )
    with path.open("rb") as stream:
        weights, optimizer = _weights(stream)
    return _described(path, "h5", json.loads(text), weights, optimizer)


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise UsageError(
            "h5py is not installed, which reads Keras files", next="pip install 'liteproof[convert]'"
        ) from error
    return h5py


def _weights(stream: IO[bytes]) -> tuple[tuple[Weight, ...], int]:
    """Weights, and bytes of an optimizer's state."""
    weights: list[Weight] = []
    optimizer = 0

    def visit(name: str, node: Any) -> None:
        nonlocal optimizer
        if not hasattr(node, "dtype"):
            return
        parts = name.split("/")
        if parts[0].startswith("optimizer"):
            optimizer += node.size * node.dtype.itemsize
        elif node.dtype.kind in "fiV" and not any(part.startswith(_NO_WEIGHTS) for part in parts):
            dtype = node.dtype.name if node.dtype.kind != "V" else "bfloat16"
            weights.append(Weight(name, tuple(int(size) for size in node.shape), dtype))

    with _h5py().File(stream, "r") as file:
        file.visititems(visit)
    return tuple(weights), optimizer


def _described(path: Path, kind: str, config: Any, weights: tuple[Weight, ...], optimizer: int) -> Description:
    expectation = find_expectation(path, kind)
    inputs = expectation.inputs if expectation else None
    try:
        outputs = tuple(_outputs(config, inputs[0].shape if inputs and len(inputs) == 1 else None))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, RecursionError):  # not as Keras writes it
        outputs = ()
    return Description(
        kind=kind,
        bytes=path.stat().st_size,
        inputs=inputs,
        outputs=outputs,
        weights=weights,
        optimizer_bytes=optimizer,
        layers=dict(Counter(_kinds(config))),
        keras_version=expectation.keras_version if expectation else None,
    )


def _kinds(node: Any) -> Iterator[str]:
    """The class of each layer, those of nested models included."""
    layers = node.get("config", {}).get("layers") if isinstance(node.get("config"), dict) else None
    if layers:
        for layer in layers:
            yield from _kinds(layer)
    elif node.get("class_name") and node["class_name"] != "InputLayer":
        yield str(node["class_name"])


def _outputs(model: Any, entering: Shape | None) -> Iterator[Output]:
    """Outputs of a model's configuration, each by its layers from the last one back."""
    layers = model["config"]["layers"]
    if model["class_name"] == "Sequential":
        shape, activation = entering, None
        for layer in layers:
            shape, activation = _after(layer, shape, activation)
        yield Output(shape, activation)
        return
    by_name = {layer.get("name") or layer["config"]["name"]: layer for layer in layers}
    for name in referenced(model["config"]["output_layers"]):
        yield Output(*_of_layer(name, by_name))


def _of_layer(name: str, by_name: Mapping[str, Any]) -> tuple[Shape | None, str | None]:
    """Shape and activation of what a layer of a functional model gives."""
    chain, at = [], name
    while True:  # a loop: networks are deeper than Python's stack
        layer = by_name[at]
        chain.append(layer)
        before = next(iter(_entering(layer)), None)
        if before is None:
            break
        at = before
    shape: Shape | None = None
    activation: str | None = None
    for layer in reversed(chain):
        shape, activation = _after(layer, shape, activation)
    return shape, activation


def _entering(layer: Any) -> Iterator[str]:
    """Names of the layers whose outputs a layer takes, as Keras 2 or Keras 3 writes them."""
    for node in layer.get("inbound_nodes", ()):
        yield from _histories(node.get("args") if isinstance(node, dict) else node)


def _histories(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        history = node.get("config", {}).get("keras_history") if isinstance(node.get("config"), dict) else None
        if history:
            yield str(history[0])
            return
        for value in node.values():
            yield from _histories(value)
    elif isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str):
            yield node[0]
            return
        for value in node:
            yield from _histories(value)


def _after(layer: Any, shape: Shape | None, activation: str | None) -> tuple[Shape | None, str | None]:
    """Shape and activation behind a layer."""
    kind, config = layer["class_name"], layer["config"]
    if kind == "InputLayer":
        return tuple(config.get("batch_shape") or config["batch_input_shape"]), None
    if "layers" in config:
        inner = next(iter(_outputs(layer, shape)))
        return inner.shape, inner.activation
    build = layer.get("build_config") or {}
    if shape is None and isinstance(build.get("input_shape"), list):
        shape = tuple(build["input_shape"])
    if kind in _TRANSPARENT or (kind == "Activation" and config.get("activation") == "linear"):
        return _shape_after(kind, config, shape), activation
    return _shape_after(kind, config, shape), _ACTIVATIONS.get(kind) or _activation(config)


def _activation(config: Any) -> str | None:
    given = config.get("activation", "linear")
    if isinstance(given, dict):
        given = given.get("config") if isinstance(given.get("config"), str) else given.get("class_name")
    return str(given) if given is not None else None


def _shape_after(kind: str, config: Any, shape: Shape | None) -> Shape | None:
    """The shape behind a layer; of other sizes than a vector's only the number of axes is followed."""
    if kind == "Bidirectional":
        return _both_ways(config, shape)
    if kind == "Dense":
        return (*shape[:-1], int(config["units"])) if shape else None
    if kind == "Reshape":
        return (None, *(None if size == -1 else int(size) for size in config["target_shape"]))
    if kind.startswith("Global") or (kind in _FLAT and not config.get("return_sequences")):
        return (shape[0] if shape else None, config.get("units"))
    if kind in _RECURRENT and shape:
        return (*shape[:-1], config.get("units"))
    if kind == "Embedding":
        return (*shape, int(config["output_dim"])) if shape else None
    if kind.startswith(("Conv", "SeparableConv")) and shape:
        return (shape[0], *(None for _ in shape[1:-1]), config.get("filters"))
    if kind.endswith(("Pooling1D", "Pooling2D", "Pooling3D")) and shape:
        return (shape[0], *(None for _ in shape[1:-1]), shape[-1])
    return shape


def _both_ways(config: Any, shape: Shape | None) -> Shape | None:
    """Behind a layer that reads a sequence from both ends: two of its layer's outputs, side by side or merged."""
    layer = config["layer"]
    inner = _shape_after(layer["class_name"], layer["config"], shape)
    if inner is None or inner[-1] is None or config.get("merge_mode", "concat") != "concat":
        return inner
    return (*inner[:-1], 2 * inner[-1])


# -- .tflite ----------------------------------------------------------------------------------------------------------


def _of_tflite(path: Path) -> Description:
    from liteproof.tflite.facts import facts
    from liteproof.tflite.reader import read_model

    model = read_model(path)
    found = facts(model)
    expectation = find_expectation(path, "tflite")
    graph = model.subgraphs[0]
    makers = {index: operator.name for operator in graph.operators for index in operator.outputs}
    outputs = tuple(
        Output(
            tuple(None if size < 0 else size for size in end.shape),
            _LAST_OPERATORS.get(makers.get(index, ""), "linear"),
        )
        for index, end in zip(graph.outputs, found.outputs, strict=True)
    )
    return Description(
        kind="tflite",
        bytes=found.file_bytes,
        inputs=expectation.inputs if expectation else None,
        outputs=outputs,
        weights=tuple(Weight(one.name, (one.elements,), one.type.lower()) for one in found.parameter_tensors),
        layers=dict(Counter(operator.name for operator in graph.operators)),
    )
