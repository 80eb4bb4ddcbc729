"""What tflite-runtime 2.14 makes of both digit models on aarch64: real Arm code, over a real ssh."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from liteproof.convert.conversion import prepare
from liteproof.manifest.resolve import load_plan
from liteproof.store import Store
from liteproof.targets.bundle import code_files
from tests.boards.board import ROOT

pytestmark = pytest.mark.slow

HEALTHY = ("float32", "float16", "int8", "uint8", "int8_float_io", "int16x8")
MODELS = ("digits", "digits-mobilenet")
SAMPLES = 50


@pytest.fixture(scope="module")
def answers(emulated_pi):
    """What became of each variant of each model over there, and all that was written to standard error."""
    store = Store.default()
    plan = load_plan([ROOT / "models"], root=ROOT, store=store)
    prepare(plan, store)
    for name, content in code_files({}):
        emulated_pi.put(f"code/{name}", content)
    for model in plan.models:
        files = {f"{variant.name}.tflite": store.get(variant.key).path for variant in model.variants}
        files |= {"reference.npz": store.get(model.reference_key).path, "evaluation.npz": Path(model.evaluation.path)}
        for name, path in files.items():
            emulated_pi.put(f"{model.name}/{name}", path.read_bytes())
    emulated_pi.put("judge_there.py", Path(__file__).with_name("judge_there.py").read_bytes())
    python = emulated_pi.board.python
    command = ("env", "PYTHONPATH=code", python, "judge_there.py", str(SAMPLES), *MODELS)
    done = emulated_pi.board.ssh(*command, timeout_s=400)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {(each["model"], each["variant"]): each for each in told}, done.stderr


def test_board_is_an_arm_and_says_that_it_is_emulated(emulated_pi_board):
    source = (ROOT / "src/liteproof/targets/survey.py").read_text()
    program = f"{source}\nimport json; print(json.dumps(survey(['numpy'])))"
    facts = json.loads(emulated_pi_board.ssh(emulated_pi_board.python, "-", stdin=program).stdout)
    assert (facts["machine"], facts["bits"], facts["throttled"]) == ("aarch64", 64, 0)
    assert facts["packages"] == {"numpy": "1.26.4", "tflite-runtime": "2.14.0"}
    assert "EMULATED" in facts["model"]
    assert facts["emulated"]
    assert emulated_pi_board.target.rehearsal


@pytest.mark.parametrize("variant", HEALTHY)
@pytest.mark.parametrize("model", MODELS)
def test_healthy_variants_answer_as_the_source_does(answers, model, variant):
    answer = answers[0][model, variant]
    assert (answer["became"], answer["finite"]) == ("answered", 1.0), answer
    assert answer["agreement"] >= 0.98


@pytest.mark.parametrize("model", MODELS)
def test_float32_answers_as_on_this_machine(answers, model):
    assert answers[0][model, "float32"]["largest_error"] < 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_dynamic_range_with_a_dense_layer_is_refused_for_its_operator_version(answers, model):
    answer = answers[0][model, "dynamic_range"]
    assert answer["became"] == "refused"
    assert re.search("FULLY_CONNECTED' version '1[0-9]'", answer["reason"])


@pytest.mark.parametrize("model", MODELS)
def test_int4_kills_its_process_or_answers_nonsense(answers, model):
    """This runtime reads packed 4-bit weights as 8-bit ones, past their end; what it finds there differs."""
    answer = answers[0][model, "int4"]
    if answer["became"] == "died":
        assert answer["signal"] in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
    else:
        assert answer["became"] == "answered"
        assert answer["finite"] < 1 or answer["agreement"] < 0.5


def test_xnnpack_is_in_use(answers):
    assert "XNNPACK delegate" in answers[1]


def test_a_power_cut_ends_everything_and_leaves_the_card(emulated_pi):
    board = emulated_pi.board
    assert board.ssh("sh", "-c", "echo kept > card; (sleep 100 &) >/dev/null 2>&1").returncode == 0
    assert [line for line in emulated_pi.programs().values() if "sleep 100" in line]
    emulated_pi.power_cut()
    assert emulated_pi.processes() == []
    assert board.ssh("true").returncode == 255
    emulated_pi.start()
    assert board.ssh("cat", "card").stdout == "kept\n"


def test_a_frozen_board_answers_when_it_thaws(emulated_pi):
    emulated_pi.freeze()
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            emulated_pi.board.ssh("true", timeout_s=4)
    finally:
        emulated_pi.thaw()
    assert emulated_pi.board.ssh("true").returncode == 0


def test_firmware_says_what_a_test_wants(emulated_pi):
    emulated_pi.firmware.throttled(0x50005)
    assert emulated_pi.board.ssh("vcgencmd", "get_throttled").stdout == "throttled=0x50005\n"
    emulated_pi.firmware.throttled(0)


def test_the_suites_run_there_and_their_verdicts_come_back(emulated_pi, tmp_path):
    """By the whole way: a variant that is sound, one that is refused, one that kills its process."""
    board = emulated_pi.board
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "test_loads or test_top1_agreement"]
    command += [f"--target={board.name}", f"--targets={board.targets_toml}", f"--report-dir={tmp_path}"]
    command += ["--model=digits-mobilenet", *(f"--variant={name}" for name in ("int8", "int4", "dynamic_range"))]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **board.environment, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 1, done.stdout + done.stderr
    results = json.loads((tmp_path / "latest" / "results.json").read_text())
    assert results["targets"][board.name]["machine"] == "aarch64"
    assert results["targets"][board.name]["runtime"].startswith("tflite_runtime 2.14")
    found = {(check["variant"], check["metric"]): check for check in results["checks"]}
    assert {key: check["verdict"] for key, check in found.items()} == {
        ("int8", "loads"): "PASS",
        ("int8", "top1_agreement"): "PASS",
        ("int4", "loads"): "FAIL",
        ("int4", "top1_agreement"): "UNMEASURED",
        ("dynamic_range", "loads"): "FAIL",
        ("dynamic_range", "top1_agreement"): "UNMEASURED",
    }
    assert "FULLY_CONNECTED" in found["dynamic_range", "loads"]["detail"]
    assert "died of SIG" in found["int4", "loads"]["detail"]
    assert [line for line in emulated_pi.programs().values() if "pytest" in line] == []
