"""The workflow files parse, and every command and option in them exists."""

import argparse
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from liteproof import cli, plugin

ROOT = Path(__file__).parents[2]
GITHUB = sorted((ROOT / "docs" / "ci" / "github").glob("*.yml"))
GITLAB = ROOT / "docs" / "ci" / "gitlab" / ".gitlab-ci.yml"
PAGES = (ROOT / "docs" / "release.md", ROOT / "docs" / "ci" / "README.md")
GITLAB_KEYWORDS = {"default", "stages", "variables"}


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def github_scripts(path):
    return [step["run"] for job in load(path)["jobs"].values() for step in job["steps"] if "run" in step]


def gitlab_jobs():
    return {name: job for name, job in load(GITLAB).items() if name not in GITLAB_KEYWORDS}


def scripts():
    for path in GITHUB:
        for number, script in enumerate(github_scripts(path)):
            yield pytest.param(script, id=f"{path.name}-{number}")
    for name, job in gitlab_jobs().items():
        yield pytest.param("\n".join(job["script"]), id=f"gitlab-{name}")
    for path in PAGES:
        for number, block in enumerate(re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)):
            yield pytest.param(block, id=f"{path.name}-{number}")


def commands(script, program):
    """The argument lists that a script calls a program with."""
    joined = script.replace("\\\n", " ")
    for line in joined.splitlines():
        words = shlex.split(line, comments=True)
        for at, word in enumerate(words):
            if word == program and (at == 0 or words[at - 1] in ("&&", "||", "then", "-m", ";")):
                rest = words[at + 1 :]
                ends = [i for i, w in enumerate(rest) if w in ("&&", "||", "|", ";", ">") or w.endswith(";")]
                yield rest[: ends[0]] if ends else rest


class _Options:
    """Takes the names of the options that the plugin adds."""

    def __init__(self):
        self.names = set()

    def getgroup(self, *_):
        return self

    def addoption(self, *names, **_):
        self.names |= {name for name in names if name.startswith("-")}

    def addini(self, *_, **__):
        pass


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_github_workflows_have_what_github_asks_for(path):
    document = load(path)
    assert True in document, "yaml reads the key `on` as true"
    assert document["permissions"], "each says what its token may do"
    for job in document["jobs"].values():
        assert job["runs-on"]
        assert job["timeout-minutes"]
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


@pytest.mark.parametrize("script", list(scripts()))
def test_scripts_are_shell(script):
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", list(scripts()))
def test_pytest_options_exist(script):
    options = _Options()
    plugin.pytest_addoption(options)
    for words in commands(script, "pytest"):
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in options.names | {"--pyargs"}


@pytest.mark.parametrize("script", list(scripts()))
def test_liteproof_commands_exist(script):
    for words in commands(script, "liteproof"):
        assert isinstance(cli._parser().parse_args(words), argparse.Namespace)


@pytest.mark.parametrize("script", list(scripts()))
def test_extras_and_environments_exist(script):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for names in re.findall(r"liteproof\[([^]]+)\]", script):
        assert set(names.split(",")) <= set(extras)
    for environment in re.findall(r"tox -e (\S+)", script):
        assert f"[testenv:{environment}]" in (ROOT / "tox.ini").read_text()


def test_the_commands_were_found():
    """The tests above can fail: there are commands to look at."""
    texts = [parameter.values[0] for parameter in scripts()]
    assert sum(len(list(commands(text, "pytest"))) for text in texts) >= 6
    assert sum(len(list(commands(text, "liteproof"))) for text in texts) >= 5


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_no_foreign_value_gets_into_a_script(path):
    """A branch may be named `$(…)`: values reach scripts by variables, never by `${{ }}`."""
    assert not [script for script in github_scripts(path) if "${{" in script]


def test_what_runs_a_pull_request_has_no_secrets_and_cannot_write():
    document = load(ROOT / "docs" / "ci" / "github" / "accept.yml")
    assert document["permissions"] == {"contents": "read"}
    text = (ROOT / "docs" / "ci" / "github" / "accept.yml").read_text()
    assert "secrets." not in text
    assert "pull_request_target" not in text
    (script,) = [
        script for script in github_scripts(ROOT / "docs" / "ci" / "github" / "accept.yml") if "pytest" in script
    ]
    assert "--no-code" in script


def test_what_may_write_checks_nothing_of_the_pull_request_out():
    path = ROOT / "docs" / "ci" / "github" / "comment.yml"
    assert set(load(path)[True]) == {"workflow_run"}
    assert "actions/checkout" not in path.read_text()


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_no_pull_request_runs_on_a_machine_of_ours(path):
    document = load(path)
    own = [job for job in document["jobs"].values() if "self-hosted" in job["runs-on"]]
    assert not own or not {"pull_request", "pull_request_target"} & set(document[True])


def test_gitlab_jobs_have_stages_rules_and_scripts():
    stages = load(GITLAB)["stages"]
    jobs = gitlab_jobs()
    assert set(jobs) == {"accept", "comment", "pi", "signoff"}
    for job in jobs.values():
        assert job["stage"] in stages
        assert job["rules"]
        assert job["script"]
    assert "--no-code" in "\n".join(jobs["accept"]["script"])
