"""Sensor tables as a modality: rows of variables in time, with labels of faults or only normal ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.tables.fit.settings import TableQuery, TableSettings
from faultwise.tables.reading.options import TableReading

if TYPE_CHECKING:
    from faultwise.tables.model import TableModel

__all__ = ["Tables", "tables"]


class Tables:
    """See `contracts.modality.Modality`. A fit makes classifiers of faults, or a monitor of normal rows."""

    name = "tables"
    traces = "tables"
    fallback = True
    settings = TableSettings
    reading = TableReading
    query = TableQuery

    def recognise(self, source: object) -> str | None:
        """Return why a source is a table."""
        from faultwise.tables.sources import recognised_table

        return recognised_table(source)

    def fit(self, source: object, settings: object, reading: object, progress: bool = False) -> TableModel:
        """Fit on a file, a folder, a frame or a table. Raises DataError or UserError before any expensive work."""
        from dataclasses import replace

        from faultwise.tables.checks.leaks.joined import without_leaks_of_joined
        from faultwise.tables.checks.leaks.target_leakage import without_leaking_columns
        from faultwise.tables.checks.rules import Rules
        from faultwise.tables.fit.monitoring import fit_normal
        from faultwise.tables.fit.preparing import normal_label
        from faultwise.tables.fit.training import fit_table
        from faultwise.tables.model import TableModel
        from faultwise.tables.reading.memory.given import Given
        from faultwise.tables.reading.table import Table
        from faultwise.tables.sources import labels_needed, notes_on_weights, read_for_fit, rules_of

        assert isinstance(settings, TableSettings)
        assert isinstance(reading, TableReading)
        given = Given()
        if not isinstance(source, str | Path | Table):
            source, given = Given.of(source, reading)
        table = read_for_fit(source, settings, reading, progress)
        labels_needed(table, settings)
        rules = rules_of(reading)
        labels = set() if table.roles.target is None else set(table.y)
        known = normal_label(labels, replace(settings, normal=None), None)[0]
        normal = settings.normal or table.about.normal or known
        table = without_leaks_of_joined(table, settings.keep, normal, reading.before is not None)
        table = without_leaking_columns(table, settings.keep, normal)
        if settings.normal_only:
            fitted = fit_normal(table, settings, rules, progress)
        else:
            if rules is not None:
                rules.check(table.frame.columns)
            fitted = replace(fit_table(table, settings, progress), rules=rules or Rules())
        fitted.notes.extend(notes_on_weights(table, fitted.ensemble.experts))
        about, roles, shape = table.about, table.roles, table.recognised
        return TableModel(settings, fitted, about, roles, None, progress, reading, recognised=shape, given=given)

    def load(self, folder: Path, manifest: Mapping[str, object], progress: bool = False) -> TableModel:
        """Read what `TableModel.write` wrote. Raises RunFolderError when it cannot be understood."""
        from dataclasses import replace

        from faultwise.contracts.errors import RunFolderError
        from faultwise.contracts.experts import ExpertContext
        from faultwise.contracts.settings import built
        from faultwise.tables.fit.storage import read_fitted
        from faultwise.tables.model import TableModel
        from faultwise.tables.reading.memory.given import Given

        stored = manifest.get("settings")
        if not isinstance(stored, Mapping):
            raise RunFolderError(f"`{folder}` cannot be understood (no settings): fit again.")
        settings = built(TableSettings, stored, str(folder))
        # Where a model was tuned says nothing of where it is used.
        device = "cpu" if settings.language.device == "cpu" else "auto"
        context = ExpertContext(settings.seed, progress, replace(settings.language, device=device))
        fitted, about, roles = read_fitted(folder, dict(manifest), context)
        how, recognised = manifest.get("reading"), manifest.get("recognised")
        reading = built(TableReading, how if isinstance(how, Mapping) else {}, str(folder))
        shape = recognised if isinstance(recognised, Mapping) else {}
        given = Given.from_manifest(manifest)
        return TableModel(settings, fitted, about, roles, manifest, progress, reading, recognised=shape, given=given)


tables = Tables()
