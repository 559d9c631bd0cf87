"""A search of settings for people: the table on screen, and the files of its folder.

`record.json` has everything, `report.html` shows it, `best.yaml` is for `faultwise fit --config`. Nothing is computed
here.
"""

from __future__ import annotations

import json
from pathlib import Path

from faultwise.report import values
from faultwise.report.pages.search_plots import importance_svg, progress_svg, slices_svg
from faultwise.report.rendering import rendered
from faultwise.report.values import Record
from faultwise.runs.files import write_atomic

__all__ = ["BEST", "RECORD", "REPORT", "best_yaml", "render_page", "save_search", "shown"]

RECORD, REPORT, BEST = "record.json", "report.html", "best.yaml"


def save_search(record: Record, folder: Path) -> None:
    """Write the record, the page and, where there is a best trial, its settings. Raises UserError as `write_atomic`."""
    write_atomic(folder / RECORD, json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_atomic(folder / REPORT, render_page(record))
    if record["best"] is not None:
        write_atomic(folder / BEST, best_yaml(record))


def best_yaml(record: Record) -> str:
    """Return the settings of the best trial as YAML, those that the search was given included."""
    import yaml

    head = (
        f"# Trial {record['best']['number']} of {len(record['history'])}: mean log loss {record['value']:.4f} over "
        f"{record['config']['folds']} folds of {values.clean(record['source'])}.\n"
    )
    return head + yaml.safe_dump(dict(record["settings"]), sort_keys=True, allow_unicode=True)


def shown(record: Record, most: int = 10) -> list[dict[str, str]]:
    """Return the best complete trials as cells for people, the best first."""
    complete = sorted((one for one in record["history"] if one["value"] is not None), key=lambda one: one["value"])
    return [_cells(one) for one in complete[:most]]


def _cells(trial: Record) -> dict[str, str]:
    folds = trial["folds"]
    accuracy = sum(fold["accuracy"] for fold in folds) / len(folds) if folds else None
    return {
        "trial": str(trial["number"]),
        "log loss": values.DASH if trial["value"] is None else f"{trial['value']:.4f}",
        "accuracy": values.DASH if accuracy is None else f"{accuracy:.3f}",
        **{name: values.number(value) for name, value in trial["params"].items()},
    }


def render_page(record: Record) -> str:
    """Return the report of a record as one HTML document."""
    return rendered("search.html.j2", _page(record))


def _page(record: Record) -> dict[str, object]:
    from markupsafe import Markup

    history, best, space = record["history"], record["best"], record["space"]
    complete = [one for one in history if one["value"] is not None]
    title = f"Best log loss {record['value']:.4f}, trial {best['number']}" if best else "No trial was completed"
    return {
        "title": title,
        "source": record["source"],
        "facts": _facts(record),
        "best": [(name, values.number(value)) for name, value in best["params"].items()] if best else [],
        "file": BEST,
        "progress": Markup(progress_svg(history)) if complete else "",
        "importance": Markup(importance_svg(record["importance"])) if record["importance"] else "",
        "slices": Markup(slices_svg(history, space)) if len(complete) > 1 else "",
        "columns": [*_cells(history[0]), "state", "why"] if history else [],
        "rows": [[*_cells(one).values(), one["state"], one["reason"]] for one in history],
        "notes": record["notes"],
        "provenance": values.flatten(
            {name: record[name] for name in ("sampler", "preset", "space", "fixed", "config", "commit", "versions")}
        ),
    }


def _facts(record: Record) -> str:
    counts = {state: sum(one["state"] == state for one in record["history"]) for state in ("complete", "pruned")}
    left = len(record["history"]) - sum(counts.values())
    return (
        f"{record['expert']}, {len(record['config']['labels'])} labels, {record['config']['folds']} folds, sampler "
        f"{record['sampler']}: {counts['complete']} trials complete, {counts['pruned']} pruned"
        + (f", {left} unfinished" if left else "")
        + ". The value is the mean log loss on the held-out rows; the best of many trials looks better than it is: "
        "evaluate it on rows that took no part."
    )
