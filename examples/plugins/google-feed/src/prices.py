"""Reads prices and the periods of sales, in the formats in which feeds and APIs have them."""

import math
import re
from datetime import datetime, timezone

# A price, and its currency if it names one.
Price = tuple[float, str | None]

MISSING = "is missing"
UNREADABLE = "is not a price such as `15.00 EUR`"
AMBIGUOUS = "has three digits behind its only point, so it may be a thousand times as much; write `1299.00 EUR` or `1.30 EUR`"

# Signs that stand for one currency. `$` and `¥` stand for several, `kr` too.
SIGNS = {"€": "EUR", "£": "GBP", "₹": "INR", "₺": "TRY", "₴": "UAH", "₩": "KRW", "₪": "ILS", "zł": "PLN", "$": None, "¥": None}
# Currencies with a thousandth: in these, three digits behind the point are usual.
THOUSANDTHS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
UNIT = "[A-Za-z]{3}|" + "|".join(map(re.escape, SIGNS))


def price(value: object, default: str | None) -> Price | str:
    """The price of `15.00 EUR`, `EUR 15.00`, `€1.299,00`, `{"value": "15.00", "currency": "EUR"}` or
    `{"amountMicros": "15000000", "currencyCode": "EUR"}`, in the default currency if it names none; or what is wrong with it."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, dict):
        unit = value.get("currency", value.get("currencyCode"))
        if "amountMicros" in value:
            micros = str(value["amountMicros"])
            number = int(micros) / 1_000_000 if re.fullmatch(r"\d{1,18}", micros) else UNREADABLE
        else:
            number = amount(str(value.get("value", "")), unit)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        found = re.fullmatch(rf"({UNIT})?([\d.,'’\s]*\d)\s*({UNIT})?", str(value).strip())
        if found is None or (found[1] and found[3]):
            return UNREADABLE
        unit = found[1] or found[3]
        number = amount(found[2].strip(), unit)
    else:
        return UNREADABLE
    if isinstance(number, str) or not math.isfinite(number):
        return number if isinstance(number, str) else UNREADABLE
    unit = SIGNS[unit] if unit in SIGNS else unit
    return number, unit.upper() if isinstance(unit, str) and unit else default


def amount(number: str, unit: object) -> float | str:
    """The number of a text with a point or comma before the cents, and perhaps separators of thousands."""
    number = re.sub(r"(?<=\d)['’\s](?=\d{3})", "", number)
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", number):
        return float(number.replace(",", ""))
    if re.fullmatch(r"\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}", number):
        return float(number.replace(".", "").replace(",", "."))
    if re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", number) and str(unit).upper() not in THOUSANDTHS:
        return AMBIGUOUS
    return float(number.replace(",", ".")) if re.fullmatch(r"\d+([.,]\d+)?", number) else UNREADABLE


def moment(value: object) -> datetime | None:
    """A time in UTC, where it names no other zone."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return found and (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def period(value: object) -> tuple[datetime, datetime] | None:
    """The period of `2026-11-01T00:00+0100/2026-11-30T23:59+0100` or `{"startTime": …, "endTime": …}`."""
    if isinstance(value, dict):
        ends = [value.get("startTime"), value.get("endTime")]
    else:
        ends = str(value).strip().split("/")
    ends = [end.strip() if isinstance(end, str) else end for end in ends]
    if len(ends) == 2 and isinstance(ends[1], str) and re.fullmatch(r"\d{4}-\d\d-\d\d", ends[1]):
        # The last day belongs to the sale.
        ends[1] += "T23:59:59"
    found = [moment(end) for end in ends]
    return (found[0], found[1]) if len(found) == 2 and all(found) and found[0] <= found[1] else None
