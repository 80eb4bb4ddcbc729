"""A model's folder from a trained source and a file of samples.

    >>> made = make(Request(Path("flowers.h5"), Path("data.npz")), root=Path())    # doctest: +SKIP
    >>> made.folder, made.notes                                                     # doctest: +SKIP
    (PosixPath('models/flowers'), ('classification: softmax over 5 outputs', …))

The folder is made beside its place, read back as a run will read it, and only then put there: what is wrong with source
or data is told before anything of the user's repository has changed.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liteproof.errors import UsageError
from liteproof.init import forms
from liteproof.init.samples import (
    CALIBRATION,
    Given,
    Samples,
    calibrated_on,
    distinct,
    draw,
    is_classes,
    part,
    read_samples,
    without,
)
from liteproof.init.task import Task, by_names, class_numbers, labels_for, listed, require_outputs, task_of, text_labels
from liteproof.manifest.description import Description, Output, describe
from liteproof.manifest.files import lfs_error
from liteproof.manifest.place import Place, clean, shown
from liteproof.manifest.resolve import load_plan
from liteproof.manifest.schema import RESERVED_NAMES
from liteproof.manifest.selection import MANIFEST
from liteproof.manifest.source import Input, kind_of_source
from liteproof.manifest.writing import Draft, manifest_text, recipe_budgets
from liteproof.recipes import RECIPES
from liteproof.statistics import wilson_lower, wilson_samples_to_settle
from liteproof.store import Store

LABEL_FILES = ("labels.txt", "class_names.txt", "classes.txt")
_EVALUATION, _CALIBRATION, _LABELS = "evaluation.npz", "calibration.npz", "labels.txt"

# What is converted at first: the usual three, beside the float32 that they are compared with.
VARIANTS = {
    "float32": "the reference that size, speed and weights of the others are compared with",
    "dynamic_range": "8-bit weights, float arithmetic: needs no calibration",
    "float16": "half the size, float arithmetic",
    "int8": "integers throughout: smallest and fastest on most boards",
}
# How far above the commonest class the accuracy must at least lie, as a share of the way to 1.
_ABOVE_GUESSING = 0.25
# What a manifest that was written says at its end.
_ABOUT_ACCURACY = (
    "accuracy is only a floor that guessing and wrong preprocessing fall below: raise it to what you trained.",
)
_ABOUT_BOARDS = (
    "Sizes have limits of their own, derived from the network. More, for a board that targets.toml names:",
    "[budgets.int8.pi]",
    "latency_p95_ms = 70",
    "peak_memory_mb = 120",
)


@dataclass(frozen=True)
class Request:
    """What the user named.

    Attributes:
        source: The trained original.
        data: A file of samples.
        name: The model's name; None: the source's.
        labels: A file of class names; None: one that lies beside the source.
        seed: Which samples are set aside for calibration.
        force: Whether files that are there may be replaced.
        trust: Whether the source may carry code of its own, which loading it runs.
    """

    source: Path
    data: Path | None
    name: str | None = None
    labels: Path | None = None
    seed: int = 0
    force: bool = False
    trust: bool = False


@dataclass(frozen=True)
class Made:
    """A model's folder, the files written, and what the user should know."""

    folder: Path
    written: tuple[str, ...]
    notes: tuple[str, ...]


def make(
    request: Request,
    root: Path,
    variants: Mapping[str, str] = VARIANTS,
    budgets: Mapping[str, Mapping[str, float]] | None = None,
) -> Made:
    """Make the folder of a model.

    Args:
        request: What the user named.
        root: The repository's folder.
        variants: Recipes, each with a remark; those that cannot start from the source are left out.
        budgets: Limits of recipes beside their defaults, by metric.

    Raises:
        UsageError: if source or data are missing or do not go together, or if the folder is there.
        ModelError: if the source is broken.
    """
    place = Place(shown(request.source))
    if not request.source.exists():
        raise place.wrong("there is no such file", "a .keras, an .h5, a SavedModel's folder or a float .tflite")
    kind = kind_of_source(request.source, place)
    _refuse_pointer(request.source, place)
    folder = root / "models" / (request.name or name_of(request.source))
    _require_room(folder, request, root)
    described = describe_any(request.source, kind)
    if request.data is None:
        raise no_data(request, described.inputs)
    return _made(request, described, folder, variants, budgets or {})


