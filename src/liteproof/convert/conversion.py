"""What the store lacks for a plan, and the making of it by worker processes.

    >>> from liteproof.plan import Plan
    >>> from liteproof.store import Store
    >>> missing(Plan(models=(), targets=()), Store(Path("/nowhere")))
    ()

The caller's process schedules: it hands out tasks to workers of which each has TensorFlow loaded, puts what comes back
into the store at once, and tells a listener. The source is exported once, by one worker, while another one computes the
reference; float32 comes first, since LiteRT's recipes start from it, then what takes longest. What fails is remembered
under its key and tried again in the next run; nothing else stops for it. Nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from liteproof.convert.keras_package import LEGACY, require_installed
from liteproof.convert.process import COMMAND, Worker, ready
from liteproof.convert.tasks import Event, EventKind, Listener, Task, export_key, usage_error
from liteproof.errors import UsageError
from liteproof.plan import Case, Model, Plan, Variant
from liteproof.store import Store, file_sha256

# A worker costs as much as three or four small conversions to start, and takes up to a gigabyte.
_TASKS_A_WORKER = 4
_MOST_WORKERS = 4

# What the store keeps of a task that is no variant: the event that tells of it, its kind in the store, its suffix.
_KEPT: Mapping[str, tuple[EventKind, str, str]] = {
    "reference": ("reference", "reference", ".npz"),
    "make": ("made", "samples", ".npz"),
    "train": ("trained", "training", ".zip"),
}


def missing(plan: Plan, store: Store, cases: Iterable[Case] | None = None) -> tuple[Task, ...]:
    """What the store lacks: for each model its float32 `.tflite` and its reference, and the variants of the cases.

    An artefact whose last attempt failed is missing, too.

    Args:
        plan: The work.
        store: What there is.
        cases: The cases that are wanted; None: all of the plan.

    Returns:
        Tasks in the order in which they should be done; none twice.
    """
    tasks: dict[str, Task] = {}
    for model, variants in _wanted(plan, cases):
        converted = (task for variant in sorted(variants, key=_is_quick) for task in _variant(model, variant))
        for task in (*_samples(model, variants), _float32(model), _reference(model), *converted):
            if task.key not in tasks and store.get(task.key) is None:
                tasks[task.key] = task
    return tuple(tasks.values())


def prepare(
    plan: Plan,
    store: Store,
    cases: Iterable[Case] | None = None,
    *,
    progress: Listener = lambda _: None,
    workers: int | None = None,
    command: Sequence[str] = COMMAND,
) -> None:
    """Make what the store lacks. A second run at work on the same models waits, and then finds it done.

    What cannot be made leaves its reason in the store (`Store.failure`) and does not stop the rest.

    Args:
        plan: The work.
        store: Where artefacts are put, each as soon as it is made.
        cases: The cases that are wanted; None: all of the plan.
        progress: Hears every event.
        workers: The most worker processes at once; None: as many as there are processors and enough work for.
        command: The worker's program.

    Raises:
        UsageError: if the request is wrong: the data does not fit the source, the source needs trust, a callable of the
            manifest is missing or fails, a package for converting is missing, or the store cannot be written.
    """
    chosen = list(plan.cases() if cases is None else cases)
    tasks = missing(plan, store, chosen)
    if not tasks:
        return
    _refuse_code(plan, tasks)
    _require_keras(tasks)
    started = time.perf_counter()
    progress(Event("waiting"))
    with _locked(store, tasks):
        tasks = missing(plan, store, chosen)
        with tempfile.TemporaryDirectory(prefix="liteproof-", ignore_cleanup_errors=True) as folder:
            run = _Run(store, list(_with_origins(tasks, store)), Path(folder), plan.root, progress, command)
            run.to_the_end(workers or _worth_starting(len(tasks)))
    progress(Event("done", seconds=time.perf_counter() - started))


# -- what is wanted ---------------------------------------------------------------------------------------------------


def _wanted(plan: Plan, cases: Iterable[Case] | None) -> Iterator[tuple[Model, list[Variant]]]:
    """The models of the cases in the plan's order, each with the variants that are asked for."""
    chosen = list(plan.cases() if cases is None else cases)
    for model in plan.models:
        names = {case.variant.name for case in chosen if case.model.name == model.name}
        if names:
            yield model, [variant for variant in model.variants if variant.name in names]


def _samples(model: Model, variants: Iterable[Variant]) -> Iterator[Task]:
    """The sets whose arrays have to be made: the evaluation set, and what the variants are made from or held to."""
    wanted = {"evaluation"}
    wanted |= {"calibration"} if any(v.promise.calibrated for v in variants) else set()
    wanted |= {"training"} if any(v.training and v.training.key for v in variants) else set()
    for name, samples in model.sets.items():
        if name in wanted and samples.key is not None:
            yield Task("make", samples.key, model, name, samples=samples)


