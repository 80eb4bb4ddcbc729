"""A folder of images by class: what is in it, told from names alone.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     _ = (folder / name).write_bytes(b"")
    >>> listing = list_images(folder)
    >>> listing.classes, [(path.as_posix(), name) for path, name in listing.images]
    (('cat', 'dog'), [('cat/1.png', 'cat'), ('dog/1.png', 'dog'), ('dog/2.png', 'dog')])

Hidden files and what lies beside the class folders (a licence, a list) are passed over; a file in a class folder that
is no image is an error, since it may be one that was misnamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from liteproof.errors import UsageError
from liteproof.manifest.place import clean, shown

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Listing:
    """The images of a folder.

    Attributes:
        images: Paths below the folder in the order of their names, each with the name of its class, None where the
            folder has no classes.
        classes: Names of the class folders, sorted.
    """

    images: tuple[tuple[PurePath, str | None], ...]
    classes: tuple[str, ...]


def list_images(folder: Path, *, allow_outside: bool = False) -> Listing:
    """The images of a folder of class folders, or of a folder of images alone.

    Args:
        folder: The folder.
        allow_outside: Whether symbolic links in it may lead out of it.

    Raises:
        UsageError: if there are none, if a file in a class folder is no image, if images lie beside class folders, or
            if a link leads out.
    """
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    classes = [entry for entry in entries if entry.is_dir()]
    beside = [entry for entry in entries if not entry.is_dir() and entry.suffix.lower() in SUFFIXES]
    if classes and beside:
        raise UsageError(
            f"image {clean(beside[0].name)} lies beside the class folders",
            expected="folders of images, one a class, or images alone",
            where=shown(folder),
            next="move it into the folder of its class",
        )
    images: list[tuple[Path, str | None]] = [(path, None) for path in beside]
    images += [(path, found.name) for found in classes for path in _files(found)]
    if not images:
        raise UsageError(
            "there are no images in the folder",
            expected=f"a folder for each class, with files {', '.join(sorted(SUFFIXES))}",
            where=shown(folder),
        )
    for path, _ in images:
        if not allow_outside and path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                "the image is a link that leads out of its folder",
                expected=f"a file below {shown(folder)}",
                where=shown(path),
                next="copy the image there, or set allow_outside = true in [model]",
            )
    return Listing(
        tuple((path.relative_to(folder), name) for path, name in images), tuple(found.name for found in classes)
    )


def _files(folder: Path) -> list[Path]:
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    for path in files:
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"{clean(path.name)} in a class folder is no image",
                expected=f"files {', '.join(sorted(SUFFIXES))}",
                where=shown(path),
                next="move it elsewhere",
            )
    return files
