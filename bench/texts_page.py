"""The page on written texts: lines of Markdown from `results/texts.json`."""

from __future__ import annotations

from typing import Any

from recipe import RESULTS, read_result

__all__ = ["texts_lines"]


def texts_lines() -> list[str]:
    """Return the section on failure modes of work orders."""
    if not (RESULTS / "texts.json").exists():
        return []
    result = read_result("texts")
    table: dict[str, dict[str, Any]] = result["table"]
    lines = [
        "",
        "## Failure modes of work orders",
        "",
        f"{result['config']['texts']} short observations of maintainers with 22 failure modes, published training and "
        f"development parts together, divided into {result['config']['folds']} folds {result['config']['seeds']} times "
        "with near duplicates on one side (`python bench/texts.py`). Intervals are 95%, by the corrected resampled "
        "t-test. Published on 62 other observations: GPT-3.5 zero-shot 0.46, fine-tuned 0.81 accuracy.",
        "",
        "| expert | accuracy | weighted F1 | fits | seconds a fit |",
        "|---|---|---|---|---|",
    ]
    for name, one in sorted(table.items(), key=lambda item: -item[1]["accuracy"]):
        cells = [_with_interval(one, metric) for metric in ("accuracy", "weighted_f1")]
        lines.append(f"| {name} | {' | '.join(cells)} | {one['folds']} | {one['seconds']:.0f} |")
    lines += [
        "",
        "Of `N a class` only so many texts of each failure mode were learnt from. Seconds were measured beside other "
        "processes and are upper bounds.",
    ]
    return lines


def _with_interval(one: dict[str, Any], metric: str) -> str:
    mean, half = one[metric], one.get(f"{metric}_half")
    return f"{mean:.3f}" if half is None else f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"
