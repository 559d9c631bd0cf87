"""The one tree of errors that a user can mend.

Every message says what was found, what was expected and what to do next. The command line prints the
message alone and exits with code 2. Bugs are *not* wrapped here: they keep their traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ["DataError", "HubError", "RunFolderError", "UserError", "closest", "listing", "without_figures"]


class UserError(ValueError):
    """Something the user can mend: a wrong option, a wrong file, a wrong folder."""


class DataError(UserError):
    """The data cannot be read, or does not fit what was asked for."""


class HubError(UserError):
    """A model or a data set could not be fetched, or is not what it claims to be."""


class RunFolderError(UserError):
    """A run folder is incomplete, was edited, or comes from a newer version."""


def listing(names: Iterable[object], most: int = 8) -> str:
    """Name the first few of many, with the count of the rest.

    >>> listing(["a", "b", "c"], most=2)
    '`a`, `b`, ... (1 more)'
    """
    shown = [str(name) for name in names]
    text = ", ".join(f"`{name[:60]}`" for name in shown[:most])
    rest = len(shown) - most
    return f"{text}, ... ({rest} more)" if rest > 0 else text


def closest(name: str, names: Iterable[object]) -> str | None:
    """Return the candidate most like `name` (case ignored), or None when nothing is near.

    >>> closest("fault", ["Time", "Fault"])
    'Fault'
    """
    by_lower = {str(candidate).lower(): str(candidate) for candidate in names}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def without_figures(note: str) -> str:
    """Return a note without numbers and brackets: what tells two kinds of notes apart.

    >>> without_figures("Row 3: 2 texts (`bad`).") == without_figures("Row 17: 9 texts (`ERR`, `x`).")
    True
    """
    return re.sub(r"\(.*?\)|\d+", "", note)
