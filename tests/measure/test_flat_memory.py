"""Memory does not grow with the number of samples, in a process of its own that judges generated data."""

import json
import subprocess
import sys

import pytest

# What is resident and belongs to no file, at its highest, while so many samples of 512 values are judged.
JUDGE = """
import json, sys, threading
from pathlib import Path
import numpy as np
from liteproof.arrays import Writer, open_arrays
from liteproof.measure import accuracy, agreement, calibration, dequantization, identity, outputs, remembered
from liteproof.measure.answers import answers
from liteproof.measure.evaluation import read_evaluation
from liteproof.measure.runtime import open_session
from liteproof.measure.tensors import TensorSpec
from liteproof.store import Store
from tests.measure.models import identity_like

folder, samples = Path(sys.argv[1]), int(sys.argv[2])
generator = np.random.default_rng(0)
with Writer(folder / "evaluation.npz") as out:
    for _ in range(0, samples, 1000):
        out.append({"x": generator.random((1000, 512), np.float32), "y": generator.integers(0, 512, 1000)})

def anonymous():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024

peak, done = 0.0, threading.Event()

def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())

threading.Thread(target=watch, daemon=True).start()
evaluation = read_evaluation(folder / "evaluation.npz")
model = identity_like("NEG", (1, 512), (-1, 512))
infer = lambda: answers(lambda: open_session(model), samples, evaluation.feed, batch=lambda: 8, sessions=2)
(found,) = remembered.answers(Store(folder / "store"), "file", "evaluation", {}, infer)
reference, labels = evaluation.inputs["x"], evaluation.labels
codes = outputs.Codes(1 / 256, -1.0, 1.0)
end = TensorSpec("x", (1, 512), "int8", scales=(1 / 255,), zero_points=(-128,))
agreement.top1_agreement(reference, found)
agreement.top5_agreement(reference, found)
agreement.max_abs_error(reference, found)
agreement.mean_abs_error(reference, found)
agreement.cosine_similarity(reference, found)
agreement.sqnr_db(reference, found)
agreement.nonfinite_outputs(reference, found)
agreement.confidence_drift(reference, reference)
accuracy.accuracy_drop(reference, found, labels)
outputs.frozen_outputs(reference, found)
outputs.invalid_probabilities(found, codes)
outputs.output_saturation(reference, found, codes)
identity.float32_error(reference, found)
dequantization.roundtrip_error_lsb([(end, reference)])
dequantization.saturation([(end, reference)])
dequantization.io_mismatch(found, reference, 1 / 256)
calibration.calibration_overlap(evaluation.between(0, 500), evaluation)
done.set()
print(json.dumps({"peak": peak, "now": anonymous()}))
"""


def judged(folder, samples):
    folder.mkdir()
    command = [sys.executable, "-c", JUDGE, str(folder), str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells what is anonymous")
def test_forty_times_the_samples_take_no_more_memory(tmp_path):
    few, many = judged(tmp_path / "few", 1000), judged(tmp_path / "many", 40_000)
    # 40,000 samples are 82 MB, their answers as much; one array of them in float64 would be 164.
    assert many["peak"] - few["peak"] < 40, (few, many)