def _float32(model: Model) -> Task:
    if model.source_kind == "tflite":
        return Task("copy", model.float32_key, model, "float32", file=model.source)
    options = {"select_tf_ops": True} if model.select_tf_ops else {}
    return Task("convert", model.float32_key, model, "float32", "float32", "tensorflow", options)


def _reference(model: Model) -> Task:
    return Task("reference", model.reference_key, model, "reference")


def _is_quick(variant: Variant) -> tuple[bool, bool]:
    """What takes long is begun first, so that no worker is left with it at the end: training, then calibration."""
    return variant.training is None, not variant.promise.calibrated


def _variant(model: Model, variant: Variant) -> Iterator[Task]:
    """A variant, and the float32 file of the same weights where those are not the source's."""
    training = variant.training
    if training is not None and training.float32 is not None:
        yield Task("copy", training.float32_key, model, f"float32 of {variant.name}", file=training.float32)
    elif training is not None and training.float32_key != variant.key:
        name = f"float32 of {variant.name}"
        yield Task("convert", training.float32_key, model, name, "float32", "tensorflow", training=training)
    if variant.file is not None:
        yield Task("copy", variant.key, model, variant.name, file=variant.file)
        return
    toolchain = variant.toolchain or variant.promise.default_toolchain
    yield Task(
        "convert", variant.key, model, variant.name, variant.recipe, toolchain, variant.options, training=training
    )


def _with_origins(tasks: Iterable[Task], store: Store) -> Iterator[Task]:
    """The tasks, each first one that starts from an exported or a trained source after the task that makes that."""
    there = set()
    for task in tasks:
        if task.kind == "convert" and task.origin not in there:
            there.add(task.origin)
            if task.origin == export_key(task.model):
                yield Task("export", task.origin, task.model, "source")
            elif task.training is not None and store.get(task.origin) is None:
                name = f"training of {task.name.removeprefix('float32 of ')}"
                yield Task("train", task.origin, task.model, name, training=task.training)
        yield task


def _refuse_code(plan: Plan, tasks: Iterable[Task]) -> None:
    """Manifests are refused earlier; a plan may come from elsewhere."""
    for model in {task.model.name: task.model for task in tasks}.values():
        yields = any(samples.callable is not None for samples in model.sets.values())
        if plan.no_code and (model.trust or model.custom_objects or yields):
            raise UsageError(
                f"converting {model.name} runs Python of the manifest",
                expected="nothing that does, because of --no-code",
                where=model.manifest.path,
                next="run without --no-code if you trust where it comes from",
            )


def _require_keras(tasks: Iterable[Task]) -> None:
    for task in tasks:
        if task.model.keras == LEGACY:
            require_installed(task.model.keras, f"the source of {task.model.name}", task.model.source.path)


@contextlib.contextmanager
def _locked(store: Store, tasks: Iterable[Task]) -> Iterator[None]:
    """Hold the locks of all sources at work on; in one order, so that two runs never wait for each other."""
    with contextlib.ExitStack() as held:
        for digest in sorted({task.model.source.sha256 for task in tasks}):
            held.enter_context(store.lock(f"convert-{digest[:32]}"))
        yield


def _worth_starting(tasks: int) -> int:
    return max(1, min(_processors(), _MOST_WORKERS, math.ceil(tasks / _TASKS_A_WORKER)))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- the making -------------------------------------------------------------------------------------------------------


