"""From the setting `window` (a number of samples, a duration) to an encoder of windows."""

from __future__ import annotations

from faultwise.contracts.errors import UserError
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.clock import Clock

__all__ = ["encoder_of"]


def encoder_of(window: int | str, table: Table) -> WindowEncoder:
    """Return an unfitted encoder for a table in time order; `auto` without a choice made is one sample.

    Raises UserError for a duration where the table has no times, or no unit of them.
    """
    clock = Clock.of(table)
    if isinstance(window, int) or window == "auto":
        return WindowEncoder(1 if window == "auto" else int(window), clock=clock)
    if clock is None:
        raise UserError(f"A window of `{window}` needs the time of each row: pass --time COL, or a number of samples.")
    span = clock.span(window)
    if span < 2 * clock.step:
        step = clock.span_text(clock.step)
        raise UserError(
            f"A window of `{window}` holds less than two rows, which come every {step}: choose a longer one."
        )
    return WindowEncoder(max(2, round(span / clock.step)), span=span, clock=clock)
