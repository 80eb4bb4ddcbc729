"""What converting a model cannot do without: one import of TensorFlow, one load, one export, each converter's own time.

    python -m benchmarks.floor models/digits-mobilenet

One process, one thing after the other, by liteproof's own workers' functions; prints seconds as JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from liteproof.convert import worker
from liteproof.convert.tasks import Task, export_key
from liteproof.manifest.resolve import load_plan
from liteproof.store import Store

ROOT = Path(__file__).parents[1]
T = TypeVar("T")


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    """How long it took, and what came of it."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def floor(folder: Path, scratch: Path, variants: tuple[str, ...]) -> dict[str, float | dict[str, float]]:
    """Seconds of each part."""
    store = Store(scratch / "store")
    plan = load_plan([folder], variant_names=variants, target_names=("host",), root=ROOT, store=store)
    (model,) = plan.models
    place = worker.Workplace(scratch, plan.root)
    started, _ = seconds(worker._import_tensorflow)
    loaded, _ = seconds(lambda: place.source(model))
    exported, _ = seconds(lambda: worker._export(Task("export", export_key(model), model, "source"), place))
    converted = {}
    for variant in model.variants:
        toolchain = variant.toolchain or variant.promise.default_toolchain
        key = model.float32_key if variant.recipe == "float32" else variant.key
        task = Task("convert", key, model, variant.name, variant.recipe, toolchain, variant.options)
        converted[variant.name], _ = seconds(lambda task=task: worker._convert(task, place))
    return {"import": started, "load": loaded, "export": exported, "converters": converted}


def main() -> None:
    """Print the parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--variant", action="append", default=[], help="this one only (repeatable)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(floor(options.model, Path(scratch), tuple(options.variant))))


if __name__ == "__main__":
    main()
