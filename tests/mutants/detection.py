"""All mutants and all healthy variants of a model before the real suites: who was caught, by what, and who was not.

>>> found = detect("digits", store, scratch)                        # doctest: +SKIP
>>> found.cases["filter_sign_flipped"].caught_by                    # doctest: +SKIP
('weight_error_lsb', ...)
>>> found.false_alarms                                              # doctest: +SKIP
()

One model folder holds the healthy variants, others hold the mutants as variants that were handed over as files, each
with the budgets that the model's own manifest gives the recipe that it claims. A mutant by its calibration set is a
model folder of its own, converted like any other. Acceptance runs (without what measures time) judge them, a few at a
time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from liteproof.store import Store
from tests.mutants import conversions, further, graphs, mixed, parameters, trained, weights  # noqa: F401 - they enter their kinds
from tests.mutants.answers import Answer, Question, ask
from tests.mutants.edit import File
from tests.mutants.folders import folder_of, manifest_of, rounded_variants, write_model
from tests.mutants.kinds import KINDS, Kind, Mutant, Origin, mutate
from tests.mutants.origins import OTHER_TOOLCHAIN, ROOT, entry, gather, resolve, write_further

# Subjects that a run keeps open at once: more of them, and it would predict anew for every test.
BATCH = 14
PROCESSES = 2
CONTROL = "unchanged"

Check = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """What became of one file.

    Attributes:
        name: The kind's name; of a healthy variant its own.
        checks: All checks of its case.
        mutant: None for a healthy variant.
        answer: What it answers; None for what is no single file.
    """

    name: str
    checks: tuple[Check, ...]
    mutant: Mutant | None = None
    answer: Answer | None = None

    @cached_property
    def failed(self) -> tuple[Check, ...]:
        """The gates that it missed, those that name the spoiled tensor first."""
        found = [check for check in self.checks if check["verdict"] == "FAIL"]
        return tuple(sorted(found, key=lambda check: (PLACES.index(self._named(check)), ORDER.get(check["suite"], 9))))

    @property
    def alarms(self) -> tuple[Check, ...]:
        """What would stop a healthy variant: gates missed or not measured."""
        return tuple(check for check in self.checks if check["verdict"] in ("FAIL", "UNMEASURED"))

    @property
    def caught_by(self) -> tuple[str, ...]:
        """The metrics of the missed gates."""
        return tuple(dict.fromkeys(check["metric"] for check in self.failed))

    @property
    def caught(self) -> bool:
        """Whether a gate was missed."""
        return bool(self.failed)

    @property
    def harmless(self) -> bool:
        """Whether it answers exactly as the healthy file."""
        edited = self.mutant is not None and self.mutant.kind.change is not None
        return edited and self.answer is not None and self.answer.harmless

    @property
    def names(self) -> str | None:
        """What a missed gate names of the place of the defect: the "tensor", at least the "operator", or nothing."""
        return min((found for check in self.failed if (found := self._named(check))), default=None, key=PLACES.index)

    @property
    def explained(self) -> bool | None:
        """Whether the diagnosis lists the spoiled layer first or second; None for what is not in one layer.

        An activation's scale and zero point belong to the layer that writes it and to those that read it.
        """
        if self.mutant is None or self.mutant.at is None or self.answer is None:
            return None
        return any(
            place in self.mutant.operators or tensor in self.mutant.tensors for place, tensor in self.answer.layers
        )

    def _named(self, check: Check) -> str | None:
        if self.mutant is None:
            return None
        told = " ".join([check["detail"] or "", *check["causes"]])
        if any(f"'{name}'" in told for name in self.mutant.tensors):
            return "tensor"
        if any(re.search(rf"{re.escape(place)}\b", told) for place in self.mutant.operators):
            return "operator"
        return None


PLACES = ("tensor", "operator", None)
# The suites that look at the file come before those that look at what it answers.
ORDER = {
    suite: place
    for place, suite in enumerate(
        ("loads", "quantization_spec", "identity", "dequantization", "calibration", "outputs", "agreement", "accuracy")
    )
}


@dataclass(frozen=True)
class Detection:
    """What became of one model's mutants and healthy variants."""

    model: str
    mutants: Mapping[str, Judged]
    healthy: Mapping[str, Judged]

    @property
    def false_alarms(self) -> dict[str, tuple[Check, ...]]:
        """Missed and unmeasured gates of healthy variants."""
        return {name: judged.alarms for name, judged in self.healthy.items() if judged.alarms}

    @property
    def in_one_layer(self) -> list[Judged]:
        """The mutants whose defect sits in one layer."""
        return [
            judged for judged in self.mutants.values() if judged.mutant is not None and judged.mutant.at is not None
        ]

    @property
    def explained(self) -> list[bool]:
        """For each mutant that has spoiled one layer, whether the diagnosis finds it. What is harmless spoils none."""
        return [bool(judged.explained) for judged in self.in_one_layer if not judged.harmless]

    @property
    def passed_by_script(self) -> list[str]:
        """The mutants that the plain script accepts."""
        return [name for name, judged in self.mutants.items() if judged.answer and judged.answer.script_passes]

    @property
    def escaped(self) -> tuple[str, ...]:
        """The kinds that no gate caught."""
        return tuple(name for name, judged in self.mutants.items() if not judged.caught)

    @property
    def harmful_escapes(self) -> tuple[str, ...]:
        """Those of them that answer otherwise than the healthy file."""
        return tuple(name for name in self.escaped if not self.mutants[name].harmless)


