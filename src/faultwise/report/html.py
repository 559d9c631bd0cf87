"""The HTML report: one self-contained file that needs no network and no JavaScript.

`render_html` gathers everything into plain rows (`_page`), and the template words them in the frame of `pages`. No
verdict and no number is computed here, nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faultwise.contracts.records import Case, Diagnosis, Finding
from faultwise.report import values, words
from faultwise.report.curve_plot import curve_svgs, drawable
from faultwise.report.pages import rendered
from faultwise.report.plots import series_svg

__all__ = ["render_html"]

_MOST_CASES = 50
_MOST_RUNS = 200
_TOP_CLASSES = 8
_TOP_PLOTS = 5
_TOP_BARS = 10
_STATE_WORDS = {
    "fault": "Fault detected",
    "normal": "No fault detected",
    "named": "Named, not detected",
    "unknown": "No verdict",
}


def _share(value: float | None) -> str:
    """Return a CSS length between 0% and 100%."""
    known = value if value is not None and value == value else 0.0
    return f"{100 * min(1.0, max(0.0, known)):.2f}%"


def _ranking(case: Case) -> dict[str, Any]:
    top, rest, rest_share = words.ranked(case.verdict.probabilities, _TOP_CLASSES)
    known = case.verdict.label_descriptions
    rows = [
        {"label": label, "words": known.get(label), "p": p, "width": _share(p), "chosen": label == case.verdict.label}
        for label, p in top
    ]
    # Short labels stand close to their bars, long ones get room to wrap.
    short = all(len(label) <= 8 and label not in known for label, _ in top)
    return {"rows": rows, "rest": rest, "rest_share": rest_share, "short": short}


def _statistics(case: Case) -> list[dict[str, Any]]:
    """Bars of a monitor's statistics, on a scale on which the limit is never out of sight."""
    largest = max([1.0, *case.verdict.statistics.values()])
    return [
        {"name": name, "value": values.number(value, digits=3), "width": _share(value / largest), "out": value > 1}
        for name, value in case.verdict.statistics.items()
    ]


def _bars(findings: list[Finding]) -> dict[str, Any]:
    """Bars left and right of zero on one common scale; zero lies where the room is used best."""
    findings = [finding for finding in findings if finding.rule is None and finding.sensor is None]
    shown = findings[:_TOP_BARS]
    sizes = [f.contribution for f in shown if abs(f.contribution) < float("inf")]
    left, right = -min([0.0, *sizes]), max([0.0, *sizes])
    scale = (left + right) or 1.0
    rows = []
    for finding in shown:
        against = finding.contribution < 0
        size = min(abs(finding.contribution), left if against else right) / scale
        rows.append(
            {
                "name": words.variable_name(finding),
                "measure": finding.measure,
                "value": finding.contribution,
                "x": _share(left / scale - (size if against else 0.0)),
                "width": _share(size),
                "against": against,
            }
        )
    return {"rows": rows, "rest": len(findings) - len(shown), "zero": _share(left / scale)}


