"""Writes docs/detection.md: what the suites say of each kind of mutant, and what a plain script says.

    python -m tests.mutants.table

makes and judges everything, which takes some minutes, and overwrites the page. `structure` is what a test compares:
which gate catches what. Percentages may differ from machine to machine.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from liteproof.measure.activations import CLIPPING_LIMIT
from liteproof.store import Store
from tests.mutants import plain_script
from tests.mutants.detection import Detection, Judged, detect
from tests.mutants.kinds import KINDS, Kind
from tests.mutants.origins import MODELS

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"
SHOWN = 3
FAMILIES = {
    "parameters": "Scales, zero points, the quantized dimension",
    "weights": "Weights and biases",
    "graphs": "Graphs and files",
    "conversions": "Sold as something else, from another source, calibrated on the wrong data",
    "trained": "Trained further: quantization-aware and pruned",
    "mixed": "Mixed precision",
}

HEAD = """# What the suites catch

Defective files, made from healthy ones, before the suites: which gate catches which, and what a plain script says of
the same file. A real run wrote this page (`python -m tests.mutants.table`), and `pytest tests/mutants` runs it again:
it fails if a kind escapes, if a healthy variant is refused, or if this page tells something else.

A *kind* of mutant spoils one thing: one edit of the flatbuffer, another source, another calibration set. Most are made
from the models' own int8 conversion, each at a layer drawn by the kind's name. Mutants are handed to the suites as
files that claim a recipe, with the budgets that the model gives that recipe; they are said to be calibrated on the
model's calibration set (`activation_clipping_lsb = {clipping}`, the limit that converted variants have by default).
Mutants of a calibration set are converted from it by LiteRT Quantizer. Quantization-aware and pruned ones are handed
over with the float32 file of the same trained weights (`float32 = "…"`), mixed ones with their rules.

The *plain script* is what guides recommend: predict {samples} samples one by one, compare the best class with the
source's, and pass from {enough:.0%}. It is written as well as such scripts are
([plain_script.py](../tests/mutants/plain_script.py)).
"""

LEGEND = """
## How to read the tables

A cell names the gates that a mutant misses, at most {shown} of them, those that name the place first. **◆** says that
the message of such a gate names a tensor that the mutant changed, **◇** its operator. *Harmless* says that the file
answers exactly as the healthy one on all samples of the evaluation set: what is wrong with it shows on another runtime,
or costs time or space. The script's column gives the agreement that it measures, struck out where it refuses the file,
and *error* where it ends with one.
"""


def page(found: Mapping[str, Detection]) -> str:
    """The page, from what became of each model's mutants."""
    parts = [
        HEAD.format(samples=plain_script.SAMPLES, enough=plain_script.ENOUGH, clipping=CLIPPING_LIMIT),
        "\n".join(_summary(found)),
        LEGEND.format(shown=SHOWN),
    ]
    for family, title in FAMILIES.items():
        kinds = [kind for kind in KINDS.values() if kind.family == family]
        parts.append("\n".join(_table(title, kinds, found)))
    parts.append("\n".join(_gates(found)))
    return "\n".join(parts) + "\n"


def _summary(found: Mapping[str, Detection]) -> Iterator[str]:
    yield "| | " + " | ".join(found) + " |"
    yield "|---|" + "---|" * len(found)
    rows: dict[str, Callable[[Detection], str]] = {
        "kinds of mutants": lambda d: str(len(d.mutants)),
        "caught": lambda d: str(sum(j.caught for j in d.mutants.values())),
        "of these harmless": lambda d: str(sum(j.caught and j.harmless for j in d.mutants.values())),
        "not caught, but harmless": lambda d: str(sum(d.mutants[name].harmless for name in d.escaped)),
        "in one layer": lambda d: str(len(d.in_one_layer)),
        "by a gate that names the tensor": lambda d: str(sum(j.names == "tensor" for j in d.in_one_layer)),
        "at least the operator": lambda d: str(sum(j.names is not None for j in d.in_one_layer)),
        "`liteproof explain` lists the layer first or second": lambda d: (
            f"{sum(map(bool, d.explained))} of {len(d.explained)}"
        ),
        "the plain script passes": lambda d: str(len(d.passed_by_script)),
        "healthy variants judged": lambda d: str(len(d.healthy)),
        "false alarms": lambda d: str(len(d.false_alarms)),
    }
    for name, cell in rows.items():
        yield f"| {name} | " + " | ".join(cell(detection) for detection in found.values()) + " |"


