"""Training a source further: aware of quantization, or while its smallest weights are pruned away.

    >>> trained = train(keras_model, "aware", settings, x, y, loss, report)      # doctest: +SKIP
    >>> trained.aware is not None, trained.losses                                # doctest: +SKIP
    (True, [0.0312, 0.0287])

tensorflow-model-optimization does it, which knows models of tf-keras (Keras 2) only; `rebuilding` makes one of a
Keras 3 model. Beside the model that is quantization-aware comes a plain one of the same weights: the float model that
the quantized file is held to. The same source, data and settings give the same weights to the bit on one kind of
processor: the seed decides the order of the samples, and operators are told to be deterministic.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liteproof.errors import ModelError, UsageError

KerasModel = Any  # tf_keras.Model, which is not typed
Report = Callable[[str, int, int], None]

# Pruning raises the sparsity in steps over this part of the training and leaves the rest to recover.
_PRUNED_UNTIL = 0.6
_PRUNING_STEPS = 20
_SECONDS_BETWEEN_REPORTS = 2.0
# As many as ranges of activations begin from.
_SAMPLES_FOR_RANGES = 1000


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        epochs: Times through the data.
        batch_size: Samples of one step.
        learning_rate: Of Adam.
        seed: Decides the order of the samples, and dropout.
        sparsity: Share of each layer's weights that pruning sets to zero; 0 for other training.
        loss: A loss that tf-keras knows by name; None: as the task has it.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    sparsity: float = 0.0
    loss: str | None = None


@dataclass(frozen=True)
class Trained:
    """What training gave.

    Attributes:
        float32: The source's own architecture with the new weights.
        aware: The same with fake quantization, from which the integer file is converted; None after pruning.
        losses: The mean loss of each epoch.
    """

    float32: KerasModel
    aware: KerasModel | None
    losses: tuple[float, ...]


def train(
    source: KerasModel,
    method: str,
    settings: Settings,
    x: Sequence[npt.NDArray[Any]],
    y: npt.NDArray[Any],
    loss: Any,
    report: Report = lambda *_: None,
) -> Trained:
    """Train a copy of a model further.

    Args:
        source: A tf-keras model; it stays as it is.
        method: "aware" or "pruning".
        settings: How.
        x: An array for each of the model's inputs, in its order, shape (n, …).
        y: What it should answer, shape (n, …).
        loss: A tf-keras loss, or its name.
        report: Hears how far it is: in a few words, the steps that are done, and of how many.

    Raises:
        ModelError: if the model has several outputs, if tensorflow-model-optimization does not take one of the layers,
            or if the weights diverge.
    """
    import tf_keras

    if len(source.outputs) > 1:
        raise ModelError(
            f"the source has {len(source.outputs)} outputs, and training further knows what one of them should be",
            next="choose a recipe that does not train, or train it yourself and hand the file over: file = …",
        )
    with _deterministic(settings.seed):
        plain = tf_keras.models.clone_model(source)
        plain.set_weights(source.get_weights())
        steps = settings.epochs * math.ceil(len(y) / settings.batch_size)
        wrapped, callbacks = _aware(plain, x) if method == "aware" else _pruned(plain, settings.sparsity, steps)
        wrapped.compile(optimizer=tf_keras.optimizers.Adam(settings.learning_rate), loss=loss)
        history = wrapped.fit(
            list(x) if len(x) > 1 else x[0],
            y,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            verbose=0,
            callbacks=[*callbacks, _reporter(report, settings.epochs, steps)],
        )
        losses = tuple(float(value) for value in history.history["loss"])
        _require_finite(wrapped, losses)
        if method == "aware":
            _settle_ranges(wrapped)
            _copy_weights(wrapped, plain)
            return Trained(plain, wrapped, losses)
        return Trained(_stripped(wrapped), None, losses)


@contextlib.contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Seeds set, names counted anew and operators deterministic inside; other work is not slowed down by it."""
    import tensorflow as tf
    import tf_keras
    from tensorflow.python.framework.config import disable_op_determinism

    tf_keras.utils.set_random_seed(seed)
    tf_keras.backend.reset_uids()  # names end up in the file
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        disable_op_determinism()


