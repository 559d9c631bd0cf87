"""How numbers are spelt in cells: decimal marks, thousands separators, percent signs, unusual minus signs.

It knows cells and columns of cells, not files. What could mean two things is no number here: `1,234` is a
thousand or a little over one, and only other cells can show which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Spelling", "bare", "find_spelling", "is_number", "looks_grouped", "marks_shown", "to_number"]

# Longer cells are no measurements; a limit also keeps hostile ones cheap.
_LONGEST = 400
_OTHER = {".": ",", ",": "."}
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_NUMBER = {
    mark: re.compile(rf"[+-]?(?:\d+(?:{re.escape(mark)}\d*)?|{re.escape(mark)}\d+){_EXPONENT}", re.ASCII)
    for mark in _OTHER
}
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
# Thousands by the other mark; by spaces (also the unbreakable ones) or the Swiss apostrophe.
_BY_MARK = {
    mark: re.compile(
        rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(other)}\d{{3}})+(?:{re.escape(mark)}\d*)?{_EXPONENT}", re.ASCII
    )
    for mark, other in _OTHER.items()
}
_GAP = "[ \u00a0\u2009\u202f'\u2019]"
_BY_GAP = {
    mark: re.compile(
        rf"[+-]?[1-9]\d{{0,2}}(?P<gap>{_GAP})\d{{3}}(?:(?P=gap)\d{{3}})*(?:{re.escape(mark)}\d*)?{_EXPONENT}", re.ASCII
    )
    for mark in _OTHER
}
_LIKELY = re.compile(rf"[+\u2212\"'.,\d-][\d.,eE+\u2212%\"{_GAP[1:-1]}-]*$|[+\u2212-]?inf", re.ASCII | re.IGNORECASE)
_GAPS = re.compile(_GAP)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How the numbers of a column are spelt: decimal mark, whether the other mark groups thousands, percent."""

    mark: str = "."
    grouped: bool = False
    percent: bool = False


def is_number(token: str, decimal: str = ".") -> bool:
    """Tell whether a cell is a number with this decimal mark (`.` or `,`); `inf` counts, `nan` does not.

    >>> is_number("-1,5e3", ","), is_number("1,5"), is_number("=1+1"), is_number("21.11.2026")
    (True, False, False, False)
    """
    if len(token) > _LONGEST:
        return False
    return bool(_NUMBER[decimal].fullmatch(token) or _INFINITE.fullmatch(token))


def looks_grouped(token: str) -> bool:
    """Tell whether a cell could be a number with thousands separators: `1,234`, `1.234,5`, `12 345`."""
    if len(token) > _LONGEST:
        return False
    return any(form[mark].fullmatch(token) for form in (_BY_MARK, _BY_GAP) for mark in _OTHER)


def bare(token: str) -> str:
    """Return the cell with a plain minus sign and without quotes that were quoted themselves.

    >>> bare("\u22121.5"), bare("'12'")
    ('-1.5', '12')
    """
    if "\u2212" in token:
        token = token.replace("\u2212", "-")
    if len(token) > 2 and token[0] == token[-1] and token[0] in "\"'":
        token = token[1:-1].strip()
    return token


def to_number(token: str, spelling: Spelling) -> float | None:
    """Return the number a cell holds, or None; percent signs give percent points.

    >>> to_number("1,234.5", Spelling(grouped=True)), to_number("1,234", Spelling()), to_number("-", Spelling())
    (1234.5, None, None)
    """
    if len(token) > _LONGEST:
        return None
    token = bare(token)
    mark = spelling.mark
    if spelling.percent:
        if not token.endswith("%"):
            return None
        token = token[:-1].rstrip()
    if is_number(token, mark):
        return float(token.replace(mark, "."))
    if _BY_GAP[mark].fullmatch(token):
        return float(_GAPS.sub("", token).replace(mark, "."))
    if spelling.grouped and _BY_MARK[mark].fullmatch(token):
        return float(token.replace(_OTHER[mark], "").replace(mark, "."))
    return None


def marks_shown(tokens: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the cells that prove a decimal point, those that prove a decimal comma, and those like `1,234`."""
    points: list[str] = []
    commas: list[str] = []
    unclear: list[str] = []
    for token in map(bare, tokens):
        for mark, proofs in ((".", points), (",", commas)):
            if _proves(token, mark):
                proofs.append(token)
            elif mark == "," and "," in token and is_number(token, ","):
                unclear.append(token)
    return points, commas, unclear


def _proves(token: str, mark: str) -> bool:
    """Tell whether a cell can only be a number with this decimal mark: `2.5`, `1,234.5`, `1,234,567`."""
    if len(token) > _LONGEST:
        return False
    if mark in token and (_BY_GAP[mark].fullmatch(token) or (is_number(token, mark) and not looks_grouped(token))):
        return True
    return bool(_BY_MARK[mark].fullmatch(token)) and (mark in token or token.count(_OTHER[mark]) > 1)


def find_spelling(tokens: list[str], counts: list[int], decimal: str, proven: bool) -> Spelling | None:
    """Return how more than half of the cells (distinct `tokens`, each so many times) are numbers, or None for text.

    The file's own `decimal` mark is tried first; another one needs a cell that proves it. With `proven`, the file
    shows its decimal mark for certain, so that the other one can only group thousands. Percent signs must
    end every cell.

    >>> find_spelling(["1,234", "12"], [1, 1], ".", True), find_spelling(["1,234"], [1], ".", False)
    (Spelling(mark='.', grouped=True, percent=False), None)
    """
    likely = sum(count for token, count in zip(tokens, counts, strict=True) if _LIKELY.match(token))
    if 2 * likely <= sum(counts):
        return None  # words and times need no closer inspection
    plain = [bare(token) for token in tokens]
    percent = bool(plain) and all(token.endswith("%") for token in plain)
    if percent:
        plain = [token[:-1].rstrip() for token in plain]
    total = sum(counts)
    for mark in (decimal, _OTHER[decimal]):
        spelling = Spelling(mark, _groups(plain, mark, proven and mark == decimal))
        numeric = [to_number(token, spelling) is not None for token in plain]
        if percent and not all(numeric):
            continue
        if 2 * sum(count for count, fine in zip(counts, numeric, strict=True) if fine) <= total:
            continue
        if mark == decimal or any(_proves(token, mark) for token in plain):
            return Spelling(mark, spelling.grouped, percent)
    return None


def _groups(tokens: list[str], mark: str, proven: bool) -> bool:
    """Tell whether the other mark certainly groups thousands in this column."""
    other = _OTHER[mark]
    hits = [token for token in tokens if len(token) <= _LONGEST and _BY_MARK[mark].fullmatch(token)]
    if not hits or any(_proves(token, other) for token in tokens):
        return False
    return proven or any(_proves(token, mark) for token in hits)
