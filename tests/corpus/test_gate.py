"""Files of the corpus through the whole gate: a verdict and a message for each, and only the model is accepted.

Every fifth in each run of the tests; all of them in `tox -e fuzz`, which sets `FUZZ_RUNS`.
"""

import os
import re

import pytest

from tests.corpus.files import corpus

pytestmark = pytest.mark.slow

CORPUS = dict(list(corpus().items())[:: 1 if "FUZZ_RUNS" in os.environ else 5])


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """One run over all of them, the healthy copy among them."""
    from tests.corpus.runs import judge

    return judge(tmp_path_factory.mktemp("corpus"), CORPUS)


def test_cut_files_are_cut_at_every_boundary():
    assert sum(name.startswith("cut_at_") for name in corpus()) > 30


def test_the_run_comes_to_its_end_without_a_traceback(judged):
    assert judged.status == 1, judged.text[-4000:]
    assert judged.results["run"]["complete"] is True
    assert "Traceback (most recent call last)" not in judged.text
    assert not re.findall(r"^E   +(?!liteproof)[A-Z]\w*Error: .*", judged.text, re.MULTILINE)
    assert "INTERNALERROR" not in judged.text
    assert judged.verdicts["healthy"] in ("PASS", "PROVISIONAL")


@pytest.mark.parametrize("name", CORPUS)
def test_each_file_has_its_verdict_and_message(judged, name):
    verdict = judged.verdicts[name]
    if verdict in ("PASS", "PROVISIONAL"):
        assert CORPUS[name].same, f"{name} was accepted"
        return
    missed = [check for check in judged.checks_of(name) if check["verdict"] in ("FAIL", "UNMEASURED")]
    assert missed
    for check in missed:
        said = check["detail"] or check["value"] is not None
        assert said, f"{check['metric']} of {name} says nothing"
        # An exception's own name instead of a sentence is a fault of ours.
        assert not re.match(r"(?!ModelError)[A-Z]\w*(Error|Exception|Interrupt):", check["detail"] or ""), check
