"""Whole runs: exit status, verdicts, what is written, what is said."""

import os

import numpy as np
import pytest

from tests.plugin.tiny import MANIFEST, make_model, network
from tests.tflite.networks import network_bytes

pytestmark = pytest.mark.slow

QUICK = ("-m", "not timing")


def test_healthy_model_is_accepted_and_every_suite_reports(gate, tiny):
    tiny()
    run = gate(*QUICK)
    assert run.status == 0, run.text
    suites = {check["suite"] for check in run.results["checks"]}
    assert {"size", "agreement", "accuracy", "loads", "outputs", "identity"} <= suites
    assert run.results["verdicts"] == {"tiny": {"float32": {"host": "PASS"}, "copy": {"host": "PASS"}}}
    assert run.results["run"]["complete"] is True
    assert {"results.json", "junit.xml", "summary.md"} <= {p.name for p in (run.reports / "latest").iterdir()}


def test_times_are_measured_or_said_to_be_unmeasured(gate, tiny):
    """On a machine with other work a time may be UNMEASURED; it is never left out, and never green without a value."""
    tiny()
    run = gate("-m", "timing", "--variant=float32")
    times = [c for c in run.results["checks"] if c["suite"] in ("latency", "cold_start")]
    assert {"latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "cold_start_ms", "cpu_ms"} <= {
        c["metric"] for c in times
    }
    for c in times:
        assert (c["value"] is None) == (c["verdict"] == "UNMEASURED"), c
    assert run.status == (1 if "UNMEASURED" in {c["verdict"] for c in times} else 0), run.text


def test_ids_read_alike_in_results(gate, tiny):
    tiny()
    run = gate(*QUICK)
    assert run.check("top1_agreement")["test"] == (
        "acceptance/test_agreement.py::test_top1_agreement[tiny-float32-host]"
    )


def test_missed_gate_fails_with_metric_value_limit_margin_and_test(gate, tiny):
    folder = tiny(MANIFEST + "[budgets.copy]\ntop1_agreement = 0.99\n")
    (folder / "copy.tflite").write_bytes(network([[0, 8, 0, 0], [8, 0, 0, 0], [0, 0, 8, 0]]))
    run = gate(*QUICK)
    assert run.status == 1
    check = run.check("top1_agreement", "copy")
    assert check["verdict"] == "FAIL"
    assert check["margin"] == pytest.approx(check["value"] - 0.99)
    assert f"top1_agreement {check['value']:.4f}, limit ≥ 0.9900, missed by {-check['margin']:.4f}" in run.text
    assert check["test"] in run.text
    assert "FULLY_CONNECTED" in " ".join(check["causes"])
    assert "next: liteproof explain tiny copy" in run.text
    assert run.results["verdicts"]["tiny"]["float32"]["host"] == "PASS"


def test_where_the_source_is_as_wrong_no_layer_of_the_variant_is_blamed(gate, tiny):
    folder = tiny(MANIFEST + "[budgets]\naccuracy = 0.9\n")
    with np.load(folder / "evaluation.npz") as held:
        np.savez(folder / "evaluation.npz", x=held["x"], y=(held["y"] + 1) % 3)
    run = gate(*QUICK)
    check = run.check("accuracy", "copy")
    assert check["verdict"] == "FAIL"
    assert [cause.partition(":")[0] for cause in check["causes"]] == ["the source is no better on these samples"]
    assert "liteproof explain" not in run.text


def test_too_few_samples_are_provisional_and_pass(gate, tiny):
    tiny(MANIFEST + "[budgets]\ntop1_agreement = 0.98\n", n=60)
    run = gate(*QUICK, "--variant=float32")
    assert run.status == 0, run.text
    assert run.check("top1_agreement")["verdict"] == "PROVISIONAL"
    assert "samples would settle it" in run.text


