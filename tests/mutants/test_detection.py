"""The proof: every kind of mutant is caught on both example models, and no healthy variant is refused.

One real run for each model; docs/detection.md is what it shows. Takes some minutes, and two more where the other
sources have to be trained first: name a store with LITEPROOF_STORE to keep them.
"""

import os

import pytest

from liteproof.store import Store
from tests.mutants.detection import detect
from tests.mutants.origins import MODELS
from tests.mutants.table import PAGE, page, structure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detections(tmp_path_factory):
    store = Store.default() if os.environ.get("LITEPROOF_STORE") else Store(tmp_path_factory.mktemp("store"))
    return {model: detect(model, store, tmp_path_factory.mktemp(model)) for model in MODELS}


@pytest.fixture(scope="module", params=MODELS)
def detection(request, detections):
    return detections[request.param]


def test_there_are_at_least_thirty_kinds(detection):
    assert len(detection.mutants) >= 30


def test_every_mutant_is_caught(detection):
    assert detection.harmful_escapes == ()


def test_no_healthy_variant_is_refused(detection):
    assert detection.false_alarms == {}


def test_healthy_variants_are_judged_by_both_toolchains_and_as_files(detection):
    assert {"int8", "int8_litert", "unchanged_int8"} <= set(detection.healthy)


def test_most_are_caught_by_a_gate_that_names_the_tensor(detection):
    named = [judged.names == "tensor" for judged in detection.in_one_layer]
    assert sum(named) > 0.5 * len(named)


def test_explain_lists_the_spoiled_layer_first_or_second(detection):
    assert sum(detection.explained) >= 0.9 * len(detection.explained)


def test_the_plain_script_passes_many_of_them(detection):
    assert len(detection.passed_by_script) >= 10


def test_the_page_tells_what_came_out(detections):
    committed = structure(PAGE.read_text(encoding="utf-8"))
    assert committed == structure(page(detections)), "run: python -m tests.mutants.table"
