"""What a Keras file says of itself before anything is loaded: which Keras wrote it, which reads it, what code it has.

    >>> dense = {"class_name": "Dense", "config": {"name": "dense", "activation": "relu", "dtype": "float32"}}
    >>> config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": [dense]}}
    >>> reader(KerasFile(config, "2.15.0"), "h5"), reader(KerasFile(config, "2.15.0"), "keras")
    ('keras', 'tf-keras')
    >>> dense["class_name"] = "LSTM"
    >>> reader(KerasFile(config, "2.15.0"), "h5"), reader(KerasFile(config, "3.15.1"), "h5")
    ('tf-keras', 'keras')

Keras 2 and Keras 3 write files of the same suffixes that only look alike. Nothing heavy is imported here.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Reader = Literal["keras", "tf-keras"]

# Layers of Keras 2 that Keras 3.15 reads from an .h5 and that then compute the same, to float accuracy: measured with
# files of Keras 2.15 and tf-keras 2.21; tests/convert/test_plain_layers.py measures it again. All others are left to
# legacy Keras: Keras 3 refuses most of them (DepthwiseConv2D, LSTM, TFOpLambda, models inside models), and takes a few
# for something else (hard_sigmoid has another slope).
PLAIN_LAYERS = """
    Activation Add Average AveragePooling1D AveragePooling2D BatchNormalization CenterCrop Concatenate Conv1D Conv2D
    Conv3D Cropping1D Cropping2D Dense Dot Dropout ELU Embedding Flatten GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D GroupNormalization InputLayer
    LayerNormalization LeakyReLU MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum Multiply Normalization PReLU
    Permute ReLU RepeatVector Rescaling Reshape Resizing Softmax Subtract UpSampling1D UpSampling2D ZeroPadding1D
    ZeroPadding2D
"""
PLAIN_ACTIVATIONS = """
    linear relu relu6 leaky_relu softmax log_softmax sigmoid tanh elu selu softplus softsign exponential swish silu gelu
    mish
