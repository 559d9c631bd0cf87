"""Sources of tables: what is one, and how it is read for a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.contracts.errors import DataError, UserError, listing
from faultwise.contracts.experts import Expert, takes_weights
from faultwise.contracts.modality import Items
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.options import TableReading

if TYPE_CHECKING:
    from faultwise.tables.checks.rules import Rules
    from faultwise.tables.reading.table import Table

__all__ = [
    "labels_needed",
    "notes_on_weights",
    "read_for_fit",
    "recognised_table",
    "requested",
    "rules_of",
    "table_in_memory",
]

_SPARE = 2  # rows read of a large source for each that may be drawn for training: windows and gaps cost some


def recognised_table(source: object) -> str | None:
    """Return why a source is a table: a file or folder that the readers know, a frame, or an array (rows, columns)."""
    if isinstance(source, str | Path):
        return _recognised_path(Path(source))
    while isinstance(source, Items):
        source = source.X
    from faultwise.tables.reading.memory.frames import is_frame
    from faultwise.tables.reading.table import Table

    if isinstance(source, Table) or is_frame(source):
        return f"it is a {type(source).__name__} in memory"
    return "it is an array of rows and columns" if getattr(source, "ndim", 0) == 2 else None


def _recognised_path(path: Path) -> str:
    from faultwise.contracts.paths import TABLES, ending, is_pattern, tables_among
    from faultwise.tables.reading.folders import files_of

    if is_pattern(path):
        return f"it is a pattern that matches {len(files_of(path)[1])} tables"
    if end := ending(path.name, (*TABLES, ".dat")):
        return f"its name ends in {end}"
    if path.is_dir():
        names = [child.name for child in path.iterdir()]
        return f"it is a folder with {len(tables_among(path, names))} tables"
    return "no other kind of trace recognised it"


def read_for_fit(source: object, settings: TableSettings, reading: TableReading, progress: bool = False) -> Table:
    """Return a table with roles; a file too large for memory is sampled evenly. Raises DataError without labels."""
    from faultwise.tables.reading.labels.labelling import with_labels
    from faultwise.tables.reading.table import Table

    if isinstance(source, Table):
        table = source
    elif isinstance(source, str | Path):
        table = _read(source, settings, reading, progress)
        _target_named(table, settings, reading)
    else:
        table = with_labels(table_in_memory(source, reading), reading, settings.normal)
        return _separate_rows(table, settings, source)
    return with_labels(table, reading, settings.normal)


def _separate_rows(table: Table, settings: TableSettings, source: object) -> Table:
    """Split rows without runs and times one by one in a fit, as scikit-learn does, unless labels come in stretches, as
    those of a record do. Raises DataError for one row.
    """
    from faultwise.verdicts.stretches import in_stretches

    if len(table.frame) == 1:
        raise DataError("X has 1 sample, and nothing can be learnt from one row: pass more rows.")
    roles = table.roles
    index = getattr(source.X if isinstance(source, Items) else source, "index", None)
    ordered = getattr(getattr(index, "dtype", None), "kind", "") == "M"  # a record, indexed by time
    chosen = settings.split != "auto" or settings.window not in (1, "auto") or settings.normal_only
    known = table.split != "" or roles.group is not None or roles.time is not None or roles.target is None
    if chosen or known or ordered or in_stretches(table.y):
        return table
    note = (
        "No runs were given, so each row of X counts as a separate measurement, and validation rows were drawn at "
        "random. If rows follow each other in time, pass groups (the run of each row): else the figures are too good."
    )
    return replace(table, split="row", notes=(*table.notes, note))


def _target_named(table: Table, settings: TableSettings, reading: TableReading) -> None:
    """Refuse a file without a column of labels, where neither events nor normal rows alone take its place."""
    if table.roles.target is None and reading.events is None and not settings.normal_only:
        raise DataError(
            f"`{table.source}`: which column holds the label? It has {listing(table.frame.columns, 60)}: pass "
            "--target COL, give a table of faults with --events FILE, or learn normal rows alone with `faultwise fit "
            "--normal-only`."
        )


def requested(reading: TableReading) -> dict[str, object]:
    """Return what `read_source` and `read_sample` are asked for to learn from a source."""
    return {
        "target": None if reading.events is not None else reading.target,  # there it names a column of the events
        "group": reading.group,
        "time": reading.time,
        "ignore": reading.ignore,
        "about": reading.about,
        "part": "train",
        "how": reading,
    }


def _read(source: str | Path, settings: TableSettings, reading: TableReading, progress: bool) -> Table:
    from faultwise.tables.reading.assembling import assembled
    from faultwise.tables.reading.batches import is_large
    from faultwise.tables.reading.readers import read_source
    from faultwise.tables.reading.sampling import read_sample

    given = {**requested(reading), "keep": settings.keep}
    if reading.query is not None or not is_large(source):
        return read_source(source, **given)  # type: ignore[arg-type]
    whole_only = [f"--{name}" for name in ("join", "long", "events") if getattr(reading, name)]
    if whole_only and reading.long != ("none",):
        raise DataError(
            f"`{source}` is too large to be read at once, which {whole_only[0]} needs: give a file of fewer rows."
        )
    # A run's highest score is that of all its rows.
    whole = settings.window != 1 or settings.false_alarm_per == "run"
    drawn = read_sample(
        source,
        settings.most_rows * _SPARE,
        seed=settings.seed,
        whole_runs=whole,
        even=not settings.normal_only,
        progress=progress,
        **given,  # type: ignore[arg-type]
    )
    return assembled(drawn, reading)


def table_in_memory(source: object, reading: TableReading, assemble: bool = True) -> Table:
    """Return X (rows, variables), with labels y (rows,), runs groups (rows,) and weights (rows,) where `Items` hold
    them, as a table. Raises DataError for shapes that do not fit.

    The steps of `assembling` follow, unless the caller takes them (`assemble`).
    """
    import numpy as np

    from faultwise.contracts.about import About, read_about
    from faultwise.tables.reading.assembling import assembled
    from faultwise.tables.reading.memory.frames import as_frame, unused_name
    from faultwise.tables.reading.memory.labels import label_array, weight_array
    from faultwise.tables.reading.readers import with_others
    from faultwise.tables.reading.shapes.reshaping import long_note, reshaped
    from faultwise.tables.reading.table import Roles, Table

    items = source if isinstance(source, Items) else Items(source)
    frame = as_frame(items.X).reset_index(drop=True)
    y = None if items.y is None else label_array(items.y)
    groups = None if items.groups is None else np.asarray(items.groups)
    if (y is not None and len(frame) != len(y)) or (groups is not None and len(groups) != len(frame)):
        labels = "no" if y is None else len(y)
        raise DataError(f"X has {len(frame)} rows, y {labels}: every row needs one label (and one run).")
    target, group = reading.target or unused_name(frame, "fault"), reading.group or unused_name(frame, "run")
    if y is not None:
        frame[target] = y
    if groups is not None:
        frame[group] = groups
    weight = None if items.weights is None else unused_name(frame, "sample_weight")
    if weight is not None:
        frame[weight] = weight_array(items.weights, len(frame))
    given = reading.about
    about = given if isinstance(given, About) else About() if given is None else read_about(given)
    here = set(frame.columns)
    time = reading.time if reading.time in here else None
    roles = Roles(target if target in here else None, group if group in here else None, time, reading.ignore, weight)
    table = Table(frame, roles, "X", about=about)
    if reading.long:
        table, gone = reshaped(table, reading, replace(roles, group=roles.group or reading.group))
        ignored = tuple(name for name in roles.ignored if name not in gone)
        table = replace(table, roles=replace(table.roles, target=roles.target, ignored=ignored))
    elif y is None and time is not None and (note := long_note(table, reading, roles)):
        table = replace(table, notes=(*table.notes, note))
    return assembled(with_others(table, reading), reading) if assemble else table


def notes_on_weights(table: Table, experts: Mapping[str, Expert]) -> list[str]:
    """Return a sentence on the experts that learn without the sample weights that were given."""
    without = [name for name, expert in experts.items() if not takes_weights(expert)]
    if table.weights is None or not without:
        return []
    return [f"These experts take no sample weights and learnt from all rows alike: {listing(without, 20)}."]


def rules_of(reading: TableReading) -> Rules | None:
    """Return the user's rules; None where there are none."""
    from faultwise.tables.checks.rules import Rules, read_rules

    if reading.rules is None:
        return None
    return reading.rules if isinstance(reading.rules, Rules) else read_rules(reading.rules)


def labels_needed(table: Table, settings: TableSettings) -> None:
    """Refuse a fit without labels. Raises UserError."""
    if table.roles.target is None and not settings.normal_only:
        raise UserError(
            "There are no labels y (a fit requires y to be passed, but the target y is None): pass the label of each "
            "row, or learn normal rows alone with normal_only=True."
        )
