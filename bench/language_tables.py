"""Tables of the language model: beside classical experts, missing sensors, speed, training time, coverage, studies."""

from __future__ import annotations

from typing import Any

import numpy as np

from faultwise.evaluate.summary import PUBLISHED
from recipe import RESULTS, read_result

__all__ = ["level_tables", "promises_line", "speed_lines", "studies_page"]

_PROTOCOLS = {
    "braatz": "single rows of faults 0, 1, 4, 5 (classical files, 100 training and 40 test rows a class)",
    "tep": "simulated runs, classes 0 to 20, windows of 20 samples (15 training and 5 test runs a class)",
    "ai4i": "AI4I 2020, machine failure, macro-F1 (5 x 2 folds)",
}
_LM = "language-model"


def _there(*names: str) -> bool:
    """Whether all these results were measured: a table appears with its last one."""
    return all((RESULTS / f"{name}.json").exists() for name in names)


def _between(one: dict[str, float]) -> str:
    return f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"


def level_tables() -> list[str]:
    """The language model beside every classical expert on the same rows, whole and with sensors missing."""
    if not _there(*(f"language_{name}" for name in _PROTOCOLS)):
        return []
    found = {name: read_result(f"language_{name}") for name in _PROTOCOLS}
    whole = {name: one["by_share"]["0.0"] for name, one in found.items()}
    lines = [
        "",
        "## Beside every classical expert",
        "",
        "SmolLM2-135M, rows as tokens, LoRA, 100 steps (60 on AI4I), on the same rows (`python "
        "bench/language_level.py braatz|tep|ai4i --cache F`): "
        + "; ".join(f"*{name}*, {words}" for name, words in _PROTOCOLS.items())
        + ". The best classical expert is the one that is best on these very rows, which favours it. The test "
        "accuracies of the published study are shown for orientation only: other, harder rows, one draw.",
        "",
        "| expert | braatz | published, other rows | tep | ai4i |",
        "|---|---|---|---|---|",
    ]
    names = [name for name in whole["braatz"]["means"] if name in PUBLISHED["tep"] or name in whole["ai4i"]["means"]]
    for name in sorted(names, key=lambda n: -whole["braatz"]["means"][n]):
        cells = [f"{whole[p]['means'][name]:.3f}" for p in _PROTOCOLS]
        published = f"{PUBLISHED['tep'][name][1]:.3f}" if name in PUBLISHED["tep"] else ""
        label = {"row encoder alone": "its row encoder alone"}.get(name, name)
        lines.append(f"| {label} | {cells[0]} | {published} | {cells[1]} | {cells[2]} |")
    against = [f"{_between(one['against_best'])} ({one['best_classical']})" for one in whole.values()]
    lines.append(f"| language model minus best classical, 95% | {against[0]} | | {against[1]} | {against[2]} |")
    seconds = {name: one["seconds"][_LM] for name, one in found.items()}
    lines += [
        "",
        f"Accuracy of the five seeds of *braatz*: {', '.join(f'{s:.3f}' for s in found['braatz']['seeds'])}. Fitting "
        "the "
        f"language model, teacher and encoder with it, took {seconds['braatz']:.0f}, {seconds['tep']:.0f} and "
        f"{seconds['ai4i']:.0f} s on one busy core.",
        "",
        "## Missing sensors",
        "",
        "The same experts where a share of the variables is missing at diagnosis, drawn anew for every "
        "row (*braatz*) or run (*tep*). Classical experts take training medians; *with dropout*: trees trained with "
        "variables hidden, as the language model's row encoder is.",
        "",
        "| variables missing | language model | best with dropout | difference, 95% | best with medians | difference, "
        "95% | "
        "mean confidence: language model, best with medians |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("braatz", "tep"):
        for share, one in found[name]["by_share"].items():
            if share == "0.0":
                continue
            means, dropout, plain = one["means"], one["best_with_dropout"], one["best_classical"]
            lines.append(
                f"| {float(share):.0%}, {name} | {means[_LM]:.3f} | {means[dropout]:.3f} "
                f"({dropout.partition(',')[0]}) | {_between(one['against_dropout'])} | {means[plain]:.3f} ({plain}) | "
                f"{_between(one['against_best'])} | {one['confidence'][_LM]:.3f}, {one['confidence'][plain]:.3f} |"
            )
    return lines


def speed_lines() -> list[str]:
    """Rows per second, and training time beside the published study's recipe."""
    lines = []
    if _there("language_speed"):
        one = read_result("language_speed")
        lines += [
            "",
            "## Speed of prediction",
            "",
            f"52 variables, {one['config']['classes']} classes, batches of {one['config']['batch']}, "
            f"{one['dtype'].removeprefix('torch.')}, {one['threads']} thread{'s' if one['threads'] > 1 else ''} "
            "(`python bench/language_speed.py`):",
            "",
            "| input | tokens per row | rows/s | of the raw forward pass | over the published recipe |",
            "|---|---|---|---|---|",
        ]
        for way in ("tokens", "short"):
            mine = one[way]
            lines.append(
                f"| {way} | {mine['tokens_per_row']} | {mine['rows_per_s']:.1f} | {mine['share_of_raw']:.0%} | "
                f"{one[f'{way}_over_recipe']:.0f} times |"
            )
        recipe = one["recipe"]
        lines.append(f"| the published recipe: sentence, five tokens, row by row | {recipe['tokens_per_row']} | "
                     f"{recipe['rows_per_s']:.2f} | | 1 |")  # fmt: skip
        grown = "; ".join(f"{name} {power:+.2f}" for name, power in one["growth_exponent"].items())
        lines += ["", f"Time grows with this power of the number (1: linear): {grown}."]
        lines += ["", "![Time against rows, variables, classes and embeddings](language_speed.svg)"]
    if _there("language_recipe"):
        one = read_result("language_recipe")
        recipe = one["recipe"]
        lines += [
            "",
            "## Training time",
            "",
            f"Beside the published recipe (sentence of {one['tokens_per_row']} tokens, batch 1, constant rate, "
            f"{one['config']['epochs']} epochs of {4 * one['config']['rows']} rows; "
            "`python bench/language_recipe.py --cache F`). The best validation accuracy of that recipe is "
            f"{recipe['best_accuracy']:.3f}, after epoch {recipe['epoch']:.0f} and {recipe['seconds'] / 60:.0f} "
            "minutes.",
            "",
            "| input | as good after | of its time | ends after | of its time | accuracy | memory at most |",
            "|---|---|---|---|---|---|---|",
        ]
        for way in ("tokens", "short"):
            mine = one[way]
            lines.append(
                f"| {way} | {mine['reached_s']:.0f} s | {mine['share_until_reached']:.1%} | {mine['seconds']:.0f} s | "
                f"{mine['share_of_its_time']:.1%} | {mine['accuracy']:.3f} | {mine['peak_memory_gb']:.2f} GB |"
            )
    return lines


def promises_line() -> list[str]:
    """Coverage and false alarms of verdicts of the language model alone, on a stated subsample."""
    if not _there("promises_language"):
        return []
    one = read_result("promises_language")
    sets = ", ".join(
        f"{s['covered']:.1%} with {s['size']:.2f} labels for {float(a):.0%}" for a, s in one["sets"].items()
    )
    rates = ", ".join(f"{found:.1%} for {float(asked):.0%}" for asked, found in one["rates"].items())
    out = "; ".join(
        f"{fault}: {x['noticed']:.1%} noticed, of known rows {x['known_novel_or_abstained']:.1%} unknown or undecided "
        f"and {x['known_single_right']:.1%} with the correct single label"
        for fault, x in one["left_out"].items()
    )
    ratio = one["deletion"]["deletion"]["ratio"]
    return [
        "",
        "## The language model alone",
        "",
        f"The same on a subsample: the first draw of runs, {one['rows']} windows "
        f"(`python bench/promises_language.py --cache F`). Likeliest label correct in {one['top_accuracy']:.1%}, "
        f"verdict in {one['verdict_accuracy']:.1%}. Sets hold {sets}. False alarms: {rates}. Left out, fault {out}. "
        f"Deletion of the five cited variables moves {one['deletion']['verdicts']} correct verdicts "
        f"{ratio['mean']:.0f} "
        f"times as much as five others (at least {ratio['low']:.0f}).",
    ]


_WORDS = {
    "size": "Size of the training set",
    "ways": "Text against tokens",
    "wording": "Names and normalisation in the published study's sentence",
    "missing": "Missing values",
    "k": "Embeddings a row (K)",
    "forms": "Fine-tuning methods",
}


def studies_page() -> str:
    """docs/studies/index.md as a whole."""
    lines = [
        "# Studies of the language model on tables",
        "",
        "Made by `python bench/tables.py` from `bench/results/study_*.json`; each result file by "
        "`python bench/language_studies.py STUDY --cache FOLDER`, which resumes where it was interrupted. All "
        "studies use "
        "the training part of the classical Tennessee Eastman files, faults 0, 1, 4, 5, single rows: nothing here is a "
        "result on test rows. One seed each unless more are named; 100 held-out rows per class, so that a point is "
        "uncertain by about 0.02.",
    ]
    for name, title in _WORDS.items():
        if _there(f"study_{name}"):
            result = read_result(f"study_{name}")
            lines += ["", f"## {title}", "", f"![{title}](study_{name}.svg)", "", *_study(name, result)]
    return "\n".join(lines) + "\n"


def _study(name: str, result: dict[str, Any]) -> list[str]:
    points, steps = result["points"], result["config"]["steps"]
    if name == "size":
        return _sizes(points)
    if name == "missing":
        shares = list(points[0]["accuracy"][_LM])
        lines = [
            f"| missing at diagnosis | {' | '.join(f'{float(s):.0%}' for s in shares)} |",
            "|---" * (len(shares) + 1) + "|",
        ]
        for point in points:
            for expert, by_share in sorted(point["accuracy"].items(), key=lambda item: -item[1][shares[-1]]):
                label = f"language model, {point['label']}" if expert == _LM else f"{expert}, medians"
                lines.append(f"| {label} | {' | '.join(f'{by_share[s]:.3f}' for s in shares)} |")
        return lines
    lines = [
        f"Steps at most: {', '.join(f'{k} {v}' for k, v in steps.items())}. Seconds on one thread of a busy machine.",
        "",
        "| | rows per class | accuracy | seconds to fit |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {p['label']} | {p['rows']} | {p['accuracy'][_LM]['0.0']:.3f} | {p['seconds'][_LM]:.0f} |" for p in points
    ]
    beside = [p for p in points if len(p["accuracy"]) > 1]
    for point in beside:
        best = max((n for n in point["accuracy"] if n != _LM), key=lambda n: point["accuracy"][n]["0.0"])
        lines += ["", f"Best classical expert on these rows: {best}, {point['accuracy'][best]['0.0']:.3f}."]
    return lines


def _sizes(points: list[dict[str, Any]]) -> list[str]:
    sizes = sorted({p["rows"] for p in points})
    seeds = {n: len([p for p in points if p["rows"] == n]) for n in sizes}
    header = " | ".join(f"{n}{f' ({seeds[n]} seeds)' if seeds[n] > 1 else ''}" for n in sizes)
    lines = [f"| rows per class | {header} |", "|---" * (len(sizes) + 1) + "|"]
    means = {
        name: [float(np.mean([p["accuracy"][name]["0.0"] for p in points if p["rows"] == n])) for n in sizes]
        for name in points[0]["accuracy"]
    }
    for name, values in sorted(means.items(), key=lambda item: -item[1][0]):
        lines.append(f"| {name} | {' | '.join(f'{v:.3f}' for v in values)} |")
    return lines
