"""Sign-offs of a tiny model in a repository of its own: what is granted, what blocks, and what is left behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.conftest import ROOT, Ended
from tests.plugin.tiny import MANIFEST, make_model, network

pytestmark = pytest.mark.slow

# These measure times, which are UNMEASURED on a machine that does something else too.
TIMED = ("test_latency.py", "test_cold_start.py")
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")


def git(folder, *arguments):
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=x")


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A repository as a user has it: suites, one model, everything committed."""
    folder = tmp_path_factory.mktemp("template")
    shutil.copytree(ROOT / "acceptance", folder / "acceptance", ignore=shutil.ignore_patterns("__pycache__", *TIMED))
    make_model(folder / "models" / "tiny")
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = acceptance\n")
    (folder / ".gitignore").write_text("__pycache__/\n")  # and not reports/: a run's own folder is no dirt
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


@pytest.fixture
def repository(template, tmp_path):
    return Path(shutil.copytree(template, tmp_path / "repository"))


@pytest.fixture(scope="session")
def sign_off(store):
    """Run `pytest --signoff` in a repository."""

    def run(repository, *options, signoff=True):
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTEST_ADDOPTS", "GITHUB_ACTIONS")}
        environment |= {"LITEPROOF_STORE": str(store), "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *["--signoff"][: int(signoff)], *options]
        done = subprocess.run(
            command, cwd=repository, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        return Ended(done.returncode, done.stdout + done.stderr, repository / "reports")

    return run


@pytest.fixture(scope="session")
def granted(template, sign_off, tmp_path_factory):
    """One sign-off that is granted."""
    folder = Path(shutil.copytree(template, tmp_path_factory.mktemp("granted") / "repository"))
    return sign_off(folder)


def refused(run, sentence):
    """The run was no sign-off, and says why."""
    assert run.status != 0, run.text
    section = run.results["signoff"]
    assert (section["requested"], section["granted"]) == (True, False)
    assert any(sentence in found for found in section["blocked_by"]), section["blocked_by"]
    assert "sign-off refused" in run.text
    assert sentence in run.text
    assert not (run.reports / "latest" / "release").exists()
    return section["blocked_by"]


# -- granted ----------------------------------------------------------------------------------------------------------


def test_a_healthy_model_in_a_clean_tree_is_signed_off(granted):
    assert granted.status == 0, granted.text
    assert granted.results["signoff"]["blocked_by"] == []
    assert granted.results["signoff"]["granted"] is True
    assert granted.results["signoff"]["release"] == {"tiny": ["host"]}
    assert "sign-off granted" in granted.text
    assert "tiny on host: ship float32" in granted.text


def test_the_release_folder_holds_what_is_promised(granted):
    folder = granted.reports / "latest" / "release" / "tiny"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {
        "copy/tiny-copy.tflite", "copy/model-info.json", "copy/labels.txt", "float32/tiny-float32.tflite",
        "accepted.json", "results.json", "statement.json", "SHA256SUMS",
    }  # fmt: skip
    assert (folder / "copy" / "labels.txt").read_text() == "a\nb\nc\n"
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
    assert done.returncode == 0


def test_the_statement_names_what_the_outcome_rests_on(granted):
    document = json.loads((granted.reports / "latest" / "release" / "tiny" / "statement.json").read_text())
    names = {entry.get("name") or entry.get("uri") for entry in document["predicate"]["configuration"]}
    assert names >= {
        "results.json", "models/tiny/model.toml", "models/tiny/tiny.tflite", "models/tiny/evaluation.npz",
        "models/tiny/calibration.npz", "acceptance/test_agreement.py", "pytest.ini", "liteproof",
    }  # fmt: skip
    assert any(name.startswith("pkg:pypi/ai-edge-litert@") for name in names)
    for entry in document["predicate"]["configuration"]:
        assert entry.get("digest") or entry.get("uri"), entry


def test_a_run_leaves_the_tree_as_clean_as_it_was(granted):
    """`accepted.json` goes to the release folder, so that a second sign-off of the same commit is possible."""
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=granted.reports.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout == "?? reports/\n"


def test_verify_accepts_the_file_and_refuses_it_with_one_byte_changed(granted, tmp_path):
    release = granted.reports / "latest" / "release" / "tiny"
    file = release / "copy" / "tiny-copy.tflite"
    ask = [sys.executable, "-m", "liteproof.cli", "verify", "--signoff", str(release / "statement.json")]
    healthy = subprocess.run([*ask, str(file)], capture_output=True, text=True, check=False)
    assert healthy.returncode == 0, healthy.stderr
    assert "accepted: tiny-copy.tflite is copy of tiny" in healthy.stdout
    assert "top1_agreement 1.0000, limit ≥ 0.9900" in healthy.stdout
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / file.name).write_bytes(changed)
    refusal = subprocess.run([*ask, str(tmp_path / file.name)], capture_output=True, text=True, check=False)
    assert refusal.returncode == 1
    assert "was not accepted" in refusal.stderr


def test_recommend_prints_the_released_file(granted):
    ask = [sys.executable, "-m", "liteproof.cli", "recommend", str(granted.reports / "latest")]
    done = subprocess.run(ask, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_file()
    assert "release/tiny/float32" in done.stdout


# -- what blocks ------------------------------------------------------------------------------------------------------
# One suite is enough to end a run that is refused anyway; the sentence that each test looks for is its own.

ONE = "acceptance/test_size.py"


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (("-k", "size"), ("narrowed by -k", "collected tests were left out")),
        (("-x", "-m", "not timing", ONE), ("narrowed by -x", "narrowed by -m")),
        (("--ignore=acceptance/test_accuracy.py", "-k", "size"), ("suites were left out: test_accuracy.py",)),
        ((f"{ONE}::test_size",), ("narrowed to single tests", "suites were left out: test_accuracy.py")),
    ],
)
def test_a_narrowed_run_is_no_sign_off(repository, sign_off, options, sentences):
    run = sign_off(repository, *options)
    for sentence in sentences:
        refused(run, sentence)


