"""Write the pages of docs/benchmarks, docs/studies/index.md and the README's headline table from `results/*.json`.

    python bench/tables.py

A test compares all of them with the result files.
"""

from __future__ import annotations

from pathlib import Path

from field_page import few_runs_lines, field_chart, field_lines, fit_speed_lines, threads_lines, window_lines
from headline import headline_rows
from image_tables import images_page
from language_tables import level_tables, promises_line, speed_lines, studies_page
from recipe import RESULTS, read_result
from robustness_tables import robustness_page
from texts_page import texts_lines
from trust_tables import faithfulness_lines, leaks_lines, promises_tables, sensors_table

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
DOCS = HERE.parent / "docs"
START, END = "<!-- headline results: made by bench/tables.py -->", "<!-- end of results -->"
CHARTS = ("bulk", "faithfulness", "images_growth", "language_speed")


def windows_table() -> list[str]:
    """All 21 classes on windows."""
    result = read_result("braatz_windows")
    chosen, verdict = result["chosen"], result["verdict"]
    recall = result["recall_by_class"][chosen]
    return [
        "",
        "## Classes 0 to 20 on windows",
        "",
        "Classical Tennessee Eastman files (Braatz), trained on `dNN.dat`, evaluated on `dNN_te.dat` from the onset "
        "on, "
        f"windows of 20 samples (`python bench/braatz_windows.py`). Mean recall {result['mean_recall']:.3f} with "
        f"{chosen}, "
        f"chosen on held-out parts of the training files. The fused verdict, which detects first: mean recall "
        f"{verdict['mean_recall']:.3f}, {verdict['fdr']:.1%} of fault rows detected at {verdict['far']:.1%} false "
        "alarms "
        "(2% were requested).",
        "",
        "| class | " + " | ".join(str(n) for n in range(21)) + " |",
        "|---|" + "---|" * 21,
        "| recall | " + " | ".join(f"{recall[str(n)]:.2f}" for n in range(21)) + " |",
        "",
        "Faults 3, 9 and 15 hardly differ from normal (0), as every published study finds. "
        + " ".join(
            f"Of {p['examined']} rows correctly diagnosed as fault {fault}, {p['among_first_five']:.0%} have "
            f"{p['variable']} among the first five findings."
            for fault, p in result["physics"].items()
        ),
    ]


def monitor_table() -> list[str]:
    """Detection without labels, beside published T2 and SPE."""
    result = read_result("monitor")
    by_run, by_row, published = result["run"], result["row"], result["published_detection"]
    easy = set(result["easy"])
    worst = min(by_run["faults"][str(fault)]["rows_detected"] for fault in easy)
    lines = [
        "",
        "## Without fault labels",
        "",
        "Simulated Tennessee Eastman runs of 48 h, onset at 8 h (`python bench/monitor.py`): "
        f"a monitor of {by_run['validation']['runs']} normal runs, windows of {result['config']['window']} samples, "
        f"threshold for at most 1% of normal runs with any alarm. Of {by_run['normal_runs']} new normal runs "
        f"{by_run['false_alarm_runs']} raised one ({by_run['false_alarm_rows']:.2%} of their rows). Of the rows after "
        f"the onset at least {worst:.3f} are detected for each of the easy faults (marked). In brackets: threshold by "
        f"row ({by_row['false_alarm_rows']:.2%} of normal rows). Published: plain T2 and SPE on the classical files, "
        "other runs of an older model (Russell, Chiang and Braatz 2001); plain T2 and SPE computed here agree with "
        "them within 0.03.",
        "",
        "| fault | rows detected | runs detected | delay, min | T2, published | SPE, published |",
        "|---|---|---|---|---|---|",
    ]
    for fault, one in by_run["faults"].items():
        mark = " \\*" if int(fault) in easy else ""
        delay = "" if one["delay_minutes"] is None else f"{one['delay_minutes']:.0f}"
        other = by_row["faults"][fault]["rows_detected"]
        lines.append(
            f"| {fault}{mark} | {one['rows_detected']:.3f} ({other:.3f}) | {one['runs_detected']} of {one['runs']} "
            f"| {delay} | {published['T2'][fault]:.3f} | {published['SPE'][fault]:.3f} |"
        )
    return lines


