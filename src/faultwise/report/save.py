"""Writing a diagnosis to a file, whole or not at all.

What a report looks like is decided in `html` and `markdown`; tables are written by `runs.tables`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from faultwise.contracts.diagnosis import Diagnosis, Json
from faultwise.contracts.errors import UserError
from faultwise.runs.files import write_atomic

__all__ = ["SUFFIXES", "render_json", "save_report"]

SUFFIXES = (".html", ".md", ".json")


def _strict(value: Json) -> Json:
    """Return a value as strict JSON knows it: numbers that JSON has no word for become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    return [_strict(entry) for entry in value] if isinstance(value, list) else value


def render_json(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as strict JSON (no NaN, no Infinity), in ASCII, ending in a newline."""
    return json.dumps(_strict(diagnosis.to_dict()), indent=2, allow_nan=False) + "\n"


def save_report(diagnosis: Diagnosis, path: str | Path) -> Path:
    """Write the report in the format that the suffix names: .html, .md or .json. Returns the path.

    Raises UserError for another suffix and for a place that cannot be written to; an existing file then
    stays as it was.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    # The renderers are loaded only when they are needed: JSON needs neither templates nor plots.
    if suffix == ".html":
        from faultwise.report.html import render_html

        content = render_html(diagnosis)
    elif suffix == ".md":
        from faultwise.report.markdown import render_markdown

        content = render_markdown(diagnosis)
    elif suffix == ".json":
        content = render_json(diagnosis)
    else:
        found = f"the suffix `{path.suffix}`" if path.suffix else "no suffix"
        raise UserError(f"`{path}` has {found}, expected one of {', '.join(SUFFIXES)}: rename it.")
    return write_atomic(path, content)
