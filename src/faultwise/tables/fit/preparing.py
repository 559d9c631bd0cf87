"""What takes part in a fit: which label is normal, how rows are split, which rows are drawn and held out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, UserError, listing
from faultwise.tables.fit.features.sizes import encoder_of
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Table
from faultwise.verdicts.conformal import most_coverage
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.ensemble import Labelled
from faultwise.verdicts.folds import Fold, folds
from faultwise.verdicts.registry import LANGUAGE_MODEL
from faultwise.verdicts.splits import split
from faultwise.verdicts.stretches import in_stretches

__all__ = ["every_class", "normal_label", "prepared", "split_kind"]

_TIMES_OF_ONE_ASSET = 0.9  # distinct times per row at least
_CALIBRATION, _RUNS_TO_CALIBRATE = 0.25, 8
_NORMAL_WORDS = ("0", "normal", "ok", "healthy", "good", "none", "no fault", "no failure", "no_fault", "false")


def normal_label(labels: set[str], settings: TableSettings, about_normal: str | None) -> tuple[str | None, str]:
    """Return the label that means normal and a note on how it was found. Raises UserError if it is not there."""
    requested = settings.normal if settings.normal is not None else about_normal
    if requested is not None:
        if requested in labels:
            return requested, ""
        raise UserError(
            f"No row is labelled `{requested}`; the labels are {listing(sorted(labels))}: pass --normal LABEL."
        )
    for word in _NORMAL_WORDS:
        for label in sorted(labels):
            if label.lower() == word:
                return label, f"Label `{label}` is taken to mean normal; name another one with --normal LABEL."
    return (
        None,
        "No label means normal: faults are named, not detected. Name it with --normal LABEL if there is one.",
    )


def split_kind(settings: TableSettings, table: Table) -> str:
    """Return how rows are split: as the settings say, else as the data says, else by whole runs.

    Without runs, rows in order (with times, or with labels that come in stretches) are one record, which is cut into
    blocks. Raises DataError where rows have no order, or several have the same time.
    """
    if settings.split != "auto":
        return settings.split
    if table.split:
        return table.split
    if table.roles.group is None:
        times = table.times
        if times is not None and len(set(times)) < _TIMES_OF_ONE_ASSET * len(times):
            raise DataError(
                f"`{table.source}` has several rows for one time in `{table.roles.time}`, and no column says which "
                "asset each belongs to: pass --group COL (the run, batch or machine of each row)."
            )
        if times is not None or in_stretches(table.y):
            return "block"
        raise DataError(
            f"`{table.source}` was read without runs and times, and its labels do not come in stretches, so rows that "
            "belong together could land on both sides of the validation split: pass --group COL (the run, batch or "
            "machine of each row), --time COL, --split block if the rows are one record in order of time, or --split "
            "row if every row really is a separate measurement."
        )
    return "group"


def prepared(
    table: Table, settings: TableSettings, kind: str, notes: list[str]
) -> tuple[WindowEncoder, Labelled, list[Fold], Labelled | None]:
    """Encode the rows that take part, say which of them each fold holds out, and encode the calibration rows, if any;
    notes are added to `notes`.
    """
    y, groups = table.y, table.groups
    # Rows that are split one by one are runs of their own; a record without a run column is one run.
    runs = np.arange(len(y)).astype(str) if groups is None and kind == "row" else table.runs
    fitting, held_out = _held_out(y, groups, kind, settings, notes)
    if kind == "row" and settings.window != 1:
        raise UserError("Windows over rows that were split one by one would overlap: pass --group COL or --window 1.")
    encoder = encoder_of(settings.window, table)
    gap = encoder.window - 1 if kind == "block" else 0
    groups_of = None if groups is None else groups[fitting]
    inner, fold_notes = folds(y[fitting], groups_of, kind, settings.folds, settings.seed, gap)
    by_row = [(fitting[train], fitting[held]) for train, held in inner]
    notes += fold_notes
    # Medians and categories are learnt from all rows of the fit, held-out ones included: they know no label.
    encoder.fit(table.X)
    notes += encoder.learnt.left_out_notes()
    # A window must not reach from a block's training part into its held-out part.
    part = np.ones(len(y), dtype=int)
    if kind == "block":
        part[:] = 0
        part[by_row[0][0]], part[by_row[0][1]] = 1, 2
    at = encoder.seconds(table)
    pieces = encoder.stretches(runs if encoder.window > 1 else np.zeros(len(y), int), at, _joint(y, part))
    full = encoder.full(pieces, at)
    full = full[part[full] > 0]
    kept = full[np.isin(full, held_out)]
    full = full[np.isin(full, fitting)]
    every_class(y, full, encoder.words())
    full = _drawn(full, y, runs, settings, notes)
    made = encoder.transform(table.X, pieces, full, at=at)
    notes += made.notes
    weights = None if table.weights is None else table.weights[made.rows]
    data = Labelled(made.frame, y[made.rows].astype(str), runs[made.rows], weights)
    splits = [
        (np.flatnonzero(np.isin(made.rows, train)), np.flatnonzero(np.isin(made.rows, held))) for train, held in by_row
    ]
    if not len(kept):
        return encoder, data, splits, None
    if len(kept) > settings.most_rows:
        kept = np.sort(np.random.default_rng(settings.seed).permutation(kept)[: settings.most_rows])
    calibration = encoder.transform(table.X, pieces, kept, at=at)
    return encoder, data, splits, Labelled(calibration.frame, y[kept].astype(str), runs[kept])


def _drawn(full: np.ndarray, y: np.ndarray, runs: np.ndarray, settings: TableSettings, notes: list[str]) -> np.ndarray:
    """Return at most `most_rows` of the positions of full windows, evenly over classes and runs."""
    fewest = 10 * len(set(y))
    if len(full) <= settings.most_rows:
        return full
    if settings.most_rows < fewest:
        raise UserError(f"most_rows is {settings.most_rows}: with {len(set(y))} labels choose {fewest} or more.")
    notes.append(f"{settings.most_rows:,} of {len(full):,} rows were drawn evenly over classes and runs.")
    return np.asarray(full[draw_evenly(y[full], runs[full], settings.most_rows, settings.seed)])


def _held_out(
    y: np.ndarray, groups: np.ndarray | None, kind: str, settings: TableSettings, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the rows to fit on and of those of the calibration runs; a note is added to `notes`."""
    everything, nothing = np.arange(len(y)), np.empty(0, int)
    share = settings.calibration
    possible = kind == "group" and groups is not None and not set(settings.experts) <= {LANGUAGE_MODEL}
    if share is None and possible:
        runs_of = pd.DataFrame({"y": y, "g": groups}).drop_duplicates().groupby("y").size()
        share = _CALIBRATION if runs_of.min() >= _RUNS_TO_CALIBRATE else 0.0
    if not share:
        return everything, nothing
    if not possible:
        raise UserError(
            "Promises are calibrated on whole runs, with an expert beside the language model: pass --group COL (and "
            "--split group) and another expert, or leave --calibration out."
        )
    fitting, held_out, _ = split(y, groups, "group", share, settings.seed)
    assert groups is not None
    if settings.calibration is None:
        # Without enough of them for the coverage, the runs serve better for learning.
        pairs = pd.DataFrame({"y": y[held_out], "g": groups[held_out]}).drop_duplicates()
        fewest = pairs.groupby("y").size().min() if settings.coverage_per == "class" else pairs["g"].nunique()
        if most_coverage(int(fewest)) < settings.coverage:
            return everything, nothing
    notes.append(f"{len(set(groups[held_out]))} runs were held out to calibrate threshold, fault sets and novelty.")
    return fitting, held_out


def _joint(y: np.ndarray, part: np.ndarray) -> np.ndarray:
    return pd.MultiIndex.from_arrays([y, part]).factorize()[0]


def every_class(y: np.ndarray, rows: np.ndarray, window: str) -> None:
    """Check that every label of y (rows,) stands at one of these positions, those of rows with a full window, which
    is so long in words.

    Raises DataError with the labels that are missing.
    """
    missing = sorted(set(y) - set(y[rows]))
    if missing:
        raise DataError(
            f"With windows of {window} no full window is left for {listing(missing)}: use a smaller "
            "--window, longer runs, or leave these labels out."
        )