def _table(title: str, kinds: Iterable[Kind], found: Mapping[str, Detection]) -> Iterator[str]:
    yield f"\n## {title}\n"
    yield "| kind | what is wrong | " + " | ".join(f"{name} | script" for name in found) + " |"
    yield "|---|---|" + "---|---|" * len(found)
    for kind in kinds:
        cells = [cell for detection in found.values() for cell in _cells(detection.mutants.get(kind.name))]
        sold = f" Sold as `{kind.claim}`." if kind.claim != kind.base else ""
        yield f"| `{kind.name}` | `{kind.base}`: {kind.text}{sold} | " + " | ".join(cells) + " |"


def _cells(judged: Judged | None) -> Sequence[str]:
    if judged is None:
        return "–", "–"
    return _caught(judged), _script(judged)


def _caught(judged: Judged) -> str:
    mark = {"tensor": " ◆", "operator": " ◇", None: ""}[judged.names]
    gates = ", ".join(f"`{metric}`" for metric in judged.caught_by[:SHOWN])
    more = f" and {len(judged.caught_by) - SHOWN} more" if len(judged.caught_by) > SHOWN else ""
    harmless = "; *harmless*" if judged.harmless else ""
    return f"{gates or '**nothing**'}{more}{mark}{harmless}"


def _script(judged: Judged) -> str:
    answer = judged.answer
    if answer is None:
        return "–"
    if answer.agreement is None:
        return "*error*"
    shown = f"{answer.agreement:.0%}"
    return shown if answer.script_passes else f"~~{shown}~~"


def _gates(found: Mapping[str, Detection]) -> Iterator[str]:
    """Every gate with its suite, and how many mutants it catches."""
    judged = [judged for detection in found.values() for judged in detection.mutants.values()]
    suites = {check["metric"]: check["suite"] for one in judged for check in one.failed}
    yield "\n## Gates, and how many of the mutants each catches\n"
    yield "| gate | suite | mutants | alone |"
    yield "|---|---|---|---|"
    for metric in sorted(suites, key=lambda metric: (suites[metric], metric)):
        caught = [one for one in judged if metric in one.caught_by]
        alone = sum(len(one.caught_by) == 1 for one in caught)
        yield f"| `{metric}` | {suites[metric]} | {len(caught)} | {alone} |"


def structure(text: str) -> dict[str, tuple[str, ...]]:
    """What must not change unseen: for each kind, per model, the first gate that catches it, and the marks."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 2 + 2 * len(MODELS) and cells[0].startswith("`"):
            found[cells[0].strip("`")] = (cells[1], *(_essence(cell) for cell in cells[2::2]))
    return found


def _essence(cell: str) -> str:
    gate = re.match(r"`\w+`|\*\*nothing\*\*|–", cell)
    marks = [mark for mark in ("◆", "◇", "*harmless*") if mark in cell]
    return " ".join([gate[0] if gate else cell, *marks])


def main() -> int:
    """Judge all mutants and write the page."""
    store = Store.default()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        found = {}
        for model in MODELS:
            scratch = Path(folder) / model
            scratch.mkdir()
            found[model] = detect(model, store, scratch)
    PAGE.write_text(page(found), encoding="utf-8")
    for detection in found.values():
        told = f"escaped {detection.harmful_escapes}, false alarms {detection.false_alarms}"
        sys.stdout.write(f"{detection.model}: {told}\n")
    return int(any(detection.harmful_escapes or detection.false_alarms for detection in found.values()))


if __name__ == "__main__":
    sys.exit(main())
