"""Scheduling, the store and failures, with a worker that converts nothing."""

import dataclasses
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liteproof.convert.conversion import missing, prepare
from liteproof.errors import UsageError
from liteproof.plan import Training
from liteproof.store import Store

from . import plans

RECIPES = ("float32", "dynamic_range", "int8", "int4")


class Desk:
    """A plan of one tiny model in a folder, and the fake worker's behaviour."""

    def __init__(self, folder, recipes=RECIPES):
        self.folder = folder
        self.store = Store(folder / "store")
        self.source = folder / "tiny.keras"
        self.source.write_bytes(b"a source")
        self.evaluation = plans.arrays(folder / "evaluation.npz", x=np.zeros((2, 3), np.float32))
        self.plan = plans.plan(self.model(recipes), root=folder)
        self.command = (sys.executable, "-S", str(Path(plans.__file__).with_name("fake_worker.py")))
        self.behave()

    def model(self, recipes, **more):
        variants = [plans.variant("tiny", recipe) for recipe in recipes]
        return plans.model(self.source, "keras", variants, evaluation=self.evaluation, **more)

    def behave(self, **by_name):
        (self.folder / "behaviour.json").write_text(json.dumps(by_name))

    def prepare(self, workers=1, **more):
        prepare(self.plan, self.store, workers=workers, command=self.command, **more)

    @property
    def log(self):
        path = self.folder / "log.txt"
        return path.read_text().split() if path.exists() else []

    def key(self, name):
        (variant,) = (v for v in self.plan.models[0].variants if v.name == name)
        return variant.key

    def held(self, name):
        entry = self.store.get(self.key(name))
        return entry and entry.path.read_bytes()

    def reason(self, name):
        return self.store.failure(self.key(name))


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def names(tasks):
    return [task.name for task in tasks]


# -- what is missing --------------------------------------------------------------------------------------------------


def test_everything_is_missing_at_first_and_nothing_twice(desk):
    """What is calibrated takes longest, and comes first after float32."""
    assert names(missing(desk.plan, desk.store)) == ["float32", "reference", "int8", "dynamic_range", "int4"]


def test_float32_is_wanted_with_any_variant(desk):
    (case,) = (case for case in desk.plan.cases() if case.variant.name == "int8")
    assert names(missing(desk.plan, desk.store, [case])) == ["float32", "reference", "int8"]


@pytest.fixture
def sampled(desk):
    """The desk's plan with both sets drawn out of files."""
    calibration = plans.arrays(desk.folder / "calibration.npz", x=np.ones((4, 3), np.float32))
    evaluation = plans.samples_of(desk.evaluation, form="arrays", samples=1)
    model = desk.model(RECIPES, calibration=plans.samples_of(calibration, form="arrays", samples=2))
    desk.plan = plans.plan(replace(model, evaluation=evaluation), root=desk.folder)
    return desk


def test_arrays_are_made_before_what_is_fed_them(sampled):
    assert names(missing(sampled.plan, sampled.store))[:2] == ["evaluation", "calibration"]
    sampled.prepare()  # the worker sees to it that they are there
    model = sampled.plan.models[0]
    assert {sampled.store.get(samples.key).path.suffix for samples in model.sets.values()} == {".npz"}
    assert sampled.store.get(model.evaluation.key).meta["kind"] == "samples"
    sampled.prepare()
    assert sampled.log.count("evaluation") == sampled.log.count("calibration") == 1


def test_arrays_that_the_store_has_are_found_by_a_later_worker(sampled):
    (case,) = (case for case in sampled.plan.cases() if case.variant.name == "float32")
    sampled.prepare(cases=[case])
    assert "calibration" not in sampled.log
    sampled.store.root.joinpath("entries", f"{sampled.plan.models[0].reference_key}.json").unlink()
    sampled.prepare()
    assert sampled.log.count("evaluation") == 1


def test_what_is_fed_arrays_that_cannot_be_made_fails_with_their_reason(sampled):
    sampled.behave(calibration="fail:no room")
    sampled.prepare()
    assert sampled.reason("int8") == "no room"
    assert sampled.held("dynamic_range")


