"""Reads names, texts and ids of a feed's items, whatever their shape."""

import re


def snake(name: str) -> str:
    """`imageLink` and `g:image_link` are `image_link`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.removeprefix("g:")).lower()


def text(value: object) -> str | None:
    if isinstance(value, str):
        # Half of a surrogate pair, as a feed has it that cuts titles, is no character.
        return re.sub("[\ud800-\udfff]", "\ufffd", value).strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def texts(value: object) -> list[str] | None:
    values = value if isinstance(value, list) else [value]
    return [found for one in values if (found := text(one))] or None


def document_id(name: str) -> str:
    """An id may have spaces and slashes; a document id may not, and two items must not become one."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda found: "".join(f"~{byte:02X}" for byte in found[0].encode()), name)
