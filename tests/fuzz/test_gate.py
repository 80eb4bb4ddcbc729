"""A short run of flipped files through the whole gate; the long one is `tox -e fuzz`."""

from collections import Counter

import pytest

from tests.corpus.runs import judge
from tests.fuzz.gate import flipped_files, outcome, slipped

pytestmark = [pytest.mark.slow, pytest.mark.long]

FILES = 100  # on each runtime


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tflite_runtime"])
def test_no_dead_run_and_nothing_slips_through(tmp_path, runtime):
    pytest.importorskip(runtime)
    kinds = flipped_files(FILES, seed=-1)
    # One suite of each sort: what loads, what reads the file, what compares answers.
    judged = judge(tmp_path, kinds, "-k", "loads or identity or agreement or outputs_are_finite", runtime=runtime)
    assert judged.status == 1, judged.text[-3000:]
    assert judged.results["run"]["complete"] is True
    assert "Traceback (most recent call last)" not in judged.text
    assert judged.verdicts["healthy"] in ("PASS", "PROVISIONAL")
    assert slipped(judged, kinds, runtime) == []
    counts = Counter(outcome(judged, name) for name in kinds)
    assert counts.total() == FILES
    assert len(counts) > 1
