"""What git says of the work tree: the commit, and what differs from it.

>>> state_of([Path("/")], leaving_out=Path("reports")).problems          # doctest: +SKIP
('/ is in no git work tree: nothing says which version was judged (--no-vcs waives this)',)
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

WAIVED_BY = "--no-vcs waives this"
_SHOWN = 3


@dataclass(frozen=True)
class State:
    """The commit (of each work tree, if there are several), and what is wrong with it, a sentence each."""

    revision: str | None
    problems: tuple[str, ...]


def state_of(folders: Iterable[Path], *, leaving_out: Path) -> State:
    """The state of the work trees that these folders lie in.

    Args:
        folders: Where what is judged lies.
        leaving_out: A folder whose files do not count: the reports.
    """
    tops: dict[Path, None] = {}
    problems = []
    for folder in folders:
        found = _git(folder, "rev-parse", "--show-toplevel")
        if found is None:
            problems.append(
                f"{folder.name or folder} is in no git work tree, so nothing says what was judged ({WAIVED_BY})"
            )
        else:
            tops[Path(os.path.realpath(found.rstrip("\n")))] = None
    revisions = []
    for top in tops:
        revision = _git(top, "rev-parse", "--verify", "--quiet", "HEAD")
        revisions.append((revision or "").strip())
        if revision is None:
            problems.append(f"the work tree has no commit yet ({WAIVED_BY})")
        changed = _changed(top, leaving_out)
        if changed is None:
            problems.append(f"git could not tell whether the work tree is clean ({WAIVED_BY})")
        elif changed:
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            problems.append(f"the work tree is dirty: {', '.join(changed[:_SHOWN])}{more} ({WAIVED_BY})")
    return State(", ".join(revisions) or None, tuple(dict.fromkeys(problems)))


def _changed(top: Path, leaving_out: Path) -> list[str] | None:
    """Files that differ from the commit, those that git does not know (and was not told to ignore) included."""
    text = _git(
        top, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none"
    )
    if text is None:
        return None
    names = [entry[3:] for entry in text.split("\0") if entry]
    reports = Path(os.path.realpath(leaving_out))
    return [name for name in names if not (top / name).is_relative_to(reports)]


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(done.stdout)
