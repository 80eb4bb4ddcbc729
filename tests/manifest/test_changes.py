"""Which models changed since a revision, in small repositories."""

import dataclasses
import subprocess
from dataclasses import replace

import pytest

from liteproof.errors import UsageError
from liteproof.manifest.changes import changed_models
from liteproof.plan import File, Making, Model, Plan, Samples, Variant
from liteproof.store import file_sha256


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def file(path):
    return File(str(path), file_sha256(path), path.stat().st_size)


def samples(path, making=None):
    return Samples(**dataclasses.asdict(file(path)), making=making)


def model(folder, *, calibration=None, custom_objects=None, given=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.toml", "source.keras", "evaluation.npz"):
        if not (folder / name).exists():
            (folder / name).write_text(name)
    variants = (Variant("copy", "int8", None, file(given), "k", {}),) if given else ()
    return Model(
        folder.name, "classification", file(folder / "model.toml"), file(folder / "source.keras"), "keras", None, None,
        None, 0.5, samples(folder / "evaluation.npz"), 1, False, calibration, False, custom_objects, "k", "r", variants,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "fixtures").mkdir(parents=True)
    (folder / "acceptance").mkdir()
    for name in ("fixtures/data.py", "fixtures/other.py", "acceptance/test_size.py", "README.md", ".gitignore"):
        (folder / name).write_text("*.bin\n" if name == ".gitignore" else "")
    model(folder / "models" / "first")
    model(folder / "models" / "second")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=x")
    return folder


def changed(repository, *models, revision="HEAD"):
    models = models or (model(repository / "models" / "first"), model(repository / "models" / "second"))
    plan = Plan(models, (), root=str(repository))
    return [m.name for m in changed_models(plan, revision, [repository / "acceptance", repository / "conftest.py"])]


def test_nothing_changed(repository):
    assert changed(repository) == []


@pytest.mark.parametrize("name", ["model.toml", "source.keras", "evaluation.npz", "accepted.json"])
def test_a_file_in_the_models_folder(repository, name):
    (repository / "models" / "second" / name).write_text("changed")
    assert changed(repository) == ["second"]


def test_a_committed_change_counts_as_much_as_one_in_the_work_tree(repository):
    (repository / "models" / "second" / "model.toml").write_text("changed")
    git(repository, "commit", "--all", "--quiet", "--message=y")
    assert changed(repository) == []
    assert changed(repository, revision="HEAD~1") == ["second"]


def test_a_deleted_file(repository):
    models = [model(repository / "models" / name) for name in ("first", "second")]
    (repository / "models" / "first" / "source.keras").unlink()
    assert changed(repository, *models) == ["first"]


def test_what_concerns_no_model(repository):
    (repository / "README.md").write_text("changed")
    assert changed(repository) == []


@pytest.mark.parametrize("name", ["acceptance/test_size.py", "acceptance/test_new.py", "conftest.py"])
def test_what_all_are_judged_by(repository, name):
    (repository / name).write_text("changed")
    assert changed(repository) == ["first", "second"]


def test_the_package_of_a_callable(repository):
    module = repository / "fixtures" / "data.py"
    yielded = samples(module, Making("callable", {"x": file(module)}, callable="fixtures.data:calibration"))
    calibrated = model(repository / "models" / "first", calibration=yielded)
    custom = model(repository / "models" / "second", custom_objects="fixtures.layers:objects")
    (repository / "fixtures" / "other.py").write_text("changed")
    assert changed(repository, calibrated, custom) == ["first", "second"]


def test_a_folder_of_images_is_an_input_and_what_is_pinned_elsewhere_is_in_the_manifest(repository):
    photos = repository / "photos"
    photos.mkdir()
    (photos / "1.png").write_text("x")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=y")
    first = model(repository / "models" / "first")
    folder = File(str(photos), "digest", 1)
    made = replace(first, evaluation=replace(first.evaluation, making=Making("images", {"x": folder})))
    far = replace(made, source=File("/store/blobs/source.keras", "digest", 1, "https://example.org/source.keras"))
    assert changed(repository, far) == []
    (photos / "1.png").write_text("changed")
    assert changed(repository, made) == ["first"]


def test_a_file_outside_the_models_folder(repository):
    shared = repository / "data.npz"
    shared.write_text("x")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=y")
    first = model(repository / "models" / "first", given=shared)
    assert changed(repository, first) == []
    shared.write_text("changed")
    assert changed(repository, first) == ["first"]


def test_what_git_does_not_watch_counts_as_changed(repository, tmp_path):
    ignored = repository / "models" / "first" / "weights.bin"
    outside = tmp_path / "outside.tflite"
    for path in (ignored, outside):
        path.write_text("x")
        assert changed(repository, model(repository / "models" / "first", given=path)) == ["first"]


@pytest.mark.parametrize("revision", ["no-such", "--output=x", ""])
def test_no_such_revision(repository, revision):
    with pytest.raises(UsageError, match="there is no revision"):
        changed(repository, revision=revision)


def test_no_work_tree(tmp_path):
    with pytest.raises(UsageError, match="needs a git work tree"):
        changed_models(Plan((model(tmp_path / "models" / "first"),), (), root=str(tmp_path)), "HEAD")


def test_suites_of_another_checkout_are_that_ones_affair(repository, tmp_path):
    """The base branch's suites over a fork's models: the revision is one of the models' own work tree."""
    base = tmp_path / "base"
    git(repository, "worktree", "add", "--quiet", str(base), "HEAD")
    (base / "acceptance" / "test_size.py").write_text("older")
    (repository / "models" / "second" / "model.toml").write_text("changed")
    models = (model(repository / "models" / "first"), model(repository / "models" / "second"))
    found = changed_models(Plan(models, (), root=str(base)), "HEAD", [base / "acceptance"])
    assert [m.name for m in found] == ["second"]
