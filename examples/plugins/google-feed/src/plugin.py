"""Transforms items of a Google Merchant feed in JSON lines into documents, one an item.

Names are those of the product data specification, in snake_case as in feeds or in camelCase as in its APIs.
"""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.manifest import Description, Grouping_WholeLines
from wit_world.exports.transform import Transformed
from wit_world.imports.types import Document, Failure, Issue, Severity

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
REQUIRED = ("title", "link", "image_link")
AVAILABLE = ("in_stock", "preorder", "backorder")


class Manifest(exports.Manifest):
    def describe(self) -> Description:
        return Description(
            name="google-feed",
            version="0.1.0",
            platform="google-feed",
            grouping=Grouping_WholeLines(),
            config_schema=json.dumps({"type": "object", "additionalProperties": False}),
            # The items of a feed have no times, so that each one is newer than the stored document.
            version_fields=[],
        )

    def configure(self, text: str) -> None:
        for key in json.loads(text):
            raise Err(Failure("invalid-configuration", f"there is no setting {key}"))


class Transform(exports.Transform):
    def run(self, products: list[str]) -> Transformed:
        made = Transformed(documents=[], counts=[], removals=[], issues=[])
        for item, text in enumerate(products):
            before = len(made.documents)
            product(item, {snake(name): value for name, value in json.loads(text).items()}, made)
            made.counts.append(len(made.documents) - before)
        return made


def product(item: int, source: dict, made: Transformed) -> None:
    def note(severity: Severity, code: str, message: str, path: str) -> None:
        made.issues.append(Issue(item, severity, code, message, path))

    # APIs call the merchant's own id offerId; their `id` is a resource name.
    name = source.get("offer_id") or source.get("id")
    if not isinstance(name, (str, int)) or name == "":
        note(Severity.ERROR, "missing-id", "The item has neither an id nor an offerId.", "/id")
        return
    fields: dict = {new: text(source.get(old)) for old, new in TEXTS.items()}
    fields |= {new: texts(source[old]) for old, new in LISTS.items() if old in source}
    for old in REQUIRED:
        if fields[TEXTS[old]] is None:
            note(Severity.WARNING, "missing-field", f"The item has no {old}, which the specification requires.", f"/{old}")
    prices = [price(source.get("price")), price(source.get("sale_price"))]
    if prices[0] is None:
        note(Severity.WARNING, "missing-price", "The item has no price such as `15.00 EUR`.", "/price")
    regular, sale = prices
    if effective := sale or regular:
        fields["price"], fields["currency"] = effective
    if regular and sale:
        fields["regular_price"] = regular[0]
    fields["on_sale"] = bool(regular and sale and sale[0] < regular[0])
    fields["available"] = str(source.get("availability", "")).strip().lower().replace(" ", "_") in AVAILABLE
    fields = {key: value for key, value in fields.items() if value is not None}
    made.documents.append(Document(document_id(str(name)), json.dumps(fields, ensure_ascii=False)))


def snake(name: str) -> str:
    """`imageLink` and `g:image_link` are `image_link`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.removeprefix("g:")).lower()


def text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else str(value) if isinstance(value, int) else None


def texts(value: object) -> list[str] | None:
    values = value if isinstance(value, list) else [value]
    return [found for one in values if (found := text(one))] or None


def price(value: object) -> tuple[float, str] | None:
    """`15.00 EUR`, `EUR 15.00`, `{"value": "15.00", "currency": "EUR"}` or `{"amountMicros": "15000000", "currencyCode": "EUR"}`."""
    if isinstance(value, dict):
        try:
            if "amountMicros" in value:
                return int(value["amountMicros"]) / 1_000_000, str(value["currencyCode"])
            return float(value["value"]), str(value["currency"])
        except (KeyError, TypeError, ValueError):
            return None
    found = re.fullmatch(r"\s*(?:([A-Z]{3})\s+)?(\d+(?:\.\d+)?)(?:\s+([A-Z]{3}))?\s*", value if isinstance(value, str) else "")
    currency = found and (found[1] or found[3])
    return (float(found[2]), currency) if found and currency else None


def document_id(name: str) -> str:
    """An id may have spaces and slashes; a document id may not, and two items must not become one."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda found: "".join(f"~{byte:02X}" for byte in found[0].encode()), name)