def kinds_of(model: str) -> list[Kind]:
    """The kinds that can be made from a model."""
    return [kind for kind in KINDS.values() if not kind.only or model in kind.only]


def detect(model: str, store: Store, scratch: Path) -> Detection:
    """Make all mutants of a model, judge them beside its healthy variants, and ask what they answer.

    Args:
        model: Name of an example model.
        store: Where healthy conversions and other sources are kept; mutants are not put there.
        scratch: A folder to write to.
    """
    origin = gather(model, store)
    mutants = {kind.name: mutate(kind, origin) for kind in kinds_of(model)}
    folders = [*_healthy(model, origin, scratch), *_spoiled(model, origin, mutants, scratch)]
    private = Store(scratch / "store")
    _share(model, store, private, scratch)
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(_answers, model, origin, mutants, store, scratch)
        checks = _judge(folders, private, scratch)
        answers = asked.result() | _answers_of_converted(model, origin, store, private, scratch)
    return Detection(
        model,
        {name: Judged(name, checks.pop(name), mutant, answers.get(name)) for name, mutant in mutants.items()},
        {name: Judged(name, found) for name, found in checks.items()},
    )


# -- folders ----------------------------------------------------------------------------------------------------------


def _healthy(model: str, origin: Origin, scratch: Path) -> Iterator[Path]:
    """The healthy variants: by both toolchains, and each once more as a file, read and packed without a change."""
    made = {name: dict(manifest_of(model)["variants"][name]) for name in rounded_variants(model)}
    made |= {name: {"recipe": recipe, "toolchain": toolchain} for name, (recipe, toolchain) in OTHER_TOOLCHAIN.items()}
    made |= further.tables(model)
    yield write_model(scratch / f"{model}-healthy", model, made, beside=further.recipe_files(model))
    contents = {f"{CONTROL}_{name}": File(content).packed() for name, content in origin.variants.items()}
    claims = {f"{CONTROL}_{name}": name for name in origin.variants}
    yield _with_files(scratch / f"{model}-{CONTROL}", model, contents, claims, origin)


def _spoiled(model: str, origin: Origin, mutants: Mapping[str, Mutant], scratch: Path) -> Iterator[Path]:
    files = {name: mutant.content for name, mutant in mutants.items() if mutant.content is not None}
    claims = {name: mutant.kind.claim for name, mutant in mutants.items()}
    names = sorted(files)
    for number, start in enumerate(range(0, len(names), BATCH)):
        batch = {name: files[name] for name in names[start : start + BATCH]}
        yield _with_files(scratch / f"{model}-{number}", model, batch, claims, origin)
    for name, mutant in mutants.items():
        if mutant.calibration is not None:
            folder = scratch / f"{model}-{name}"
            folder.mkdir()
            np.savez(folder / "calibration.npz", **mutant.calibration)
            variants = {name: {"recipe": mutant.kind.claim, "toolchain": "litert"}}
            yield write_model(folder, model, variants, calibration=folder / "calibration.npz")


def _with_files(
    folder: Path, model: str, files: Mapping[str, bytes], claims: Mapping[str, str], origin: Origin
) -> Path:
    """A model folder of files that claim to be what they are not, with what their claims name beside them."""
    content = {f"{name}.tflite": file for name, file in files.items()}
    variants = {name: {"file": f"{name}.tflite", **further.claimed(claims[name])} for name in files}
    return write_model(folder, model, variants, beside=content | _beside(model, origin))


def _beside(model: str, origin: Origin) -> dict[str, bytes]:
    """What claims name: rules, and float32 files of the same trained weights."""
    trained_as = {f"{name}.float32.tflite": content for name, content in origin.float32.items()}
    return further.recipe_files(model) | trained_as