def test_broken_file_fails_loads_and_leaves_the_rest_unmeasured(gate, tiny):
    folder = tiny()
    (folder / "copy.tflite").write_bytes(network()[:200])
    run = gate(*QUICK)
    assert run.status == 1
    assert run.check("loads", "copy")["verdict"] == "FAIL"
    assert run.check("top1_agreement", "copy")["verdict"] == "UNMEASURED"
    assert run.results["verdicts"]["tiny"] == {"float32": {"host": "PASS"}, "copy": {"host": "FAIL"}}
    assert "Traceback" not in run.text


def test_file_that_is_not_there_is_refused_before_anything_runs(gate, tiny):
    (tiny() / "copy.tflite").unlink()
    run = gate(*QUICK)
    assert run.status == 4
    assert "copy.tflite" in run.text
    assert not run.reports.exists()


@pytest.mark.parametrize(
    ("addition", "said"),
    [
        ("[budgets]\ntop1_agrement = 0.9\n", "top1_agreement"),
        ("[budgets.copy]\ntop1_agreement = 1.1\n", "impossible"),
        ("[budgets]\nunheard = 1\n", "unheard"),
    ],
)
def test_wrong_budget_is_refused(gate, tiny, addition, said):
    tiny(MANIFEST + addition)
    run = gate(*QUICK)
    assert run.status == 4
    assert said in run.text
    assert "Traceback" not in run.text


def test_refused_under_xdist_too(gate, tiny):
    tiny(MANIFEST + "[budgets]\ntop1_agrement = 0.9\n")
    run = gate(*QUICK, "-n", "2")
    assert run.status == 4
    assert "top1_agreement" in run.text


def test_xdist_gives_the_same_verdicts_and_never_a_green_time(gate, tiny):
    tiny()
    alone, parallel = gate(*QUICK).results, gate("-n", "2")
    assert parallel.status == 1
    untimed = [c for c in parallel.results["checks"] if c["suite"] not in ("latency", "cold_start", "memory")]
    key = ("model", "variant", "target", "metric", "verdict", "value")
    assert sorted([[c[k] for k in key] for c in untimed], key=str) == sorted(
        [[c[k] for k in key] for c in alone["checks"]], key=str
    )
    assert {c["verdict"] for c in parallel.results["checks"] if c["suite"] == "latency"} == {"UNMEASURED"}


def test_disabled_benchmark_is_unmeasured_and_fails(gate, tiny):
    tiny()
    run = gate("--benchmark-disable", "--variant=float32", "-k", "latency")
    assert run.status == 1
    assert run.check("latency_p50_ms")["verdict"] == "UNMEASURED"
    assert "pytest-benchmark is disabled" in run.text


def test_unknown_target_model_and_variant_are_refused(gate, tiny):
    tiny()
    for option in ("--target=pie", "--model=tinny", "--variant=coppy"):
        run = gate(option)
        assert run.status == 4, run.text
        assert option.partition("=")[2] in run.text


def test_nothing_selected_is_status_5(gate, tiny):
    tiny()
    assert gate("-k", "no_such_test").status == 5


def test_skipped_gates_are_never_green(gate, tiny, tmp_path, monkeypatch):
    tiny()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "not_today.py").write_text(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items: item.add_marker(pytest.mark.skip(reason='not today'))\n"
    )
    run = gate(*QUICK, "-p", "not_today")
    assert run.status == 1
    assert {c["verdict"] for c in run.results["checks"]} == {"UNMEASURED"}
    assert "not today" in run.text


def test_collect_only_converts_and_writes_nothing(gate, tiny, tmp_path, monkeypatch):
    tiny()
    monkeypatch.setenv("LITEPROOF_STORE", str(tmp_path / "fresh"))
    run = gate("--collect-only", "-q")
    assert run.status == 0
    assert "test_top1_agreement[tiny-copy-host]" in run.text
    assert not run.reports.exists()
    assert not list((tmp_path / "fresh").rglob("*.tflite"))


def test_value_after_a_space_is_refused_with_the_cure(gate, tiny, tmp_path):
    tiny()
    run = gate("--models", str(tmp_path / "models"), models=False)
    assert run.status == 4
    assert f"--models={tmp_path / 'models'}" in run.text