# -- aware of quantization --------------------------------------------------------------------------------------------


def _aware(plain: KerasModel, x: Sequence[npt.NDArray[Any]]) -> tuple[KerasModel, list[Any]]:
    from tensorflow_model_optimization.quantization.keras import quantize_model

    aware = _taken(lambda: quantize_model(plain), "quantization-aware training")
    _start_ranges(aware, plain, [array[:_SAMPLES_FOR_RANGES] for array in x])
    return aware, []


def _start_ranges(aware: KerasModel, plain: KerasModel, samples: Sequence[npt.NDArray[Any]]) -> None:
    """Let each activation's range begin at what it takes now.

    The tool begins at [-6, 6] and moves by a thousandth of the way at each step: after a hundred steps, a usual
    fine-tuning, logits that reach 13 would still be cut off at 6.
    """
    import tf_keras

    ranges = {weight.name: weight for weight in aware.weights if weight.name.endswith(("_min:0", "_max:0"))}
    places = {
        name.removesuffix("_min:0"): tensor
        for layer in plain.layers
        for name, tensor in _parts(layer, {name for name in ranges if name.startswith(f"quant_{layer.name}/")})
    }
    seen = {}
    if places:
        fed = list(samples) if len(samples) > 1 else samples[0]
        seen = tf_keras.Model(plain.inputs, places).predict(fed, verbose=0)
    if "quantize_layer/quantize_layer_min:0" in ranges and len(samples) == 1:
        seen["quantize_layer/quantize_layer"] = samples[0]
    for prefix, values in seen.items():
        # 0 is in every range: padding and ReLU give it.
        ranges[f"{prefix}_min:0"].assign(min(float(np.min(values)), 0.0))
        ranges[f"{prefix}_max:0"].assign(max(float(np.max(values)), 0.0))


def _parts(layer: Any, ranges: set[str]) -> Iterator[tuple[str, Any]]:
    """The tensors of a layer whose ranges the tool follows, by its names: the output, what goes into the activation."""
    for part in ("output", "post_activation"):
        if f"quant_{layer.name}/{part}_min:0" in ranges:
            yield f"quant_{layer.name}/{part}_min:0", layer.output
    if f"quant_{layer.name}/pre_activation_min:0" in ranges:
        # A twin, since a layer's activation is looked up when the model runs.
        linear = type(layer).from_config({**layer.get_config(), "activation": "linear", "name": f"{layer.name}_linear"})
        before = linear(layer.input)
        linear.set_weights(layer.get_weights())
        yield f"quant_{layer.name}/pre_activation_min:0", before


def _settle_ranges(aware: KerasModel) -> None:
    """The ranges of weights are of the last step's beginning: take those of its end, so that no weight is cut off."""
    for wrapper in aware.layers:
        for weight, quantizer, variables in getattr(wrapper, "_weight_vars", ()):
            quantizer(weight, True, weights=variables)


def _copy_weights(aware: KerasModel, plain: KerasModel) -> None:
    """Give the plain model the weights of the one that was trained, by their names.

    Raises:
        ModelError: if a layer was rewritten, so that its weights are no longer there as they were.
    """
    trained = {weight.name: weight for weight in aware.weights}
    for weight in plain.weights:
        found = trained.get(weight.name)
        if found is None or found.shape != weight.shape:
            raise ModelError(
                f"quantization-aware training rewrites the layer of '{weight.name}', so no float model of the same "
                "weights is left to hold the file to",
                next="build that layer of simpler ones (a DepthwiseConv2D and a Conv2D for a SeparableConv2D)",
            )
        weight.assign(found)


# -- pruning ----------------------------------------------------------------------------------------------------------


