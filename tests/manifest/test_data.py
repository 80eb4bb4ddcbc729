"""Arrays are looked at without loading them, and never unpickled."""

import pickle
import struct
import zipfile

import numpy as np
import pytest

from liteproof.errors import UsageError
from liteproof.manifest.data import find_arrays, require_fit, require_labels
from liteproof.manifest.source import Input

SCAN = (Input("scan", (None, 8, 8, 1), "float32"),)
TWO = (Input("left", (None, 3), "float32"), Input("right", (None, 2), "int32"))


@pytest.fixture
def file(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return save


def refused(function, *arguments, **options):
    with pytest.raises(UsageError) as caught:
        function(*arguments, **options)
    assert "data.npz" in caught.value.where
    return str(caught.value)


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_headers_and_labels_are_read(tmp_path, save):
    save(tmp_path / "data.npz", x=zeros(4, 2), y=np.array([3, 0, 7, 7], np.uint8))
    arrays = find_arrays(tmp_path / "data.npz")
    assert arrays.samples == 4
    assert [(array.name, array.shape, array.dtype) for array in arrays.arrays] == [
        ("x", (4, 2), "float32"),
        ("y", (4,), "uint8"),
    ]
    assert (arrays.labels.lowest, arrays.labels.lowest_at) == (0, 1)
    assert (arrays.labels.highest, arrays.labels.highest_at) == (7, 2)


def test_only_labels_are_loaded_whole(file, monkeypatch):
    path = file(x=zeros(4, 2), y=np.arange(4))
    loaded = []
    read_array = np.lib.format.read_array
    monkeypatch.setattr(np.lib.format, "read_array", lambda *a, **k: loaded.append(read_array(*a, **k)) or loaded[-1])
    find_arrays(path)
    assert [array.shape for array in loaded] == [(4,)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_values_that_are_no_numbers_are_named_with_their_sample(file, value, dtype):
    x = zeros(5, 3, 2, dtype=dtype)
    x[3, 1, 1] = value
    assert f"sample 3 of array 'x' holds {value}" in refused(find_arrays, file(x=x))
    assert f"sample 3 of array 'x' holds {value}" in refused(find_arrays, file(x=np.asfortranarray(x)))
    assert f"sample 1 of array 'y' holds {value}" in refused(find_arrays, file(x=zeros(2, 2), y=[1.0, value]))


def test_one_bad_value_behind_many_pieces_is_found(file):
    x = zeros(3_000_000, 1)
    x[2_999_999] = np.nan
    assert "sample 2999999 of array 'x' holds nan" in refused(find_arrays, file(x=x))


def test_only_compressed_arrays_must_fit_into_memory(file, monkeypatch):
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2}.__getitem__)
    path = file(x=zeros(100, 100))
    assert find_arrays(path).packed == 0
    np.savez_compressed(path, x=zeros(100, 100))
    assert "this machine has 0.0 GB of memory" in refused(find_arrays, path)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_object_arrays_are_refused_and_never_unpickled(file):
    path = file(x=np.array([Trap(), None], dtype=object))
    assert "array 'x' holds Python objects, which are never unpickled" in refused(find_arrays, path)
    path = file(x=zeros(2, 2), y=np.array([Trap(), None], dtype=object))
    assert "array 'y' holds Python objects" in refused(find_arrays, path)


def test_a_pickle_under_another_name_is_refused(tmp_path):
    (tmp_path / "data.npz").write_bytes(pickle.dumps(Trap))
    assert "cannot read the arrays" in refused(find_arrays, tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"x": zeros(3, 2), "y": np.arange(4)}, "array 'y' has 4 samples, 'x' has 3"),
        ({"left": zeros(3, 2), "right": zeros(2, 2)}, "array 'right' has 2 samples, 'left' has 3"),
        ({"x": zeros(0, 2)}, "array 'x' has no samples"),
        ({"x": np.float32(1)}, "array 'x' is a single number"),
        ({"y": np.arange(3)}, "there is no input array; the file holds y"),
        ({}, "there is no input array; the file holds nothing"),
        ({"x": np.array(["a", "b"])}, "array 'x' is of dtype str"),
        ({"x": zeros(2, dtype=np.complex64)}, "array 'x' is of dtype complex64"),
        ({"x": np.zeros(2, [("a", "f4")])}, "array 'x' is of dtype [('a', '<f4')]"),
        ({"x": zeros(2, 2), "y": np.array([["cat"], ["dog"]])}, "array 'y' is of dtype str"),
    ],
)
def test_arrays_that_no_model_takes_are_refused(file, arrays, found):
    assert found in refused(find_arrays, file(**arrays))


def damaged(path, how):
    """An archive that is not what its directory or an array's header says."""
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        header = b"\x93NUMPY\x01\x00"
        text = {
            "short": b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 8), }",
            "negative": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -1), }",
            "nonsense": b"__import__('os').getcwd()",
            "format": b"",
        }[how]
        if how == "format":
            header = b"\x93NUMPY\x09\x00"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", header + struct.pack("<H", len(text)) + text + bytes(8))


