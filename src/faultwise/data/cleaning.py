"""Make the columns of a freshly read file either numbers or text, and say what that cost.

Every reader ends here, so that a CSV and a Parquet file of the same rows give the same table. It fills no
gaps and scales nothing: a missing value stays missing, and what to do about it is the encoders' business.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd

from faultwise.errors import listing

__all__ = ["MISSING_WORDS", "clean", "is_number", "looks_grouped", "unique_names", "without_counters"]

# Lower case. "none" is not among them: it is a common label for "no fault".
MISSING_WORDS = frozenset(
    ("", "na", "n/a", "nan", "-nan", "null", "-", "--", "#n/a", "<na>", "nat", "#na", "1.#qnan", "1.#ind")
)
_NUMBER = {
    mark: re.compile(rf"[+-]?(\d+{re.escape(mark)}?\d*|{re.escape(mark)}\d+)([eE][+-]?\d+)?", re.ASCII)
    for mark in (".", ",")
}
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}((,\d{3})+(\.\d+)?|(\.\d{3})+(,\d+)?|( \d{3})+([.,]\d+)?)", re.ASCII)


def is_number(token: str, decimal: str = ".") -> bool:
    """Tell whether a cell is a number with this decimal mark (`.` or `,`); `inf` counts, `nan` does not.

    >>> is_number("-1,5e3", ","), is_number("1,5"), is_number("=1+1")
    (True, False, False)
    """
    return bool(_NUMBER[decimal].fullmatch(token) or _INFINITE.fullmatch(token))


def looks_grouped(token: str) -> bool:
    """Tell whether a cell could be a number with thousands separators: `1,234`, `1.234,5`, `12 345`."""
    return bool(_GROUPED.fullmatch(token))


def unique_names(names: Iterable[object]) -> tuple[list[str], list[str], list[str]]:
    """Trim names, name the nameless `column N`, and tell repeated ones apart by `.2`, `.3`, ...

    Returns the names (as many, in order), those that had none, and sentences about the renaming.

    >>> unique_names(["a", " a ", ""])[:2]
    (['a', 'a.2', 'column 3'], ['column 3'])
    """
    trimmed = [" ".join(str(name).split()) for name in names]
    taken: set[str] = set(trimmed)
    seen: set[str] = set()
    unique: list[str] = []
    nameless: list[str] = []
    renamed: list[str] = []
    for position, name in enumerate(trimmed, start=1):
        base = name or f"column {position}"
        final, copy = base, 1
        while final in seen or (final in taken and final != name):
            copy += 1
            final = f"{base}.{copy}"
        if not name:
            nameless.append(final)
        elif final != name:
            renamed.append(f"`{name[:60]}` as `{final[:60]}`")
        seen.add(final)
        unique.append(final)
    notes = []
    if renamed:
        more = f" and {len(renamed) - 8} more" if len(renamed) > 8 else ""
        notes.append(f"Column names that occur more than once were renamed: {', '.join(renamed[:8])}{more}.")
    return unique, nameless, notes


def without_counters(frame: pd.DataFrame, nameless: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
    """Leave out nameless columns that are empty or only number the rows (a saved index); say so.

    A row counter would let a classifier read the answer off the position in the file.
    """
    notes = []
    for name in nameless:
        values = frame[name]
        if values.isna().all():
            reason = "it is empty"
        elif (
            pd.api.types.is_numeric_dtype(values)
            and len(values) > 1
            and np.array_equal(np.diff(values.to_numpy(dtype=float)), np.ones(len(values) - 1))
        ):
            reason = "it only numbers the rows"
        else:
            continue
        frame = frame.drop(columns=name)
        notes.append(f"A column without a name (`{name}`) was left out: {reason}.")
    return frame, notes


def clean(frame: pd.DataFrame, *, decimal: str = ".", as_text: Collection[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame with every column as numbers or as text, plus sentences about what was changed.

    A text column becomes numbers when more than half of its non-missing values are numbers; the rest become
    missing. Infinities become missing. Columns in `as_text` are trimmed but never turned into numbers;
    truth values there become the words True and False.
    Column names must be unique (`unique_names`); rows and columns keep their order.

    >>> frame, notes = clean(pd.DataFrame({"flow": ["1", "2", "bad", None, "-"]}))
    >>> frame["flow"].tolist()
    [1.0, 2.0, nan, nan, nan]
    >>> notes
    ['Column `flow`: 1 of 3 values are text (`bad`): treated as missing.']
    """
    notes: list[str] = []
    columns = {name: _column(str(name), frame[name], decimal, name in as_text, notes) for name in frame}
    return pd.DataFrame(columns, index=frame.index), notes


