"""liteproof's acceptance suites: the rules that a converted model must keep.

Each test is one rule, run once for each case (model, variant, target). `case` is the variant with its files opened,
`check` records one measurement and holds it against the case's limit. The limits are in each model's `model.toml`.
"""
