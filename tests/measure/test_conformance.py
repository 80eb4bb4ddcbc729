"""Violations are counted, waivers exempt them, and a waiver that is out of date or idle is a violation itself."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.measure.conformance import has_run_out, spec_violations, today
from liteproof.plan import Waiver
from liteproof.recipes import RECIPES
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build

DAY = date(2026, 11, 20)
WAIVER = Waiver("int8", "weight_zero_point", "made by a vendor's tool", until=date(2027, 3, 31))


def network(*zero_points, name="dense/w"):
    """Dense layers one after the other, each with one zero point of its weights."""
    tensors = [TensorSpec("in", (1, 2), "INT8", scales=(0.5,), zero_points=(0,))]
    operators = []
    for i, zero_point in enumerate(zero_points):
        tensors.append(TensorSpec(f"{name}{i}", (2, 2), "INT8", bytes(4), (0.5,), (zero_point,)))
        tensors.append(TensorSpec(f"dense{i}", (1, 2), "INT8", scales=(0.5,), zero_points=(0,)))
        operators.append(OperatorSpec("FULLY_CONNECTED", (2 * i, 2 * i + 1), (2 * i + 2,)))
    return read_model(build(tensors, operators))


def measured(model, *waivers, day=DAY):
    return spec_violations(model, RECIPES["int8"], waivers, day)


def verdict(measurement):
    return judge(measurement, METRICS["spec_violations"].default).verdict


def test_a_clean_file_passes():
    found = measured(network(0, 0))
    assert (found.value, found.detail, found.causes, found.next) == (0.0, None, (), None)
    assert verdict(found) is Verdict.PASS


def test_violations_are_counted_and_the_first_ones_named():
    found = measured(network(1, 2, 3, 4))
    assert found.value == 4.0
    assert found.detail.splitlines() == [
        "weight_zero_point: FULLY_CONNECTED #0, tensor 1 'dense/w0': found 1, expected 0",
        "weight_zero_point: FULLY_CONNECTED #1, tensor 3 'dense/w1': found 2, expected 0",
        "weight_zero_point: FULLY_CONNECTED #2, tensor 5 'dense/w2': found 3, expected 0",
        "and 1 more",
    ]
    assert verdict(found) is Verdict.FAIL


def test_evidence_has_all_of_them_and_is_json():
    evidence = msgspec.json.decode(msgspec.json.encode(measured(network(1, 2, 3, 4)).evidence))
    assert [violation["tensor"] for violation in evidence["violations"]] == [f"dense/w{i}" for i in range(4)]
    assert evidence["violations"][0]["expected"] == "0"


def test_each_broken_rule_has_its_likely_cause():
    (cause,) = measured(network(1, 2)).causes
    assert cause.startswith("weight_zero_point: ")


def test_a_waiver_exempts_and_is_shown():
    found = measured(network(1, 2), WAIVER)
    assert found.value == 0.0
    assert found.detail == "waived until 2027-03-31: 2 of weight_zero_point (made by a vendor's tool)"
    assert [(w["tensor"], w["reason"], w["until"]) for w in found.evidence["waived"]] == [
        ("dense/w0", WAIVER.reason, "2027-03-31"),
        ("dense/w1", WAIVER.reason, "2027-03-31"),
    ]
    assert verdict(found) is Verdict.PASS


def test_a_waiver_for_one_tensor_leaves_the_others():
    found = measured(network(1, 2), replace(WAIVER, tensor="dense/w1"))
    assert found.value == 1.0
    assert [violation["tensor"] for violation in found.evidence["violations"]] == ["dense/w0"]


def test_a_waiver_may_name_one_of_the_names_that_a_converter_joined():
    joined = network(1, name="net/MatMul;net/Relu;net/w")
    assert measured(joined, replace(WAIVER, tensor="net/Relu")).value == 0.0
    assert measured(joined, replace(WAIVER, tensor="net/Rel")).value == 2.0


def test_a_waiver_for_another_rule_does_not_exempt():
    found = measured(network(1), replace(WAIVER, rule="bias_scale"))
    assert found.value == 2.0
    assert found.detail.splitlines()[1] == "waiver for bias_scale matches nothing"


def test_a_waiver_that_matches_nothing_fails():
    found = measured(network(0), replace(WAIVER, tensor="dense/w0"))
    assert found.detail == "waiver for weight_zero_point at 'dense/w0' matches nothing"
    assert verdict(found) is Verdict.FAIL


def test_a_waiver_that_has_run_out_exempts_nothing_and_fails():
    found = measured(network(1), replace(WAIVER, until=date(2026, 1, 1)))
    assert found.value == 2.0
    assert found.detail.splitlines()[1] == "waiver for weight_zero_point has run out on 2026-01-01"
    assert measured(network(0), replace(WAIVER, until=date(2026, 1, 1))).value == 1.0


def test_two_waivers_may_cover_one_violation():
    assert measured(network(1), WAIVER, replace(WAIVER, tensor="dense/w0", reason="twice")).value == 0.0


@pytest.mark.parametrize(("days", "over"), [(-1, False), (0, False), (1, True)])
def test_a_waiver_holds_on_its_last_day(days, over):
    assert has_run_out(WAIVER, WAIVER.until + timedelta(days=days)) is over


def test_a_waiver_for_a_metric_is_passed_over():
    assert measured(network(0), replace(WAIVER, rule="top1_agreement")).detail is None


def test_a_waiver_that_names_no_rule_is_not_swallowed():
    found = measured(network(0), replace(WAIVER, rule="weight_zero_pint"))
    assert found.value == 1.0
    assert "names no rule" in found.detail


def test_today_is_a_day():
    assert type(today()) is date


def test_the_page_of_the_suite_explains_every_rule():
    from liteproof.tflite.specification import RULES

    page = (Path(__file__).parents[2] / "docs" / "suites" / "quantization_spec.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("### ").strip("`") for line in page.splitlines() if line.startswith("### ")]
    assert headings == list(RULES)
