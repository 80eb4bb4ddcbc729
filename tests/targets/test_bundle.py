"""What travels to a target: the samples in whichever form, and never the files that they were made of."""

from dataclasses import replace

import numpy as np
import pytest

from liteproof.plan import Samples, Target
from liteproof.store import Store
from liteproof.targets.bundle import make_bundle
from tests.convert import plans

TARGET = Target("pi", ssh="pi@nowhere")


@pytest.fixture
def bundled(tmp_path):
    """The bundle of a model with these sets."""
    (tmp_path / "tiny.tflite").write_bytes(b"....TFL3")
    evaluation = plans.arrays(tmp_path / "evaluation.npz", x=np.ones((3, 2)))
    store = Store(tmp_path / "store")

    def make(**sets):
        model = plans.model(
            tmp_path / "tiny.tflite", "tflite", [plans.variant("tiny", "float32")], evaluation=evaluation
        )
        plan = replace(plans.plan(replace(model, **sets)), targets=(TARGET,))
        return make_bundle(plan, TARGET, store, plan.cases(), [])

    make.store = store
    return make


def test_a_file_that_is_read_as_it_is_travels(bundled, tmp_path):
    bundle = bundled()
    (model,) = bundle.plan.models
    assert model.evaluation.path.startswith("data/")
    assert model.evaluation.path in {file.path for file in bundle.files}


def test_one_file_for_each_array(bundled, tmp_path):
    files = {}
    for name in ("x", "y"):
        np.save(tmp_path / f"{name}.npy", np.ones(3))
        files[name] = plans.file_of(tmp_path / f"{name}.npy")
    (tmp_path / "y.npy").write_bytes((tmp_path / "y.npy").read_bytes() + b"")
    bundle = bundled(evaluation=Samples(files["x"].path, "together", 0, arrays=files))
    (model,) = bundle.plan.models
    assert {file.path for file in model.evaluation.arrays.values()} <= {file.path for file in bundle.files}
    assert model.evaluation.sha256 == "together"


def test_arrays_that_were_made_travel_with_the_store_and_what_they_are_made_of_stays(bundled, tmp_path):
    secret = plans.arrays(tmp_path / "train.npz", x=np.zeros((9, 2)))
    samples = plans.samples_of(secret, form="arrays", samples=3)
    entry = bundled.store.put(samples.key, b"made", suffix=".npz")
    bundle = bundled(calibration=samples, training=plans.samples_of(secret))
    paths = {file.path for file in bundle.files}
    assert {f"store/blobs/{entry.path.name}", f"store/entries/{samples.key}.json"} <= paths
    assert plans.file_of(secret).sha256 not in {file.sha256 for file in bundle.files}
    assert bundle.plan.models[0].training is None
