"""A Keras 3 model once more in tf-keras (Keras 2), for tools that know no other.

    >>> legacy = rebuilt(keras_model, samples)                                   # doctest: +SKIP
    >>> type(legacy).__module__.split(".")[0]                                    # doctest: +SKIP
    'tf_keras'

Layer for layer, from each layer's settings, in the order of the graph; weights are copied. That is faithful for
built-in layers whose settings mean the same in both, and whether it was is not assumed: the two models answer the same
samples. Initializers, regularizers and constraints are left out: the first do nothing any more, the others act in
training only.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.errors import ModelError

KerasModel = Any

_LEFT_OUT = ("_initializer", "_regularizer", "_constraint")
# float32 sums in another order differ by 1e-6 of the largest output in networks of a hundred layers.
_FAITHFUL = 1e-4
_WAY_OUT = (
    "save the source with tf-keras in the .h5 format (TF_USE_LEGACY_KERAS=1; tf_keras.Model.save), or choose a recipe "
    "that does not train"
)


def rebuilt(model: KerasModel, samples: Sequence[npt.NDArray[Any]]) -> KerasModel:
    """A tf-keras model that computes what a Keras 3 model does.

    Args:
        model: A Sequential or functional model.
        samples: A few samples for each input, in order, shape (k, …).

    Raises:
        ModelError: if it is of a class of its own, if tf-keras does not have one of its layers, or if the outputs
            of the two differ.
    """
    import keras

    function = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not isinstance(function, keras.Function):
        raise _refused("it is a class of its own, neither Sequential nor functional")
    layers = _Layers()
    legacy = _wired(function, layers, model.name)
    for layer in function.layers:
        if layers.has(layer):
            layers.of(layer).set_weights(layer.get_weights())
    _require_same_answers(model, legacy, samples)
    return legacy


def given_back(model: KerasModel, legacy: KerasModel) -> KerasModel:
    """A copy of the Keras 3 model with the weights of a tf-keras one that was rebuilt from it.

    The two compute the same, but a batch normalization of Keras 3 is made of other operators, which the converter folds
    elsewhere: so the float file of trained weights is converted from the Keras that the source's was converted from.
    """
    import keras

    copied = keras.models.clone_model(model)
    for layer in copied.layers:
        if layer.weights:
            layer.set_weights(legacy.get_layer(layer.name).get_weights())
    return copied


class _Layers:
    """tf-keras' layers by the Keras 3 ones that they stand for, each made once."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def has(self, layer: Any) -> bool:
        """Whether there is one for it yet."""
        return id(layer) in self._made

    def of(self, layer: Any) -> Any:
        """The layer that stands for it."""
        if not self.has(layer):
            self._made[id(layer)] = _legacy_layer(layer)
        return self._made[id(layer)]


def _wired(function: Any, layers: _Layers, name: str) -> KerasModel:
    """The same graph of tf-keras' layers. Keras walks it, as it does for each call of a functional model."""
    import tf_keras
    from keras import tree

    inputs = [
        tf_keras.Input(tuple(tensor.shape)[1:], batch_size=tensor.shape[0], name=tensor.name, dtype=str(tensor.dtype))
        for tensor in function.inputs
    ]
    try:
        outputs = function._run_through_graph(
            tree.pack_sequence_as(function._inputs_struct, inputs), operation_fn=layers.of
        )
    except ModelError:
        raise
    except Exception as error:  # Keras and tf-keras raise what their parts raise
        raise _refused(" ".join(str(error).split())[:200] or type(error).__name__) from error
    return tf_keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs, name=name)


def _legacy_layer(layer: Any) -> Any:
    import keras
    import tf_keras

    kind = getattr(tf_keras.layers, type(layer).__name__, None)
    if (
        kind is None
        or type(layer) is not getattr(keras.layers, type(layer).__name__, None)
        or kind.__name__ == "Lambda"
    ):
        raise _refused(f"tf-keras has no layer like '{layer.name}' ({type(layer).__name__})")
    config = {name: value for name, value in layer.get_config().items() if name != "dtype"}
    config = {name: value for name, value in config.items() if not name.endswith(_LEFT_OUT)}
    unknown = {name: value for name, value in config.items() if name not in _settings(kind)}
    meant = [name for name, value in unknown.items() if value not in (None, False)]
    if meant:
        raise _refused(f"tf-keras' {type(layer).__name__} does not know {', '.join(meant)} of '{layer.name}'")
    return kind.from_config({name: value for name, value in config.items() if name not in unknown})


def _settings(kind: type) -> set[str]:
    """What a class takes, its parents' settings included."""
    parameters: Mapping[str, Any] = {}
    for base in kind.__mro__[:-1]:
        parameters = {**parameters, **inspect.signature(base.__init__).parameters}  # type: ignore[misc]
    return {"name", "trainable", *parameters}


def _require_same_answers(model: KerasModel, legacy: KerasModel, samples: Sequence[npt.NDArray[Any]]) -> None:
    fed = list(samples) if len(samples) > 1 else samples[0]
    expected, found = _flat(model(fed, training=False)), _flat(legacy(fed, training=False))
    for theirs, ours in zip(expected, found, strict=True):
        largest = float(np.abs(theirs).max(initial=0.0)) or 1.0
        error = float(np.abs(theirs - ours).max(initial=0.0)) / largest if theirs.shape == ours.shape else float("inf")
        if not error <= _FAITHFUL:
            raise _refused(f"once rebuilt, its outputs differ by {error:.2g} of the largest")


def _flat(outputs: Any) -> list[npt.NDArray[Any]]:
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    return [np.asarray(output) for output in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def _refused(why: str) -> ModelError:
    return ModelError(
        "tensorflow-model-optimization takes models of tf-keras (Keras 2) only, and this Keras 3 model cannot be "
        f"rebuilt as one: {why}",
        next=_WAY_OUT,
    )
