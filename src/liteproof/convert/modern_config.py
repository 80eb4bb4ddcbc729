"""A model's configuration as Keras 2 wrote it, put into words that Keras 3 understands.

    >>> lstm = {"class_name": "LSTM", "config": {"name": "rnn/lstm", "units": 5, "time_major": False}}
    >>> model = {"class_name": "Sequential", "config": {"layers": [lstm]}}
    >>> modern(model, lambda _: frozenset({"units"}))["config"]["layers"]
    [{'class_name': 'LSTM', 'config': {'name': 'rnn_lstm', 'units': 5}}]

Only what changes no output is changed: settings that say nothing (`time_major = False`), the spelling of types, names
with slashes, the numbering of calls, and the few TensorFlow functions that Keras 3 has as operations of its own.
Whether the outputs really are the same is measured afterwards (`repair`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from liteproof.errors import ModelError

Accepts = Callable[[str], frozenset[str] | None]

_MODELS = ("Sequential", "Functional", "Model")
# What every layer takes, whatever its own settings are.
_OF_ALL = frozenset({"name", "trainable", "dtype", "batch_shape", "batch_input_shape"})
# Settings that matter in training only, or tell what follows from the weights' shapes.
_NOTHING_HERE = ("_initializer", "_regularizer", "_constraint", "_shape")
_NOTHING_AS = {"groups": 1, "data_format": "channels_last", "fused": True}
_NEVER_MATTERS = frozenset({"implementation", "input_length", "rng_type", "seed", "force_generator"})

_NUMPY, _NN = "keras.src.ops.numpy", "keras.src.ops.nn"
# TensorFlow functions in a model, and Keras 3's operations: where, which, what it takes, what it is made with.
_OPERATIONS: Mapping[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "__operators__.add": (_NUMPY, "Add", ("y",), ()),
    "math.add": (_NUMPY, "Add", ("y",), ()),
    "math.subtract": (_NUMPY, "Subtract", ("y",), ()),
    "math.multiply": (_NUMPY, "Multiply", ("y",), ()),
    "math.truediv": (_NUMPY, "TrueDivide", ("y",), ()),
    "math.divide": (_NUMPY, "TrueDivide", ("y",), ()),
    "math.reduce_mean": (_NUMPY, "Mean", (), ("axis", "keepdims")),
    "concat": (_NUMPY, "Concatenate", (), ("axis",)),
    "nn.relu": (_NN, "Relu", (), ()),
    "nn.relu6": (_NN, "Relu6", (), ()),
    "math.sigmoid": (_NN, "Sigmoid", (), ()),
}


def modern(config: Any, accepts: Accepts) -> Any:
    """The configuration for Keras 3. The one that is given stays as it is.

    Args:
        config: A model's node, {"class_name", "config"}.
        accepts: The settings that a layer's class takes in Keras 3; None where it has no such class.

    Raises:
        ModelError: if there is a layer or a setting that Keras 3 has nothing for.
    """
    return _model(copy.deepcopy(config), accepts)


def _model(node: Any, accepts: Accepts) -> Any:
    config = node["config"]
    if isinstance(config, list):  # a Sequential of early Keras 2
        config = node["config"] = {"layers": config}
    config["layers"] = [_layer(layer, accepts) for layer in config["layers"]]
    for layer in config["layers"]:
        layer.pop("module", None)  # Keras 3 then reads it as it reads all of an .h5
        layer.pop("registered_name", None)
    names = {layer["config"]["name"]: _plain(layer["config"]["name"]) for layer in config["layers"]}
    # A model within a model has a first call of its own in Keras 2, and none in Keras 3.
    inner = {layer["config"]["name"] for layer in config["layers"] if layer["class_name"] in _MODELS}
    sequential = {layer["config"]["name"] for layer in config["layers"] if layer["class_name"] == "Sequential"}
    for layer in config["layers"]:
        layer["config"]["name"] = names[layer["config"]["name"]]
        if "name" in layer:
            layer["name"] = layer["config"]["name"]
    for key in ("input_layers", "output_layers"):
        if key in config:
            config[key] = _calls(config[key], names, sequential)  # of a Functional, Keras 3 sees to it here
    for layer in config["layers"]:
        if "inbound_nodes" in layer:
            layer["inbound_nodes"] = [_calls(call, names, inner) for call in layer["inbound_nodes"]]
            if layer["class_name"] == "TFOpLambda":
                layer.update(_operation(layer))
    return node


def _layer(node: Any, accepts: Accepts) -> Any:
    """One layer; models and wrapped layers in it, too."""
    kind, config = node["class_name"], node["config"]
    if kind in _MODELS:
        return _model(node, accepts)
    if kind == "TFOpLambda":
        return node
    for key in ("layer", "backward_layer", "cell"):
        if isinstance(config.get(key), Mapping):
            config[key] = _layer(config[key], accepts)
    if isinstance(config.get("cells"), list):
        config["cells"] = [_layer(cell, accepts) for cell in config["cells"]]
    if isinstance(config.get("dtype"), Mapping):
        config["dtype"] = config["dtype"]["config"]["name"]
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        config["axis"] = config["axis"][0]
    if kind == "Lambda":
        config.update(_code(config))
    known = accepts(kind)
    if known is None:
        raise no_way(f"it has no layer {kind} ('{config.get('name')}')")
    for key in [key for key in config if key not in known | _OF_ALL and kind != "InputLayer"]:
        if not _says_nothing(key, config[key]):
            raise no_way(f"its {kind} has no setting {key} = {config[key]!r} ('{config.get('name')}')")
        del config[key]
    return node


def _code(config: Any) -> dict[str, Any]:
    """A Lambda's bytecode, which Keras 2 keeps in a list, as a node; the types beside it say nothing then."""
    if config.get("function_type") != "lambda":
        return {}
    code, defaults, closure = config["function"]
    given = {"code": code, "defaults": defaults, "closure": closure}
    said = {"function_type": None, "module": None}
    if config.get("output_shape_type", "raw") == "raw":
        said |= {"output_shape_type": None, "output_shape_module": None}
    return {"function": {"class_name": "__lambda__", "config": given}, **said}


