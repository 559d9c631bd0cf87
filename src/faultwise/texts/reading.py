"""Reading texts: a table with a column of texts, a folder of notes, strings in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, closest, listing
from faultwise.contracts.labels import label_of
from faultwise.contracts.modality import Items
from faultwise.texts.recognising import notes_in, prose_columns
from faultwise.texts.settings import TextReading

__all__ = ["Texts", "read_texts"]

_LONG = 5_000  # characters: more are hardly a work order


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts in the order of the source: `texts` (n,), their `rows` in it (counted from 1) or the `names` of notes,
    `labels` and `assets` (n,) where known, and the `column` they come from.
    """

    texts: list[str]
    rows: np.ndarray
    source: str
    labels: np.ndarray | None = None
    assets: np.ndarray | None = None
    names: tuple[str, ...] = ()
    column: str = ""
    notes: tuple[str, ...] = ()

    def part(self, kept: np.ndarray) -> Texts:
        """Return the texts of a mask (n,)."""
        at = np.flatnonzero(kept)
        return replace(
            self,
            texts=[self.texts[one] for one in at],
            rows=self.rows[at],
            labels=None if self.labels is None else self.labels[at],
            assets=None if self.assets is None else self.assets[at],
            names=tuple(self.names[one] for one in at) if self.names else (),
        )


def read_texts(source: object, reading: TextReading, labelled: bool = False) -> Texts:
    """Return the texts of a source; `labelled` asks for labels. Raises DataError saying what is missing."""
    y = groups = None
    while isinstance(source, Items):
        y, groups = (source.y if y is None else y), (source.groups if groups is None else groups)
        source = source.X
    if isinstance(source, str | Path):
        path = Path(source)
        made = _of_notes(path) if path.is_dir() else _of_frame(_frame(path, reading), reading, str(source))
    elif isinstance(source, pd.DataFrame):
        made = _of_frame(source, reading, "the frame")
    else:
        texts = ["" if one is None else str(one) for one in np.ravel(np.asarray(source, dtype=object))]
        made = Texts(texts, np.arange(1, len(texts) + 1), "the texts")
    if y is not None:
        made = replace(made, labels=_labels(list(np.ravel(np.asarray(y, dtype=object)))))
    if groups is not None:
        made = replace(made, assets=_labels(list(np.ravel(np.asarray(groups, dtype=object)))))
    if reading.accepted is not None:
        made = _with_accepted(made, reading.accepted)
    if labelled and made.labels is None:
        raise DataError(
            f"`{made.source}` was read without labels, so there is nothing to compare with: name the column of labels "
            "with --target COL."
        )
    return _complete(made, labelled)


def _complete(made: Texts, labelled: bool) -> Texts:
    """Return the texts without those that cannot be used, which notes count. Raises DataError where none is left."""
    notes = list(made.notes)
    empty = np.array([not text.strip() for text in made.texts], bool)
    kept = ~empty if labelled else np.ones(len(empty), bool)
    if empty.any():
        what = "were left out" if labelled else "get no verdict"
        notes.append(f"{int(empty.sum())} of {len(empty)} texts are empty and {what}.")
    if labelled and made.labels is not None:
        without = np.array([label is None for label in made.labels], bool) & kept
        if without.any():
            notes.append(f"{int(without.sum())} texts have no label and were left out.")
        kept &= ~without
    long = sum(len(text) > _LONG for text in made.texts)
    if long:
        notes.append(
            f"{long} texts have more than {_LONG:,} characters; sentence models read the first 256 tokens of a text."
        )
    if not kept.any():
        raise DataError(f"`{made.source}` has no text{' with a label' if labelled else ''}: check its columns.")
    return replace(made.part(kept), notes=tuple(notes))


def _frame(path: Path, reading: TextReading) -> pd.DataFrame:
    from faultwise.tables.reading.formats.formats import read_file

    as_text = [one for one in (reading.text, reading.target, reading.group) if one]
    return read_file(path, as_text, reading.sheet).frame