def _share(name: str, store: Store, private: Store, scratch: Path) -> None:
    """Give a run's own store what is healthy, so that it is neither converted nor trained again."""
    models = (
        resolve(folder_of(name), store, rounded_variants(name)),
        resolve(write_further(scratch / f"{name}-further", name), store, tuple(further.tables(name))),
    )
    keys = {key for model in models for key in (model.float32_key, model.reference_key)}
    for variant in (variant for model in models for variant in model.variants):
        keys |= {variant.key} if variant.training is None else {variant.key, variant.training.float32_key}
    for key in keys:
        found = entry(store, key)
        private.put(key, found.path, suffix=found.path.suffix, meta=found.meta)


# -- the runs ---------------------------------------------------------------------------------------------------------


def _judge(folders: Sequence[Path], store: Store, scratch: Path) -> dict[str, tuple[Check, ...]]:
    """The checks of every variant in these folders, by the variant's name."""
    single = [folder for folder in folders if (folder / "calibration.npz").is_file()]
    runs = [[folder] for folder in folders if folder not in single]
    runs += [single] if single else []
    with ThreadPoolExecutor(PROCESSES) as pool:
        results = list(pool.map(lambda run: _run(run, store, scratch / f"{run[0].name}-reports"), runs))
    found: dict[str, list[Check]] = {}
    for result in results:
        assert result["run"]["complete"], result["run"]
        for model in result["models"].values():
            found |= {variant: [] for variant in model["variants"]}
        for check in result["checks"]:
            found[check["variant"]].append(check)
    return {name: tuple(checks) for name, checks in found.items()}


def _run(folders: Sequence[Path], store: Store, reports: Path) -> dict[str, Any]:
    """The results of an acceptance run on these folders."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not timing"]
    command += [f"--models={folder}" for folder in folders] + [f"--report-dir={reports}", "acceptance"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    environment["LITEPROOF_STORE"] = str(store.root)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    written = list(reports.glob("*/results.json"))
    assert done.returncode in (0, 1), done.stdout[-4000:] + done.stderr[-4000:]
    assert written, done.stdout[-4000:] + done.stderr[-4000:]
    result: dict[str, Any] = json.loads(written[0].read_text())
    return result


# -- the answers ----------------------------------------------------------------------------------------------------


def _answers(
    model: str, origin: Origin, mutants: Mapping[str, Mutant], store: Store, scratch: Path
) -> dict[str, Answer]:
    """What the mutants that are files answer."""
    folder = scratch / f"{model}-answers"
    folder.mkdir()
    beside = {f"{name}.tflite": content for name, content in origin.variants.items()} | _beside(model, origin)
    for name, content in beside.items():
        (folder / name).write_bytes(content)
    questions = {}
    for name, mutant in mutants.items():
        if mutant.content is not None:
            path = folder / f"mutant_{name}.tflite"
            path.write_bytes(mutant.content)
            claim = further.claimed(mutant.kind.claim)
            base, float32 = folder / f"{mutant.kind.base}.tflite", folder / claim.get("float32", "float32.tflite")
            recipe = str(folder / claim["recipe"]) if mutant.kind.claim == "mixed" else mutant.kind.claim
            questions[name] = Question(str(path), str(base), str(float32), recipe, mutant.at is not None)
    return ask(questions, origin.evaluation["x"], _reference(model, store), folder)


def _answers_of_converted(model: str, origin: Origin, store: Store, private: Store, scratch: Path) -> dict[str, Answer]:
    """What the variants answer that were converted with another calibration set, beside the healthy one."""
    healthy = resolve(scratch / f"{model}-healthy", private)
    base = next(variant for variant in healthy.variants if variant.name == "int8_litert")
    paths = {"base": entry(private, base.key).path, "float32": entry(private, healthy.float32_key).path}
    questions = {}
    for name in (kind.name for kind in kinds_of(model) if kind.calibration is not None):
        (variant,) = resolve(scratch / f"{model}-{name}", private).variants
        file = entry(private, variant.key).path
        questions[name] = Question(str(file), str(paths["base"]), str(paths["float32"]), variant.recipe)
    folder = scratch / f"{model}-converted"
    folder.mkdir()
    return ask(questions, origin.evaluation["x"], _reference(model, store), folder)


def _reference(model: str, store: Store) -> np.ndarray:
    """The source's first output on the evaluation set."""
    with np.load(entry(store, resolve(folder_of(model), store).reference_key).path) as archive:
        outputs: np.ndarray = archive[archive.files[0]]
    return outputs
