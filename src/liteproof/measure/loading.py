"""Does the file load, allocate and answer here? And where a delegate is given: what did it take?

>>> from liteproof.measure.delegation import Delegated
>>> split = Delegated(taken=("CONV_2D #0",), left=("SOFTMAX #1",))
>>> loads(Outcome("ok", "", "exit", "tflite_runtime", delegated=split)).detail
'the delegate took 1 of 2 operators; left to the CPU: SOFTMAX #1'
"""

from __future__ import annotations

from liteproof.checks import Measurement
from liteproof.measure.probe import Outcome


def loads(outcome: Outcome) -> Measurement:
    """1 where it does; 0 with the runtime's reason, or the signal that its process died of, where it does not."""
    if not outcome.loads:
        return Measurement("loads", 0.0, detail=outcome.reason, next="liteproof inspect FILE")
    split = outcome.delegated
    if split is None:
        return Measurement("loads", 1.0)
    return Measurement("loads", 1.0, detail=str(split), evidence={"delegated": split.taken, "left": split.left})
