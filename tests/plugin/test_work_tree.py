"""The state of small work trees."""

import subprocess

import pytest

from liteproof.plugin.work_tree import state_of


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "model.toml").write_text("")
    (folder / ".gitignore").write_text("*.pyc\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=x")
    return folder


def problems(tree):
    return " ".join(state_of([tree, tree / "models"], leaving_out=tree / "reports").problems)


def test_a_clean_tree(tree):
    state = state_of([tree, tree / "models"], leaving_out=tree / "reports")
    assert state.problems == ()
    assert len(state.revision) == 40


@pytest.mark.parametrize("name", ["models/model.toml", "models/new.npz", "reports.toml"])
def test_changed_and_unknown_files(tree, name):
    (tree / name).write_text("changed")
    assert f"dirty: {name}" in problems(tree)


@pytest.mark.parametrize("name", ["reports/r1/results.json", "models/x.pyc"])
def test_reports_and_ignored_files_are_no_dirt(tree, name):
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text("new")
    assert problems(tree) == ""


def test_a_staged_and_a_deleted_file(tree):
    (tree / "models" / "model.toml").unlink()
    (tree / "staged").write_text("x")
    git(tree, "add", "staged")
    assert "models/model.toml" in problems(tree)
    assert "staged" in problems(tree)


def test_a_name_with_a_line_break(tree):
    (tree / "a\nb").write_text("x")
    assert "dirty: " in problems(tree)


def test_no_commit_yet(tmp_path):
    git(tmp_path, "init", "--quiet")
    state = state_of([tmp_path], leaving_out=tmp_path / "reports")
    assert "no commit yet" in " ".join(state.problems)
    assert state.revision is None


def test_no_tree(tmp_path):
    assert "is in no git work tree" in " ".join(state_of([tmp_path], leaving_out=tmp_path / "r").problems)


def test_models_in_a_tree_of_their_own(tree, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message=x")
    (other / "new").write_text("x")
    assert "dirty: new" in " ".join(state_of([tree, other], leaving_out=tree / "reports").problems)
