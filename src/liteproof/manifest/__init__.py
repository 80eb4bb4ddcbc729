"""`model.toml` and `targets.toml`: read, checked, and resolved into a plan before anything runs.

    >>> from liteproof.manifest import load_plan
    >>> plan = load_plan([Path("models")], root=Path("."), store=Store.default())  # doctest: +SKIP
    >>> [case.id for case in plan.cases()][:2]                                      # doctest: +SKIP
    ['digits-float32-host', 'digits-dynamic_range-host']

Whatever is wrong is one `liteproof.errors.UsageError` that names file, key, and the nearest key that exists.

`schema` says which keys there are; `budgets` which limit holds; `files` finds what a manifest names; `data` and
`source` look at arrays and models without loading them; `keys` says what decides a variant's bytes; `memory` keeps
what was found out about a file, so that the next run need not look; `resolve` puts it together.
"""

from liteproof.manifest.resolve import load_plan

__all__ = ["load_plan"]
