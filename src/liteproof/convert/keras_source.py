"""Loading a Keras file: by the Keras that reads it, in safe mode, and with reasons that a user can act on.

    >>> request = of_model(model, root=".")                         # doctest: +SKIP
    >>> load(request).count_params()                                # doctest: +SKIP
    5162

Keras 3 and legacy Keras (the package tf-keras) never meet in one process: custom layers written against
`tensorflow.keras` follow TF_USE_LEGACY_KERAS, which `process` sets for each worker. Which of the two a file needs is
told from the file (`manifest.keras_file`), before either is imported.
"""

from __future__ import annotations

import builtins
import contextlib
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteproof.convert.data import load_callable
from liteproof.convert.keras_package import KERAS, LEGACY, MODULES, require_installed
from liteproof.errors import ModelError, UsageError
from liteproof.manifest import keras_file
from liteproof.manifest.keras_file import KerasFile
from liteproof.packages import installed
from liteproof.plan import Model

# What Keras, h5py and zipfile say of files that end early or lack a part.
_DAMAGE = ("Unable to synchronously open", "truncated", "Bad CRC", "no item named", "Expected a model.weights")


@dataclass(frozen=True)
class Request:
    """A Keras file that is to be loaded.

    Attributes:
        what: What it is to the user: "the source of digits".
        path: Where it lies.
        kind: "keras" or "h5".
        keras: The package that loads it, "keras" or "tf-keras".
        where: The place that could allow more: a manifest's table, or the command line.
        trust: Whether it may run code of its own.
        trust_by: How trust is written there.
        objects: Gives its custom layers and functions by name; None: it has none.
        objects_by: How custom objects are written there.
    """

    what: str
    path: Path
    kind: str
    keras: str
    where: str
    trust: bool = False
    trust_by: str = "trust = true"
    objects: Callable[[], Mapping[str, Any]] | None = None
    objects_by: str = 'custom_objects = "package.module:function"'


def of_model(model: Model, root: str, path: Path | None = None) -> Request:
    """The request for a model's source."""
    name = model.custom_objects

    def objects() -> Mapping[str, Any]:
        return custom_objects(name or "", load_callable(name or "", "custom_objects", model, root)(), where)

    where = f"{model.manifest.path} [model]"
    return Request(
        what=f"the source of {model.name}",
        path=path or Path(model.source.path),
        kind=model.source_kind,
        keras=model.keras or KERAS,
        where=where,
        trust=model.trust,
        objects=objects if name else None,
    )


def custom_objects(name: str, found: object, where: str) -> Mapping[str, Any]:
    """What a callable of the user's gave, if it is a mapping.

    Raises:
        UsageError: if it is none.
    """
    if isinstance(found, Mapping):
        return found
    raise UsageError(
        f'custom_objects = "{name}" gives {type(found).__name__}',
        expected="a mapping of names to classes and functions, or a function that returns one",
        where=where,
    )


def load(request: Request) -> Any:
    """The Keras model, not compiled. Without trust nothing of the file's own is run.

    Raises:
        ModelError: if the file is broken, or is none that this Keras takes; with the reason.
        UsageError: if more must be installed or allowed: Keras itself, trust, or custom objects.
    """
    path = request.path
    if request.kind == "keras" and not zipfile.is_zipfile(path):
        raise _does_not_load(request, "it is damaged: a .keras file is a zip archive, and this is none")
    require_installed(request.keras, request.what, str(path))
    file = keras_file.read(path, request.kind) or KerasFile(None)
    objects = request.objects() if request.objects else {}
    _require_same_keras(objects, request)
    if not request.trust:
        _refuse_code(file, objects, request)
    try:
        return _LOADERS[request.keras](request, objects)
    except UsageError:
        raise
    except Exception as error:  # Keras raises what its parts raise
        raise _told(str(error) or type(error).__name__, file, request) from error


def _load_by_keras_3(request: Request, objects: Mapping[str, Any]) -> Any:
    import keras

    return keras.saving.load_model(
        request.path, custom_objects=dict(objects), compile=False, safe_mode=not request.trust
    )


def _load_by_legacy_keras(request: Request, objects: Mapping[str, Any]) -> Any:
    """`safe_mode` reaches .keras files only; the scope reaches .h5 as well."""
    import tf_keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    safe = not request.trust
    with SafeModeScope(safe):
        return tf_keras.models.load_model(request.path, custom_objects=dict(objects), compile=False, safe_mode=safe)


_LOADERS = {KERAS: _load_by_keras_3, LEGACY: _load_by_legacy_keras}


# -- what may be loaded -----------------------------------------------------------------------------------------------


def _require_same_keras(objects: Mapping[str, Any], request: Request) -> None:
    """Layers of one Keras do not work in a model of the other."""
    other = MODULES[LEGACY if request.keras == KERAS else KERAS]
    for name, found in objects.items():
        bases = {base.__module__.partition(".")[0] for base in getattr(found, "__mro__", ())}
        if other in bases:
            raise UsageError(
                f"custom object {name} is a class of {other}, and {request.what} is loaded by {request.keras}",
                expected=f"a class of {MODULES[request.keras]}",
                where=request.where,
                next=f"import {MODULES[request.keras]} in its module, or tensorflow.keras, which follows",
            )