def _of_frame(frame: pd.DataFrame, reading: TextReading, source: str) -> Texts:
    for flag, name in (("--target", reading.target), ("--text", reading.text), ("--group", reading.group)):
        if name is not None and name not in frame.columns:
            near = closest(name, frame.columns)
            hint = f": did you mean `{near}`?" if near else f": name another one with {flag}."
            raise DataError(f"`{source}` has no column `{name}`; it has {listing(frame.columns)}{hint}")
    column, notes = _column(frame, reading, source)
    cells = frame[column]
    texts = ["" if pd.isna(cell) else str(cell) for cell in cells]
    labels = None if reading.target is None else _labels(frame[reading.target].tolist())
    assets = None if reading.group is None else _labels(frame[reading.group].tolist())
    return Texts(texts, np.arange(1, len(frame) + 1), source, labels, assets, column=column, notes=tuple(notes))


def _column(frame: pd.DataFrame, reading: TextReading, source: str) -> tuple[str, list[str]]:
    """Return the column of texts, and a note on how it was found."""
    others = {reading.target, reading.group}
    if reading.text is not None:
        found = _some_words(frame[reading.text])
        if not found:
            raise DataError(
                f"The column `{reading.text}` of `{source}` holds no words: name the column of texts with --text COL."
            )
        return reading.text, []
    prose = {name: words for name, words in prose_columns(frame).items() if name not in others}
    if not prose:
        strings = [name for name in frame.columns if name not in others and _some_words(frame[name])]
        if len(strings) == 1:
            return str(strings[0]), [f"The texts are read from `{strings[0]}`."]
        raise DataError(
            f"No column of `{source}` holds sentences; it has {listing(frame.columns)}: name the one with --text COL."
        )
    best = max(prose, key=lambda name: prose[name])
    rest = f" ({listing(sorted(set(prose) - {best}))} could be, too: --text COL)" if len(prose) > 1 else ""
    return best, [f"The texts are read from `{best}`{rest}."]


def _some_words(cells: pd.Series) -> bool:
    return any(letter.isalpha() for cell in cells.dropna().head(1000) for letter in str(cell))


def _of_notes(folder: Path) -> Texts:
    """Return the notes of a folder; the folder that one lies in is its label, if there are such folders."""
    files = notes_in(folder)
    if not files:
        raise DataError(f"The folder `{folder}` holds no notes (.txt or .md) alone: check the path.")
    texts = [one.read_text(encoding="utf-8", errors="replace") for one in files]
    inside = [one.parent != folder for one in files]
    labels = np.array([one.parent.name if own else None for one, own in zip(files, inside, strict=True)], dtype=object)
    names = tuple(str(one.relative_to(folder)) for one in files)
    rows = np.arange(1, len(texts) + 1)
    return Texts(texts, rows, str(folder), labels if any(inside) else None, names=names, column="the notes")


def _with_accepted(made: Texts, path: str) -> Texts:
    """Return the texts with settled labels in place of theirs. Raises DataError for rows that there are not."""
    from faultwise.tables.reading.formats.formats import read_file

    frame = read_file(Path(path), as_text=["label"]).frame
    if not {"row", "label"} <= set(frame.columns):
        raise DataError(f"`{path}` has {listing(frame.columns)}; expected the columns row and label.")
    settled = frame.dropna(subset=["row", "label"])
    at = {int(row): place for place, row in enumerate(made.rows)}
    unknown = [row for row in settled["row"] if not float(row).is_integer() or int(row) not in at]
    if unknown:
        raise DataError(f"`{path}` settles row {unknown[0]:g}, which `{made.source}` does not have: check the rows.")
    labels = np.full(len(made.texts), None, dtype=object) if made.labels is None else made.labels.copy()
    for row, label in zip(settled["row"], settled["label"], strict=True):
        labels[at[int(row)]] = label_of(label)
    note = f"{len(settled)} labels were taken from `{Path(path).name}`."
    return replace(made, labels=labels, notes=(*made.notes, note))


def _labels(values: Sequence[object]) -> np.ndarray:
    made = np.empty(len(values), dtype=object)
    made[:] = [label_of(value) for value in values]
    return made
