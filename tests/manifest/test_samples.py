"""Sets of samples in every form that a manifest can name: what the plan knows of them before anything is decoded."""

import numpy as np
import pytest

from tests.manifest.build import functional, images, input_layer, keras_file, sequential

FORM = 'evaluation = "evaluation.npz"\ncalibration = "calibration.npz"\n'
EVALUATED = 'evaluation = "evaluation.npz"\n'
DRAWN = 'from = "evaluation.npz"'
CALIBRATED = "[variants.float32]\n[variants.int8]\n[variants.int8_float_io]\n"


@pytest.fixture
def data(repository, model):
    """Puts other lines into [data]; the manifest has no labels."""

    def write(text):
        path = model.path / "model.toml"
        head, _, _ = path.read_text().partition("[data]\n")
        variants = CALIBRATED if "calibration =" in text else "[variants.float32]\n"
        path.write_text(f"{head}[data]\n{text}\n{variants}")

    return write


@pytest.fixture
def loaded(repository, data):
    def load(text):
        data(text)
        return repository.load().models[0]

    return load


@pytest.fixture
def refused(repository, data):
    def load(text, **options):
        data(text)
        return repository.refused(**options)

    return load


def picture(path):
    """An image as far as a plan looks at it: by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


# -- .npz and .npy ----------------------------------------------------------------------------------------------------


def test_a_file_that_needs_nothing_is_read_as_it_is(loaded):
    model = loaded(FORM)
    assert (model.evaluation.key, model.evaluation.making, model.samples, model.labelled) == (None, None, 12, True)
    assert model.evaluation.sha256 == model.evaluation.named[0].sha256


def test_a_table_that_says_no_more_than_the_name_is_the_same(loaded):
    assert loaded('evaluation = { from = "evaluation.npz" }').evaluation == loaded(FORM).evaluation


def test_an_npy_and_its_labels_are_read_as_they_are(loaded, model):
    np.save(model.path / "x.npy", images())
    np.save(model.path / "y.npy", np.arange(12) % 3)
    found = loaded('evaluation = { from = "x.npy", labels = "y.npy" }')
    assert (found.samples, found.labelled, found.classes, found.evaluation.key) == (12, True, 3, None)
    assert sorted(found.evaluation.arrays) == ["x", "y"]
    assert not loaded('evaluation = "x.npy"').labelled
    assert loaded('evaluation = "x.npy"').evaluation.sha256 != found.evaluation.sha256


def test_one_npy_for_each_input(loaded, model):
    (model.path / "model.keras").write_bytes(
        keras_file(functional([["a", 0, 0], ["b", 0, 0]], input_layer("a", [None, 3]), input_layer("b", [None, 2])))
    )
    for name, width in (("a", 3), ("b", 2)):
        np.save(model.path / f"{name}.npy", np.zeros((5, width), np.float32))
    found = loaded('evaluation = { from = { a = "a.npy", b = "b.npy" } }')
    assert (found.samples, sorted(found.evaluation.arrays), found.evaluation.key) == (5, ["a", "b"], None)


def test_labels_by_another_name(loaded, model):
    np.savez(model.path / "set.npz", x=images(), target=np.arange(12))
    found = loaded('evaluation = { from = "set.npz", labels = "target" }')
    assert (found.labelled, found.classes) == (True, 12)
    assert found.evaluation.making.labels == "target"


NAMES = np.array(["cat", "dog", "bird"] * 4)


@pytest.mark.parametrize("y", [NAMES, NAMES.astype("S"), np.char.add(NAMES, " ")], ids=["text", "bytes", "blanks"])
def test_labels_that_are_names_become_numbers(loaded, model, y):
    model.arrays("evaluation", x=images(), y=y)
    found = loaded(EVALUATED)
    assert (found.labels, found.classes, found.labelled) == (("bird", "cat", "dog"), 3, True)
    model.replace('source = "model.keras"', 'source = "model.keras"\nlabels = ["dog", "owl", "cat", "bird"]')
    found = loaded(EVALUATED)
    assert found.evaluation.making.classes == ("dog", "owl", "cat", "bird")


def test_labels_in_a_file_of_their_own_may_be_names(loaded, model):
    np.save(model.path / "x.npy", images())
    np.save(model.path / "y.npy", NAMES)
    assert loaded('evaluation = { from = "x.npy", labels = "y.npy" }').labels == ("bird", "cat", "dog")


def test_a_name_that_is_no_label_is_told_with_its_sample(refused, model):
    model.arrays("evaluation", x=images(), y=NAMES)
    model.replace('source = "model.keras"', 'source = "model.keras"\nlabels = ["dogs", "bird", "cat"]')
    message = refused(EVALUATED)
    assert "sample 1 has the label 'dog' in array 'y'" in message
    assert "nearest: 'dogs'" in message


def test_text_is_no_regressions_label_and_no_input(refused, model):
    model.arrays("evaluation", x=NAMES, y=NAMES)
    assert "array 'x' is of dtype str" in refused(EVALUATED)
    model.arrays("evaluation", x=images(), y=NAMES)
    model.replace("classification", "regression")
    assert "array 'y' holds text" in refused(EVALUATED)


def test_what_is_compressed_and_large_is_unpacked_once(loaded, model, monkeypatch):
    as_it_is = loaded(FORM)
    monkeypatch.setattr("liteproof.manifest.forms.UNPACKED", 100)
    assert loaded(FORM).evaluation.key is None
    np.savez_compressed(model.path / "evaluation.npz", x=images(), y=np.arange(12) % 10)
    unpacked = loaded(FORM)
    assert unpacked.evaluation.key is not None
    assert unpacked.evaluation.sha256 == unpacked.evaluation.named[0].sha256 != as_it_is.evaluation.sha256


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('evaluation = { from = "x.npy", labels = "y.npz" }', 'labels = "y.npz" in [data.evaluation] is not there'),
        ('evaluation = { from = "x.npy", labels = "evaluation.npz" }', 'labels = "evaluation.npz"'),
        ('evaluation = { from = "evaluation.npz", labels = "z" }', "there is no array 'z' for the labels"),
        ('evaluation = { from = { x = "evaluation.npz" } }', "input x is no .npy"),
        ('evaluation = { from = "x.npy", labels = "short.npy" }', "array 'y' has 3 samples, 'x' has 12"),
        ('evaluation = "model.keras"', 'evaluation = "model.keras" in [data] is of no kind that is read'),
        ('evaluation = "object.npy"', "array 'x' holds Python objects, which are never unpickled"),
        ('evaluation = "broken.npy"', "sample 3 of array 'x' holds nan"),
        ('evaluation = "nchw.npy"', "array 'x' has shape (12, 1, 8, 8)"),
    ],
)
def test_arrays_that_do_not_do(refused, model, text, found):
    x = images()
    np.save(model.path / "x.npy", x)
    np.save(model.path / "short.npy", np.arange(3))
    np.save(model.path / "object.npy", np.array([None] * 3))
    np.save(model.path / "nchw.npy", np.moveaxis(x, -1, 1))
    x[3] = np.nan
    np.save(model.path / "broken.npy", x)
    assert found in refused(text)


# -- drawing ----------------------------------------------------------------------------------------------------------


def test_what_is_drawn_decides_the_key_and_nothing_else_does(loaded):
    text = 'evaluation = "evaluation.npz"\ncalibration = {{ from = "calibration.npz", {} }}'
    first = loaded(text.format("samples = 5"))
    assert first.calibration.making.samples == 5
    assert loaded(text.format("samples = 5, seed = 0")).calibration == first.calibration
    for other in ("samples = 6", "samples = 5, seed = 1"):
        assert loaded(text.format(other)).calibration.key != first.calibration.key
    keys = [{v.name: v.key for v in loaded(text.format(f"samples = {n}")).variants} for n in (5, 6)]
    assert {name for name in keys[0] if keys[0][name] != keys[1][name]} == {"int8", "int8_float_io"}


def test_an_evaluation_set_may_be_drawn_too(loaded):
    found = loaded('evaluation = { from = "evaluation.npz", samples = 10, stratify = true }')
    assert (found.samples, found.classes) == (10, 10)
    assert found.reference_key != loaded(FORM).reference_key


def test_both_sets_out_of_one_file_never_share_a_sample(loaded):
    found = loaded(
        'evaluation = { from = "evaluation.npz", samples = 7 }\ncalibration = { from = "evaluation.npz", samples = 5 }'
    )
    assert found.calibration.making.apart_from == found.evaluation.making


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('evaluation = { from = "evaluation.npz", samples = 13 }', "samples = 13 in [data.evaluation]: there are 12"),
        ('evaluation = { from = "evaluation.npz", seed = 1 }', "seed in [data.evaluation] without samples"),
        ('evaluation = { from = "evaluation.npz", stratify = true }', "stratify in [data.evaluation] without samples"),
        (
            'evaluation = "evaluation.npz"\ncalibration = { from = "calibration.npz", samples = 3, stratify = true }',
            "stratify in [data.calibration]: the set has no classes",
        ),
        ('evaluation = "evaluation.npz"\ncalibration = "evaluation.npz"', "is the evaluation set"),
        (
            'evaluation = "evaluation.npz"\ncalibration = { from = "evaluation.npz", samples = 3 }',
            "the calibration set is drawn from the evaluation set",
        ),
        (
            'evaluation = { from = "evaluation.npz", samples = 7 }\ncalibration = "evaluation.npz"',
            "holds the samples of the evaluation set",
        ),
        (
            f"evaluation = {{ {DRAWN}, samples = 7 }}\ncalibration = {{ {DRAWN}, samples = 6 }}",
            "there are 5 that are not in the evaluation set",
        ),
        (
            'evaluation = "evaluation.npz"\ntraining = "evaluation.npz"',
            'training = "evaluation.npz" in [data] is the evaluation set',
        ),
    ],
)
def test_drawing_that_cannot_be(refused, text, found):
    assert found in refused(text)


def test_a_copy_of_the_evaluation_set_under_another_name_is_refused(refused, model):
    (model.path / "copy.npz").write_bytes((model.path / "evaluation.npz").read_bytes())
    assert "is the evaluation set" in refused('evaluation = "evaluation.npz"\ncalibration = "copy.npz"')


# -- preprocessing ----------------------------------------------------------------------------------------------------


def test_preprocessing_holds_for_all_sets_and_decides_their_keys(loaded):
    plain, scaled = loaded(FORM), loaded(FORM + "scale = 0.5\noffset = -1\n")
    for key in ("evaluation", "calibration"):
        making = scaled.sets[key].making
        assert (making.scale, making.offset) == ({"x": (0.5,)}, {"x": (-1.0,)})
    assert scaled.reference_key != plain.reference_key
    assert loaded(FORM + "scale = 1\noffset = 0\n").evaluation == plain.evaluation


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("scale = [1, 2]", "scale in [data] has 2 numbers, the last axis of 'x' 1"),
        ("scale = 0", "scale = 0.0 in [data]"),
        ("offset = nan", "offset = nan in [data]"),
        ("scale = { z = 2 }", "there is no array 'z'"),
        ("resize = [4, 4]", "resize in [data] is for images; the evaluation set is none"),
        ("range = [0, 1]", "range in [data] is for images"),
        ("range = [0, 1]\nscale = 2", "range in [data] beside scale or offset"),
        ("columns = ['a']", "columns in [data] is for .csv files; the evaluation set is none"),
    ],
)
def test_preprocessing_that_means_nothing(refused, text, found):
    assert found in refused(FORM + text)


def test_of_several_inputs_it_says_which(refused, loaded, model):
    (model.path / "model.keras").write_bytes(
        keras_file(functional([["a", 0, 0], ["b", 0, 0]], input_layer("a", [None, 3]), input_layer("b", [None, 2])))
    )
    model.arrays("two", a=np.zeros((5, 3), np.float32), b=np.zeros((5, 2), np.float32))
    message = refused('evaluation = "two.npz"\nscale = 2')
    assert "does not say of which input" in message
    assert "scale = { a = 2.0 }" in message
    assert loaded('evaluation = "two.npz"\nscale = { b = [2, 3] }').evaluation.making.scale == {"b": (2.0, 3.0)}


# -- images -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(model):
    for name in ("cat/1.png", "cat/2.JPG", "dog/sub/1.jpeg", ".hidden/x.png", "cat/.DS_Store", "LICENSE"):
        picture(model.path / "photos" / name)
    return model.path / "photos"


IMAGES = 'evaluation = "photos"\nrange = [-1, 1]\n'


def test_a_folder_of_images_by_class(loaded, photos):
    found = loaded(IMAGES)
    assert (found.samples, found.labelled, found.labels, found.classes) == (3, True, ("cat", "dog"), 2)
    making = found.evaluation.making
    assert (making.sample, making.color, making.size) == ((8, 8, 1), "grayscale", None)
    assert making.scale == {"x": (2 / 255,)}
    assert making.offset == {"x": (-1.0,)}


def test_folders_go_by_name_onto_the_labels(loaded, model, photos):
    model.replace('source = "model.keras"', 'source = "model.keras"\nlabels = ["dog", "bird", "cat"]')
    found = loaded(IMAGES)
    assert (found.labels, found.evaluation.making.classes) == (("dog", "bird", "cat"),) * 2


def test_a_folder_that_is_no_label_names_the_nearest(refused, model, photos):
    model.replace('source = "model.keras"', 'source = "model.keras"\nlabels = ["dogs", "cat"]')
    message = refused(IMAGES)
    assert "class folder 'dog' of the evaluation set is none of the labels" in message
    assert "nearest: 'dogs'" in message


def test_a_calibration_folder_has_the_evaluation_sets_classes(loaded, refused, model, photos):
    picture(model.path / "more" / "dog" / "9.png")
    text = 'evaluation = "photos"\ncalibration = "more"\nrange = [0, 1]'
    assert loaded(text).calibration.making.classes == ("cat", "dog")
    picture(model.path / "more" / "dgo" / "9.png")
    assert "class folder 'dgo' of the calibration set" in refused(text)


def test_an_image_that_comes_or_changes_changes_the_key(loaded, photos):
    before = loaded(IMAGES).evaluation.key
    picture(photos / "cat" / "3.png")
    between = loaded(IMAGES).evaluation.key
    (photos / "cat" / "3.png").write_bytes(b"x")
    assert len({before, between, loaded(IMAGES).evaluation.key}) == 3
    assert loaded(IMAGES + "resize = [8, 8]").evaluation.key != loaded(IMAGES).evaluation.key


def test_images_alone_are_samples_without_labels(loaded, model):
    model.replace('task = "classification"', 'task = "regression"')
    picture(model.path / "photos" / "1.png")
    found = loaded(IMAGES)
    assert (found.samples, found.labelled) == (1, False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('evaluation = "photos"', "the values that images have for the model are not declared"),
        ('evaluation = "photos"\nrange = [1, 0]', "range = [1.0, 0.0] in [data]"),
        (IMAGES + "resize = [9, 9]", "array 'x' has shape (3, 9, 9, 1)"),
        (IMAGES + 'color = "rgb"', "array 'x' has shape (3, 8, 8, 3)"),
        ('evaluation = { from = "photos", labels = "y.npy" }\nrange = [0, 1]', "beside a folder of images"),
        (IMAGES + 'calibration = "calibration.npz"', "range in [data] is for images; the calibration set is none"),
    ],
)
def test_images_that_are_not_declared_as_they_must_be(refused, photos, text, found):
    assert found in refused(text)


def test_a_size_that_nobody_declares(refused, model, photos):
    (model.path / "model.keras").write_bytes(keras_file(sequential(input_layer("scan", [None, None, None, 3]))))
    assert "the size of the images is not declared" in refused(IMAGES)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cat/notes.txt", "notes.txt in a class folder is no image"),
        ("lost.png", "image lost.png lies beside the class folders"),
    ],
)
def test_folders_that_are_none_of_images(refused, photos, name, found):
    picture(photos / name)
    assert found in refused(IMAGES)


def test_an_empty_folder(refused, model):
    (model.path / "photos").mkdir()
    assert "there are no images in the folder" in refused(IMAGES)


def test_an_image_that_is_a_link_out_of_the_folder(refused, loaded, model, photos, tmp_path):
    picture(tmp_path / "secret.png")
    (photos / "cat" / "3.png").symlink_to(tmp_path / "secret.png")
    assert "a link that leads out of its folder" in refused(IMAGES)
    model.replace('source = "model.keras"', 'source = "model.keras"\nallow_outside = true')
    assert loaded(IMAGES).samples == 4


# -- CSV --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(model):
    (model.path / "model.keras").write_bytes(keras_file(sequential(input_layer("features", [None, 2]))))

    def write(text, name="data.csv"):
        (model.path / name).write_text(text, encoding="utf-8")

    return write


CSV = 'evaluation = { from = "data.csv", labels = "class" }\n'


def test_a_table_of_numbers_and_classes(loaded, table):
    table("a,b,class\n1,2,0\n3,4,2\n5,6,1\n")
    found = loaded(CSV)
    assert (found.samples, found.classes, found.labels) == (3, 3, None)
    assert found.evaluation.making.columns == ("a", "b")


def test_classes_by_name(loaded, model, table):
    table("class;b;a\nwave;2;1\npoint;4;3\n")
    found = loaded(CSV)
    assert (found.labels, found.evaluation.making.columns) == (("point", "wave"), ("b", "a"))
    model.replace('source = "model.keras"', 'source = "model.keras"\nlabels = ["wave", "rest", "point"]')
    assert loaded(CSV).evaluation.making.classes == ("wave", "rest", "point")


def test_columns_are_declared_once_for_all_tables(loaded, table):
    table("a,b,class\n1,2,0\n")
    table("time,b,a\n1,2,3\n", "other.csv")
    found = loaded(CSV + 'calibration = "other.csv"\ncolumns = ["a", "b"]')
    assert found.evaluation.making.columns == found.calibration.making.columns == ("a", "b")


def test_a_row_takes_the_shape_of_the_input(loaded, model, table):
    (model.path / "model.keras").write_bytes(keras_file(sequential(input_layer("window", [None, 2, 1]))))
    table("a,b,class\n1,2,0\n")
    assert loaded(CSV).evaluation.making.sample == (2, 1)


@pytest.mark.parametrize(
    ("text", "manifest", "found", "expected"),
    [
        ("a,b,clas\n1,2,0\n", CSV, "there is no column 'class'", "nearest: 'clas'"),
        ("1,2,3\n1,2,0\n", CSV, "line 1 names a column '1'", "names of the columns"),
        ("a,a,class\n1,2,0\n", CSV, "two columns are named 'a'", "different"),
        ("a,b,class\n", CSV, "the table has no rows", "a row for each sample"),
        ("", CSV, "the table is empty", "a line of names"),
        ("a,b,class\n1,2,0\n1,2\n", CSV, "line 3 has 2 cells", "3, as the first line"),
        ("a,b,c,class\n1,2,3,0\n", CSV, "array 'x' has shape (1, 3)", "(n, 2)"),
        ("a,b,class\n1,2,-1\n", CSV, "has label -1", "from 0"),
        ("a,b,class\n1,2,0\n", CSV + 'columns = ["a", "c"]', "there is no column 'c'", "a column"),
        ("a,b,class\n1,2,0\n", CSV + 'columns = ["a", "class"]', "column 'class' is a feature and the labels", "one"),
        (
            "a,b,class\n1,2,0\n",
            CSV + 'calibration = "swapped.csv"',
            "the set's columns are b, a",
            "a, b, as the evaluation set's",
        ),
    ],
)
def test_tables_that_do_not_do(refused, table, text, manifest, found, expected):
    table(text)
    table("b,a\n1,2\n", "swapped.csv")
    message = refused(manifest)
    assert found in message
    assert expected in message


def test_a_class_that_is_no_label_is_named_with_its_line(refused, model, table):
    model.replace('source = "model.keras"', 'source = "model.keras"\nlabels = ["wave", "point"]')
    table("a,b,class\n1,2,wave\n1,2,wvae\n")
    message = refused(CSV)
    assert "line 3, column 'class' holds the label 'wvae'" in message
    assert "nearest: 'wave'" in message
    assert "models/digits/data.csv" in message


# -- callables --------------------------------------------------------------------------------------------------------


@pytest.fixture
def yields(repository):
    (repository.root / "feeding.py").write_text("raise RuntimeError('imported')\n")


def test_an_evaluation_set_by_a_callable(loaded, yields):
    found = loaded('evaluation = { from = "feeding:batches", samples = 20, labels = "y" }\nscale = 2')
    assert (found.samples, found.labelled, found.evaluation.callable) == (20, True, "feeding:batches")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('evaluation = "feeding:batches"', "does not say how many samples there are"),
        ('evaluation = { from = "feeding:", samples = 3 }', 'from = "feeding:" in [data.evaluation]'),
        ('evaluation = { from = "nowhere:batches", samples = 3 }', "there is no module nowhere"),
        (
            'evaluation = { from = "feeding:batches", samples = 3, stratify = true }',
            "stratify in [data.evaluation]: the set has no classes",
        ),
        (
            'evaluation = { from = "feeding:batches", samples = 3 }\ncalibration = "feeding:batches"',
            "holds the samples of the evaluation set",
        ),
    ],
)
def test_callables_that_do_not_do(refused, yields, text, found):
    assert found in refused(text)


@pytest.mark.parametrize("key", ["evaluation", "calibration", "training"])
@pytest.mark.parametrize("value", ['"feeding:batches"', '{ from = "feeding:batches", samples = 3 }'])
def test_no_code_refuses_callables_in_every_form(refused, yields, key, value):
    rest = "" if key == "evaluation" else 'evaluation = "evaluation.npz"\n'
    message = refused(f"{rest}{key} = {value}", no_code=True)
    assert f'{key} = "feeding:batches" in [data] runs Python' in message
