"""Arrays in files are mapped into memory, written in pieces, and never unpickled."""

import zipfile

import numpy as np
import pytest

from liteproof.arrays import UNREADABLE, Writer, open_arrays


def written(path, *batches):
    with Writer(path) as out:
        for batch in batches:
            out.append(batch)
    return path


def test_what_is_written_is_what_numpy_reads(tmp_path):
    x, y = np.arange(12, dtype=np.float32).reshape(6, 2), np.arange(6)
    path = written(tmp_path / "a.npz", {"x": x[:4], "y": y[:4]}, {"x": x[4:], "y": y[4:]})
    with np.load(path) as found:
        np.testing.assert_array_equal(found["x"], x)
        np.testing.assert_array_equal(found["y"], y)
    assert zipfile.ZipFile(path).testzip() is None


def test_the_same_arrays_give_the_same_bytes_in_whatever_pieces(tmp_path):
    x = np.random.default_rng(0).random((7, 3, 3))
    whole = written(tmp_path / "whole.npz", {"x": x})
    pieces = written(tmp_path / "pieces.npz", *({"x": x[at : at + 1]} for at in range(7)))
    assert whole.read_bytes() == pieces.read_bytes()


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "?", "<i8"])
def test_members_are_mapped_where_they_lie(tmp_path, dtype):
    x = np.arange(30).reshape(5, 3, 2).astype(dtype)
    np.savez(tmp_path / "a.npz", first=np.zeros((2, 2)), x=x, columns=np.asfortranarray(x))
    found = open_arrays(tmp_path / "a.npz")
    for name in ("x", "columns"):
        assert isinstance(found[name], np.memmap)
        np.testing.assert_array_equal(found[name], x)
    with pytest.raises(ValueError, match="read-only"):
        found["x"][0] = 1


def test_what_is_written_lies_where_processors_like_it(tmp_path):
    names = ["x", "a longer name", "ünïcode"]
    found = open_arrays(written(tmp_path / "a.npz", {name: np.ones((3, 5)) for name in names}))
    assert [array.offset % 64 for array in found.values()] == [0, 0, 0]


def test_an_npy_is_named_as_one_likes(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 5)))
    assert open_arrays(tmp_path / "a.npy")["x"].sum() == open_arrays(tmp_path / "a.npy", "left")["left"].sum() == 15


def test_compressed_members_and_those_without_values_are_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.ones((3, 5)), none=np.zeros((3, 0)))
    assert {name: array.shape for name, array in open_arrays(tmp_path / "a.npz").items()} == {
        "x": (3, 5),
        "none": (3, 0),
    }
    np.savez(tmp_path / "b.npz", none=np.zeros((3, 0)))
    assert open_arrays(tmp_path / "b.npz")["none"].shape == (3, 0)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_objects_are_never_unpickled(tmp_path, save):
    save(tmp_path / "a.npz", x=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match=r"never unpickled|allow_pickle=False"):
        open_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{"])
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_damage_is_one_of_few_errors(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(UNREADABLE):
        open_arrays(path)


def test_an_array_that_is_cut_off_is_not_mapped(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((100, 5)))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-1])
    with pytest.raises(UNREADABLE):
        open_arrays(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "second",
    [{"x": np.ones((2, 4))}, {"x": np.ones((2, 3), np.float32)}, {"x": np.ones((2, 3)), "y": np.ones(2)}, {}],
)
def test_batches_that_differ_are_refused_and_leave_nothing(tmp_path, second):
    with pytest.raises(ValueError, match="after"):
        written(tmp_path / "a.npz", {"x": np.ones((2, 3))}, second)
    assert list(tmp_path.iterdir()) == []