def _refuse_code(file: KerasFile, objects: Mapping[str, Any], request: Request) -> None:
    """Refuse what loading would run, before anything is loaded.

    Keras 3 refuses it itself, but names no layer; legacy Keras runs the Lambdas of an .h5 whatever it is told, and
    imports whichever module a .keras names.
    """
    carried = keras_file.code_in(file.config)
    if carried:
        raise _needs_trust(request, "Lambda layer " + ", ".join(f"'{name}'" for name in carried[:3]))
    if request.keras != LEGACY:
        return
    for node in _nodes(file.config):
        name, inner = str(node["class_name"]), node.get("config")
        known = {name, node.get("registered_name"), inner if isinstance(inner, str) else name} & objects.keys()
        if name == "Lambda":
            function = _function_of(inner)
            if function not in objects:
                raise _needs_trust(request, f"a Lambda layer that calls {function}")
        elif not known and not _of_keras_itself(node):
            raise _unknown(request, inner if name == "function" else name)


def _nodes(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every node of a configuration that stands for a class or a function."""
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _nodes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _nodes(value)


def _function_of(config: Any) -> Any:
    function = config.get("function") if isinstance(config, Mapping) else None
    return function.get("config") if isinstance(function, Mapping) else function


def _of_keras_itself(node: Mapping[str, Any]) -> bool:
    """Whether a node names no module outside Keras; most of an .h5 names none, and is looked up in Keras alone."""
    module = node.get("module")
    if module == "builtins":  # how Keras spells its own functions, and what Python's would be
        return not hasattr(builtins, str(node.get("config")))
    return module is None or str(module).partition(".")[0] in ("keras", "tf_keras")


# -- what went wrong --------------------------------------------------------------------------------------------------


def _told(text: str, file: KerasFile, request: Request) -> ModelError | UsageError:
    """What is wrong, told from what Keras says."""
    if "safe_mode" in text or "unsafe_deserialization" in text:
        return _needs_trust(request, "a Lambda layer")
    unknown = re.search(
        r"(?:Unknown (?!dtype)\w+(?: \w+)?:|Could not locate (?:class|function)|object of type) ['`](\w+)", text
    )
    if unknown and not _is_of_keras(unknown[1], file, request):
        return _unknown(request, unknown[1])
    if any(mark in text for mark in _DAMAGE):
        return _does_not_load(request, f"it is damaged: {_first_sentence(text)}")
    if "No model config found" in text:
        return _does_not_load(
            request, "it holds weights without an architecture; save it with model.save, not with save_weights"
        )
    return _does_not_load(request, *_of_versions(text, file, request))


def _is_of_keras(name: str, file: KerasFile, request: Request) -> bool:
    """Whether a class is Keras' own, of another version: then no custom object is missing."""
    if request.keras == KERAS and (file.version or "").startswith("2."):
        return True
    with contextlib.suppress(*keras_file.MISSHAPEN):
        return any(
            node["class_name"] == name and str(node.get("module")).partition(".")[0] in ("keras", "tf_keras")
            for node in _nodes(file.config)
        )
    return False


def _of_versions(text: str, file: KerasFile, request: Request) -> tuple[str, str]:
    """The reason and the way out, where the Keras that wrote it and the one that reads it do not agree."""
    here = installed(request.keras) or ""
    reads = f"{'Keras' if request.keras == KERAS else 'legacy Keras'} {here}"
    if not file.version:
        return _in_words(text), ""
    reason = f"it was written by Keras {file.version}, and {reads} does not take it: {_in_words(text)}"
    newer = _numbers(file.version) > _numbers(here)
    return reason, f"pip install -U {request.keras}" if newer else ""


def _in_words(text: str) -> str:
    """What Keras says, in words that mean something to whoever did not write Keras."""
    settings = re.search(r"Unrecognized keyword arguments(?: passed to (\w+))?: ?[\[{](.*?)[\]}]", text, re.DOTALL)
    if settings:
        names = re.findall(r"'(\w+)'(?=\s*[:,]|$)", settings[2])
        return f"settings of {settings[1] or 'a layer'} that it does not know ({', '.join(names) or settings[2]})"
    missing = re.search(r"Unknown dtype policy|[Cc]ould not (?:be )?deserialize|Could not locate", text)
    named = re.search(r"(?:class|policy):? '(\w+)'", text)
    if missing and named:
        return f"it does not know what the file says of {named[1]}"
    return _first_sentence(text)


def _first_sentence(text: str) -> str:
    """The line that says something: what Keras names the cause, else the first."""
    cause = text.partition("Exception encountered:")[2].strip() or text.strip()
    return " ".join(cause.splitlines()[0].split())[:400]


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:3])


def _does_not_load(request: Request, reason: str, way_out: str = "") -> ModelError:
    return ModelError(f"{request.what} does not load: {reason}", where=str(request.path), next=way_out)


def _needs_trust(request: Request, what: str) -> UsageError:
    return UsageError(
        f"{request.what} carries code that loading it would run: {what}",
        expected=f"a source without code, or {request.trust_by}",
        where=request.where,
        next=f"add {request.trust_by} if you know who made the file",
    )


def _unknown(request: Request, name: object) -> UsageError:
    return UsageError(
        f"{request.what} has {name}, which Keras does not know",
        expected=f"{request.objects_by.partition(' ')[0]}, which gives it",
        where=request.where,
        next=f'write a function that returns {{"{name}": …}}, and {request.objects_by}',
    )
