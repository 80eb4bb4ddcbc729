from dataclasses import replace

import pytest

from liteproof.checks import Verdict
from liteproof.report.signoff import Demand, blockers
from tests.report import check, results

DEMAND = Demand({"digits": ("host",)}, {("digits", "int8", "host"): ("top1_agreement",)})


def test_nothing_blocks_a_run_that_passes_everywhere():
    assert blockers(results(), DEMAND) == ()


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.UNMEASURED, Verdict.PROVISIONAL])
def test_every_verdict_but_pass_blocks(verdict):
    (sentence,) = blockers(results(check(verdict=verdict)), DEMAND)
    assert sentence == f"digits / int8 on host: {verdict} (top1_agreement)"


def test_a_metric_without_a_limit_gates_nothing():
    free = check("size_bytes", 16384.0, None, None)
    assert blockers(results(check(), free), DEMAND) == ()


def test_a_run_that_was_cut_off_blocks():
    cut = results(complete=False)
    cut = replace(cut, run=replace(cut.run, selected=9, ran=4))
    assert blockers(cut, DEMAND) == ("the run was cut off: 4 of 9 tests ran",)


def test_a_target_that_was_not_judged_blocks():
    (sentence,) = blockers(results(), Demand({"digits": ("host", "pi")}))
    assert sentence == "digits was not judged on pi, which its manifest names for release"


def test_a_variant_that_was_not_judged_blocks():
    found = results()
    models = {"digits": {**found.models["digits"], "variants": {"int8": {}, "int4": {}}}}
    (sentence,) = blockers(replace(found, models=models), DEMAND)
    assert sentence == "digits / int4 on host was not judged"


def test_a_rehearsal_target_blocks():
    (sentence,) = blockers(results(), replace(DEMAND, rehearsals=frozenset({"host"})))
    assert "rehearsal" in sentence


def test_a_gate_that_no_test_held_blocks():
    demand = Demand(DEMAND.release, {("digits", "int8", "host"): ("top1_agreement", "loads")})
    assert blockers(results(), demand) == ("digits / int8 on host: no test held loads",)


def test_a_gate_that_was_measured_and_not_held_blocks():
    """A suite that records a metric without the case's limit has not judged it."""
    (sentence,) = blockers(results(check(), check("loads", 1.0, None, None)),
                           Demand(DEMAND.release, {("digits", "int8", "host"): ("loads",)}))  # fmt: skip
    assert "no test held loads" in sentence


def test_objections_and_an_empty_run_block():
    assert blockers(results(), replace(DEMAND, objections=("the work tree is dirty",))) == ("the work tree is dirty",)
    assert "no model was judged" in blockers(results(), Demand({}))
