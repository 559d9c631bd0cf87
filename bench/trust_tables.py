"""Tables of how far verdicts can be trusted: sets, novelty, false alarms, delays, sensors, leaks, findings."""

from __future__ import annotations

from recipe import read_result

__all__ = ["faithfulness_lines", "leaks_lines", "promises_tables", "sensors_table"]

_MUST = ("1", "2", "7", "8", "13", "17")


def promises_tables() -> list[str]:
    """Coverage, false alarms, and each fault known and unknown."""
    result = read_result("promises")
    lines = [
        "",
        "## Fault sets and false alarms",
        "",
        f"Simulated Tennessee Eastman runs, classes 0 to 20, windows of 20 samples, {result['draws']} random draws "
        "of 10 training, 5 calibration and 5 test runs per class, fused verdict of "
        f"{' and '.join(result['config']['fit']['experts'])} (`python bench/promises.py`). The likeliest label alone "
        f"is correct in {result['top_accuracy']:.1%} of rows, the verdict, which detects first, in "
        f"{result['verdict_accuracy']:.1%}; it flags {result['normal_called_fault']:.1%} of normal rows as a fault.",
        "",
        "| coverage requested | coverage found (lowest, highest draw) | mean size | one label, and correct | empty |",
        "|---|---|---|---|---|",
    ]
    for asked, one in result["sets"].items():
        lines.append(
            f"| {float(asked):.0%} | {one['covered']:.1%} ({one['covered_lowest']:.1%}, {one['covered_highest']:.1%}) "
            f"| {one['size']:.2f} | {one['single_right']:.1%} | {one['empty']:.0f} |"
        )
    lines += [
        "",
        f"Five calibration runs per class cannot guarantee 90% for each class. The note of the fit was: "
        f"“{result['said_by_class']}” Such sets cover {result['sets_by_class']['covered']:.1%}, with "
        f"{result['sets_by_class']['size']:.1f} labels on average.",
        "",
        "| false alarms requested | found, 100 unseen normal runs of 48 h | alarms per machine-day predicted within a "
        "factor of 1.5 | found over predicted |",
        "|---|---|---|---|",
    ]
    for asked, one in result["rates"].items():
        for debounce in ("1/1", "2/3"):
            load = one[debounce]
            lines.append(
                f"| {float(asked):.0%}, {debounce.replace('/', ' of ')} rows | {one['far']:.2%} | "
                f"{load['within_1.5']:.0%} of {load['draws_with_60']} draws "
                f"(mean {load['expected']:.0f} alarms in {load['machine_days']:.0f} days) | "
                f"{load['found_over_expected'][0]:.2f} to {load['found_over_expected'][1]:.2f} |"
            )
    known, alarms = result["known_beside"], result["alarms"]["2/3"]
    lines += [
        "",
        "## Each fault known, and unknown",
        "",
        f"Each fault was part of the fit, and left out of another one. Where it is left out, "
        f"{known['mean']['novel_or_abstained']:.1%} of the known classes' unseen rows get the status unknown or "
        "undecided "
        f"(at most {known['most_novel_or_abstained']:.1%}), and {known['mean']['single_right']:.1%} get the correct "
        "single "
        f"label (at least {known['fewest_single_right']:.1%}); the marked faults with two draws of "
        f"the known runs. Alarms: 2 of 3 rows, at 2% false alarms by row, "
        f"{alarms['false_alarms_per_day']:.1f} false alarms per machine-day. By chance: the share of runs that false "
        "alarms alone would meet.",
        "",
        "| fault | rows detected | delay, min (missed as whole run) | runs met (by chance) | 90% sets: coverage, "
        "size | "
        "left out: noticed | unknown | several | known rows then: correct, unknown |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for fault, one in alarms["by_fault"].items():
        sets, out = result["sets"]["0.9"]["by_class"][fault], result["left_out"][fault]
        mark = " \\*" if fault in _MUST else ""
        delay = "" if one["delay_min"] is None else f"{one['delay_min']:.0f} ({one['delay_min_restricted']:.0f})"
        lines.append(
            f"| {fault}{mark} | {one['fdr']:.3f} | {delay} | "
            f"{one['episode_recall']:.2f} ({one['chance_recall']:.2f}) | "
            f"{sets['covered']:.2f}, {sets['size']:.1f} | {out['noticed']:.3f} | {out['unknown']:.3f} | "
            f"{out['several']:.3f} | "
            f"{out['known_beside']['single_right']:.3f}, {out['known_beside']['novel_or_abstained']:.3f} |"
        )
    return lines


def sensors_table() -> list[str]:
    """Sensor faults named, and sensor findings on clean runs."""
    result = read_result("sensors")
    clean = result["clean"]
    lines = [
        "",
        "## Sensor faults",
        "",
        "One sensor fault at a time in 200 normal and 200 faulty stretches of 8 h that took part in no fit "
        "(`python bench/sensors.py`): the share whose first sensor finding names the correct sensor (both, if "
        f"swapped) and type of fault. Of the same stretches without a sensor fault {clean['all']['accused']:.1%} get a "
        f"sensor finding (normal {clean['normal']['accused']:.1%}, faulty {clean['faulty']['accused']:.1%}). All "
        "faults of "
        "the machine were among those of training.",
        "",
        "| type of sensor fault | all | normal stretches | faulty stretches |",
        "|---|---|---|---|",
    ]
    for kind, one in [*result["by_kind"].items(), ("all", result["injected"])]:
        cells = " | ".join(f"{one[part]['named']:.1%}" for part in ("all", "normal", "faulty"))
        lines.append(f"| {kind} | {cells} |")
    return lines


def leaks_lines() -> list[str]:
    """Which planted leaks are found."""
    result = read_result("leaks")
    silent = [name for name, one in result["clean"].items() if not any(one["accused"].values())]
    planted: dict[str, list[str]] = {"found": [], "missed": []}
    kinds = dict.fromkeys(kind for plants in result["planted"].values() for kind in plants)
    for kind in kinds:
        of = [plants[kind] for plants in result["planted"].values() if kind in plants]
        planted["found" if all(one["found"] == one["of"] for one in of) else "missed"].append(kind)
    return [
        "",
        "## Leaks",
        "",
        f"`faultwise data check` (`python bench/leaks.py`): no finding on {len(silent)} of {len(result['clean'])} "
        "clean sets "
        f"({', '.join(silent)}). Of {len(kinds)} types of planted leaks {len(planted['found'])} are found wherever "
        f"they were planted; not everywhere: {'; '.join(planted['missed']) or 'none'} (noise in units of a column's "
        "standard deviation).",
    ]


def faithfulness_lines() -> list[str]:
    """Deletion and sufficiency of the findings."""
    result = read_result("faithfulness")
    fall, stays = result["deletion"], result["sufficiency"]
    ratio = fall["ratio"]
    return [
        "",
        "## Do the findings carry the verdict?",
        "",
        f"{result['verdicts']} correct verdicts on unseen runs (`python bench/faithfulness.py`). Exchanging the five "
        "cited "
        f"variables with those of normal rows lowers the verdict's probability by {fall['cited']['mean']:.2f}, "
        "exchanging "
        f"five variables that were not cited by {fall['uncited']['mean']:.3f}: the ratio is {ratio['mean']:.0f} (95%: "
        f"{ratio['low']:.0f} to {ratio['high']:.0f}). Keeping only the five cited ones keeps "
        f"{stays['cited']['mean']:.0%} "
        f"of it, five others {stays['uncited']['mean']:.1%}. This shows what moves the model, not what broke the "
        "machine.",
        "",
        "![Probability after deletion and sufficiency](faithfulness.svg)",
    ]
