import math

import numpy as np
import pytest

from liteproof.convert.conversion import prepare
from liteproof.manifest.resolve import load_plan
from liteproof.measure import remembered, subject
from liteproof.measure.probe import Outcome
from liteproof.measure.subject import Bench
from liteproof.store import Store
from tests.plugin.tiny import make_model

RAN_ON = {"runtime": "one"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


class Once:
    """Makes something, and says how often it was asked to."""

    def __init__(self, made):
        self.made = made
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.made


def test_answers_are_computed_once_for_what_decides_them(store):
    infer = Once([(np.zeros((2, 3), np.float32), np.ones(2)), (np.ones((1, 3), np.float32), np.ones(1))])
    first = remembered.answers(store, "file", "samples", RAN_ON, infer)
    again = remembered.answers(store, "file", "samples", RAN_ON, infer)
    assert infer.asked == 1
    assert [array.shape for array in first] == [(3, 3), (3,)]
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    for other in (("other", "samples", RAN_ON), ("file", "others", RAN_ON), ("file", "samples", {"runtime": "two"})):
        remembered.answers(store, *other, infer)
    assert infer.asked == 4


def test_what_was_seen_comes_back_as_it_was(store):
    seen = Once({3: (-1.5, 2.0), 17: (math.inf, -math.inf), 4: (0.1, 0.1)})
    assert remembered.seen(store, "file", "samples", RAN_ON, seen) == seen.made
    assert remembered.seen(store, "file", "samples", RAN_ON, seen) == seen.made
    assert seen.asked == 1


def test_a_network_without_activations_has_been_seen_too(store):
    assert remembered.seen(store, "file", "samples", RAN_ON, Once({})) == {}
    assert remembered.seen(store, "file", "samples", RAN_ON, Once({1: (0.0, 1.0)})) == {}


@pytest.mark.parametrize(("kind", "asked"), [("ok", 1), ("died", 1), ("hung", 2), ("memory", 2)])
def test_trouble_of_the_moment_is_not_remembered(store, kind, asked):
    probe = Once(Outcome(kind, "as it was", "load", "one"))
    for _ in range(2):
        assert remembered.outcome(store, "file", RAN_ON, probe) == probe.made
    assert probe.asked == asked


def test_layers_are_traced_once(store):
    drift = Once((("CONV_2D #0", 0.5), ("RELU #1", None)))
    for _ in range(2):
        assert remembered.drift(store, "file", "float32", "samples", RAN_ON, drift) == drift.made
    assert drift.asked == 1


@pytest.mark.parametrize("verdict", [True, False])
def test_batches_are_tried_at_once_and_once(store, verdict):
    ends = Once(verdict)
    begins = Once(ends)
    same = remembered.same_in_batches(store, "file", "samples", RAN_ON, begins)
    assert (begins.asked, ends.asked) == (1, 0)  # at work, and not waited for yet
    assert same() is verdict
    assert same() is verdict
    assert remembered.same_in_batches(store, "file", "samples", RAN_ON, begins)() is verdict
    assert (begins.asked, ends.asked) == (1, 1)


def test_a_case_that_was_judged_before_opens_no_file(tmp_path, store, monkeypatch):
    folder = make_model(tmp_path / "tiny")
    plan = load_plan([folder], variant_names=["copy"], root=tmp_path, store=store)
    prepare(plan, store)
    (case,) = plan.cases()

    def told(of):
        ranges = [of.activation_ranges(on) for on in ("calibration", "evaluation")]
        classes = of.right_on_both_sets(of.calibration.labels)
        return [of.outputs, of.rerun(), of.in_batches(), of.by_kernels, of.drift, ranges, classes]

    first = told(Bench(store).subject(case))

    def opened(*_arguments, **_options):
        raise AssertionError("a file was opened")

    monkeypatch.setattr(subject, "open_session", opened)
    assert repr(told(Bench(store).subject(case))) == repr(first)
    with pytest.raises(AssertionError, match="opened"):
        Bench(store).subject(case).open()
