import subprocess
import sys
import tomllib

import pytest
import yaml

from liteproof.init import repository


def test_files_are_written_once_and_then_left_alone(tmp_path):
    assert {became for _, became in repository.write(tmp_path, force=False)} == {"written"}
    assert {became for _, became in repository.write(tmp_path, force=False)} == {"unchanged"}
    (tmp_path / "tox.ini").write_text("[tox]\n")
    assert dict(repository.write(tmp_path, force=False))["tox.ini"] == "kept"
    assert (tmp_path / "tox.ini").read_text() == "[tox]\n"
    assert dict(repository.write(tmp_path, force=True))["tox.ini"] == "replaced"


def test_what_git_leaves_out_is_the_users_once_it_is_there(tmp_path):
    assert "/reports/" in repository.wanted(tmp_path)[".gitignore"].splitlines()
    (tmp_path / ".gitignore").write_text("mine\n")
    assert ".gitignore" not in dict(repository.write(tmp_path, force=True))
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.pytest.ini_options]\ntestpaths = ['tests']\n"),
        ("setup.cfg", "[tool:pytest]\n"),
        ("tox.ini", "[pytest]\n"),
        ("pytest.toml", "[pytest]\n"),
    ],
)
def test_a_configuration_of_pytest_that_is_there_keeps_its_place(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert repository.configured_in(tmp_path) == name
    assert "pytest.ini" not in dict(repository.write(tmp_path, force=True))
    assert repository.judging(tmp_path) == repository.PACKAGED


def test_a_project_without_pytests_table_gets_a_pytest_ini(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'own'\n")
    assert "pytest.ini" in dict(repository.write(tmp_path, force=False))
    assert repository.judging(tmp_path) == "pytest"


def test_the_files_are_what_their_programs_read(tmp_path):
    repository.write(tmp_path, force=False)
    workflow = yaml.safe_load((tmp_path / ".github/workflows/accept.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    scripts = [step["run"] for step in workflow["jobs"]["accept"]["steps"] if "run" in step]
    assert not [script for script in scripts if "${{" in script]
    assert "--no-code" in scripts[-1]
    assert tomllib.loads((tmp_path / "targets.toml").read_text()) == {}
    listed = subprocess.run(
        [sys.executable, "-m", "tox", "list", "--no-desc", "-c", tmp_path / "tox.ini"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert set(listed.stdout.split()) >= {"accept", "signoff", "pi"}, listed.stderr
