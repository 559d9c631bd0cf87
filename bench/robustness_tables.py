"""The page on robustness, from the result files that are there."""

from __future__ import annotations

from recipe import RESULTS, read_result

__all__ = ["robustness_page"]


def robustness_page(made: str) -> str:
    """Return docs/benchmarks/robustness.md."""
    lines = ["# Robustness", "", f"Damaged input, interrupted commands, streams and start-up time. {made}"]
    for name, part in (
        ("mutations", _mutations),
        ("image_mutations", _images),
        ("kills", _kills),
        ("stream", _stream),
        ("startup", _startup),
    ):
        if (RESULTS / f"{name}.json").exists():
            lines += ["", *part(read_result(name))]
    return "\n".join(lines) + "\n"


def _mutations(result: dict) -> list[str]:
    readers = result["readers"]
    return [
        "## Damaged tables and companion files",
        "",
        f"{result['cases']:,} valid files were damaged at random and read in a process with "
        f"{result['config']['seconds']} "
        f"seconds and {result['config']['gigabytes']} GB each (`python bench/mutations.py`): {result['failed']} "
        "failed with "
        f"anything but a clear error. The slowest took {result['slowest_s']:.1f} s.",
        "",
        "| reader | read | refused with a message | traceback | hang | crash |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | "
            + " | ".join(str(one[key]) for key in ("read", "refused", "traceback", "hang", "crash"))
            + " |"
            for name, one in readers.items()
        ),
        *_by_reader(),
    ]


def _by_reader() -> list[str]:
    """Return a table of the readers that were tried alone, if there are any (`bench/mutations.py --reader NAME`)."""
    found = {path.stem.removeprefix("mutations-"): read_result(path.stem) for path in RESULTS.glob("mutations-*.json")}
    if not found:
        return []
    return [
        "",
        "One reader at a time (`python bench/mutations.py --reader NAME`):",
        "",
        "| reader | files | read | refused with a message | failed | slowest, s |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {one['cases']:,} | {one['readers'][name]['read']:,} | {one['readers'][name]['refused']:,} | "
            f"{one['failed']} | {one['slowest_s']:.1f} |"
            for name, one in sorted(found.items())
        ),
    ]


def _images(result: dict) -> list[str]:
    outcomes = ", ".join(f"{count:,} {what}" for what, count in result["outcomes"].items())
    return [
        "## Damaged images",
        "",
        f"{result['files']:,} damaged image files (`python bench/image_mutations.py`): {outcomes}, "
        f"{len(result['wrong'])} tracebacks or hangs, {result['peak_rss_mb']:.0f} MB of memory at most.",
    ]


def _kills(result: dict) -> list[str]:
    return [
        "## Killed commands",
        "",
        f"`fit` and `diagnose --out` were killed {result['kills']} times at a random moment (`python bench/kills.py`). "
        f"{result['wrong']} times something half-written was left behind that could be loaded.",
        "",
        "| command: what was found afterwards | times |",
        "|---|---|",
        *(f"| {what} | {count} |" for what, count in result["left"].items()),
    ]


def _stream(result: dict) -> list[str]:
    same = "the same labels" if result["equal_labels"] else "different labels"
    return [
        "## Streams",
        "",
        f"{result['rows']:,} rows of {result['runs']} runs, one at a time (`python bench/stream.py`): {same} as for "
        "the whole "
        f"table, probabilities that differ by {result['largest_difference_of_scores']:.0e} at most, "
        f"{result['rows_per_s']:.0f} "
        f"rows per second; memory grew by {result['growth_over_all_days']:.0%} after the first three hours.",
    ]


def _startup(result: dict) -> list[str]:
    return [
        "## Start-up",
        "",
        f"`faultwise --help` takes {result['help_s']:.2f} s (median of {result['config']['starts']} starts, slowest "
        f"{result['slowest_s']:.2f} s; `python bench/startup.py`).",
    ]
