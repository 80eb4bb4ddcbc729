"""The sets of samples that [data] names, in whichever form, and how their arrays are made.

    >>> sets = Sets(Declared(data, place, folder, memory, root, inputs, "classification"), labels)   # doctest: +SKIP
    >>> found = sets.find("calibration", apart_from=sets.find("evaluation"))             # doctest: +SKIP
    >>> found.samples.making.samples, found.arrays.samples                              # doctest: +SKIP
    (200, 200)

A set is read (`forms`), with what is declared for all (`preprocessing`), and so many of its samples are drawn
(`drawing`). Nothing is decoded, converted or imported here. A file that needs nothing is read as it is by whoever
judges or converts; the arrays of all else are made beside the conversion (`liteproof.convert.samples`) and kept by the
store under a key that is known already: the digest of the files and of all that is done to them.
"""

from __future__ import annotations

from pathlib import Path

from liteproof.manifest.data import require_fit, require_labels
from liteproof.manifest.drawing import Found, drawn
from liteproof.manifest.forms import Declared, Forms
from liteproof.manifest.preprocessing import Preprocessing, input_names
from liteproof.manifest.schema import SamplesTable


class Sets:
    """The sets of one manifest.

    Raises:
        UsageError: if the preprocessing contradicts itself.
    """

    def __init__(self, declared: Declared, labels: tuple[str, ...] | None) -> None:
        self._declared = declared
        self._forms = Forms(declared, labels)
        self._preprocessing = Preprocessing(declared.data, declared.place, declared.inputs)

    def find(self, key: str, *, apart_from: Found | None = None) -> Found | None:
        """The set under a key of [data]; None if there is none.

        Args:
            key: "evaluation", "calibration" or "training".
            apart_from: The evaluation set, of which this one must not have a sample.

        Raises:
            UsageError: if it is not there, cannot be read, or is not what the source takes.
        """
        given: str | SamplesTable | None = getattr(self._declared.data, key)
        if given is None:
            return None
        table = given if isinstance(given, SamplesTable) else SamplesTable(given)
        place = self._declared.place.at(key) if isinstance(given, SamplesTable) else self._declared.place
        name = "from" if isinstance(given, SamplesTable) else key
        read = self._preprocessing.of(self._forms.read(key, name, table, place), key)
        found = drawn(read, table, key, place, input_names(read.arrays, self._declared.inputs), apart_from)
        if found.arrays is not None:
            path = Path(found.samples.path)
            require_fit(found.arrays, self._declared.inputs, path)
            if self._declared.task != "regression":
                labels = self._forms.labels
                classes = len(labels) if labels else 2 if self._declared.task == "binary" else None
                require_labels(found.arrays, classes, path, named=labels is not None)
        return found

    def derive_labels(self, found: Found) -> None:
        """Take the evaluation set's own names of the classes for those of all sets."""
        self._forms.labels = self._forms.labels or found.classes or None
