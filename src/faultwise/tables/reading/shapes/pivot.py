"""From a line per measurement to a row per time: what a file with a column for each tag would have held.

Lines of bad quality leave their cell empty. A tag that has no line at many of the times keeps its last value, as long
as that is no older than a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from faultwise.contracts.about import About, Variable
from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.labels import label_of
from faultwise.tables.reading.shapes.as_of import interval_of, last_at
from faultwise.tables.reading.shapes.axes import axis_of, span_text
from faultwise.tables.reading.shapes.long_form import LongForm, constant, row_keys
from faultwise.tables.reading.shapes.names import UNIT, named
from faultwise.tables.reading.shapes.quality import NO_VALUE, bad_lines

__all__ = ["AGES", "Pivoted", "pivoted"]

AGES = 3.0  # times a usual interval: how old a value that is carried on may be by default
_OFTEN = 0.8  # of the rows: a tag with lines at more of them is not carried on
_MOST_CELLS = 200_000_000
_TRUTH = {"true": 1, "false": 0}


@dataclass
class Pivoted:
    """A frame with a column for each tag, what was noticed, and what later files need.

    `ages` are the limits (in the unit of the times) of the tags whose last value is carried on; `gone` are columns of
    lines that rows do not have.
    """

    frame: pd.DataFrame
    notes: list[str]
    about: About
    ages: dict[str, float]
    gone: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Lines:
    """The lines that count: the row of each (lines,), its tag's number, value as a number and as text; and the rows'
    assets and times (rows,).
    """

    row: np.ndarray
    tag: np.ndarray
    numbers: np.ndarray
    texts: np.ndarray | None
    bad: np.ndarray
    assets: np.ndarray
    times: np.ndarray


def pivoted(
    frame: pd.DataFrame,
    form: LongForm,
    texts: pd.Series | None = None,
    labels: tuple[str | None, ...] = (),
    max_age: float | None = None,
    ages: Mapping[str, float] | None = None,
) -> Pivoted:
    """Return the table with a column for each tag, rows ordered by asset and time.

    `texts` holds the values as they were written. `labels` are columns that the user named: they must not differ within
    a row. `max_age` limits the age of values that are carried on; `ages` are such limits of an earlier file, tag by
    tag. Raises DataError.
    """
    assets, times = row_keys(frame, form)
    usable = np.isfinite(times) & frame[form.tag].notna().to_numpy()
    if not usable.any():
        raise DataError(f"No line has both a time in `{form.time}` and a tag in `{form.tag}`: look at these columns.")
    notes = [f"{int((~usable).sum()):,} lines without a time or tag were left out."] if not usable.all() else []
    frame, assets, times = frame[usable], assets[usable], times[usable]
    texts = None if texts is None else texts[usable]
    rows = pd.DataFrame({"asset": assets, "time": times}).groupby(["asset", "time"]).ngroup().to_numpy()
    codes, tags = pd.factorize(frame[form.tag])
    names = [str(label_of(tag)) for tag in tags]
    if (int(rows.max()) + 1) * len(names) > _MOST_CELLS:
        raise DataError(
            f"A row per time would need {rows.max() + 1:,} rows with {len(names):,} tags, more than fits into memory: "
            "read one asset or one month at a time, or export the tags at common times."
        )
    first = np.unique(rows, return_index=True)[1]
    lines, repeated = _lines(frame, form, texts, rows, codes, assets[first], times[first])
    columns, carried, more = _columns(lines, names, max_age, ages, axis_of(frame[form.time]).dated)
    kept, about, gone = _others(frame, form, rows, first, names, labels)
    taken = [name for name in names if name in kept]
    if taken:
        raise DataError(f"The tag `{taken[0]}` has the name of a column of the table: rename that column.")
    notes = [_summary(form, names, lines, repeated), *notes, *more]
    if left_out := [name for name in gone if name not in (form.tag, form.value, form.quality)]:
        notes.append(f"Columns of the lines that the rows do not have: {listing(left_out)}.")
    return Pivoted(_in_order(frame, form, kept, columns), notes, about, carried, gone)


def _lines(
    frame: pd.DataFrame,
    form: LongForm,
    texts: pd.Series | None,
    rows: np.ndarray,
    codes: np.ndarray,
    assets: np.ndarray,
    times: np.ndarray,
) -> tuple[_Lines, int]:
    """Return the lines, of those for one time and tag only the last, and how many were left out."""
    last = ~pd.DataFrame({"row": rows, "tag": codes}).duplicated(keep="last").to_numpy()
    values = frame[form.value]
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if texts is None and not pd.api.types.is_numeric_dtype(values.dtype):
        texts = values
    written = None if texts is None else _trimmed(texts)
    bad = np.zeros(len(frame), bool) if form.quality is None else bad_lines(frame[form.quality])
    if written is not None:
        words = np.flatnonzero(np.isnan(numbers))
        marks, distinct = pd.factorize(written[words])
        bad[words] |= np.array([*(str(text).lower() in NO_VALUE for text in distinct), False])[marks]
        written[bad] = None
        written = written[last]
    numbers = np.where(bad, np.nan, numbers)
    return _Lines(rows[last], codes[last], numbers[last], written, bad[last], assets, times), int((~last).sum())


def _trimmed(texts: pd.Series) -> np.ndarray:
    """Return values as they were written, None where there is none."""
    if not isinstance(texts.dtype, pd.StringDtype):
        texts = texts.map(str, na_action="ignore")
    return np.array(texts.astype("str").str.strip().astype(object).where(texts.notna(), None), dtype=object)


def _columns(
    lines: _Lines, names: list[str], max_age: float | None, ages: Mapping[str, float] | None, dated: bool
) -> tuple[dict[str, pd.Series], dict[str, float], list[str]]:
    """Return the column of each tag, the limits of those that are carried on, and sentences."""
    columns: dict[str, pd.Series] = {}
    carried: dict[str, float] = {}
    notes: list[str] = []
    order = np.argsort(lines.tag, kind="stable")
    bounds = np.searchsorted(lines.tag[order], np.arange(len(names) + 1))
    for number, name in enumerate(names):
        mine = order[bounds[number] : bounds[number + 1]]
        rows = lines.row[mine]
        limit = _limit(lines, rows, name, max_age, ages)
        if limit is not None:
            carried[name] = limit
            at = last_at(lines.times, lines.assets, lines.times[rows], lines.assets[rows])
            age = lines.times - lines.times[rows][at]
            fresh = np.where((at >= 0) & (age <= limit), at, -1)
        else:
            fresh = np.full(len(lines.times), -1)
            fresh[rows] = np.arange(len(rows))
        texts = None if lines.texts is None else lines.texts[mine]
        columns[name] = _taken(_of_tag(name, lines.numbers[mine], texts, notes), fresh)
    if carried:
        shown = ", ".join(f"`{name[:60]}` {span_text(age, dated)}" for name, age in list(carried.items())[:4])
        more = f", and {len(carried) - 4} more" if len(carried) > 4 else ""
        how = "" if max_age is not None else f", {AGES:g} times its usual interval unless --max-age says otherwise"
        notes.append(f"Tags without a line at every time keep their last value up to an age{how}: {shown}{more}.")
    return columns, carried, notes


def _limit(
    lines: _Lines, rows: np.ndarray, name: str, max_age: float | None, ages: Mapping[str, float] | None
) -> float | None:
    """Return up to which age the last value of a tag is carried on, None where it is not."""
    if ages is not None:
        return ages.get(name)
    theirs = np.isin(lines.assets, lines.assets[rows])
    if len(rows) > _OFTEN * theirs.sum():
        return None
    usual = interval_of(lines.times[rows], lines.assets[rows])
    return max_age if max_age is not None else AGES * usual if np.isfinite(usual) else 0.0


def _of_tag(name: str, numbers: np.ndarray, texts: np.ndarray | None, notes: list[str]) -> pd.Series:
    """Return the values of one tag by line, as a file with a column for it would be read: numbers, or text."""
    if texts is None:
        return pd.Series(numbers)
    written = pd.Series(texts, dtype=object)
    known = written.notna()
    parsed = pd.to_numeric(written, errors="coerce")
    finite = np.isfinite(numbers)
    if parsed.notna().equals(known) and np.allclose(parsed[finite].astype(float), numbers[finite], rtol=1e-12, atol=0):
        return parsed
    truth = written[known & parsed.isna()].map(lambda text: _TRUTH.get(str(text).lower()))
    if len(truth) == known.sum() and truth.notna().all():
        truth = truth.reindex(written.index)
        return truth.astype("int64" if known.all() else float)
    if 2 * finite.sum() <= known.sum():
        return written
    if len(wrong := written[known & ~finite]):
        shown = listing(wrong.unique(), 3)
        notes.append(f"Tag `{name[:60]}`: {len(wrong):,} values are text ({shown}): treated as missing.")
    return pd.Series(numbers)


def _taken(values: pd.Series, at: np.ndarray) -> pd.Series:
    """Return the values at these positions (rows,), missing where they are -1."""
    if (at >= 0).all():
        return values.iloc[at].reset_index(drop=True)
    kind: type = object if values.dtype == object else float
    known = np.append(values.to_numpy(dtype=kind), np.array([None if kind is object else np.nan], dtype=kind))
    return pd.Series(known[at])


def _others(
    frame: pd.DataFrame,
    form: LongForm,
    rows: np.ndarray,
    first: np.ndarray,
    names: list[str],
    labels: tuple[str | None, ...],
) -> tuple[dict[str, pd.Series], About, list[str]]:
    """Return the columns that hold for whole rows, what is known about the tags, and the columns that are gone."""
    kept: dict[str, pd.Series] = {}
    about, gone = About(), [name for name in (form.tag, form.value, form.quality) if name is not None]
    for name in map(str, frame.columns):
        if name in gone:
            continue
        values = frame[name]
        of_tag = len(names) > 1 and values.nunique() > 1 and constant(values, frame[form.tag])
        if of_tag and name not in labels and name not in (form.time, *form.assets):
            gone.append(name)
            if named([name], UNIT):
                pairs = frame[[form.tag, name]].dropna().drop_duplicates(form.tag)
                units = dict(zip(pairs[form.tag], pairs[name], strict=True))
                about = About(variables={str(tag): Variable(unit=str(unit)[:20]) for tag, unit in units.items()})
        elif name in (form.time, *form.assets):
            kept[name] = values.iloc[first].reset_index(drop=True)
        elif constant(values, rows):
            by_row = values.groupby(rows).first()
            kept[name] = by_row.astype(values.dtype) if by_row.notna().all() else by_row
        elif name in labels:
            raise DataError(
                f"`{name}` differs between the tags of one time, but a row has one of it: give each asset or run that "
                "is measured at that time its own name with --group, or keep the lines with --long none."
            )
        else:
            gone.append(name)
    return kept, about, gone


def _summary(form: LongForm, names: list[str], lines: _Lines, repeated: int) -> str:
    parts = [f"{len(names)} tag{'s' * (len(names) != 1)} in `{form.tag}`", f"values in `{form.value}`"]
    if bad := int(lines.bad.sum()):
        parts.append(f"{bad:,} value{'s' * (bad != 1)} of bad quality left out")
    if repeated:
        parts.append(f"{repeated:,} lines that a later one for the same time and tag replaces left out")
    of = f" of `{form.assets[0]}`" if form.assets else ""
    return (
        f"Read as a long table: {', '.join(parts)}; one row for each `{form.time}`{of}. Name the columns with --long "
        "TAG,VALUE, or keep the lines with --long none."
    )


def _in_order(
    frame: pd.DataFrame, form: LongForm, kept: dict[str, pd.Series], columns: dict[str, pd.Series]
) -> pd.DataFrame:
    """Return the columns in the order of the file, the tags in place of their column."""
    made: dict[str, pd.Series] = {}
    for name in map(str, frame.columns):
        if name in kept:
            made[name] = kept[name]
        elif name == form.tag:
            made |= columns
    return pd.DataFrame(made)