def _says_nothing(key: str, value: Any) -> bool:
    return (
        value in (None, False, [], {})
        or key in _NEVER_MATTERS
        or key.endswith(_NOTHING_HERE)
        or (key in _NOTHING_AS and value == _NOTHING_AS[key])
    )


def _plain(name: str) -> str:
    return name.replace("/", "_")


def _calls(node: Any, names: Mapping[str, str], inner: set[str]) -> Any:
    """References to layers, ["scan", 0, 0, {…}], with their new names, and counted anew for models within."""
    if isinstance(node, Mapping):
        return {key: _calls(value, names, inner) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    if len(node) >= 3 and isinstance(node[0], str) and node[0] in names:
        index = node[1] - 1 if node[0] in inner and node[1] > 0 else node[1]
        return [names[node[0]], index, node[2], *(_calls(rest, names, inner) for rest in node[3:])]
    return [_calls(value, names, inner) for value in node]


def _operation(layer: Any) -> dict[str, Any]:
    """A TensorFlow function's node as that of a Keras operation."""
    function, name = layer["config"]["function"], _plain(layer["config"]["name"]).replace(".", "_")
    if function not in _OPERATIONS:
        raise no_way(f"it has nothing for the TensorFlow function tf.{function} ('{layer['config']['name']}')")
    module, kind, taken, made_with = _OPERATIONS[function]
    calls, settings = [], {}
    for call in layer["inbound_nodes"]:
        several = bool(call) and isinstance(call[0], list)
        tensors = [_tensor(entry) for entry in call] if several else _tensor(call)
        given = (call[0] if several else call)[3]
        settings = {key: given[key] for key in made_with if key in given}
        calls.append({"args": [tensors, *(_tensor(given[key]) for key in taken)], "kwargs": {}})
    return {
        "module": module,
        "class_name": kind,
        "registered_name": kind,
        "config": {"name": name, **settings},
        "inbound_nodes": calls,
    }


def _tensor(entry: Any) -> Any:
    """A reference to a tensor as Keras 3 spells it; a number is itself."""
    if not isinstance(entry, list):
        return entry
    if entry[0] == "_CONSTANT_VALUE":
        return entry[2]
    history = {"shape": [None], "dtype": "float32", "keras_history": entry[:3]}
    return {"class_name": "__keras_tensor__", "config": history}


def no_way(reason: str) -> ModelError:
    """What a user is told of a model that stays with legacy Keras."""
    return ModelError(
        f"Keras 3 cannot hold this model: {reason}",
        next="leave the file as it is: liteproof judges it by legacy Keras (pip install 'liteproof[legacy]')",
    )
