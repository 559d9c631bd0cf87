"""A fitted model of tables: it diagnoses files, frames and streams, evaluates, is calibrated anew and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from faultwise.contracts.about import About
from faultwise.contracts.diagnosis import Diagnosis, Evaluation
from faultwise.contracts.errors import DataError, UserError, listing
from faultwise.contracts.modality import Following, Items
from faultwise.contracts.settings import changed
from faultwise.tables.fit.diagnosis import diagnose_table
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.fit.predicting import (
    decided,
    fused_probabilities,
    predicted,
    prediction_lines,
    with_missing_columns,
)
from faultwise.tables.fit.provenance import provenance
from faultwise.tables.fit.recalibration import recalibrated
from faultwise.tables.fit.settings import TableQuery, TableSettings
from faultwise.tables.fit.storage import write_fitted
from faultwise.tables.fit.stream import RowStream
from faultwise.tables.reading.assembling import assembled
from faultwise.tables.reading.batches import is_large, rows_up_to
from faultwise.tables.reading.memory.columns import GivenColumns
from faultwise.tables.reading.memory.given import Given
from faultwise.tables.reading.options import TableReading, kept, later
from faultwise.tables.reading.readers import read_source, with_others
from faultwise.tables.reading.table import Roles, Table, label_text
from faultwise.tables.sources import table_in_memory

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["TableModel", "table_model"]

_NEAR = 5000  # rows up to the requested one that are classified at most: what its plots show


class TableModel:
    """What was fitted on a table, with the roles of its columns and what is known about them.

    `manifest` is that of the run folder it was read from, empty for one that was never written. `recognised` is what
    the fit's source was recognised as, so that later files are read the same way (see `Table`); `given` is what a fit
    in memory got, so that later arrays and frames are, and labels come back in their type.
    """

    changeable = ("false_alarm_rate", "coverage", "coverage_per", "novel_rate")

    def __init__(
        self,
        settings: TableSettings,
        fitted: Fitted,
        about: About,
        roles: Roles,
        manifest: Mapping[str, object] | None = None,
        progress: bool = False,
        reading: TableReading | None = None,
        *,
        recognised: Mapping[str, object] | None = None,
        given: Given | None = None,
    ) -> None:
        self.settings, self.fitted, self.about, self.roles = settings, fitted, about, roles
        self.reading, self.recognised = reading or TableReading(), recognised or {}
        self.manifest, self.progress = manifest or {}, progress
        self.given = given or Given()

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know after the fit."""
        return self.fitted.notes

    @property
    def classes(self) -> np.ndarray:
        """The labels in the type they came in, ascending: the order of probabilities."""
        return self.given.sorted(self.fitted.ensemble.classes)

    @property
    def columns(self) -> GivenColumns | None:
        """The columns of X, after a fit in memory."""
        return self.given.columns

    @property
    def texts(self) -> list[str]:
        """Columns of the fit that are words, whatever they look like in a new file: labels, runs, times, categories."""
        named = (self.roles.target, self.roles.group, self.roles.time)
        return [*(name for name in named if name is not None), *self.fitted.encoder.learnt.categories]

    def summary(self) -> Evaluation:
        """Return the figures of the fit's validation rows."""
        from faultwise.verdicts.metrics import leaderboard

        record, figures = self.fitted.record, self.fitted.record["validation"]
        rows: tuple[Mapping[str, object], ...]
        if self.settings.normal_only:
            title, rows = "On normal rows that the monitor was not fitted on", (figures,)
        else:
            title, rows = "On validation rows", tuple(leaderboard({**figures, "chosen": record["chosen"]}))
        return Evaluation(figures=record, tables=((title, rows),), notes=tuple(self.fitted.notes))

    def write(self, folder: Path) -> Mapping[str, object]:
        """Write experts, rows and state into an empty folder; return entries of the manifest."""
        write_fitted(folder, self.fitted, self.about, self.roles)
        return {
            "experts": list(self.fitted.ensemble.experts),
            "reading": kept(self.reading),
            "recognised": dict(self.recognised),
            **self.given.to_dict(),
            **self.fitted.record,
        }

    def evaluate(self, source: object, reading: object, query: object) -> Evaluation:
        """Judge every expert and the fused verdict on labelled rows. Raises DataError without labels."""
        from faultwise.tables.evaluate.protocol import evaluate_table
        from faultwise.tables.evaluate.shown import evaluation_of

        assert isinstance(reading, TableReading)
        assert isinstance(query, TableQuery)
        table = self._labelled(source, reading)
        result = evaluate_table(self.fitted, table, self._score_rows(query), self.settings.seed)
        if table.failures is not None and self.fitted.ensemble.detector.normal is not None:
            from faultwise.tables.evaluate.horizon import horizon_figures

            lines = self.label_rows(table, self._score_rows(query))
            normal = str(self.fitted.ensemble.detector.normal)
            result["horizon"] = horizon_figures(table, lines, normal, self.settings.seed)
        return evaluation_of(self.fitted, result)

    def diagnose(self, source: object, reading: object, query: object) -> Diagnosis:
        """Return verdicts with findings and narrative for a table, a frame, or a file. Raises DataError."""
        assert isinstance(query, TableQuery)
        model = self if query.expert is None else self.only(query.expert)
        table = model._table(source, query.row, reading if isinstance(reading, TableReading) else TableReading())
        score_rows = self._score_rows(query)
        return diagnose_table(model.fitted, table, model.about, query, score_rows, model.provenance())

    def calibrate(self, source: object, reading: object, changes: Mapping[str, object]) -> Evaluation:
        """Calibrate threshold, fault sets and novelty anew on labelled rows (see `recalibration`). Raises DataError."""
        assert isinstance(reading, TableReading)
        if fixed := [name for name in changes if name not in self.changeable]:
            words = f"a calibration changes only {listing(self.changeable)}"
            raise UserError(f"{listing(fixed)}: {words}; fit again for the others.")
        settings = changed(self.settings, changes)
        self.fitted, notes = recalibrated(self.fitted, self._labelled(source, reading), settings)
        self.settings = settings
        fitted = self.fitted
        figures = {
            "threshold": fitted.ensemble.detector.threshold,
            "false_alarm_rate": fitted.ensemble.detector.false_alarm_rate,
            "coverage": None if fitted.calibration is None else fitted.calibration.promised,
            "calibration_runs": fitted.record["calibration_runs"],
            "calibration_rows": fitted.record["calibration_rows"],
            "notes": notes,
        }
        counts = f"Calibrated on {figures['calibration_rows']:,} rows of {figures['calibration_runs']:,} runs."
        return Evaluation(figures, sentences=(counts,), notes=tuple(notes))

    def write_rows(
        self, source: object, out: Path, reading: object, query: object, every: bool = True, progress: bool = False
    ) -> Mapping[str, object]:
        """Write a line per row, also of files larger than memory (see `bulk`)."""
        from faultwise.tables.bulk import diagnose_file

        assert isinstance(query, TableQuery)
        if not isinstance(source, str | Path):
            raise UserError("Rows are written, and followed, from a file: give its path.")
        model = self if query.expert is None else self.only(query.expert)
        how = later(self.reading, reading if isinstance(reading, TableReading) else None)
        return diagnose_file(model, source, out, every=every, progress=progress, how=how, known=self.known)

    def follow(
        self, source: object, query: object, state: Path | None, out: Path | None, poll: float, idle: float | None
    ) -> Following:
        """Return the lines of rows that are written to a growing file (see `follow`)."""
        from faultwise.tables.follow import Follower, Lines

        assert isinstance(query, TableQuery)
        if not isinstance(source, str | Path):
            raise UserError("Rows are written, and followed, from a file: give its path.")
        if self.recognised:
            raise UserError(
                "This run puts its rows together from several lines or tables, which a growing file of lines cannot "
                "give: write whole rows, with all columns of the fit, to a file and fit a run on such rows."
            )
        model = self if query.expert is None else self.only(query.expert)
        return Lines(Follower(model, source, state=state, out=out, poll=poll, idle=idle))

    def stream(self, roles: Roles | None = None, every: bool = False, **options: object) -> RowStream:
        """Return a classifier of rows as they come: `stream.push(rows)` gives a line per row with a full window.

        It gives what `label_rows` gives for the same rows at once, without the language model. `options` are those of
        `stream.RowStream`.
        """
        return RowStream(self.fitted, roles or replace(self.roles, target=None), every, **options)  # type: ignore[arg-type]

    def label_rows(self, table: Table, score_rows: int | None = None) -> pd.DataFrame:
        """Return one line per classified row: row (from 1), run, label, its probability, fault score."""
        most = self.settings.language.score_rows if score_rows is None else score_rows
        made = predicted(self.fitted, with_missing_columns(self.fitted, table), most)
        return prediction_lines(self.fitted, made, made.features.rows + 1)

    def predict_proba(self, X: object, groups: object = None) -> np.ndarray:
        """Return fused probabilities (rows, classes) in the order of `classes`.

        Rows of X are one run unless `groups` says otherwise. Rows whose window is not full yet, or which the language
        model alone could classify and did not, are NaN. It scores up to `language.score_rows` rows, spread evenly.
        """
        return np.asarray(self._probabilities(X, groups)[:, self.given.order(self.fitted.ensemble.classes)])

    def predict(self, X: object, groups: object = None) -> np.ndarray:
        """Return labels (rows,) in their type: normal unless a fault is detected; None where no window is full yet."""
        labels = decided(self.fitted, self._probabilities(X, groups))
        return self.given.typed(labels, self.fitted.ensemble.classes)

    def _probabilities(self, X: object, groups: object) -> np.ndarray:
        return fused_probabilities(self.fitted, self.given.frame(X), groups, self.settings.language.score_rows)

    def only(self, expert: str) -> TableModel:
        """Return this model with one classical expert alone, calibrated and with its own threshold.

        Raises UserError for an expert that the fit did not have.
        """
        made = copy(self)
        # Sets and novelty were calibrated for the fused verdict.
        made.fitted = replace(self.fitted, ensemble=self.fitted.ensemble.only(expert), calibration=None)
        return made

    @property
    def known(self) -> Mapping[str, object]:
        """What was recognised of the fit's source, and the variables of the fit."""
        return {**self.recognised, "columns": list(self.fitted.encoder.learnt.used)}

    def read(
        self,
        source: str | Path,
        part: str = "test",
        labelled: bool = False,
        target: str | None = None,
        reading: TableReading | None = None,
    ) -> Table:
        """Read a file with the columns' roles as they were in training; `target` names the label's column anew, and
        `reading` holds what else is asked for now.

        Where labels are asked for (`labelled`), they are read as the fit and `reading` say, and rows without one are
        left out. Raises DataError, also where there are no labels then.
        """
        how = self._how(reading)
        events = labelled and how.events is not None
        target = None if events else target
        table = read_source(
            source, part=part, target=target, as_text=self.texts, how=how, known=self.known, assemble=False
        )
        roles = self.roles_in(table.frame.columns, table.roles)
        roles = replace(roles, target=target or roles.target)
        if labelled and roles.target is None and not events:
            more = ", or the failures with --events FILE" if self.reading.before is not None else ""
            lacks = f"no column `{self.roles.target}`" if self.roles.target else "no known label column"
            raise DataError(f"`{source}` has {lacks}, so there are no labels to compare with: pass --target COL{more}.")
        if roles.target is not None:
            frame = table.frame.assign(**{roles.target: label_text(table.frame[roles.target])})
            table = replace(table, frame=frame)
        table = replace(table, roles=roles, about=self.about)
        table = assembled(with_others(table, how), how, self.known)
        return self._with_labels(table, how) if labelled else table

    def _how(self, given: TableReading | None) -> TableReading:
        """Return how a later file is read: as in the fit, but for what belongs to one source."""
        how = later(self.reading, given)
        target = None if given is None else given.target
        return replace(how, target=target, before=None if how.events is None else how.before)

    def _with_labels(self, table: Table, how: TableReading) -> Table:
        """Return a table's rows that have a label, spelt as in the fit."""
        from faultwise.tables.reading.labels.labelling import with_labels

        if self.fitted.monitored:
            normal = self.fitted.record.get("label_of_normal")
            return with_labels(table, how, None if normal is None else str(normal))
        return with_labels(table, how, self.fitted.ensemble.detector.normal, self.classes.tolist())

    def roles_in(self, columns: Collection[str] | pd.Index, own: Roles | None = None) -> Roles:
        """Return the roles of the fit that these columns can play; where there is none, the source's `own`."""
        mine, here = self.roles, set(columns)
        target, group, time = (name if name in here else None for name in (mine.target, mine.group, mine.time))
        own = own or Roles()
        ignored = tuple(name for name in mine.ignored if name in here)
        return Roles(target or own.target, group or own.group, time or own.time, ignored)

    def provenance(self) -> dict[str, object]:
        """Return versions, hashes, seeds and settings: what is needed to make this verdict again."""
        return provenance(self.settings, self.fitted)

    def _score_rows(self, query: TableQuery) -> int:
        return self.settings.language.score_rows if query.score_rows is None else query.score_rows

    def _labelled(self, source: object, reading: TableReading) -> Table:
        """Return labelled rows of a file or in memory, with the roles of the fit. Raises DataError without labels."""
        if isinstance(source, Table):
            return self._with_labels(source, self._how(reading))
        if isinstance(source, str | Path):
            return self.read(source, labelled=True, target=reading.target, reading=reading)
        table = table_in_memory(self.given.items(source), reading, assemble=False)
        target = reading.target or table.roles.target
        roles = replace(self.roles_in(table.frame.columns, table.roles), target=target or self.roles.target)
        if roles.target not in table.frame.columns:
            if reading.events is None:
                raise DataError("The rows have no labels: pass them as y, or name their column as target.")
            roles = replace(roles, target=None)
        how, table = self._how(reading), replace(table, roles=roles, about=self.about)
        return self._with_labels(assembled(with_others(table, how), how, self.known), how)

    def _table(self, source: object, row: int | None, reading: TableReading) -> Table:
        """Return the rows to diagnose: of a large table only those near the requested row."""
        while isinstance(source, Items):
            source = source.X
        most = max(_NEAR, self.fitted.encoder.window, self.fitted.rules.memory + 1)
        if isinstance(source, Table):
            table = source
        elif isinstance(source, str | Path):
            if row is not None and row > 0 and is_large(source):
                table = rows_up_to(source, row, most, self.roles, part="test", as_text=self.texts, how=reading)
                table = replace(table, about=self.about)
            else:
                table = self.read(source, reading=reading)
        else:
            frame = self.given.frame(source).reset_index(drop=True)
            table = Table(frame, self.roles_in(frame.columns), "frame", about=self.about)
            how = later(self.reading, reading)
            table = assembled(with_others(table, how), how, self.known)
        if row is not None and table.numbers is None and most < row <= len(table.frame):
            return table.up_to(row, most)
        return table


def table_model(model: object) -> TableModel:
    """Return a model as one of tables. Raises UserError for another modality."""
    if isinstance(model, TableModel):
        return model
    raise UserError("This command is for runs on tables, and this run was made from something else.")
