"""What each file answers: the plain script's opinion, how far its outputs are from the healthy file's, and what
`liteproof explain` makes of it.

    python -m tests.mutants.answers REQUEST.json

prints a JSON line for each file. Some files kill their process, so this is one of its own; `ask` starts another one
for the files that are left.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from tests.mutants import plain_script

LISTED = 2
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """What became of one file.

    Attributes:
        agreement: What the plain script measures; None where it ends with an error.
        difference: Largest difference of an output value from the healthy file's over the whole evaluation set; None
            where there are none to compare. Not a number where one of them is not.
        flips: Samples of the evaluation set whose class is another than the healthy file's.
        error: What the plain script ended with.
        layers: The layers that the diagnosis lists first: operator and output tensor of each.
    """

    agreement: float | None = None
    difference: float | None = None
    flips: int | None = None
    error: str | None = None
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def script_passes(self) -> bool:
        """Whether the plain script accepts the file."""
        return self.agreement is not None and self.agreement >= plain_script.ENOUGH

    @property
    def harmless(self) -> bool:
        """Whether every output equals the healthy file's."""
        return self.difference == 0.0


@dataclass(frozen=True)
class Question:
    """A file to ask.

    Attributes:
        file: The mutant.
        base: The healthy file that its outputs are compared with.
        float32: The healthy float32 file that its layers are compared with.
        claim: The recipe that it is sold as: a name, or a file of rules by layer.
        one_layer: Whether the defect sits in one layer, so that the diagnosis is asked for it.
    """

    file: str
    base: str
    float32: str
    claim: str
    one_layer: bool = False


def ask(questions: Mapping[str, Question], x: np.ndarray, reference: np.ndarray, scratch: Path) -> dict[str, Answer]:
    """What files answer.

    Args:
        questions: The files by name.
        x: The evaluation set, shape (n, …).
        reference: The source's outputs, shape (n, classes).
        scratch: A folder to write to.
    """
    np.savez(scratch / "evaluation.npz", x=x, reference=reference)
    answers: dict[str, Answer] = {}
    while waiting := [name for name in questions if name not in answers]:
        request = scratch / "request.json"
        request.write_text(json.dumps({name: asdict(questions[name]) for name in waiting}))
        command = [sys.executable, "-m", "tests.mutants.answers", str(request)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            name, answer = json.loads(line)
            answers[name] = Answer(**answer | {"layers": tuple(map(tuple, answer["layers"]))})
        if done.returncode:
            died = next(name for name in waiting if name not in answers)
            answers[died] = Answer(error=f"its process ended with status {done.returncode}")
    return answers


def main(request: Path) -> None:
    """Answer for each file in turn."""
    with np.load(request.parent / "evaluation.npz") as archive:
        x, reference = archive["x"], archive["reference"]
    healthy: dict[str, np.ndarray] = {}
    for name, asked in json.loads(request.read_text()).items():
        question = Question(**asked)
        if question.base not in healthy:
            healthy[question.base] = outputs(Path(question.base), x)
        found = answer(Path(question.file), healthy[question.base], x, reference)
        if question.one_layer:
            found = replace(found, layers=diagnosed(question, x))
        sys.stdout.write(json.dumps([name, asdict(found)]) + "\n")
        sys.stdout.flush()


def answer(path: Path, healthy: np.ndarray, x: np.ndarray, reference: np.ndarray) -> Answer:
    """One file's answer."""
    try:
        agreement = plain_script.top1_agreement(path, x, reference)
        found = outputs(path, x)
    except Exception as error:  # whatever a runtime raises is what the script would end with
        return Answer(error=f"{type(error).__name__}: {' '.join(str(error).split())[:120]}")
    if found.shape != healthy.shape:
        return Answer(agreement)
    flips = int(np.count_nonzero(found.argmax(axis=1) != healthy.argmax(axis=1)))
    return Answer(agreement, float(np.abs(found.astype(np.float64) - healthy).max()), flips)


def diagnosed(question: Question, x: np.ndarray) -> tuple[tuple[str, str], ...]:
    """The layers that `liteproof explain` lists first; of a file that does not run, by what its tables tell."""
    from liteproof.errors import LiteproofError
    from liteproof.measure.diagnosis import SAMPLES, diagnose
    from liteproof.recipes import promise_of

    by_rules = question.claim.endswith(".json")
    options = {"rules": json.loads(Path(question.claim).read_text())} if by_rules else {}
    files, promise = (Path(question.float32), Path(question.file)), promise_of(question.claim, options)
    for values in (x[:SAMPLES], None):
        try:
            found = diagnose(*files, values, promise, runtime="ai_edge_litert")
        except LiteproofError:
            continue
        return tuple((finding.layer.place, finding.layer.tensor) for finding in found[:LISTED])
    return ()


def outputs(path: Path, x: np.ndarray) -> np.ndarray:
    """A file's first output on all samples, dequantized."""
    from liteproof.measure.runtime import open_session

    return open_session(path, runtime="ai_edge_litert").predict(x)[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