def _column(name: str, values: pd.Series, decimal: str, as_text: bool, notes: list[str]) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(values.dtype) or (
        values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) == "boolean"
    ):
        if as_text:  # labels: the words a CSV file would hold
            return values.astype("boolean").astype("string").astype("str")
        values = values.astype("Int64" if values.isna().any() else "int64")
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        return values if as_text else _finite(name, _plain(values), notes)
    return _from_text(name, values, decimal, as_text, notes)


def _plain(values: pd.Series) -> pd.Series:
    """Leave pandas' nullable and Arrow number types for NumPy's, which every encoder knows."""
    if isinstance(values.dtype, np.dtype) and values.dtype != np.float16:
        return values
    if values.isna().any() or not pd.api.types.is_integer_dtype(values.dtype):
        return pd.Series(values.to_numpy(dtype=float, na_value=np.nan), index=values.index)
    return pd.Series(values.to_numpy(), index=values.index)


def _finite(name: str, values: pd.Series, notes: list[str]) -> pd.Series:
    if not pd.api.types.is_float_dtype(values.dtype):
        return values
    infinite = np.isinf(values.to_numpy())
    if not infinite.any():
        return values
    share = f"{int(infinite.sum())} of {int(values.notna().sum())}"
    notes.append(f"Column `{name[:60]}`: {share} values are infinite: treated as missing.")
    return values.mask(infinite)


def _from_text(name: str, values: pd.Series, decimal: str, as_text: bool, notes: list[str]) -> pd.Series:
    missing = values.isna().to_numpy()
    # Parsing each distinct value once is what keeps long columns of words cheap.
    codes, distinct = pd.factorize(values[~missing].astype(str).to_numpy(dtype=object))
    tokens = [str(value).strip() for value in distinct]
    known = np.array([token.lower() not in MISSING_WORDS for token in tokens], dtype=bool)
    counts = np.bincount(codes, minlength=len(tokens))
    total = int(counts[known].sum())
    if total == 0:
        return pd.Series(np.nan, index=values.index, dtype="str" if as_text else float)
    if not as_text:
        mark = _mark(tokens, counts, known, total, decimal)
        if mark is not None:
            return _numbers(name, values.index, (missing, codes, tokens, known, counts), mark, decimal, notes)
        grouped = [token for token, fine in zip(tokens, known, strict=True) if fine and looks_grouped(token)]
        if 2 * len(grouped) > int(known.sum()):
            notes.append(
                f"Column `{name[:60]}` stays text: its values look like numbers with thousands separators "
                f"({listing(grouped, 2)}): export it without them."
            )
    words = np.array([token if fine else None for token, fine in zip(tokens, known, strict=True)], object)
    filled = np.full(len(values), None, dtype=object)
    filled[~missing] = words[codes]
    return pd.Series(filled, index=values.index, dtype="str")


def _mark(tokens: list[str], counts: np.ndarray, known: np.ndarray, total: int, decimal: str) -> str | None:
    """Find the decimal mark under which more than half of the values are numbers: the file's own first."""
    for mark in (decimal, "," if decimal == "." else "."):
        numeric = np.array([is_number(token, mark) for token in tokens], dtype=bool) & known
        if 2 * int(counts[numeric].sum()) <= total:
            continue
        # "1.234" beside decimal commas is one thousand and more, or a little over one: nobody can tell.
        plain = any(fine and not looks_grouped(tokens[i]) for i, fine in enumerate(numeric))
        if mark == decimal or plain:
            return mark
    return None


def _numbers(
    name: str,
    index: pd.Index,
    parts: tuple[np.ndarray, np.ndarray, list[str], np.ndarray, np.ndarray],
    mark: str,
    decimal: str,
    notes: list[str],
) -> pd.Series:
    missing, codes, tokens, known, counts = parts
    numeric = np.array([is_number(token, mark) for token in tokens], dtype=bool)
    parsed = np.full(len(tokens), np.nan)
    parsed[numeric] = [float(tokens[i].replace(mark, ".")) for i in np.flatnonzero(numeric)]
    text = known & ~numeric
    if mark != decimal:
        notes.append(f"Column `{name[:60]}` has `{mark}` as its decimal mark, unlike the rest of the file.")
    if text.any():
        examples = listing([" ".join(tokens[i].split())[:20] for i in np.flatnonzero(text)], 3)
        notes.append(
            f"Column `{name[:60]}`: {int(counts[text].sum())} of {int(counts[known].sum())} values are text "
            f"({examples}): treated as missing."
        )
    filled = np.full(len(index), np.nan)
    filled[~missing] = parsed[codes]
    return _finite(name, pd.Series(filled, index=index), notes)
