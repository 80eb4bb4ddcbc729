"""What decides the bytes of an artefact, and the store's key that follows from it.

    >>> file_key("ab" * 32) == file_key("ab" * 32)
    True

Versions are read from the installed packages' metadata: nothing is imported, so that a run with a warm store can tell
that nothing changed without loading TensorFlow.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from liteproof.manifest.place import Place, shown, written
from liteproof.packages import installed
from liteproof.store import digest_of

SEED = 0
ABSENT = "absent"

# What carries each toolchain out; the first of alternatives that is installed counts.
_TENSORFLOW = ("tensorflow", "tensorflow-cpu")
_KERAS = "keras"
_LITERT = (("litert-quantizer",), ("ai-edge-litert",))
_RUNTIME = (("ai-edge-litert",),)
_TRAINING = (("tf-keras",), ("tensorflow-model-optimization",))


def _installed(alternatives: tuple[str, ...]) -> str:
    return next(filter(None, map(installed, alternatives)), ABSENT)


def _versions(packages: tuple[tuple[str, ...], ...]) -> dict[str, str]:
    return {alternatives[0]: _installed(alternatives) for alternatives in packages}


@dataclass(frozen=True)
class Source:
    """A source and all that decides what loading it gives.

    Attributes:
        kind: "keras", "h5", "savedmodel" or "tflite".
        sha256: Of its content.
        trust: Whether it may run code of its own.
        custom_objects: Identity of the callable that gives custom objects, from `code_identity`.
        keras: The package that loads it, "keras" or "tf-keras".
        select_tf_ops: Whether its float32 `.tflite` may hold Select TF operators.
    """

    kind: str
    sha256: str
    trust: bool = False
    custom_objects: Mapping[str, str] | None = None
    keras: str | None = None
    select_tf_ops: bool = False

    @property
    def _packages(self) -> tuple[tuple[str, ...], ...]:
        """What carries the toolchain `tensorflow` out."""
        return (_TENSORFLOW, (self.keras or _KERAS,))

    def _parts(self) -> dict[str, object]:
        custom = dict(self.custom_objects) if self.custom_objects else None
        return {"kind": self.kind, "sha256": self.sha256, "trust": self.trust, "custom_objects": custom}


def file_key(sha256: str) -> str:
    """Key of a `.tflite` that is taken as it is."""
    return digest_of({"artefact": "file", "sha256": sha256})


def float32_key(source: Source) -> str:
    """Key of the float32 `.tflite` that a source gives; a `.tflite` source is that file."""
    if source.kind == "tflite":
        return file_key(source.sha256)
    return variant_key(source, "float32", "tensorflow", None, {"select_tf_ops": True} if source.select_tf_ops else {})


# Raised when a recipe of ours, or how a reference is computed, gives other bytes from the same source and toolchain.
RECIPES_REVISION = 2


def training_key(source: Source, method: str, settings: Mapping[str, object]) -> str:
    """Key of a source that is trained further.

    Args:
        source: What is trained.
        method: "aware" or "pruning".
        settings: The digest of the data, epochs, batch size, learning rate, seed … (JSON values).
    """
    return digest_of(
        {
            "artefact": "training",
            "recipes": RECIPES_REVISION,
            "source": source._parts(),
            "method": method,
            "settings": dict(settings),
            "versions": _versions((*source._packages, *_TRAINING)),
        }
    )


def variant_key(
    source: Source,
    recipe: str,
    toolchain: str,
    calibration: Mapping[str, str] | None,
    options: Mapping[str, object],
    training: str | None = None,
) -> str:
    """Key of a variant that is converted.

    Args:
        source: What it is converted from; LiteRT's recipes start from its float32 `.tflite`.
        recipe: Its recipe.
        toolchain: "tensorflow" or "litert".
        calibration: Identity of the calibration set, for a recipe that needs one.
        options: What else decides the bytes (JSON values).
        training: Key of what further training made of the source, for a recipe that starts from that.
    """
    from_tensorflow = toolchain == "tensorflow"
    origin: object = source._parts() if from_tensorflow else float32_key(source)
    return digest_of(
        {
            "artefact": "variant",
            "recipes": RECIPES_REVISION,
            "source": {"training": training} if training else origin,
            "recipe": recipe,
            "toolchain": toolchain,
            "versions": _versions(source._packages if from_tensorflow else _LITERT),
            "calibration": dict(calibration) if calibration else None,
            "options": dict(options),
            "seed": SEED,
        }
    )


def reference_key(source: Source, evaluation_sha256: str) -> str:
    """Key of the source's predictions on the evaluation set."""
    return digest_of(
        {
            "artefact": "reference",
            "recipes": RECIPES_REVISION,
            "source": source._parts(),
            "evaluation": evaluation_sha256,
            "versions": _versions(_RUNTIME if source.kind == "tflite" else source._packages),
        }
    )


def find_module(name: str, key: str, root: Path, place: Place) -> Path:
    """The source file of "package.module:name": in the root folder, then where Python looks. Nothing is imported.

    Raises:
        UsageError: if there is no such module.
    """
    module = name.partition(":")[0]
    parts = module.split(".")
    search: list[str] | None = [str(root), *sys.path]
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), search)
        if spec is None:
            break
        search = list(spec.submodule_search_locations or ())
        if depth == len(parts) and spec.origin and Path(spec.origin).is_file():
            return Path(spec.origin)
    raise place.wrong(
        f"{key} = {written(name)} in {place.name}: there is no module {module}",
        f"{'/'.join(parts)}.py in the root folder {shown(root)}",
        "check the name, or run from the folder that holds it",
    )


def code_identity(name: str, sha256: str) -> dict[str, str]:
    """What stands for a callable in a key: its name and the digest of its module's source, not of what that imports."""
    return {"callable": name, "module_sha256": sha256}
