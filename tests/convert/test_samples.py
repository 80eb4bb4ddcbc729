"""Arrays are made the same from every form, in blocks, and errors name file, row and column."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from liteproof.arrays import open_arrays
from liteproof.convert import samples as module
from liteproof.convert.samples import make
from liteproof.errors import UsageError
from liteproof.manifest.sampling import draw
from liteproof.plan import Making, Samples

from . import plans

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def model(tmp_path):
    (tmp_path / "tiny.keras").write_bytes(b"a source")
    evaluation = plans.arrays(tmp_path / "evaluation.npz", x=np.zeros((3, 4), np.float32))
    return plans.model(tmp_path / "tiny.keras", "keras", [], evaluation=evaluation)


@pytest.fixture
def arrays(model, tmp_path):
    """What is made of files by name, or of one."""

    def build(form, files=None, *, tell=None, **making):
        files = files if isinstance(files, dict) else {"x": files}
        given = {name: plans.file_of(path) for name, path in files.items() if path is not None}
        made = Making(form, given, **making)
        samples = Samples(str(tmp_path), "key", 0, making=made)
        make(samples, tmp_path / "made.npz", model, str(tmp_path), tell)
        return {name: np.array(array) for name, array in open_arrays(tmp_path / "made.npz").items()}

    return build


@pytest.fixture
def refused(arrays):
    def build(*given, **making):
        with pytest.raises(UsageError) as caught:
            arrays(*given, **making)
        return str(caught.value)

    return build


# -- drawing and preprocessing ----------------------------------------------------------------------------------------


def numbered(path, n=50, **more):
    """Samples that hold their own number."""
    return plans.arrays(path, x=np.arange(n, dtype=np.uint8)[:, None].repeat(3, 1), y=np.arange(n) % 5, **more)


def test_what_is_drawn_are_the_samples_with_their_labels(arrays, tmp_path):
    found = arrays("arrays", numbered(tmp_path / "a.npz"), samples=10, seed=3)
    assert found["x"][:, 0].tolist() == draw(50, 10, seed=3).tolist()
    assert found["y"].tolist() == (found["x"][:, 0] % 5).tolist()


def test_a_stratified_sample_has_each_class_in_proportion(arrays, tmp_path):
    found = arrays("arrays", numbered(tmp_path / "a.npz"), samples=10, stratify=True)
    assert np.bincount(found["y"]).tolist() == [2] * 5


@pytest.mark.parametrize("stratify", [True, False])
def test_what_is_drawn_apart_shares_no_sample(arrays, tmp_path, stratify):
    path = numbered(tmp_path / "a.npz")
    evaluation = Making("arrays", {"x": plans.file_of(path)}, samples=30, stratify=stratify)
    judged = arrays("arrays", path, samples=30, stratify=stratify)["x"][:, 0]
    calibrated = arrays("arrays", path, samples=20, stratify=not stratify, apart_from=evaluation)["x"][:, 0]
    assert sorted([*judged, *calibrated]) == list(range(50))


def test_values_are_scaled_once_for_whichever_block(arrays, tmp_path, monkeypatch):
    path = numbered(tmp_path / "a.npz")
    whole = arrays("arrays", path, scale={"x": (2 / 255,)}, offset={"x": (-1.0,)})
    monkeypatch.setattr(module, "_BLOCK", 7)
    pieces = arrays("arrays", path, scale={"x": (2 / 255,)}, offset={"x": (-1.0,)})
    np.testing.assert_array_equal(whole["x"], pieces["x"])
    assert whole["x"].dtype == np.float32
    np.testing.assert_array_equal(whole["x"][:, 0], (np.arange(50) * (2 / 255) - 1).astype(np.float32))


def test_one_factor_for_each_column(arrays, tmp_path):
    found = arrays(
        "arrays", numbered(tmp_path / "a.npz"), scale={"x": (1.0, 10.0, 100.0)}, offset={"x": (0.0, 0.0, 1.0)}
    )
    assert found["x"][7].tolist() == [7, 70, 701]


def test_of_several_inputs_only_the_one_that_is_named(arrays, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 2)))
    np.save(tmp_path / "b.npy", np.ones((4, 2), np.int32))
    found = arrays("arrays", {"a": tmp_path / "a.npy", "b": tmp_path / "b.npy"}, scale={"a": (3.0,)}, samples=2)
    assert (found["a"].max(), found["b"].max(), found["b"].dtype) == (3, 1, np.int32)


def test_labels_by_another_name_are_y(arrays, tmp_path):
    found = arrays("arrays", plans.arrays(tmp_path / "a.npz", x=np.ones((2, 1)), target=np.arange(2)), labels="target")
    assert sorted(found) == ["x", "y"]


def test_compressed_arrays_are_unpacked(arrays, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.ones((2, 1)))
    assert arrays("arrays", tmp_path / "a.npz")["x"].shape == (2, 1)


def test_how_far_it_is_is_told(arrays, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 20)
    told = []
    arrays("arrays", numbered(tmp_path / "a.npz"), tell=lambda done, total: told.append((done, total)))
    assert told == [(20, 50), (40, 50), (50, 50)]


def test_a_file_that_has_changed_is_refused(model, tmp_path):
    path = numbered(tmp_path / "a.npz")
    samples = plans.samples_of(path, form="arrays")
    numbered(path, n=49)
    with pytest.raises(UsageError, match="has changed"):
        make(samples, tmp_path / "made.npz", model, ".")
    assert not (tmp_path / "made.npz").exists()


# -- images -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """Two classes of images of 4 by 6 pixels, one value a channel."""
    for name, values in (("cat/1.png", (10, 20, 30)), ("dog/1.bmp", (40, 50, 60)), ("dog/2.png", (70, 80, 90))):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), values, np.uint8)).save(path)
    return tmp_path / "photos"


def test_images_and_the_numbers_of_their_folders(arrays, photos):
    found = arrays("images", photos, classes=("dog", "bird", "cat"), sample=(4, 6, 3), color="rgb")
    assert (found["x"].shape, found["x"].dtype, found["y"].tolist()) == ((3, 4, 6, 3), np.uint8, [2, 0, 0])
    assert found["x"][:, 0, 0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]


def test_values_are_brought_into_their_range(arrays, photos):
    found = arrays("images", photos, sample=(4, 6, 3), color="rgb", scale={"x": (2 / 255,)}, offset={"x": (-1.0,)})
    np.testing.assert_allclose(found["x"][0, 0, 0], np.array([10, 20, 30]) / 127.5 - 1, atol=1e-7)


@pytest.mark.parametrize(("color", "first"), [("bgr", [30, 20, 10]), ("grayscale", [18])])
def test_colours_as_the_model_was_trained_on_them(arrays, photos, color, first):
    channels = len(first)
    assert arrays("images", photos, sample=(4, 6, channels), color=color)["x"][0, 0, 0].tolist() == first


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_images_of_other_modes_are_read_alike(arrays, tmp_path, mode):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(tmp_path / "photos" / "1.tiff")
    assert arrays("images", tmp_path / "photos", sample=(4, 6, 3), color="rgb")["x"].min() == 255


def test_images_are_resized_as_pillow_does(arrays, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(values).save(tmp_path / "photos" / "1.png")
    for interpolation in ("nearest", "bilinear"):
        found = arrays("images", tmp_path / "photos", sample=(4, 5, 3), size=(4, 5), interpolation=interpolation)
        wanted = Image.fromarray(values).resize((5, 4), Image.Resampling[interpolation.upper()])
        np.testing.assert_array_equal(found["x"][0], np.asarray(wanted))


def test_only_images_that_are_drawn_are_decoded(arrays, photos):
    (photos / "dog" / "3.png").write_bytes((photos / "dog" / "2.png").read_bytes())
    (photos / "dog" / "2.png").write_bytes(b"broken")
    found = arrays("images", photos, sample=(4, 6, 3), classes=("cat", "dog"), samples=2, seed=1)
    assert found["y"].tolist() == [0, 1]


def broken(path, how):
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-30], "text": b"not an image", "empty": b""}[how])


@pytest.mark.parametrize("how", ["cut", "text", "empty"])
def test_an_image_that_is_broken_is_named(refused, photos, how):
    broken(photos / "dog" / "2.png", how)
    message = refused("images", photos, sample=(4, 6, 3))
    assert message.startswith("the image cannot be decoded")
    assert "photos/dog/2.png" in message
    assert message.count("photos") == 1


def test_an_image_of_another_size_is_not_resized_silently(refused, photos):
    message = refused("images", photos, sample=(8, 8, 3))
    assert "the image is 4 pixels high and 6 wide" in message
    assert "add resize = [8, 8] to [data]" in message
    assert "photos/cat/1.png" in message


def test_an_image_of_sixteen_bits_is_refused(refused, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(tmp_path / "photos" / "1.png")
    assert "more than 8 bits a channel" in refused("images", tmp_path / "photos", sample=(4, 6, 1), color="grayscale")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_would_fill_the_memory_is_refused(refused, photos, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert "the image is too large to decode" in refused("images", photos, sample=(4, 6, 3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    assert "the image is too large to decode" in refused("images", photos, sample=(4, 6, 3))


def test_formats_that_start_programs_are_not_decoded(refused, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\n")
    assert "cannot be decoded" in refused("images", tmp_path / "photos", sample=(4, 6, 3))


def test_without_pillow_the_command_is_named(refused, photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "pip install 'liteproof[images]'" in refused("images", photos, sample=(4, 6, 3))


# -- CSV --------------------------------------------------------------------------------------------------------------


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_by_name_and_classes(arrays, tmp_path):
    path = table(tmp_path / "a.csv", "\ufeffclass;b;a\nwave;2;1.5\npoint;-4;3e2\n\nwave;0;0\n")
    found = arrays("table", path, labels="class", columns=("a", "b"), classes=("point", "wave"))
    assert (found["x"].tolist(), found["x"].dtype) == ([[1.5, 2], [300, -4], [0, 0]], np.float32)
    assert found["y"].tolist() == [1, 0, 1]


def test_classes_by_number_and_targets(arrays, tmp_path):
    path = table(tmp_path / "a.csv", "a,t\n1,3\n2,0\n")
    assert arrays("table", path, labels="t", columns=("a",))["y"].dtype == np.int64
    path = table(tmp_path / "a.csv", "a,t\n1,3.5\n2,0\n")
    assert arrays("table", path, labels="t", columns=("a",))["y"].tolist() == [3.5, 0]


def test_rows_take_the_inputs_shape_and_type(arrays, refused, tmp_path):
    path = table(tmp_path / "a.csv", "a,b\n1,2\n3,4\n")
    found = arrays("table", path, columns=("a", "b"), sample=(2, 1), dtype="int32")
    assert (found["x"].shape, found["x"].dtype) == ((2, 2, 1), np.int32)
    path = table(tmp_path / "a.csv", "a,b\n1,2\n3,4.5\n")
    assert "column 'b' holds 4.5" in refused("table", path, columns=("a", "b"), dtype="int32")


def test_rows_that_are_drawn_out_of_several_blocks(arrays, tmp_path, monkeypatch):
    monkeypatch.setattr("liteproof.manifest.tables._BLOCK", 7)
    path = table(tmp_path / "a.csv", "a,c\n" + "".join(f"{i},{i % 3}\n" for i in range(50)))
    found = arrays("table", path, labels="c", columns=("a",), samples=20, seed=2)
    assert found["x"][:, 0].tolist() == draw(50, 20, seed=2).tolist()
    assert found["y"].tolist() == (found["x"][:, 0] % 3).tolist()


@pytest.mark.parametrize(
    ("cell", "found", "cure"),
    [
        ("", "line 3, column 'b' holds nothing", "correct the cell"),
        ("high", "line 3, column 'b' holds 'high'", "columns = [...]"),
        ("nan", "line 3, column 'b' holds 'nan'", "correct the cell"),
        ("1e400", "line 3, column 'b' holds '1e400'", "correct the cell"),
        ("1e39", "line 3, column 'b' holds '1e39'", "correct the cell"),
        ('"1,5"', "line 3, column 'b' holds '1,5'", "a decimal point"),
        ("\x1b[31m", "line 3, column 'b' holds '\\x1b[31m'", "correct the cell"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_line_and_column(refused, tmp_path, cell, found, cure):
    message = refused("table", table(tmp_path / "a.csv", f"a,b\n1,2\n3,{cell}\n"), columns=("a", "b"))
    assert found in message
    assert cure in message
    assert "a.csv" in message


# -- callables --------------------------------------------------------------------------------------------------------


@pytest.fixture
def yielded(arrays, tmp_path, monkeypatch):
    """What is made of what a module of the user's yields."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def build(text, **making):
        name = f"users_{abs(hash(text))}"
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\n{text}")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return arrays("callable", tmp_path / f"{name}.py", callable=f"{name}:batches", **making)

    return build


