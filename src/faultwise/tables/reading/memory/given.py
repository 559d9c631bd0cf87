"""What a fit in memory was given, beside the values: the columns of X, and the labels before they became text.

Later X is read by those columns, and labels come back in their type. A fit on a file was given nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from faultwise.contracts.modality import Items
from faultwise.tables.reading.memory.columns import GivenColumns
from faultwise.tables.reading.memory.frames import as_frame
from faultwise.tables.reading.memory.labels import LabelValues, label_array
from faultwise.tables.reading.options import TableReading

__all__ = ["Given"]


@dataclass(frozen=True, slots=True)
class Given:
    """Columns of X and values of labels, each None where it is not known."""

    columns: GivenColumns | None = None
    values: LabelValues | None = None

    @classmethod
    def of(cls, source: object, reading: TableReading) -> tuple[Items, Given]:
        """Return rows in memory as `Items` with a pandas frame, and what was given. Raises DataError."""
        items = source if isinstance(source, Items) else Items(source)
        frame, y = as_frame(items.X), None if items.y is None else label_array(items.y)
        made = Items(frame, y, items.groups, items.weights)
        roles = (reading.target, reading.group, reading.time, *reading.ignore)
        if y is None and reading.target in frame.columns:
            y = frame[reading.target].to_numpy()
        return made, cls(GivenColumns.of(items.X, frame, roles), None if y is None else LabelValues.of(y))

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, object]) -> Given:
        """Read what `to_dict` returned."""
        columns, values = manifest.get("columns"), manifest.get("label_values")
        return cls(
            GivenColumns.from_dict(columns) if isinstance(columns, Mapping) else None,
            LabelValues.from_dict(values) if isinstance(values, Mapping) else None,
        )

    def to_dict(self) -> dict[str, object]:
        """Return entries of the manifest of a run."""
        made: dict[str, object] = {} if self.columns is None else {"columns": self.columns.to_dict()}
        return made if self.values is None else {**made, "label_values": self.values.to_dict()}

    def frame(self, X: object) -> pd.DataFrame:
        """Return X (rows, variables) as a frame with the columns of the fit. Raises DataError."""
        return as_frame(X) if self.columns is None else self.columns.frame(X)

    def items(self, source: object) -> Items:
        """Return later rows in memory with the columns of the fit. Raises DataError."""
        items = source if isinstance(source, Items) else Items(source)
        return replace(items, X=self.frame(items.X))

    def typed(self, texts: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return labels (rows,) in the type they came in; texts where the values of some `classes` are not known."""
        if self.values is not None and self.values.covers(classes):
            return self.values.typed(texts)
        return texts if any(text is None for text in texts) else np.asarray(texts).astype(str)

    def sorted(self, classes: np.ndarray) -> np.ndarray:
        """Return `classes` in the type they came in, in the order of their values."""
        return np.sort(self.typed(classes, classes), kind="stable")

    def order(self, classes: np.ndarray) -> np.ndarray:
        """Return the positions of `classes`, which are sorted as texts, in the order of their values."""
        return np.argsort(self.typed(classes, classes), kind="stable")
