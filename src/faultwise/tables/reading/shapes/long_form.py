"""Recognise a table with a line per measurement, as historians export them: a tag, its value and a time in each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.shapes.axes import axis_of, is_time
from faultwise.tables.reading.shapes.names import ASSET, QUALITY, TAG, TIME, VALUE, named
from faultwise.tables.reading.shapes.quality import is_quality

__all__ = ["LongForm", "forced_form", "long_form", "row_keys"]

_MOST_TAGS = 5000
_REPEATS = 3  # lines that a tag has at least, on average
_TAGS_AT_ONCE = 1.5  # at least, where the names of columns alone prove nothing
_UNIQUE = 0.98
_APART = 0.5  # of the variance of ranks lies between tags: different quantities


@dataclass(frozen=True, slots=True)
class LongForm:
    """The columns of a table with a line per measurement. `assets` together name what was measured."""

    tag: str
    value: str
    time: str
    assets: tuple[str, ...] = ()
    quality: str | None = None


def long_form(frame: pd.DataFrame, time: str | None, group: str | None, target: str | None) -> LongForm | None:
    """Return the columns of a table with a line per measurement; None for any other table.

    `time`, `group` and `target` are the columns that the user named. Where the names of the columns do not give tag and
    value away, several tags must share their times, and their values must differ as different quantities do.
    """
    time = time if time in frame.columns else time_column(frame)
    if time is None or len(frame) < 2 * _REPEATS:
        return None
    used = {time, group, target}
    for tag in _tag_columns(frame, used):
        value = _value_column(frame, {*used, tag})
        if value is None:
            continue
        form = _completed(frame, tag, value, time, group, target)
        if _proven(frame, form, target):
            return form
    return None


def forced_form(
    frame: pd.DataFrame, names: Collection[str], time: str | None, group: str | None, target: str | None, source: str
) -> LongForm:
    """Return the columns where tag and value were named. Raises DataError where there are none, or no time."""
    if len(names) != 2:
        raise DataError(f"--long names {len(names)} columns; expected two, such as --long tag,value, or --long none.")
    tag, value = names
    for name in names:
        if name not in frame.columns:
            raise DataError(f"`{source}` has no column `{name}`; it has {listing(frame.columns)}: mend --long.")
    time = time if time in frame.columns else time_column(frame.drop(columns=[tag, value]))
    if time is None:
        raise DataError(f"`{source}` has a line per measurement, but no column of times was found: pass --time COL.")
    tags = frame[tag].nunique()
    if tags > _MOST_TAGS or (tags > _REPEATS and tags == len(frame)):
        raise DataError(
            f"`{tag}` has {tags:,} different values in {len(frame):,} lines, so it names lines and not tags; expected "
            "a column whose values come again at other times: name another one with --long TAG,VALUE."
        )
    return _completed(frame, tag, value, time, group, target)


def time_column(frame: pd.DataFrame) -> str | None:
    """Return the column of times, by its name and content, or the only one that holds dates."""
    for name in named(frame.columns, TIME):
        if is_time(frame[name]) or pd.api.types.is_numeric_dtype(frame[name].dtype):
            return name
    dated = [str(name) for name in frame.columns if _is_text(frame[name]) and is_time(frame[name])]
    dated += [str(name) for name in frame.columns if pd.api.types.is_datetime64_any_dtype(frame[name].dtype)]
    return dated[0] if len(dated) == 1 else None


def row_keys(frame: pd.DataFrame, form: LongForm) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for the asset of each line (lines,), in order of appearance, and its time (lines,)."""
    if not form.assets:
        return np.zeros(len(frame), int), axis_of(frame[form.time]).values
    assets = frame.groupby(list(form.assets), sort=False, dropna=False).ngroup().to_numpy()
    return assets, axis_of(frame[form.time]).values


def _is_text(values: pd.Series) -> bool:
    return bool(pd.api.types.is_string_dtype(values.dtype) or values.dtype == object)


