"""No false alarm: what both toolchains make of the example models passes every gate on weights and identity."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from liteproof.advice.arena import arena
from liteproof.advice.estimates import estimates, micro_arena
from liteproof.advice.network import of_description
from liteproof.applicability import unmet
from liteproof.checks import METRICS, Verdict, judge
from liteproof.convert.conversion import prepare
from liteproof.manifest.description import describe
from liteproof.manifest.resolve import load_plan
from liteproof.measure import activations, identity, weights
from liteproof.measure.subject import Bench
from liteproof.recipes import RECIPES
from liteproof.store import Store
from liteproof.tflite.facts import expected_bytes
from tests.convert.plans import without_trained

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
    plan = without_trained(load_plan([folder], root=folder, store=store))
    prepare(plan, store)
    bench = Bench(store)
    return [bench.subject(case) for case in plan.cases()]


def measured(case):
    """What the suites identity and dequantization measure of the file."""
    promise, network = case.variant.promise, case.float32_flatbuffer
    yield identity.recipe_mismatches(case.flatbuffer, case.facts, case.float32_facts, promise, network)
    yield identity.float_ops(case.facts, case.float_layers)
    yield identity.interface_mismatches(case.facts, case.float32_facts, case.sample_shapes)
    yield identity.parameter_mismatch(case.matching)
    yield identity.impossible_bytes(case.flatbuffer, case.float32_facts, promise, network)
    yield identity.custom_ops(case.flatbuffer)
    yield identity.unknown_op_versions(case.flatbuffer, "ai_edge_litert", "2.3.0")
    yield weights.weight_error_lsb(case.matching)
    yield weights.bias_error_lsb(case.matching)
    yield weights.weight_correlation(case.matching)
    yield weights.unusable_weights(case.matching)
    if case.variant.promise.quantized_activations:
        yield activations.activation_range_use(case.activation_ranges("evaluation"))


@pytest.mark.slow
def test_healthy_conversions_pass_with_the_default_limits(cases):
    missed = [
        (case, measurement.metric, measurement.value, measurement.detail)
        for case in cases
        for measurement in measured(case)
        if unmet(METRICS[measurement.metric], case.model, case.variant) is None
        and judge(measurement, METRICS[measurement.metric].default).verdict is not Verdict.PASS
    ]
    assert len(cases) >= 8 + len(BY_LITERT)
    assert missed == []


@pytest.fixture(scope="module")
def normalised_behind_relu(tmp_path_factory):
    """A network whose batch normalization follows a ReLU, so that it stays an operator MUL; by both toolchains."""
    store, folder = Store(tmp_path_factory.mktemp("store")), tmp_path_factory.mktemp("models") / "gesture"
    shutil.copytree(MODELS / "gesture", folder)
    with (folder / "model.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('\n[variants.int8_litert]\nrecipe = "int8"\ntoolchain = "litert"\n')
    plan = load_plan([folder], variant_names=["int8", "int16x8", "int8_litert"], root=folder, store=store)
    prepare(plan, store)
    bench = Bench(store)
    return {case.variant.name: bench.subject(case).activation_ranges("evaluation") for case in plan.cases()}


@pytest.mark.slow
def test_int16_behind_a_relu_uses_as_much_of_its_range_as_int8(normalised_behind_relu):
    int8, int16x8 = (activations.activation_range_use(normalised_behind_relu[name]) for name in ("int8", "int16x8"))
    assert int16x8.value == pytest.approx(int8.value, rel=0.01)
    assert judge(int16x8, METRICS["activation_range_use"].default).verdict is Verdict.PASS


@pytest.mark.slow
def test_tensorflows_converter_gives_what_is_overwritten_the_range_of_both(normalised_behind_relu):
    worst = {
        name: min(ranges, key=lambda found: found.use)
        for name, ranges in normalised_behind_relu.items()
        if name != "int16x8"
    }
    assert worst["int8"].place == "FULLY_CONNECTED #0"
    assert worst["int8"].overwritten_by == "MUL #1"
    assert worst["int8_litert"].overwritten_by is None
    assert worst["int8_litert"].use > 0.75


@pytest.mark.slow
def test_what_is_handed_to_no_delegate_the_builtin_kernels_answer_alike(cases):
    """So that the suites need not compute it twice."""
    alone = [case for case in cases if not case.open().hands_over]
    assert "int16x8" in {case.variant.name for case in alone}
    for case in alone:
        few = case.inputs.at(case.inputs.evenly(20)).x
        shipped, builtin = case.open().predict(few), case.open("builtin").predict(few)
        assert [array.tobytes() for array in shipped] == [array.tobytes() for array in builtin]


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


# -- what liteproof advise says beforehand, against what came of it ---------------------------------------------------

SOURCES = {"digits": ("digits.keras", "keras"), "digits-mobilenet": ("mobilenet.h5", "h5")}
# TensorFlow Lite Micro's own word on the int8 files: tflite-micro 0.dev20261023, Interpreter.print_allocations().
MICRO = {"digits": (3072, 3888), "digits-mobilenet": (34560, 72048)}


@pytest.mark.slow
def test_file_sizes_estimated_from_the_keras_file_are_within_a_tenth(cases):
    name = cases[0].model.name
    file, kind = SOURCES[name]
    described = describe(MODELS / name / file, kind)
    network = of_description(described)
    assert network.parameters == cases[0].float32_facts.parameters
    for case in cases:
        if case.variant.name in ("float32", "float16", "dynamic_range", "int8", "int4"):  # by their default toolchains
            ratio = expected_bytes(network, case.variant.recipe) / case.file.bytes
            assert 0.9 <= ratio <= 1.1, f"{case}: {ratio:.3f}"


@pytest.mark.slow
def test_the_arena_estimated_from_the_float32_graph_is_what_micro_allocates(cases):
    activations, own = micro_arena(cases[0].float32_flatbuffer)
    measured = MICRO[cases[0].model.name]
    assert activations == measured[0]
    assert 0.9 <= own / measured[1] <= 1.1
    (int8,) = [case for case in cases if case.variant.name == "int8"]
    assert arena(int8.flatbuffer).bytes == activations


PEAK = """
import sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
it = Interpreter(sys.argv[1], num_threads=1)
it.allocate_tensors()
for given in it.get_input_details():
    it.set_tensor(given["index"], np.ones(given["shape"], given["dtype"]))
it.invoke()
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


@pytest.mark.slow
def test_memory_estimated_for_a_process_is_within_a_quarter(cases):
    for case in cases:
        if case.variant.name in ("float32", "int8"):
            (one,) = estimates(cases[0].float32_facts, (case.variant.recipe,), case.float32_flatbuffer)
            command = [sys.executable, "-c", PEAK, str(case.file.path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
            assert 0.75 <= one.memory / (int(done.stdout) * 1024) <= 1.25
