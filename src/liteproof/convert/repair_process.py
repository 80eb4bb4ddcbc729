"""One of the two processes of `liteproof repair`: `python -m liteproof.convert.repair_process ORDER`.

It reads the old file or writes the new one, as the order says (JSON of `repair.Order`), answers on standard output, and
ends with status 3 where the answer is an error for the user. Standard output leads to the log while Keras is at work.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from liteproof.convert import keras_source
from liteproof.convert.keras_package import KERAS, LEGACY
from liteproof.convert.modern_config import modern, no_way
from liteproof.convert.repair import HALF_TOLERANCE, SAMPLES, TOLERANCE, Order, Repaired
from liteproof.errors import LiteproofError, ModelError, UsageError
from liteproof.packages import installed

SEED = 0
ANSWERED, FAILED = 0, 3

Arrays = dict[str, npt.NDArray[Any]]


def main(order: Order) -> int:
    """Do the step and write the answer."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    try:
        done = _STEPS[order.step](order)
    except LiteproofError as error:
        parts = (type(error).__name__, error.found, error.expected, error.where, error.next)
        answers.write(msgspec.json.encode(parts))
        return FAILED
    except Exception as error:  # Keras raises what its parts raise
        traceback.print_exc()
        said = " ".join((str(error).strip().splitlines() or [""])[0].split())[:300]
        reason = f"Keras cannot {order.step} it: {type(error).__name__}: {said}"
        answers.write(msgspec.json.encode(("ModelError", reason, "", order.source, "")))
        return FAILED
    answers.write(msgspec.json.encode(done))
    return ANSWERED


def _read(order: Order) -> None:
    """Load the old file by the Keras that reads it; leave its answers, its weights' digests and an .h5 for Keras 3."""
    model = keras_source.load(_request(order, Path(order.source), order.kind, order.keras))
    fed = _seeded_inputs(model)
    folder = Path(order.folder)
    np.savez(folder / "inputs.npz", **fed)
    np.savez(folder / "outputs.npz", **_answers(model, fed))
    (folder / "weights.json").write_text(json.dumps(_digests(model)))
    if order.keras == LEGACY and order.kind == "keras":
        model.save(folder / "old.h5", include_optimizer=False)


def _write(order: Order) -> Repaired:
    """Write the new file by Keras 3, load it again, and compare."""
    folder = Path(order.folder)
    objects = _objects(order)() if order.custom_objects else {}
    model = _by_keras_3(order, objects)
    model.save(order.out)
    request = _request(order, Path(order.out), "keras", KERAS)
    again = keras_source.load(request)
    wanted = json.loads((folder / "weights.json").read_text())
    if Counter(_digests(again)) != Counter(wanted):
        raise ModelError("what Keras 3 makes of it has other weights; nothing was written", where=order.source)
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        answers = _answers(again, dict(inputs))
        difference, largest = _compared(dict(outputs), answers)
    half = any(str(getattr(layer, "compute_dtype", "")) == "float16" for layer in again.layers)
    return Repaired(
        wrote=None,
        writes=installed(KERAS) or "",
        arrays=len(wanted),
        parameters=int(again.count_params()),
        samples=len(next(iter(answers.values()))),
        difference=difference,
        largest=largest,
        tolerance=HALF_TOLERANCE if half else TOLERANCE,
    )


_STEPS: dict[str, Any] = {"read": _read, "write": _write}


def _request(order: Order, path: Path, kind: str, keras: str) -> keras_source.Request:
    return keras_source.Request(
        what=Path(order.source).name,
        path=path,
        kind=kind,
        keras=keras,
        where="liteproof repair",
        trust=order.trust,
        trust_by="--trust",
        objects=_objects(order) if order.custom_objects else None,
        objects_by="--custom-objects package.module:function",
    )


def _objects(order: Order) -> Any:
    from liteproof.convert.data import load_named

    name = order.custom_objects or ""
    return lambda: keras_source.custom_objects(
        name, load_named(name, "--custom-objects", order.root, "liteproof repair")(), "liteproof repair"
    )


