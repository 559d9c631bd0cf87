"""Make the columns of a freshly read file either numbers or text, and note what that changed.

Every reader ends here, so that a CSV and a Parquet file of the same rows give the same table. It fills no
gaps and scales nothing: a missing value stays missing, and the encoders decide what to do about it.
Dates stay the text they are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from faultwise.contracts.errors import listing
from faultwise.tables.reading.columns import unique_names, without_counters
from faultwise.tables.reading.text.numerals import Spelling, find_spelling, is_number, looks_grouped, to_number

__all__ = ["MISSING_WORDS", "Cleaner", "clean", "is_number", "looks_grouped", "unique_names", "without_counters"]

# Lower case. "none" is not among them: it is a common label for "no fault".
MISSING_WORDS = frozenset(
    ("", "na", "n/a", "nan", "-nan", "null", "-", "--", "#n/a", "<na>", "nat", "#na", "1.#qnan", "1.#ind")
)
# What spreadsheets write where a formula failed, in English and German.
_FORMULA_ERRORS = frozenset(
    (
        "#div/0!",
        "#value!",
        "#ref!",
        "#name?",
        "#num!",
        "#null!",
        "#spill!",
        "#calc!",
        "#nv",
        "#wert!",
        "#bezug!",
        "#zahl!",
    )
)
_TRUTH = {"true": 1.0, "false": 0.0}


def clean(
    frame: pd.DataFrame, *, decimal: str = ".", proven: bool = False, as_text: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame with every column as numbers or as text, plus sentences about what was changed.

    A text column becomes numbers when more than half of its non-missing values are numbers; the rest become
    missing, as do infinities and spreadsheet errors (`#DIV/0!`). Thousands separators are understood where
    they are certain: in `1,234.5`, or when the rest of the file has `proven` its `decimal` mark. Columns in
    `as_text` are trimmed but never turned into numbers; truth values there become the words True and False.
    Column names must be unique (`unique_names`); rows and columns keep their order.

    >>> frame, notes = clean(pd.DataFrame({"flow": ["1", "2", "bad", None, "-"]}))
    >>> frame["flow"].tolist()
    [1.0, 2.0, nan, nan, nan]
    >>> notes
    ['Column `flow`: 1 of 3 values are text (`bad`): treated as missing.']
    """
    return Cleaner(decimal, proven, as_text).clean(frame)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a column is: text, or numbers spelt in one way; `truth` for True and False as 1 and 0."""

    spelling: Spelling | None
    truth: bool = False


@dataclass
class Cleaner:
    """`clean` for a file that comes in pieces: the first frame decides once what each column is."""

    decimal: str = "."
    proven: bool = False
    as_text: Collection[str] = ()
    _kinds: dict[str, _Kind] = field(default_factory=dict)

    def clean(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Return the frame with numbers and text only, and sentences, as `clean` does."""
        notes: list[str] = []
        columns = {name: self._column(str(name), frame[name], notes) for name in frame}
        return pd.DataFrame(columns, index=frame.index), notes

    def texts(self) -> list[str]:
        """Return the names of the columns that were decided to be text."""
        return [name for name, kind in self._kinds.items() if kind.spelling is None]

    def _column(self, name: str, values: pd.Series, notes: list[str]) -> pd.Series:
        as_text = name in self.as_text
        kind = self._kinds.get(name)
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(values.cat.categories.dtype)
        if pd.api.types.is_bool_dtype(values.dtype) or (
            values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) == "boolean"
        ):
            kind = self._kinds.setdefault(name, _Kind(None if as_text else Spelling(self.decimal), truth=True))
            if kind.spelling is None:  # labels: the words a CSV file would hold
                return values.astype("boolean").astype("string").astype("str")
            if kind.truth:
                values = values.astype("Int64" if values.isna().any() else "int64")
            else:
                values = values.astype("boolean").astype("string").astype("str")
        if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
            self._kinds.setdefault(name, _Kind(None if as_text else Spelling(self.decimal)))
            return values if as_text else _finite(name, _plain(values), notes)
        cells = _Cells(values)
        if cells.errors:
            examples = listing(sorted(cells.errors), 3)
            notes.append(f"Column `{name[:60]}`: {cells.wrong} spreadsheet errors ({examples}): treated as missing.")
        if kind is None:
            kind = _Kind(None if as_text else self._spelling(name, cells, notes))
            self._kinds[name] = kind
        if kind.spelling is None:
            return cells.words(values.index)
        return _numbers(name, values.index, cells, kind, self.decimal, notes)

    def _spelling(self, name: str, cells: _Cells, notes: list[str]) -> Spelling | None:
        tokens = [token for token, fine in zip(cells.tokens, cells.known, strict=True) if fine]
        if not tokens:
            return Spelling(self.decimal)
        spelling = find_spelling(tokens, cells.counts[cells.known].tolist(), self.decimal, self.proven)
        if spelling is None:
            grouped = [token for token in tokens if looks_grouped(token)]
            if 2 * len(grouped) > len(tokens):
                notes.append(
                    f"Column `{name[:60]}` stays text: its values look like numbers with thousands separators "
                    f"({listing(grouped, 2)}): export it without them."
                )
        return spelling