def _pruned(plain: KerasModel, sparsity: float, steps: int) -> tuple[KerasModel, list[Any]]:
    from tensorflow_model_optimization.sparsity.keras import PolynomialDecay, UpdatePruningStep, prune_low_magnitude

    every = max(1, int(steps * _PRUNED_UNTIL) // _PRUNING_STEPS)
    last = max(int(steps * _PRUNED_UNTIL) // every, 1) * every  # a multiple: the last step must be one that prunes
    schedule = PolynomialDecay(0.0, sparsity, begin_step=0, end_step=last, frequency=every)
    wrapped = _taken(lambda: prune_low_magnitude(plain, pruning_schedule=schedule), "pruning")
    return wrapped, [UpdatePruningStep()]


def _stripped(wrapped: KerasModel) -> KerasModel:
    from tensorflow_model_optimization.sparsity.keras import strip_pruning

    return strip_pruning(wrapped)


# -- both -------------------------------------------------------------------------------------------------------------


def _taken(wrap: Callable[[], KerasModel], what: str) -> KerasModel:
    try:
        return wrap()
    except (ValueError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"tensorflow-model-optimization does not take this network for {what}: {_sentence(str(error))}",
            next="replace the layer that it names (a BatchNormalization must follow a convolution at once), or take a "
            "recipe that does not train (int8, int16x8)",
        ) from error


def _sentence(text: str) -> str:
    return " ".join(text.split())[:300]


def _reporter(report: Report, epochs: int, steps: int) -> Any:
    """A callback that reports after each epoch, and every few seconds in long ones."""
    import tf_keras

    step, told = 0, time.monotonic()

    def after_step(_: int, logs: Mapping[str, float]) -> None:
        nonlocal step
        step += 1
        if time.monotonic() - told > _SECONDS_BETWEEN_REPORTS:
            tell(logs)

    def after_epoch(_: int, logs: Mapping[str, float]) -> None:
        tell(logs)

    def tell(logs: Mapping[str, float]) -> None:
        nonlocal told
        told = time.monotonic()
        epoch = math.ceil(step * epochs / steps)
        report(f"epoch {epoch} of {epochs}, loss {logs['loss']:.4g}", step, steps)

    return tf_keras.callbacks.LambdaCallback(on_batch_end=after_step, on_epoch_end=after_epoch)


def _require_finite(model: KerasModel, losses: Sequence[float]) -> None:
    if np.isfinite(losses).all() and all(np.isfinite(weight).all() for weight in model.get_weights()):
        return
    raise ModelError(
        f"training diverged: the losses of its epochs are {', '.join(f'{loss:.4g}' for loss in losses)}",
        next="a smaller learning_rate, or another loss",
    )


# -- what it is trained for -------------------------------------------------------------------------------------------


def loss_for(task: str, *, logits: bool, named: str | None, compiled: str | None) -> Any:
    """The loss to train with.

    Args:
        task: "classification", "binary" or "regression".
        logits: Whether a classifier's outputs are logits.
        named: The loss that the manifest names.
        compiled: Name of the loss that the source was compiled with; it counts for a regression, since classifiers are
            trained on class numbers here, whatever they were trained on before.

    Raises:
        UsageError: if tf-keras does not know the named loss.
    """
    import tf_keras

    if named is not None:
        try:
            return tf_keras.losses.get(named)
        except ValueError as error:
            raise UsageError(
                f'loss = "{named}" is none that tf-keras knows',
                expected='a name such as "huber", "mean_absolute_error", "sparse_categorical_crossentropy"',
                next="correct the name, or leave it out",
            ) from error
    if task == "classification":
        return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    if task == "binary":
        return tf_keras.losses.BinaryCrossentropy(from_logits=logits)
    try:
        return tf_keras.losses.get(compiled or "mean_squared_error")
    except ValueError:  # one of the source's own
        return tf_keras.losses.MeanSquaredError()


def compiled_loss(path: Path) -> str | None:
    """The name of the loss that a Keras file says its model was compiled with; None if it does not say.

    The model itself is loaded without it, since a loss may be code.
    """
    try:
        found = _training_config(path)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    loss = found.get("loss") if isinstance(found, dict) else None
    if isinstance(loss, dict):
        named = loss.get("config")
        loss = named.get("name") if isinstance(named, dict) else named or loss.get("class_name")
    return loss if isinstance(loss, str) else None


def _training_config(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json")).get("compile_config")
    import h5py

    with h5py.File(path) as file:
        return json.loads(file.attrs["training_config"])
