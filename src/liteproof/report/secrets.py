"""What no report tells: home folders, user names in addresses, tokens, and what the environment holds in confidence.

>>> mask = Mask(home="/home/ada", environment={"DEPLOY_TOKEN": "s3cr3t-s3cr3t", "LANG": "en_GB.UTF-8"})
>>> mask("/home/ada/models/digits: https://ada:pw@example.org/x?access_token=abc#1")
'~/models/digits: https://…@example.org/x?access_token=…#1'
>>> mask("--password=hunter2 s3cr3t-s3cr3t in en_GB.UTF-8")
'--password=… … in en_GB.UTF-8'

Everything that is written goes through here once, as data, so that every report made of it is clean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from liteproof.report.results import Results

_HIDDEN = "…"
_NAMES = r"token|secret|passw(?:or)?d|passwd|api[-_]?key|access[-_]?key|private[-_]?key|credential|auth"
_CONFIDENTIAL = re.compile(_NAMES, re.I)
# Shorter values are words of other meanings: masking them would garble the report and tell the value.
_SHORTEST = 8

_ADDRESS = re.compile(r"(?<=://)[^/@\s'\"]+(?=@)")
# Bounded, and without what comes before the name: a name of 100,000 characters must not cost their square.
_ASSIGNED = re.compile(rf"((?:{_NAMES})[\w-]{{0,40}}[=:]\s{{0,4}})[^\s&#'\",;]+", re.I)
_BEARER = re.compile(r"\b((?:Bearer|Basic)\s+)[\w+/=.~-]{8,}")
# Tokens that tell by their beginning what they are: of GitHub, GitLab, Hugging Face, AWS, Slack, PyPI and OpenAI.
_TOKENS = re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|AKIA|ASIA|xox[abprs]-|pypi-|sk-)[A-Za-z0-9_-]{12,}")


class Mask:
    """Masks what does not belong into a report.

    Args:
        home: The home folder; None: the user's.
        environment: Variables, of which those with a confidential name are masked wherever their value occurs.
    """

    def __init__(self, home: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        homes = {home} if home else {str(Path.home()), os.path.realpath(Path.home())}
        self._homes = re.compile(
            "|".join(rf"{re.escape(path)}(?![\w.-])" for path in sorted(homes) if len(path) > 1) or "(?!)"
        )
        held = os.environ if environment is None else environment
        values = {v for k, v in held.items() if _CONFIDENTIAL.search(k) and len(v) >= _SHORTEST and "/" not in v}
        self._values = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))) or "(?!)")

    def __call__(self, text: str) -> str:
        """The text without it."""
        text = self._values.sub(_HIDDEN, text)
        text = _ADDRESS.sub(_HIDDEN, text)
        text = _BEARER.sub(rf"\1{_HIDDEN}", text)
        text = _ASSIGNED.sub(rf"\1{_HIDDEN}", text)
        text = _TOKENS.sub(_HIDDEN, text)
        return self._homes.sub("~", text)


def masked(results: Results, mask: Mask | None = None) -> Results:
    """The results with every text masked, keys and all."""
    return msgspec.convert(_walk(msgspec.to_builtins(results), mask or Mask()), Results)


def _walk(value: Any, mask: Mask) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return {mask(key): _walk(entry, mask) for key, entry in value.items()}
        case list() | tuple():
            return [_walk(entry, mask) for entry in value]
        case _:
            return value
