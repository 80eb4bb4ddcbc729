"""Arrays in files: opened without being loaded, written a piece at a time, never unpickled.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "evaluation.npz"
    >>> with Writer(path) as out:
    ...     for start in (0, 2):
    ...         out.append({"x": np.arange(start, start + 2, dtype=np.float32)[:, None]})
    >>> arrays = open_arrays(path)
    >>> arrays["x"].shape, type(arrays["x"]).__name__, arrays["x"].sum()
    ((4, 1), 'memmap', 6.0)

An `.npz` is a zip of `.npy` members. What `numpy.savez` writes is not compressed, so that each member lies in the file
as it is and can be mapped into memory like an `.npy`: of 100,000 images only those are read that somebody looks at. A
member that is compressed is unpacked into memory as a whole; `Writer` writes none.
"""

from __future__ import annotations

import io
import math
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

Array = npt.NDArray[Any]

# What a file that is damaged, encrypted or none of the kind can raise.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER = 30
_ALIGNMENT = 64
# What zipalign fills gaps with; readers of zips pass over it.
_PADDING = 0xD935
_ZIP64 = 20
_PIECE = 1 << 20


def open_arrays(path: Path, single: str = "x") -> dict[str, Array]:
    """The arrays of an `.npz` by name, or the one of an `.npy`, mapped into memory read-only where that is possible.

    Args:
        path: The file.
        single: The name of an `.npy`'s array.

    Raises:
        OSError, ValueError, zipfile.BadZipFile and what else is in `UNREADABLE`: if it cannot be read, or holds objects
            that would have to be unpickled.
    """
    if path.suffix == ".npy":
        return {single: _mapped(path, 0)}
    with zipfile.ZipFile(path) as archive:
        return {member.filename.removesuffix(".npy"): _member(path, archive, member) for member in archive.infolist()}


def as_text(y: Array) -> Array:
    """Names of classes as text without blanks around them, whether they are stored as text or as UTF-8.

    >>> as_text(np.array([b"cat ", b"dog"])).tolist()
    ['cat', 'dog']
    """
    return np.char.strip(np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y)


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the values lie column after column (Fortran's order), and dtype, from where an `.npy` begins.

    Raises:
        ValueError: if it is no `.npy`.
    """
    version = npy.read_magic(stream)  # type: ignore[no-untyped-call]
    # Version 3 differs from 2 in that it holds names of fields in UTF-8: no array of numbers has any.
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"arrays of format {version[0]}.{version[1]} are not plain numbers")
    shape, by_column, dtype = read(stream)  # type: ignore[no-untyped-call]
    return shape, by_column, dtype


def is_packed(member: zipfile.ZipInfo) -> bool:
    """Whether a member of an `.npz` is compressed or encrypted, so that it cannot be mapped into memory."""
    return member.compress_type != zipfile.ZIP_STORED or bool(member.flag_bits & 1)


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    if is_packed(member):
        with archive.open(member) as stream:
            unpacked: Array = npy.read_array(stream, allow_pickle=False)  # type: ignore[no-untyped-call]
        return unpacked
    return _mapped(path, data_offset(path, member))


def data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Where in the file the bytes of a member begin. Its local header tells; the archive's index does not.

    Raises:
        ValueError: if there is no such header.
    """
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        header = stream.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise ValueError(f"{member.filename} is not where the archive says")
    name, extra = struct.unpack("<HH", header[26:30])
    return int(member.header_offset + _LOCAL_HEADER + name + extra)


def _mapped(path: Path, begins: int) -> Array:
    with path.open("rb") as stream:
        stream.seek(begins)
        shape, by_column, dtype = read_header(stream)
        values = stream.tell()
    if dtype.hasobject:
        raise ValueError("Python objects are never unpickled")
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", values, shape, "F" if by_column else "C")


class Writer:
    """Writes an `.npz` that can be mapped into memory, a batch of samples at a time.

    A context: the file is there, whole, when it ends without an error. The same arrays give the same bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-", ignore_cleanup_errors=True)
        self._parts: dict[str, IO[bytes]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}

    def append(self, batch: Mapping[str, Array]) -> None:
        """Add samples: arrays of shape (n, …), of the names, sample shapes and dtypes of the first batch.

        Raises:
            ValueError: if they are others.
            OSError: if they cannot be written.
        """
        if self._parts and set(batch) != set(self._parts):
            raise ValueError(f"arrays {', '.join(batch)} after {', '.join(self._parts)}")
        for name, values in batch.items():
            array = np.ascontiguousarray(values).reshape(np.shape(values))
            if name not in self._parts:
                self._parts[name] = (Path(self._folder.name) / str(len(self._parts))).open("wb")
                self._shapes[name], self._dtypes[name] = (0, *array.shape[1:]), array.dtype
            count, *shape = self._shapes[name]
            if tuple(shape) != array.shape[1:] or array.dtype != self._dtypes[name]:
                raise ValueError(
                    f"array {name} of samples {array.shape[1:]} {array.dtype} after {tuple(shape)} {self._dtypes[name]}"
                )
            self._parts[name].write(array.data if array.size else b"")
            self._shapes[name] = (count + len(array), *shape)

    def __len__(self) -> int:
        return max((shape[0] for shape in self._shapes.values()), default=0)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for part in self._parts.values():
                part.close()
            if kind is None:
                self._pack()
        finally:
            self._folder.cleanup()

    def _pack(self) -> None:
        whole = Path(self._folder.name) / "whole.npz"
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
            for name, part in self._parts.items():
                header = _header(self._shapes[name], self._dtypes[name])
                member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
                member.file_size = len(header) + math.prod(self._shapes[name]) * self._dtypes[name].itemsize
                member.extra = _padding(archive, member)
                with archive.open(member, "w", force_zip64=True) as stream:
                    stream.write(header)
                    with Path(part.name).open("rb") as values:
                        shutil.copyfileobj(values, stream, _PIECE)
                Path(part.name).unlink()
        whole.replace(self._path)


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """An `.npy`'s header; its length is a multiple of 64."""
    stream = io.BytesIO()
    described = {"shape": shape, "fortran_order": False, "descr": npy.dtype_to_descr(dtype)}  # type: ignore[no-untyped-call]
    npy.write_array_header_1_0(stream, described)  # type: ignore[no-untyped-call]
    return stream.getvalue()


def _padding(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """What fills the member's header so that its values lie at a multiple of 64, where processors like them."""
    begins = archive.start_dir + _LOCAL_HEADER + len(member.filename.encode()) + _ZIP64 + 4
    missing = -begins % _ALIGNMENT
    return struct.pack("<HH", _PADDING, missing) + bytes(missing)
