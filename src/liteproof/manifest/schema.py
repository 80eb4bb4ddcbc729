"""The keys of `model.toml` and `targets.toml`, their types and their meaning.

One class a table: reading, the published JSON Schema and the editor's completion all come from here.

    >>> read_table(DataTable, {"evaluation": "evaluation.npz"}, Place("model.toml", "data")).calibration is None
    True
    >>> read_table(DataTable, {"evaluation": 3}, Place("model.toml", "data"))
    Traceback (most recent call last):
      ...
    liteproof.errors.UsageError: evaluation = 3 in [data] is a whole number
      expected: a string or a table
      where:    model.toml [data]
"""

from __future__ import annotations

import functools
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from liteproof.checks import METRICS, OWN
from liteproof.manifest.place import Place, clean, kind_of, nearest, written

NAME = r"^[A-Za-z0-9_-]+$"
METRIC_NAME = r"^[a-z][a-z0-9_]*$"
CALLABLE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"

# Metrics that are spoken for but that nothing measures yet: no variant and no target may take their names, and a budget
# on one is refused, since a limit that gates nothing would look like a gate that was kept.
RESERVED_METRICS = frozenset(
    {
        "size_ratio",
        "source_size_ratio",
        "size_bytes",
        "top1_agreement",
        "top5_agreement",
        "accuracy",
        "accuracy_drop",
        "worst_class_recall_drop",
        "max_abs_error",
        "mean_abs_error",
        "cosine_similarity",
        "sqnr_db",
        "confidence_drift",
        "saturation",
        "nonfinite_outputs",
        "weight_error_lsb",
        "spec_violations",
        "float_ops",
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "cold_start_ms",
        "cpu_ms",
        "speedup",
        "peak_memory_mb",
    }
)
RESERVED_NAMES = RESERVED_METRICS | METRICS.keys() | {"all", "regression"}

_Strings = list[str]
_Numbers = list[float]
_Files = dict[str, str]
_CustomObjects = Annotated[
    str, Meta(pattern=CALLABLE, description='Custom layers: "package.module:name" of a mapping in the root folder.')
]
# No leading dash, which ssh(1) would take for an option.
_Destination = Annotated[
    str, Meta(pattern=r"^[^\s-]\S*$", description="Whatever ssh(1) takes as a destination; none: this machine.")
]
_Epochs = Annotated[int, Meta(ge=1, le=100_000, description="Times that training goes through the training set.")]
_BatchSize = Annotated[int, Meta(ge=1, le=1_000_000, description="Samples of one training step. Default: 32.")]
_LearningRate = Annotated[float, Meta(ge=1e-9, le=10.0, description="Learning rate of Adam. Default: 0.0001.")]
_Seed = Annotated[int, Meta(ge=0, le=2**32 - 1, description="Decides the order of training samples. Default: 0.")]
_Sparsity = Annotated[
    float, Meta(ge=0.01, le=0.99, description="Share of each layer's weights that pruning sets to zero.")
]
_Interpreter = Annotated[str, Meta(pattern=r"\S", description="The interpreter that runs the suites there.")]


class RemoteTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is kept elsewhere."""

    url: Annotated[str, Meta(min_length=1, description="Its address: http(s), s3, gs, az, file, or zip::….")]
    sha256: (
        Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="The digest of what must be there; run to be told.")]
        | None
    ) = None


class ModelTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What is under acceptance."""

    task: Annotated[
        Literal["classification", "binary", "regression"],
        Meta(description="What the outputs mean. An autoencoder is a regression onto its input."),
    ]
    source: Annotated[
        str | RemoteTable,
        Meta(description="The trained original: .keras, .h5, a SavedModel folder, or a float .tflite."),
    ]
    labels: Annotated[
        str | _Strings | None, Meta(description="Names of the classes: a file with one a line, or an array.")
    ] = None
    outputs: Annotated[
        Literal["probabilities", "logits"] | None,
        Meta(description="What the outputs are. Default: told from the outputs of the source."),
    ] = None
    threshold: Annotated[
        float | None, Meta(description="Decision threshold of a binary model, on the probability. Default: 0.5.")
    ] = None
    trust: Annotated[bool, Meta(description="The source may carry code, which loading it runs.")] = False
    custom_objects: _CustomObjects | None = None
    decision_output: Annotated[
        str | None,
        Meta(
            description="Of a classifier with several outputs: the one that classes are told from. Default: its first."
        ),
    ] = None
    prefer: Annotated[
        Literal["smallest", "fastest", "most-accurate"],
        Meta(description="Which accepted variant to recommend."),
    ] = "smallest"
    allow_outside: Annotated[bool, Meta(description="Files that this manifest names may lie outside its folder.")] = (
        False
    )


class SamplesTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A set of samples, or some that are drawn out of it."""

    origin: Annotated[
        str | _Files,
        Meta(
            description="An .npz, an .npy, a table of an .npy for each input, a folder of images by class, a .csv, or "
            '"package.module:name", a callable that yields batches.'
        ),
    ] = msgspec.field(name="from")
    labels: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="Where the labels are: an .npy, a column of the .csv, or an array's name in the .npz or in "
                "what the callable yields.",
            ),
        ]
        | None
    ) = None
    samples: Annotated[int, Meta(ge=1, le=10**9, description="How many are drawn; left out: all are taken.")] | None = (
        None
    )
    stratify: Annotated[bool, Meta(description="Draw the classes in proportion, of each at least one.")] = False
    seed: Annotated[int, Meta(ge=0, le=2**32, description="Of the drawing.")] = 0


class DataTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Samples in the source model's own input domain, and what brings them there: the same for all sets."""

    evaluation: Annotated[
        str | SamplesTable,
        Meta(description="What variants are judged on: an .npz with x (n, …) or an array an input; y (n,) optional."),
    ]
    calibration: Annotated[
        str | SamplesTable | None,
        Meta(description="What activation ranges are calibrated on. Never a sample of the evaluation set."),
    ] = None
    training: Annotated[
        str | SamplesTable | None,
        Meta(description="What recipes that train are given. Never a sample of the evaluation set."),
    ] = None
    columns: (
        Annotated[
            list[str],
            Meta(min_length=1, description="The features' columns of a .csv, in order; left out: all but the labels'."),
        ]
        | None
    ) = None
    resize: (
        Annotated[
            list[Annotated[int, Meta(ge=1, le=16384)]],
            Meta(min_length=2, max_length=2, description="Height and width that images are resized to."),
        ]
        | None
    ) = None
    interpolation: Annotated[
        Literal["nearest", "box", "bilinear", "bicubic", "lanczos"],
        Meta(description="How images are resized."),
    ] = "bilinear"
    color: Annotated[
        Literal["rgb", "bgr", "grayscale"] | None,
        Meta(description="What images are read as; left out: rgb or grayscale, by the source's input."),
    ] = None
    range: (
        Annotated[
            list[float],
            Meta(min_length=2, max_length=2, description="What 0 and 255 of images become: for scale and offset."),
        ]
        | None
    ) = None
    scale: Annotated[
        float | _Numbers | dict[str, float | _Numbers] | None,
        Meta(description="Multiplies values: a number, one for each channel or column, or a table of such by input."),
    ] = None
    offset: Annotated[
        float | _Numbers | dict[str, float | _Numbers] | None,
        Meta(description="Is added then, in the same forms."),
    ] = None


# One number, or one for each channel; of a model of several inputs a table of these.
_Factor = float | list[float] | dict[str, float | list[float]]


class VariantTable(Struct, frozen=True, forbid_unknown_fields=True):
    """One .tflite, converted from the source by a recipe or handed over as a file."""

    recipe: Annotated[
        str | None, Meta(description="How it is made, or what a file claims to be. Default: the table's name.")
    ] = None
    toolchain: Annotated[
        Literal["tensorflow", "litert"] | None,
        Meta(description="Who converts. Default: tensorflow where it knows the recipe."),
    ] = None
    file: Annotated[
        str | RemoteTable | None, Meta(description="A .tflite that was built elsewhere, judged as it is.")
    ] = None
    select_tf_ops: Annotated[
        bool,
        Meta(description="Operators that TensorFlow Lite lacks may stay TensorFlow's own, which few runtimes have."),
    ] = False
    float32: Annotated[
        str | None,
        Meta(description="Beside a file that was trained further: the float .tflite of the same weights."),
    ] = None
    epochs: _Epochs | None = None
    batch_size: _BatchSize | None = None
    learning_rate: _LearningRate | None = None
    seed: _Seed | None = None
    loss: Annotated[
        str | None, Meta(description="A loss that tf-keras knows by name. Default: as the task has it.")
    ] = None
    sparsity: _Sparsity | None = None
    input_scale: Annotated[
        _Factor | None,
        Meta(description="The input is fed with source × input_scale + input_offset: a number, or one a channel."),
    ] = None
    input_offset: Annotated[_Factor | None, Meta(description="See input_scale. Default: 0.")] = None
    input_names: Annotated[
        dict[str, str], Meta(description="Of a file: its name for each of the source's inputs, where names differ.")
    ] = {}
    output_names: Annotated[
        dict[str, str], Meta(description="Of a file: its name for each of the source's outputs, where names differ.")
    ] = {}


class WaiverTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule or metric that one variant is exempt from until a day."""

    variant: Annotated[str, Meta(description="The variant that it is for.")]
    rule: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$", description="A specification rule or a metric.")]
    reason: Annotated[str, Meta(pattern=r"\S", description="Why; it is shown in every report.")]
    until: Annotated[date, Meta(description="The last day on which it holds.")]
    tensor: Annotated[str | None, Meta(description="The only tensor that it is for.")] = None


class MetricTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A metric of your own."""

    callable: Annotated[
        str,
        Meta(
            pattern=CALLABLE,
            description='"package.module:name" of a function of (reference, variant, labels), in the root folder.',
        ),
    ]
    better: Annotated[Literal["higher", "lower"], Meta(description="Which way is good: what a budget limits.")]


class ReleaseTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What a sign-off demands."""

    targets: Annotated[_Strings, Meta(min_length=1, description="Targets on which every gate must be PASS.")] = (
        msgspec.field(default_factory=lambda: ["host"])
    )


_Path = Annotated[str, Meta(pattern=r"^/\S*$")]


class ServiceTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A prediction service that runs on the target and is judged with the variant that it serves."""

    variant: Annotated[str, Meta(description="The variant that it serves.")]
    url: Annotated[
        str | _Files,
        Meta(description="Its address as the target itself reaches it, or a table of such by target."),
    ]
    health: Annotated[_Path, Meta(description="Path of its health.")] = "/api/health"
    fields: Annotated[
        _Strings | dict[str, str | int | float | bool],
        Meta(description="What the health path must have: names of fields, or a table of their values."),
    ] = msgspec.field(default_factory=lambda: ["status"])
    digest_field: Annotated[str, Meta(description="The field that tells the file's sha256, where it does.")] = "digest"
    predict: Annotated[_Path, Meta(description="Path of its predictions.")] = "/api/predict"
    encoding: Annotated[
        Literal["json", "npy"], Meta(description='How a sample is sent: JSON {"inputs": …}, or the bytes of an .npy.')
    ] = "json"
    output_field: Annotated[str, Meta(description="The field of an answer that holds the outputs.")] = "outputs"
    samples: Annotated[int, Meta(ge=1, le=10_000, description="How many evaluation samples it is asked.")] = 32
    timeout_s: Annotated[float, Meta(gt=0, le=600, description="Seconds for one exchange.")] = 10.0


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """A model.toml."""

    model: ModelTable
    data: DataTable
    variants: dict[str, VariantTable]
    metrics: dict[str, MetricTable] = {}
    budgets: dict[str, Any] = {}
    waivers: list[WaiverTable] = []
    release: ReleaseTable = msgspec.field(default_factory=ReleaseTable)
    service: ServiceTable | None = None


class DelegateTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A delegate library that the runtime loads."""

    library: Annotated[str, Meta(min_length=1, description="Its file name or path on the target.")]
    options: Annotated[dict[str, str | int], Meta(description="What it is given, as strings.")] = {}


class TargetTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the suites run. Neither ssh nor python: this machine, this interpreter."""

    ssh: _Destination | None = None
    python: _Interpreter | None = None
    runtime: Annotated[
        Literal["ai_edge_litert", "tflite_runtime", "tensorflow"] | None,
        Meta(description="Default: the first installed of ai_edge_litert, tflite_runtime, tensorflow."),
    ] = None
    threads: Annotated[int, Meta(ge=1, le=1024, description="Threads of one inference.")] = 1
    delegate: DelegateTable | None = None
    rehearsal: Annotated[
        bool,
        Meta(description="An emulated or borrowed machine: time limits are lifted, a sign-off is refused."),
    ] = False
    cache: Annotated[
        str, Meta(description="What it may keep between runs, such as 500MB: the least recently used goes first.")
    ] = "2GB"


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        UsageError: if it cannot be read, is not UTF-8, or is not TOML; with the line.
    """
    place = Place.of(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise place.wrong(f"cannot read the file: {error.strerror or error}", "a readable TOML file") from error
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise place.wrong(
            f"byte {content[error.start]:#04x} in line {line} is not UTF-8", "a TOML file in UTF-8", "save it as UTF-8"
        ) from error
    except RecursionError as error:
        raise place.wrong("the file nests tables or arrays too deeply", "a TOML file") from error
    except ValueError as error:  # TOMLDecodeError, or a number with thousands of digits
        raise place.wrong(f"not TOML: {clean(str(error))}", "a TOML file", "mend the line") from error


def read_manifest(path: Path) -> Manifest:
    """A `model.toml`, its keys and types checked; what the values lead to is not looked at.

    Raises:
        UsageError: if it cannot be read, or if a key or a type is wrong.
    """
    place, raw = Place.of(path), read_toml(path)
    known = Manifest.__struct_fields__
    for key in raw:
        if key not in known:
            raise place.unknown(key, known, what="a table of model.toml")
    for key in ("model", "data"):
        if key not in raw:
            raise place.wrong(f"there is no table [{key}]", "[model], [data] and [variants.…]", f"add [{key}]")
    variants = _table(raw.get("variants", {}), place, "variants")
    if not variants:
        raise place.wrong("there are no variants", "a table for each variant", "add a table such as [variants.int8]")
    waivers = raw.get("waivers", [])
    if not isinstance(waivers, list):
        raise place.wrong(f"waivers is {kind_of(waivers)}", "an array of tables: [[waivers]]")
    return Manifest(
        model=read_table(ModelTable, raw["model"], place.at("model")),
        data=read_table(DataTable, raw["data"], place.at("data")),
        variants={
            check_name(name, place.at("variants"), "variant"): read_table(
                VariantTable, table, place.at(f"variants.{name}")
            )
            for name, table in variants.items()
        },
        metrics={
            check_metric_name(name, variants, place.at("metrics")): read_table(
                MetricTable, table, place.at(f"metrics.{name}")
            )
            for name, table in _table(raw.get("metrics", {}), place, "metrics").items()
        },
        budgets=_table(raw.get("budgets", {}), place, "budgets"),
        waivers=[read_table(WaiverTable, table, place.at("waivers")) for table in waivers],
        release=read_table(ReleaseTable, raw.get("release", {}), place.at("release")),
        service=read_table(ServiceTable, raw["service"], place.at("service")) if "service" in raw else None,
    )


def check_name(name: str, place: Place, what: str) -> str:
    """The name itself, if a variant, a target or a model may have it.

    Only variants and targets stand in `[budgets]`, so only theirs can be taken for something else there.

    Raises:
        UsageError: if it has other characters, or if it is reserved.
    """
    if not re.fullmatch(NAME, name):
        raise place.wrong(f"the {what} name '{clean(name)}'", "letters, digits, '_' and '-'", "rename it")
    if name in RESERVED_NAMES and not what.startswith("model"):
        used = "stands for a table of budgets" if name in ("all", "regression") else "is the name of a metric"
        raise place.wrong(f"the {what} name '{name}' {used}", "a name that is not reserved", "rename it")
    return name


def check_metric_name(name: str, variants: Iterable[str], place: Place) -> str:
    """The name itself, if a metric of the manifest's own may have it.

    Raises:
        UsageError: if it has other characters, is a built-in metric's, or stands for something else in `[budgets]`.
    """
    if not re.fullmatch(METRIC_NAME, name):
        raise place.wrong(f"the metric name '{clean(name)}'", "lower-case letters, digits and '_'", "rename it")
    taken = "is built in" if name in RESERVED_METRICS | METRICS.keys() else "stands for a table of budgets"
    taken = "is a variant's name" if name in variants else taken
    if name in RESERVED_NAMES or name in variants or name == OWN:
        raise place.wrong(f"the metric name '{name}' {taken}", "a name that is not taken", "rename it")
    return name


def _table(raw: object, place: Place, key: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise place.wrong(f"{key} is {kind_of(raw)}", f"a table: [{key}]")
    return raw


T = TypeVar("T", bound=Struct)


def read_table(kind: type[T], raw: object, place: Place) -> T:
    """A table as its class.

    Raises:
        UsageError: if it is not a table, if a key is unknown or missing, or if a value has the wrong type.
    """
    if not isinstance(raw, dict):
        raise place.wrong(f"{place.table} is {kind_of(raw)}", f"a table: {place.name}")
    hints, required = _keys(kind)
    for key, value in raw.items():
        if key not in hints:
            raise place.unknown(key, hints, what=f"a key of {place.name}")
        _require_value(key, value, hints[key], place)
    for key in required:
        if key not in raw:
            expected = f"{key} = {_in_words(hints[key])}"
            raise place.wrong(f"{place.name} has no key '{key}'", expected, f"add {key}")
    return msgspec.convert(raw, kind)


@functools.cache
def _keys(kind: type[Struct]) -> tuple[dict[str, Any], list[str]]:
    """The keys of a table with the types of their values, and those that it must have."""
    fields = msgspec.structs.fields(kind)
    return {field.encode_name: field.type for field in fields}, [f.encode_name for f in fields if f.required]


def _require_value(key: str, value: object, hint: Any, place: Place) -> None:
    for table in _tables(hint):
        if isinstance(value, dict):
            read_table(table, value, place.at(key))
    found = f"{key} = {written(value)} in {place.name}"
    # Such a value could end up in a path or in a command line; a reason is only ever text, of several lines perhaps.
    if isinstance(value, str) and key != "reason" and not value.isprintable():
        raise place.wrong(found, "a string without control characters")
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        nodes, expected, kind = _nodes(hint), _in_words(hint, key), kind_of(value)
        choices = [choice for node in nodes for choice in node.get("enum", ()) if choice is not None]
        stringy = isinstance(value, str) and (choices or "string" in [node.get("type") for node in nodes])
        if not stringy and kind not in expected:
            found += f" is {kind}"
        close = nearest(value, choices) if isinstance(value, str) else None
        raise place.wrong(found, expected + (f"; nearest: '{close}'" if close else "")) from error


def _tables(hint: Any) -> Iterator[type[Struct]]:
    """The tables that a value may be."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    for part in typing.get_args(hint):
        yield from _tables(part)