@pytest.mark.parametrize(
    "body",
    [
        "yield np.ones((2, 4)); yield np.zeros((1, 4))",
        "return [np.ones((2, 4)), np.zeros((1, 4))]",
        "yield {'x': np.ones((2, 4))}; yield {'x': [[0.0] * 4]}",
        "yield (np.ones((2, 4)), [1, 1]); yield (np.zeros((1, 4)), [0])",
    ],
)
def test_batches_in_every_shape_that_they_may_have(yielded, body):
    found = yielded(f"def batches():\n    {body}")
    assert found["x"][:, 0].tolist() == [1, 1, 0]
    assert list(found) == ["x"]


def test_labels_that_are_asked_for(yielded):
    pair = "def batches():\n    yield (np.ones((3, 4)), np.array([2, 0, 1]))"
    assert yielded(pair, labels="y")["y"].tolist() == [2, 0, 1]
    named = "def batches():\n    yield {'scan': np.ones((3, 4)), 'class': np.array([2, 0, 1])}"
    found = yielded(named, labels="class", scale={"x": (2.0,)}, samples=2)
    assert (found["x"].max(), len(found["y"])) == (2, 2)


@pytest.mark.parametrize(
    ("body", "making", "found"),
    [
        ("return iter(())", {}, "yields nothing"),
        ("raise KeyError('boom')", {}, "failed in batch 0: KeyError: 'boom'"),
        ("yield np.ones((1, 2)); 1 / 0", {}, "failed in batch 1: ZeroDivisionError"),
        ("yield np.ones((1, 2)); yield np.ones((1, 3))", {}, "failed in batch 2: ValueError: array x of samples (3,)"),
        ("yield np.array([None])", {}, "holds x of dtype object"),
        ("yield np.array(['a'])", {}, "holds x of dtype <U1"),
        ("yield np.array([[1.0, np.nan]])", {}, "sample 0 of array 'x' holds nan"),
        ("yield np.ones((3, 4))", {"labels": "y"}, "has no labels 'y'"),
        ("yield np.ones((3, 4)), np.ones(2)", {"labels": "y"}, "array 'y' has 2 samples"),
        ("yield np.ones((3, 4))", {"samples": 4}, "4 samples out of 3"),
    ],
)
def test_what_a_callable_gives_is_checked(yielded, body, making, found):
    with pytest.raises(UsageError) as caught:
        yielded(f"def batches():\n    {body}", **making)
    assert found in str(caught.value)


def test_a_missing_function_is_named(arrays, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "feeding_nothing.py").write_text("x = 1")
    with pytest.raises(UsageError, match="has no attribute 'batches'"):
        arrays("callable", tmp_path / "feeding_nothing.py", callable="feeding_nothing:batches")


def test_keys_differ_by_all_that_decides_the_arrays(model, tmp_path):
    samples = plans.samples_of(numbered(tmp_path / "a.npz"), form="arrays")
    assert samples.key != replace(samples, sha256="other").key