class _Cells:
    """The distinct cells of a text column; parsing each once is what keeps long columns of words cheap."""

    def __init__(self, values: pd.Series) -> None:
        self.missing = values.isna().to_numpy()
        self.codes, distinct = pd.factorize(values[~self.missing].astype(str).to_numpy(dtype=object))
        self.tokens = [str(value).strip() for value in distinct]
        self.counts = np.bincount(self.codes, minlength=len(self.tokens))
        lowered = [token.lower() if len(token) < 12 else token for token in self.tokens]
        broken = np.array([word in _FORMULA_ERRORS for word in lowered], dtype=bool)
        self.known = np.array([word not in MISSING_WORDS for word in lowered], dtype=bool) & ~broken
        self.errors = {self.tokens[i] for i in np.flatnonzero(broken)}
        self.wrong = int(self.counts[broken].sum())

    def words(self, index: pd.Index) -> pd.Series:
        """Return the column as trimmed text."""
        words = np.array([token if fine else None for token, fine in zip(self.tokens, self.known, strict=True)], object)
        filled = np.full(len(index), None, dtype=object)
        filled[~self.missing] = words[self.codes]
        return pd.Series(filled, index=index, dtype="str")


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


def _numbers(name: str, index: pd.Index, cells: _Cells, kind: _Kind, decimal: str, notes: list[str]) -> pd.Series:
    spelling = kind.spelling or Spelling(decimal)
    read = [to_number(token, spelling) if fine else None for token, fine in zip(cells.tokens, cells.known, strict=True)]
    if kind.truth:
        read = [
            _TRUTH.get(token.lower()) if value is None else value
            for token, value in zip(cells.tokens, read, strict=True)
        ]
    parsed = np.array([np.nan if value is None else value for value in read], dtype=float)
    numeric = np.array([value is not None for value in read], dtype=bool)
    if spelling.mark != decimal:
        notes.append(f"Column `{name[:60]}` has `{spelling.mark}` as its decimal mark, unlike the rest of the file.")
    if spelling.percent:
        example = next((token for token, fine in zip(cells.tokens, numeric, strict=True) if fine), "5%")
        notes.append(f"Column `{name[:60]}`: every value is a percentage (`{example[:20]}`): read as percent points.")
    elif not kind.truth:
        unusual = [i for i in np.flatnonzero(numeric) if not is_number(cells.tokens[i], spelling.mark)]
        if unusual:
            example, value = cells.tokens[unusual[0]], parsed[unusual[0]]
            notes.append(
                f"Column `{name[:60]}`: {int(cells.counts[unusual].sum())} values have thousands separators or unusual "
                f"signs: read as numbers (`{example[:20]}` as {value:.15g})."
            )
    text = cells.known & ~numeric
    if text.any():
        examples = listing([" ".join(cells.tokens[i].split())[:20] for i in np.flatnonzero(text)], 3)
        notes.append(
            f"Column `{name[:60]}`: {int(cells.counts[text].sum())} of {int(cells.counts[cells.known].sum())} values "
            f"are text ({examples}): treated as missing."
        )
    filled = np.full(len(index), np.nan)
    filled[~cells.missing] = parsed[cells.codes]
    return _finite(name, pd.Series(filled, index=index), notes)
