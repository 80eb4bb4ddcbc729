"""Measuring: one module for each kind of metric, pure functions over numpy, and the runtimes at the edge.

>>> import numpy as np
>>> from liteproof.measure import agreement
>>> agreement.top1_agreement(np.eye(3), np.eye(3)).value
1.0
"""
