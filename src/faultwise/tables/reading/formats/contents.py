"""What a file holds: its tables by name, read when they are wanted; and how readers refuse what they cannot read."""

from __future__ import annotations

import importlib
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pandas as pd

from faultwise.contracts.errors import DataError, UserError, closest, listing

__all__ = ["MOST_BYTES", "Contents", "Part", "allowed_size", "needed", "parsing", "refuse_bomb"]

MOST_BYTES = 2 << 30
_MOST_RATIO = 400
_SMALL = 1 << 27


@dataclass(frozen=True, slots=True)
class Part:
    """One table of a file: its number of rows (about), and how it is read, with labels (`as_text`) left as text.

    `read` returns a frame and sentences about it; it raises DataError. `time` is the column that the format itself says
    to be the time, `group` that of the runs.
    """

    rows: int
    read: Callable[[Collection[str]], tuple[pd.DataFrame, list[str]]]
    time: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """The tables of a file by name. `words` names the format, `noun` what it calls a table (sheet, group, ...).

    `within` gives the table in which something else that has a name lies, such as a variable.
    """

    path: Path
    words: str
    noun: str
    parts: dict[str, Part]
    notes: list[str] = field(default_factory=list)
    within: dict[str, str] = field(default_factory=dict)

    def chosen(self, name: str | None) -> tuple[str, list[str]]:
        """Return the name of the table to read: `name`, or the one with the most rows, with a note on the others.

        Raises DataError where the file holds none, or none of that name.
        """
        if not self.parts:
            raise DataError(
                f"`{self.path}` ({self.words}) holds no {self.noun} with rows; expected at least one: check how it was "
                "written."
            )
        if name is None:
            largest = max(self.parts, key=lambda one: self.parts[one].rows)
            others = [one for one in self.parts if one != largest]
            note = (
                f"Of {len(self.parts)} {self.noun}s `{largest[:60]}` was read, which has the most rows; not read: "
                f"{listing(others, 5)}. Choose another one with --sheet NAME."
            )
            return largest, [note] if others else []
        name = self.within.get(name, name)
        if name in self.parts:
            return name, []
        near = closest(name, [*self.parts, *self.within])
        hint = f"pass --sheet {near!r}" if near else "pass --sheet with one of them"
        raise DataError(f"`{self.path}` has no {self.noun} `{name[:60]}`; it has {listing(self.parts)}: {hint}.")


def needed(module: str, path: Path, kind: str, extra: str) -> ModuleType:
    """Import the library that reads a format. Raises UserError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(
            f"`{path}` is {kind}, and reading it needs the library {module.partition('.')[0]}, which is not installed: "
            f'pip install "faultwise[{extra}]", or export it as CSV.'
        ) from None


@contextmanager
def parsing(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises on broken bytes into a DataError that names the file; UserErrors pass."""
    try:
        if not path.is_file():
            what = "is a folder or a device" if path.exists() else "does not exist"
            raise DataError(f"`{path}` {what}; expected {kind}: check the path.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except PermissionError:
        raise DataError(f"`{path}` may not be read (no permission): change its rights or copy it.") from None
    except MemoryError:
        raise DataError(f"`{path}` does not fit into the memory: split it, or export it as Parquet.") from None
    except Exception as error:  # a parser fed with broken bytes raises anything, from IndexError to zlib.error
        raise _unreadable(path, kind, error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how libraries written in Rust fail
            raise
        raise _unreadable(path, kind, error) from None


def _unreadable(path: Path, kind: str, error: BaseException) -> DataError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return DataError(
        f"`{path}` is not {kind} that can be read ({reason}): it may be cut off, damaged or of another format; write "
        "it again, or rename it to what it is."
    )


def allowed_size(size: int, what: str, path: Path) -> None:
    """Refuse what would take more than two gigabytes of memory. Raises DataError."""
    if not 0 <= size <= MOST_BYTES:
        raise DataError(
            f"`{path}`: {what} would take {size / 2**30:,.1f} GiB of memory; expected at most {MOST_BYTES >> 30} GiB: "
            "split it, or export it as Parquet."
        )


def refuse_bomb(path: Path) -> None:
    """Refuse a zipped file that unpacks to more than two gigabytes, or to very much more than its size."""
    with zipfile.ZipFile(path) as archive:
        size = sum(one.file_size for one in archive.infolist())
    most = min(MOST_BYTES, max(_SMALL, _MOST_RATIO * path.stat().st_size))
    if size > most:
        raise DataError(
            f"`{path}` unpacks from {path.stat().st_size:,} to {size:,} bytes; expected at most {most:,}: split it, or "
            "export it as CSV."
        )
