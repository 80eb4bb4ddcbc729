"""A source that was trained further, as the store keeps it: exported models in one archive.

    >>> train_source(source, task, work, report)                    # doctest: +SKIP
    {'losses': [0.0312, 0.0287], 'left_out': 0}
    >>> unpacked(Path("trained.zip"), Path("/tmp"), aware=True)     # doctest: +SKIP
    PosixPath('/tmp/aware-….exported')

Training takes longer than all else and is done once: variants of any recipe are converted from the archive.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from liteproof.convert.data import training, unchanged
from liteproof.convert.rebuilding import given_back, rebuilt
from liteproof.convert.sources import Source, export, from_keras
from liteproof.convert.tasks import Task
from liteproof.convert.training import Report, Settings, compiled_loss, loss_for, train
from liteproof.plan import Model

FLOAT32, AWARE = "float32", "aware"

# As many samples as show whether a rebuilt model answers as the source does.
_COMPARED = 32
# Dates in an archive would make the same training another file.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Place(Protocol):
    """Where artefacts of a run lie, by their keys."""

    def path(self, key: str) -> Path:
        """Where what has this key lies."""


def train_source(source: Source, task: Task, work: Place, report: Report) -> Mapping[str, Any]:
    """Train a source further and write what comes of it under the task's key.

    Returns:
        The losses of the epochs, and how many training samples were left out since variants are judged on them.

    Raises:
        ModelError: if the source cannot be trained.
        UsageError: if the data or the loss is wrong.
    """
    wanted = task.training
    assert wanted is not None  # noqa: S101 - of every such task
    values, y, left_out = training(task.model, source.inputs, work.path)
    x = [values[given.name] for given in source.inputs]
    settings = Settings(**wanted.settings)  # type: ignore[arg-type]
    loss = loss_for(
        task.model.task,
        logits=_gives_logits(task.model, source),
        named=settings.loss,
        compiled=compiled_loss(unchanged(task.model.source)),
    )
    y = y.reshape(-1, 1) if task.model.task == "binary" else y
    legacy = _legacy(source.owner, [array[:_COMPARED] for array in x])
    trained = train(legacy, wanted.method, settings, x, y, loss, report)
    float32 = trained.float32 if legacy is source.owner else given_back(source.owner, trained.float32)
    models = {FLOAT32: float32, **({AWARE: trained.aware} if trained.aware is not None else {})}
    with tempfile.TemporaryDirectory(prefix="liteproof-") as folder:
        for name, model in models.items():
            export(from_keras(model), Path(folder) / name)
        _pack(Path(folder), work.path(task.key))
    return {"losses": list(trained.losses), "left_out": left_out}


def unpacked(archive: Path, folder: Path, *, aware: bool) -> Path:
    """The exported model of an archive, in a new folder within `folder`.

    Args:
        archive: As `train_source` wrote it.
        folder: Where to unpack.
        aware: Whether the one with fake quantization is wanted, rather than the float one of the same weights.
    """
    name = AWARE if aware else FLOAT32
    place = Path(tempfile.mkdtemp(dir=folder, prefix=f"{name}-", suffix=".exported"))
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(place, [member for member in packed.namelist() if member.startswith(f"{name}/")])
    return place / name


def _pack(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _legacy(model: Any, samples: list[Any]) -> Any:
    """The model as tf-keras has it: itself, or rebuilt from Keras 3."""
    import tf_keras

    if isinstance(model, tf_keras.Model):
        return model
    return rebuilt(model, samples)


def _gives_logits(model: Model, source: Source) -> bool:
    """Whether a classifier's outputs are logits: as declared, else told from its last activation."""
    if model.outputs is not None:
        return model.outputs == "logits"
    return source.activation not in ("softmax", "sigmoid")
