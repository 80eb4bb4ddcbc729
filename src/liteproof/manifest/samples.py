"""The sets of samples that [data] names, in whichever form, and how their arrays are made.

    >>> sets = Sets(data, place, folder, memory, root, inputs, labels, "classification")  # doctest: +SKIP
    >>> found = sets.find("calibration", apart_from=sets.find("evaluation"))             # doctest: +SKIP
    >>> found.samples.making.samples, found.arrays.samples                              # doctest: +SKIP
    (200, 200)

Nothing is decoded, converted or imported here. A file that needs nothing is read as it is by whoever judges or
converts; the arrays of all else are made beside the conversion (`liteproof.convert.samples`) and kept by the store
under a key that is known already: the digest of the files and of all that is done to them.
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
from liteproof.manifest.data import (
    LABELS,
    SINGLE,
    Array,
    Arrays,
    Labels,
    find_array,
    find_arrays,
    join_arrays,
    require_fit,
    require_labels,
)
from liteproof.manifest.files import Folder
from liteproof.manifest.memory import Memory
from liteproof.manifest.place import Place, clean, nearest, one_of, shown, written
from liteproof.manifest.schema import CALLABLE, DataTable, SamplesTable
from liteproof.manifest.source import Input
from liteproof.store import digest_of

# Raised when the same files and preprocessing give other arrays than before.
REVISION = 1
# Compressed arrays of more than this are unpacked into the store, once, so that they can be mapped into memory.
UNPACKED = 64 << 20
_ARRAYS, _IMAGES, _TABLE, _CALLABLE = "arrays", "images", "table", "callable"
_FORMS = {".npz": _ARRAYS, ".npy": _ARRAYS, ".csv": _TABLE, ".tsv": _TABLE}
_FOR_IMAGES = ("resize", "color", "range")


@dataclass(frozen=True)
class Found:
    """A set that a manifest names.

    Attributes:
        samples: What the plan keeps of it.
        arrays: Their shapes; None of a callable, of which nothing is known before it has run.
        inputs: Names of the input arrays.
        classes: Names of the classes, where the set itself names them.
    """

    samples: plan.Samples
    arrays: Arrays | None
    inputs: tuple[str, ...] = (SINGLE,)
    classes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of samples; 0 where it is not known."""
        making = self.samples.making
        return self.arrays.samples if self.arrays else (making.samples or 0) if making else 0

    @property
    def labelled(self) -> bool:
        """Whether it has labels."""
        if self.samples.callable:
            return self.samples.making is not None and self.samples.making.labels is not None
        return self.arrays is not None and self.arrays.y is not None


@dataclass(frozen=True)
class _Read:
    """A set as it is named, before preprocessing and drawing. `as_it_is` where nothing else need be done to read it."""

    making: plan.Making
    arrays: Arrays | None
    as_it_is: plan.Samples | None = None
    classes: tuple[str, ...] = ()


