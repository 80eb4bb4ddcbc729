"""Whether a metric has a meaning for a variant: asked here before it is collected, and where a budget names it.

    >>> from liteproof.checks import METRICS
    >>> METRICS["accuracy"].needs
    frozenset({'labels'})
    >>> unmet(METRICS["accuracy"], model, variant)                                        # doctest: +SKIP
    'accuracy needs labels: the evaluation set has no array y'

A metric says what it needs by name (`Metric.needs`); each name is a function here, which says in a few words what a
model or a variant lacks.
"""

from __future__ import annotations

from liteproof.checks import Metric
from liteproof.plan import Model, Target, Variant, float_io_twin, same_weights_key


def unmet(metric: Metric, model: Model, variant: Variant, target: Target | None = None) -> str | None:
    """Why this metric cannot apply to this variant, or to it on this target; None if it can.

    A check that cannot apply is not collected, and a budget that names that very variant for it is an error: both
    ask here.
    """
    if model.task not in metric.tasks:
        return f"{metric.name} has no meaning for a {model.task} model"
    if "other_target" in metric.needs and target is not None and not target.remote:
        return f"{metric.name} compares another target with the host; this is the host's own interpreter"
    if "service" in metric.needs and model.service and target and model.service.url_on(target.name) is None:
        return f"{metric.name} needs a service there: [service] names none for {target.name}"
    for need in sorted(metric.needs - {"other_target"}):
        reason = _NEEDS[need](model, variant)
        if reason:
            return f"{metric.name} {reason}"
    return None


def _labels(model: Model, variant: Variant) -> str | None:  # noqa: ARG001
    return None if model.labelled else "needs labels: the evaluation set has no array y"


def _more_than_five_classes(model: Model, variant: Variant) -> str | None:  # noqa: ARG001
    if model.classes is None:
        return "needs the number of classes: give labels in [model], or y in the evaluation set"
    return None if model.classes > 5 else f"needs more than five classes; the model has {model.classes}"


def _quantized_ends(model: Model, variant: Variant) -> str | None:  # noqa: ARG001
    return (
        None if variant.promise.integer_io else f"needs integer inputs; {variant.recipe} has {variant.promise.inputs}"
    )


def _float_io_twin(model: Model, variant: Variant) -> str | None:
    if float_io_twin(model, variant) is not None:
        return None
    return "needs a variant of recipe int8_float_io by the same toolchain beside it, and integer ends"


def _not_float32(model: Model, variant: Variant) -> str | None:
    return (
        "compares a variant with the float32 one; this is the float32 one" if variant.key == model.float32_key else None
    )


def _float32_of_same_weights(model: Model, variant: Variant) -> str | None:
    key = same_weights_key(model, variant)
    if key is None:
        return f"needs the float model that '{variant.name}' was trained as: float32 = \"….tflite\" beside its file"
    return "compares a variant with the float32 file of its weights; this is that one" if key == variant.key else None


def _pruned(model: Model, variant: Variant) -> str | None:  # noqa: ARG001
    return None if variant.promise.training == "pruning" else f"needs a recipe that prunes; {variant.recipe} does not"


def _integer_activations(model: Model, variant: Variant) -> str | None:  # noqa: ARG001
    promise = variant.promise
    if promise.quantized_activations:
        return None
    return f"needs integer activations; {variant.recipe} has {promise.activations}"


def _vouches_for_float32(model: Model, variant: Variant) -> str | None:
    """Weights are held to the float32 variant's, so that one is held to the source: in its own case if it is judged."""
    judged = any(other.key == model.float32_key for other in model.variants)
    if variant.recipe == "float32" or not judged:
        return None
    return "is measured in the case of the float32 variant"


def _probabilities(model: Model, variant: Variant) -> str | None:  # noqa: ARG001
    return "needs probabilities; the model's outputs are declared as logits" if model.outputs == "logits" else None


def _calibration_set(model: Model, variant: Variant) -> str | None:
    """The set must have decided this file's ranges, and must be readable without running the manifest's code."""
    if not variant.promise.calibrated:
        return f"needs a recipe that is calibrated; {variant.recipe} is not"
    if variant.file is not None:
        return f"needs a variant that is converted here; what {variant.name} was calibrated on is not known"
    if model.calibration is None:
        return "needs a calibration set"
    return None


def _calibration_file(model: Model, variant: Variant) -> str | None:
    """A file that was handed over may have been calibrated on the set, too; only its owner knows."""
    if not variant.promise.calibrated:
        return f"needs a recipe that is calibrated; {variant.recipe} is not"
    if model.calibration is None:
        return "needs a calibration set"
    return None


def _service(model: Model, variant: Variant) -> str | None:
    if model.service is None:
        return "needs [service] in model.toml: a prediction service to be judged"
    served = model.service.variant
    return None if served == variant.name else f"is measured in the case of {served}, which the service serves"


_NEEDS = {
    "service": _service,
    "labels": _labels,
    "more_than_five_classes": _more_than_five_classes,
    "quantized_ends": _quantized_ends,
    "float_io_twin": _float_io_twin,
    "not_float32": _not_float32,
    "float32_of_same_weights": _float32_of_same_weights,
    "pruned": _pruned,
    "integer_activations": _integer_activations,
    "vouches_for_float32": _vouches_for_float32,
    "probabilities": _probabilities,
    "calibration_set": _calibration_set,
    "calibration_file": _calibration_file,
}
