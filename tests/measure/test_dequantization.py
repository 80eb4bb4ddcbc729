import numpy as np
import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.errors import Unmeasured
from liteproof.measure.dequantization import dequantize_mismatch
from liteproof.measure.tensors import TensorSpec

SPEC = TensorSpec("y:0", (1, 3), "int8", scales=(0.5,), zero_points=(-1,))
CODES = np.arange(-128, 128).astype(np.int8)
VALUES = (CODES.astype(np.float32) + 1) * np.float32(0.5)


def test_formula_that_is_the_runtimes_passes():
    found = dequantize_mismatch([(SPEC, CODES, VALUES)])
    assert (found.value, found.samples, found.causes) == (0.0, 256, ())


def test_runtime_that_dequantizes_otherwise_is_caught():
    other = VALUES.copy()
    other[:3] += np.float32(0.001)
    other[3] = np.nan
    found = dequantize_mismatch([(SPEC, CODES, VALUES), (SPEC, CODES, other)])
    assert judge(found, METRICS["dequantize_mismatch"].default).verdict is Verdict.FAIL
    assert found.value == 4
    assert "4 codes of 'y' (tensor 'y:0')" in found.detail


def test_formula_multiplied_out_as_kernels_for_arm_do_is_the_same():
    spec = TensorSpec("x:0", (1, 3), "uint8", scales=(0.007843137718737125,), zero_points=(127,))
    codes = np.arange(256).astype(np.uint8)
    scale = np.float32(spec.scale)
    values = codes.astype(np.float32) * scale - np.float32(127) * scale
    assert np.any(values != (codes.astype(np.float32) - 127) * scale)
    assert dequantize_mismatch([(spec, codes, values)]).value == 0
    for wrong in (spec.scale * 1.001, spec.scale * 0.999):
        values = (codes.astype(np.float32) - 127) * np.float32(wrong)
        assert dequantize_mismatch([(spec, codes, values)]).value == 255  # all but the zero point


def test_no_quantized_end_is_unmeasured():
    with pytest.raises(Unmeasured):
        dequantize_mismatch([])
