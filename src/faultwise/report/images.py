"""The report of inspected images: original, map as an overlay, regions, limit and what it promises, as one HTML file.

Also as JSON. Nothing is judged here; images are made smaller for the page.
"""

from __future__ import annotations

import base64
import heapq
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from faultwise.images.inspection import Inspection
from faultwise.images.inspector import Inspector
from faultwise.images.pair_inspector import PairInspector
from faultwise.images.text_inspector import TextInspector
from faultwise.report import values
from faultwise.report.pages import rendered
from faultwise.runs.files import write_atomic

__all__ = ["SUFFIXES", "ImagePage"]

SUFFIXES = (".html", ".json")

_MOST = 24  # images shown; the others are listed
_SIDE = 520  # pixels of the longer side on the page
_HIGHEST = 420
_FULL = 0.5  # above the limit of regions, as a share of it
_OPACITIES = (0.0, 0.4, 0.7, 1.0)
_FIRST = 0.7
_SMALL = 0.001  # of the image: below it a share is shown with another digit


class ImagePage:
    """Gathers inspections one by one and keeps, made small, those with the highest scores."""

    def __init__(self, inspector: Inspector | PairInspector | TextInspector) -> None:
        self.inspector = inspector
        self.lines: list[dict[str, Any]] = []
        self._best: list[tuple[float, int, dict[str, Any]]] = []

    def add(self, one: Inspection) -> None:
        """Take an inspection; nothing large of it is kept."""
        self.lines.append(one.to_dict())
        if len(self._best) < _MOST or one.score > self._best[0][0]:
            heapq.heappush(self._best, (one.score, -len(self.lines), _shown(one)))
            while len(self._best) > _MOST:
                heapq.heappop(self._best)

    def save(self, path: Path) -> Path:
        """Write the report as the ending says: .html or .json."""
        if path.suffix.lower() == ".json":
            return write_atomic(path, json.dumps(self.lines, indent=1, allow_nan=False) + "\n")
        return write_atomic(path, self.render())

    def render(self) -> str:
        """Return the report as one HTML document: the images with the highest scores in full, the others as a list."""
        inspector = self.inspector
        shown = sorted(self._best, reverse=True, key=lambda entry: entry[:2])
        full = {-number - 1 for _, number, _ in shown}
        rest = sorted(
            (line for at, line in enumerate(self.lines) if at not in full), key=lambda line: -float(line["score"])
        )
        bad = sum(line["defective"] for line in self.lines)
        return rendered(
            "images.html.j2",
            {
                "title": f"{bad} of {len(self.lines)} images are called defective",
                "learnt": inspector.learnt_from,
                "colour": inspector.map_words,
                "promise": inspector.limit.note,
                "opacities": list(enumerate(_OPACITIES)),
                "first": _FIRST,
                "images": [one for _, _, one in shown],
                "rest": [
                    {"name": one["image"], "defective": one["defective"], "score": values.number(one["score"])}
                    for one in rest
                ],
                "provenance": values.flatten(
                    {
                        "settings": asdict(inspector.settings),
                        "limit": asdict(inspector.limit),
                        "region limit": inspector.region_limit,
                    }
                ),
            },
        )


def _shown(one: Inspection) -> dict[str, Any]:
    from markupsafe import Markup

    high, wide = one.heat.shape
    regions = [
        {
            "x": region.box[0],
            "y": region.box[1],
            "w": region.box[2] - region.box[0],
            "h": region.box[3] - region.box[1],
            "place": region.place,
            "times": values.number(region.score / one.region_limit, digits=2),
            "area": f"{region.area:.1%}" if region.area >= _SMALL else f"{region.area:.2%}",
            "kind": f"{region.kind} ({region.sure:.0%})" if region.kind else "",
            "contrast": f"{region.contrast:+.0f}",
        }
        for region in one.regions
    ]
    return {
        "name": one.name,
        "defective": one.defective,
        "score": values.number(one.score, digits=3),
        "limit": values.number(one.limit.value, digits=3),
        "as_odd": one.as_odd,
        "picture": Markup(_as_jpeg(one.pixels)),
        "heat": Markup(_as_overlay(one.heat, one.region_limit)),
        "width": min(_SIDE, round(_HIGHEST * wide / high)),
        "high": high,
        "wide": wide,
        "regions": regions,
        "kinds": any(region.kind for region in one.regions),
    }


def _as_jpeg(pixels: np.ndarray) -> str:
    from PIL import Image as Pillow

    picture = Pillow.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE))
    return _data("jpeg", picture, quality=85)


def _as_overlay(heat: np.ndarray, limit: float) -> str:
    """Return the map as a picture that is clear below the limit and opaque at one and a half times that."""
    from PIL import Image as Pillow

    small = Pillow.fromarray(heat.astype(np.float32))
    small.thumbnail((_SIDE, _SIDE))
    over = np.clip((np.asarray(small) / max(limit, 1e-9) - 1) / _FULL, 0, 1)
    colour = np.stack([np.full_like(over, 255), 200 * (1 - over), np.zeros_like(over), 255 * np.sqrt(over)], axis=2)
    return _data("png", Pillow.fromarray(colour.astype(np.uint8), "RGBA"))


def _data(kind: str, picture: Any, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
