"""Whose fault it is, and what to do next.

Every message to a user has one shape: what was found, what was expected, where, and the next command to type.

    >>> print(UsageError("key 'top1_agrement' in [budgets]", expected="one of the metrics; nearest: 'top1_agreement'",
    ...                  where="models/digits/model.toml", next="edit the key"))
    key 'top1_agrement' in [budgets]
      expected: one of the metrics; nearest: 'top1_agreement'
      where:    models/digits/model.toml
      next:     edit the key
"""

from __future__ import annotations


class LiteproofError(Exception):
    """A failure that is explained to a user rather than shown as a traceback.

    Args:
        found: What was found, in one sentence.
        expected: What should have been there.
        where: File, key, tensor or sample.
        next: The next command to type, or thing to do.
    """

    def __init__(self, found: str, *, expected: str = "", where: str = "", next: str = "") -> None:  # noqa: A002
        super().__init__(found, expected, where, next)
        self.found = found
        self.expected = expected
        self.where = where
        self.next = next

    def __str__(self) -> str:
        lines = [self.found]
        for label, text in (("expected", self.expected), ("where", self.where), ("next", self.next)):
            if text:
                lines.append(f"  {label + ':':<9} {text}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.found, self.expected, self.where, self.next))


def _rebuild(kind: type[LiteproofError], found: str, expected: str, where: str, next_: str) -> LiteproofError:
    return kind(found, expected=expected, where=where, next=next_)


class UsageError(LiteproofError):
    """The request itself is wrong: a bad manifest, a missing file, data that does not fit. Exit status 4."""


class ModelError(LiteproofError):
    """The model's fault: a file that is broken, does not load, or cannot be converted."""


class TargetError(LiteproofError):
    """The machine's trouble: a board that is out of reach, a runtime that is missing.

    `transient` tells whether another try may help.
    """

    def __init__(
        self,
        found: str,
        *,
        expected: str = "",
        where: str = "",
        next: str = "",  # noqa: A002
        transient: bool = False,
    ) -> None:
        super().__init__(found, expected=expected, where=where, next=next)
        self.transient = transient


class Unmeasured(LiteproofError):
    """No sound measurement could be made; never a pass. The text says why."""
