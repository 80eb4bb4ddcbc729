"""A short run of mutated files through the whole gate; the long one is `tox -e fuzz`."""

from collections import Counter

import pytest

from tests.corpus.runs import judge
from tests.fuzz.gate import QUIET, faults, mutated_files, outcome, page, slipped

FILES = 150  # on each runtime


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tflite_runtime"])
def test_no_dead_run_and_nothing_slips_through(tmp_path, runtime):
    pytest.importorskip(runtime)
    kinds = mutated_files(FILES, seed="short")
    judged = judge(tmp_path, kinds, *QUIET, runtime=runtime)
    assert judged.status == 1, judged.text[-3000:]
    assert judged.results["run"]["complete"] is True
    assert [text for name in kinds for text in faults(judged, name)] == []
    assert judged.verdicts["healthy"] in ("PASS", "PROVISIONAL")
    assert slipped(judged, kinds, runtime) == []
    counts = Counter(outcome(judged, name) for name in kinds)
    assert counts.total() == FILES
    assert len(counts) > 2


def test_the_page_adds_up_and_names_what_went_wrong():
    batch = {"runtime": "r", "version": "1", "seed": 0, "seconds": 1.0, "counts": {"refused": 2}, "bad": []}
    text = page([batch, {**batch, "counts": {"refused": 1, "hung": 1}, "bad": ["dead run: r"]}])
    assert "| refused | 3 |" in text
    assert "| **files** | **4** |" in text
    assert "| time for a file | 500 ms |" in text
    assert "with other outputs: 1.\n- dead run: r" in text
