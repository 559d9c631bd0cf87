"""Calibrate a fitted run anew with rows of one's own: the alarm threshold, and the promises of fault sets and novelty.

A run fitted on simulated or old rows keeps its experts; what the verdict promises is learnt from new runs. Rows that
the fit has seen promise nothing and are refused.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from faultwise.contracts.errors import DataError, UserError, listing
from faultwise.tables.checks.leaks.overlap import row_hashes
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Table
from faultwise.verdicts.calibration import calibrate
from faultwise.verdicts.ensemble import Labelled

__all__ = ["recalibrated"]


def recalibrated(fitted: Fitted, table: Table, settings: TableSettings) -> tuple[Fitted, list[str]]:
    """Return the run with thresholds, sets and novelty limit calibrated on a labelled table, and notes on it.

    Normal rows alone set the thresholds; sets and novelty need rows of every label and are kept as they were without.
    Raises DataError for rows of the fit, unknown labels only, or no full window; UserError for a run without promises.
    """
    ensemble = fitted.ensemble
    if fitted.monitored or fitted.novelty is None or ensemble.language_only:
        raise UserError("This run has no classical experts that name faults, so there is nothing to calibrate.")
    fitted.encoder.learnt.check(table.X)
    if np.isin(row_hashes(table, fitted.encoder.learnt.used), fitted.seen).any():
        raise DataError(f"`{table.source}` has rows of the fit: promises need runs that the fit has not seen.")
    pieces, at = fitted.encoder.laid_out(table, table.y)
    made = fitted.encoder.transform(table.X, pieces, at=at)
    y = table.y[made.rows].astype(str)
    known = np.isin(y, ensemble.classes)
    if not known.any():
        raise DataError(
            f"`{table.source}` has no full window with a label of the fit ({listing(ensemble.classes)}): look at "
            "--target and at the labels."
        )
    notes = [*table.notes, *made.notes]
    if not known.all():
        unknown = listing(sorted(set(y[~known])))
        notes.append(f"{int((~known).sum()):,} rows are labelled {unknown}, which the fit does not know: left out.")
    data = Labelled(made.frame[known].reset_index(drop=True), y[known], table.runs[made.rows][known])
    detector = replace(ensemble.detector, false_alarm_rate=settings.false_alarm_rate)
    ensemble = replace(ensemble, detector=detector, alone=dict(ensemble.alone))
    promise = (settings.coverage, settings.coverage_per, settings.novel_rate, settings.seed)
    calibration, note = calibrate(ensemble, data, fitted.novelty, *promise)
    missing = sorted(set(ensemble.classes) - set(data.y))
    if missing:
        if ensemble.detector.normal in missing:
            raise DataError(f"`{table.source}` has no rows labelled {listing(missing)}: add runs of every label.")
        notes.append(
            f"Only the alarm threshold is calibrated: there are no rows labelled {listing(missing)}, without which "
            "fault sets and novelty stay as they were."
        )
        calibration = fitted.calibration  # type: ignore[assignment]
    else:
        notes.append(calibration.note())
    notes += [note] if note else []
    counted = {"calibration_rows": len(data.y), "calibration_runs": len(set(data.groups))}
    record = {**fitted.record, **counted, "calibrated_on": table.source, "calibration_hash": table.hash()}
    return replace(fitted, ensemble=ensemble, calibration=calibration, record=record), notes
