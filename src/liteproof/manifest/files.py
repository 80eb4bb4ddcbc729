"""Finding the files that a manifest names.

>>> folder = Folder(Path("models/digits"), allow_outside=False)
>>> folder.find("../secret.npz", "evaluation", Place("model.toml", "data"))
Traceback (most recent call last):
  ...
liteproof.errors.UsageError: evaluation = "../secret.npz" in [data] leads out of the model's folder
  expected: a file below models/digits
  where:    model.toml [data]
  next:     move the file there, or set allow_outside = true in [model]
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from liteproof.errors import UsageError
from liteproof.manifest.place import Place, nearest, shown, written

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
POINTER_BYTES = 1024  # a pointer is shorter than this, says its specification


@dataclass(frozen=True)
class Folder:
    """A model's folder, and whether its manifest may name files outside it."""

    path: Path
    allow_outside: bool

    def find(self, name: str, key: str, place: Place, *, folder: bool = False) -> Path:
        """The file that a key names, or the folder where `folder` allows one; its path is absolute.

        Raises:
            UsageError: if it leads out of the model's folder without permission, is not there, is not a file, or is
                a Git LFS pointer.
        """
        said = f"{key} = {written(name)} in {place.name}"
        path = Path(os.path.normpath(self.path.absolute() / name))
        try:
            # A symbolic link may lead out too.
            inside = not name.startswith(("/", "~")) and path.resolve().is_relative_to(self.path.resolve())
            there, is_folder, is_file = path.exists(), path.is_dir(), path.is_file()
        except (OSError, RuntimeError) as error:  # too long a name, no permission, a loop of links
            raise place.wrong(f"{said} cannot be reached: {error}", "a readable file") from error
        if not inside and not self.allow_outside:
            raise place.wrong(
                f"{said} leads out of the model's folder",
                f"a file below {shown(self.path)}",
                "move the file there, or set allow_outside = true in [model]",
            )
        if not there or not name:
            raise place.wrong(f"{said} is not there", *_instead(path))
        if not (is_file or (folder and is_folder)):
            raise place.wrong(f"{said} is {'a folder' if is_folder else 'not a regular file'}", "a file")
        for pointer in _lfs_pointers(path):
            raise lfs_error(said, pointer, place)
        return path


def _instead(path: Path) -> tuple[str, str]:
    """What was expected in place of a file that is not there, and what to do."""
    folder = path.parent
    if not folder.is_dir():
        return f"a file; there is no folder {shown(folder)}", "check the path"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    alike = [name for name in names if Path(name).suffix == path.suffix]
    close = nearest(path.name, alike) or nearest(path.name, names) or (alike[0] if len(alike) == 1 else None)
    if close:
        return f"a file that exists; nearest in {shown(folder)}: '{close}'", "name that file, or put the file there"
    return f"a file that exists in {shown(folder)}", "put the file there, or name another"


def _lfs_pointers(path: Path) -> list[Path]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in files if _is_lfs_pointer(file)]


def _is_lfs_pointer(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > POINTER_BYTES:
            return False
        with path.open("rb") as stream:
            return stream.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def lfs_error(said: str, pointer: Path, place: Place) -> UsageError:
    """The file is a stand-in that Git LFS left for it."""
    return place.wrong(
        f"{said} is a Git LFS pointer, not the file that it stands for",
        f"the content of {shown(pointer)}",
        f'git lfs pull --include="{shown(pointer)}"',
    )