@pytest.mark.parametrize("how", ["cut", "empty", "short", "negative", "nonsense", "format"])
def test_a_damaged_file_is_told_as_such(file, how):
    path = file(x=zeros(3, 2))
    damaged(path, how)
    assert "cannot read the arrays" in refused(find_arrays, path)


def test_other_content_in_the_archive_is_refused(file):
    path = file(x=zeros(3, 2))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "hello")
    assert "'readme.txt' is not an array" in refused(find_arrays, path)


@pytest.mark.parametrize(
    ("inputs", "arrays"),
    [
        (SCAN, {"x": zeros(3, 8, 8, 1)}),
        (SCAN, {"scan": zeros(3, 8, 8, 1)}),
        (SCAN, {"x": zeros(3, 8, 8, 1, dtype=np.uint8)}),
        (SCAN, {"x": zeros(3, 8, 8, 1, dtype=np.float64), "y": np.arange(3)}),
        (TWO, {"right": zeros(3, 2, dtype=np.int64), "left": zeros(3, 3)}),
        ((Input("x", (1, None, 3), "float32"),), {"x": zeros(5, 99, 3)}),
        ((Input("words", (None, 4), "string"),), {"x": zeros(5, 4)}),
        (None, {"a": zeros(3, 1), "b": zeros(3, 2)}),
    ],
)
def test_arrays_that_fit(file, inputs, arrays):
    path = file(**arrays)
    require_fit(find_arrays(path), inputs, path)


@pytest.mark.parametrize(
    ("inputs", "arrays", "found", "expected"),
    [
        (SCAN, {"x": zeros(3, 8, 8)}, "array 'x' has shape (3, 8, 8)", "(n, 8, 8, 1), as the model's input 'scan' has"),
        (SCAN, {"x": zeros(3, 8, 8)}, "has shape", "x[..., None]"),
        (SCAN, {"x": zeros(3, 64)}, "has shape (3, 64)", "x.reshape((-1, 8, 8, 1))"),
        (SCAN, {"x": zeros(3, 1, 8, 8)}, "has shape (3, 1, 8, 8)", "numpy.moveaxis(x, 1, -1)"),
        (SCAN, {"x": zeros(3, 9, 9, 1)}, "has shape (3, 9, 9, 1)", "shape the arrays as they are fed"),
        (SCAN, {"X": zeros(3, 8, 8, 1)}, "array 'X' is no input of the model", "rename it to x"),
        (SCAN, {"x": zeros(3, 8, 8, 1), "weights": zeros(3)}, "array 'weights' is no input", "and y for labels"),
        (SCAN, {"x": zeros(3, 8, 8, 1), "scan": zeros(3, 8, 8, 1)}, "arrays 'x' and 'scan'", "only once"),
        (TWO, {"left": zeros(3, 3)}, "there is no array 'right'", "left, right"),
        (TWO, {"x": zeros(3, 3)}, "array 'x' is no input", "the model's inputs: left, right"),
        (TWO, {"lfet": zeros(3, 3), "right": zeros(3, 2)}, "array 'lfet'", "nearest: 'left'"),
        (TWO, {"left": zeros(3, 3), "right": zeros(3, 2)}, "array 'right' is of dtype float32", "int32"),
    ],
)
def test_arrays_that_do_not_fit(file, inputs, arrays, found, expected):
    path = file(**arrays)
    message = refused(require_fit, find_arrays(path), inputs, path)
    assert found in message.splitlines()[0]
    assert expected in message.split("expected:")[1]


def test_an_nchw_model_and_nhwc_arrays(file):
    path = file(x=zeros(2, 4, 5, 3))
    inputs = (Input("scan", (None, 3, 4, 5), "float32"),)
    assert "numpy.moveaxis(x, -1, 1)" in refused(require_fit, find_arrays(path), inputs, path)


@pytest.mark.parametrize(
    ("y", "classes", "found"),
    [
        (np.array([0, 2, 1]), 2, "sample 1 has label 2"),
        (np.array([0, -1, 1]), 3, "sample 1 has label -1"),
        (np.array([0.0, 1.0, 0.0]), 2, "array 'y' has shape (3,) and dtype float64"),
        (np.eye(3, dtype=np.int64), 3, "array 'y' has shape (3, 3)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(file, y, classes, found):
    path = file(x=zeros(3, 2), y=y)
    assert found in refused(require_labels, find_arrays(path), classes, path, named=False)


@pytest.mark.parametrize("y", [np.array([0, 1, 1]), np.array([True, False, True]), None])
def test_labels_that_are_classes(file, y):
    path = file(x=zeros(3, 2), **({} if y is None else {"y": y}))
    require_labels(find_arrays(path), 2, path, named=True)