def describe_any(source: Path, kind: str) -> Description:
    """What a source of any kind is.

    Raises:
        UsageError: if a package for reading it is missing, or it holds no architecture.
        ModelError: if it is broken.
    """
    if kind != "savedmodel":
        return describe(source, kind)
    from liteproof.convert.description import describe_savedmodel

    return describe_savedmodel(source)


def name_of(source: Path) -> str:
    """A model's name from its file's.

    >>> name_of(Path("My model (final).h5")), name_of(Path("accuracy.keras"))
    ('My-model-final', 'accuracy-model')
    """
    stem = source.stem if source.suffix else source.name
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "model"
    return f"{name}-model" if name in RESERVED_NAMES else name


def no_data(request: Request, inputs: tuple[Input, ...] | None) -> UsageError:
    """What samples are needed, and how to save them."""
    given = inputs or ()
    if len(given) == 1:
        wanted, arrays = f"x of shape {_shape(given[0])}, {given[0].dtype}", "x=x_test"
    elif given:
        wanted = "; ".join(f"{clean(one.name)} of shape {_shape(one)}, {one.dtype}" for one in given)
        arrays = ", ".join(f"{clean(one.name)}=…" for one in given)
    else:
        wanted, arrays = "x as you feed it to the model", "x=x_test"
    source = shown(request.source)
    return UsageError(
        "no samples were given to judge the variants on",
        expected=f"a file with {wanted}, as you feed it to the model; y, the labels, if you have them; "
        f"some 800 samples, of which {CALIBRATION} are set aside for calibration",
        where="--data",
        next=f"where you trained it: numpy.savez('data.npz', {arrays}, y=y_test); "
        f"then: liteproof init {source} --data data.npz",
    )


def _shape(given: Input) -> str:
    return f"({', '.join(['n', *('any' if size is None else str(size) for size in given.shape[1:])])})"


def _refuse_pointer(source: Path, place: Place) -> None:
    head = source.open("rb").read(64) if source.is_file() else b""
    if head.startswith(b"version https://git-lfs"):
        raise lfs_error("the source", source, place)


def _require_room(folder: Path, request: Request, root: Path) -> None:
    if (folder / MANIFEST).exists() and not request.force:
        command = f"liteproof init {shown(request.source)} --data {shown(request.data) if request.data else 'FILE'}"
        raise UsageError(
            f"{shown(folder / MANIFEST)} is there already",
            expected="a model of another name, or --force to replace its files",
            where=shown(root),
            next=f"{command} --name OTHER",
        )


# -- the folder -------------------------------------------------------------------------------------------------------