def test_how_far_a_task_is_reaches_the_listener(sampled):
    sampled.behave(evaluation="slowly")
    heard = []
    sampled.prepare(progress=heard.append)
    assert [event.total for event in heard if event.kind == "at"] in ([], [2], [2, 2])  # the last word may overtake
    assert [event.name for event in heard if event.kind == "made"] == ["evaluation", "calibration"]


def test_no_case_no_work(desk):
    assert missing(desk.plan, desk.store, []) == ()


def test_what_the_store_holds_is_not_missing_and_what_failed_is(desk):
    desk.store.put(desk.key("float32"), b"TFL3", suffix=".tflite")
    desk.store.fail(desk.key("int8"), "it did not work")
    assert names(missing(desk.plan, desk.store)) == ["reference", "int8", "dynamic_range", "int4"]


def test_a_tflite_source_is_its_own_float32(desk):
    source = desk.folder / "tiny.tflite"
    source.write_bytes(b"TFL3 the source")
    int4 = plans.variant("tiny", "int4")
    desk.plan = plans.plan(plans.model(source, "tflite", [int4], evaluation=desk.evaluation), root=desk.folder)
    desk.prepare()
    assert desk.store.get(desk.plan.models[0].float32_key).path.read_bytes() == b"TFL3 the source"
    assert desk.log == ["reference", "int4"]  # no export: nothing loads TensorFlow


# -- the making -------------------------------------------------------------------------------------------------------


def test_everything_is_made_and_then_nothing_is_missing(desk):
    desk.prepare()
    assert {name: desk.held(name) for name in RECIPES} == {name: b"TFL3 " + name.encode() for name in RECIPES}
    assert missing(desk.plan, desk.store) == ()


def test_the_source_is_exported_once_and_first_and_float32_comes_before_the_rest(desk):
    desk.prepare()
    assert desk.log == ["source", "float32", "reference", "int8", "dynamic_range", "int4"]


def test_two_workers_do_each_task_once(desk):
    desk.prepare(workers=2)
    assert sorted(desk.log) == sorted(["source", "float32", "reference", "dynamic_range", "int8", "int4"])


def test_a_full_store_starts_no_worker(desk):
    desk.prepare()
    desk.command = ("/nowhere/no-such-program",)
    desk.prepare()


def test_litert_starts_from_the_float32_of_an_earlier_run(desk):
    desk.store.put(desk.key("float32"), b"TFL3 earlier", suffix=".tflite")
    desk.plan = plans.plan(desk.model(["float32", "int4"]), root=desk.folder)
    desk.prepare()
    assert sorted(desk.log) == ["int4", "reference"]


def test_meta_says_how_it_was_made(desk):
    desk.behave(int8="warn:W0000 00:00:17.5 12 flags.cc:3] TFLite interpreter needs to link Flex delegate")
    desk.prepare()
    assert dict(desk.store.get(desk.key("int8")).meta) == {
        "kind": "variant",
        "model": "tiny",
        "toolchain": "fake 1.0",
        "seconds": 0.5,
        "warnings": ["TFLite interpreter needs to link Flex delegate"],
    }
    assert "warnings" not in desk.store.get(desk.key("int4")).meta


def test_the_listener_hears_of_each_step(desk):
    heard = []
    desk.prepare(progress=heard.append)
    assert [(event.kind, event.name) for event in heard[:5]] == [
        ("waiting", ""), ("planned", ""), ("started", "source"), ("exported", "source"), ("started", "float32"),
    ]  # fmt: skip
    assert (heard[1].model, heard[1].total) == ("tiny", 6)
    (int8,) = (event for event in heard if event.kind == "converted" and event.name == "int8")
    assert (int8.key, int8.bytes, int8.seconds) == (desk.key("int8"), len(b"TFL3 int8"), 0.5)
    assert heard[-1].kind == "done"


