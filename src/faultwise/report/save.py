"""Writing a diagnosis to a file, whole or not at all.

What a report looks like is decided in `html` and `markdown`; tables are written by `tables`. No folder is
created and no second copy is kept.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from faultwise.contracts import Diagnosis
from faultwise.errors import UserError

__all__ = ["SUFFIXES", "check_place", "render_json", "save_report", "write_atomic"]

SUFFIXES = (".html", ".md", ".json")


def _plain(value: Any) -> Any:
    """Turn a value into what strict JSON knows; numbers that JSON has no word for become null."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_plain(entry) for entry in items]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    return str(value)


def render_json(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as strict JSON (no NaN, no Infinity), in ASCII, ending in a newline."""
    return json.dumps(_plain(diagnosis.to_dict()), indent=2, allow_nan=False) + "\n"


def check_place(path: Path, endings: Collection[str] = ()) -> None:
    """Raise UserError for a file with none of these endings, if there are any, and for a folder that is not there."""
    if endings and path.suffix.lower() not in endings:
        raise UserError(f"`{path}` has no known ending: use one of {', '.join(endings)}.")
    if not path.absolute().parent.is_dir():
        raise _no_folder(path)


def _no_folder(path: Path) -> UserError:
    return UserError(f"There is no folder `{path.parent}` to write `{path.name}` to: create it first.")


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write bytes, or text as UTF-8, so that `path` holds either the old or the whole new content, never a part.

    Returns the path. Raises UserError when the folder is missing or cannot be written to.
    """
    path = Path(path)
    # A link keeps pointing where it pointed: its target is replaced.
    target = path.resolve()
    if target.is_dir():
        raise UserError(f"`{path}` is a folder, expected a file: name a file in it, such as report.html.")
    if not target.parent.is_dir():
        raise _no_folder(path)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=".faultwise-", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"`{path}` could not be written ({reason}): choose a folder you may write to, with space left."
        ) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    return path


def _mode(target: Path) -> int:
    """Return the permissions of the file to be replaced, or what a newly opened file would get."""
    with contextlib.suppress(OSError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def save_report(diagnosis: Diagnosis, path: str | Path) -> Path:
    """Write the report in the kind that the suffix names: .html, .md or .json. Returns the path.

    Raises UserError for another suffix and for a place that cannot be written to; an existing file then
    stays as it was.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    # The renderers are loaded only when asked for: JSON needs neither templates nor plots.
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