def _made(
    request: Request,
    described: Description,
    folder: Path,
    variants: Mapping[str, str],
    limits: Mapping[str, Mapping[str, float]],
) -> Made:
    assert request.data is not None  # noqa: S101 - `make` says so
    given = _given(request.data, request, described)
    named = _named_labels(request)
    texts = text_labels(given.evaluation, given.calibration)
    evaluation = class_numbers(given.evaluation, named or texts)
    calibration = class_numbers(given.calibration, named or texts) if given.calibration else None
    output = described.outputs[0] if described.outputs else None
    task = task_of(output, evaluation.y)
    evaluation = by_names(evaluation, named)
    calibration = by_names(calibration, named) if calibration else None
    labels = labels_for(task, evaluation, output.values if output else None, named)
    require_outputs(task, evaluation.y, output.values if output else None)
    evaluation, calibration = _parted(evaluation, calibration, request.seed)
    draft = _draft(request, described, folder.name, task, labels, evaluation, variants, limits)
    notes = (
        f"{task.name}: {task.reason}",
        *_order_of(texts, named),
        *evaluation.notes,
        *(note for note in calibration.notes if note not in evaluation.notes),
        f"{len(evaluation)} samples to judge on, {len(calibration)} others to calibrate on (seed {request.seed})",
        *_doubts(described, evaluation, calibration, task, output),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".liteproof-", dir=folder.parent) as workplace:
        made = Path(workplace) / folder.name
        made.mkdir()
        (made / MANIFEST).write_text(manifest_text(draft), encoding="utf-8")
        _save(made / _EVALUATION, evaluation)
        _save(made / _CALIBRATION, calibration)
        if labels:
            (made / _LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
        _copy(request.source, made / request.source.name)
        _read_back(made, folder, request)
        return Made(folder, _put(made, folder, request), notes)


def _order_of(texts: tuple[str, ...], named: tuple[str, ...] | None) -> tuple[str, ...]:
    """How labels that are text were numbered: as told, else as Keras' directory loaders and scikit-learn do."""
    if not texts:
        return ()
    if named:
        return (f"y holds text: classes were numbered in the order of the labels' file ({listed(named)})",)
    return (f"y holds text: classes were numbered in alphabetical order ({listed(texts)}); another: --labels FILE",)


def _read_back(made: Path, folder: Path, request: Request) -> None:
    """Read it as a run will; what is wrong is told of the place where it would lie."""
    try:
        load_plan([made], root=made.parent, store=Store.default())
    except UsageError as error:
        where, cure = error.where.replace(shown(made), shown(folder)), error.next
        if "trust = true" in cure:  # there is no manifest yet that it could be added to
            where = shown(request.source)
            cure = (
                f"liteproof init {where} --data {shown(request.data or Path('FILE'))} --trust, if you know who made it"
            )
        raise UsageError(error.found, expected=error.expected, where=where, next=cure) from error


def _given(data: Path, request: Request, described: Description) -> Given:
    """What the data file holds, decoded where it is images or a table."""
    if not forms.needs_decoding(data):
        return read_samples(data, described.inputs)
    samples = forms.decode(data, request.source, described, request.seed)
    if data.is_dir():
        samples = forms.scaled(samples, lambda: forms.asking(request.source, described), described)
    return Given(samples)


def _parted(evaluation: Samples, apart: Samples | None, seed: int) -> tuple[Samples, Samples]:
    """Evaluation and calibration set; the latter from the samples that the file keeps apart, where it does."""
    if apart is None:
        samples = distinct(evaluation)
        if len(samples) < 2:
            raise UsageError("there is one sample", expected="some hundred", where="--data")
        return part(samples, calibrated_on(len(samples)), seed)
    rest = without(distinct(apart), evaluation)
    if not len(rest):
        raise UsageError("every training sample is an evaluation sample too", expected="other samples", where="--data")
    return evaluation, rest.at(draw(rest.y, len(rest), min(CALIBRATION, len(rest)), seed))


def _draft(
    request: Request,
    described: Description,
    name: str,
    task: Task,
    labels: tuple[str, ...] | None,
    evaluation: Samples,
    variants: Mapping[str, str],
    limits: Mapping[str, Mapping[str, float]],
) -> Draft:
    from_tflite = described.kind == "tflite"
    recipes = [r for r in variants if not from_tflite or r == "float32" or "litert" in RECIPES[r].toolchains]
    shared = _floor(task, evaluation)
    labelled = bool(shared)
    budgets = {
        recipe: {**recipe_budgets(recipe, task.name, labelled=labelled), **limits.get(recipe, {})} for recipe in recipes
    }
    return Draft(
        name=name,
        source=request.source.name,
        task=task.name,
        outputs=task.outputs,
        labels=_LABELS if labels else None,
        trust=request.trust,
        calibration=_CALIBRATION,
        variants={recipe: variants[recipe] for recipe in recipes},
        budgets={"": shared, **budgets},
        notes={
            "evaluation": f"{len(evaluation)} samples: what variants are judged on",
            "calibration": f"what activation ranges are calibrated on; seed {request.seed}",
        },
        head=(f"Written by `liteproof init`; {task.name}: {task.reason}.",),
        footer=(*(_ABOUT_ACCURACY if labelled else ()), *_ABOUT_BOARDS),
    )


def _floor(task: Task, evaluation: Samples) -> dict[str, float]:
    """What every variant must reach: an accuracy above guessing, where labels tell it."""
    if task.name == "regression" or not is_classes(evaluation.y) or evaluation.y is None:
        return {}
    commonest = float(np.bincount(evaluation.y).max() / len(evaluation))
    return {"accuracy": round(commonest + _ABOVE_GUESSING * (1 - commonest), 2)}


def _named_labels(request: Request) -> tuple[str, ...] | None:
    """Class names from a file that the user named, or from one beside the source."""
    beside = [request.source.parent / name for name in LABEL_FILES]
    path = request.labels or next((path for path in beside if path.is_file()), None)
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the labels: {error}", expected="a text file, a name a line", where=shown(path)
        ) from error
    return tuple(line.strip() for line in lines if line.strip())


