"""A set of samples in whichever form [data] names it: arrays, a table, a folder of images, a callable.

    >>> is_callable("fixtures.digits:calibration"), is_callable("C:/train.npz")
    (True, False)
    >>> forms.read("evaluation", "evaluation", SamplesTable("photos"), place).making.form   # doctest: +SKIP
    'images'

Headers, lines and names of files are looked at; nothing is decoded, converted or imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from liteproof import plan
from liteproof.errors import UsageError
from liteproof.manifest import images, keys, tables
from liteproof.manifest.data import LABELS, SINGLE, Array, Arrays, Labels, find_array, find_arrays, join_arrays
from liteproof.manifest.files import Folder
from liteproof.manifest.memory import Memory
from liteproof.manifest.place import Place, clean, nearest, one_of, shown, written
from liteproof.manifest.schema import CALLABLE, DataTable, SamplesTable
from liteproof.manifest.source import Input
from liteproof.store import digest_of

# Compressed arrays of more than this are unpacked into the store, once, so that they can be mapped into memory.
UNPACKED = 64 << 20
IMAGES, TABLE = "images", "table"
_ARRAYS, _CALLABLE = "arrays", "callable"
_FORMS = {".npz": _ARRAYS, ".npy": _ARRAYS, ".csv": TABLE, ".tsv": TABLE}


@dataclass(frozen=True)
class Read:
    """A set as it is named, before preprocessing and drawing. `as_it_is` where nothing else need be done to read it."""

    making: plan.Making
    arrays: Arrays | None
    as_it_is: plan.Samples | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """What a manifest says of its samples, and what is known beside it.

    Attributes:
        data: The table [data].
        place: Where it stands.
        folder: The model's folder.
        memory: Remembers digests and facts of files.
        root: The folder that callables are imported from.
        inputs: What the source takes, where it tells.
        task: What the outputs mean.
    """

    data: DataTable
    place: Place
    folder: Folder
    memory: Memory
    root: Path
    inputs: Sequence[Input] | None
    task: str


class Forms:
    """Reads the sets of one manifest. `labels` are the names of the classes, once they are known."""

    def __init__(self, declared: Declared, labels: tuple[str, ...] | None) -> None:
        self._declared = declared
        self.labels = labels
        self._columns: tuple[str, ...] = ()

    def read(self, key: str, name: str, table: SamplesTable, place: Place) -> Read:
        """A set of [data], whichever form it has.

        Args:
            key: "evaluation", "calibration" or "training".
            name: The key that says where it is: "from", or the same.
            table: What the manifest says of it.
            place: Where it says so.

        Raises:
            UsageError: if it is not there, or cannot be read.
        """
        origin = table.origin
        if isinstance(origin, str) and is_callable(origin):
            return self._callable(origin, key, name, table, place)
        files = origin if isinstance(origin, dict) else {SINGLE: origin}
        paths = {array: self._declared.folder.find(file, name, place, folder=True) for array, file in files.items()}
        if not paths:
            raise place.wrong(f"{name} = {{}} in {place.name}", "an .npy for each input")
        forms = {array: _form(path, files[array], name, place) for array, path in paths.items()}
        if isinstance(origin, dict):
            for array, path in paths.items():
                if path.suffix != ".npy":
                    raise place.wrong(
                        f"{name} = {written(origin)} in {place.name}: input {clean(array)} is no .npy",
                        "an .npy for each input",
                    )
            return self._arrays(paths, table, place)
        path = paths[SINGLE]
        if forms[SINGLE] == IMAGES:
            return self._images(path, key, table, place)
        if forms[SINGLE] == TABLE:
            return self._table(path, table)
        return self._archive(path, table) if path.suffix == ".npz" else self._arrays(paths, table, place)

    def _archive(self, path: Path, table: SamplesTable) -> Read:
        labels = table.labels or LABELS
        file = self._declared.memory.file(path)
        arrays = self._declared.memory.facts(Arrays, file, lambda: find_arrays(path, labels=labels), about=labels)
        assert arrays is not None  # noqa: S101 - find_arrays gives arrays or raises
        making = plan.Making(_ARRAYS, {SINGLE: file}, labels=table.labels)
        if arrays.names:
            return self._named(making, arrays, path)
        if arrays.packed > UNPACKED:  # the file's own digest still says what the samples are
            return Read(making, arrays, plan.Samples(file.path, file.sha256, file.bytes, making=making))
        as_it_is = None if labels != LABELS else plan.Samples(file.path, file.sha256, file.bytes)
        return Read(making, arrays, as_it_is)

    def _arrays(self, paths: Mapping[str, Path], table: SamplesTable, place: Place) -> Read:
        """One `.npy` an input, and one for the labels."""
        paths = dict(paths)
        if table.labels is not None:
            labels = self._declared.folder.find(table.labels, "labels", place)
            if labels.suffix != ".npy":
                raise place.wrong(f"labels = {written(table.labels)} in {place.name}", "an .npy")
            if LABELS in paths:
                raise place.wrong(f"labels in {place.name} beside an array y", "one of the two")
            paths[LABELS] = labels
        files = {name: self._declared.memory.file(path) for name, path in paths.items()}
        parts = [self._array(files[name], name) for name in paths]
        first, file = next(iter(files.items()))
        arrays = join_arrays(parts, Path(file.path))
        making = plan.Making(_ARRAYS, files)
        if arrays.names:
            return self._named(making, arrays, Path(files[LABELS].path))
        if len(files) == 1 and first == SINGLE:
            return Read(making, arrays, plan.Samples(file.path, file.sha256, file.bytes))
        together = digest_of({"artefact": "arrays", "of": {name: file.sha256 for name, file in files.items()}})
        return Read(making, arrays, plan.Samples(file.path, together, file.bytes, arrays=files))

    def _array(self, file: plan.File, name: str) -> Arrays:
        found = self._declared.memory.facts(Arrays, file, lambda: find_array(Path(file.path), name), about=name)
        assert found is not None  # noqa: S101 - find_array gives an array or raises
        return found

    def _callable(self, name: str, key: str, said: str, table: SamplesTable, place: Place) -> Read:
        if not re.fullmatch(CALLABLE, name):
            raise place.wrong(f"{said} = {written(name)} in {place.name}", '"package.module:name", or a file')
        if key == "evaluation" and table.samples is None:
            raise place.wrong(
                f"{said} = {written(name)} in {place.name} does not say how many samples there are",
                "samples: what is judged is planned before anything runs",
                f'evaluation = {{ from = "{name}", samples = 500, labels = "y" }}',
            )
        module = self._declared.memory.file(keys.find_module(name, said, self._declared.root, place))
        making = plan.Making(_CALLABLE, {SINGLE: module}, callable=name, labels=table.labels)
        return Read(making, None)

    def _named(self, making: plan.Making, arrays: Arrays, path: Path) -> Read:
        """Arrays whose y holds names of classes: they become the classes' numbers."""
        if self._declared.task == "regression":
            raise UsageError("array 'y' holds text", expected="numbers: the task is a regression", where=shown(path))
        known = self.labels or tuple(name for name, _ in arrays.names)
        for name, at in arrays.names:
            if name not in known:
                raise UsageError(
                    f"sample {at} has the label '{clean(name)}' in array 'y'",
                    expected=one_of(name, known, what="one of the labels in [model]"),
                    where=shown(path),
                    next="correct y, or add the label to [model]",
                )
        numbers = [(known.index(name), at) for name, at in arrays.names]
        (lowest, low_at), (highest, high_at) = min(numbers), max(numbers)
        headers = tuple(
            msgspec.structs.replace(array, dtype="int64") if array.name == LABELS else array for array in arrays.arrays
        )
        held = msgspec.structs.replace(arrays, arrays=headers, labels=Labels(lowest, low_at, highest, high_at))
        return Read(replace(making, classes=known), held, classes=known)

    def _table(self, path: Path, table: SamplesTable) -> Read:
        file, labels, regression = self._declared.memory.file(path), table.labels, self._declared.task == "regression"
        about = f"{labels} {regression}"
        held = self._declared.memory.facts(
            tables.Table, file, lambda: tables.find_table(path, labels, classes=not regression), about=about
        )
        assert held is not None  # noqa: S101 - find_table gives a table or raises
        columns = tables.choose_columns(held, self._declared.data.columns, labels, path)
        self._require_same_columns(columns, path)
        sample = self._sample(len(columns))
        names = self._class_names(held, labels, path) if labels and not regression else ()
        dtype = self._dtype()
        arrays = [Array(SINGLE, (held.rows, *(sample or (len(columns),))), dtype or "float32")]
        y = None
        if labels and regression:
            arrays.append(Array(LABELS, (held.rows,), "float32"))
        elif labels:
            arrays.append(Array(LABELS, (held.rows,), "int64"))
            y = _labels_of_table(held, names)
        making = plan.Making(
            TABLE, {SINGLE: file}, labels=labels, classes=names, columns=columns, sample=sample, dtype=dtype
        )
        return Read(making, Arrays(tuple(arrays), y), classes=names)

    def _require_same_columns(self, columns: tuple[str, ...], path: Path) -> None:
        """Columns in another order than the evaluation set's would feed each input another feature."""
        self._columns = self._columns or columns
        if columns != self._columns:
            raise UsageError(
                f"the set's columns are {', '.join(map(clean, columns))}",
                expected=f"{', '.join(map(clean, self._columns))}, as the evaluation set's are",
                where=shown(path),
                next=f"declare them once: columns = [{', '.join(written(name) for name in self._columns)}] in [data]",
            )

    def _class_names(self, held: tables.Table, column: str | None, path: Path) -> tuple[str, ...]:
        """Names of the classes in their order, where the labels' column holds names; none where it holds numbers."""
        values = [value for value, _ in held.labels]
        known = self.labels
        if not (known and all(value in known for value in values)) and all(re.fullmatch(r"-?\d+", v) for v in values):
            return ()
        for value, line in held.labels:
            if known and value not in known:
                raise UsageError(
                    f"line {line}, column '{clean(column or '')}' holds the label '{clean(value)}'",
                    expected=one_of(value, known, what="one of the labels in [model]"),
                    where=shown(path),
                    next="correct the cell, or add the label to [model]",
                )
        return known or tuple(sorted(values))

    def _sample(self, columns: int) -> tuple[int, ...] | None:
        """The shape that a row is given: the input's, where it holds as many values and is not a plain vector."""
        if not self._declared.inputs or len(self._declared.inputs) != 1:
            return None
        shape = self._declared.inputs[0].shape[1:]
        sizes = tuple(size for size in shape if size is not None)
        fits = len(sizes) == len(shape) != 1 and int(np.prod(sizes)) == columns
        return sizes if fits else None

    def _dtype(self) -> str | None:
        """The input's dtype, where it is of whole numbers: a table's cells say nothing of theirs."""
        given = (
            self._declared.inputs[0].dtype if self._declared.inputs and len(self._declared.inputs) == 1 else "float32"
        )
        return given if re.fullmatch(r"u?int\d+", given) else None

    def _images(self, path: Path, key: str, table: SamplesTable, place: Place) -> Read:
        if table.labels is not None:
            raise place.wrong(
                f"labels in {place.name} beside a folder of images",
                "none: the names of its folders are the labels",
                "remove labels",
            )
        file = self._declared.memory.file(path)
        listing = images.list_images(path, allow_outside=self._declared.folder.allow_outside)
        names = self._folder_classes(listing, key, path)
        size, channels, color = self._image_shape()
        arrays = [Array(SINGLE, (len(listing.images), *size, channels), "uint8")]
        y = None
        if names:
            arrays.append(Array(LABELS, (len(listing.images),), "int64"))
            at = [names.index(name) for _, name in listing.images if name is not None]
            lowest, highest = int(np.argmin(at)), int(np.argmax(at))
            y = Labels(at[lowest], lowest, at[highest], highest)
        making = plan.Making(
            IMAGES,
            {SINGLE: file},
            classes=names,
            sample=(*size, channels),
            size=size if self._declared.data.resize else None,
            color=color,
            interpolation=self._declared.data.interpolation if self._declared.data.resize else None,
        )
        return Read(making, Arrays(tuple(arrays), y), classes=names)

    def _folder_classes(self, listing: images.Listing, key: str, path: Path) -> tuple[str, ...]:
        if not listing.classes or self._declared.task == "regression":
            return ()
        known = self.labels or listing.classes
        for name in listing.classes:
            if name not in known:
                raise UsageError(
                    f"class folder '{clean(name)}' of the {key} set is none of the labels",
                    expected=one_of(name, known, what="one of the labels in [model]"),
                    where=str(path / name),
                    next="rename the folder, or add the label to [model]",
                )
        return known

    def _image_shape(self) -> tuple[tuple[int, int], int, str]:
        """Height and width, channels and colour mode: what the manifest says, or else what the source takes."""
        if (
            self._declared.data.range is None
            and self._declared.data.scale is None
            and self._declared.data.offset is None
        ):
            raise self._declared.place.wrong(
                "the values that images have for the model are not declared",
                "range in [data]: what 0 and 255 become, as they did in training",
                "add range = [0, 1], range = [-1, 1], or range = [0, 255] for a model that scales them itself",
            )
        shape = self._declared.inputs[0].shape[1:] if self._declared.inputs and len(self._declared.inputs) == 1 else ()
        height, width, channels = shape if len(shape) == 3 else (None, None, None)
        if self._declared.data.resize:
            height, width = self._declared.data.resize
        if not height or not width:
            raise self._declared.place.wrong(
                "the size of the images is not declared",
                "resize in [data]: height and width that the model takes",
                "add resize = [224, 224]",
            )
        color = self._declared.data.color or ("grayscale" if channels == 1 else "rgb")
        return (height, width), 1 if color == "grayscale" else 3, color


def is_callable(name: str) -> bool:
    """Whether this is meant for a callable rather than for a file."""
    return ":" in name and Path(name).suffix.lower() not in _FORMS


def _form(path: Path, name: str, key: str, place: Place) -> str:
    if path.is_dir():
        return IMAGES
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        close = nearest(path.suffix, _FORMS)
        raise place.wrong(
            f"{key} = {written(name)} in {place.name} is of no kind that is read",
            "an .npz, an .npy, a .csv, or a folder of images" + (f"; nearest: '{close}'" if close else ""),
            "save it with numpy.savez",
        )
    return form


def _labels_of_table(held: tables.Table, names: Sequence[str]) -> Labels:
    numbers = [(names.index(value) if names else int(value), line) for value, line in held.labels]
    (lowest, low_line), (highest, high_line) = min(numbers), max(numbers)
    return Labels(lowest, low_line - 2, highest, high_line - 2)
