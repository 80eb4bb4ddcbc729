"""Samples are mapped into memory from wherever a plan says they are."""

import tracemalloc

import numpy as np
import pytest

from liteproof.convert.data import inputs_of, singly
from liteproof.convert.samples import make
from liteproof.errors import Unmeasured, UsageError
from liteproof.manifest.data import find_arrays
from liteproof.manifest.source import Input
from liteproof.measure.evaluation import read_evaluation, read_samples
from liteproof.plan import Making, Samples
from liteproof.store import Store
from tests.convert import plans


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_files_of_their_own_are_put_together(tmp_path, store):
    files = {}
    for name, array in (("left", np.ones((3, 2))), ("right", np.ones((3, 1))), ("y", np.array([2, 0, 1], np.uint8))):
        np.save(tmp_path / f"{name}.npy", array)
        files[name] = plans.file_of(tmp_path / f"{name}.npy")
    found = read_samples(Samples(files["left"].path, "together", 0, arrays=files), store)
    assert (list(found.inputs), len(found), found.labels.tolist()) == (["left", "right"], 3, [2, 0, 1])


def test_arrays_that_were_made_come_from_the_store_or_say_why_not(tmp_path, store):
    samples = plans.samples_of(plans.arrays(tmp_path / "a.npz", x=np.ones((3, 2))), form="arrays", samples=2)
    with pytest.raises(Unmeasured, match="are not in the store"):
        read_samples(samples, store)
    store.fail(samples.key, "the disk is full")
    with pytest.raises(Unmeasured, match="the disk is full"):
        read_samples(samples, store)
    store.put(samples.key, plans.arrays(tmp_path / "made.npz", x=np.ones((2, 2))), suffix=".npz")
    assert len(read_samples(samples, store)) == 2


def test_labels_alone_are_no_set(tmp_path):
    with pytest.raises(UsageError, match="no input array"):
        read_evaluation(plans.arrays(tmp_path / "a.npz", y=np.arange(3)))


@pytest.mark.slow
def test_a_hundred_thousand_samples_are_never_loaded_whole(tmp_path, store):
    """1.2 GB that take no room on the disk: checked, hashed, drawn from, mapped and fed with little memory."""
    path, n, shape = tmp_path / "x.npy", 100_000, (32, 32, 3)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, *shape)).flush()
    given = Input("scan", (None, *shape), "float32")
    tracemalloc.start()
    try:
        assert find_arrays(path).samples == n
        file = plans.file_of(path)
        whole = Samples(file.path, file.sha256, file.bytes)
        evaluation = read_samples(whole, store)
        assert evaluation.at(evaluation.evenly(64)).inputs["x"].shape == (64, *shape)
        fed = singly([inputs_of(whole, [given], lambda _: path)], [given])
        assert next(fed)["scan"].shape == (1, *shape)
        drawn = Samples(file.path, "drawn", 0, making=Making("arrays", {"x": file}, samples=5000, scale={"x": (2.0,)}))
        make(drawn, tmp_path / "drawn.npz", plans.model(path, "keras", [], evaluation=whole), ".")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20, f"{peak / 2**20:.0f} MB of {path.stat().st_size / 2**20:.0f} MB"
