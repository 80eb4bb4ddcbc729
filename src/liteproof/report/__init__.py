"""Reports: `results.json` is the one source of truth; every other report is made from it, now or a year later.

>>> from liteproof.report import results
>>> results.SCHEMA
'liteproof.results/1'
"""
