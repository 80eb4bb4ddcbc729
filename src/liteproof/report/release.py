"""The release folder of a granted sign-off: `release/MODEL/` beside the run's reports.

    release/digits/
      int8/digits-int8.tflite   the accepted file
      int8/model-info.json      how to feed it
      int8/labels.txt           names of the classes, a line each
      accepted.json             the values of this run, for `regression` budgets of later ones
      report.html results.json  what the decision rests on
      statement.json            the in-toto Statement
      SHA256SUMS                of all of it: `sha256sum -c SHA256SUMS`

A folder appears whole or not at all: it is written under another name and renamed at the end.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from liteproof import accepted
from liteproof.errors import UsageError
from liteproof.report import statement as statements
from liteproof.report.acceptance import baselines
from liteproof.report.results import Results, decode
from liteproof.report.verification import SUMS
from liteproof.store import file_sha256, write_atomically
from liteproof.tflite.facts import End, facts
from liteproof.tflite.reader import Model, read_model

FOLDER = "release"
INFO = "model-info.json"
INFO_SCHEMA = "liteproof.model-info/1"
COPIED = ("results.json", "report.html")

Range = tuple[float, float]
Ranges = Mapping[str, Range]


def write(run: Path, file_of: Callable[[str, str], Path], ranges: Callable[[str], Ranges]) -> list[Path]:
    """Write the release folder of every model of a run.

    Args:
        run: The run's folder, its `results.json` of a granted sign-off.
        file_of: Model and variant → the file that was judged.
        ranges: Model → the smallest and largest value of each input in the evaluation set, by the array's name.

    Returns:
        The models' folders.

    Raises:
        UsageError: if a folder cannot be written, or if a file is no longer the one that was judged.
    """
    results = decode((run / "results.json").read_bytes())
    if results.signoff is None or not results.signoff.granted:
        raise UsageError("the sign-off was not granted", where=str(run), next="see signoff.blocked_by in results.json")
    made = []
    for model in results.models:
        final = run / FOLDER / model
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=".writing-", ignore_cleanup_errors=True) as name:
            draft = Path(name) / model
            _fill(draft, run, results, model, file_of, ranges(model))
            draft.rename(final)
        made.append(final)
    return made


def _fill(
    folder: Path, run: Path, results: Results, model: str, file_of: Callable[[str, str], Path], ranges: Ranges
) -> None:
    for variant in results.models[model]["variants"]:
        _copy_variant(folder, results, model, variant, file_of(model, variant), ranges)
    for name in COPIED:
        if (run / name).is_file():
            write_atomically(folder / name, (run / name).read_bytes())
    accepted.write(folder, baselines(results)[model])
    document = statements.statement(results, model, file_sha256(folder / "results.json"))
    write_atomically(folder / statements.FILE, statements.encode(document))
    write_atomically(folder / SUMS, "".join(_sums(folder)).encode())


def _copy_variant(folder: Path, results: Results, model: str, variant: str, file: Path, ranges: Ranges) -> None:
    found = results.models[model]["variants"][variant]
    copy = folder / statements.subject_name(model, variant)
    copy.parent.mkdir(parents=True)
    shutil.copyfile(file, copy)
    if file_sha256(copy) != found["sha256"]:
        raise UsageError(
            f"{variant} of {model} changed after it was judged", expected=f"sha256 {found['sha256']}", where=str(file)
        )
    info = model_info(results, model, variant, read_model(copy), ranges)
    write_atomically(copy.parent / INFO, msgspec.json.format(msgspec.json.encode(info), indent=1) + b"\n")
    if labels := results.models[model].get("labels"):
        write_atomically(copy.parent / "labels.txt", "".join(f"{label}\n" for label in labels).encode())


def _sums(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n"


def model_info(results: Results, model: str, variant: str, file: Model, ranges: Ranges) -> dict[str, Any]:
    """How to feed a file and how to read its answers.

    Each input and output has its name, shape, type, and, where it is quantized, scale and zero point:
    real = (code − zero_point) × scale. `representable` is what its codes can say in real values, `seen` what the
    evaluation set held: values outside were not judged.
    """
    found, of_model = results.models[model]["variants"][variant], results.models[model]
    ends = facts(file)
    names = _signature_names(file)
    return {
        "schema": INFO_SCHEMA,
        "model": model,
        "variant": variant,
        "file": Path(statements.subject_name(model, variant)).name,
        "sha256": found["sha256"],
        "bytes": found["bytes"],
        "recipe": found["recipe"],
        "task": of_model.get("task"),
        "threshold": of_model.get("threshold") if of_model.get("task") == "binary" else None,
        "labels": of_model.get("labels"),
        "inputs": [
            {**_end(end), "seen": _seen(end, names.get(end.name), ranges, alone=len(ends.inputs) == 1)}
            for end in ends.inputs
        ],
        "outputs": [_end(end) for end in ends.outputs],
        "run": results.run.id,
    }


def _end(end: End) -> dict[str, Any]:
    quantized = end.scale != 0.0
    return {
        "name": end.name,
        "shape": list(end.shape),
        "type": end.type.lower(),
        "scale": end.scale if quantized else None,
        "zero_point": end.zero_point if quantized else None,
        "representable": _representable(end) if quantized else None,
    }


def _representable(end: End) -> list[float]:
    codes = np.iinfo(np.dtype(end.type.lower()))
    return [float((code - end.zero_point) * end.scale) for code in (codes.min, codes.max)]


def _signature_names(file: Model) -> dict[str, str]:
    """The signature's name of each input, by its tensor's name."""
    tensors = file.subgraphs[0].tensors
    return {
        tensors[index].name: name
        for signature in file.signatures
        if signature.subgraph == 0
        for name, index in signature.inputs.items()
    }


def _seen(end: End, signature_name: str | None, ranges: Ranges, *, alone: bool) -> list[float] | None:
    if alone and len(ranges) == 1:
        return list(next(iter(ranges.values())))
    found = ranges.get(signature_name or "") or ranges.get(end.name)
    return list(found) if found else None