class Sets:
    """The sets of one manifest."""

    def __init__(
        self,
        data: DataTable,
        place: Place,
        folder: Folder,
        memory: Memory,
        root: Path,
        inputs: Sequence[Input] | None,
        labels: tuple[str, ...] | None,
        task: str,
    ) -> None:
        """Look at nothing yet.

        Args:
            data: What the manifest says.
            place: The table [data].
            folder: The model's folder.
            memory: Remembers digests and facts of files.
            root: The folder that callables are imported from.
            inputs: What the source takes, where it tells.
            labels: Names of the classes, where the manifest gives them.
            task: What the outputs mean.

        Raises:
            UsageError: if the preprocessing contradicts itself.
        """
        self._data, self._place, self._folder, self._memory, self._root = data, place, folder, memory, root
        self._inputs, self._labels, self._task = inputs, labels, task
        self._columns: tuple[str, ...] = ()
        if data.range is not None and (data.scale is not None or data.offset is not None):
            raise place.wrong(f"range in {place.name} beside scale or offset", "one of the two", "remove range")

    def find(self, key: str, *, apart_from: Found | None = None) -> Found | None:
        """The set under a key of [data]; None if there is none.

        Args:
            key: "evaluation", "calibration" or "training".
            apart_from: The evaluation set, of which this one must not have a sample.

        Raises:
            UsageError: if it is not there, cannot be read, or is not what the source takes.
        """
        given: str | SamplesTable | None = getattr(self._data, key)
        if given is None:
            return None
        table = given if isinstance(given, SamplesTable) else SamplesTable(given)
        place = self._place.at(key) if isinstance(given, SamplesTable) else self._place
        name = "from" if isinstance(given, SamplesTable) else key
        read = self._preprocessed(self._read(key, name, table, place), key)
        found = self._drawn(read, table, key, place, apart_from)
        if found.arrays is not None:
            path = Path(found.samples.path)
            require_fit(found.arrays, self._inputs, path)
            if self._task != "regression":
                classes = len(self._labels) if self._labels else 2 if self._task == "binary" else None
                require_labels(found.arrays, classes, path, named=self._labels is not None)
        return found

    def derive_labels(self, found: Found) -> None:
        """Take the evaluation set's own names of the classes for those of all sets."""
        self._labels = self._labels or found.classes or None

    # -- forms --------------------------------------------------------------------------------------------------------

    def _read(self, key: str, name: str, table: SamplesTable, place: Place) -> _Read:
        origin = table.origin
        if isinstance(origin, str) and is_callable(origin):
            return self._callable(origin, key, name, table, place)
        files = origin if isinstance(origin, dict) else {SINGLE: origin}
        paths = {array: self._folder.find(file, name, place, folder=True) for array, file in files.items()}
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
        if forms[SINGLE] == _IMAGES:
            return self._images(path, key, table, place)
        if forms[SINGLE] == _TABLE:
            return self._table(path, table)
        return self._archive(path, table) if path.suffix == ".npz" else self._arrays(paths, table, place)

    def _archive(self, path: Path, table: SamplesTable) -> _Read:
        labels = table.labels or LABELS
        file = self._memory.file(path)
        arrays = self._memory.facts(Arrays, file, lambda: find_arrays(path, labels=labels), about=labels)
        assert arrays is not None  # noqa: S101 - find_arrays gives arrays or raises
        making = plan.Making(_ARRAYS, {SINGLE: file}, labels=table.labels)
        if arrays.names:
            return self._named(making, arrays, path)
        if arrays.packed > UNPACKED:  # the file's own digest still says what the samples are
            return _Read(making, arrays, plan.Samples(file.path, file.sha256, file.bytes, making=making))
        as_it_is = None if labels != LABELS else plan.Samples(file.path, file.sha256, file.bytes)
        return _Read(making, arrays, as_it_is)

    def _arrays(self, paths: Mapping[str, Path], table: SamplesTable, place: Place) -> _Read:
        """One `.npy` an input, and one for the labels."""
        paths = dict(paths)
        if table.labels is not None:
            labels = self._folder.find(table.labels, "labels", place)
            if labels.suffix != ".npy":
                raise place.wrong(f"labels = {written(table.labels)} in {place.name}", "an .npy")
            if LABELS in paths:
                raise place.wrong(f"labels in {place.name} beside an array y", "one of the two")
            paths[LABELS] = labels
        files = {name: self._memory.file(path) for name, path in paths.items()}
        parts = [self._array(files[name], name) for name in paths]
        first, file = next(iter(files.items()))
        arrays = join_arrays(parts, Path(file.path))
        making = plan.Making(_ARRAYS, files)
        if arrays.names:
            return self._named(making, arrays, Path(files[LABELS].path))
        if len(files) == 1 and first == SINGLE:
            return _Read(making, arrays, plan.Samples(file.path, file.sha256, file.bytes))
        together = digest_of({"artefact": "arrays", "of": {name: file.sha256 for name, file in files.items()}})
        return _Read(making, arrays, plan.Samples(file.path, together, file.bytes, arrays=files))

    def _array(self, file: plan.File, name: str) -> Arrays:
        found = self._memory.facts(Arrays, file, lambda: find_array(Path(file.path), name), about=name)
        assert found is not None  # noqa: S101 - find_array gives an array or raises
        return found

    def _callable(self, name: str, key: str, said: str, table: SamplesTable, place: Place) -> _Read:
        if not re.fullmatch(CALLABLE, name):
            raise place.wrong(f"{said} = {written(name)} in {place.name}", '"package.module:name", or a file')
        if key == "evaluation" and table.samples is None:
            raise place.wrong(
                f"{said} = {written(name)} in {place.name} does not say how many samples there are",
                "samples: what is judged is planned before anything runs",
                f'evaluation = {{ from = "{name}", samples = 500, labels = "y" }}',
            )
        module = self._memory.file(keys.find_module(name, said, self._root, place))
        making = plan.Making(_CALLABLE, {SINGLE: module}, callable=name, labels=table.labels)
        return _Read(making, None)

    def _named(self, making: plan.Making, arrays: Arrays, path: Path) -> _Read:
        """Arrays whose y holds names of classes: they become the classes' numbers."""
        if self._task == "regression":
            raise UsageError("array 'y' holds text", expected="numbers: the task is a regression", where=shown(path))
        known = self._labels or tuple(name for name, _ in arrays.names)
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
        return _Read(replace(making, classes=known), held, classes=known)

    def _table(self, path: Path, table: SamplesTable) -> _Read:
        file, labels, regression = self._memory.file(path), table.labels, self._task == "regression"
        about = f"{labels} {regression}"
        held = self._memory.facts(
            tables.Table, file, lambda: tables.find_table(path, labels, classes=not regression), about=about
        )
        assert held is not None  # noqa: S101 - find_table gives a table or raises
        columns = tables.choose_columns(held, self._data.columns, labels, path)
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
            _TABLE, {SINGLE: file}, labels=labels, classes=names, columns=columns, sample=sample, dtype=dtype
        )
        return _Read(making, Arrays(tuple(arrays), y), classes=names)

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
        known = self._labels
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
        if not self._inputs or len(self._inputs) != 1:
            return None
        shape = self._inputs[0].shape[1:]
        sizes = tuple(size for size in shape if size is not None)
        fits = len(sizes) == len(shape) != 1 and int(np.prod(sizes)) == columns
        return sizes if fits else None

    def _dtype(self) -> str | None:
        """The input's dtype, where it is of whole numbers: a table's cells say nothing of theirs."""
        given = self._inputs[0].dtype if self._inputs and len(self._inputs) == 1 else "float32"
        return given if re.fullmatch(r"u?int\d+", given) else None

    def _images(self, path: Path, key: str, table: SamplesTable, place: Place) -> _Read:
        if table.labels is not None:
            raise place.wrong(
                f"labels in {place.name} beside a folder of images",
                "none: the names of its folders are the labels",
                "remove labels",
            )
        file = self._memory.file(path)
        listing = images.list_images(path, allow_outside=self._folder.allow_outside)
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
            _IMAGES,
            {SINGLE: file},
            classes=names,
            sample=(*size, channels),
            size=size if self._data.resize else None,
            color=color,
            interpolation=self._data.interpolation if self._data.resize else None,
        )
        return _Read(making, Arrays(tuple(arrays), y), classes=names)

    def _folder_classes(self, listing: images.Listing, key: str, path: Path) -> tuple[str, ...]:
        if not listing.classes or self._task == "regression":
            return ()
        known = self._labels or listing.classes
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
        if self._data.range is None and self._data.scale is None and self._data.offset is None:
            raise self._place.wrong(
                "the values that images have for the model are not declared",
                "range in [data]: what 0 and 255 become, as they did in training",
                "add range = [0, 1], range = [-1, 1], or range = [0, 255] for a model that scales them itself",
            )
        shape = self._inputs[0].shape[1:] if self._inputs and len(self._inputs) == 1 else ()
        height, width, channels = shape if len(shape) == 3 else (None, None, None)
        if self._data.resize:
            height, width = self._data.resize
        if not height or not width:
            raise self._place.wrong(
                "the size of the images is not declared",
                "resize in [data]: height and width that the model takes",
                "add resize = [224, 224]",
            )
        color = self._data.color or ("grayscale" if channels == 1 else "rgb")
        return (height, width), 1 if color == "grayscale" else 3, color

    # -- preprocessing ------------------------------------------------------------------------------------------------

    def _preprocessed(self, read: _Read, key: str) -> _Read:
        """With what [data] declares for all sets."""
        if read.making.form != _IMAGES:
            for name in _FOR_IMAGES:
                if getattr(self._data, name) is not None:
                    raise self._place.wrong(
                        f"{name} in {self._place.name} is for images; the {key} set is none",
                        "folders of images for all sets: what is declared once holds for all of them",
                        f"remove {name}, or name a folder of images as {key}",
                    )
        if self._data.columns is not None and read.making.form != _TABLE:
            raise self._place.wrong(
                f"columns in {self._place.name} is for .csv files; the {key} set is none",
                "a .csv for all sets",
                "remove columns",
            )
        names = self._names(read)
        scale, offset = self._factors("scale", names), self._factors("offset", names)
        if self._data.range is not None:
            low, high = self._data.range
            scale, offset = {SINGLE: ((high - low) / 255,)}, {SINGLE: (low,)}
            if low >= high:
                raise self._place.wrong(f"range = {written(self._data.range)} in {self._place.name}", "low, then high")
        scale = {name: factors for name, factors in scale.items() if set(factors) != {1.0}}
        offset = {name: factors for name, factors in offset.items() if set(factors) != {0.0}}
        if not scale and not offset:
            return read
        making = replace(read.making, scale=scale, offset=offset)
        return _Read(making, self._scaled(read.arrays, scale, offset), None, read.classes)

    def _names(self, read: _Read) -> tuple[str, ...]:
        """Names of the input arrays."""
        if read.arrays is not None:
            return tuple(array.name for array in read.arrays.inputs)
        several = self._inputs is not None and len(self._inputs) > 1
        return tuple(given.name for given in self._inputs or ()) if several else (SINGLE,)

    def _factors(self, key: str, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """By input, what `scale` or `offset` says."""
        given = getattr(self._data, key)
        if given is None:
            return {}
        if isinstance(given, dict):
            for name in given:
                if name not in names:
                    raise self._place.wrong(
                        f"{key} = {written(given)} in {self._place.name}: there is no array '{clean(name)}'",
                        one_of(name, names, what="an input's array"),
                    )
            return {name: self._numbers(key, value) for name, value in given.items()}
        if len(names) > 1:
            raise self._place.wrong(
                f"{key} = {written(given)} in {self._place.name} does not say of which input",
                f"a table by input: {', '.join(map(clean, names))}",
                f"{key} = {{ {clean(names[0])} = {written(given)} }}",
            )
        return {names[0]: self._numbers(key, given)}

    def _numbers(self, key: str, given: float | Sequence[float]) -> tuple[float, ...]:
        numbers = (float(given),) if isinstance(given, (int, float)) else tuple(map(float, given))
        if not numbers or not np.isfinite(numbers).all() or (key == "scale" and 0.0 in numbers):
            raise self._place.wrong(
                f"{key} = {written(given)} in {self._place.name}",
                "finite numbers" + (" other than 0" if key == "scale" else ""),
            )
        return numbers

    def _scaled(
        self, arrays: Arrays | None, scale: Mapping[str, tuple[float, ...]], offset: Mapping[str, tuple[float, ...]]
    ) -> Arrays | None:
        if arrays is None:
            return None
        for key, factors in (("scale", scale), ("offset", offset)):
            for array in arrays.arrays:
                found = len(factors.get(array.name, (0.0,)))
                last = array.shape[-1] if len(array.shape) > 1 else 1
                if found not in (1, last):
                    raise self._place.wrong(
                        f"{key} in {self._place.name} has {found} numbers, the last axis of "
                        f"'{clean(array.name)}' {last}",
                        f"one number, or {last}",
                    )
        changed = tuple(
            msgspec.structs.replace(array, dtype="float32") if array.name in {*scale, *offset} else array
            for array in arrays.arrays
        )
        return msgspec.structs.replace(arrays, arrays=changed, packed=0)

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _drawn(self, read: _Read, table: SamplesTable, key: str, place: Place, apart_from: Found | None) -> Found:
        """The set as it is judged or calibrated on: all of it, or so many of its samples."""
        self._require_sense(read, table, place)
        total = read.arrays.samples if read.arrays is not None else None
        same = apart_from is not None and _same(read.making, apart_from)
        if table.samples is None:
            if same:
                raise place.wrong(
                    f"{key} = {written(table.origin)} in {self._place.name} "
                    + ("is" if _takes_all(apart_from) else "holds the samples of")
                    + " the evaluation set",
                    "other samples: a variant is never judged on what it was calibrated on",
                    "set some training samples aside, or draw both from one set: samples = … for each",
                )
            return Found(read.as_it_is or _made(read.making), read.arrays, self._names(read), read.classes)
        left = None
        if same and apart_from is not None:
            left = _left(total, apart_from, key, place)
        most = total if left is None else left
        if most is not None and table.samples > most:
            raise place.wrong(
                f"samples = {table.samples} in {place.name}: there are {most}"
                + (" that are not in the evaluation set" if left is not None else ""),
                f"at most {most}",
            )
        other = apart_from.samples.making if same and apart_from is not None else None
        making = replace(read.making, samples=table.samples, stratify=table.stratify, seed=table.seed, apart_from=other)
        arrays = read.arrays
        if arrays is not None:
            fewer = tuple(
                msgspec.structs.replace(array, shape=(table.samples, *array.shape[1:])) for array in arrays.arrays
            )
            arrays = msgspec.structs.replace(arrays, arrays=fewer, packed=0)
        return Found(_made(making), arrays, self._names(read), read.classes)

    def _require_sense(self, read: _Read, table: SamplesTable, place: Place) -> None:
        """Keys that mean nothing without another."""
        if table.samples is None:
            for name, given in (("stratify", table.stratify), ("seed", table.seed != 0)):
                if given:
                    raise place.wrong(f"{name} in {place.name} without samples", "how many are drawn", "add samples")
        classes = read.arrays.labels is not None if read.arrays else read.making.labels is not None
        if table.stratify and not classes:
            raise place.wrong(
                f"stratify in {place.name}: the set has no classes",
                "labels that are classes",
                "say where the labels are with labels = …, or remove stratify",
            )


def is_callable(name: str) -> bool:
    """Whether this is meant for a callable rather than for a file.

    >>> is_callable("fixtures.digits:calibration"), is_callable("C:/train.npz")
    (True, False)
    """
    return ":" in name and Path(name).suffix.lower() not in _FORMS


def _form(path: Path, name: str, key: str, place: Place) -> str:
    if path.is_dir():
        return _IMAGES
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


def _same(making: plan.Making, evaluation: Found) -> bool:
    """Whether a set is read from the same files as the evaluation set."""
    theirs = evaluation.samples.making
    others = theirs.files if theirs else evaluation.samples.arrays
    held = {name: file.sha256 for name, file in others.items()} or {SINGLE: evaluation.samples.sha256}
    ours = {name: file.sha256 for name, file in making.files.items()}
    same_callable = making.callable == (theirs.callable if theirs else None)
    return same_callable and any(sha256 == held.get(name) for name, sha256 in ours.items() if name != LABELS)


def _takes_all(evaluation: Found | None) -> bool:
    making = evaluation.samples.making if evaluation else None
    return making is None or making.samples is None


def _left(total: int | None, evaluation: Found, key: str, place: Place) -> int | None:
    """How many samples the evaluation set leaves; None where that is not known.

    Raises:
        UsageError: if it takes them all.
    """
    if _takes_all(evaluation):
        raise place.wrong(
            f"the {key} set is drawn from the evaluation set",
            "other samples: a variant is never judged on what it was calibrated on",
            "draw both from one set: samples = … for evaluation, too",
        )
    making = evaluation.samples.making
    return None if total is None or making is None else total - (making.samples or 0)


def _made(making: plan.Making) -> plan.Samples:
    """The set that is made so."""
    first = next(iter(making.files.values()))
    return plan.Samples(first.path, _digest(making), first.bytes, making=making)


def _digest(making: plan.Making) -> str:
    """Of all that decides the arrays, and of nothing else: where files lie does not."""

    def parts(making: plan.Making) -> dict[str, object]:
        plain = msgspec.to_builtins(replace(making, apart_from=None))
        plain["files"] = {name: file.sha256 for name, file in making.files.items()}
        plain["apart_from"] = parts(making.apart_from) if making.apart_from else None
        return dict(plain)

    return digest_of({"artefact": "samples", "revision": REVISION, **parts(making)})