def _nodes(hint: Any) -> list[dict[str, Any]]:
    """The JSON Schema of each type that a value may have."""
    schema = msgspec.json.schema(hint)
    nodes: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return nodes


# What a pattern asks for, in words.
_FORMS = {
    "callable": 'a string "package.module:name"',
    "custom_objects": 'a string "package.module:name"',
    "rule": "a rule or a metric: lower-case letters, digits and '_'",
    "reason": "a reason that a reader of the report can judge",
    "url": "an address, or a table of such by target",
    "health": 'a path such as "/api/health"',
    "predict": 'a path such as "/api/predict"',
    "fields": "an array of fields' names, or a table of fields and values",
    "ssh": "a destination of ssh(1), such as \"pi@raspberrypi.local\": a string without blanks or a leading '-'",
    "python": "the path of an interpreter: a string",
    "options": "a table of strings and whole numbers",
    "input_scale": "a number, an array of numbers (one a channel), or a table with one of these for each input",
    "input_offset": "a number, an array of numbers (one a channel), or a table with one of these for each input",
    "input_names": 'a table of names: { source_input = "input of the file" }',
    "output_names": 'a table of names: { source_output = "output of the file" }',
    "sha256": "64 hexadecimal digits in lower case",
    "from": "a string, or a table of strings: an .npy for each input",
    "columns": "an array of strings, not empty",
    "resize": "an array of two whole numbers from 1 to 16384: height and width",
    "range": "an array of two numbers: what 0 and 255 become",
    "scale": "a number, an array of numbers, or a table of such by input",
    "offset": "a number, an array of numbers, or a table of such by input",
}
_WORDS = {
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "an array of strings",
    "object": "a table",
}


def _in_words(hint: Any, key: str = "") -> str:
    """What TOML should hold for a type, in words."""
    if key in _FORMS:
        return _FORMS[key]
    words: list[str] = []
    for node in _nodes(hint):
        if "enum" in node:
            words += [f'"{choice}"' for choice in node["enum"] if choice is not None]
        elif node.get("format") == "date":
            words.append("a date such as 2027-03-31")
        elif node.get("type") != "null":
            words.append(_WORDS.get(node.get("type", "object"), "a table") + _bounds(node))
    return " or ".join(words)


def _bounds(node: dict[str, Any]) -> str:
    if "minimum" in node:
        return f" from {node['minimum']} to {node['maximum']}"
    return ", not empty" if node.get("minItems") or node.get("minLength") else ""
