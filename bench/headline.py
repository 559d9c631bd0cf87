"""The README's headline table: few figures, each beside the best simple baseline on the same items."""

from __future__ import annotations

from image_tables import PUBLISHED_TILE, tile_means
from recipe import read_result

__all__ = ["headline_rows"]

_LM = "language-model"


def headline_rows() -> list[str]:
    """Return the table's lines."""
    tep, ai4i = (read_result(f"language_{name}")["by_share"] for name in ("tep", "ai4i"))
    whole, half, rare = tep["0.0"], tep["0.5"], ai4i["0.0"]
    sets = read_result("promises")
    ninety = sets["sets"]["0.9"]
    boards = read_result("images_pcb")
    ours, plain = boards["judged"], boards["differencing"]
    replies = read_result("image_replies")
    tile = tile_means(read_result("images_magnetic_tile"))
    filled, trained = half["best_classical"], half["best_with_dropout"]
    rows = [
        (
            "21 states of the simulated Tennessee Eastman process, windows of 20 samples: accuracy",
            f"{whole['means'][_LM]:.3f} (language model)",
            _best(whole),
        ),
        (
            "The same with half of the sensors missing",
            f"{half['means'][_LM]:.3f} (language model)",
            f"{_best(half)}; {half['means'][trained]:.3f} with {trained.partition(',')[0]} trained on missing sensors"
            if filled != trained
            else _best(half),
        ),
        ("AI4I 2020, rare machine failure: macro-F1", f"{rare['means'][_LM]:.3f} (language model)", _best(rare)),
        (
            "Fault sets, 90% coverage requested: the true label is in the set",
            f"{ninety['covered']:.1%} ({ninety['size']:.2f} labels on average)",
            f"{sets['top_accuracy']:.1%} (likeliest label alone)",
        ),
        (
            "Magnetic Tile, defective or not, learnt from good images: image AUROC",
            f"{tile['image_auroc']:.3f}",
            f"{max(PUBLISHED_TILE.values()):.3f} (best published, larger backbone)",
        ),
        (
            "DeepPCB, boards against templates: defects found, false regions per board",
            f"{ours['hit']:.1%}, {ours['false_per_image']:.2f}",
            f"{plain['hit']:.1%}, {plain['false_per_image']:.1f} (plain differencing)",
        ),
        (
            "Language model on images: yes-or-no questions about defects answered correctly",
            f"{replies['simulated']['yes_no']:.2f}",
            f"{replies['beside']['without_image']['yes_no']:.2f} (without the image)",
        ),
    ]
    return [
        "| measured on unseen items | Faultwise | baseline |",
        "|---|---|---|",
        *(f"| {what} | {mine} | {other} |" for what, mine, other in rows),
    ]


def _best(one: dict) -> str:
    name = one["best_classical"]
    return f"{one['means'][name]:.3f} ({name})"
