"""Where something stands in a manifest, and the errors that say so.

>>> budgets = Place("models/digits/model.toml", "budgets.int8")
>>> print(budgets.unknown("top1_agrement", ["top1_agreement", "accuracy_drop"], what="a metric"))
unknown key 'top1_agrement' in [budgets.int8]
  expected: a metric; nearest: 'top1_agreement'
  where:    models/digits/model.toml [budgets.int8]
  next:     write 'top1_agreement', or remove the key
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path

from liteproof.errors import UsageError

_LONGEST = 80


@dataclass(frozen=True)
class Place:
    """A table of a file. `file` is as a user should read it; `table` is dotted, "" for the top of the file."""

    file: str
    table: str = ""

    @classmethod
    def of(cls, path: Path) -> Place:
        """The top of this file."""
        return cls(shown(path))

    def at(self, key: str) -> Place:
        """The table below this one."""
        return Place(self.file, f"{self.table}.{key}" if self.table else key)

    @property
    def name(self) -> str:
        """The table as a manifest writes it."""
        return f"[{self.table}]" if self.table else "the file"

    def __str__(self) -> str:
        return f"{self.file} [{self.table}]" if self.table else self.file

    def wrong(self, found: str, expected: str = "", next: str = "") -> UsageError:  # noqa: A002
        """Something here is wrong."""
        return UsageError(found, expected=expected, where=str(self), next=next)

    def unknown(self, key: str, known: Iterable[str], *, what: str = "a key") -> UsageError:
        """A key that means nothing here."""
        close = nearest(key, known)
        cure = f"write '{close}', or remove the key" if close else "remove the key"
        return self.wrong(f"unknown key '{clean(key)}' in {self.name}", one_of(key, known, what=what), cure)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like this one; None if none is.

    >>> nearest("Int-8", ["int8", "uint8", "float32"])
    'int8'
    """
    plain = {entry.lower().replace("-", "_"): entry for entry in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), plain, 1, cutoff)
    return plain[close[0]] if close else None


def one_of(name: str, known: Iterable[str], *, what: str) -> str:
    """What was expected in place of a name: the nearest known one, else all of them.

    >>> one_of("int9", ["int8", "uint8"], what="a recipe")
    "a recipe; nearest: 'int8'"
    """
    names = list(known)
    close = nearest(name, names)
    if close:
        return f"{what}; nearest: '{close}'"
    return f"{what}: {', '.join(names)}" if names else what


def clean(text: str, longest: int = _LONGEST) -> str:
    r"""Text from a file as a terminal may print it: control characters escaped, and cut where it is long.

    >>> clean("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return safe if len(safe) <= longest else safe[:longest] + "…"


def written(value: object) -> str:
    """A value as TOML writes it, shortened.

    >>> written("a"), written(True), written([1, 2]), written({"a": 1})
    ('"a"', 'true', '[1, 2]', '{ a = 1 }')
    """
    match value:
        case str():
            return f'"{clean(value)}"'
        case bool():
            return str(value).lower()
        case date() | time():
            return value.isoformat()
        case list():
            text = f"[{', '.join(map(written, value[:5]))}{', …' if len(value) > 5 else ''}]"
        case dict():
            pairs = [f"{clean(str(key))} = {written(entry)}" for key, entry in list(value.items())[:3]]
            text = f"{{ {', '.join(pairs)}{', …' if len(value) > 3 else ''} }}"
        case _:
            text = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "a very large number"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def kind_of(value: object) -> str:
    """What TOML calls a value of this type.

    >>> kind_of(1.5), kind_of({}), kind_of(True)
    ('a number', 'a table', 'a boolean')
    """
    kinds = {bool: "a boolean", int: "a whole number", float: "a number", str: "a string"}
    kinds |= {list: "an array", dict: "a table", date: "a date"}
    return kinds.get(type(value), "a date or time")


def shown(path: Path) -> str:
    """A path as a user reads it, whole: relative to the working folder where it lies in it."""
    whole = Path(path).absolute()
    text = whole.relative_to(Path.cwd()).as_posix() if whole.is_relative_to(Path.cwd()) else str(whole)
    return clean(text, longest=len(text) * 8)
