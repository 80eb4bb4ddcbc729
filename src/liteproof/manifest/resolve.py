"""From the folders that a run names to the work it will do: every manifest checked, every default filled in.

    >>> plan = load_plan([Path("models")], root=Path("."), store=Store.default())  # doctest: +SKIP
    >>> plan.models[0].variants[0].budgets["host"]["top1_agreement"]                # doctest: +SKIP
    0.99

Nothing is converted, loaded or imported. Files that a manifest names are hashed, once: the store remembers. Files that
are kept elsewhere are fetched, unless that is put off: what they hold decides whether the request makes sense.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from liteproof import plan
from liteproof.accepted import read as read_accepted
from liteproof.convert.tasks import Listener
from liteproof.manifest import keys, select_operators
from liteproof.manifest.budgets import Budgets, read_budgets
from liteproof.manifest.data import Arrays
from liteproof.manifest.drawing import Found
from liteproof.manifest.files import Folder
from liteproof.manifest.forms import Declared, is_callable
from liteproof.manifest.memory import Memory
from liteproof.manifest.own_metrics import read_own_metrics
from liteproof.manifest.place import Place, clean, one_of, written
from liteproof.manifest.remote import Remote, Remotes, is_address
from liteproof.manifest.samples import Sets
from liteproof.manifest.schema import Manifest, RemoteTable, SamplesTable, read_manifest
from liteproof.manifest.selection import MANIFEST, find_models, select_models, select_variants
from liteproof.manifest.service import read_service
from liteproof.manifest.source import Expectation, find_expectation, kind_of_source
from liteproof.manifest.targets import read_targets, select_targets
from liteproof.manifest.variants import Origin, Variants
from liteproof.manifest.waivers import read_waivers
from liteproof.store import Store

TARGETS = "targets.toml"
SETS = ("evaluation", "calibration", "training")


def load_plan(
    models: Sequence[Path],
    *,
    model_names: Iterable[str] = (),
    variant_names: Iterable[str] = (),
    target_names: Iterable[str] = (),
    targets_file: Path | None = None,
    root: Path,
    no_code: bool = False,
    store: Store,
    fetch: bool = True,
    listener: Listener | None = None,
) -> plan.Plan:
    """Everything that a run will do.

    Args:
        models: Folders of models, or folders of such.
        model_names: The models to judge; none: all of them. The manifests of others are not looked at.
        variant_names: The variants to judge, in whichever model has them; none: all of them.
        target_names: The targets to judge on; none: `host`.
        targets_file: Where targets are defined; None: `targets.toml` in the root folder, if there is one.
        root: The folder that Python callables of a manifest are imported from.
        no_code: Whether to refuse everything in a manifest that runs Python.
        store: Where digests of files are remembered, and files that are kept elsewhere are brought.
        fetch: Whether files that are kept elsewhere, and are not in the store, are fetched now.
        listener: Hears how far that is.

    Raises:
        UsageError: if anything in the request, a manifest, or the files that it names is wrong.
    """
    here = Path(os.path.normpath(root.absolute()))
    targets_path = targets_file or (here / TARGETS if (here / TARGETS).is_file() else None)
    targets = read_targets(targets_path)
    selected = select_targets(targets, tuple(target_names) or ("host",), Place.of(targets_path or here / TARGETS))
    folders = select_models(find_models(models), tuple(model_names))
    with Memory(store) as memory:
        names = tuple(target.name for target in selected)
        around = _Around(targets, names, here, no_code, memory, store, fetch, listener)
        resolved = [_Resolving(folder, around).model() for folder in folders]
    return plan.Plan(select_variants(resolved, tuple(variant_names)), selected, str(here), no_code)


@dataclass(frozen=True)
class _Around:
    """What holds for all models of a run."""

    targets: Mapping[str, plan.Target]
    selected: tuple[str, ...]
    root: Path
    no_code: bool
    memory: Memory
    store: Store
    fetch: bool
    listener: Listener | None


class _Resolving:
    """One manifest on its way to a `plan.Model`."""

    def __init__(self, folder: Path, around: _Around) -> None:
        path = folder / MANIFEST
        self.name = folder.name
        self.manifest: Manifest = read_manifest(path)
        self.place = Place.of(path)
        self.around = around
        self.memory = around.memory
        self.folder = Folder(folder, self.manifest.model.allow_outside)
        self.file = self.memory.file(path)

    def model(self) -> plan.Model:
        """The model with its variants and their budgets."""
        self._refuse_code()
        self._require_sense()
        source, kind, expectation = self._source()
        labels = self._labels()
        evaluation, others = self._sets(expectation, labels)
        calibration, training = others.get("calibration"), others.get("training")
        labels = labels or (evaluation.classes or None)
        identity = self._identity(source, kind, expectation)
        trained_on = self._trained_on(evaluation, training)
        origin = Origin(source, identity, calibration, trained_on, evaluation.inputs)
        given = self.manifest.model
        bare = plan.Model(
            name=self.name,
            task=given.task,
            manifest=self.file,
            source=source,
            source_kind=kind,
            outputs=given.outputs,
            labels=labels,
            classes=self._classes(labels, evaluation.arrays),
            threshold=0.5 if given.threshold is None else given.threshold,
            evaluation=evaluation.samples,
            samples=evaluation.count,
            labelled=evaluation.labelled,
            calibration=calibration,
            trust=given.trust,
            custom_objects=given.custom_objects,
            float32_key=keys.float32_key(identity),
            reference_key=keys.reference_key(identity, evaluation.samples.sha256),
            variants=tuple(self._variants(origin)),
            prefer=given.prefer,
            release=self._release(),
            keras=expectation.keras,
            select_tf_ops=identity.select_tf_ops,
            decision_output=given.decision_output,
            training=training,
            metrics=tuple(self._own_metrics()),
            service=self._service(),
        )
        return self._with_budgets(bare)

    # -- [model] ------------------------------------------------------------------------------------------------------

    def _refuse_code(self) -> None:
        if not self.around.no_code:
            return
        model, data, metrics = self.manifest.model, self.manifest.data, self.manifest.metrics
        service = self.manifest.service
        sets = [("data", key, getattr(data, key), _runs_python(getattr(data, key)), "runs Python") for key in SETS]
        for table, key, value, refused, does in (
            ("model", "trust", model.trust, model.trust, "runs Python"),
            ("model", "custom_objects", model.custom_objects, model.custom_objects is not None, "runs Python"),
            ("model", "allow_outside", model.allow_outside, model.allow_outside, "reads files of yours"),
            *sets,
            *((f"metrics.{name}", "callable", own.callable, True, "runs Python") for name, own in metrics.items()),
            *((("service", "url", service.url, True, "sends requests"),) if service else ()),
        ):
            if refused:
                place, shown = self.place.at(table), value.origin if isinstance(value, SamplesTable) else value
                raise place.wrong(
                    f"{key} = {written(shown)} in {place.name} {does}",
                    "a manifest that does not, because of --no-code",
                    f"remove {key}, or run without --no-code if you trust where this comes from",
                )

    def _require_sense(self) -> None:
        """Keys that mean nothing for the task."""
        model, place = self.manifest.model, self.place.at("model")
        if model.threshold is not None and model.task != "binary":
            raise place.wrong(
                f"threshold in {place.name}", f'task = "binary"; it is "{model.task}"', "remove threshold"
            )
        if model.threshold is not None and not 0.0 < model.threshold < 1.0:
            raise place.wrong(
                f"threshold = {written(model.threshold)} in {place.name}", "a probability between 0 and 1"
            )
        for key in ("outputs", "labels", "decision_output"):
            if model.task == "regression" and getattr(model, key) is not None:
                raise place.wrong(
                    f"{key} in {place.name} means nothing for a regression", "no such key", f"remove {key}"
                )

    def _source(self) -> tuple[plan.File, str, Expectation]:
        place = self.place.at("model")
        file = self._file(self.manifest.model.source, "source", place, folder=True)
        path = Path(file.path)
        name = file.url or path.name
        kind = kind_of_source(path, place)
        found = self.memory.facts(Expectation, file, lambda: find_expectation(path, kind)) or Expectation()
        if found.quantized:
            raise place.wrong(
                f"source {written(name)} is quantized already",
                "a float .tflite",
                "name the float original; a quantized file can be a variant: file = …",
            )
        if found.weights_only:
            raise place.wrong(
                f"source {written(name)} holds weights without an architecture",
                "a whole model",
                'save it with model.save("model.keras"), not with save_weights',
            )
        if found.code and not self.manifest.model.trust:
            raise place.wrong(
                f"source {written(name)} carries Python code, which loading it would run: {_layers(found.code)}",
                "a source without code, or trust = true",
                "add trust = true to [model] if you know who made the file",
            )
        return file, kind, found

    def _file(self, given: str | RemoteTable, key: str, place: Place, *, folder: bool = False) -> plan.File:
        """A file of the model's folder, or one that is kept elsewhere, fetched if the store has it not."""
        if isinstance(given, str) and not is_address(given):
            return self.memory.file(self.folder.find(given, key, place, folder=folder))
        remote = (
            Remote(given, None, key, place) if isinstance(given, str) else Remote(given.url, given.sha256, key, place)
        )
        remotes = Remotes(
            self.around.store,
            fetch=self.around.fetch,
            no_code=self.around.no_code,
            allow_outside=self.manifest.model.allow_outside,
            listener=self.around.listener,
        )
        return remotes.file(remote, self.name)

    def _labels(self) -> tuple[str, ...] | None:
        given, place = self.manifest.model.labels, self.place.at("model")
        if given is None:
            return None
        labels = self._read_labels(given, place) if isinstance(given, str) else list(given)
        for at, label in enumerate(labels):
            if not label.strip():
                raise place.wrong(f"label {at} is empty", "a name for each class")
            if label in labels[:at]:
                raise place.wrong(
                    f"label {at} is '{clean(label)}', as label {labels.index(label)} is", "different names"
                )
        if len(labels) < 2 or (self.manifest.model.task == "binary" and len(labels) != 2):
            wanted = "two" if self.manifest.model.task == "binary" else "at least two"
            raise place.wrong(f"there are {len(labels)} labels", f"{wanted}, in the order of the classes")
        return tuple(labels)

    def _read_labels(self, name: str, place: Place) -> list[str]:
        path = self.folder.find(name, "labels", place)
        try:
            return path.read_text(encoding="utf-8-sig").rstrip().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise place.wrong(f"labels = {written(name)}: {error}", "a text file in UTF-8, a label a line") from error

    def _identity(self, source: plan.File, kind: str, expectation: Expectation) -> keys.Source:
        """What of the source decides the bytes of what is made from it."""
        selects = select_operators.for_float32(self.manifest.variants)
        trust = self.manifest.model.trust
        return keys.Source(kind, source.sha256, trust, self._custom_objects(), expectation.keras, selects)

    def _custom_objects(self) -> dict[str, str] | None:
        name = self.manifest.model.custom_objects
        return self._code(name, "custom_objects", self.place.at("model")) if name else None

    def _code(self, name: str, key: str, place: Place) -> dict[str, str]:
        module = keys.find_module(name, key, self.around.root, place)
        return keys.code_identity(name, self.memory.file(module).sha256)

    def _classes(self, labels: tuple[str, ...] | None, arrays: Arrays | None) -> int | None:
        task = self.manifest.model.task
        if task == "regression":
            return None
        if labels is not None:
            return len(labels)
        if task == "binary":
            return 2
        return arrays.labels.highest + 1 if arrays and arrays.labels else None

    # -- [data] -------------------------------------------------------------------------------------------------------

    def _sets(self, expectation: Expectation, labels: tuple[str, ...] | None) -> tuple[Found, dict[str, plan.Samples]]:
        """The evaluation set, and the others that are named, each apart from it."""
        declared = Declared(
            data=self.manifest.data,
            place=self.place.at("data"),
            folder=self.folder,
            memory=self.memory,
            root=self.around.root,
            inputs=expectation.inputs,
            task=self.manifest.model.task,
        )
        sets = Sets(declared, labels)
        evaluation = sets.find("evaluation")
        assert evaluation is not None  # noqa: S101 - the schema demands it
        sets.derive_labels(evaluation)
        others = {key: sets.find(key, apart_from=evaluation) for key in SETS if key != "evaluation"}
        return evaluation, {key: found.samples for key, found in others.items() if found}

    def _trained_on(self, evaluation: Found, training: plan.Samples | None) -> dict[str, object] | None:
        """What decides a training beside a variant's own keys: the samples, those left out, what the loss is for."""
        if training is None:
            return None
        given = self.manifest.model
        left_out = evaluation.samples.sha256
        return {"data": training.sha256, "left_out": left_out, "task": given.task, "outputs": given.outputs}

    # -- the other tables, each read by the module of its name --------------------------------------------------------

    def _variants(self, origin: Origin) -> Iterator[plan.Variant]:
        """The variants, as yet without limits."""
        accepted = read_accepted(self.folder.path)
        baselines = accepted.variants if accepted else {}
        own, tables = self.manifest.metrics, self.manifest.variants
        waivers = read_waivers(self.manifest.waivers, tables, own, self.place.at("waivers"))
        variants = Variants(origin, self.folder, self.memory, self._file)
        for name, table in tables.items():
            yield dataclasses.replace(
                variants.read(name, table, self.place.at("variants").at(name)),
                accepted=baselines.get(name, {}),
                waivers=tuple(waiver for waiver in waivers if waiver.variant == name),
            )

    def _own_metrics(self) -> Iterator[plan.OwnMetric]:
        tables, around = self.manifest.metrics, self.around
        return read_own_metrics(tables, around.targets, around.root, self.memory, self.place.at("metrics"))

    def _service(self) -> plan.Service | None:
        given = self.manifest.service
        if given is None:
            return None
        return read_service(given, self.manifest.variants, self.around.targets, self.place.at("service"))

    def _with_budgets(self, bare: plan.Model) -> plan.Model:
        budgets: Budgets = read_budgets(
            self.manifest.budgets,
            variants=self.manifest.variants,
            targets=self.around.targets,
            own={own.name: own.better for own in bare.metrics},
            place=self.place.at("budgets"),
        )
        budgets.require_applicable(bare)
        variants = tuple(
            dataclasses.replace(
                variant,
                budgets={name: budgets.limits_for(bare, variant, name) for name in self.around.selected},
                regression=budgets.regression_for(bare, variant),
            )
            for variant in bare.variants
        )
        return dataclasses.replace(bare, variants=variants)

    def _release(self) -> tuple[str, ...]:
        place, targets = self.place.at("release"), self.manifest.release.targets
        for name in targets:
            if name not in self.around.targets:
                raise place.wrong(
                    f"targets = {written(targets)} in {place.name}: there is no target '{clean(name)}'",
                    one_of(name, self.around.targets, what="a target"),
                    f"define [{clean(name)}] in targets.toml, or correct the name",
                )
        return tuple(dict.fromkeys(targets))


def _layers(names: Sequence[str]) -> str:
    """Lambda layers by name, the first few of many."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"Lambda layer{'s' * (len(names) > 1)} " + ", ".join(f"'{clean(name)}'" for name in names[:3]) + more


def _runs_python(given: object) -> bool:
    origin = given.origin if isinstance(given, SamplesTable) else given
    return isinstance(origin, str) and is_callable(origin)
