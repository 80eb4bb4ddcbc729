"""What a SavedModel is: `python -m liteproof.convert.description FOLDER` prints it as JSON, in a process of its own.

    >>> describe_savedmodel(Path("exported")).parameters    # doctest: +SKIP
    26170

The graph is loaded and looked at; nothing of it is run.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from liteproof.errors import ModelError, UsageError
from liteproof.manifest.description import Description, Output, Weight
from liteproof.manifest.place import shown
from liteproof.manifest.source import Input

SECONDS = 300.0
_ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "LogSoftmax": "log_softmax"}
_TRANSPARENT = frozenset({"Identity", "Reshape", "NoOp"})


def describe_savedmodel(folder: Path) -> Description:
    """What a SavedModel is; TensorFlow is loaded for it by another process.

    Raises:
        UsageError: if TensorFlow is not installed.
        ModelError: if the SavedModel does not load.
    """
    command = [sys.executable, "-P", "-m", __name__, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"the SavedModel did not load within {SECONDS:.0f} s", where=shown(folder)) from error
    said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
    if done.returncode and "No module named 'tensorflow'" in said[0]:
        raise UsageError(
            "TensorFlow is not installed, which alone reads SavedModels", next="pip install 'liteproof[convert]'"
        )
    if done.returncode:
        raise ModelError(f"the SavedModel does not load: {said[0][:300]}", where=shown(folder))
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Description)


def _described(folder: Path) -> Description:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures["serving_default"]
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    inputs = tuple(
        Input(name, tuple(spec.shape) if spec.shape.rank is not None else (), spec.dtype.name)
        for name, spec in function.structured_input_signature[1].items()
    )
    return Description(
        kind="savedmodel",
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        inputs=inputs,
        outputs=tuple(_output(tensor) for tensor in frozen.outputs),
        weights=tuple(Weight(one.name, tuple(one.shape), one.dtype.name) for one in function.variables),
        layers=dict(
            Counter(op.type for op in frozen.graph.get_operations() if op.type not in ("Const", "Placeholder"))
        ),
    )


def _output(tensor: Any) -> Output:
    maker = tensor.op
    while maker.type in _TRANSPARENT and maker.inputs:
        maker = maker.inputs[0].op
    shape = tuple(tensor.shape) if tensor.shape.rank is not None else None
    return Output(shape, _ACTIVATIONS.get(maker.type, "linear"))


if __name__ == "__main__":
    print(msgspec.json.encode(_described(Path(sys.argv[1]))).decode())  # noqa: T201 - what this process is for