def _doubts(
    described: Description, evaluation: Samples, calibration: Samples, task: Task, output: Output | None
) -> tuple[str, ...]:
    """What a user should look at before he trusts a verdict."""
    doubts = []
    if len(calibration) < 100:
        doubts.append(
            f"calibration has {len(calibration)} samples, the gate calibration_samples wants 100: give more data"
        )
    strictest = max(limits["top1_agreement"] for limits in (RECIPES[r].budgets for r in VARIANTS))
    n = len(evaluation)
    if task.name != "regression" and wilson_lower(n, n) < strictest:
        enough = wilson_samples_to_settle(1.0, strictest, "at_least")
        doubts.append(
            f"{n} samples cannot prove top1_agreement ≥ {strictest:g}: the best they can come to is PROVISIONAL; "
            f"{enough} can"
        )
    largest = max(float(np.abs(array[:1000]).max(initial=0)) for array in evaluation.inputs.values())
    scales = {"Rescaling", "Normalization"} & set(described.layers)
    if largest > 100 and not scales and described.kind in ("keras", "h5") and {"Conv2D"} & set(described.layers):
        doubts.append(
            f"inputs reach {largest:g} and the model has no Rescaling layer: if it was trained on scaled pixels, "
            "save the data scaled the same way"
        )
    if task.name != "regression" and not is_classes(evaluation.y):
        doubts.append("there are no labels (y): agreement with the source is judged, accuracy cannot be")
    if output is None:
        doubts.append("the file does not tell what comes out of the model: check task in model.toml")
    return tuple(doubts)


def _save(path: Path, samples: Samples) -> None:
    y = {} if samples.y is None else {"y": samples.y}
    np.savez(path, **samples.inputs, **y)


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to)
    else:
        shutil.copyfile(source, to)


def _put(made: Path, folder: Path, request: Request) -> tuple[str, ...]:
    """Move what was made to its place; a source that lies there already stays."""
    folder.mkdir(exist_ok=True)
    written = []
    for path in sorted(made.iterdir(), key=lambda path: path.name != MANIFEST):
        to = folder / path.name
        if path.name == request.source.name and to.exists() and to.samefile(request.source):
            continue
        if to.exists() and not request.force:
            raise UsageError(
                f"{shown(to)} is there already",
                expected="no such file, or --force",
                where=shown(folder),
                next="add --force",
            )
        if to.is_dir():
            shutil.rmtree(to)
        path.replace(to)
        written.append(path.name)
    return tuple(written)
