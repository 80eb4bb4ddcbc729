"""Loading a trained original, and exporting it once for all recipes.

    >>> source = load(model, root=".")                              # doctest: +SKIP
    >>> source.inputs                                               # doctest: +SKIP
    (Input(name='scan', shape=(None, 8, 8, 1), dtype='float32'),)
    >>> source.function(scan=images)["output_0"].shape              # doctest: +SKIP
    TensorShape([256, 10])
    >>> export(source, Path("exported"))                            # doctest: +SKIP

The export holds one function with the weights as constants, for speed: TFLiteConverter loads a SavedModel three times
over for each variant. Of MobileNetV2 this one takes a quarter of the time to write that Keras' own export takes, and a
quarter to convert, and the outputs of the `.tflite` are the same to the bit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from liteproof.convert import keras_source
from liteproof.convert.data import unchanged
from liteproof.errors import ModelError
from liteproof.manifest.source import SAVEDMODEL, Input
from liteproof.plan import Model

SIGNATURE = "serving_default"
_INPUTS = "inputs.json"


@dataclass(frozen=True)
class Source:
    """A loaded source.

    Attributes:
        inputs: What it takes; None for free dimensions.
        outputs: The names of its outputs in its own order, as its signature spells them.
        function: Takes a tensor for each input's name, returns one for each output's. A concrete tf.function.
        parameters: Number of its weights' values, those that are not trained included.
        activation: Name of the last layer's activation; None where the source does not tell.
        owner: What holds the weights.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    function: Any
    parameters: int
    activation: str | None
    owner: Any


def load(model: Model, root: str) -> Source:
    """Load a Keras file or a SavedModel.

    Raises:
        ModelError: if it is broken or of a kind that cannot be loaded here; with the reason.
        UsageError: if the manifest must allow more for it to be loaded: trust, or custom objects.
    """
    path = unchanged(model.source)
    if model.source_kind == "savedmodel":
        return _from_savedmodel(path, model.name)
    return from_keras(keras_source.load(keras_source.of_model(model, root, path)))


def export(source: Source, folder: Path) -> None:
    """Write the source as a SavedModel of one function. The batch stays as free as the source leaves it."""
    import tensorflow as tf

    module = tf.Module()
    if _freezable(source.function):
        function = _frozen(source.function)
    else:
        function, module.owner = source.function, source.owner
        # Through Keras' objects the converter does not find the values of variables, and writes a file that reads them
        # without anybody having set them.
        module.weights = list(function.variables)
    serve = tf.function(lambda **values: _named(function(**values), source.outputs), autograph=False)
    specs = {given.name: tf.TensorSpec(given.shape, given.dtype, given.name) for given in source.inputs}
    module.function = function
    # Nobody trains what is exported, and swish has a gradient of its own, which cannot be saved of a frozen function.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), serve.get_concrete_function(**specs), options)
    (folder / _INPUTS).write_bytes(msgspec.json.encode(source.inputs))


def exported_inputs(folder: Path) -> tuple[Input, ...]:
    """What an exported source takes."""
    return msgspec.json.decode((folder / _INPUTS).read_bytes(), type=tuple[Input, ...])


# -- one function -----------------------------------------------------------------------------------------------------


def _freezable(function: Any) -> bool:
    """Whether all that it holds are weights and constants. Tables and other resources cannot become constants."""
    import tensorflow as tf

    weights = {id(variable.handle) for variable in function.variables}
    resources = (held for held in function.captured_inputs if held.dtype in (tf.resource, tf.variant))
    return all(id(held) in weights for held in resources)


def _frozen(function: Any) -> Any:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(function, lower_control_flow=False)


