"""Transforms items of a Google Merchant feed in JSON lines into documents, one an item.

Names are those of the product data specification, in snake_case as in feeds or in camelCase as in its APIs.
"""

import json
from collections.abc import Callable

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.manifest import Description, Grouping_WholeLines
from wit_world.exports.transform import Transformed
from wit_world.imports.types import Document, Failure, Issue, Severity

from prices import MISSING, moment, period, price
from values import document_id, snake, text, texts

# Fields that are copied: strings, and their new names.
TEXTS = {
    "title": "title",
    "description": "description",
    "link": "url",
    "image_link": "image",
    "brand": "brand",
    "gtin": "gtin",
    "mpn": "mpn",
    "condition": "condition",
    "color": "color",
    "size": "size",
    "material": "material",
    "pattern": "pattern",
    "gender": "gender",
    "age_group": "age_group",
    "google_product_category": "category",
    "item_group_id": "group_id",
}
# Fields that are lists, and their new names. An item has only one of several names for the same field.
LISTS = {
    "additional_image_link": "images",
    "additional_image_links": "images",
    "product_type": "product_types",
    "product_types": "product_types",
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "currency": {"type": "string", "description": "The currency of prices that name none, such as EUR."},
        "as-of": {
            "type": "string",
            "description": "When the feed is read, such as 2026-11-29T06:00Z. A sale that has ended by then, or begins later, "
            "does not count. Without it, each sale counts.",
        },
    },
}
REQUIRED = ("title", "link", "image_link")
AVAILABLE = ("in_stock", "preorder", "backorder")

config: dict = {"currency": None, "as-of": None}


class Manifest(exports.Manifest):
    def describe(self) -> Description:
        return Description(
            name="google-feed",
            version="0.1.0",
            platform="google-feed",
            grouping=Grouping_WholeLines(),
            config_schema=json.dumps(SCHEMA),
            # The items of a feed have no times, so that each one is newer than the stored document.
            version_fields=[],
        )

    def configure(self, text: str) -> None:
        settings = json.loads(text)
        for key, value in settings.items():
            if key not in SCHEMA["properties"]:
                raise Err(Failure("invalid-configuration", f"there is no setting {key}"))
            if not isinstance(value, str):
                raise Err(Failure("invalid-configuration", f"{key} is not a text"))
        config["currency"] = settings.get("currency")
        config["as-of"] = moment(settings["as-of"]) if "as-of" in settings else None
        if "as-of" in settings and config["as-of"] is None:
            raise Err(Failure("invalid-configuration", "as-of is not a time such as 2026-11-29T06:00Z"))


class Transform(exports.Transform):
    def run(self, products: list[str]) -> Transformed:
        made = Transformed(documents=[], counts=[], removals=[], issues=[])
        for item, text in enumerate(products):
            before = len(made.documents)
            product(item, json.loads(text), made)
            made.counts.append(len(made.documents) - before)
        return made


def product(item: int, source: object, made: Transformed) -> None:
    def note(severity: Severity, code: str, message: str, path: str) -> None:
        made.issues.append(Issue(item, severity, code, message, path))

    source = {snake(name): value for name, value in source.items()} if isinstance(source, dict) else {}
    # APIs call the merchant's own id offerId; their `id` is a resource name.
    name = text(source.get("offer_id")) or text(source.get("id"))
    if name is None:
        note(Severity.ERROR, "missing-id", "The item has neither an id nor an offerId.", "/id")
        return
    fields: dict = {new: text(source.get(old)) for old, new in TEXTS.items()}
    fields |= {new: texts(source[old]) for old, new in LISTS.items() if old in source}
    # The specification has commas between addresses; a comma within one is written as %2C.
    if images := fields.get("images"):
        fields["images"] = texts([part for image in images for part in image.split(",")])
    for old in REQUIRED:
        if fields[TEXTS[old]] is None:
            note(Severity.WARNING, "missing-field", f"The item has no {old}, which the specification requires.", f"/{old}")
    fields |= prices(source, note)
    fields["available"] = str(source.get("availability", "")).strip().lower().replace(" ", "_") in AVAILABLE
    fields = {key: value for key, value in fields.items() if value is not None}
    made.documents.append(Document(document_id(name), json.dumps(fields, ensure_ascii=False)))


def prices(source: dict, note: Callable) -> dict:
    """The fields of the price that a customer pays, and of the earlier one during a sale."""

    def warn(code: str, message: str, path: str) -> None:
        note(Severity.WARNING, code, message, path)

    found = {}
    for name in ("price", "sale_price"):
        found[name] = price(source.get(name), config["currency"])
        if isinstance(found[name], str):
            if name == "price" or found[name] != MISSING:
                code = "missing-price" if found[name] == MISSING else f"invalid-{name.replace('_', '-')}"
                warn(code, f"The item's {name} {found[name]}.", f"/{name}")
            found[name] = None
    regular, sale = found["price"], found["sale_price"]
    dates = None
    if sale:
        if sale[0] == 0:
            warn("invalid-sale-price", "The item's sale_price is 0, so it is not taken for a sale.", "/sale_price")
            sale = None
        elif regular and regular[1] != sale[1]:
            warn("other-currency", f"The item's sale_price is in {sale[1] or 'an unnamed currency'}, its price in {regular[1] or 'an unnamed one'}: it does not count.", "/sale_price")
            sale = None
        elif regular and sale[0] >= regular[0]:
            sale = None
    if sale and source.get("sale_price_effective_date"):
        dates = period(source["sale_price_effective_date"])
        if dates is None:
            warn(
                "invalid-sale-dates",
                "The item's sale_price_effective_date is not a period such as 2026-11-01T00:00Z/2026-11-30T23:59Z: the sale does not count.",
                "/sale_price_effective_date",
            )
            sale = None
        elif config["as-of"] is None:
            warn(
                "unchecked-sale-dates",
                "The item's sale has dates and counts, even if it has ended: the setting as-of says when the feed is read.",
                "/sale_price_effective_date",
            )
        elif not dates[0] <= config["as-of"] <= dates[1]:
            sale = dates = None
    effective = sale or regular
    if effective and effective[1] is None:
        message = "The item's price names no currency; the setting currency says which one it is."
        warn("missing-currency", message, "/price")
    return {
        "price": effective and effective[0],
        "currency": effective and effective[1],
        "regular_price": regular[0] if regular and sale else None,
        "on_sale": bool(regular and sale),
        "sale_starts_at": dates and dates[0].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sale_ends_at": dates and dates[1].strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
