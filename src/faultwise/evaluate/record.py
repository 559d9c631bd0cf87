"""The record of a comparison: what was drawn, from which rows, and each finished fit, so that none is run twice.

A record of other rows or another configuration is never mixed with new figures, and never overwritten. The caller
writes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from faultwise.contracts.errors import UserError
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = [
    "LANGUAGE_KEYS",
    "Entries",
    "Entry",
    "is_result_of_runs",
    "is_result_of_thesis",
    "read_record",
    "unfinished",
]

# A JSON object of a record, such as a result or a line of its summary, and several of them.
Entry = dict[str, Any]
Entries = Sequence[Entry]
Part = TypeVar("Part", bound=Hashable)

_NEEDED = ("protocol", "config", "data_hash", "results")
_RESULT = {"seed": int, "expert": str, "train": float, "test": float}
# The settings of the language model that change its figures.
LANGUAGE_KEYS = ("model", "minutes", "steps", "digits", "features", "input", "column_names", "normalise", "system")


def read_record(path: Path, head: Mapping[str, object], is_result: Callable[[object], bool]) -> list[Entry]:
    """Return the finished results in a record that has the same `protocol`, `config` and `data_hash` as `head`.

    Nothing where there is no file. Raises UserError for a file that is no record, or one of something else;
    `is_result` tells whether a result is one of the protocol.
    """
    if not path.exists():
        return []
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        right = isinstance(record, dict) and all(key in record for key in _NEEDED)
        mine = right and record["protocol"] == head["protocol"]
        right = right and (not mine or all(is_result(result) for result in record["results"]))
    except (OSError, ValueError, TypeError, RecursionError):
        right = False
    if not right:
        raise UserError(f"`{path}` exists and is no record of a comparison: choose another --out; it was not changed.")
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


def is_result_of_thesis(result: object) -> bool:
    """Tell whether something read from a record is a result of the protocol `thesis`, with shares from 0 to 1."""
    if not isinstance(result, dict) or any(not isinstance(result.get(key), kind) for key, kind in _RESULT.items()):
        return False
    return all(math.isfinite(result[part]) and 0 <= result[part] <= 1 for part in ("train", "test"))


def is_result_of_runs(result: object) -> bool:
    """Tell whether something read from a record is a result of the protocol `runs`, with figures that are numbers."""
    kinds = {"seed": int, "fold": int, "expert": str, "drawn": str, "figures": dict, "held_out": dict}
    if not isinstance(result, dict) or any(not isinstance(result.get(key), kind) for key, kind in kinds.items()):
        return False
    costs = [result.get(key, "") for key in ("fit_s", "rows_per_s", "peak_rss_mb")]
    figures = [*result["figures"].values(), *costs]
    shares = [result["figures"].get(key) for key in ("mean_recall", "accuracy", "macro_f1", "aurc")]
    kept = [result["held_out"].get(key) for key in ("label", "uncertainty")]
    return (
        all(value is None or (isinstance(value, int | float) and math.isfinite(value)) for value in figures)
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in shares)
        and all(isinstance(text, str) for text in kept)
    )


def unfinished(
    parts: Sequence[Part], experts: Sequence[str], finished: Collection[tuple[Part, str]]
) -> Iterator[tuple[Part, list[str]]]:
    """Yield each part (a seed, a split) with its unfinished experts; the language model comes after all others of all
    parts, because scikit-learn's boosting can be very slow beside torch's threads.
    """
    for last in (False, True):
        for part in parts:
            todo = [name for name in experts if (name == LANGUAGE_MODEL) == last and (part, name) not in finished]
            if todo:
                yield part, todo
