"""Labels as text, so that 4, 4.0 and "4" are one label."""

from __future__ import annotations

__all__ = ["label_of"]


def label_of(value: object) -> str | None:
    """Write a label as text, None for one that is missing or empty; truth is "True" or "False".

    >>> label_of(4.0), label_of("leak "), label_of(True), label_of(float("nan"))
    ('4', 'leak', 'True', None)
    """
    item = value.item() if hasattr(value, "item") else value
    if item is None or type(item).__name__ == "NAType" or (isinstance(item, float) and item != item):
        return None
    if isinstance(item, bool):
        return str(item)
    if isinstance(item, float) and item.is_integer():
        return str(int(item))
    text = str(item).strip()
    if text.endswith(".0") and text[:-2].lstrip("-").isdigit():
        text = text[:-2]
    return text or None
