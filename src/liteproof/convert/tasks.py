"""What is to be made, and what a run tells of it: the words between the caller, its worker processes and the display.

    >>> decode_event(encode(Event("converted", key="ab", seconds=1.5))).seconds
    1.5

A worker reads tasks and writes events, both as JSON lines: one event for each task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from liteproof.errors import LiteproofError, UsageError
from liteproof.plan import File, Model, Samples, Training
from liteproof.recipes import promise_of

EventKind = Literal[
    "waiting",
    "planned",
    "started",
    "at",
    "made",
    "exported",
    "trained",
    "converted",
    "reference",
    "fetched",
    "failed",
    "usage",
    "done",
]


@dataclass(frozen=True)
class Task:
    """One step of a conversion.

    Attributes:
        kind: "copy" a file that is taken as it is; "make" the arrays of a set of samples; "export" the source once for
            all recipes; "train" it further; "convert" a variant; "reference": the source's predictions on the
            evaluation set.
        key: Where the store keeps the result; of an export, what names it in the workers' folder.
        model: The model that it is for.
        name: What it makes, for people: a recipe or a variant's name, "reference", "source".
        recipe: The recipe of a variant.
        toolchain: "tensorflow" or "litert".
        options: What else decides a variant's bytes.
        file: What is copied.
        samples: The set whose arrays are made.
        training: The training that is to be done, or that the variant starts from.
    """

    kind: Literal["copy", "make", "export", "train", "convert", "reference"]
    key: str
    model: Model
    name: str
    recipe: str = ""
    toolchain: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    file: File | None = None
    samples: Samples | None = None
    training: Training | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of what must be there before: an exported or a trained source, the float32 variant, arrays."""
        if self.kind == "reference":
            return _made(self.model.evaluation)
        if self.kind == "train":
            return *_made(self.model.evaluation), *_made(self.model.training)
        if self.kind != "convert":
            return ()
        return self.origin, *(_made(self.model.calibration) if promise_of(self.recipe, self.options).calibrated else ())

    @property
    def origin(self) -> str:
        """Key of what a variant is converted from."""
        if self.training is not None and self.training.key is not None:
            return self.training.key
        return export_key(self.model) if self.toolchain == "tensorflow" else self.model.float32_key

    @property
    def keras(self) -> str | None:
        """Which Keras its worker must have: "keras", "tf-keras", or "both" to train; None where any will do."""
        if self.kind == "train":
            return "tf-keras" if self.model.keras == "tf-keras" else "both"
        if self.kind not in ("export", "reference") or self.model.source_kind not in ("keras", "h5"):
            return None
        return self.model.keras or "keras"

    @property
    def trouble(self) -> str:
        """How the reason begins if it fails."""
        if self.kind == "export":
            return f"the source of {self.model.name} cannot be converted"
        if self.kind == "train":
            return f"the source of {self.model.name} cannot be trained further"
        if self.kind == "reference":
            return f"the source of {self.model.name} gives no predictions"
        if self.kind == "make":
            return f"the {self.name} set of {self.model.name} cannot be made"
        return f"{self.name} of {self.model.name} cannot be converted by {self.toolchain}"


@dataclass(frozen=True)
class Event:
    """What has happened.

    Attributes:
        kind: "waiting" until another run is done with the same models; "planned" with the number of a model's steps;
            "started" on a task; "at" a point of it, `done` of `total`; "made", "exported", "trained", "converted",
            "reference" and "fetched" are its good ends; "failed" with the reason; "usage" if the request is wrong,
            which ends the run; "done" with everything.
        key: Where the store keeps what was made.
        model: The model's name.
        name: What was made, for people.
        reason: Why it failed, or how far a training is.
        seconds: What it took.
        bytes: The artefact's size.
        done: Samples or training steps that are done.
        total: Number of steps, of samples, or of training steps.
        meta: How it was made, for the store.
        error: found, expected, where and next of a wrong request.
    """

    kind: EventKind
    key: str = ""
    model: str = ""
    name: str = ""
    reason: str = ""
    seconds: float = 0.0
    bytes: int = 0
    done: int = 0
    total: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)
    error: tuple[str, str, str, str] = ("", "", "", "")


Listener = Callable[[Event], None]


def _made(samples: Samples | None) -> tuple[str, ...]:
    return (samples.key,) if samples is not None and samples.key is not None else ()


def export_key(model: Model) -> str:
    """What names a model's exported source in the workers' folder. It is no key of the store: exports are not kept."""
    return f"{model.float32_key}-export"


def wrong_request(error: UsageError) -> Event:
    """The event that ends a run with this error."""
    return Event("usage", error=(error.found, error.expected, error.where, error.next))


def usage_error(event: Event) -> UsageError:
    """The error that such an event stands for."""
    found, expected, where, next_ = event.error
    return UsageError(found, expected=expected, where=where, next=next_)


def sentence(error: LiteproofError) -> str:
    """An error in one line.

    >>> sentence(UsageError("no signature", expected="serving_default", next="export it again"))
    'no signature; expected: serving_default; next: export it again'
    """
    parts = [error.found, *(f"{k}: {v}" for k, v in (("expected", error.expected), ("next", error.next)) if v)]
    return "; ".join(parts)


def encode(message: Task | Event) -> bytes:
    """One JSON line."""
    return msgspec.json.encode(message) + b"\n"


def decode_task(line: bytes) -> Task:
    """A task from its line."""
    return msgspec.json.decode(line, type=Task)


def decode_event(line: bytes) -> Event:
    """An event from its line."""
    return msgspec.json.decode(line, type=Event)
