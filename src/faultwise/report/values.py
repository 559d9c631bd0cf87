"""Single values as printable text: one line, no control characters, no more digits than can be read.

Every view writes its values through here. Nothing here escapes for HTML or Markdown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

__all__ = [
    "DASH",
    "Record",
    "aligned",
    "clean",
    "flatten",
    "number",
    "percent",
]

DASH = "–"
# A result of `evaluate` as JSON holds it: metric names, and figures, texts or more of these.
Record = Mapping[str, Any]
_LONGEST = 1000
# Whole terminal sequences first, so that "[31m" does not stay behind; then whatever else is unprintable,
# reverses the reading direction or hides (bidi controls, zero-width and tag characters).
_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(value: object, most: int = _LONGEST) -> str:
    r"""Return one printable line: no control characters, no reversed reading direction, no broken Unicode.

    Missing values become a dash; texts longer than `most` characters end in an ellipsis.

    >>> clean("\x1b[31mTank\n 3\u202e"), clean(None), clean(float("nan"))
    ('Tank 3', '–', '–')
    """
    if value is None or value != value:
        return DASH
    text = _SURROGATE.sub("\ufffd", _HIDDEN.sub("", _ANSI.sub("", str(value)[: 20 * most])))
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def number(value: object, sign: bool = False, digits: int = 4) -> str:
    """Write a number with so many significant digits, anything else as clean text.

    >>> number(0.123456), number(-12345.6), number(2e-7), number(True), number(None), number(float("inf"))
    ('0.1235', '−12,346', '2e-07', 'yes', '–', '∞')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, Real) or value != value:
        return clean(value)
    exact = float(value)
    size = abs(exact)
    if math.isinf(size):
        text = "∞"
    elif size < 1e9 and (size >= 9999.5 or size == int(size)):
        decimals = 0 if size == int(size) else max(0, digits - len(str(int(size))))
        text = f"{size:,.{decimals}f}" if size >= 9999.5 else f"{size:.0f}"
    else:
        text = f"{size:.{digits}g}"
    return ("−" if exact < 0 else "+" if sign and exact > 0 else "") + text


def percent(value: object) -> str:
    """Write a share from 0 to 1 as a percentage that never rounds to certainty.

    >>> percent(0.9312), percent(0.0421), percent(0.99999), percent(0.00002), percent(1), percent(None)
    ('93%', '4.2%', '>99.9%', '<0.1%', '100%', '–')
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return DASH
    share = 100 * float(value)
    if 0 < share < 0.1:
        return "<0.1%"
    if 99.9 < share < 100:
        return ">99.9%"
    text = f"{share:.0f}" if 9.95 <= share <= 98.95 else f"{share:.1f}".removesuffix(".0")
    return text + "%"


def aligned(values: Sequence[object]) -> list[str]:
    """Write the cells of one column: fractions get the same number of decimals, the rest is as in `number`.

    >>> aligned([0.81234, 0.6, None]), aligned([1200, 7]), aligned(["a", 0.5])
    (['0.812', '0.600', '–'], ['1200', '7'], ['a', '0.500'])
    """
    floats = [v for v in values if isinstance(v, float) and math.isfinite(v)]
    if max(map(abs, floats), default=10.0) >= 10 or all(v == int(v) for v in floats):
        return [number(value) for value in values]
    return [f"{v:.3f}".replace("-", "−") if v in floats else number(v) for v in values]


def flatten(tree: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Write a nested mapping as lines of dotted key and text.

    >>> flatten({"versions": {"numpy": "2.1"}, "seed": 7, "labels": ["0", "4"], "commit": None})
    [('versions.numpy', '2.1'), ('seed', '7'), ('labels', '0, 4'), ('commit', '–')]
    """
    lines: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = prefix + clean(key)
        if isinstance(value, Mapping) and name.count(".") < 8:
            lines += flatten(value, name + ".")
        elif isinstance(value, list | tuple):
            lines.append((name, ", ".join(clean(item) for item in value[:50]) or DASH))
        else:
            # A seed or a row count is an identity here, not a measurement: it keeps all its digits.
            lines.append((name, number(value) if isinstance(value, float) else clean(value)))
    return lines
