"""What a repository needs around its models: pytest.ini, tox.ini, targets.toml, a workflow and what git leaves out.

>>> sorted(wanted(Path("/nowhere")))[:3]
['.github/workflows/accept.yml', '.gitignore', 'pytest.ini']
"""

from __future__ import annotations

import configparser
import importlib.util
import tomllib
from importlib import resources
from pathlib import Path

from liteproof import __version__
from liteproof.store import write_atomically

PYTEST = "pytest"
PACKAGED = "pytest --pyargs liteproof.acceptance --models=models"

_FILES = {
    "pytest.ini": "pytest.ini",
    "tox.ini": "tox.ini",
    "targets.toml": "targets.toml",
    ".github/workflows/accept.yml": "accept.yml",
    ".gitignore": "gitignore",
}


def wanted(root: Path) -> dict[str, str]:
    """The files by their path in the repository.

    A `pytest.ini` is left out where pytest is configured elsewhere already: it would take that one's place. A
    `.gitignore` that is there already is the user's, whatever may be replaced.
    """
    texts = {
        path: resources.files(__package__)
        .joinpath("files", name)
        .read_text(encoding="utf-8")
        .replace("{version}", __version__)
        for path, name in _FILES.items()
    }
    if configured_in(root) not in (None, "pytest.ini"):
        del texts["pytest.ini"]
    ignored = root / ".gitignore"
    if ignored.is_file() and ignored.read_bytes() != texts[".gitignore"].encode():
        del texts[".gitignore"]
    return texts


def configured_in(root: Path) -> str | None:
    """The file that configures pytest in this folder; None if there is none."""
    for name in ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"):
        if (root / name).is_file():
            return name
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        if "pytest" in project.get("tool", {}):
            return "pyproject.toml"
    except (OSError, ValueError):
        pass
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(root / name, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        if parser.has_section(section):
            return name
    return None


def write(root: Path, *, force: bool) -> list[tuple[str, str]]:
    """Write what is not there; what is there stays as it is, unless `force` says otherwise.

    Returns:
        Each file's path in the repository and what became of it: "written", "replaced", "kept" or "unchanged".
    """
    told = []
    for name, text in wanted(root).items():
        path = root / name
        there = path.read_bytes() if path.is_file() else None
        became = (
            "written" if there is None else "unchanged" if there == text.encode() else "replaced" if force else "kept"
        )
        if became in ("written", "replaced"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
        told.append((name, became))
    return told


def next_commands(root: Path) -> list[str]:
    """What to type next, and where it writes; first what is missing for converting."""
    missing = [name for name in ("tensorflow", "ai_edge_litert", "jinja2") if importlib.util.find_spec(name) is None]
    install = ['pip install "liteproof[convert,report]"'] if missing else []
    return [*install, f"{judging(root)}      # the report: reports/latest/report.html"]


def judging(root: Path) -> str:
    """The command that judges the models of a repository."""
    ini = root / "pytest.ini"
    ours = wanted(root).get("pytest.ini")
    return PYTEST if ours and ini.is_file() and ini.read_text(encoding="utf-8") == ours else PACKAGED
