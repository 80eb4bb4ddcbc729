"""Samples that have to be decoded first: a folder of images by class, a CSV.

    >>> decode(Path("photos"), Path("flowers.h5"), described, seed=0).inputs["x"].shape     # doctest: +SKIP
    (1000, 96, 96, 3)

A run decodes them the same way (`liteproof.convert.samples`); here the arrays are made once and kept, so that the two
sets can be parted by content, and so that a repository need not hold ten thousand photographs.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from liteproof.convert.samples import make
from liteproof.errors import LiteproofError, UsageError
from liteproof.init.samples import Samples, Values
from liteproof.manifest.description import Description
from liteproof.manifest.images import list_images
from liteproof.manifest.place import shown
from liteproof.manifest.resolve import load_plan
from liteproof.manifest.tables import find_table
from liteproof.manifest.writing import toml
from liteproof.store import Store

Predict = Callable[[Values], Values]

# As many images as are decoded of a larger folder: 800 to judge on, 200 to calibrate on.
MOST = 1000
TABLES = (".csv", ".tsv")
_LABELS = ("label", "labels", "class", "classes", "target", "targets", "y")
# How networks are fed with pixels: factor and offset of 0 to 255, and how it is told.
_RANGES = {"0 to 255, as they are": (1.0, 0.0), "0 to 1": (1 / 255, 0.0), "-1 to 1": (1 / 127.5, -1.0)}
_TRIED = 128
# The best range must be right so much more often than the next, and than guessing.
_CLEARLY = 0.1


def needs_decoding(path: Path) -> bool:
    """Whether a data file is of one of these forms."""
    return path.is_dir() or path.suffix.lower() in TABLES


def decode(path: Path, source: Path, described: Description, seed: int) -> Samples:
    """The samples, and names of the classes.

    Args:
        path: A folder of images by class, or a CSV.
        source: The source, whose input's size is the images'.
        described: What it is.
        seed: Which are drawn of a folder of more than `MOST`.

    Raises:
        UsageError: if it is neither, or does not fit the source.
    """
    task = "binary" if any(output.values == 1 for output in described.outputs[:1]) else "classification"
    told = _images(path, described, seed) if path.is_dir() else _table(path, described)
    measures = told.labels is not None and _are_measures(path, told.labels)
    arrays, names = _arrays(told.lines, source, "regression" if measures else task, path)
    return Samples({k: v for k, v in arrays.items() if k != "y"}, arrays.get("y"), names, told.notes)


@dataclass(frozen=True)
class _Told:
    """Lines of a table [data], the labels' column of a CSV, and what the user should know."""

    lines: tuple[str, ...]
    labels: str | None = None
    notes: tuple[str, ...] = ()


def _images(folder: Path, described: Description, seed: int) -> _Told:
    listing, origin, notes = list_images(folder), f"from = {toml(str(folder.absolute()))}", []
    if len(listing.images) > MOST:
        origin += f", samples = {MOST}, seed = {seed}" + (", stratify = true" if listing.classes else "")
        notes.append(f"{MOST} of {len(listing.images)} images were drawn (seed {seed})")
    lines = [f"evaluation = {{ {origin} }}", "range = [0, 255]"]
    shape = described.inputs[0].shape if described.inputs else ()
    if len(shape) == 4 and shape[1] and shape[2]:
        lines.append(f"resize = [{shape[1]}, {shape[2]}]")
        notes.append(f"images are resized to {shape[1]} by {shape[2]}, bilinear, as the model takes them")
    return _Told(tuple(lines), notes=tuple(notes))


def _table(path: Path, described: Description) -> _Told:
    width = described.inputs[0].shape[-1] if described.inputs and len(described.inputs) == 1 else None
    column, origin = label_column(find_table(path, None).columns, width), f"from = {toml(str(path.absolute()))}"
    if column is None:
        return _Told((f"evaluation = {{ {origin} }}",))
    note = f"column {column!r} was taken for the labels, y"
    return _Told((f"evaluation = {{ {origin}, labels = {toml(column)} }}",), column, (note,))


