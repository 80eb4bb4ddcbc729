"""The two packages that Keras files are loaded by: `keras`, which is Keras 3, and `tf-keras`, legacy Keras.

    >>> require_installed("keras", "the source of digits", "digits.keras")      # doctest: +SKIP

Nothing is imported to tell whether they are there.
"""

from __future__ import annotations

import importlib.util

from liteproof.errors import UsageError
from liteproof.packages import installed

KERAS, LEGACY = "keras", "tf-keras"
MODULES = {KERAS: "keras", LEGACY: "tf_keras"}
_EXTRAS = {KERAS: "convert", LEGACY: "legacy"}


def require_installed(keras: str, what: str, where: str) -> None:
    """The package that a source needs is there. Nothing is imported.

    Raises:
        UsageError: if it is not, with the command that installs it.
    """
    there = importlib.util.find_spec(MODULES[keras]) is not None
    if there and (keras == LEGACY or not (installed(KERAS) or "").startswith("2.")):
        return
    written = "Keras 2 wrote, and Keras 3 does not read it as Keras 2 does" if keras == LEGACY else "Keras 3 reads"
    raise UsageError(
        f"{what} is a file that {written}: it needs {keras if keras == LEGACY else 'Keras 3'}, which is not installed",
        expected=f"the package {keras}",
        where=where,
        next=f"pip install 'liteproof[{_EXTRAS[keras]}]'",
    )
