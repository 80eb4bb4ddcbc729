"""What the float32 `.tflite` of a source holds, or will hold once it is converted.

    >>> of_description(describe(Path("mobilenet.h5"), "h5")).file_bytes     # doctest: +SKIP
    1653392

Of a Keras file it is estimated: batch normalisations fold into the weights before them, every kernel gets a bias, and
each remaining layer costs its tables and names. `LAYER_BYTES` is measured on the example models.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from liteproof.convert.tasks import Event
from liteproof.errors import LiteproofError, ModelError, UsageError
from liteproof.manifest.description import Description, Weight
from liteproof.manifest.place import shown
from liteproof.manifest.resolve import load_plan
from liteproof.manifest.source import Input
from liteproof.manifest.writing import Draft, manifest_text
from liteproof.store import Store
from liteproof.tflite.facts import End, Facts, ParameterTensor

# Tables, names and metadata of a float32 file: for a file, and for each operator.
FILE_BYTES, LAYER_BYTES = 1_500, 690
# Layers that leave no operator of their own: folded, fused, or there for training only.
_FOLDED = frozenset({"BatchNormalization", "Dropout", "ReLU", "Activation", "InputLayer", "GaussianNoise", "Identity"})
_SAMPLES = 12


# -- estimated --------------------------------------------------------------------------------------------------------


def of_description(described: Description) -> Facts:
    """Facts of the float32 `.tflite` that a Keras file or SavedModel will become, estimated from its weights."""
    tensors = tuple(_tensors(described.weights))
    operators = sum(count for kind, count in described.layers.items() if kind not in _FOLDED)
    parameters = sum(tensor.elements for tensor in tensors)
    overhead = FILE_BYTES + LAYER_BYTES * max(1, operators if described.kind != "savedmodel" else len(tensors) // 2)
    ends = tuple(
        End(one.name, tuple(size or 1 for size in one.shape), one.dtype, 0.0, 0) for one in described.inputs or ()
    )
    return Facts(
        file_bytes=4 * parameters + overhead,
        parameters=parameters,
        parameter_tensors=tensors,
        elements_by_type={"FLOAT32": parameters},
        bytes_by_type={"FLOAT32": 4 * parameters},
        constant_bytes=4 * parameters,
        overhead_bytes=overhead,
        activations=operators + len(ends),
        operators=(),
        float_operators=(),
        quantization="none",
        inputs=ends,
        outputs=tuple(End("", (), "FLOAT32", 0.0, 0) for _ in described.outputs),
        custom_operators=(),
        flex_operators=(),
        min_runtime_version="",
    )


def _tensors(weights: Sequence[Weight]) -> Iterator[ParameterTensor]:
    """Weights after folding, layer by layer."""
    for layer, group in itertools.groupby(weights, key=_layer):
        given = list(group)
        kernels = [weight for weight in given if len(weight.shape) > 1]
        for kernel in kernels:
            operator = _operator(kernel)
            channels = kernel.shape[-2] * kernel.shape[-1] if operator.startswith("DEPTHWISE") else kernel.shape[-1]
            size = kernel.elements
            yield ParameterTensor(layer, "weight", operator, "FLOAT32", size, channels, 4 * size)
            yield ParameterTensor(f"{layer}/bias", "bias", operator, "FLOAT32", channels, channels, 4 * channels)
        if not kernels and len(given) < 3:  # three or four vectors of one length are a batch normalisation
            for weight in given:
                yield ParameterTensor(weight.name, "other", "", "FLOAT32", weight.elements, 1, 4 * weight.elements)


def _layer(weight: Weight) -> str:
    return weight.name.rpartition("/")[0] or weight.name


def _operator(kernel: Weight) -> str:
    """What will read a kernel; a depthwise one, as Keras lays it, ends in its multiplier, which is nearly always 1."""
    if len(kernel.shape) == 4 and ("depthwise" in kernel.name.lower() or kernel.shape[-1] == 1 < kernel.shape[-2]):
        return "DEPTHWISE_CONV_2D"
    return "CONV_2D" if len(kernel.shape) > 2 else "FULLY_CONNECTED"


# -- converted --------------------------------------------------------------------------------------------------------


def converted(
    source: Path,
    described: Description,
    recipe: str,
    progress: Callable[[Event], None] = lambda _: None,
    store: Store | None = None,
) -> Path:
    """The `.tflite` of a source by a recipe, for its graph: a calibrated one is calibrated on random values.

    A float32 file is the one that a run would make, and is kept for it.

    Raises:
        UsageError: if TensorFlow is missing, or the source's inputs do not tell their shape.
        ModelError: if it does not convert.
    """
    from liteproof.convert.conversion import prepare

    kept = store or Store.default()
    with tempfile.TemporaryDirectory(prefix="liteproof-") as workplace:
        folder = Path(workplace) / "models" / "advised"
        folder.mkdir(parents=True)
        _write_random(folder, described.inputs, source)
        draft = Draft(
            "advised", str(source.absolute()), "regression", calibration="calibration.npz", variants={recipe: ""}
        )
        text = manifest_text(draft).replace("[model]", "[model]\nallow_outside = true", 1)
        (folder / "model.toml").write_text(text, encoding="utf-8")
        plan = load_plan([folder], root=Path(workplace), store=kept)
        (case,) = plan.cases()
        prepare(plan, kept, [case], progress=progress)
    entry = kept.get(case.variant.key)
    if entry is None:
        raise ModelError(kept.failure(case.variant.key) or "it does not convert", where=shown(source))
    return entry.path


def _write_random(folder: Path, inputs: tuple[Input, ...] | None, source: Path) -> None:
    if not inputs or any(size is None for one in inputs for size in one.shape[1:]):
        raise UsageError(
            "the source does not tell the shape of its inputs, or leaves a size free",
            expected="a model of fixed input sizes",
            where=shown(source),
        )
    random = np.random.default_rng(0)
    for name in ("evaluation", "calibration"):
        arrays = {}
        for one in inputs:
            values = random.uniform(0.0, 1.0, (_SAMPLES, *(size or 1 for size in one.shape[1:])))
            arrays["x" if len(inputs) == 1 else one.name] = values.astype(one.dtype)
        np.savez(folder / f"{name}.npz", **arrays)


def why_not(error: LiteproofError) -> str:
    """A failure in one line."""
    return " ".join(part for part in (error.found, f"({error.next})" if error.next else "") if part)
