import re

import pytest

from liteproof.cli import main

# In the order in which one comes to need them.
COMMANDS = [
    *("init", "advise", "explain", "inspect", "repair", "doctor", "report"),
    *("compare", "recommend", "accept", "verify", "history", "store"),
]


def test_help_lists_every_command_in_the_order_of_work(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert re.findall(r"^    (\w+)\b", capsys.readouterr().out, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("words", [[], ["confort"], ["init"], ["store", "prune", "--max"], ["explain", "digits"]])
def test_wrong_words_are_a_wrong_request_not_an_interruption(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 4
    assert capsys.readouterr().err.startswith("usage: liteproof")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: liteproof {command}" in capsys.readouterr().out