def test_times_are_not_measured_in_parallel(repository, sign_off):
    refused(sign_off(repository, "-n", "1", ONE), "narrowed by -n")


def test_tests_left_out_by_a_conftest_are_noticed(repository, sign_off):
    (repository / "conftest.py").write_text("def pytest_collection_modifyitems(items): del items[-1:]\n")
    commit(repository)
    refused(sign_off(repository, ONE), "1 collected tests were left out")


def test_a_dirty_tree_blocks_unless_waived(repository, sign_off):
    (repository / "models" / "tiny" / "notes.txt").write_text("new")
    refused(sign_off(repository, ONE), "the work tree is dirty: models/tiny/notes.txt")
    waived = sign_off(repository, "--no-vcs", ONE)
    assert not any("work tree" in sentence for sentence in waived.results["signoff"]["blocked_by"])
    assert waived.results["signoff"]["no_vcs"] is True


def test_no_tree_at_all_blocks(repository, sign_off):
    shutil.rmtree(repository / ".git")
    refused(sign_off(repository, ONE), "is in no git work tree")


def test_a_clean_tree_is_no_blocker(repository, sign_off):
    blocked_by = refused(sign_off(repository, ONE), "suites were left out")
    assert not any("work tree" in sentence for sentence in blocked_by)


def test_a_missed_gate_blocks(repository, sign_off):
    (repository / "models" / "tiny" / "model.toml").write_text(MANIFEST + "[budgets.copy]\nsize_ratio = 0.5\n")
    commit(repository)
    refused(sign_off(repository, ONE), "tiny / copy on host: FAIL (size_ratio)")


def test_a_provisional_gate_blocks(repository, sign_off):
    shutil.rmtree(repository / "models" / "tiny")
    make_model(repository / "models" / "tiny", MANIFEST + "[budgets]\ntop1_agreement = 0.98\n", n=60)
    commit(repository)
    refused(sign_off(repository, "acceptance/test_agreement.py"), "float32 on host: PROVISIONAL (top1_agreement)")


def test_a_skipped_gate_blocks(repository, sign_off):
    (repository / "conftest.py").write_text(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items: item.add_marker(pytest.mark.skip(reason='not today'))\n"
    )
    commit(repository)
    refused(sign_off(repository, ONE), "UNMEASURED (size_ratio")


def test_a_gate_that_no_test_holds_blocks(repository, sign_off):
    """Suites of one's own may leave a metric out; the budget for it stays."""
    (repository / "acceptance" / "test_loads.py").unlink()
    commit(repository)
    held = [sentence for sentence in refused(sign_off(repository, ONE), "no test held") if "no test held" in sentence]
    assert all("loads" in sentence for sentence in held)


