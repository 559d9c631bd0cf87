"""Detection in time for people: sentences, tables, one HTML page, PNG or JSON. Nothing is computed here.

The figures come from `evaluate.alarms` and `evaluate.alarm_load`; the chart from `alarm_plot`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

from faultwise.contracts.errors import UserError
from faultwise.evaluate.alarm_load import ACCEPTABLE_A_DAY, FLOOD, FLOOD_SHARE, MANAGEABLE_A_DAY
from faultwise.report.rendering import rendered
from faultwise.report.values import DASH, Record, clean, number, percent
from faultwise.runs.files import check_place, write_atomic

__all__ = ["ENDINGS", "choices", "faults", "render_alarms", "save_alarms", "sentences"]

ENDINGS = (".html", ".png", ".json")
_GRADES = {
    "acceptable": "very likely acceptable",
    "manageable": "the most that can be managed",
    "too many": "more than can be managed",
}


def sentences(result: Record) -> list[str]:
    """Return the result in words, most important first, each entry one sentence or two."""
    made = [_rule(result)]
    if result["episodes"]:
        made.append(_detected(result))
    if result["far"] is not None:
        made.append(_false(result))
    load = result["alarm_load"]
    if load and load["grade"]:
        made += _load(load)
    return made


def _rule(result: Record) -> str:
    k, n = result["debounce"].split("/")
    when = "a row is flagged" if n == "1" else f"{k} of the last {n} rows are flagged"
    step = result["minutes_per_row"]
    return f"An alarm is raised when {when}" + ("." if step is None else f"; a row is {_long(step)}.")


def _detected(result: Record) -> str:
    some = f"{result['detected']} of {_many(result['episodes'], 'fault episode')} raised an alarm"
    rows = f"; {percent(result['fdr'])} of the faulty rows are flagged."
    if not result["detected"]:
        return some + rows
    words = f"{some}, half of these within {_delay(result, '')} of the onset"
    if result["missed"]:
        words += f" (mean with the missed ones counted to their end: {_delay(result, '_restricted')})"
    if result["chance_recall"] is not None:
        words += f"; false alarms alone would have met {percent(result['chance_recall'])} of the episodes"
    return words + rows


def _false(result: Record) -> str:
    alarms = _many(result["false_alarms"], "false alarm")
    flagged = f"{percent(result['far'])} of the normal rows are flagged"
    if not result["normal_rows"]:
        return f"{flagged}; no run has enough of them for an alarm."
    apart = "" if result["arl0"] is None else f", one in {number(result['arl0'], digits=3)}"
    if result["false_alarms_per_day"] is None:
        return f"{alarms} in {_many(result['normal_rows'], 'normal row')}{apart}; {flagged}."
    days = f"{number(result['machine_days'], digits=3)} days of normal plant time"
    return f"{_rate(result, 'false_alarms_per_day')} false alarms per machine-day ({alarms} in {days}); {flagged}."


def _load(load: Record) -> list[str]:
    who = _many(load["assets"], "asset") + (" like this one" if load["assets"] > 1 else "")
    made = [
        f"An operator with {who} gets {_rate(load, 'alarms_per_day')} alarms a day in normal operation, "
        f"{number(load['alarms_per_10_min'], digits=2)} in 10 minutes: {_GRADES[load['grade']]} (guideline: up to "
        f"{ACCEPTABLE_A_DAY} a day acceptable, {MANAGEABLE_A_DAY} manageable)."
    ]
    over = "within" if load["flood_share"] < FLOOD_SHARE else "above"
    made.append(
        f"{_share(load, 'flood_share')} of the 10-minute intervals would have more than {FLOOD} alarms, a flood: "
        f"{over} the guideline of {percent(FLOOD_SHARE)}."
    )
    if load["assets_acceptable"] is not None:
        made.append(f"{ACCEPTABLE_A_DAY} a day are reached with {number(load['assets_acceptable'])} such assets.")
    return made


def faults(result: Record) -> list[dict[str, str]]:
    """Return one row of cells per fault."""
    timed = result["minutes_per_row"] is not None
    return [
        {
            "fault": clean(label, 40),
            "episodes": str(one["episodes"]),
            "with alarm": str(one["detected"]),
            "by chance": _chance(one),
            "median delay": _delay(one, ""),
            "mean with misses": _delay(one, "_restricted"),
            "rows flagged": percent(one["fdr"]),
            **({} if timed else {"arl1": number(one["arl1"], digits=3)}),
        }
        for label, one in result["by_fault"].items()
    ]


def choices(result: Record) -> list[dict[str, str]]:
    """Return one row of cells per debounce tried: what it costs and what it spares."""
    return [
        {
            "debounce": one["debounce"] + (" (this)" if one["debounce"] == result["debounce"] else ""),
            **(
                {"false alarms": str(one["false_alarms"])}
                if result["minutes_per_row"] is None
                else {"false alarms per day": number(one["false_alarms_per_day"], digits=3)}
            ),
            **(
                {
                    "with alarm": percent(one["episode_recall"]),
                    "by chance": percent(one["chance_recall"]),
                    "median delay": _delay(one, ""),
                    "mean with misses": _delay(one, "_restricted"),
                }
                if result["episodes"]
                else {}
            ),
        }
        for one in result["debounces"]
    ]


def _chance(one: Record) -> str:
    """Write in how many of the episodes false alarms alone would have raised an alarm."""
    return DASH if one["chance_recall"] is None else f"{one['chance_recall'] * one['episodes']:.1f}"


def _delay(one: Record, end: str) -> str:
    minutes, rows = one[f"delay_min{end}"], one[f"delay_samples{end}"]
    if rows is None:
        return DASH
    return _many(rows, "row") if minutes is None else _long(minutes)


def _long(minutes: float) -> str:
    """Return a time in a unit that people would choose.

    >>> [_long(minutes) for minutes in (0, 0.05, 3, 119, 150, 4000)]
    ['0 min', '3 s', '3 min', '119 min', '2.5 h', '2.78 d']
    """
    for size, name in ((2880.0, "d"), (120.0, "h")):
        if minutes >= size:
            return f"{number(minutes / {'d': 1440.0, 'h': 60.0}[name], digits=3)} {name}"
    return f"{number(minutes * 60, digits=3)} s" if 0 < minutes < 1 else f"{number(minutes, digits=3)} min"


def _many(count: float, noun: str) -> str:
    return f"{number(count, digits=3)} {noun}{'' if count == 1 else 's'}"


def _rate(one: Record, key: str) -> str:
    return _between(one, key, functools.partial(number, digits=3))


def _share(one: Record, key: str) -> str:
    return _between(one, key, percent)


def _between(one: Record, key: str, written: Callable[[object], str]) -> str:
    low, high = one[f"{key}_low"], one[f"{key}_high"]
    figure, ends = written(one[key]), f" [{written(low)}, {written(high)}]"
    return figure if low is None or ends == f" [{figure}, {figure}]" else figure + ends


def render_alarms(result: Record) -> str:
    """Return the figures as one HTML page without scripts or network."""
    from markupsafe import Markup

    from faultwise.report.pages.alarm_plot import MOST_FAULTS, alarms_svg

    page = {
        "title": f"Alarms on {result['source']}",
        "sentences": sentences(result),
        # Trusted markup: our drawing, its labels escaped there.
        "chart": Markup(alarms_svg(result)) if result["by_fault"] else "",
        "left": max(0, len(result["by_fault"]) - MOST_FAULTS),
        "far": percent(result["far"]),
        "tables": [("By fault", faults(result)), ("Other debounces", choices(result))],
        "notes": result["notes"],
    }
    return rendered("alarms.html.j2", page)


def save_alarms(result: Record, path: Path) -> Path:
    """Write a result in the format that the ending names, whole or not at all.

    Raises UserError for another ending, a place that cannot be written to, and a PNG without any fault to draw.
    """
    check_place(path, ENDINGS)
    if path.suffix.lower() == ".json":
        return write_atomic(path, json.dumps(result, indent=1, allow_nan=False) + "\n")
    if path.suffix.lower() == ".html":
        return write_atomic(path, render_alarms(result))
    if not result["by_fault"]:
        raise UserError(f"`{result['source']}` has no faulty rows, so there is nothing to draw: write .html or .json.")
    from faultwise.report.pages.alarm_plot import alarms_png

    return write_atomic(path, alarms_png(result))
