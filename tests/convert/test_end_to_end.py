"""Whole conversions in worker processes of their own."""

from dataclasses import replace

import numpy as np
import pytest

from liteproof.convert.conversion import missing, prepare
from liteproof.errors import UsageError
from liteproof.manifest.resolve import load_plan
from liteproof.measure.runtime import open_session
from liteproof.measure.subject import Bench
from liteproof.plan import Target
from liteproof.store import Store

from . import plans

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def reasons(store, model):
    return {variant.name: store.failure(variant.key) for variant in model.variants}


def test_a_good_a_broken_and_a_deadly_model_in_one_run(image_model, sources, store, capfd):
    (sources / "deadly.py").write_text(
        "import os, signal\n\n\ndef batches():\n    print('about to die')\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    good = image_model("image.keras", ["float32", "int8", "int4"], name="good")
    broken = image_model("broken.keras", ["float32", "int4"], name="broken")
    deadly = image_model("image.h5", ["float32", "int8", "int4"], name="deadly", calibration="deadly:batches")
    plan = plans.plan(good, broken, deadly, root=sources)
    prepare(plan, store, workers=1)

    assert reasons(store, good) == {"float32": None, "int8": None, "int4": None}
    with np.load(store.get(good.reference_key).path, allow_pickle=False) as arrays:
        assert arrays["output"].shape == (20, 4)
    damage = "the source of broken does not load: it is damaged: a .keras file is a zip archive, and this is none"
    assert set(reasons(store, broken).values()) == {damage}
    assert store.failure(broken.reference_key) == damage
    died = "the calibration set of deadly cannot be made: the process died of SIGSEGV: about to die"
    assert reasons(store, deadly) == {"float32": None, "int8": died, "int4": None}
    assert capfd.readouterr() == ("", "")  # what TensorFlow and callables write stays in the workers' logs

    wanted = {(task.model.name, task.name) for task in missing(plan, store)}
    assert wanted == {
        ("broken", "float32"),
        ("broken", "reference"),
        ("broken", "int4"),
        ("deadly", "calibration"),
        ("deadly", "int8"),
    }


def test_a_source_that_needs_trust_stops_the_run(image_model, sources, store):
    model = image_model("lambda.keras", ["float32", "int4"])
    with pytest.raises(UsageError, match="carries code") as stopped:
        prepare(plans.plan(model, root=sources), store, workers=2)
    assert "trust = true" in stopped.value.next
    assert reasons(store, model) == {"float32": None, "int4": None}


def test_two_workers_make_the_same_bytes_as_one(image_model, sources, tmp_path):
    model = image_model("image_savedmodel", ["float32", "float16", "int8", "uint8", "int4"])
    stores = [Store(tmp_path / str(workers)) for workers in (1, 2)]
    for workers, store in enumerate(stores, start=1):
        prepare(plans.plan(model, root=sources), store, workers=workers)
    one, two = ({v.name: store.get(v.key).sha256 for v in model.variants} for store in stores)
    assert one == two


def test_custom_layers_of_a_manifest_in_safe_mode(sources, store, tmp_path):
    """From model.toml to the float32 file: the layer comes from the root folder, and the source is not trusted."""
    folder = tmp_path / "models" / "net"
    folder.mkdir(parents=True)
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "__init__.py").touch()
    (tmp_path / "fixtures" / "layers.py").write_text(
        (sources / "users_layers.py").read_text() + "\n\ndef custom_objects():\n    return objects()\n"
    )
    (folder / "net.keras").write_bytes((sources / "custom.keras").read_bytes())
    values = np.random.default_rng(0).normal(size=(12, 8, 8, 1)).astype(np.float32)
    np.savez(folder / "evaluation.npz", x=values)
    (folder / "model.toml").write_text(
        '[model]\ntask = "regression"\nsource = "net.keras"\ncustom_objects = "fixtures.layers:custom_objects"\n'
        '[data]\nevaluation = "evaluation.npz"\n[variants.float32]\n'
    )
    plan = load_plan([tmp_path / "models"], root=tmp_path, store=store)
    assert plan.models[0].trust is False
    prepare(plan, store)
    (variant,) = plan.models[0].variants
    outputs = open_session(store.get(variant.key).path).predict(values)[0]
    np.testing.assert_allclose(outputs, 2 * values.reshape(12, -1), rtol=1e-6)
    with pytest.raises(UsageError, match="--no-code"):
        load_plan([tmp_path / "models"], root=tmp_path, store=store, no_code=True)


def test_sequences_of_any_length_are_judged_at_that_of_the_samples(sources, store, tmp_path):
    folder = tmp_path / "models" / "sequence"
    folder.mkdir(parents=True)
    (folder / "sequence.keras").write_bytes((sources / "sequence.keras").read_bytes())
    values = np.random.default_rng(0).normal(size=(90, 20, 6)).astype(np.float32)
    np.savez(folder / "evaluation.npz", x=values[:70])
    np.savez(folder / "calibration.npz", x=values[70:])
    (folder / "model.toml").write_text(
        '[model]\ntask = "classification"\nsource = "sequence.keras"\n'
        '[data]\nevaluation = "evaluation.npz"\ncalibration = "calibration.npz"\n'
        "[variants.float32]\n[variants.int8]\n[variants.dynamic_range]\n"
    )
    plan = load_plan([folder], root=tmp_path, store=store)
    prepare(plan, store)
    for case in plan.cases():
        for runtime in ("tflite_runtime", "ai_edge_litert"):
            subject = Bench(store).subject(replace(case, target=Target("host", runtime=runtime)))
            assert subject.loads().loads, subject.loads().reason
        (end,) = subject.facts.inputs
        assert end.shape == (-1, -1, 6)
        np.testing.assert_allclose(subject.outputs, subject.reference, atol=0.05)
        places = [found.place for found in subject.activation_ranges("calibration")]
        assert ("CONV_2D #1" in places) == (case.variant.name == "int8")
        assert (len(subject.drift) > 5) == (case.variant.name != "float32")
