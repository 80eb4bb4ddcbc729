"""`--reuse`: what is taken over, and above all what never is."""

import os
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from liteproof.checks import Check, Verdict
from liteproof.manifest.resolve import load_plan
from liteproof.plan import Accepted, File, OwnMetric
from liteproof.plugin import reuse
from liteproof.plugin.reuse import Earlier, Fingerprints
from liteproof.plugin.signoff import narrowed_by
from liteproof.report.results import Results, Run
from liteproof.report.writer import write
from liteproof.store import Store
from tests.plugin.tiny import MANIFEST, make_model, network

# -- what a fingerprint covers ----------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run's store and runtime, and one case of it."""
    make_model(tmp_path / "models" / "tiny")
    store = Store(tmp_path / "store")
    plan = load_plan([tmp_path / "models"], target_names=("host",), root=tmp_path, store=store)
    case = next(iter(plan.cases()))
    for key in (case.model.float32_key, case.variant.key):
        store.put(key, b"TFL3", suffix=".tflite")
    bench = SimpleNamespace(runtime_of=lambda target: target.runtime or "ai_edge_litert")
    return SimpleNamespace(store=store, bench=bench, case=case)


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "acceptance"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "test_x.py").write_text("def test_x(): pass\n")
    return folder / "test_x.py"


def fingerprint(run, suite, *, case=None, timing=False, name="test_x", plugins=(), measures=(), **options):
    """The fingerprint of a test, as a run of its own finds it."""
    reuse.folder_digest.cache_clear()
    config = SimpleNamespace(
        pluginmanager=SimpleNamespace(get_plugins=lambda: plugins),
        option=SimpleNamespace(benchmark_max_time=1.0, **options),
    )
    item = SimpleNamespace(
        callspec=SimpleNamespace(params={"case": case or run.case}),
        path=suite,
        nodeid=f"acceptance/{suite.name}::{name}",
        config=config,
        get_closest_marker={"timing": timing or None, "measures": SimpleNamespace(args=measures)}.get,
    )
    return Fingerprints(run).of(item)


def test_nothing_changed(run, suite):
    assert fingerprint(run, suite) == fingerprint(run, suite)
    assert fingerprint(run, suite, timing=True) == fingerprint(run, suite, timing=True)


def of_variant(**changed):
    return lambda case: replace(case, variant=replace(case.variant, **changed))


def of_model(**changed):
    return lambda case: replace(case, model=replace(case.model, **changed))


def of_target(**changed):
    return lambda case: replace(case, target=replace(case.target, **changed))


FILE = File("elsewhere", "f" * 64, 1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(of_variant(key="0" * 64), id="variant"),
        pytest.param(of_variant(recipe="float16"), id="recipe"),
        pytest.param(of_variant(budgets={"host": {"top1_agreement": 0.123}}), id="limit"),
        pytest.param(of_variant(regression={"top1_agreement": 0.1}), id="regression"),
        pytest.param(of_variant(accepted={"host": Accepted({"size_ratio": 0.2}, {}, "", "")}), id="baseline"),
        pytest.param(of_model(evaluation=FILE), id="evaluation data"),
        pytest.param(of_model(calibration=None), id="calibration data"),
        pytest.param(of_model(source=FILE), id="source"),
        pytest.param(of_model(float32_key="0" * 64), id="float32"),
        pytest.param(of_model(reference_key="0" * 64), id="reference"),
        pytest.param(of_model(labels=("x", "y", "z")), id="labels"),
        pytest.param(of_model(threshold=0.4), id="threshold"),
        pytest.param(of_model(outputs="logits"), id="outputs"),
        pytest.param(of_model(variants=()), id="siblings"),
        pytest.param(of_model(metrics=(OwnMetric("iou", "m:f", "higher", "f" * 64, "m"),)), id="metric of its own"),
        pytest.param(of_target(runtime="tflite_runtime"), id="runtime"),
        pytest.param(of_target(threads=3), id="threads"),
    ],
)
def test_what_was_changed_is_judged_again(run, suite, change):
    assert fingerprint(run, suite, case=change(run.case)) != fingerprint(run, suite)


