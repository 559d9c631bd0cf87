"""The record of a comparison: what was drawn, from which rows, and each finished fit, so that none is run twice.

A record of other rows or another configuration is never mixed with new figures, and never overwritten. Writing it is
the caller's business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faultwise.errors import UserError

__all__ = ["LANGUAGE_KEYS", "read_record"]

_NEEDED = ("protocol", "config", "data_hash", "results")
_RESULT = {"seed": int, "expert": str, "train": float, "test": float}
# What of the language model's settings decides its figures; how many rows a command scores does not.
LANGUAGE_KEYS = ("model", "minutes", "steps", "digits", "features", "text", "names", "normalise", "system")


def read_record(path: Path, head: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the finished results in a record that has the same `protocol`, `config` and `data_hash` as `head`.

    Nothing where there is no file. Raises UserError for a file that is no record, or one of something else.
    """
    if not path.exists():
        return []
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        right = isinstance(record, dict) and all(key in record for key in _NEEDED)
        right = right and all(_is_result(result) for result in record["results"])
    except (OSError, ValueError, TypeError, RecursionError):
        right = False
    if not right:
        raise UserError(f"`{path}` exists and is no record of a comparison: choose another --out, it was not touched.")
    wanted = json.loads(json.dumps(dict(head)))
    other = [key for key in ("protocol", "data_hash", "config") if record[key] != wanted[key]]
    if other:
        raise UserError(
            f"`{path}` holds results with another {' and another '.join(_WORDS[key] for key in other)}"
            f"{_differing(record, wanted)}: choose another --out, or delete the file to begin anew."
        )
    return list(record["results"])


_WORDS = {"protocol": "protocol", "data_hash": "data (the rows differ)", "config": "configuration"}


def _differing(record: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    there, here = record["config"], wanted["config"]
    if not isinstance(there, dict):
        return ""
    keys = [key for key in here if there.get(key) != here[key]]
    return f" (differing: {', '.join(keys)})" if keys else ""


def _is_result(result: Any) -> bool:
    """A result that was not written by a comparison must not become a figure: a share is a number from 0 to 1."""
    if not isinstance(result, dict) or any(not isinstance(result.get(key), kind) for key, kind in _RESULT.items()):
        return False
    return all(math.isfinite(result[part]) and 0 <= result[part] <= 1 for part in ("train", "test"))
