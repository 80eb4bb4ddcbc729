"""What a trained original expects, told from its file without loading it, and without TensorFlow.

    >>> find_expectation(Path("digits.keras"), "keras").inputs  # doctest: +SKIP
    (Input(name='scan', shape=(None, 8, 8, 1), dtype='float32'),)

A guess is worse than nothing here: where a file does not say, or is broken, the answer is None, and what is wrong with
it will be told when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from liteproof.errors import ModelError
from liteproof.manifest import keras_file
from liteproof.manifest.keras_file import MISSHAPEN
from liteproof.manifest.place import Place, nearest, shown, written

KINDS: Mapping[str, str] = {".keras": "keras", ".h5": "h5", ".hdf5": "h5", ".tflite": "tflite"}
SAVEDMODEL = "saved_model.pb"


class Input(msgspec.Struct, frozen=True):
    """An input of a model: its name, its shape with None for free dimensions (the first is the batch), its dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Expectation(msgspec.Struct, frozen=True):
    """What a source says of itself.

    Attributes:
        inputs: Its inputs in order; None where the file does not tell.
        keras_version: The Keras that wrote it; None where the file does not tell.
        keras: The package that loads it, "keras" or "tf-keras"; None for what Keras does not load.
        code: Names of the layers that carry Python code.
        quantized: Whether it is a `.tflite` that is quantized already.
        weights_only: Whether it is an `.h5` of weights without an architecture.
    """

    inputs: tuple[Input, ...] | None = None
    keras_version: str | None = None
    keras: str | None = None
    code: tuple[str, ...] = ()
    quantized: bool = False
    weights_only: bool = False


def kind_of_source(path: Path, place: Place) -> str:
    """Which kind it is: "keras", "h5", "savedmodel" or "tflite".

    Raises:
        UsageError: if it is none of these.
    """
    if path.is_dir():
        if (path / SAVEDMODEL).is_file():
            return "savedmodel"
        inner = sorted(found.parent for found in path.glob(f"*/{SAVEDMODEL}"))
        raise place.wrong(
            f"source {written(path.name)} is a folder without {SAVEDMODEL}",
            f"a SavedModel; there is one in {shown(inner[0])}" if inner else "a SavedModel's folder",
            "name the folder that model.export() wrote",
        )
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        close = nearest(path.suffix, KINDS)
        raise place.wrong(
            f"source {written(path.name)} is of no kind that can be converted",
            "a .keras, an .h5, a SavedModel's folder or a float .tflite" + (f"; nearest: '{close}'" if close else ""),
            "save the model as .keras",
        )
    return kind


def find_expectation(path: Path, kind: str) -> Expectation | None:
    """What the file says; None where it could not be read, or where reading it takes TensorFlow."""
    if kind in ("keras", "h5"):
        return _of_keras(path, kind)
    return _of_tflite(path) if kind == "tflite" else None


def _of_keras(path: Path, kind: str) -> Expectation | None:
    file = keras_file.read(path, kind)
    if file is None:
        return None
    if file.config is None:
        return Expectation(keras_version=file.version, weights_only=file.weights_only)
    return Expectation(
        _inputs_of(file.config),
        file.version,
        keras=keras_file.reader(file, kind),
        code=keras_file.code_in(file.config),
    )


def _of_tflite(path: Path) -> Expectation | None:
    from liteproof.tflite.reader import read_model

    try:
        model = read_model(path)
    except ModelError:
        return None
    if not model.subgraphs:
        return None
    graph = model.subgraphs[0]
    names = {index: graph.tensors[index].name for index in graph.inputs}
    for signature in model.signatures:
        if signature.subgraph == 0 and set(signature.inputs.values()) == set(graph.inputs):
            names = {index: name for name, index in signature.inputs.items()}
    tensors = [graph.tensors[index] for index in graph.inputs]
    inputs = tuple(
        Input(
            names[tensor.index],
            tuple(None if size < 0 else size for size in tensor.shape_signature),
            tensor.type.lower(),
        )
        for tensor in tensors
    )
    quantized = any(t.quantization.kind != "none" and t.type != "FLOAT32" for g in model.subgraphs for t in g.tensors)
    return Expectation(inputs, quantized=quantized)


def _inputs_of(config: object) -> tuple[Input, ...] | None:
    """The inputs that a Keras model's configuration declares; None where it is of another shape than Keras writes."""
    try:
        found = tuple(_inputs(config))
    except MISSHAPEN:
        return None
    return found or None


def _inputs(node: Any) -> Iterator[Input]:
    """Inputs of a model or layer, from its {"class_name", "config"} node.

    Raises:
        KeyError, TypeError, IndexError, AttributeError, ValueError: if it is not what Keras writes.
    """
    config = node["config"]
    layers = config.get("layers")
    if node["class_name"] == "InputLayer":
        yield _input(config)
    elif "input_layers" in config:  # Functional, by whichever name its class goes
        by_name = {layer.get("name") or layer["config"]["name"]: layer["config"] for layer in layers}
        yield from (_input(by_name[name]) for name in referenced(config["input_layers"]))
    elif node["class_name"] == "Sequential":
        if layers and _declares_shape(layers[0]):
            yield from _inputs(layers[0])
        elif config.get("build_input_shape"):
            yield _input({"batch_shape": config["build_input_shape"], "name": "x"})
    elif _declares_shape(node):
        yield _input(config)


def _declares_shape(node: Any) -> bool:
    config = node["config"]
    return "layers" in config or any(key in config for key in ("batch_shape", "batch_input_shape"))


def _input(config: Any) -> Input:
    shape = config["batch_shape"] if "batch_shape" in config else config["batch_input_shape"]
    sizes = tuple(None if size is None else int(size) for size in shape)
    dtype = config.get("dtype") or "float32"
    if isinstance(dtype, dict):  # Keras 3's policy
        dtype = dtype["config"]["name"]
    return Input(str(config["name"]), sizes, str(dtype).removeprefix("mixed_"))


def referenced(node: Any) -> Iterator[str]:
    """Layer names in Keras' references: ["scan", 0, 0], a list of such, or a mapping to such."""
    if isinstance(node, dict):
        for value in node.values():
            yield from referenced(value)
    elif node and isinstance(node[0], str):
        yield node[0]
    else:
        for value in node:
            yield from referenced(value)
