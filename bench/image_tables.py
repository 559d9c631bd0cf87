"""The page on images, from the result files that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recipe import RESULTS, read_result

__all__ = ["PUBLISHED_TILE", "images_page", "tile_means"]

# Image AUROC; the last two are quoted from memory of the papers.
PUBLISHED_TILE = {"DifferNet": 0.977, "PatchCore": 0.979, "PaDiM": 0.987}


def images_page(made: str) -> str:
    """Return docs/benchmarks/images.md."""
    lines = [
        *_from("images_magnetic_tile", _tile),
        *_promises(),
        *_from("images_pcb", _boards),
        *_from("images_elpv", _cells),
        *_from("image_replies", _replies),
        *_from("images_growth", _growth),
        *_from("image_ablations", _ablations),
    ]
    head = [
        "# Faults in images",
        "",
        f"Embedded backbone, 2 cores, settings chosen on training images and simulated defects. {made}",
    ]
    return "\n".join([*head, *lines]) + "\n"


def tile_means(result: dict[str, Any]) -> dict[str, float]:
    """Return the means of Magnetic Tile's figures over seeds."""
    runs = result["runs"]
    return {key: sum(run[key] for run in runs) / len(runs) for key in runs[0] if isinstance(runs[0][key], float)}


def _there(name: str) -> dict[str, Any] | None:
    return read_result(name) if (RESULTS / f"{name}.json").exists() else None


def _from(name: str, lines: Callable[[dict[str, Any]], list[str]]) -> list[str]:
    result = _there(name)
    return [] if result is None else lines(result)


def _tile(result: dict[str, Any]) -> list[str]:
    runs, mean = result["runs"], tile_means(result)
    published = ", ".join(f"{name} {value:.3f}" for name, value in PUBLISHED_TILE.items())
    shots = next(run["shots"] for run in runs if "shots" in run)
    return [
        "",
        "## Magnetic Tile",
        "",
        f"`python bench/images_magnetic_tile.py`: {result['images']} good images for training, {result['test']} "
        "others for "
        f"evaluation, {len(runs)} seeds. Image AUROC {mean['image_auroc']:.3f} (published: {published}, the last two "
        f"recalled, with larger backbones), pixel AUROC {mean['pixel_auroc']:.3f}; false alarms "
        f"{mean['false_alarm_rate']:.1%} where "
        f"5% were allowed, at a recall of {mean['recall']:.2f}. Fit {mean['fit_s']:.0f} s, {mean['image_ms']:.0f} ms "
        f"per image from file to verdict. With four good images: image AUROC {sum(shots) / len(shots):.2f} "
        f"({min(shots):.2f} to {max(shots):.2f} in {len(shots)} draws).",
    ]


def _promises() -> list[str]:
    rows = []
    for name, label in (("magnetic-tile", "Magnetic Tile"), ("elpv", "ELPV solar cells")):
        result = _there(f"images_promises_{name}")
        if result is None:
            continue
        for rate in ("0.05", "0.1"):
            of = result[rate]
            rows.append(
                f"| {label} | {float(rate):.0%} | {of['promised']:.1%} | {of['realised']:.1%} | {of['violations']} of "
                f"{result['splits']} (up to {of['violations_allowed']}) | {of['recall']:.2f} |"
            )
    if not rows:
        return []
    return [
        "",
        "## Guaranteed false-alarm rates",
        "",
        "`python bench/images_promises.py NAME`, random splits; a violation has more false alarms than the "
        "beta-binomial "
        "law allows with 95%:",
        "",
        "| set | requested | guaranteed | found | violations | recall |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def _boards(result: dict[str, Any]) -> list[str]:
    ours, plain = result["judged"], result["differencing"]
    return [
        "",
        "## Boards against their templates",
        "",
        f"`python bench/images_pcb.py`, DeepPCB, trained on {result['boards_learnt']} boards of group00041, "
        "evaluated on "
        f"{result['boards_judged']} of group12000: {ours['hit']:.1%} of {ours['defects']} defects hit, "
        f"{ours['false_per_image']:.2f} false regions per board, macro-F1 of the six defect types "
        f"{ours['macro_f1']:.3f}, {ours['pair_ms']:.0f} ms per pair. Plain differencing, its settings chosen in the "
        "same "
        f"way: {plain['hit']:.1%} and {plain['false_per_image']:.1f}.",
    ]


def _cells(result: dict[str, Any]) -> list[str]:
    named = [(key, result[key]) for key in ("4 shots", "8 shots", "32 shots", "full")]
    ours = ", ".join(
        f"{key} {mean:.3f} [{low:.3f}, {high:.3f}]"
        for key, of in named
        for mean, low, high in [of["mean_and_interval"]]
    )
    published = ", ".join(f"{name} {value:.3f}" for name, value in result["published"].items())
    return [
        "",
        "## Solar cells",
        "",
        "`python bench/images_elpv.py`, ELPV, functional against certainly defective, image AUROC with 95% intervals "
        "over "
        f"draws: {ours}. Published, recalled: {published}.",
    ]


def _replies(result: dict[str, Any]) -> list[str]:
    of, beside, tile = result["simulated"], result["beside"], result["magnetic_tile"]
    return [
        "",
        "## Replies of the language model",
        "",
        "`python bench/image_replies.py`: on simulated defects in unseen images, half of them good, yes or no correct "
        f"{of['yes_no']:.2f} (always yes {beside['always_yes']:.2f}, without the image "
        f"{beside['without_image']['yes_no']:.2f}, the verdict itself {beside['expert']:.2f}); the place correct for "
        f"{of['place']:.2f} of all defective images, {of['place_where_yes']:.2f} of those answered with yes (without "
        "the "
        f"image {beside['without_image']['place']:.2f}). On Magnetic Tile {tile['replies']:.2f} (always yes "
        f"{tile['always_yes']:.2f}, the verdict {tile['expert']:.2f}).",
    ]


def _growth(result: dict[str, Any]) -> list[str]:
    points = "; ".join(
        f"{point['images']:,} images {point['fit_s']:.0f} s, {point['peak_gb']:.1f} GB, {point['image_ms']:.0f} ms per "
        "image"
        for point in result["points"]
    )
    return [
        "",
        "## Growth",
        "",
        f"`python bench/images_growth.py`: {points}. The time of a fit grows as images^{result['fit_exponent']:.2f}.",
        "",
        "![Time and memory against the number of images](images_growth.svg)",
    ]


def _ablations(result: dict[str, Any]) -> list[str]:
    kinds = list(result["lines"][0]["by_kind"])
    return [
        "",
        "## Variants of the decoder",
        "",
        "`python bench/image_ablations.py`, the decoder alone, without the memory bank: trained on simulated defects "
        "in "
        f"{result['config']['taught']} good images of Magnetic Tile, evaluated on others in "
        f"{result['config']['judged']} "
        "unseen ones; image AUROC by defect type. No difference but that of the slow learning rate is beyond chance:",
        "",
        "| variant | image AUROC | pixel AUROC | " + " | ".join(kinds) + " |",
        "|---|---|---|" + "---|" * len(kinds),
        *(
            f"| {line['variant']} | {line['image_auroc']:.3f} | {line['pixel_auroc']:.3f} | "
            + " | ".join(f"{line['by_kind'][kind]:.3f}" for kind in kinds)
            + " |"
            for line in result["lines"]
        ),
    ]
