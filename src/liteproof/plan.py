"""The resolved work: which models, variants and targets, under which limits.

A plan is plain data. The controller makes it from manifests (`liteproof.manifest`), hands it to parallel workers, and
sends it to a board as JSON. Of files that conversion makes it knows only their keys in the store, so it can be made,
and its tests collected, before anything is converted.

    >>> decode(encode(Plan(models=(), targets=()))) == Plan(models=(), targets=())
    True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import msgspec

from liteproof.checks import OWN, Better, Metric, metric_of
from liteproof.recipes import Recipe, promise_of, pruning_budgets
from liteproof.store import digest_of


@dataclass(frozen=True)
class File:
    """A file (or a SavedModel's folder) as it was when the plan was made.

    `sha256` is of its content. `url` is where it was fetched from, without anything confidential; empty of a file of
    this machine's.
    """

    path: str
    sha256: str
    bytes: int
    url: str = ""


@dataclass(frozen=True)
class Making:
    """How arrays are made of what a manifest names, where it cannot be read as it is: all that decides their bytes.

    Attributes:
        form: What is named: "arrays" (`.npz` and `.npy`), "images", "table" (CSV) or "callable".
        files: By input, what it is read from ("x" for the only one); a folder, a file, or a callable's module. A file
            beside them that holds the labels is `y`.
        callable: "package.module:name" of a callable that yields batches.
        labels: Where labels are within it: an array's name or a column.
        classes: Names of the classes in the order of their numbers, where labels are names.
        columns: Names of a table's columns that are features, in the model's order.
        sample: Shape of one sample of the input, where what is read is shaped to it.
        dtype: Of the input, where what is read is cast to it.
        size: Height and width that images are resized to; None: they have the size.
        color: What images are read as: "rgb", "bgr" or "grayscale".
        interpolation: How images are resized.
        scale: By input, what its values are multiplied by: one number, or one for each entry of the last axis.
        offset: By input, what is added then.
        samples: How many are drawn; None: all are taken.
        stratify: Whether classes are drawn in proportion.
        seed: Of the drawing.
        apart_from: How the set was made whose samples are never drawn, where that is of the same files.
    """

    form: str
    files: Mapping[str, File]
    callable: str | None = None
    labels: str | None = None
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    sample: tuple[int, ...] | None = None
    dtype: str | None = None
    size: tuple[int, int] | None = None
    color: str | None = None
    interpolation: str | None = None
    scale: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    offset: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    samples: int | None = None
    stratify: bool = False
    seed: int = 0
    apart_from: Making | None = None


@dataclass(frozen=True)
class Samples(File):
    """A set of samples that a manifest names.

    `path` and `bytes` are those of the file, folder or module that it names first. `sha256` is what decides the
    samples: the file's own digest where they are read as they are, else the digest of how they are made.

    Attributes:
        arrays: By name, the files of arrays that are read as they are and have one each; none: `path` holds them all.
        making: How the arrays are made; None: they are read as they are.
    """

    arrays: Mapping[str, File] = field(default_factory=dict)
    making: Making | None = None

    @property
    def key(self) -> str | None:
        """Where the store keeps the arrays; None where they are read as they are."""
        return digest_of({"artefact": "samples", "sha256": self.sha256}) if self.making else None

    @property
    def named(self) -> tuple[File, ...]:
        """Every file, folder and module that decides the samples."""
        if self.making:
            return tuple(self.making.files.values())
        return tuple(self.arrays.values()) or (File(self.path, self.sha256, self.bytes),)

    @property
    def callable(self) -> str | None:
        """The callable that yields them; None if none does."""
        return self.making.callable if self.making else None


@dataclass(frozen=True)
class Waiver:
    """A rule or metric that a manifest exempts one variant from, with a reason and a last day."""

    variant: str
    rule: str
    reason: str
    until: date
    tensor: str | None = None


@dataclass(frozen=True)
class Accepted:
    """The values of one variant on one target that were accepted last, and what they were measured on.

    Attributes:
        metrics: Accepted values.
        ran_on: Machine, processor, runtime and threads.
        evaluation: Digest of the evaluation set.
        origin: The run and its day, for messages.
    """

    metrics: Mapping[str, float]
    ran_on: Mapping[str, str]
    evaluation: str
    origin: str


@dataclass(frozen=True)
class InputDomain:
    """What one input of a variant is fed with: the source's values × scale + offset.

    Each has one number, or one for each channel (the last axis). `liteproof.measure.domain` applies it.
    """

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)

    def __str__(self) -> str:
        return f"source × {_numbers(self.scale)} + {_numbers(self.offset)}"


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"({', '.join(f'{value:g}' for value in values)})"


@dataclass(frozen=True)
class Training:
    """How the weights of a variant came to be others than the source's.

    Attributes:
        float32_key: Where the store keeps the float32 `.tflite` of the same weights.
        float32: That file, if it was handed over; None if it is converted here.
        key: Where the store keeps what training made of the source; None for a file that was handed over.
        method: "aware" of quantization, or "pruning"; "" for a file that was handed over.
        settings: Epochs, batch size, learning rate, seed … (JSON values).
    """

    float32_key: str
    float32: File | None = None
    key: str | None = None
    method: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """One `.tflite` under acceptance.

    Attributes:
        name: Its name in the manifest.
        recipe: What it is held to; for a variant handed over as a file, what it claims to be.
        toolchain: "tensorflow" or "litert"; None for a file that was handed over.
        file: The file that was handed over; None for a variant that is converted here.
        key: Where the store keeps it.
        budgets: Limit of each metric for each target, all defaults and overrides resolved.
        regression: Allowed loss of each metric against the accepted baseline.
        options: What else decides the bytes (recipe-specific; JSON values).
        waivers: The waivers that name it.
        accepted: What was accepted of it, for each target.
        domains: For each of the source's inputs that is fed in another domain, which.
        input_names: Its name for each of the source's inputs that it calls otherwise.
        output_names: Its name for each of the source's outputs that it calls otherwise.
        training: How it was trained further; None where its weights are the source's, and where a file that was handed
            over does not tell.
    """

    name: str
    recipe: str
    toolchain: str | None
    file: File | None
    key: str
    budgets: Mapping[str, Mapping[str, float]]
    regression: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    accepted: Mapping[str, Accepted] = field(default_factory=dict)
    domains: Mapping[str, InputDomain] = field(default_factory=dict)
    input_names: Mapping[str, str] = field(default_factory=dict)
    output_names: Mapping[str, str] = field(default_factory=dict)
    training: Training | None = None

    @property
    def select_tf_ops(self) -> bool:
        """Whether it may hold Select TF operators."""
        return bool(self.options.get("select_tf_ops"))

    @property
    def promise(self) -> Recipe:
        """What its recipe promises."""
        return promise_of(self.recipe, self.options)

    @property
    def default_budgets(self) -> Mapping[str, float]:
        """Limits that hold unless a manifest says otherwise."""
        sparsity = self.options.get("sparsity")
        pruned = pruning_budgets(sparsity, self.promise) if isinstance(sparsity, float) else {}
        return {**self.promise.budgets, **pruned}


@dataclass(frozen=True)
class OwnMetric:
    """A metric of the manifest's own.

    Attributes:
        name: Its key in `[metrics]` and in budgets.
        callable: "package.module:name" of a function of (reference, variant, labels).
        better: Which way is good.
        code_sha256: Digest of all source in its package, which it may import.
        package: The folder of the package that it lies in, or the module's file: what travels to a target.
    """

    name: str
    callable: str
    better: Better
    code_sha256: str = ""
    package: str = ""


@dataclass(frozen=True)
class Service:
    """A prediction service that runs on the target, and its contract (docs/service.md).

    Attributes:
        variant: The variant that it serves.
        urls: Its address as the target reaches it, by target; by "" on every target.
        health: Path of its health.
        fields: Fields that the health path must have; a value, or None for any.
        digest_field: The field that tells the file's digest, where it does.
        predict: Path of its predictions.
        encoding: "json" or "npy".
        output_field: The field of an answer that holds the outputs.
        samples: How many evaluation samples it is asked.
        timeout_s: Seconds for one exchange.
    """

    variant: str
    urls: Mapping[str, str]
    health: str
    fields: Mapping[str, object]
    digest_field: str
    predict: str
    encoding: str
    output_field: str
    samples: int
    timeout_s: float

    def url_on(self, target: str) -> str | None:
        """Its address on a target; None where it does not run."""
        return self.urls.get(target, self.urls.get(""))


@dataclass(frozen=True)
class Model:
    """What is under acceptance.

    Attributes:
        name: The folder's name.
        task: "classification", "binary" or "regression".
        manifest: Its `model.toml`.
        source: The trained original.
        source_kind: "keras", "h5", "savedmodel" or "tflite".
        keras: The package that loads a Keras source: "keras", or "tf-keras" for a file of Keras 2 that Keras 3 does not
            read as Keras 2 does; None for other kinds.
        select_tf_ops: Whether the float32 `.tflite` may hold Select TF operators.
        outputs: "probabilities" or "logits" as declared; None: told from the source's own outputs.
        labels: Names of the classes, if known.
        classes: Number of classes, if the labels or the evaluation set's y tell it.
        threshold: Decision threshold of a binary model.
        evaluation: The evaluation set.
        samples: Its number of samples.
        labelled: Whether it has labels.
        calibration: The calibration set, if there is one.
        trust: Whether the source may carry code.
        custom_objects: "package.module:name" of a mapping of custom objects.
        float32_key: Store key of the float32 `.tflite` that size, speed-up and weights are compared with.
        reference_key: Store key of the source's predictions on the evaluation set.
        variants: What is judged.
        prefer: Which accepted variant to recommend.
        release: Targets that a sign-off demands.
        decision_output: The output that classes are told from; None: the source's first.
        training: What a recipe that trains is given, if it is named.
        metrics: Metrics of its own.
        service: The service that is judged with it, if there is one.
    """

    name: str
    task: str
    manifest: File
    source: File
    source_kind: str
    outputs: str | None
    labels: tuple[str, ...] | None
    classes: int | None
    threshold: float
    evaluation: Samples
    samples: int
    labelled: bool
    calibration: Samples | None
    trust: bool
    custom_objects: str | None
    float32_key: str
    reference_key: str
    variants: tuple[Variant, ...]
    prefer: str = "smallest"
    release: tuple[str, ...] = ("host",)
    keras: str | None = None
    select_tf_ops: bool = False
    decision_output: str | None = None
    training: Samples | None = None
    metrics: tuple[OwnMetric, ...] = ()
    service: Service | None = None

    @property
    def sets(self) -> Mapping[str, Samples]:
        """The sets of samples that the manifest names, by their keys in [data]."""
        found = {"evaluation": self.evaluation, "calibration": self.calibration, "training": self.training}
        return {key: samples for key, samples in found.items() if samples is not None}

    def metric(self, name: str) -> Metric:
        """The metric of this name: built in, or of the manifest's own.

        Raises:
            KeyError: if it is neither.
        """
        own = next((found.better for found in self.metrics if found.name == name), None)
        return metric_of(name, own)

    def measured_by(self, names: Iterable[str]) -> Iterator[Metric]:
        """The metrics that a test's mark names; `OWN` stands for all of the manifest's own."""
        for name in names:
            yield from (self.metric(own.name) for own in self.metrics) if name == OWN else (self.metric(name),)


@dataclass(frozen=True)
class Delegate:
    """A delegate library that a target's runtime loads."""

    library: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where the suites run. Neither `ssh` nor `python`: this interpreter. Keeps `cache_bytes` between runs."""

    name: str
    ssh: str | None = None
    python: str | None = None
    runtime: str | None = None
    threads: int = 1
    delegate: Delegate | None = None
    rehearsal: bool = False
    cache_bytes: int = 2_000_000_000

    @property
    def remote(self) -> bool:
        """Whether the suites run in another interpreter than this one."""
        return self.ssh is not None or self.python is not None


@dataclass(frozen=True)
class Case:
    """One (model, variant, target)."""

    model: Model
    variant: Variant
    target: Target

    @property
    def id(self) -> str:
        """As test ids spell it."""
        return f"{self.model.name}-{self.variant.name}-{self.target.name}"

    def limit(self, metric: str) -> float | None:
        """The limit that holds here; None where the metric gates nothing, as times do on a rehearsal target."""
        found = self.model.metric(metric)
        if self.target.rehearsal and found.timed:
            return None
        if "other_target" in found.needs and not self.target.remote:
            return None
        return self.variant.budgets.get(self.target.name, {}).get(metric)


@dataclass(frozen=True)
class Plan:
    """All the work of a run.

    Attributes:
        models: What is judged.
        targets: Where.
        root: The folder that Python callables of a manifest are imported from.
        no_code: Whether all such callables are refused.
        host_answers: For parity, by case id: what this file answers on the host, as the store's key for each kind of
            kernels. Filled in before a plan travels to a target.
    """

    models: tuple[Model, ...]
    targets: tuple[Target, ...]
    root: str = "."
    no_code: bool = False
    host_answers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def cases(self) -> Iterator[Case]:
        """Every case, models first, then variants, then targets."""
        for model in self.models:
            for variant in model.variants:
                for target in self.targets:
                    yield Case(model, variant, target)


def encode(plan: Plan) -> bytes:
    """The plan as JSON, for workers and boards."""
    return msgspec.json.encode(plan)


def decode(text: bytes | str) -> Plan:
    """The plan back from its JSON.

    Raises:
        msgspec.ValidationError: if it is not a plan.
    """
    return msgspec.json.decode(text, type=Plan)


def float_io_twin(model: Model, variant: Variant) -> Variant | None:
    """The variant with the same integer inside and float ends: int8's and uint8's is int8_float_io.

    Only variants that one toolchain made from the same weights and calibration are twins; a file that was handed over
    has none.
    """
    if not variant.promise.integer_io or variant.promise.rules or variant.file is not None:
        return None
    weights = same_weights_key(model, variant)
    for other in model.variants:
        alike = other.file is None and other.toolchain == variant.toolchain
        if other.recipe == "int8_float_io" and alike and same_weights_key(model, other) == weights:
            return other
    return None


def same_weights_key(model: Model, variant: Variant) -> str | None:
    """Store key of the float32 `.tflite` whose weights and activations a variant's are, rounded; None if not known.

    That is the model's, unless the variant was trained further.
    """
    if variant.training is not None:
        return variant.training.float32_key
    return None if variant.promise.training else model.float32_key