def _tag_columns(frame: pd.DataFrame, used: Collection[str | None]) -> list[str]:
    """Return the columns that may hold tags, those named so first."""
    by_name = named(frame.columns, TAG)
    assets, qualities = named(frame.columns, ASSET), named(frame.columns, QUALITY)
    texts = [str(name) for name in frame.columns if _is_text(frame[name]) and name not in (*assets, *qualities)]
    found = []
    for name in dict.fromkeys([*by_name, *texts]):
        distinct = frame[name].nunique()
        text = _is_text(frame[name]) or name in by_name
        few = (1 if name in by_name else 2) <= distinct <= min(_MOST_TAGS, len(frame) / _REPEATS)
        if name not in used and text and few and frame[name].notna().mean() > _UNIQUE and not is_time(frame[name]):
            found.append(name)
    return found


def _value_column(frame: pd.DataFrame, used: Collection[str | None]) -> str | None:
    by_name = [name for name in named(frame.columns, VALUE) if name not in used]
    if by_name:
        return by_name[0]
    other = {*used, *named(frame.columns, ASSET), *named(frame.columns, QUALITY), *named(frame.columns, TIME)}
    numbers = [
        str(name) for name in frame.columns if name not in other and pd.api.types.is_numeric_dtype(frame[name].dtype)
    ]
    return numbers[0] if len(numbers) == 1 else None


def _completed(frame: pd.DataFrame, tag: str, value: str, time: str, group: str | None, target: str | None) -> LongForm:
    used = {tag, value, time, target}
    quality = next((n for n in named(frame.columns, QUALITY) if n not in used and is_quality(frame[n])), None)
    per_tag = {name for name in frame.columns if name not in used and constant(frame[name], frame[tag])}
    if group is not None and group not in used:
        return LongForm(tag, value, time, (group,), quality)
    assets = [name for name in named(frame.columns, ASSET) if name not in {*used, quality}]
    several = [name for name in assets if name not in per_tag or frame[name].nunique() == 1]
    return LongForm(tag, value, time, tuple(several[:1]), quality)


def constant(values: pd.Series, within: pd.Series | np.ndarray) -> bool:
    """Tell whether a column has one value at most in each group; missing ones aside."""
    keys = pd.factorize(within)[0]
    codes = pd.factorize(values)[0]
    known = (codes >= 0) & (keys >= 0)
    pairs = np.unique(np.stack([keys[known], codes[known]]), axis=1)
    return bool(len(np.unique(pairs[0])) == pairs.shape[1])


def _proven(frame: pd.DataFrame, form: LongForm, target: str | None) -> bool:
    assets, times = row_keys(frame, form)
    if not np.isfinite(times).mean() > 0.9:
        return False
    keys = pd.DataFrame({"asset": assets, "time": times, "tag": pd.factorize(frame[form.tag])[0]})
    unique = 1 - keys.duplicated().mean()
    at_once = len(keys) / max(1, len(keys[["asset", "time"]].drop_duplicates()))
    rows = keys.groupby(["asset", "time"], sort=False).ngroup().to_numpy()
    roles = {form.tag, form.value, form.time, form.quality, *form.assets}
    others = [name for name in frame.columns if name not in roles and not constant(frame[name], frame[form.tag])]
    by_names = bool(named([form.tag], TAG)) + bool(named([form.value], VALUE))
    if by_names == 2:
        numbers = [n for n in others if n != target and pd.api.types.is_numeric_dtype(frame[n].dtype)]
        return unique >= 0.9 and (at_once >= _TAGS_AT_ONCE or len(numbers) <= 1)
    if unique < _UNIQUE or at_once < _TAGS_AT_ONCE or any(not constant(frame[name], rows) for name in others):
        return False
    return by_names == 1 or _apart(frame[form.value], frame[form.tag])


def _apart(values: pd.Series, tags: pd.Series) -> bool:
    """Tell whether values differ between tags as those of different quantities do."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        return False
    ranks = values.rank()
    between = ranks.groupby(tags.to_numpy()).transform("mean").var()
    return bool(between > _APART * ranks.var())