def test_a_test_that_fails_beside_the_gates_blocks(repository, sign_off):
    (repository / "acceptance" / "test_ours.py").write_text("def test_ours(case): raise RuntimeError('ours')\n")
    commit(repository)
    refused(sign_off(repository, ONE, "acceptance/test_ours.py"), "failed without missing a gate")


def test_a_release_target_that_was_not_judged_blocks(repository, sign_off):
    (repository / "targets.toml").write_text(f'[other]\npython = "{sys.executable}"\n')
    (repository / "models" / "tiny" / "model.toml").write_text(MANIFEST + '[release]\ntargets = ["host", "other"]\n')
    commit(repository)
    refused(sign_off(repository, "--target=host", ONE), "tiny was not judged on other")


def test_a_rehearsal_target_blocks(repository, sign_off):
    (repository / "targets.toml").write_text("[host]\nrehearsal = true\n")
    commit(repository)
    refused(sign_off(repository, ONE), "host is a rehearsal target")


@pytest.mark.parametrize("blow", ["raise KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_a_run_cut_off_half_way_is_never_a_sign_off(repository, sign_off, blow):
    (repository / "conftest.py").write_text(
        "import os, signal\n"
        "ended = []\n"
        "def pytest_runtest_logfinish(nodeid):\n"
        "    ended.append(nodeid)\n"
        f"    if len(ended) == 3: {blow}\n"
    )
    commit(repository)
    run = sign_off(repository, "acceptance/test_size.py", "acceptance/test_agreement.py")
    assert run.status == 2
    assert refused(run, "the run was cut off: 3 of ")[0].startswith("the run was cut off")
    assert run.results["run"]["complete"] is False
    summary = (run.reports / "latest" / "summary.md").read_text()
    assert "This run was cut off" in summary.split("|")[0]


def test_nothing_checked_is_no_sign_off(repository, sign_off):
    run = sign_off(repository, "-k", "no_such_test")
    assert run.status == 5
    assert not run.reports.exists()


def test_a_run_that_was_not_asked_says_nothing_of_a_sign_off(repository, sign_off):
    run = sign_off(repository, ONE, signoff=False)
    assert run.status == 0, run.text
    assert "signoff" not in run.results
    assert "sign-off" not in run.text


# -- where ------------------------------------------------------------------------------------------------------------


def test_the_manifest_says_where(repository, sign_off):
    """Without --target a model is judged on its own release targets, and on no other model's."""
    (repository / "targets.toml").write_text(f'[host]\n\n[other]\npython = "{sys.executable}"\n')
    make_model(repository / "models" / "second", MANIFEST + '[release]\ntargets = ["other"]\n')
    commit(repository)
    run = sign_off(repository, "--collect-only", "-q", ONE)
    assert "test_size[tiny-float32-host]" in run.text
    assert "test_size[second-float32-other]" in run.text
    assert "test_size[second-float32-host]" not in run.text
    assert "test_size[tiny-float32-other]" not in run.text


def test_only_models_whose_inputs_changed_are_judged(repository, sign_off):
    make_model(repository / "models" / "second")
    commit(repository)
    untouched = sign_off(repository, "--changed-since=HEAD", ONE, signoff=False)
    assert untouched.status == 5
    assert "no model's inputs changed since HEAD" in untouched.text
    assert not untouched.reports.exists()
    (repository / "models" / "second" / "copy.tflite").write_bytes(network([[9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0]]))
    run = sign_off(repository, "--changed-since=HEAD", ONE, signoff=False)
    assert set(run.results["verdicts"]) == {"second"}
    wrong = sign_off(repository, "--changed-since=no-such", ONE, signoff=False)
    assert wrong.status == 4
    assert "there is no revision 'no-such'" in wrong.text


def test_store_keeps_what_was_signed_off(granted, store):
    pins = [json.loads(path.read_text()) for path in (store / "pins").iterdir()]
    (pin,) = (pin for pin in pins if granted.results["run"]["id"] in pin["origin"])
    variants = granted.results["models"]["tiny"]["variants"]
    assert set(pin["sha256"]) == {facts["sha256"] for facts in variants.values()}
