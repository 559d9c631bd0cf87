"""The README's tables of what verdicts promise: sets, novelty, false alarms, delays, sensors, leaks, findings."""

from __future__ import annotations

from recipe import read_result

__all__ = ["faithfulness_lines", "leaks_lines", "promises_tables", "sensors_table"]

_MUST = ("1", "2", "7", "8", "13", "17")


def promises_tables() -> list[str]:
    """Coverage, false alarms, and each fault known and unknown."""
    result = read_result("promises")
    lines = [
        "",
        f"**What a verdict promises**, simulated Tennessee Eastman runs, classes 0 to 20, windows of 20 samples, "
        f"{result['draws']} random draws of 10 training, 5 calibration and 5 test runs a class, fused verdict of "
        f"{' and '.join(result['config']['fit']['experts'])} (`python bench/promises.py`). The likeliest label alone "
        f"is right in {result['top_accuracy']:.1%} of rows, the verdict, which detects first, in "
        f"{result['verdict_accuracy']:.1%}; it calls {result['normal_called_fault']:.1%} of normal rows a fault.",
        "",
        "| sets asked for | cover (lowest, highest draw) | mean size | one label, and right | empty |",
        "|---|---|---|---|---|",
    ]
    for asked, one in result["sets"].items():
        lines.append(
            f"| {float(asked):.0%} | {one['covered']:.1%} ({one['covered_lowest']:.1%}, {one['covered_highest']:.1%}) "
            f"| {one['size']:.2f} | {one['single_right']:.1%} | {one['empty']:.0f} |"
        )
    lines += [
        "",
        f"Five calibration runs a class cannot promise 90% for each class, and it says so: “{result['said_by_class']}” "
        f"Such sets cover {result['sets_by_class']['covered']:.1%}, with {result['sets_by_class']['size']:.1f} labels.",
        "",
        "| false alarms asked for | found, 100 unseen normal runs of 48 h | alarms a machine-day foretold within a "
        "factor of 1.5 | found over foretold |",
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
        f"Each fault known, and left out of the fit. Where it is left out, {known['mean']['novel_or_abstained']:.1%} "
        f"of the known classes' unseen rows are called unknown or undecided (at most "
        f"{known['most_novel_or_abstained']:.1%}), and {known['mean']['single_right']:.1%} get the right single label "
        f"(at least {known['fewest_single_right']:.1%}); the marked faults with two draws of "
        f"the known runs. Alarms: 2 of 3 rows, at 2% false alarms by row, "
        f"{alarms['false_alarms_per_day']:.1f} false ones a machine-day. By chance: what false alarms alone would "
        "meet.",
        "",
        "| fault | rows detected | delay, min (missed as whole run) | runs met (by chance) | 90% sets: cover, size | "
        "left out: noticed | unknown | several | known rows then: right, unknown |",
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
    """Sensor faults named, and clean runs accused."""
    result = read_result("sensors")
    clean = result["clean"]
    lines = [
        "",
        "**Sensor or machine?** One sensor fault at a time in 200 normal and 200 faulty stretches of 8 h that took "
        "part in nothing (`python bench/sensors.py`): share whose first accusation is the right sensor (both, if "
        f"swapped) and kind. Of the same stretches left clean {clean['all']['accused']:.1%} are accused (normal "
        f"{clean['normal']['accused']:.1%}, faulty {clean['faulty']['accused']:.1%}). The faults of the machine were "
        "all among those of training.",
        "",
        "| sensor | all | normal stretches | faulty stretches |",
        "|---|---|---|---|",
    ]
    for kind, one in [*result["by_kind"].items(), ("all", result["injected"])]:
        cells = " | ".join(f"{one[part]['named']:.1%}" for part in ("all", "normal", "faulty"))
        lines.append(f"| {kind} | {cells} |")
    return lines


def leaks_lines() -> list[str]:
    """What the leak guard finds."""
    result = read_result("leaks")
    silent = [name for name, one in result["clean"].items() if not any(one["accused"].values())]
    planted: dict[str, list[str]] = {"found": [], "missed": []}
    kinds = dict.fromkeys(kind for plants in result["planted"].values() for kind in plants)
    for kind in kinds:
        of = [plants[kind] for plants in result["planted"].values() if kind in plants]
        planted["found" if all(one["found"] == one["of"] for one in of) else "missed"].append(kind)
    return [
        "",
        f"**Leak guard** (`python bench/leaks.py`): silent on {len(silent)} of {len(result['clean'])} clean sets "
        f"({', '.join(silent)}). Of {len(kinds)} kinds of planted leaks {len(planted['found'])} are found wherever "
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
        f"**Do the findings carry the verdict?** {result['verdicts']} right verdicts on unseen runs "
        "(`python bench/faithfulness.py`; chart: `bench/results/faithfulness.svg`). Exchanging the five cited "
        f"variables with those of normal rows takes {fall['cited']['mean']:.2f} off the verdict's probability, "
        f"five uncited ones {fall['uncited']['mean']:.3f}: {ratio['mean']:.0f} times as much (95%: {ratio['low']:.0f} "
        f"to {ratio['high']:.0f}). Keeping only the five cited ones keeps {stays['cited']['mean']:.0%} "
        f"of it, five others {stays['uncited']['mean']:.1%}. This shows what moves the model, not what broke the "
        "machine.",
    ]
