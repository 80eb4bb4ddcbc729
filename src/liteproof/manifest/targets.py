"""`targets.toml`: where the suites run. `host`, this machine and this interpreter, always exists.

>>> targets = read_targets(None)
>>> [target.name for target in select_targets(targets, ["host"], Place("targets.toml"))]
['host']
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from liteproof.errors import UsageError
from liteproof.manifest.place import Place, clean, one_of, shown
from liteproof.manifest.schema import TargetTable, check_name, read_table, read_toml
from liteproof.plan import Delegate, Target
from liteproof.store_pruning import bytes_of

HOST = "host"


def read_targets(path: Path | None) -> dict[str, Target]:
    """The targets of a `targets.toml`, `host` first; None where there is no such file.

    Raises:
        UsageError: if the file cannot be read, or if a name, a key or a value is wrong.
    """
    targets = {HOST: Target(HOST)}
    if path is None:
        return targets
    if not path.is_file():
        raise UsageError(
            f"there is no file {shown(path)}", expected="a targets.toml", where="--targets", next="check the path"
        )
    place = Place.of(path)
    for name, raw in read_toml(path).items():
        check_name(name, place, "target")
        targets[name] = _target(name, read_table(TargetTable, raw, place.at(name)), place.at(name), path.parent)
    return targets


def _target(name: str, table: TargetTable, place: Place, folder: Path) -> Target:
    if name == HOST and (table.ssh or table.python):
        key = "ssh" if table.ssh else "python"
        raise place.wrong(
            f"{key} in {place.name}",
            "no such key: host is this machine and this interpreter",
            "give the target another name",
        )
    return Target(
        name=name,
        ssh=table.ssh,
        python=_interpreter(table, folder),
        runtime=table.runtime,
        threads=table.threads,
        delegate=_delegate(table),
        rehearsal=table.rehearsal,
        cache_bytes=int(bytes_of(table.cache, f"{place}: cache")),
    )


def _delegate(table: TargetTable) -> Delegate | None:
    given = table.delegate
    return Delegate(given.library, {key: str(value) for key, value in given.options.items()}) if given else None


def _interpreter(table: TargetTable, folder: Path) -> str | None:
    """On this machine a path is relative to the file that names it; on a board it is the board's affair."""
    if table.python is None or table.ssh:
        return table.python
    written = Path(table.python).expanduser()
    return os.path.normpath(folder.absolute() / written) if len(written.parts) > 1 else table.python


def select_targets(targets: Mapping[str, Target], names: Iterable[str], place: Place) -> tuple[Target, ...]:
    """The targets of these names, each once, in this order.

    Raises:
        UsageError: if one is not defined.
    """
    for name in names:
        if name not in targets:
            raise UsageError(
                f"there is no target '{clean(name)}'",
                expected=one_of(name, targets, what="a target"),
                where=f"--target={clean(name)}",
                next=f"define it in {place.file}, or correct the name",
            )
    return tuple(targets[name] for name in dict.fromkeys(names))