def _are_measures(path: Path, column: str) -> bool:
    """Whether the values of a column are numbers that are no class numbers."""
    with contextlib.suppress(ValueError):
        return any(float(value) != int(float(value)) for value, _ in find_table(path, column).labels)
    return False


def label_column(columns: Sequence[str], width: int | None) -> str | None:
    """The column of labels: by its name; else the last, where there is one more than the source has inputs.

    >>> label_column(["a", "b", "Gesture"], 2), label_column(["class", "a", "b"], 2), label_column(["a", "b"], 2)
    ('Gesture', 'class', None)
    """
    named = next((column for column in columns if column.lower() in _LABELS), None)
    return named or (columns[-1] if width is not None and len(columns) == width + 1 else None)


def _arrays(
    lines: Sequence[str], source: Path, task: str, path: Path
) -> tuple[dict[str, Values], tuple[str, ...] | None]:
    """What a run would make of the set that these lines of [data] name, and the names of its classes."""
    with tempfile.TemporaryDirectory(prefix="liteproof-") as workplace:
        folder = Path(workplace) / "decoded"
        folder.mkdir()
        (folder / "model.toml").write_text(
            f'[model]\ntask = "{task}"\nsource = {toml(str(source.absolute()))}\n'
            + "\n".join(["allow_outside = true", "[data]", *lines, "[variants.float32]", ""]),
            encoding="utf-8",
        )
        try:
            (model,) = load_plan([folder], root=folder, store=Store(folder / "store")).models
            made = folder / "made.npz"
            make(model.evaluation, made, model, str(folder))
        except UsageError as error:
            where = error.where if workplace not in error.where else shown(path)
            raise UsageError(error.found, expected=error.expected, where=where, next=error.next) from error
        with np.load(made, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}, model.labels


def scaled(samples: Samples, ask: Callable[[], Predict | None], described: Description) -> Samples:
    """Images in the range that the source was trained on: where it scales by itself 0 to 255, else by trial.

    Args:
        samples: Pixels from 0 to 255.
        ask: Makes a function that answers as the source does; None where it cannot be asked.
        described: The source.
    """
    if {"Rescaling", "Normalization"} & set(described.layers):
        return samples.noting("pixels stay 0 to 255: the model scales them itself")
    predict = None if samples.y is None else ask()
    if samples.y is None or predict is None:
        return samples.noting("pixels stay 0 to 255: whether the model was trained on scaled ones could not be tried")
    right = _trial(samples, predict)
    first, second = sorted(right, key=right.__getitem__, reverse=True)[:2]
    told = ", ".join(f"{name}: {share:.0%}" for name, share in right.items())
    commonest = float(np.unique(samples.y, return_counts=True)[1].max() / len(samples))
    if right[first] - right[second] < _CLEARLY or right[first] < commonest + _CLEARLY:
        return samples.noting(f"pixels stay 0 to 255: no range is clearly the one it was trained on ({told} right)")
    factor, offset = _RANGES[first]
    inputs = {name: (x.astype(np.float32) * factor + offset).astype(np.float32) for name, x in samples.inputs.items()}
    return replace(samples, inputs=inputs).noting(f"pixels were scaled to {first}: right by range: {told}")


def _trial(samples: Samples, predict: Predict) -> Mapping[str, float]:
    """How often the source is right on some samples, by range."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, _TRIED).round().astype(np.int64))
    some = samples.at(chosen)
    x = next(iter(some.inputs.values())).astype(np.float32)
    right = {}
    for name, (factor, offset) in _RANGES.items():
        answers = predict((x * np.float32(factor) + np.float32(offset)).astype(np.float32))
        rows = answers.reshape(len(answers), -1)
        classes = rows.argmax(axis=1) if rows.shape[1] > 1 else rows[:, 0] >= 0.5
        right[name] = float(np.mean(classes == some.y))
    return right


def asking(source: Path, described: Description) -> Predict | None:
    """A function that asks the source, by its float32 `.tflite`; None where that cannot be made here."""
    from liteproof.advice.network import converted
    from liteproof.measure.runtime import open_session

    try:
        path = source if described.kind == "tflite" else converted(source, described, "float32")
        session = open_session(path, runtime="ai_edge_litert")
    except LiteproofError:
        return None
    return lambda x: session.predict(x)[0]
