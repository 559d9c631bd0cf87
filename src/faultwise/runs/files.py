"""Writing a file, whole or not at all. No folder is created and no second copy is kept."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from faultwise.contracts.errors import UserError

__all__ = ["check_place", "write_atomic"]


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