def test_an_artefact_is_in_the_store_when_its_event_is_heard(desk):
    seen = []
    desk.prepare(progress=lambda event: event.kind == "converted" and seen.append(desk.store.get(event.key)))
    assert len(seen) == 4
    assert None not in seen


# -- files ------------------------------------------------------------------------------------------------------------


def with_file(desk, recipes=()):
    path = desk.folder / "colab.tflite"
    path.write_bytes(b"TFL3 from elsewhere")
    variants = [plans.variant("tiny", "int8", name="colab", file=path), *(plans.variant("tiny", r) for r in recipes)]
    desk.plan = plans.plan(plans.model(desk.source, "keras", variants, evaluation=desk.evaluation), root=desk.folder)
    return path


def test_a_file_is_copied_even_if_the_source_does_not_load(desk):
    with_file(desk)
    desk.behave(source="fail:the source of tiny does not load: it is damaged")
    desk.prepare()
    assert desk.held("colab") == b"TFL3 from elsewhere"


def test_a_file_that_has_changed_is_not_kept_under_the_old_key(desk):
    path = with_file(desk)
    path.write_bytes(b"TFL3 another")
    desk.prepare()
    assert desk.held("colab") is None
    assert desk.reason("colab") == "colab of tiny cannot be read: it has changed since the run began"


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_variant_that_fails_leaves_its_reason_and_the_others_go_on(desk):
    desk.behave(int8="fail:int8 of tiny cannot be converted by tensorflow: no kernel for FOO")
    desk.prepare()
    assert desk.reason("int8") == "int8 of tiny cannot be converted by tensorflow: no kernel for FOO"
    assert names(missing(desk.plan, desk.store)) == ["int8"]


def test_what_failed_is_tried_again_and_its_reason_forgotten(desk):
    desk.behave(int8="fail:no")
    desk.prepare()
    desk.behave()
    desk.prepare()
    assert desk.reason("int8") is None
    assert desk.held("int8") == b"TFL3 int8"


def test_an_old_reason_is_forgotten_before_the_new_attempt(desk):
    desk.store.fail(desk.key("int8"), "an old reason")
    seen = []
    desk.prepare(progress=lambda event: event.kind == "started" and seen.append(desk.reason("int8")))
    assert seen == [None] * 6


def test_litert_variants_fail_with_the_reason_of_float32(desk):
    desk.behave(float32="fail:float32 of tiny cannot be converted by tensorflow: too wide")
    desk.prepare()
    assert (
        desk.reason("int4") == desk.reason("float32") == "float32 of tiny cannot be converted by tensorflow: too wide"
    )
    assert desk.held("int8") is not None


def test_a_source_that_does_not_load_fails_all_variants_with_one_message(desk):
    reason = "the source of tiny does not load: it is damaged"
    desk.behave(source=f"fail:{reason}", reference=f"fail:{reason}")
    desk.prepare()
    assert {desk.reason(name) for name in RECIPES} == {reason}
    assert desk.store.failure(desk.plan.models[0].reference_key) == reason
    assert desk.log == ["source", "reference"]


