"""Recognise three published data sets by their columns, so that nobody has to spell out their roles.

Tennessee Eastman of Rieth (see `rieth`), braking of a high-speed train (HST), and AI4I 2020. The files of HST are
not public: the layout is known from publications, and the code is tested on generated files only. No column is left out
here because of its values; `tables.checks.leaks.target_leakage` does that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

import pandas as pd

from faultwise.contracts.about import About
from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.benchmarks.layout import Layout
from faultwise.tables.reading.benchmarks.rieth import ONSETS, RIETH, rieth_faults, rieth_layout, stated_part
from faultwise.tables.reading.table import Roles, Table, label_text

__all__ = ["Layout", "arrange", "recognise"]

_HST_NAME = re.compile(r"(?<![a-z])hst(?![a-z])", re.IGNORECASE)
_HST_WIDTH, _HST_ROWS, _HST_LABELS = 47, 22_368, {"0": 21_979, "1": 389}
_HST_TARGETS = ("y", "label", "target", "class")
_AI4I_ROWS = 10_000
_AI4I_MEASURED = ("type", "air temperature", "process temperature", "rotational speed", "torque", "tool wear")
_AI4I_TARGET = "machine failure"
_AI4I_FLAGS = {
    "twf": "tool wear failure",
    "hdf": "heat dissipation failure",
    "pwf": "power failure",
    "osf": "overstrain failure",
    "rnf": "random failure",
}
_AI4I_NAMES = ("udi", "uid", "product id")


def recognise(
    columns: Iterable[object], name: str = "", *, target: str | None = None, onset: int | None = None
) -> Layout | None:
    """Return the layout of a known data set by its columns and its file's name; None for any other table.

    `target` is the label that the user named, in the file's own words. `onset` is the number of samples before a
    fault of the Rieth set; by default the name says it (Training, Testing), or the whole frame (`Layout.settled`).
    Nothing is read, so the first chunk of a file will do.

    >>> recognise(["flow", "fault"]) is None
    True
    """
    names = [str(column) for column in columns]
    return (
        rieth_layout(names, ONSETS.get(stated_part(name)) if onset is None else onset)
        or _ai4i(names, target)
        or _hst(names, name, target)
    )


def arrange(
    table: Table,
    name: str,
    requested: Roles,
    keep: Collection[str] = (),
    part: str = "",
    faults: Collection[int] | None = None,
) -> tuple[Table, Roles, tuple[str, ...]]:
    """Apply the layout of a known data set to a freshly read table; return it, and the requested roles in its names.

    `requested` holds the roles that the user named, `keep` the columns that are not ignored. The returned table has the
    layout's roles, split, companion and notes. Raises DataError for `faults` of a table that has none to choose among,
    and for a known data set that is damaged.
    """
    layout = recognise(table.frame.columns, name, target=requested.target)
    if faults is not None:
        if layout is None or layout.name != RIETH:
            raise DataError(
                f"`{table.source}` holds no Tennessee Eastman files of Braatz or Rieth, so there are no faults to "
                "choose: leave `faults` out."
            )
        table = replace(table, frame=rieth_faults(table.frame, faults, table.source))
    settled = None if layout is None else layout.settled(table.frame)
    if settled is None:
        return table, requested, tuple(keep)
    new = settled.renamed
    requested = Roles(
        target=new.get(requested.target or "", requested.target),
        group=new.get(requested.group or "", requested.group),
        time=new.get(requested.time or "", requested.time),
        ignored=tuple(new.get(one, one) for one in requested.ignored if one not in settled.dropped),
    )
    kept = tuple(new.get(one, one) for one in keep)
    settled = settled.keeping(
        {*kept, *requested.ignored, *filter(None, (requested.target, requested.group, requested.time))}
    )
    notes = [*table.notes, *settled.all_notes()]
    if part and settled.part and part != settled.part:
        notes.append(f"The {part} part was requested, but this is of the {settled.part} part: it was read.")
    own = settled.roles
    arranged = replace(
        table,
        frame=settled.apply(table.frame),
        # In a folder of files each file is a run, unless the layout has runs of its own.
        roles=replace(own, group=own.group or table.roles.group),
        notes=tuple(notes),
        about=settled.about,
        split=settled.split if table.roles.group in (None, own.group) else "",
    )
    return arranged, requested, kept


def _ai4i(names: list[str], target: str | None) -> Layout | None:
    """AI4I 2020 (S. Matzka, UCI, doi:10.24432/C5HS5C): 14 columns, of them two names of rows and six labels."""
    plain = {re.sub(r"\s*\[[^\]]*\]\s*$", "", name).strip().lower(): name for name in names}
    if any(name not in plain for name in (*_AI4I_MEASURED, _AI4I_TARGET, *_AI4I_FLAGS)):
        return None
    failure, flags = plain[_AI4I_TARGET], {plain[flag]: words for flag, words in _AI4I_FLAGS.items()}
    label = target if target in names else failure
    reasons = {plain[name]: "they name rows" for name in _AI4I_NAMES if name in plain}
    about = About(asset="AI4I 2020 milling machine")
    if label in flags:
        # One failure, several flags: each of the others is known only when the label is.
        why = "labels of the same failures, known only after them"
        reasons |= {name: why for name in (failure, *flags) if name != label}
    else:
        reasons[plain["rnf"]] = "random failures: known only after the failure, and without a trace in the data"
    if label in (failure, *flags):
        about = replace(about, normal="0", faults={"1": flags.get(label, "machine failure")})
    return Layout(
        name="AI4I 2020",
        roles=Roles(target=label, ignored=tuple(reasons)),
        split="row",
        about=about,
        notes=(f"AI4I 2020: the label is `{label}`; there are no runs, every row is a part of its own (--split row).",),
        reasons=reasons,
        settle=_ai4i_settle,
    )


def _ai4i_settle(layout: Layout, frame: pd.DataFrame) -> Layout:
    if len(frame) == _AI4I_ROWS:
        return layout
    note = f"A part or another edition of AI4I 2020: {len(frame)} rows, the original has {_AI4I_ROWS}."
    return replace(layout, notes=(*layout.notes, note))


def _hst(names: list[str], file: str, target: str | None) -> Layout | None:
    """HST: 46 unnamed features and a label; such columns identify nothing, so the file's name has to."""
    if len(names) != _HST_WIDTH or not _HST_NAME.search(file.partition(".")[0]):
        return None
    named = [name for name in names if name.strip().lower() in _HST_TARGETS]
    label = named[0] if len(named) == 1 else target if target in names else names[-1]
    return Layout(
        name="HST",
        roles=Roles(target=label),
        split="row",
        about=About(asset="High-speed train braking", normal="0", faults={"1": "anomalous"}),
        notes=(
            f"High-speed train braking (HST): 46 features, the label is `{label}` (0 normal, 1 anomalous).",
            "HST names no runs, so rows are split one by one (--split row): rows next to each other may be nearly the "
            "same, and then held-out rows do not test the experts.",
        ),
        settle=_hst_settle,
    )


def _hst_settle(layout: Layout, frame: pd.DataFrame) -> Layout | None:
    counts = label_text(frame[layout.roles.target]).value_counts().to_dict()
    if len(frame) == _HST_ROWS:
        if counts != _HST_LABELS:
            found = listing([f"{label}: {count}" for label, count in counts.items()], 4) or "none"
            raise DataError(
                f"A file named HST with its {_HST_ROWS} rows has the labels {found} in `{layout.roles.target}`; "
                f"expected {_HST_LABELS['0']} times 0 and {_HST_LABELS['1']} times 1: fetch it again, or "
                "rename it if it is another data set."
            )
        return layout
    if not counts or not set(counts) <= set(_HST_LABELS):
        return None  # the name alone makes no HST
    shown = ", ".join(f"{counts.get(label, 0)} times {label}" for label in _HST_LABELS)
    note = f"A part of HST: {len(frame)} of {_HST_ROWS} rows ({shown})."
    return replace(layout, notes=(*layout.notes, note))
