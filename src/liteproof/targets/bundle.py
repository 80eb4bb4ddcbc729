"""What a target needs for a run: the suites, the code below them, the files under judgement, the plan.

    >>> names = {name for name, _ in code_files({})}
    >>> "liteproof/measure/runtime.py" in names, "liteproof/convert/worker.py" in names
    (True, False)

Everything but the plan is kept at the target by its digest, so a second run sends nothing of it. A target needs no
TensorFlow and no source model: the converted files and the source's predictions travel as entries of the store.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import liteproof
from liteproof.errors import ModelError
from liteproof.plan import Case, File, Model, Plan, Samples, Target, Variant, float_io_twin, same_weights_key
from liteproof.store import Entry, Store, file_sha256
from liteproof.tflite.reader import OperatorCode, read_model

# What of the package no target needs: converting, manifests, this room, and the command line.
_STAYS = frozenset({"acceptance", "cli.py", "convert", "manifest", "targets"})
_SUFFIXES = frozenset({".py", ".csv", ".json", ".toml"})
_EPOCH = (1980, 1, 1, 0, 0, 0)

PYTEST_INI = (
    "[pytest]\naddopts = --strict-markers\nxfail_strict = true\nmarkers =\n    slow: takes more than a second\n"
)


@dataclass(frozen=True)
class BundleFile:
    """A file at its place below the target's own folder. `source` holds its content, or where that is."""

    path: str
    sha256: str
    size: int
    source: Path | bytes

    def content(self) -> bytes:
        """What is in it."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


@dataclass(frozen=True)
class Bundle:
    """What travels.

    Attributes:
        files: Kept at the target by their digests.
        plan: With the files' paths there.
        code: Which of them is the archive of the suites and the code below them.
        operators: What operators the files under judgement list, by "model variant".
    """

    files: tuple[BundleFile, ...]
    plan: Plan
    code: str
    operators: Mapping[str, tuple[OperatorCode, ...]] = field(default_factory=dict)


def make_bundle(plan: Plan, target: Target, store: Store, cases: Iterable[Case], suites: Iterable[Path]) -> Bundle:
    """The bundle for the selected cases of one target.

    Args:
        plan: All of the work.
        target: For which part of it.
        store: Where the artefacts are.
        cases: What was selected; of these only the target's count.
        suites: Folders that the selected suites lie in.
    """
    wanted: dict[str, list[Variant]] = {}
    models: dict[str, Model] = {}
    for case in cases:
        if case.target == target:
            models[case.model.name] = case.model
            variants = wanted.setdefault(case.model.name, [])
            if case.variant not in variants:
                variants.append(case.variant)
    own = {Path(metric.package).name: Path(metric.package) for model in models.values() for metric in model.metrics}
    code = _bytes_file("code", "zip", archive(code_files({folder.name: folder for folder in suites} | own)))
    files = [code]
    travelling = []
    for model in models.values():
        evaluation, sent = _moved(model.evaluation)
        files += [*sent, *_artefacts(model, wanted[model.name], plan, target, store)]
        calibration = None
        if model.calibration is not None:
            calibration, sent = _moved(model.calibration)
            files += sent
        travelling.append(replace(model, evaluation=evaluation, calibration=calibration, training=None))
    unique = {file.path: file for file in files}
    operators = {
        f"{name} {v.name}": codes for name, vs in wanted.items() for v in vs if (codes := _operators(store, v))
    }
    return Bundle(
        tuple(unique.values()), replace(plan, models=tuple(travelling), targets=(target,)), code.path, operators
    )


def _operators(store: Store, variant: Variant) -> tuple[OperatorCode, ...]:
    """What a file lists; nothing of one that is not there or is broken, of which the suites will tell."""
    entry = store.get(variant.key)
    if entry is None:
        return ()
    try:
        return tuple(read_model(entry.path).operator_codes)
    except ModelError:
        return ()


def code_files(suites: Mapping[str, Path]) -> Iterator[tuple[str, bytes]]:
    """The files of the code archive by their names in it."""
    package = Path(liteproof.__file__).parent
    yield "pytest.ini", PYTEST_INI.encode()
    for path in sorted(package.iterdir()):
        if path.name not in _STAYS:
            yield from _tree(path, f"liteproof/{path.name}")
    for name, folder in suites.items():
        yield from _tree(folder, name)


def _tree(folder: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """A file, or a folder's files, as far as they are code."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        if path.is_file() and path.suffix in _SUFFIXES:
            yield (name if path == folder else f"{name}/{path.relative_to(folder).as_posix()}"), path.read_bytes()


def archive(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A zip whose bytes depend on its content alone. Not packed: the line packs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for name, content in sorted(files):
            packed.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return buffer.getvalue()


def _artefacts(
    model: Model, variants: Iterable[Variant], plan: Plan, target: Target, store: Store
) -> Iterator[BundleFile]:
    """Entries of the store: what each key leads to, or why it could not be made."""
    made = [samples.key for key, samples in model.sets.items() if key != "training"]
    keys = [model.float32_key, model.reference_key, *filter(None, made)]
    for variant in variants:
        twin = float_io_twin(model, variant)
        trained = same_weights_key(model, variant)
        keys += [variant.key, *([twin.key] if twin else []), *([trained] if trained else [])]
        keys += plan.host_answers.get(f"{model.name}-{variant.name}-{target.name}", {}).values()
    for key in dict.fromkeys(keys):
        entry = store.get(key)
        if entry is not None:
            yield from _entry_files(entry)
        elif (reason := store.failure(key)) is not None:
            yield BundleFile(f"store/failures/{key}.txt", *_digest(reason.encode()), reason.encode())


def _entry_files(entry: Entry) -> Iterator[BundleFile]:
    blob = entry.path.name
    record = {"blob": blob, "sha256": entry.sha256, "bytes": entry.bytes, "meta": dict(entry.meta)}
    text = json.dumps(record, sort_keys=True).encode()
    yield BundleFile(f"store/blobs/{blob}", entry.sha256, entry.bytes, entry.path)
    yield BundleFile(f"store/entries/{entry.key}.json", *_digest(text), text)


def _moved(samples: Samples) -> tuple[Samples, list[BundleFile]]:
    """A set as it is at the target, and the files that it is read from there.

    Arrays that were made are no files of the user's: they travel with the store.
    """
    if samples.making is not None:
        return samples, []
    arrays = {name: _data_file(file) for name, file in samples.arrays.items()}
    whole = [] if arrays else [_data_file(samples)]
    moved = {name: replace(samples.arrays[name], path=sent.path) for name, sent in arrays.items()}
    path = whole[0].path if whole else next(iter(arrays.values())).path
    return replace(samples, path=path, arrays=moved), [*whole, *arrays.values()]


def _data_file(file: File) -> BundleFile:
    path = Path(file.path)
    sha256 = file_sha256(path)
    return BundleFile(f"data/{sha256}{path.suffix}", sha256, path.stat().st_size, path)


def _bytes_file(room: str, suffix: str, content: bytes) -> BundleFile:
    sha256, size = _digest(content)
    return BundleFile(f"{room}/{sha256}.{suffix}", sha256, size, content)


def _digest(content: bytes) -> tuple[str, int]:
    return hashlib.sha256(content).hexdigest(), len(content)