def test_reports_never_replace_what_a_user_made(gate, tiny, tmp_path):
    tiny()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "latest").write_text("mine")
    gate(*QUICK)
    assert (tmp_path / "reports" / "latest").read_text() == "mine"


def test_table_fits_80_columns(gate, tiny, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    tiny()
    lines = gate(*QUICK).text.partition("= liteproof =")[2].splitlines()[1:]
    table = lines[: next(i for i, line in enumerate(lines) if "accepted" in line)]
    assert table
    assert max(map(len, table)) <= 80


def test_a_metric_that_cannot_apply_is_not_collected(gate, tiny):
    tiny()
    run = gate("--collect-only", "-q")
    assert "test_top5_agreement" not in run.text
    assert "NOTSET" not in run.text


def test_a_run_without_suites_is_left_alone(pytester):
    pytester.makepyfile("def test_own(): pass")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert not [line for line in result.outlines if "liteproof" in line and not line.startswith("plugins:")]
    assert not (pytester.path / "reports").exists()


@pytest.mark.slow
def test_store_is_kept_within_its_limit(gate, tiny, tmp_path, monkeypatch):
    tiny()
    monkeypatch.setenv("LITEPROOF_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("LITEPROOF_STORE_LIMIT", "1B")
    run = gate("-k", "test_size_ratio or test_loads")
    assert run.status == 0, run.text
    assert "store: its limit is reached" in run.text
    assert list((tmp_path / "store" / "blobs").iterdir()) == []


@pytest.mark.slow
def test_a_store_that_cannot_be_pruned_fails_no_run(gate, tiny, tmp_path, monkeypatch):
    tiny()
    monkeypatch.setenv("LITEPROOF_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("LITEPROOF_STORE_LIMIT", "1B")
    (tmp_path / "store" / "pins").mkdir(parents=True)
    (tmp_path / "store" / "pins" / "r.json").write_text("{")
    run = gate("-k", "test_size_ratio or test_loads")
    assert run.status == 0, run.text
    assert "the store was not pruned: a pin cannot be read" in run.text


@pytest.mark.slow
def test_wrong_limit_of_the_store_is_told_first(gate, tiny):
    tiny()
    run = gate("-o", "liteproof_store_limit=plenty")
    assert run.status == 4
    assert "'plenty' is no size" in run.text


def test_select_operators_are_told_before_and_after(gate, tmp_path):
    """Where the manifest allows them, what they cost is said before anything runs, and stands in the report."""
    folder = make_model(tmp_path / "models" / "tiny")
    (folder / "own.tflite").write_bytes(network_bytes(custom="FlexErf"))
    (folder / "model.toml").write_text(
        MANIFEST + '\n[variants.own]\nfile = "own.tflite"\nrecipe = "float32"\nselect_tf_ops = true\n'
    )
    ended = gate("--variant=own", suites="acceptance/test_identity.py")
    before = ended.text.index("own of tiny has Select TF operators (FlexErf), judged on host: Select TF operators need")
    assert before < ended.text.index("acceptance/test_identity.py")
    assert ended.check("custom_ops", "own")["verdict"] == "PASS"
    assert ended.check("custom_ops", "own")["detail"].startswith("FlexErf; Select TF operators need TensorFlow's own")
    assert ended.check("unknown_op_versions", "own")["verdict"] == "FAIL"


def test_garbage_is_collected_where_tests_run(gate, tiny, tmp_path, monkeypatch):
    """It is left off only until then: a run of many cases would grow without it."""
    tiny()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "notes.py").write_text(
        "import gc\n"
        f"def note(when): print(when, gc.isenabled(), file=open({str(tmp_path / 'notes.txt')!r}, 'a'))\n"
        "def pytest_collection_finish(): note('collected')\n"
        "def pytest_pyfunc_call(): note('runs')\n"
        "def pytest_terminal_summary(): note('ends')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugins"), prepend=os.pathsep)
    run = gate("-p", "notes", "--variant=copy", "-k", "test_size", *QUICK)
    noted = set((tmp_path / "notes.txt").read_text().splitlines())
    assert noted == {"collected False", "runs True", "ends True"}, run.text