def _by_keras_3(order: Order, objects: Any) -> Any:
    """The model in Keras 3: as the file has it, or with the configuration of Keras 2 put into Keras 3's words."""
    if order.keras == KERAS:
        return keras_source.load(_request(order, Path(order.source), order.kind, KERAS))
    import h5py

    path = Path(order.folder) / "old.h5"
    if order.kind == "h5":
        path.write_bytes(Path(order.source).read_bytes())
    with h5py.File(path, "r+") as file:
        config = modern(json.loads(file.attrs["model_config"]), _accepts(objects))
        file.attrs["model_config"] = json.dumps(config)
    try:
        return keras_source.load(_request(order, path, "h5", KERAS))
    except ModelError as error:
        raise no_way(error.found.rpartition("does not take it: ")[2]) from error


def _accepts(objects: Any) -> Any:
    """What a layer's class takes in Keras 3: the arguments of its constructor, by name."""
    import keras

    def accepts(kind: str) -> frozenset[str] | None:
        found = objects.get(kind, getattr(keras.layers, kind, None))
        if found is None:
            return None
        classes = [base for base in inspect.getmro(found) if base not in (keras.layers.Layer, object)]
        names = {name for base in classes for name in inspect.signature(base).parameters}
        return frozenset(names | {"activity_regularizer"} if kind not in objects else names)

    return accepts


# -- inputs, answers, weights -----------------------------------------------------------------------------------------


def _seeded_inputs(model: Any) -> Arrays:
    """Inputs of the model's own shapes and types, in its own order: free dimensions get 8, and tokens are small."""
    if not getattr(model, "inputs", None):
        raise UsageError("the model declares no inputs", expected="a Sequential or functional model that was built")
    rng = np.random.default_rng(SEED)
    tokens = any(type(layer).__name__ == "Embedding" for layer in model.layers)
    found: Arrays = {}
    for at, given in enumerate(model.inputs):
        dtype = np.dtype(str(getattr(given.dtype, "name", given.dtype)))
        shape = (given.shape[0] or SAMPLES, *(size or 8 for size in tuple(given.shape)[1:]))
        real = dtype.kind == "f" and not tokens  # Keras 2 feeds tokens as floats, too
        values = rng.normal(size=shape) if real else rng.integers(0, 2, shape)
        found[f"{at:03}"] = values.astype(dtype)
    return found


def _answers(model: Any, fed: Arrays) -> Arrays:
    values = [fed[name] for name in sorted(fed)]
    outputs = model(values if len(values) > 1 else values[0], training=False)
    if isinstance(outputs, dict):
        return {name: np.asarray(array) for name, array in outputs.items()}
    flat = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return {f"{at:03}": np.asarray(array) for at, array in enumerate(flat)}


def _digests(model: Any) -> list[str]:
    """One for each weight array; how many of each there are says whether two models have the same weights."""
    arrays = [np.ascontiguousarray(array) for array in model.get_weights()]
    return [f"{a.dtype}{list(a.shape)}{hashlib.sha256(a.tobytes()).hexdigest()}" for a in arrays]


def _compared(old: Arrays, new: Arrays) -> tuple[float, float]:
    """The largest difference between two sets of outputs, and the largest output.

    Raises:
        ModelError: if they have other names or shapes, or are not finite: then nothing can be said.
    """
    if {k: v.shape for k, v in old.items()} != {k: v.shape for k, v in new.items()}:
        raise ModelError("what Keras 3 makes of it has other outputs; nothing was written")
    if not all(np.isfinite(array).all() for array in (*old.values(), *new.values())):
        raise ModelError("its outputs on seeded inputs are not finite, so that nothing can be compared")
    difference = max(float(np.abs(old[name].astype(float) - new[name].astype(float)).max()) for name in old)
    return difference, max(float(np.abs(array).max()) for array in old.values())


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Order)))
