"""The guide quotes messages; each must be one that liteproof, or the runtime it names, really says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "raspberry-pi.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src" / "liteproof").rglob("*.py")))
RUNTIMES_OWN = {"Didn't find op for builtin opcode", "UNMEASURED", "loads", ".local"}


def quoted_messages():
    table = GUIDE.partition("| it says |")[2].partition("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [text for cell in first_cells for text in re.findall(r"`([^`]+)`", cell) if text not in RUNTIMES_OWN]


def test_there_are_many():
    assert len(quoted_messages()) > 20


@pytest.mark.parametrize("message", quoted_messages())
def test_message_is_one_that_is_said(message):
    parts = [part.strip() for part in message.replace("armv7l", "…").replace("SIGSEGV", "…").split("…")]
    assert all(part in SOURCES for part in parts), message


def test_links_lead_to_files_and_headings():
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
        for line in GUIDE.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\((?!http)([^)]+)\)", GUIDE):
        path, _, anchor = target.partition("#")
        assert (ROOT / "docs" / path).exists() if path else anchor in headings, target
