"""`[service]`: the prediction service that runs on a target, as the plan has it.

>>> table = ServiceTable(variant="int8", url="http://127.0.0.1:8080")
>>> read_service(table, ["int8"], ["host"], Place("model.toml", "service")).url_on("host")
'http://127.0.0.1:8080'
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from liteproof import plan
from liteproof.manifest.place import Place, clean, one_of, written
from liteproof.manifest.schema import ServiceTable

URL = r"https?://[^\s/?#@]+(/[^\s?#]*)?"


def read_service(
    table: ServiceTable, variants: Collection[str], targets: Collection[str], place: Place
) -> plan.Service:
    """The service that a manifest declares.

    Args:
        table: `[service]`.
        variants: Names of the model's variants.
        targets: Names of all targets.
        place: The table.

    Raises:
        UsageError: if it serves no variant, or an address is none or is that of no target.
    """
    if table.variant not in variants:
        raise place.wrong(
            f"variant = {written(table.variant)} in {place.name}",
            one_of(table.variant, variants, what="a variant"),
            "name the variant that the service serves",
        )
    urls = {"": table.url} if isinstance(table.url, str) else table.url
    _require_addresses(urls, targets, place)
    return plan.Service(
        variant=table.variant,
        urls=urls,
        health=table.health,
        fields=table.fields if isinstance(table.fields, dict) else dict.fromkeys(table.fields),
        digest_field=table.digest_field,
        predict=table.predict,
        encoding=table.encoding,
        output_field=table.output_field,
        samples=table.samples,
        timeout_s=table.timeout_s,
    )


def _require_addresses(urls: Mapping[str, str], targets: Collection[str], place: Place) -> None:
    for name, url in urls.items():
        if not re.fullmatch(URL, url):
            raise place.wrong(
                f"url = {written(url)} in {place.name}",
                'an address such as "http://127.0.0.1:8080"; no user, no query',
                "write the address as the target itself reaches the service",
            )
        if name and name not in targets:
            raise place.wrong(
                f"url in {place.name} names '{clean(name)}', which is no target",
                one_of(name, targets, what="a target"),
                f"define [{clean(name)}] in targets.toml, or correct the name",
            )
