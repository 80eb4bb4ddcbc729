"""Runs on a board: what becomes of each file of some models, told as a line of JSON for each.

It is given folders that hold `evaluation.npz`, `reference.npz` and `.tflite` files, and a number of samples. Each file
is judged in a forked process, because some kill theirs; the imports, slow on an emulated board, are made only once.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from liteproof.errors import ModelError
from liteproof.measure.runtime import open_session


def judge(file: Path, samples: int) -> dict[str, Any]:
    """What this file answers: "refused" with the reason, or "answered" with how well."""
    with np.load(file.with_name("evaluation.npz")) as evaluation, np.load(file.with_name("reference.npz")) as reference:
        x, wanted = evaluation["x"][:samples], reference["output"][:samples]
    try:
        (outputs,) = open_session(file, runtime="tflite_runtime", threads=1).predict(x)
    except ModelError as error:
        return {"became": "refused", "reason": error.found}
    finite = np.isfinite(outputs).all(axis=1)
    agrees = finite & (np.nan_to_num(outputs).argmax(axis=1) == wanted.argmax(axis=1))
    return {
        "became": "answered",
        "finite": float(finite.mean()),
        "agreement": float(agrees.mean()),
        "largest_error": float(np.nanmax(np.abs(outputs - wanted))) if finite.any() else None,
    }


def judge_apart(file: Path, samples: int) -> dict[str, Any]:
    """The same in a process of its own; "died" with the signal if it took that down."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.write(writing, json.dumps(judge(file, samples)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as channel:
        said = channel.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(said) if said else {"became": "died", "signal": -status}


if __name__ == "__main__":
    for folder in sys.argv[2:]:
        for file in sorted(Path(folder).glob("*.tflite")):
            found = {"model": file.parent.name, "variant": file.stem, **judge_apart(file, int(sys.argv[1]))}
            print(json.dumps(found), flush=True)  # noqa: T201
