"""Which samples of a set are taken: all of them, or so many, and none of the evaluation set's.

    >>> drawn(read, SamplesTable("all.npz", samples=200), "calibration", place, ("x",), evaluation)   # doctest: +SKIP
    Found(samples=Samples(…), arrays=…, inputs=('x',), classes=())

Here is planned what is drawn, and said under which key the store will have it; `liteproof.manifest.sampling` draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from liteproof import plan
from liteproof.manifest.data import LABELS, SINGLE, Arrays
from liteproof.manifest.forms import Read
from liteproof.manifest.place import Place, written
from liteproof.manifest.schema import SamplesTable
from liteproof.store import digest_of

# Raised when the same files and preprocessing give other arrays than before.
REVISION = 1


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


def drawn(
    read: Read, table: SamplesTable, key: str, place: Place, inputs: tuple[str, ...], apart_from: Found | None
) -> Found:
    """The set as it is judged or calibrated on: all of it, or so many of its samples.

    Args:
        read: The set, preprocessed.
        table: What the manifest says of it.
        key: "evaluation", "calibration" or "training".
        place: Where the manifest says so.
        inputs: Names of its input arrays.
        apart_from: The evaluation set, of which this one must not have a sample.

    Raises:
        UsageError: if it is the evaluation set, or has not as many samples.
    """
    _require_sense(read, table, place)
    total = read.arrays.samples if read.arrays is not None else None
    same = apart_from is not None and _same(read.making, apart_from)
    if table.samples is None:
        if same:
            raise place.wrong(
                f"{key} = {written(table.origin)} in [data] "
                + ("is" if _takes_all(apart_from) else "holds the samples of")
                + " the evaluation set",
                "other samples: a variant is never judged on what it was calibrated on",
                "set some training samples aside, or draw both from one set: samples = … for each",
            )
        return Found(read.as_it_is or _made(read.making), read.arrays, inputs, read.classes)
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
    return Found(_made(making), arrays, inputs, read.classes)


def _require_sense(read: Read, table: SamplesTable, place: Place) -> None:
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
