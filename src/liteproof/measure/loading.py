"""Does the file load, allocate and answer here?

>>> from liteproof.measure.probe import Outcome
"""

from __future__ import annotations

from liteproof.checks import Measurement
from liteproof.measure.probe import Outcome


def loads(outcome: Outcome) -> Measurement:
    """1 where it does; 0 with the runtime's reason, or the signal that its process died of, where it does not."""
    if outcome.loads:
        return Measurement("loads", 1.0)
    return Measurement("loads", 0.0, detail=outcome.reason, next="liteproof inspect FILE")
