"""A file that leaves sizes open, from its manifest to its answers: the evaluation set tells them."""

from dataclasses import replace

import numpy as np
import pytest

from liteproof.convert.conversion import prepare
from liteproof.errors import ModelError
from liteproof.manifest.resolve import load_plan
from liteproof.measure import opened
from liteproof.measure.evaluation import Evaluation
from liteproof.measure.loading import loads
from liteproof.measure.opened import open_shapes
from liteproof.measure.probe import Outcome
from liteproof.measure.subject import Bench
from liteproof.plan import Target
from liteproof.store import Store
from liteproof.tflite.reader import read_model
from tests.measure.models import RUNTIMES, data, fully_convolutional
from tests.measure.test_diagnosis import explain

MANIFEST = """
[model]
task = "regression"
source = "means.tflite"

[data]
evaluation = "evaluation.npz"
calibration = "calibration.npz"

[variants.float32]
[variants.copy]
file = "copy.tflite"
recipe = "float32"
"""


def images(n, height=11, width=9, channels=3):
    return np.random.default_rng(n).uniform(size=(n, height, width, channels)).astype(np.float32)


def written(folder, height=11):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "means.tflite").write_bytes(fully_convolutional())
    (folder / "copy.tflite").write_bytes(fully_convolutional(bias=0.1001))
    for name, n in (("evaluation", 80), ("calibration", 12)):
        np.savez(folder / f"{name}.npz", x=images(n, height))
    (folder / "model.toml").write_text(MANIFEST)


def subject(folder, store, runtime, variant="copy"):
    plan = load_plan([folder], variant_names=[variant], root=folder, store=store)
    prepare(plan, store)
    (case,) = plan.cases()
    return Bench(store).subject(replace(case, target=Target("host", runtime=runtime)))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("variant", ["float32", "copy"])
def test_each_step_works_at_the_sizes_of_the_samples(tmp_path, runtime, variant):
    written(tmp_path / "means")
    case = subject(tmp_path / "means", Store(tmp_path / "store"), runtime, variant)
    assert case.loads().loads, case.loads().reason
    assert len(case.outputs) == 80
    np.testing.assert_allclose(case.outputs, case.reference, rtol=1e-3)
    for key, expected in (("in batches", case.in_batches()), ("again", case.rerun())):
        one, other = next(iter(expected.values()))[:2]
        np.testing.assert_allclose(one, other, rtol=1e-4, err_msg=key)
    assert next(iter(case.in_batches().values()))[2] == 8
    _, default, builtin = case.by_kernels
    np.testing.assert_allclose(default, builtin, rtol=1e-4)
    for source, float32 in case.float32_beside_source.values():
        np.testing.assert_allclose(source, float32, rtol=1e-4)
    assert [name for name, _ in case.drift] == ([] if variant == "float32" else ["filtered", "means"])
    assert [array.shape for array in case.samples(case.open(), most=3)[0]] == [(1, 11, 9, 3)]
    assert case.answers_for_parity("builtin")[1].shape[1:] == (3,)
    assert case.cold_starts.runs[0].total_s > 0


def test_what_became_of_it_is_remembered_for_these_sizes_alone(tmp_path, monkeypatch):
    tried = []

    def probe(_path, *, shapes, **_options):
        tried.append(shapes)
        return Outcome("ok", "", "exit", "ai_edge_litert")

    monkeypatch.setattr(opened, "probe", probe)
    store = Store(tmp_path / "store")
    for height in (11, 11, 12):
        written(tmp_path / "means", height)
        assert subject(tmp_path / "means", store, "ai_edge_litert").loads().loads
    assert tried == [((1, 11, 9, 3),), ((1, 12, 9, 3),)]


def test_samples_of_a_size_that_it_cannot_be_are_its_failure(tmp_path):
    written(tmp_path / "means", height=2)
    found = loads(subject(tmp_path / "means", Store(tmp_path / "store"), "ai_edge_litert").loads())
    assert found.value == 0
    assert "does not take inputs of shape [1, 2, 9, 3] on ai_edge_litert" in found.detail


def test_only_open_sizes_are_asked_of_samples():
    def unasked():
        raise AssertionError("the samples were opened")

    of_batches = read_model(data("dense_int8"))
    assert of_batches.subgraphs[0].tensors[of_batches.subgraphs[0].inputs[0]].shape_signature[0] == -1
    assert open_shapes(lambda: of_batches, unasked) == ()
    evaluation = Evaluation({"x": images(5)}, None)
    assert open_shapes(lambda: read_model(fully_convolutional()), lambda: evaluation) == ((1, 11, 9, 3),)


def test_a_file_whose_tables_are_broken_is_tried_as_it_is():
    def broken():
        raise ModelError("no flatbuffer")

    assert open_shapes(broken, broken) == ()


@pytest.mark.slow
def test_its_layers_are_explained(tmp_path):
    written(tmp_path / "models" / "means")
    done = explain(tmp_path, "means", "copy", "--samples", "4", store=tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert "4 samples" in done.stdout
    assert "CONV_2D #0" in done.stdout