class _Run:
    """One run of the workers over some tasks."""

    def __init__(
        self,
        store: Store,
        tasks: Iterable[Task],
        folder: Path,
        root: str,
        listener: Listener,
        command: Sequence[str],
    ) -> None:
        self._store = store
        self._folder = folder
        self._root = root
        self._tell = listener
        self._command = command
        self._waiting = list(tasks)
        self._workers: list[Worker] = []
        self._there: set[str] = set()  # what tasks need and is in the folder
        for name, total in self._totals().items():
            listener(Event("planned", model=name, total=total))
        for task in self._waiting:
            store.forget_failure(task.key)  # who waits for it would take the old reason for the new one

    def to_the_end(self, most_workers: int) -> None:
        """Do all tasks. Whatever happens, no worker outlives this."""
        try:
            self._copy_files()
            self._fetch()
            while self._hand_out(most_workers) or self._busy():
                if not self._busy():
                    raise RuntimeError(f"nobody makes what {[task.name for task in self._waiting]} need")
                for worker in ready(self._workers):
                    self._hear(worker)
        finally:
            for worker in self._workers:
                worker.end()

    def _totals(self) -> dict[str, int]:
        names = [task.model.name for task in self._waiting]
        return {name: names.count(name) for name in dict.fromkeys(names)}

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    def _copy_files(self) -> None:
        for task in [task for task in self._waiting if task.kind == "copy"]:
            self._waiting.remove(task)
            try:
                self._keep(task, _content(task), seconds=0.0, meta={"toolchain": None})
            except OSError as error:
                self._fail(task, f"{task.name} of {task.model.name} cannot be read: {error.strerror or error}")

    def _fetch(self) -> None:
        """Let workers find what they need of what the store has: float32 files, trained sources and arrays."""
        made = {task.key for task in self._waiting}
        for key in {key for task in self._waiting for key in task.needs} - made:
            entry = self._store.get(key)
            if entry is not None:
                self._made(key).symlink_to(entry.path)
                self._there.add(key)

    def _hand_out(self, most_workers: int) -> bool:
        """Give each free worker a task that can be done now, and start workers for the rest; whether tasks are left."""
        for task in [task for task in self._waiting if self._there.issuperset(task.needs)]:
            worker = self._worker_for(task, most_workers)
            if worker is None:
                continue
            self._waiting.remove(task)
            self._tell(Event("started", task.key, task.model.name, task.name))
            worker.give(task)
        return bool(self._waiting)

    def _worker_for(self, task: Task, most_workers: int) -> Worker | None:
        """A free worker with the Keras that the task needs, started if there may be one more; None if all are busy."""
        free = [worker for worker in self._workers if worker.task is None]
        for worker in free:
            if task.keras in (None, worker.keras):
                return worker
        if len(self._workers) >= most_workers:
            if not free:
                return None
            free[0].end()  # it has the other Keras, and two in one process do not go together
            self._workers.remove(free[0])
        worker = Worker(self._command, self._folder, self._root, task.keras or "keras")
        self._workers.append(worker)
        return worker

    def _hear(self, worker: Worker) -> None:
        """Take what a worker has to tell."""
        task = worker.task
        try:
            event = worker.answer()
        except EOFError as death:
            worker.end()
            self._workers.remove(worker)
            if task is not None:
                self._fail(task, f"{task.trouble}: the process {death}")
            return
        if event is None or task is None:
            return
        if event.kind == "at":
            self._tell(event)
            return
        telling = worker.telling_lines()
        if event.kind == "usage":
            raise usage_error(event)
        if event.kind == "failed":
            self._fail(task, event.reason, event.seconds)
            return
        self._there.add(task.key)
        if task.kind == "export":
            self._tell(Event("exported", task.key, task.model.name, task.name, seconds=event.seconds))
        else:
            meta = {**event.meta, "seconds": event.seconds, **({"warnings": telling} if telling else {})}
            self._keep(task, self._made(task.key), event.seconds, meta)

    def _made(self, key: str) -> Path:
        """Where workers leave the result of this key, and look for it."""
        return self._folder / key

    def _keep(self, task: Task, content: bytes | Path, seconds: float, meta: dict[str, object]) -> None:
        kept, kind, suffix = _KEPT.get(task.kind, ("converted", "variant", ".tflite"))
        meta = {**meta, "kind": kind}
        entry = self._store.put(task.key, content, suffix=suffix, meta={**meta, "model": task.model.name})
        if task.kind == "make" and isinstance(content, Path):
            content.unlink()
            content.symlink_to(entry.path)
        self._tell(
            Event(
                kept,
                task.key,
                task.model.name,
                task.name,
                seconds=seconds,
                bytes=entry.bytes,
                meta=meta,
            )
        )

    def _fail(self, task: Task, reason: str, seconds: float = 0.0) -> None:
        """Remember why, and that of all tasks that cannot be done without it."""
        if task.kind != "export":
            self._store.fail(task.key, reason)
        self._tell(Event("failed", task.key, task.model.name, task.name, reason, seconds))
        for other in [other for other in self._waiting if task.key in other.needs]:
            if other in self._waiting:
                self._waiting.remove(other)
                self._fail(other, reason)


def _content(task: Task) -> bytes:
    """The file that a task copies.

    Raises:
        OSError: if it cannot be read, or is not what the plan was made for.
    """
    assert task.file is not None  # noqa: S101 - of every copy
    path = Path(task.file.path)
    if file_sha256(path) != task.file.sha256:
        raise OSError("it has changed since the run began")
    return path.read_bytes()
