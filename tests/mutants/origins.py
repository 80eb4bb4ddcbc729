"""What mutants are made from: the healthy variants of the example models, and conversions of their other sources.

>>> origin = gather(Path("models/digits"), store)                  # doctest: +SKIP
>>> sorted(origin.foreign)[-2:]                                    # doctest: +SKIP
['without_batch_norm/float32', 'without_batch_norm/int8']

Everything goes through the real conversion, and is kept in the store: a second run makes nothing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liteproof.convert.conversion import prepare
from liteproof.manifest.resolve import load_plan
from liteproof.plan import Model
from liteproof.store import Entry, Store, digest_of, file_sha256
from tests.mutants import further, sources
from tests.mutants.folders import folder_of, rounded_variants, write_model
from tests.mutants.kinds import Origin

ROOT = Path(__file__).parents[2]
MODELS = ("digits", "digits-mobilenet")
# Beside the variants of the models' own manifests: what the other toolchain makes.
OTHER_TOOLCHAIN = {f"{recipe}_litert": (recipe, "litert") for recipe in ("dynamic_range", "int8", "int8_float_io")}
FOREIGN = {
    "retrained": ("float32", "int8", "int4"),
    "normalising": ("float32", "int8"),
    "without_batch_norm": ("float32", "int8"),
}


def gather(name: str, store: Store) -> Origin:
    """Make or fetch all that the mutants of a model are made from."""
    variants = convert(folder_of(name), store, rounded_variants(name))
    foreign = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_further(Path(scratch) / "further", name)
        made = convert(folder, store)
        variants |= {variant: made.pop(variant) for variant in further.tables(name)}
        foreign |= made
        float32 = {
            variant.name: entry(store, variant.training.float32_key).path.read_bytes()
            for variant in resolve(folder, store, tuple(further.tables(name))).variants
            if variant.training is not None
        }
        for source, path in other_sources(folder_of(name), store, Path(scratch)).items():
            folder = write_model(
                Path(scratch) / source,
                name,
                variants={recipe: {} for recipe in FOREIGN[source]},
                source=path,
            )
            foreign |= {f"{source}/{recipe}": content for recipe, content in convert(folder, store).items()}
    return Origin(name, variants, foreign, arrays(name, "calibration"), arrays(name, "evaluation"), float32)


def write_further(folder: Path, name: str) -> Path:
    """A model folder with the variants of `further`, and those that only mutants are made from."""
    variants = {**further.tables(name), **further.spoiled_tables(name)}
    return write_model(folder, name, variants, beside=further.recipe_files(name))


def arrays(name: str, which: str) -> dict[str, np.ndarray]:
    """The arrays of a model's calibration or evaluation set."""
    with np.load(folder_of(name) / f"{which}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def resolve(folder: Path, store: Store, names: Sequence[str] = ()) -> Model:
    """A model folder's plan, with these variants; with every one, if none is named."""
    return load_plan([folder], variant_names=names, root=ROOT, store=store).models[0]


def convert(folder: Path, store: Store, names: Sequence[str] = ()) -> dict[str, bytes]:
    """The content of these variants of a model folder; of every one, if none is named."""
    plan = load_plan([folder], variant_names=names, root=ROOT, store=store)
    prepare(plan, store)
    return {variant.name: entry(store, variant.key).path.read_bytes() for variant in plan.models[0].variants}


def entry(store: Store, key: str) -> Entry:
    """What the store has by now."""
    found = store.get(key)
    assert found is not None, store.failure(key)
    return found


def other_sources(folder: Path, store: Store, scratch: Path) -> dict[str, Path]:
    """The other sources of a model, trained if the store lacks them. Kept by all that decides them."""
    code = b"".join(path.read_bytes() for path in (folder / "train.py", Path(sources.__file__)))
    source = resolve(folder, store).source
    identity = {"source": source.sha256, "code": hashlib.sha256(code).hexdigest()}
    keys = {name: digest_of({"artefact": "source of mutants", "name": name, **identity}) for name in sources.NAMES}
    if any(store.get(key) is None for key in keys.values()):
        command = [sys.executable, "-m", "tests.mutants.sources", str(folder), str(scratch)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        for name, key in keys.items():
            store.put(key, scratch / f"{name}.keras", suffix=".keras")
    for name, key in keys.items():
        (scratch / f"{name}.keras").write_bytes(entry(store, key).path.read_bytes())
        assert file_sha256(scratch / f"{name}.keras") == entry(store, key).sha256
    return {name: scratch / f"{name}.keras" for name in sources.NAMES}