def test_content_of_the_store_is_what_counts(run, suite):
    before = fingerprint(run, suite)
    run.store.put(run.case.variant.key, b"another", suffix=".tflite")
    after = fingerprint(run, suite)
    shutil.rmtree(run.store.root)
    assert len({before, after, fingerprint(run, suite)}) == 3


def test_code_of_suites_engine_and_conftest(run, suite, tmp_path, monkeypatch):
    seen = {fingerprint(run, suite)}
    (suite.parent / "helper.py").write_text("LIMIT = 1\n")
    seen.add(fingerprint(run, suite))
    conftest = tmp_path / "conftest.py"
    conftest.write_text("")
    plugin = SimpleNamespace(__file__=str(conftest))
    seen.add(fingerprint(run, suite, plugins=(plugin,)))
    conftest.write_text("x = 1")
    seen.add(fingerprint(run, suite, plugins=(plugin,)))
    monkeypatch.setattr(reuse, "engine_digest", lambda: "another liteproof")
    seen.add(fingerprint(run, suite))
    assert len(seen) == 5


def test_code_that_was_written_while_the_tests_ran(run, suite):
    fingerprints = Fingerprints(run)
    assert not fingerprints.code_changed_since(time.time() + 1, [suite.parent])
    began = time.time() - 1
    suite.write_text("def test_x(): assert False\n")
    os.utime(suite, (1, 1))
    assert fingerprints.code_changed_since(began, [suite.parent])


def test_versions_and_processor(run, suite, monkeypatch):
    before = fingerprint(run, suite)
    monkeypatch.setattr(reuse, "describe_machine", lambda *_: {"numpy": "9.9"})
    after = fingerprint(run, suite)
    monkeypatch.setattr(reuse, "identity", lambda *_: {"processor": "another"})
    assert len({before, after, fingerprint(run, suite)}) == 3


def test_another_machine_changes_times_alone(run, suite, monkeypatch):
    plain, timed = fingerprint(run, suite), fingerprint(run, suite, timing=True)
    monkeypatch.setattr("platform.node", lambda: "another")
    assert fingerprint(run, suite) == plain
    assert fingerprint(run, suite, timing=True) != timed


def test_how_times_are_taken(run, suite):
    more = fingerprint(run, suite, timing=True, benchmark_min_rounds=99)
    assert more != fingerprint(run, suite, timing=True)


def test_each_test_has_its_own(run, suite):
    assert fingerprint(run, suite) != fingerprint(run, suite, name="test_y")


def test_tests_of_other_targets_have_none(run, suite):
    assert fingerprint(run, suite, case=of_target(ssh="pi@pi")(run.case)) is None


def test_tests_of_a_running_service_have_none(run, suite):
    assert fingerprint(run, suite, measures=("top1_agreement", "service_mismatches")) is None
    assert fingerprint(run, suite, measures=("top1_agreement",)) is not None


def test_a_waiver_is_looked_at_anew_each_day(run, suite, monkeypatch):
    waived = of_variant(waivers=({"rule": "bias_scale"},))(run.case)
    before = fingerprint(run, suite, case=waived)
    monkeypatch.setattr(reuse, "date", SimpleNamespace(today=lambda: "2099-01-01"))
    assert fingerprint(run, suite, case=waived) != before


# -- which run it is taken from ---------------------------------------------------------------------------------------


def a_run(reports, second, verdict, *, fingerprints=None, name=None):
    reuse._read.cache_clear()
    id_ = name or f"20261121T1200{second:02}Z-abcdef"
    check = Check("m", "v", "host", "size", "size_ratio", 0.3, 0.4, 0.1, None, None, verdict, "t")
    results = Results(Run(id_, "", "", True, "0", None), checks=(check,), fingerprints=fingerprints or {})
    write(results, reports)
    return id_


def test_newest_run_that_ran_the_test_decides(tmp_path):
    first = a_run(tmp_path, 1, Verdict.PASS, fingerprints={"t": "f"})
    (check,) = Earlier(tmp_path).passed("t", "f")
    assert check.taken_over == first
    a_run(tmp_path, 2, Verdict.FAIL)
    assert Earlier(tmp_path).passed("t", "f") == ()


