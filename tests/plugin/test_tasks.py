"""Every task and shape through the whole gate, on files that were converted for it; and what must not pass."""

import json
import os
import subprocess
import sys

import pytest

from tests.plugin.conftest import ROOT, Ended

pytestmark = pytest.mark.slow

HEALTHY = {
    "tabular": {"float32", "int8"},
    "logits": {"float32", "int8"},
    "one-logit": {"float32", "int8"},
    "autoencoder": {"float32", "int8"},
    "tokens": {"float32", "int8", "int8_float_io"},
    "sequences": {"float32", "int8"},
    "twins": {"int8", "own_names"},
    "pixels": {"uint8", "taken"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All models of `tests.plugin.tasks`, judged once."""
    folder = tmp_path_factory.mktemp("tasks")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "LITEPROOF_"))}
    environment |= {"LITEPROOF_STORE": str(folder / "store"), "COLUMNS": "80"}
    make = [sys.executable, "-m", "tests.plugin.tasks", str(folder)]
    subprocess.run(make, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=600)
    options = [f"--models={folder / 'models'}", f"--report-dir={folder / 'reports'}", "-m", "not timing"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "acceptance"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return Ended(done.returncode, done.stdout + done.stderr, folder / "reports")


@pytest.fixture(scope="module")
def checks(run):
    """The checks by model, variant and metric."""
    results = json.loads((run.reports / "latest" / "results.json").read_text())
    assert results["run"]["complete"], run.text
    return {(c["model"], c["variant"], c["metric"]): c for c in results["checks"]}


def test_healthy_files_are_accepted_with_the_default_limits(run):
    verdicts = run.results["verdicts"]
    accepted = {
        model: {name for name, by_target in variants.items() if by_target["host"] in ("PASS", "PROVISIONAL")}
        for model, variants in verdicts.items()
    }
    assert accepted == HEALTHY, run.text
    assert run.status == 1  # the others
    assert "Traceback" not in run.text


def test_labels_are_told_by_their_names(run, checks):
    """Text in y is the number of the class of that name; where it was taken for another, the source would be wrong."""
    assert run.results["models"]["tabular"]["labels"] == ["fist", "palm", "point", "victory", "thumb"]
    assert checks["tabular", "float32", "accuracy"]["value"] > 0.9


def test_logits_are_told_as_such_and_nothing_asks_them_to_be_probabilities(checks):
    assert ("tabular", "int8", "invalid_probabilities") in checks
    assert ("logits", "int8", "invalid_probabilities") not in checks


def test_a_threshold_on_the_probability_decides_one_logit(checks, run):
    """0.2 is a logit of -1.39: at 0 the source would be right more often, and the classes would be others."""
    found = checks["one-logit", "float32", "accuracy"]
    assert 0.5 < found["value"] < checks["one-logit", "float32", "top1_agreement"]["value"] == 1.0
    assert run.results["models"]["one-logit"]["threshold"] == 0.2


def test_samples_are_judged_in_batches_and_alone(checks):
    assert checks["tabular", "int8", "batch_mismatch"]["detail"] == "in batches of 8"


def test_a_regression_is_held_to_r_squared(checks):
    assert (checks["autoencoder", "int8", "r_squared"]["limit"], checks["twins", "int8", "r_squared"]["limit"]) == (
        0.98,
        0.98,
    )
    assert ("autoencoder", "int8", "top1_agreement") not in checks
    assert ("tabular", "int8", "r_squared") not in checks


def test_tokens_enter_as_they_are(checks):
    """The ids are integers without a scale; the other input has codes."""
    assert checks["tokens", "int8", "roundtrip_error_lsb"]["verdict"] == "PASS"
    assert "extra" in checks["tokens", "int8", "roundtrip_error_lsb"]["detail"]


def test_classes_are_told_from_the_output_that_the_manifest_names(checks):
    assert checks["tokens", "float32", "accuracy"]["value"] > 0.8
    assert "output_0" in checks["tokens", "int8", "max_abs_error"]["detail"]  # the box, whose values are larger


def test_the_size_of_an_unrolled_recurrent_network_is_expected(checks):
    found = checks["sequences", "int8", "size_ratio"]
    assert found["value"] > 1  # joined names outweigh the bytes that 8 bits save
    assert 0.1 < found["margin"] / found["value"] < 0.2


@pytest.mark.parametrize("ends", ["outputs", "inputs"])
def test_swapped_ends_fail_and_say_so(checks, ends):
    found = checks["twins", f"swapped_{ends}", "r_squared"]
    assert found["verdict"] == "FAIL"
    assert found["causes"][0].startswith(f"its {ends} are swapped")


def test_ends_that_nothing_tells_apart_are_unmeasured_and_ask(checks):
    found = checks["twins", "untold", "max_abs_error"]
    assert found["verdict"] == "UNMEASURED"
    assert "input_names = {" in found["detail"]


@pytest.mark.parametrize(
    ("variant", "fed"),
    [("wrong", "source × 255 + 0"), ("unsaid", "the source's own values")],
    ids=["wrong", "unsaid"],
)
def test_another_input_domain_fails_and_the_right_one_is_named(checks, variant, fed):
    found = checks["pixels", variant, "top1_agreement"]
    assert found["verdict"] == "FAIL"
    assert found["causes"][0].startswith("its input domain is another one: fed with source × 127.5 + 127.5")
    assert fed in found["causes"][0]
    assert found["causes"][0].endswith("write input_scale = 127.5, input_offset = 127.5")


def test_pixels_are_copied_into_an_integer_input(checks):
    for variant in ("uint8", "taken"):
        assert checks["pixels", variant, "roundtrip_error_lsb"]["value"] == 0.0
        assert checks["pixels", variant, "weight_error_lsb"]["verdict"] == "PASS"
