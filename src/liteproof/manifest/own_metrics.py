"""`[metrics.NAME]`: metrics of the user's own, each with the digest of the code that decides it.

>>> [own.name for own in read_own_metrics(manifest.metrics, targets, root, memory, place)]   # doctest: +SKIP
['mean_iou']
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from liteproof import plan
from liteproof.manifest import keys
from liteproof.manifest.memory import Memory
from liteproof.manifest.place import Place
from liteproof.manifest.schema import MetricTable
from liteproof.store import digest_of


def read_own_metrics(
    tables: Mapping[str, MetricTable], targets: Collection[str], root: Path, memory: Memory, place: Place
) -> Iterator[plan.OwnMetric]:
    """The metrics that a manifest declares. Nothing of theirs is imported: their package travels as it is.

    Args:
        tables: `[metrics.NAME]` by name.
        targets: Names of all targets, which no metric may have.
        root: The folder that callables are imported from.
        memory: Knows digests of files.
        place: `[metrics]`.

    Raises:
        UsageError: if a name is taken, or a callable's module is not there.
    """
    for name, table in tables.items():
        here = place.at(name)
        if name in targets:
            raise here.wrong(f"the metric name '{name}' is a target's name", "a name that is not taken")
        module = keys.find_module(table.callable, "callable", root, here)
        depth = table.callable.partition(":")[0].count(".") + (module.name == "__init__.py")
        package = module.parents[depth - 1] if depth else module
        sources = sorted(package.rglob("*.py")) if depth else [module]
        code = digest_of({str(path.relative_to(package)): memory.file(path).sha256 for path in sources})
        yield plan.OwnMetric(name, table.callable, table.better, code, str(package))