@pytest.mark.parametrize("death", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_worker_that_dies_fails_what_it_was_at_and_the_rest_is_made(desk, death):
    desk.behave(int8=f"die:{death}")
    desk.prepare()
    assert desk.reason("int8").startswith(
        f"int8 of tiny cannot be converted by tensorflow: the process died of {death}"
    )
    assert desk.reason("int8").endswith("Check failed: 1 == 2")
    assert names(missing(desk.plan, desk.store)) == ["int8"]


def test_an_exit_of_its_own_is_a_death_too(desk):
    desk.behave(reference="exit:3")
    desk.prepare()
    reason = desk.store.failure(desk.plan.models[0].reference_key)
    assert reason == "the source of tiny gives no predictions: the process ended with status 3"


def test_workers_that_always_die_come_to_an_end(desk):
    desk.command = (sys.executable, "-S", "-c", "raise SystemExit(9)")
    desk.prepare()
    assert all("ended with status 9" in desk.reason(name) for name in RECIPES)


def test_a_wrong_request_stops_everything(desk):
    desk.behave(reference="usage:array 'x' has shape (2, 3)")
    with pytest.raises(UsageError, match="shape") as stopped:
        desk.prepare()
    assert stopped.value.next == "next step"
    assert desk.log == ["source", "float32", "reference"]
    assert desk.reason("int8") is None


def test_code_is_refused_before_a_worker_starts(desk):
    model = desk.model(["int8"], calibration="somewhere:calibration")
    desk.plan = plans.plan(model, root=desk.folder, no_code=True)
    with pytest.raises(UsageError, match="runs Python"):
        desk.prepare()
    assert desk.log == []


# -- interruption and neighbours --------------------------------------------------------------------------------------


def test_an_interrupt_kills_the_worker_and_its_children_and_leaves_the_store_sound(desk):
    desk.behave(dynamic_range="sleep")
    pids = desk.folder / "pids.txt"

    def interrupt_when_asleep():
        while not (pids.exists() and len(pids.read_text().split()) == 2):
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    def listen(event):
        if event.kind == "started" and event.name == "dynamic_range":
            threading.Thread(target=interrupt_when_asleep).start()

    with pytest.raises(KeyboardInterrupt):
        desk.prepare(progress=listen)
    worker, child = map(int, pids.read_text().split())
    assert plans.dies(worker)
    assert plans.dies(child)
    assert names(missing(desk.plan, desk.store)) == ["dynamic_range", "int4"]
    desk.behave()
    desk.prepare()
    assert missing(desk.plan, desk.store) == ()


def test_two_runs_at_once_make_everything_once(desk):
    threads = [threading.Thread(target=desk.prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(desk.log) == sorted(["source", "float32", "reference", "dynamic_range", "int8", "int4"])


def test_nothing_is_left_in_the_temporary_folder(desk, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    desk.prepare()
    assert list(scratch.iterdir()) == []


# -- what is trained further ------------------------------------------------------------------------------------------


@pytest.fixture
def trained(desk):
    """The desk with two pruned variants, which start from one training."""
    training = Training("f" * 64, None, "t" * 64, "pruning", {"epochs": 2})
    variants = [dataclasses.replace(plans.variant("tiny", name), training=training) for name in ("pruned_int8", "int8")]
    desk.plan = plans.plan(plans.model(desk.source, "keras", variants, evaluation=desk.evaluation), root=desk.folder)
    return desk


def test_a_training_is_done_once_before_what_starts_from_it_and_kept(trained):
    trained.prepare()
    told = (trained.folder / "log.txt").read_text().splitlines()
    assert told[3:] == ["training of pruned_int8", "float32 of pruned_int8", "pruned_int8", "int8"]
    assert trained.store.get("t" * 64).path.suffix == ".zip"
    assert missing(trained.plan, trained.store) == ()


def test_a_training_is_begun_before_other_variants_are_converted(trained):
    (model,) = trained.plan.models
    quick = plans.variant("tiny", "dynamic_range")
    trained.plan = plans.plan(dataclasses.replace(model, variants=(quick, *model.variants)), root=trained.folder)
    trained.prepare()
    told = (trained.folder / "log.txt").read_text().splitlines()
    assert told.index("training of pruned_int8") < told.index("dynamic_range")


def test_a_kept_training_is_not_done_again(trained):
    trained.store.put("t" * 64, b"trained before", suffix=".zip")
    trained.prepare()
    assert "training of pruned_int8" not in (trained.folder / "log.txt").read_text()
    assert trained.held("pruned_int8") == b"TFL3 pruned_int8"


def test_a_training_that_fails_is_the_reason_of_all_that_start_from_it(trained):
    trained.behave(**{"training of pruned_int8": "fail:the losses are not finite"})
    trained.prepare()
    assert trained.reason("pruned_int8") == trained.reason("int8") == "the losses are not finite"
    assert trained.store.failure("f" * 64) == "the losses are not finite"