"""
_TYPES = "float32 int32 int64 uint8 bool"

# Whatever an archive that is not one can raise: its damage is told when it is loaded.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
)
# What a configuration of another shape than Keras writes can raise where it is looked through.
MISSHAPEN = (KeyError, TypeError, IndexError, AttributeError, ValueError, RecursionError)


@dataclass(frozen=True)
class KerasFile:
    """What stands in a Keras file beside its weights.

    Attributes:
        config: The model's node, {"class_name", "config"}; None where the file holds weights alone.
        version: The Keras that wrote it; None where the file does not tell.
        weights_only: Whether it is an `.h5` of weights without an architecture.
    """

    config: Any
    version: str | None = None
    weights_only: bool = False


def read(path: Path, kind: str) -> KerasFile | None:
    """What a `.keras` (kind "keras") or an `.h5` ("h5") says of itself; None where it cannot be read."""
    try:
        return _read_archive(path) if kind == "keras" else _read_hdf5(path)
    except _UNREADABLE:
        return None


def reader(file: KerasFile, kind: str) -> Reader:
    """The package that loads it: Keras 3 where it wrote the file, or reads it as Keras 2 does; else legacy Keras.

    Args:
        file: What the file says of itself.
        kind: "keras" or "h5". Of the `.keras` that Keras 2 wrote, Keras 3 reads next to none.
    """
    try:
        if not _of_keras_2(file, kind):
            return "keras"
        return "keras" if kind == "h5" and all(map(_read_alike, _graph(file.config))) else "tf-keras"
    except MISSHAPEN:
        return "keras"


def code_in(config: Any) -> tuple[str, ...]:
    """Names of the layers that carry Python code, which loading them would run; in order, models within included."""
    try:
        return tuple(str(layer["config"].get("name", "?")) for layer in layers_of(config) if _carries_code(layer))
    except MISSHAPEN:
        return ()


def layers_of(node: Any) -> Iterator[Any]:
    """Every layer below a model's node, and below models and wrappers in it.

    Raises:
        KeyError, TypeError, AttributeError, RecursionError: if it is not what Keras writes.
    """
    config = node["config"]
    wrapped = [config[key] for key in ("layer", "backward_layer", "cell") if isinstance(config.get(key), Mapping)]
    for layer in [*(config.get("layers") or ()), *wrapped]:
        yield layer
        if isinstance(layer.get("config"), Mapping):
            yield from layers_of(layer)


# -- reading ----------------------------------------------------------------------------------------------------------


def _read_archive(path: Path) -> KerasFile:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        metadata = json.loads(archive.read("metadata.json"))
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return KerasFile(config, version if isinstance(version, str) else None)


def _read_hdf5(path: Path) -> KerasFile | None:
    try:
        import h5py
    except ImportError:
        return None
    with h5py.File(path, "r") as file:
        config, version = _text(file.attrs.get("model_config")), _text(file.attrs.get("keras_version"))
        # Keras 2 and Keras 3 write weights alone like this.
        weights_only = config is None and ("layer_names" in file.attrs or "layers" in file)
    return KerasFile(json.loads(config) if config else None, version, weights_only)


def _text(attribute: Any) -> str | None:
    if isinstance(attribute, bytes):
        return attribute.decode("utf-8", errors="replace")
    return attribute if isinstance(attribute, str) else None


# -- which Keras ------------------------------------------------------------------------------------------------------


def _of_keras_2(file: KerasFile, kind: str) -> bool:
    """Whether Keras 2 (or 1) wrote it; told by its input layers where the version is missing."""
    if file.version:
        return file.version.partition(".")[0] in ("0", "1", "2")
    configs = [layer["config"] for layer in layers_of(file.config)]
    return kind == "h5" and not any("batch_shape" in config for config in configs)


def _graph(node: Any) -> list[Any]:
    """The layers of a model that holds no other one; a model that does is a layer of its own kind."""
    if node["class_name"] not in ("Sequential", "Functional", "Model"):
        return [node]
    return list(node["config"]["layers"])


def _read_alike(layer: Any) -> bool:
    """Whether Keras 3 makes the same of this layer as the Keras 2 that wrote it."""
    config = layer["config"]
    return bool(
        layer["class_name"] in PLAIN_LAYERS.split()
        and (config.get("activation") or "linear") in PLAIN_ACTIVATIONS.split()
        and (config.get("dtype") or "float32") in _TYPES.split()
        and "/" not in config["name"]  # which Keras 3 allows in no name
        and _is_single(config.get("axis", -1))
        and not _arguments_of_calls(layer.get("inbound_nodes") or ())
    )


def _is_single(axis: Any) -> bool:
    return isinstance(axis, int) or len(axis) == 1


def _arguments_of_calls(nodes: Any) -> bool:
    """Whether a layer was called with more than tensors: [[["scan", 0, 0, {"training": false}]]]."""
    if isinstance(nodes, Mapping):
        return bool(nodes)
    return any(_arguments_of_calls(node) for node in nodes if isinstance(node, (list, Mapping)))


# -- code -------------------------------------------------------------------------------------------------------------


def _carries_code(layer: Any) -> bool:
    """A Lambda layer of a Python lambda: marshalled bytes, in a list (Keras 2) or a node (Keras 3)."""
    config = layer["config"]
    given = [config.get(key) for key in ("function", "output_shape", "mask")]
    in_list = any(config.get(f"{key}_type") == "lambda" for key in ("function", "output_shape", "mask"))
    return in_list or _holds_lambda(given) or (layer["class_name"] == "Lambda" and isinstance(given[0], list))


def _holds_lambda(node: Any) -> bool:
    if isinstance(node, Mapping):
        return node.get("class_name") == "__lambda__" or any(map(_holds_lambda, node.values()))
    return isinstance(node, list) and any(map(_holds_lambda, node))
