"""Sections of docs/benchmarks on tables as plants have them: beside plain classifiers, speed of fits, few runs.

A section is empty where its result file is not there.
"""

from __future__ import annotations

from typing import Any

from field_summary import lines_of
from recipe import RESULTS, read_result

__all__ = ["few_runs_lines", "field_chart", "field_lines", "fit_speed_lines", "threads_lines", "window_lines"]

_SPEED = {
    "fit_large_s": "fit of {large}",
    "fit_small_s": "fit of {small}",
    "predict_1000_s": "`predict` of 1,000 rows (model of the large table)",
    "predict_one_s": "`predict` of one row (model of the large table)",
}


def _there(name: str) -> bool:
    return (RESULTS / f"{name}.json").exists()


def field_chart() -> tuple[str, ...]:
    """Return the name of the chart, if there is one."""
    return ("field",) if (RESULTS / "field.svg").exists() else ()


def field_lines() -> list[str]:
    """Return the section on the default call beside plain classifiers with their defaults."""
    if not _there("field"):
        return []
    result = read_result("field")
    config, whole = result["config"], {n: one for n, one in result["tables"].items() if "figures" in one}
    left_out = "the language model left out, " if config["settings"].get("lm") is False else ""
    extra = ", ".join(f"{name} {number}" for name, number in config["extra"].items())
    lines = [
        "",
        "## The default call beside plain classifiers",
        "",
        f"{len(whole)} tables, {sum(one['real'] for one in whole.values())} of them real, {config['seeds']} seeds each "
        "(`python bench/field.py`). `Diagnoser` gets the names of the columns for label, run and time and nothing "
        f"else ({left_out}rows that are no runs are said to be separate); the classifiers of scikit-learn have their "
        "defaults (logistic regression: standardised, as many iterations as it needs) and see each row as it is. A "
        "third of the runs, or of separate rows, is the test, drawn anew for each seed; the Braatz files keep their "
        f"own division. At most {config['most_rows']:,} rows are learnt from. All are judged on the rows that have a "
        "verdict.",
        "",
        "Two tables: first the largest probability names the class, as plain classifiers do it; then the label of "
        "`predict`, which names a fault only where it is detected at the false-alarm rate asked for (2%), beside plain "
        "classifiers whose threshold gives the same rate of false alarms on the test itself, which favours them. "
        "Tables without a normal class are the same in both. Differences have 95% intervals over runs of the tests; "
        "where a class has one run only in a test, over seeds (corrected resampled t-test). Of the Braatz files blocks "
        "of 40 rows are drawn, as each class has one run. The best expert is chosen by these very figures, which "
        "favours it." + (f" Other packages: {extra}." if extra else ""),
        "",
        *(f"- {name}: {one['words']}" for name, one in whole.items()),
        "",
        *lines_of(result),
    ]
    picture = "![Balanced accuracy against that of plain boosting, by table](field.svg)"
    return [*lines, "", picture] if field_chart() else lines


def fit_speed_lines() -> list[str]:
    """Return the section on how long the default call takes."""
    if not _there("fit_speed"):
        return []
    result = read_result("fit_speed")
    config, load = result["config"], result["load_of_the_machine"]
    left_out = ", without the language model" if config["settings"].get("lm") is False else ""
    busy = f"Load average of the machine: {load['before']:.1f} before, {load['after']:.1f} at the end."
    return [
        "",
        "## How long the default call takes",
        "",
        f"{config['cores']} cores{left_out} (`python bench/fit_speed.py`). {busy}",
        "",
        "| what | seconds | limit | kept |",
        "|---|---|---|---|",
        *(
            f"| {words.format(**config)} | {result['seconds'][name]:.3g} | {result['most'][name]:g} | "
            f"{'no' if name in result['missed'] else 'yes'} |"
            for name, words in _SPEED.items()
        ),
    ]


def window_lines() -> list[str]:
    """Return the section on windows that a fit chooses beside single rows."""
    if not _there("window_choice"):
        return []
    result = read_result("window_choice")
    chosen = {name: [row["window"] for row in result["rows"] if row["table"] == name] for name in result["summary"]}
    return [
        "",
        "## A window chosen by the fit beside single rows",
        "",
        f"Balanced accuracy of the default call and with `window=1`, mean of {result['config']['seeds']} seeds, tables "
        "with times (`python bench/window_choice.py`).",
        "",
        "| table | windows chosen | default | single rows | difference |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {', '.join(chosen[name])} | {one['chosen']:.3f} | {one['single']:.3f} | "
            f"{one['difference']:+.3f} |"
            for name, one in result["summary"].items()
        ),
    ]


def threads_lines() -> list[str]:
    """Return the section on fits beside busy processes."""
    if not _there("threads"):
        return []
    result = read_result("threads")
    return [
        "",
        "## A fit beside busy processes",
        "",
        f"Wall and processor time on {result['config']['cores']} cores, alone and beside processes that never wait "
        "(`python bench/threads.py`). Asleep: threads sleep while they wait, as the commands set it; spinning: the "
        "libraries' own default.",
        "",
        "| fit | busy processes | waiting threads | wall, s | processor, s | times as long as alone |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['fit']} | {row['busy']} | {row['waiting']} | {row['wall_s']:.0f} | {row['cpu_s']:.0f} | "
            f"{row['ratio']:.2g} |"
            for row in result["rows"]
        ),
    ]


def few_runs_lines() -> list[str]:
    """Return the section on promises that rest on few runs: a row for each line of the result's `table`."""
    if not _there("few_runs"):
        return []
    rows: list[dict[str, Any]] = read_result("few_runs").get("table", [])
    if not rows:
        return []
    heads = list(rows[0])
    return [
        "",
        "## False alarms promised from few runs",
        "",
        "Simulated runs, each with normal and faulty rows (`python bench/few_runs.py`): in how many repetitions the "
        "false-alarm rate on new runs lies within the interval that the fit stated.",
        "",
        "| " + " | ".join(head.replace("_", " ") for head in heads) + " |",
        "|---|" + "---|" * (len(heads) - 1),
        *("| " + " | ".join(_cell(row.get(head)) for head in heads) + " |" for row in rows),
    ]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