def _plots(case: Case, findings: list[Finding], key: str, anchors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Draw the variables of the top findings, each once, even if several of its measures are decisive."""
    from markupsafe import Markup

    by_variable = {series.variable: series for series in case.series if series.positions}
    groups: dict[str, list[Finding]] = {}
    for finding in findings[:_TOP_PLOTS]:
        groups.setdefault(finding.variable, []).append(finding)
    plots = []
    for number, (variable, group) in enumerate(groups.items(), 1):
        series = by_variable.get(variable)
        if series is None:
            continue
        name = values.clean(group[0].name or series.label or variable)
        unit = values.clean(series.unit) if series.unit else ""
        said = f"{name} over the run; {words.place(case.interval)} shaded. " + "; ".join(
            f"{finding.measure} {words.measured(finding)}, normal {words.normal_range(finding)}, "
            f"{words.deviation(finding)}"
            for finding in group
        )
        plots.append(
            {
                "name": name,
                "column": variable if name != variable else "",
                "unit": unit,
                "facts": [_finding(finding, anchors) for finding in group],
                # The one place where markup is trusted: SVG made of numbers, its title escaped there.
                "svg": Markup(series_svg(series, case.interval, f"{key}p{number}", said)),
            }
        )
    return plots


def _finding(finding: Finding, anchors: Mapping[str, str]) -> dict[str, Any]:
    """One row of the table of findings; the plots repeat parts of it."""
    return {
        "id": finding.id,
        "anchor": anchors[finding.id],
        "name": words.variable_name(finding),
        "column": finding.variable if finding.name and finding.name != finding.variable else "",
        "description": " ".join(
            filter(None, (finding.sensor, finding.rule and f"Rule {finding.rule}.", finding.description))
        ),
        "measure": finding.measure,
        "value": words.measured(finding),
        "normal": words.normal_range(finding),
        "deviation": words.deviation(finding),
        "out": finding.direction not in ("within", "missing"),
        "contribution": finding.contribution,
        # The times stand at the head of the case already.
        "place": words.place(finding.interval, times=False).removeprefix("rows "),
        "expert": finding.expert,
    }


def _experts(case: Case) -> list[dict[str, Any]]:
    rows = []
    for expert, probabilities in case.verdict.by_expert.items():
        top, _, _ = words.ranked(probabilities, 1)
        own = None if case.verdict.label is None else probabilities.get(case.verdict.label)
        rows.append({"expert": expert, "own": own, "top": top[0] if top else (None, None)})
    return rows


def _case(case: Case, number: int) -> dict[str, Any]:
    verdict = case.verdict
    key = f"c{number}"
    findings = words.decisive(case.findings)
    # Anchors are numbered: an id is data and must not become part of an address.
    anchors = {finding.id: f"{key}f{i}" for i, finding in enumerate(findings, 1)}
    meter = None
    if verdict.fault_score is not None and verdict.threshold is not None and not verdict.statistics:
        meter = {"width": _share(verdict.fault_score), "x": _share(verdict.threshold)}
    return {
        "anchor": key,
        "state": words.status(verdict),
        "state_words": _STATE_WORDS[words.status(verdict)],
        "headline": words.headline(verdict),
        "run": case.run,
        "row": case.row,
        "place": words.place(case.interval),
        "meaning": words.meaning(verdict),
        "meter": meter,
        "sentences": [
            (sentence.text, [(id_, anchors.get(id_)) for id_ in sentence.findings]) for sentence in case.narrative
        ],
        "ranking": _ranking(case),
        "statistics": _statistics(case),
        "bars": _bars(findings),
        "plots": _plots(case, findings, key, anchors),
        "findings": [_finding(finding, anchors) for finding in findings],
        "label": verdict.label,
        "experts": _experts(case),
        "fault_set": verdict.fault_set,
        "telling": words.telling(verdict),
    }


def _tuning(provenance: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return how the language model was tuned, if there are curves to draw, and the provenance without them."""
    from markupsafe import Markup

    tuned = provenance.get("language_model")
    if not isinstance(tuned, Mapping) or not drawable(tuned.get("curves")):
        return None, dict(provenance)
    loss, accuracy = map(Markup, curve_svgs(tuned))  # made of numbers, as the plots are
    known = {key: values.number(value, digits=3) for key, value in tuned.items() if value is not None}
    facts = [
        text.format(**known)
        for key, text in (
            ("steps", "{steps} of {planned_steps} planned steps" if known.get("planned_steps") else "{steps} steps"),
            ("rows", "{rows} training rows"),
            ("held", f"{{held}} {tuned.get('judged_on', 'held-out rows')}"),
            ("seconds", "{seconds} s"),
            ("stopped", "stopped: {stopped}"),
        )
        if known.get(key)
    ]
    shown = {
        "loss": loss,
        "accuracy": accuracy,
        "warnings": tuned.get("warnings") or (),
        "facts": ", ".join(facts),
        "best": tuned.get("best_step"),
        "best_accuracy": tuned.get("best_accuracy"),
        "best_loss": tuned.get("best_log_loss"),
        "chance": tuned.get("chance"),
    }
    kept = {key: value for key, value in tuned.items() if key not in ("curves", "warnings")}
    return shown, {**provenance, "language_model": kept}


def _page(diagnosis: Diagnosis) -> dict[str, Any]:
    """Gather everything the template shows, as plain values."""
    tuning, provenance = _tuning(diagnosis.provenance)
    cases = [_case(case, number) for number, case in enumerate(diagnosis.cases[:_MOST_CASES], 1)]
    runs, runs_left = words.overview(diagnosis.runs, _MOST_RUNS)
    # The leaderboards of different commands have different columns: all of them, in order of appearance.
    columns = list(dict.fromkeys(column for row in diagnosis.leaderboard for column in row))
    cells = [values.aligned([row.get(column) for row in diagnosis.leaderboard]) for column in columns]
    return {
        "title": words.summary(diagnosis),
        "source": diagnosis.source,
        "cases": cases,
        "cases_left": len(diagnosis.cases) - len(cases),
        "runs": [(run, run.flagged / run.judged if run.judged else None) for run in runs],
        "runs_left": runs_left,
        "runs_all": len(diagnosis.runs),
        "columns": columns,
        "leaderboard": list(zip(*cells, strict=True)),
        "notes": diagnosis.notes,
        "tuning": tuning,
        "provenance": values.flatten(provenance),
    }


def render_html(diagnosis: Diagnosis) -> str:
    """Return the report as one HTML document; the same diagnosis always gives the same text.

    At most 50 cases are shown in detail and 200 runs in the overview; the count of the rest is said.
    """
    return rendered("template.html.j2", _page(diagnosis))
