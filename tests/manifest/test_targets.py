"""`targets.toml`: what is defined, and what is refused."""

import pytest

from liteproof.plan import Delegate, Target


@pytest.fixture
def write(repository):
    return lambda text: (repository.root / "targets.toml").write_text(text)


def test_host_always_exists(repository):
    assert repository.load().targets == (Target("host"),)


def test_host_may_be_set(repository, write):
    write('[host]\nthreads = 2\nruntime = "tflite_runtime"\n')
    assert repository.load().targets == (Target("host", threads=2, runtime="tflite_runtime"),)


def test_a_board_is_read_as_it_is_written(repository, write):
    write(
        '[pi]\nssh = "pi@raspberrypi.local"\npython = "~/venv/bin/python"\nthreads = 4\nrehearsal = true\n'
        'cache = "500MB"\n'
        'delegate = { library = "libedgetpu.so.1", options = { device = "usb", retries = 2 } }\n'
    )
    (pi,) = repository.load(target_names=["pi"]).targets
    assert (pi.ssh, pi.python, pi.threads, pi.rehearsal) == ("pi@raspberrypi.local", "~/venv/bin/python", 4, True)
    assert pi.cache_bytes == 500_000_000
    assert pi.delegate == Delegate("libedgetpu.so.1", {"device": "usb", "retries": "2"})


@pytest.mark.parametrize(
    ("written", "means"),
    [(".tox/old/bin/python", "{root}/.tox/old/bin/python"), ("python3.11", "python3.11"), ("/usr/bin/python", None)],
)
def test_an_interpreter_on_this_machine_is_found_from_the_file_that_names_it(repository, write, written, means):
    write(f'[old]\npython = "{written}"\n')
    (old,) = repository.load(target_names=["old"]).targets
    assert old.python == (means or written).format(root=repository.root)


def test_targets_keep_the_order_in_which_they_are_asked_for(repository, write):
    write("[pi]\n[zero]\n")
    asked = ["zero", "host", "zero"]
    loaded = repository.load(target_names=asked)
    assert [target.name for target in loaded.targets] == ["zero", "host"]
    assert set(loaded.models[0].variants[0].budgets) == {"zero", "host"}


def test_another_file_can_be_named(repository):
    (repository.root / "lab.toml").write_text("[bench]\n")
    assert repository.load(targets_file=repository.root / "lab.toml", target_names=["bench"]).targets
    assert "there is no file" in repository.refused(targets_file=repository.root / "lap.toml")


def test_a_release_names_targets(repository, write):
    write("[pi]\n")
    repository.model.add('[release]\ntargets = ["host", "pi"]\n')
    assert repository.load().models[0].release == ("host", "pi")


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ('[pi]\nshs = "pi"', "unknown key 'shs' in [pi]", "nearest: 'ssh'"),
        ('[pi]\nssh = "-oProxyCommand=x"', 'ssh = "-oProxyCommand=x"', "without blanks or a leading '-'"),
        ('[pi]\nssh = "pi one"', 'ssh = "pi one"', "without blanks"),
        ('[pi]\nssh = "pi\\n"', "ssh = ", "without control characters"),
        ('[pi]\npython = ""', 'python = ""', "the path of an interpreter"),
        ('[pi]\ncache = "plenty"', "'plenty' is no size", "a number with kB, MB, GB or TB"),
        ("[pi]\ncache = 5", "cache = 5 in [pi]", ""),
        ("[pi]\nthreads = 0", "threads = 0 in [pi]", "from 1"),
        ("[pi]\nthreads = 1.5", "threads = 1.5 in [pi] is a number", "a whole number"),
        ('[pi]\nruntime = "tflite-runtime"', 'runtime = "tflite-runtime"', "nearest: 'tflite_runtime'"),
        ("[pi]\ndelegate = {}", "[pi.delegate] has no key 'library'", "library = "),
        ('[pi]\ndelegate = { library = "a", optoins = {} }', "unknown key 'optoins'", "nearest: 'options'"),
        ('[pi]\ndelegate = { library = "a", options = { b = 1.5 } }', "options = { b = 1.5 }", "strings and whole"),
        ('[host]\nssh = "pi"', "ssh in [host]", "host is this machine"),
        ('[host]\npython = "python3"', "python in [host]", "host is this machine"),
        ("[all]", "the target name 'all'", "not reserved"),
        ("[regression]", "the target name 'regression'", "not reserved"),
        ("[accuracy]", "the target name 'accuracy' is the name of a metric", "not reserved"),
        ('["a b"]', "the target name 'a b'", "letters"),
        ('pi = "pi@pi"', "pi is a string", "a table: [pi]"),
    ],
)
def test_a_target_that_means_nothing_is_refused(repository, write, text, found, expected):
    write(text + "\n")
    message = repository.refused()
    assert found in message.splitlines()[0]
    assert expected in message.split("expected:")[1].splitlines()[0]
    assert "targets.toml" in message.split("where:")[1]
