"""A request becomes a plan, or one message that says what is wrong with it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from liteproof import plan
from liteproof.store import file_sha256
from tests.manifest.build import IMAGE, ModelFolder, images, keras_file

DATA = Path(__file__).parents[1] / "measure" / "data"


def test_a_plan_holds_all_that_the_manifest_says(repository, model):
    loaded = repository.load()
    (digits,) = loaded.models
    assert (digits.name, digits.task, digits.source_kind) == ("digits", "classification", "keras")
    assert (digits.samples, digits.labelled, digits.classes) == (12, True, 10)
    assert [variant.name for variant in digits.variants] == ["float32", "int8", "int8_float_io"]
    assert {variant.toolchain for variant in digits.variants} == {"tensorflow"}
    assert digits.source.sha256 == file_sha256(model.path / "model.keras")
    assert digits.source.bytes == (model.path / "model.keras").stat().st_size
    assert Path(digits.source.path) == model.path / "model.keras"
    assert loaded.root == str(repository.root)
    assert [case.id for case in loaded.cases()][1] == "digits-int8-host"


def test_a_plan_survives_its_journey_to_a_worker(repository, model):
    model.add('[[waivers]]\nvariant = "int8"\nrule = "bias_scale"\nreason = "vendor"\nuntil = 2027-03-31\n')
    loaded = repository.load()
    assert loaded.models[0].variants[1].waivers[0].until.isoformat() == "2027-03-31"
    assert plan.decode(plan.encode(loaded)) == loaded


# -- keys -------------------------------------------------------------------------------------------------------------


def keys_of(repository):
    (digits,) = repository.load().models
    named = {variant.name: variant.key for variant in digits.variants}
    return {**named, "_float32": digits.float32_key, "_reference": digits.reference_key}


def changed(before, after):
    return {name for name in before if before[name] != after[name]}


def test_the_judged_float32_variant_is_the_one_that_others_are_compared_with(repository):
    keys = keys_of(repository)
    assert keys["float32"] == keys["_float32"]
    assert len(set(keys.values())) == 4


def test_a_source_decides_every_artefact(repository, model):
    before = keys_of(repository)
    (model.path / "model.keras").write_bytes(keras_file({**IMAGE, "another": "training"}))
    assert changed(before, keys_of(repository)) == set(before)


def test_calibration_data_decides_what_is_calibrated_and_nothing_else(repository, model):
    before = keys_of(repository)
    model.arrays("calibration", x=images(seed=2))
    assert changed(before, keys_of(repository)) == {"int8", "int8_float_io"}


def test_evaluation_data_decides_the_reference_and_nothing_else(repository, model):
    before = keys_of(repository)
    model.arrays("evaluation", x=images(seed=3))
    assert changed(before, keys_of(repository)) == {"_reference"}


def test_budgets_and_labels_decide_no_artefact(repository, model):
    before = keys_of(repository)
    model.add("[budgets]\ntop1_agreement = 0.5\n")
    assert changed(before, keys_of(repository)) == set()


def test_trust_decides_every_artefact(repository, model):
    before = keys_of(repository)
    model.replace('source = "model.keras"', 'source = "model.keras"\ntrust = true')
    assert changed(before, keys_of(repository)) == set(before)


def test_the_toolchain_decides_the_bytes(repository, model):
    model.add('[variants.int8_litert]\nrecipe = "int8"\ntoolchain = "litert"\n')
    keys = keys_of(repository)
    assert keys["int8_litert"] != keys["int8"]
    assert repository.variant("int8_litert").toolchain == "litert"


def test_a_callable_is_identified_by_its_modules_source_and_not_imported(repository, model):
    module = repository.root / "calibrating.py"
    module.write_text("raise RuntimeError('imported')\n")
    model.replace('"calibration.npz"', '"calibrating:batches"')
    before = keys_of(repository)
    module.write_text("raise RuntimeError('imported again')\n")
    assert changed(before, keys_of(repository)) == {"int8", "int8_float_io"}
    assert repository.load().models[0].calibration.callable == "calibrating:batches"


def test_two_variants_of_one_content_share_a_key_whatever_their_names(repository, model):
    for name in ("a", "b"):
        (model.path / f"{name}.tflite").write_bytes(b"....TFL3")
        model.add(f'[variants.{name}]\nfile = "{name}.tflite"\nrecipe = "int8"\n')
    keys = keys_of(repository)
    assert keys["a"] == keys["b"]
    variant = repository.variant("a")
    assert (variant.toolchain, Path(variant.file.path).name, variant.recipe) == (None, "a.tflite", "int8")


def test_a_file_named_after_a_recipe_claims_to_be_it(repository, model):
    (model.path / "a.tflite").write_bytes(b"....TFL3")
    model.add('[variants.uint8]\nfile = "a.tflite"\n')
    assert repository.variant("uint8").recipe == "uint8"


# -- a .tflite source -------------------------------------------------------------------------------------------------


@pytest.fixture
def tflite(repository, model):
    (model.path / "model.tflite").write_bytes((DATA / "dense_float32.tflite").read_bytes())
    model.arrays("evaluation", x=images(12).reshape(12, 64)[:, :6])
    model.arrays("calibration", x=images(12, 1).reshape(12, 64)[:, :6])
    model.replace("model.keras", "model.tflite")
    model.replace("[variants.int8]", "[variants.dynamic_range]\n[variants.int4]\n[variants.int8]")
    return model


def test_the_float32_variant_of_a_tflite_source_is_the_source(repository, tflite):
    (loaded,) = repository.load().models
    float32 = loaded.variants[0]
    assert float32.key == loaded.float32_key
    assert (float32.file, float32.toolchain) == (loaded.source, None)
    assert [variant.toolchain for variant in loaded.variants[1:]] == ["litert"] * 4


@pytest.mark.parametrize("recipe", ["float16", "uint8", "int16x8"])
def test_recipes_of_tensorflow_cannot_start_from_a_tflite(repository, tflite, recipe):
    tflite.add(f"[variants.{recipe}]\n")
    message = repository.refused()
    assert f"recipe {recipe} cannot start from a .tflite source" in message
    assert f"digits/model.toml [variants.{recipe}]" in message


def test_tensorflow_cannot_convert_a_tflite_even_if_asked(repository, tflite):
    tflite.add('[variants.other]\nrecipe = "int8"\ntoolchain = "tensorflow"\n')
    assert "toolchain tensorflow does not know recipe int8 from a .tflite source" in repository.refused()


def test_a_quantized_tflite_is_no_source(repository, tflite):
    (tflite.path / "model.tflite").write_bytes((DATA / "dense_int8.tflite").read_bytes())
    assert "quantized already" in repository.refused()


# -- variants ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "found", "expected"),
    [
        ('[variants.small]\nrecipe = "int9"', 'recipe = "int9" in [variants.small]', "a recipe; nearest: 'int"),
        ("[variants.flota16]", "[variants.flota16] is not named after a recipe", "nearest: 'float16'"),
        ('[variants.colab]\nfile = "model.keras"', "does not say what its file claims to be", "a recipe"),
        ('[variants.uint8]\ntoolchain = "litert"', "toolchain litert does not know recipe uint8", "tensorflow"),
        ('[variants.int4]\ntoolchain = "tensorflow"', "toolchain tensorflow does not know recipe int4", "litert"),
        ('[variants.uint8]\ntoolchain = "tensorflw"', 'toolchain = "tensorflw"', "nearest: 'tensorflow'"),
        ('[variants.uint8]\nrecpie = "uint8"', "unknown key 'recpie' in [variants.uint8]", "nearest: 'recipe'"),
        ('[variants.uint8]\nfile = "model.keras"\ntoolchain = "litert"', "toolchain in [variants.uint8] beside", "one"),
        ("[variants]\nuint8 = true", "variants.uint8 is a boolean", "a table"),
        ('[variants."a b"]\nrecipe = "int8"', "the variant name 'a b'", "letters, digits"),
        ('[variants.all]\nrecipe = "int8"', "'all' stands for a table of budgets", "not reserved"),
        ('[variants.accuracy]\nrecipe = "int8"', "'accuracy' is the name of a metric", "not reserved"),
        ('[variants.speedup]\nrecipe = "int8"', "'speedup' is the name of a metric", "not reserved"),
        ('[variants.uint8]\nfile = "missing.tflite"', 'file = "missing.tflite" in [variants.uint8] is not there', "a"),
    ],
)
def test_a_variant_that_means_nothing_is_refused(repository, model, table, found, expected):
    text = table if table.startswith("[variants]") else f"[variants.int8]\n{table}"
    model.manifest(
        f'[model]\ntask = "classification"\nsource = "model.keras"\n[data]\nevaluation = "evaluation.npz"\n'
        f'calibration = "calibration.npz"\n{text}\n'
    )
    message = repository.refused()
    assert found in message
    assert expected in message.split("expected:")[1]
    assert "digits/model.toml" in message


def test_no_variants_are_refused(repository, model):
    for name in ("float32", "int8_float_io", "int8"):
        model.replace(f"[variants.{name}]\n", "")
    assert "there are no variants" in repository.refused()


def test_a_calibrated_recipe_needs_calibration_data(repository, model):
    model.replace('calibration = "calibration.npz"', "")
    message = repository.refused()
    assert "recipe int8 needs a calibration set" in message
    assert "[variants.int8]" in message


def test_a_file_variant_needs_no_calibration_data(repository, model):
    (model.path / "a.tflite").write_bytes(b"....TFL3")
    model.replace('calibration = "calibration.npz"', "")
    model.replace("[variants.int8]\n[variants.int8_float_io]", '[variants.int8]\nfile = "a.tflite"')
    assert [variant.name for variant in repository.load().models[0].variants] == ["float32", "int8"]


# -- [model] ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "found", "expected"),
    [
        ("[model]", "[modle]", "unknown key 'modle' in the file", "nearest: 'model'"),
        ("[data]", "[extra]\na = 1\n[data]", "unknown key 'extra' in the file", "model, data, variants"),
        ("task =", "taks =", "unknown key 'taks' in [model]", "nearest: 'task'"),
        ('"classification"', '"clasification"', 'task = "clasification"', "nearest: 'classification'"),
        ('"classification"', "3", "task = 3 in [model] is a whole number", '"binary"'),
        ("[data]", 'prefer = "accurate"\n[data]', 'prefer = "accurate"', "nearest: 'most-accurate'"),
        ("[data]", "threshold = 0.5\n[data]", "threshold in [model]", 'task = "binary"'),
        ("[data]", 'trust = "yes"\n[data]', 'trust = "yes" in [model] is a string', "true or false"),
        ("[data]", 'outputs = "logit"\n[data]', 'outputs = "logit"', "nearest: 'logits'"),
        ("[data]", 'custom_objects = "layers"\n[data]', 'custom_objects = "layers"', "package.module:name"),
        ("[data]", 'custom_objects = "no_such:layers"\n[data]', "there is no module no_such", "no_such.py"),
        ("[data]", 'labels = ["a", 1]\n[data]', 'labels = ["a", 1]', "an array of strings"),
        ("[data]", 'labels = ["a", "a"]\n[data]', "label 1 is 'a', as label 0 is", "different names"),
        ("[data]", 'labels = ["a"]\n[data]', "there are 1 labels", "at least two"),
        ("[data]", 'labels = "lables.txt"\n[data]', 'labels = "lables.txt" in [model] is not there', "a file"),
        ('source = "model.keras"', "", "[model] has no key 'source'", "source = a string"),
        ('source = "model.keras"', 'source = "model.txt"', 'source = "model.txt" in [model] is not there', "model."),
        ('source = "model.keras"', 'source = "modle.keras"', "is not there", "nearest in"),
        ('source = "model.keras"', 'source = "evaluation.npz"', "of no kind that can be converted", ".keras"),
        ('source = "model.keras"', 'source = ""', 'source = "" in [model] is not there', "a file"),
        ('source = "model.keras"', 'source = "a\\u0000b"', "source = ", "without control characters"),
        ("[variants.float32]", '[release]\ntargets = ["pi"]\n[variants.float32]', "there is no target 'pi'", "host"),
        ("[variants.float32]", "[release]\ntargets = []\n[variants.float32]", "targets = []", "not empty"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(repository, model, old, new, found, expected):
    model.replace(old, new)
    message = repository.refused()
    assert found in message.splitlines()[0]
    assert expected in message.split("expected:")[1].splitlines()[0]
    assert "digits/model.toml" in message.split("where:")[1]


@pytest.mark.parametrize("key", ['labels = ["a", "b"]', 'outputs = "logits"'])
def test_keys_of_classifiers_mean_nothing_for_a_regression(repository, model, key):
    model.replace('task = "classification"', f'task = "regression"\n{key}')
    assert "means nothing for a regression" in repository.refused()


def test_a_folder_that_is_no_savedmodel_is_refused_and_the_right_one_named(repository, model):
    (model.path / "export" / "1").mkdir(parents=True)
    (model.path / "export" / "1" / "saved_model.pb").write_bytes(b"graph")
    model.replace('source = "model.keras"', 'source = "export"')
    message = repository.refused()
    assert "is a folder without saved_model.pb" in message
    assert "there is one in" in message
    assert "export/1" in message


def test_a_savedmodel_is_a_source_whose_inputs_are_not_known(repository, model):
    (model.path / "export" / "variables").mkdir(parents=True)
    (model.path / "export" / "saved_model.pb").write_bytes(b"graph")
    (model.path / "export" / "variables" / "data").write_bytes(b"weights")
    model.replace('source = "model.keras"', 'source = "export"')
    model.arrays("evaluation", left=images(), right=images())
    (loaded,) = repository.load().models
    assert loaded.source_kind == "savedmodel"
    assert loaded.source.sha256 == file_sha256(model.path / "export")
    assert loaded.source.bytes == len(b"graphweights")


def test_a_source_that_is_there_but_broken_is_left_to_conversion(repository, model):
    (model.path / "model.keras").write_bytes(b"PK\x03\x04 broken")
    assert repository.load().models[0].source_kind == "keras"


def test_weights_alone_are_no_source(repository, model):
    h5py = pytest.importorskip("h5py")
    with h5py.File(model.path / "weights.h5", "w") as file:
        file.create_group("layers")
    model.replace("model.keras", "weights.h5")
    assert "weights without an architecture" in repository.refused()


@pytest.mark.parametrize(
    "key", ['source = "model.keras"', 'evaluation = "evaluation.npz"', 'calibration = "calibration.npz"']
)
def test_a_git_lfs_pointer_is_told_with_its_cure(repository, model, key):
    name = key.split('"')[1]
    (model.path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    message = repository.refused()
    assert f"{key} in" in message
    assert "is a Git LFS pointer" in message
    assert "git lfs pull" in message


def test_a_git_lfs_pointer_inside_a_savedmodel_is_found(repository, model):
    (model.path / "export").mkdir()
    (model.path / "export" / "saved_model.pb").write_text("version https://git-lfs.github.com/spec/v1\n")
    model.replace("model.keras", "export")
    assert "Git LFS pointer" in repository.refused()


def test_a_variant_file_that_is_a_git_lfs_pointer_is_told(repository, model):
    (model.path / "a.tflite").write_text("version https://git-lfs.github.com/spec/v1\n")
    model.add('[variants.uint8]\nfile = "a.tflite"\n')
    assert "[variants.uint8] is a Git LFS pointer" in repository.refused()


# -- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["parent", "absolute", "link"])
def test_paths_that_leave_the_folder_need_permission(repository, model, way):
    outside = repository.root / "outside.npz"
    (model.path / "evaluation.npz").rename(outside)
    if way == "link":
        (model.path / "linked.npz").symlink_to(outside)
    name = {"parent": "../../outside.npz", "absolute": str(outside), "link": "linked.npz"}[way]
    model.replace("evaluation.npz", name)
    assert "leads out of the model's folder" in repository.refused()
    model.replace("[data]", "allow_outside = true\n[data]")
    assert repository.load().models[0].samples == 12


def test_a_path_may_go_up_and_down_again(repository, model):
    model.replace("evaluation.npz", "../digits/evaluation.npz")
    assert repository.load().models[0].evaluation.path == str(model.path / "evaluation.npz")


def test_a_device_is_not_a_file(repository, model):
    model.replace("evaluation.npz", "/dev/zero")
    model.replace("[data]", "allow_outside = true\n[data]")
    assert "not a regular file" in repository.refused()


# -- --no-code --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("[data]", "trust = true\n[data]", "trust = true in [model]"),
        ("[data]", 'custom_objects = "a:b"\n[data]', 'custom_objects = "a:b" in [model]'),
        ('"calibration.npz"', '"a:b"', 'calibration = "a:b" in [data]'),
    ],
)
def test_no_code_refuses_all_that_runs_python(repository, model, old, new, key):
    (repository.root / "a.py").write_text("")
    model.replace(old, new)
    assert repository.load().models
    message = repository.refused(no_code=True)
    assert f"{key} runs Python" in message
    assert "--no-code" in message


def test_no_code_refuses_files_outside_the_models_folder(repository, model):
    model.replace("[data]", "allow_outside = true\n[data]")
    assert repository.load().models
    assert "allow_outside = true in [model] reads files of yours" in repository.refused(no_code=True)


def test_no_code_lets_plain_files_pass(repository):
    assert repository.load(no_code=True).no_code


# -- data -------------------------------------------------------------------------------------------------------------


def test_evaluation_and_calibration_may_not_be_the_same(repository, model):
    model.replace("calibration.npz", "evaluation.npz")
    message = repository.refused()
    assert 'calibration = "evaluation.npz" in [data] is the evaluation set' in message


def test_arrays_that_do_not_fit_the_model_are_told_with_both_shapes(repository, model):
    model.arrays("calibration", x=images()[:, :7])
    message = repository.refused()
    assert "array 'x' has shape (12, 7, 8, 1)" in message
    assert "(n, 8, 8, 1), as the model's input 'scan' has" in message
    assert "digits/calibration.npz" in message


def test_labels_outside_the_classes_are_told_with_the_sample(repository, model):
    model.replace("[data]", 'labels = ["a", "b", "c", "d", "e"]\n[data]')
    message = repository.refused()
    assert "sample 9 has label 9 in array 'y'" in message
    assert "there are 5 labels" in message


def test_labels_come_from_a_file_a_line_each(repository, model):
    (model.path / "labels.txt").write_bytes("\ufeffnull\r\neins\r\n".encode() + b"".join(b"%d\n" % i for i in range(8)))
    model.replace("[data]", 'labels = "labels.txt"\n[data]')
    (loaded,) = repository.load().models
    assert loaded.labels[:3] == ("null", "eins", "0")
    assert loaded.classes == 10


def test_a_binary_model_has_two_classes(repository, model):
    model.replace('"classification"', '"binary"\nthreshold = 0.3')
    assert "sample 9 has label 9" in repository.refused()
    model.arrays("evaluation", x=images(), y=np_bool(12))
    (loaded,) = repository.load().models
    assert (loaded.classes, loaded.threshold) == (2, 0.3)


def np_bool(n):
    return [bool(i % 2) for i in range(n)]


def test_a_threshold_is_a_probability(repository, model):
    model.replace('"classification"', '"binary"\nthreshold = 1.5')
    assert "a probability between 0 and 1" in repository.refused()


def test_without_y_or_labels_the_classes_are_not_known(repository, model):
    model.arrays("evaluation", x=images())
    (loaded,) = repository.load().models
    assert (loaded.labelled, loaded.classes) == (False, None)
    assert "accuracy_drop" not in loaded.variants[1].budgets["host"]


def test_a_regression_takes_any_y(repository, model):
    model.replace('"classification"', '"regression"')
    model.arrays("evaluation", x=images(), y=images())
    (loaded,) = repository.load().models
    assert (loaded.labelled, loaded.classes) == (True, None)


# -- waivers ----------------------------------------------------------------------------------------------------------

WAIVER = '[[waivers]]\nvariant = "int8"\nrule = "bias_scale"\nreason = "vendor"\nuntil = 2027-03-31\n'


@pytest.mark.parametrize(
    ("old", "new", "found", "expected"),
    [
        ('"int8"', '"int9"', 'variant = "int9" in [[waivers]]', "nearest: 'int8'"),
        ("bias_scale", "bias_scales", 'rule = "bias_scales" in [[waivers]]', "nearest: 'bias_scale'"),
        ('"bias_scale"', '"top1_agrement"', 'rule = "top1_agrement"', "nearest: 'top1_agreement'"),
        ("2027-03-31", '"soon"', 'until = "soon"', "a date such as"),
        ("2027-03-31", "2027", "until = 2027", "a date such as"),
        ('reason = "vendor"', 'reason = " "', 'reason = " "', "a reason"),
        ('reason = "vendor"\n', "", "has no key 'reason'", "reason = "),
    ],
)
def test_a_waiver_that_means_nothing_is_refused(repository, model, old, new, found, expected):
    model.add(WAIVER.replace(old, new))
    message = repository.refused()
    assert found in message
    assert expected in message.split("expected:")[1]


def test_waivers_are_an_array_of_tables(repository, model):
    model.add('[waivers]\nvariant = "int8"\n')
    assert "[[waivers]]" in repository.refused()


# -- selection --------------------------------------------------------------------------------------------------------


def test_a_run_can_be_narrowed(repository):
    ModelFolder(repository.models / "letters")
    assert [model.name for model in repository.load().models] == ["digits", "letters"]
    (letters,) = repository.load(model_names=["letters"], variant_names=["int8"]).models
    assert (letters.name, [variant.name for variant in letters.variants]) == ("letters", ["int8"])


def test_a_manifest_that_is_not_asked_for_is_not_looked_at(repository):
    ModelFolder(repository.models / "broken").manifest("[model\n")
    assert repository.load(model_names=["digits"]).models


def test_models_without_the_asked_variant_are_left_out(repository):
    ModelFolder(repository.models / "letters").add("[variants.float16]\n")
    assert [model.name for model in repository.load(variant_names=["float16"]).models] == ["letters"]


@pytest.mark.parametrize(
    ("options", "found", "expected"),
    [
        ({"model_names": ["digit"]}, "there is no model 'digit'", "nearest: 'digits'"),
        ({"variant_names": ["int8", "in8"]}, "there is no variant 'in8'", "nearest: 'int8'"),
        ({"target_names": ["hots"]}, "there is no target 'hots'", "nearest: 'host'"),
    ],
)
def test_a_name_that_selects_nothing_is_refused(repository, options, found, expected):
    message = repository.refused(**options)
    assert found in message
    assert expected in message


def test_a_models_own_folder_can_be_named(repository, model):
    from liteproof.manifest import load_plan

    loaded = load_plan([model.path, repository.models], root=repository.root, store=repository.store)
    assert [model.name for model in loaded.models] == ["digits"]


def test_two_models_of_one_name_are_refused(repository):
    ModelFolder(repository.root / "more" / "digits")
    from liteproof.errors import UsageError
    from liteproof.manifest import load_plan

    with pytest.raises(UsageError, match="two models are named 'digits'"):
        load_plan([repository.models, repository.root / "more"], root=repository.root, store=repository.store)


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_no_models_are_refused(repository, name):
    from liteproof.errors import UsageError
    from liteproof.manifest import load_plan

    (repository.root / "empty").mkdir()
    with pytest.raises(UsageError, match=r"model\.toml"):
        load_plan([repository.root / name], root=repository.root, store=repository.store)


def test_a_folders_name_is_a_models_name(repository):
    ModelFolder(repository.models / "my model")
    assert "the model (folder) name 'my model'" in repository.refused()


# -- cost -------------------------------------------------------------------------------------------------------------


def test_what_is_known_of_a_file_is_not_looked_up_again(repository, model, monkeypatch):
    model.age()
    monkeypatch.setattr("liteproof.manifest.memory._SETTLED_NS", -1)
    before = repository.load()
    for name in ("memory.file_sha256", "forms.find_arrays", "resolve.find_expectation"):
        monkeypatch.setattr(f"liteproof.manifest.{name}", None)
    assert repository.load() == before


def test_loading_imports_no_runtime_and_no_converter(repository, model):
    (model.path / "a.tflite").write_bytes((DATA / "dense_int8.tflite").read_bytes())
    model.add('[variants.uint8]\nfile = "a.tflite"\n')
    code = (
        "import json, sys; from pathlib import Path; from liteproof.manifest import load_plan; "
        "from liteproof.store import Store; root = Path(sys.argv[1]); "
        "load_plan([root / 'models'], root=root, store=Store(root / 'store')); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, repository.root], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert (
        loaded & {"tensorflow", "keras", "ai_edge_litert", "tflite_runtime", "litert_quantizer", "h5py", "tflite"}
        == set()
    )


def test_a_toolchain_that_is_not_installed_is_absent(monkeypatch):
    from liteproof.manifest import keys

    monkeypatch.setattr(keys, "installed", lambda _: None)
    assert keys._installed(("tensorflow", "tensorflow-cpu")) == "absent"


# -- a mixed recipe ---------------------------------------------------------------------------------------------------

STATIC = {
    "regex": ".*", "operation": "*", "algorithm_key": "min_max_uniform_quantize",
    "op_config": {
        "activation_tensor_config": {"num_bits": 8, "granularity": "TENSORWISE", "dtype": "INT"},
        "weight_tensor_config": {"num_bits": 8, "granularity": "CHANNELWISE", "dtype": "INT"},
        "compute_precision": "INTEGER", "explicit_dequantize": False,
    },
}  # fmt: skip
FLOAT = {"regex": "head", "operation": "FULLY_CONNECTED", "algorithm_key": "no_quantize"}


@pytest.fixture
def mixed(repository, model):
    (model.path / "mixed.json").write_text(json.dumps([STATIC, FLOAT]))
    model.add('[variants.head_in_float]\nrecipe = "mixed.json"\n')
    return repository


def test_a_recipe_can_be_a_file_of_rules(mixed):
    variant = mixed.variant("head_in_float")
    assert (variant.recipe, variant.toolchain) == ("mixed.json", "litert")
    assert [rule.operation for rule in variant.promise.rules] == ["*", "FULLY_CONNECTED"]
    assert (variant.promise.inputs, variant.promise.calibrated) == ("int8", True)
    assert variant.budgets["host"]["top1_agreement"] == 0.95
    assert variant.budgets["host"]["float_ops"] == 0
    assert plan.decode(plan.encode(mixed.load())) == mixed.load()


def test_the_rules_and_the_calibration_set_decide_the_bytes_and_the_spelling_does_not(mixed, model):
    before = keys_of(mixed)
    (model.path / "mixed.json").write_text(json.dumps([STATIC, FLOAT], indent=4))
    assert changed(before, keys_of(mixed)) == set()
    (model.path / "mixed.json").write_text(json.dumps([STATIC, {**FLOAT, "regex": "tail"}]))
    assert changed(before, keys_of(mixed)) == {"head_in_float"}
    model.arrays("calibration", x=images(seed=2))
    assert "head_in_float" in changed(before, keys_of(mixed))


def test_a_file_can_claim_to_be_of_a_mixed_recipe(mixed, model):
    (model.path / "a.tflite").write_bytes(b"....TFL3")
    model.add('[variants.a]\nfile = "a.tflite"\nrecipe = "mixed.json"\n')
    assert [rule.operation for rule in mixed.variant("a").promise.rules] == ["*", "FULLY_CONNECTED"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("[", "Expecting value"),
        ("{}", "it is no array of rules"),
        (json.dumps([{**FLOAT, "algorithm_key": "GPTQ"}]), "rule 1 has the algorithm 'GPTQ'"),
        (json.dumps([{**FLOAT, "operation": "FULLY_CONECTED"}]), "rule 1 is for the operation 'FULLY_CONECTED'"),
    ],
)
def test_rules_that_cannot_be_read_are_refused(mixed, model, content, found):
    (model.path / "mixed.json").write_text(content)
    message = mixed.refused()
    assert found in message
    assert 'recipe = "mixed.json" in [variants.head_in_float]' in message
    assert "docs/recipes.md" in message


def test_a_file_of_rules_must_be_there(mixed, model):
    (model.path / "mixed.json").unlink()
    assert "mixed.json" in mixed.refused()


def test_only_litert_quantizer_knows_rules(mixed, model):
    model.add('toolchain = "tensorflow"\n')
    assert "toolchain tensorflow does not know recipe mixed.json" in mixed.refused()