def _named(outputs: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Outputs by name. A frozen function has lost the names, and gives its outputs in the names' alphabetical order."""
    if isinstance(outputs, Mapping):
        return outputs
    flat = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    return dict(zip(sorted(names), flat, strict=True))


# -- SavedModel -------------------------------------------------------------------------------------------------------


def _from_savedmodel(path: Path, name: str) -> Source:
    import numpy as np
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises what its parts raise
        raise _does_not_load(name, _savedmodel_reason(str(error), path), str(path)) from error
    function = _serving(loaded.signatures, path, name)
    inputs = tuple(
        Input(key, tuple(spec.shape) if spec.shape.rank is not None else (), spec.dtype.name)
        for key, spec in function.structured_input_signature[1].items()
    )
    return Source(
        inputs=inputs,
        outputs=tuple(function.structured_outputs),
        function=function,
        parameters=int(sum(np.prod(variable.shape) for variable in function.variables)),
        activation=None,
        owner=loaded,
    )


def _serving(signatures: Mapping[str, Any], path: Path, name: str) -> Any:
    """The signature that is served: `serving_default`, or the only one there is."""
    if SIGNATURE in signatures or len(signatures) == 1:
        return signatures[SIGNATURE] if SIGNATURE in signatures else next(iter(signatures.values()))
    found = f"signatures {', '.join(signatures)}" if signatures else "no signature"
    raise ModelError(
        f"the source of {name} has {found}",
        expected=SIGNATURE,
        where=str(path),
        next="export it with model.export(), or with signatures=… in tf.saved_model.save",
    )


def _savedmodel_reason(text: str, path: Path) -> str:
    unknown = re.search(r"Op type not registered '([^']+)'", text)
    if unknown:
        names = _unregistered(path) or [unknown[1]]
        return f"it needs custom operators, which this TensorFlow does not have: {', '.join(names)}"
    if "Cannot parse file" in text or "Wire format" in text or "SavedModel file does not exist" in text:
        return "it is damaged: saved_model.pb cannot be read"
    return _first_sentence(text)


def _unregistered(path: Path) -> list[str]:
    """The operators of a SavedModel's graphs that this TensorFlow does not know; each once, in order."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.python.framework import op_def_registry

    graphs = [meta.graph_def for meta in SavedModel.FromString((path / SAVEDMODEL).read_bytes()).meta_graphs]
    functions = {function.signature.name for graph in graphs for function in graph.library.function}
    parts = [part for graph in graphs for part in (graph.node, *(f.node_def for f in graph.library.function))]
    used = dict.fromkeys(node.op for part in parts for node in part)
    return [name for name in used if name not in functions and op_def_registry.get(name) is None]


# -- Keras ------------------------------------------------------------------------------------------------------------


def from_keras(keras_model: Any) -> Source:
    """The function of a Keras model: one argument for each input, outputs named as `model.export()` names them."""
    import tensorflow as tf

    if not getattr(keras_model, "inputs", None):
        return _through_export(keras_model)
    inputs = tuple(
        Input(_argument(tensor.name), tuple(tensor.shape), _type(tensor.dtype)) for tensor in keras_model.inputs
    )
    names = [given.name for given in inputs]

    def serve(**values: Any) -> Mapping[str, Any]:
        ordered = [values[name] for name in names]
        return _outputs(keras_model(ordered if len(ordered) > 1 else ordered[0], training=False))

    specs = {given.name: tf.TensorSpec(given.shape, given.dtype, given.name) for given in inputs}
    function = tf.function(serve, autograph=False).get_concrete_function(**specs)
    return Source(
        inputs=inputs,
        outputs=tuple(function.structured_outputs),
        function=function,
        parameters=int(keras_model.count_params()),
        activation=_last_activation(keras_model),
        owner=keras_model,
    )


def _through_export(keras_model: Any) -> Source:
    """A model of a class of its own declares no inputs: Keras' export finds out what it was built with."""
    import dataclasses
    import tempfile

    with tempfile.TemporaryDirectory(prefix="liteproof-") as folder:
        keras_model.export(folder)
        source = _from_savedmodel(Path(folder), keras_model.name)
    return dataclasses.replace(source, activation=_last_activation(keras_model))


def _outputs(result: Any) -> Mapping[str, Any]:
    if isinstance(result, Mapping):
        return {str(name): tensor for name, tensor in result.items()}
    flat = list(result) if isinstance(result, (list, tuple)) else [result]
    return {f"output_{i}": tensor for i, tensor in enumerate(flat)}


def _type(dtype: Any) -> str:
    """The type of an input's tensor: Keras 3 writes its name, legacy Keras has TensorFlow's object."""
    return str(getattr(dtype, "name", dtype))


def _argument(name: str) -> str:
    """An input's name as a signature can spell it."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if plain[:1].isalpha() else f"input_{plain}"


def _last_activation(keras_model: Any) -> str | None:
    layers = getattr(keras_model, "layers", None) or []
    if not layers or len(keras_model.outputs or []) > 1:
        return None
    last = layers[-1]
    activation = getattr(last, "activation", None)
    return getattr(activation, "__name__", None) or type(last).__name__.lower()


def _first_sentence(text: str) -> str:
    """The line that says something."""
    return " ".join(text.strip().splitlines()[0].split())[:400]


def _does_not_load(name: str, reason: str, where: str) -> ModelError:
    return ModelError(f"the source of {name} does not load: {reason}", where=where)
