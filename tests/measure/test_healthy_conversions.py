"""No false alarm: what both toolchains make of the example models passes every gate on weights and identity."""

import shutil
from pathlib import Path

import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.convert.conversion import prepare
from liteproof.manifest.resolve import load_plan
from liteproof.measure import identity, weights
from liteproof.measure.subject import Bench
from liteproof.plan import unmet
from liteproof.recipes import RECIPES
from liteproof.store import Store

MODELS = Path(__file__).parents[2] / "models"
BY_LITERT = [name for name, recipe in RECIPES.items() if "litert" in recipe.toolchains]


@pytest.fixture(scope="module", params=["digits", "digits-mobilenet"])
def cases(request, tmp_path_factory):
    """Every variant of an example model, by both toolchains, converted."""
    folder = tmp_path_factory.mktemp("models") / request.param
    shutil.copytree(MODELS / request.param, folder)
    with (folder / "model.toml").open("a", encoding="utf-8") as manifest:
        for recipe in BY_LITERT:
            manifest.write(f'\n[variants.{recipe}_by_litert]\nrecipe = "{recipe}"\ntoolchain = "litert"\n')
    store = Store(tmp_path_factory.mktemp("store"))
    plan = load_plan([folder], root=folder, store=store)
    prepare(plan, store)
    bench = Bench(store)
    return [bench.subject(case) for case in plan.cases()]


def measured(case):
    """What the suites identity and dequantization measure of the file."""
    yield identity.recipe_mismatches(case.flatbuffer, case.facts, case.float32_facts, case.variant.promise)
    yield identity.float_ops(case.facts)
    yield identity.interface_mismatches(case.facts, case.float32_facts, case.sample_shapes)
    yield identity.parameter_mismatch(case.matching)
    yield identity.impossible_bytes(case.flatbuffer, case.float32_facts, case.variant.promise)
    yield identity.custom_ops(case.flatbuffer)
    yield identity.unknown_op_versions(case.flatbuffer, "ai_edge_litert", "2.3.0")
    yield weights.weight_error_lsb(case.matching)
    yield weights.bias_error_lsb(case.matching)
    yield weights.weight_correlation(case.matching)
    yield weights.unusable_weights(case.matching)


@pytest.mark.slow
def test_healthy_conversions_pass_with_the_default_limits(cases):
    missed = [
        (case, measurement.metric, measurement.value, measurement.detail)
        for case in cases
        for measurement in measured(case)
        if unmet(METRICS[measurement.metric], case.model, case.variant) is None
        and judge(measurement, METRICS[measurement.metric].default).verdict is not Verdict.PASS
    ]
    assert len(cases) == 8 + len(BY_LITERT)
    assert missed == []


@pytest.mark.slow
def test_float32_gives_the_sources_outputs_to_float_accuracy(cases):
    (case,) = [case for case in cases if case.variant.name == "float32"]
    error = identity.float32_error(*case.float32_beside_source[case.decisive])
    assert judge(error, METRICS["float32_error"].default).verdict is Verdict.PASS


@pytest.mark.slow
def test_no_variant_but_float32_is_taken_for_float32(cases):
    # What the limit of float32_error stands between.
    errors = {
        case.variant.name: identity.float32_error(case.reference, case.outputs).value
        for case in cases
        if case.variant.recipe != "float32"
    }
    assert min(errors.values()) > METRICS["float32_error"].default, errors