def test_origin_stays_the_run_that_measured(tmp_path):
    first = a_run(tmp_path, 1, Verdict.PASS, fingerprints={"t": "f"})
    taken = Earlier(tmp_path).passed("t", "f")
    write(
        Results(Run("20261121T120002Z-aaaaaa", "", "", True, "0", None), checks=taken, fingerprints={"t": "f"}),
        tmp_path,
    )
    assert Earlier(tmp_path).passed("t", "f")[0].taken_over == first


def test_other_folders_and_damaged_results_are_passed_over(tmp_path):
    a_run(tmp_path, 1, Verdict.PASS, fingerprints={"t": "f"})
    a_run(tmp_path, 0, Verdict.FAIL, name="sample")
    (tmp_path / "20261121T120009Z-aaaaaa").mkdir()
    (tmp_path / "20261121T120009Z-aaaaaa" / "results.json").write_text("{")
    reuse._read.cache_clear()
    assert len(Earlier(tmp_path).passed("t", "f")) == 1
    assert Earlier(tmp_path).passed("t", "g") == ()
    assert Earlier(tmp_path).passed("t", None) == ()
    assert Earlier(tmp_path / "nowhere").passed("t", "f") == ()


def test_sign_off_is_blocked():
    assert list(narrowed_by(SimpleNamespace(reuse=True))) == ["the run was narrowed by --reuse"]


# -- whole runs -------------------------------------------------------------------------------------------------------

SUITES = ("acceptance/test_size.py", "acceptance/test_agreement.py")


@pytest.mark.slow
def test_what_did_not_change_is_not_run_again(gate, tiny, tmp_path):
    folder = tiny(MANIFEST)
    first = gate(*SUITES, suites="")
    assert first.status == 0, first.text
    found = first.results  # of the latest run, so read before the next one
    tests = len({check["test"] for check in found["checks"]})
    origin = found["run"]["id"]

    second = gate("--reuse", *SUITES, suites="")
    assert second.status == 0, second.text
    assert {check["taken_over"] for check in second.results["checks"]} == {origin}
    assert [c["value"] for c in second.results["checks"]] == [c["value"] for c in found["checks"]]
    assert f"{tests} of {tests} tests taken over, unchanged: {tests} of run {origin}" in second.text
    assert f"{tests} taken over in" in second.text
    assert second.results["run"]["complete"] is True
    for name in ("summary.md", "report.html"):
        assert origin in (second.reports / "latest" / name).read_text()

    # One variant's limit: its own tests alone are judged again, and the FAIL is found.
    (folder / "model.toml").write_text(MANIFEST + "[budgets.copy]\nsize_bytes = 10\n")
    third = gate("--reuse", *SUITES, suites="")
    assert third.status == 1, third.text
    assert third.check("size_bytes", "copy")["verdict"] == "FAIL"
    taken = {check["variant"] for check in third.results["checks"] if check["taken_over"]}
    assert taken == {"float32"}
    of_third = third.results["run"]["id"]

    # A FAIL is judged again, what passed beside it is not.
    fourth = gate("--reuse", *SUITES, suites="")
    assert fourth.status == 1, fourth.text
    assert fourth.check("size_bytes", "copy")["taken_over"] is None
    assert fourth.check("top1_agreement", "copy")["taken_over"] == of_third

    # A changed file under judgement.
    (folder / "model.toml").write_text(MANIFEST)
    (folder / "copy.tflite").write_bytes(network([[0, 8, 0, 0], [8, 0, 0, 0], [0, 0, 8, 0]]))
    fifth = gate("--reuse", *SUITES, suites="")
    assert fifth.status == 1, fifth.text
    assert fifth.check("top1_agreement", "copy")["verdict"] == "FAIL"


@pytest.mark.slow
def test_parallel_workers_are_refused(gate, tiny):
    tiny()
    run = gate("--reuse", "-n2")
    assert run.status == 4
    assert "--reuse in parallel workers" in run.text