def ai4i_table() -> list[str]:
    """AI4I 2020 with intervals."""
    result = read_result("ai4i")
    lines = [
        "",
        "## AI4I 2020, machine failure",
        "",
        f"{2 * result['config']['repeats']} results of 5 x 2 folds, 95% intervals (`python bench/ai4i.py`). Left out: "
        + ", ".join(f"{name} ({why})" for name, why in result["leaks_found"].items())
        + f"; by the table of roles: {', '.join(result['left_out_by_roles'])}. With the flags a random forest would "
        f"seem to reach a macro-F1 of {result['leaky']['random-forest']['macro_f1']['mean']:.3f}.",
        "",
        "| expert | macro-F1 | PR-AUC |",
        "|---|---|---|",
    ]
    for name, one in sorted(result["experts"].items(), key=lambda item: -item[1]["macro_f1"]["mean"]):
        cells = [f"{v['mean']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for v in (one["macro_f1"], one["pr_auc"])]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return lines


def bulk_table() -> list[str]:
    """Time and memory against rows."""
    result = read_result("bulk")
    lines = [
        "",
        "## Every row of large files",
        "",
        "52 variables, 21 classes, Parquet in and out, label and 21 probabilities per row, one calibrated histogram "
        "boosting on two cores (`python bench/bulk.py`). The largest size ran beside other benchmarks, which halved "
        "its "
        "speed.",
        "",
        "| rows | seconds | rows/s | highest memory, MB | findings of one row, s |",
        "|---|---|---|---|---|",
    ]
    for one in result["sizes"]:
        lines.append(
            f"| {one['rows']:,} | {one['seconds']:.0f} | {one['rows_per_s']:,} | {one['memory_mb']:,} | "
            f"{one['findings_of_one_row_s']:.0f} |"
        )
    return [*lines, "", "![Time and memory against the number of rows](bulk.svg)"]


def thesis_table() -> list[str]:
    """The published study's protocol on two data sets."""
    lines = [
        "",
        "## The published study's protocol",
        "",
        "`faultwise compare --protocol thesis`, test accuracy over 5 seeds with 95% intervals. Published: one draw of "
        "other rows, of the Rieth set and of HST. The HST-like file is generated (`bench/make_hst.py`): it has the "
        "layout, not the data.",
        "",
        "| expert | TEP (Braatz files) | published | HST-like, generated | published |",
        "|---|---|---|---|---|",
    ]
    tep, hst = (
        {one["expert"]: one for one in read_result(name)["summary"]} for name in ("thesis_tep", "thesis_hst_like")
    )
    for name in sorted(tep, key=lambda expert: -(tep[expert].get("test") or 0)):
        cells = []
        for table in (tep, hst):
            one = table.get(name, {})
            known = one.get("test") is not None
            cells.append(f"{one['test']:.3f} [{one['test_low']:.3f}, {one['test_high']:.3f}]" if known else "")
            cells.append(f"{one['published_test']:.3f}" if one.get("published_test") is not None else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


_HEADS = {
    "tables.md": (
        "Faults in tables",
        "Classification, detection without labels, and files of any size.",
        (
            field_lines,
            windows_table,
            monitor_table,
            ai4i_table,
            thesis_table,
            bulk_table,
            fit_speed_lines,
            threads_lines,
            window_lines,
        ),
    ),
    "trust.md": (
        "How far verdicts can be trusted",
        "Coverage of fault sets, false-alarm rates, unknown faults, sensor faults, findings and leaks.",
        (promises_tables, promises_line, few_runs_lines, sensors_table, faithfulness_lines, leaks_lines),
    ),
    "texts.md": (
        "Written texts",
        "Work orders and notes: words, sentence models and the language model side by side.",
        (texts_lines,),
    ),
    "language-model.md": (
        "The language model on tables",
        "The language model beside every classical expert, with all sensors and without some of them; its speed.",
        (level_tables, speed_lines),
    ),
}
_MADE = "Made by `python bench/tables.py` from the files in `bench/results`."


def headline() -> str:
    """Return the part of the README between the marks."""
    return "\n".join([START, "", *headline_rows(), "", END])


def index_page() -> str:
    """Return docs/benchmarks/index.md."""
    lines = [
        "# Benchmarks",
        "",
        f"{_MADE} Each result file holds its recipe: settings, seed, hash of the data, commit, machine and versions of "
        "packages. Scripts that need an original data set look for it below the folder that the environment variable "
        "`FAULTWISE_DATA` names. Every look at held-out test files is entered in the [journal](../journal.md); "
        "nothing is "
        "chosen by test files.",
        "",
        "## Headline",
        "",
        *headline_rows(),
        "",
        "## Pages",
        "",
        *(f"- [{title}]({name}): {words[0].lower()}{words[1:]}" for name, (title, words, _) in _HEADS.items()),
        "- [Faults in images](images.md): detection with few and many good images, pairs, replies, growth.",
        "- [Robustness](robustness.md): damaged files, killed commands, equality of stream and batch.",
        "- [Studies of the language model](../studies/index.md): size of the training set, inputs, fine-tuning "
        "methods.",
    ]
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Return the text of every page that is made from result files, by path."""
    made = {DOCS / "benchmarks" / "index.md": index_page(), DOCS / "studies" / "index.md": studies_page()}
    for name, (title, words, parts) in _HEADS.items():
        body = [line for part in parts for line in part()]
        made[DOCS / "benchmarks" / name] = "\n".join([f"# {title}", "", f"{words} {_MADE}", *body]) + "\n"
    made[DOCS / "benchmarks" / "images.md"] = images_page(_MADE)
    made[DOCS / "benchmarks" / "robustness.md"] = robustness_page(_MADE)
    for chart in (*CHARTS, *field_chart()):
        made[DOCS / "benchmarks" / f"{chart}.svg"] = (RESULTS / f"{chart}.svg").read_text(encoding="utf-8")
    return made


def main() -> None:
    """Replace the part in the README, and write all pages."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    README.write_text(before + headline() + rest.split(END)[1], encoding="utf-8")
    for path, content in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
