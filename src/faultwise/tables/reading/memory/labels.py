"""Labels and weights that people pass in, and labels back in the type they came in.

Inside, labels are text (4, 4.0 and "4" are one label); `LabelValues` knows what each text was.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.contracts.labels import label_of

__all__ = ["LabelValues", "label_array", "weight_array"]

_MANY = 20  # different labels that are fractions: fewer may be sizes of a fault, such as 0.007, 0.014 and 0.021 inch


def label_array(y: object) -> np.ndarray:
    """Return labels y as an array (rows,). Raises DataError for several columns, and for values of a measurement."""
    made = np.asarray(y)
    if made.ndim == 2 and made.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        words = "A column-vector y was passed when a 1d array was expected: its only column is taken."
        warnings.warn(words, DataConversionWarning, stacklevel=2)
        made = made[:, 0]
    if made.ndim != 1:
        raise DataError(f"y should be a 1d array, got an array of shape {made.shape} instead: pass one label per row.")
    if made.dtype.kind == "f":
        known = np.unique(made[np.isfinite(made)])
        if len(known) > max(_MANY, len(made) / 2) and (known % 1 != 0).any():
            raise DataError(
                f"Unknown label type: y is continuous ({len(known)} different numbers in {len(made)} rows). Faults are "
                "classes: pass a label for each row."
            )
    return made


def weight_array(weights: object, rows: int) -> np.ndarray:
    """Return sample weights as an array (rows,). Raises DataError unless there is one of zero or more for each row."""
    try:
        made = np.asarray(weights, dtype=float)
    except (TypeError, ValueError):
        raise DataError("sample_weight holds something else than numbers: pass one number for each row.") from None
    if made.shape != (rows,):
        raise DataError(f"sample_weight has the shape {made.shape}, expected ({rows},): pass one number for each row.")
    if not (np.isfinite(made).all() and (made >= 0).all() and made.any()):
        raise DataError(
            "sample_weight must hold numbers of zero or more, not all zero: look at negative or missing ones."
        )
    return made


@dataclass(frozen=True, slots=True)
class LabelValues:
    """The value behind each text of a label, in one NumPy type.

    >>> known = LabelValues.of(np.array([10, 2, 2]))
    >>> known.typed(["2", "10"]), known.typed(["2", None])
    (array([ 2, 10]), array([2, None], dtype=object))
    """

    values: Mapping[str, object]
    kind: str

    @classmethod
    def of(cls, y: object) -> LabelValues | None:
        """Return the values of labels y (rows,); None where they are of several types, or of one that is no label."""
        array = np.asarray(y)
        if array.dtype == object:
            known = array[~pd.isna(array)]
            if len({type(value) for value in known}) != 1:
                return None
            first = known[0]
            array = known if isinstance(first, str) else np.array(known.tolist())
        if array.ndim != 1 or array.dtype.kind not in "biufUO":
            return None
        distinct = pd.unique(array)
        values: dict[str, object] = {}
        for value in distinct.tolist():
            text = label_of(value)
            if text is not None and (text not in values or value == text):
                values[text] = value
        return cls(values, "str" if array.dtype.kind == "U" else array.dtype.str)

    @classmethod
    def from_dict(cls, state: Mapping[str, object]) -> LabelValues:
        """Read what `to_dict` returned."""
        values = state["values"]
        assert isinstance(values, Mapping)
        return cls(dict(values), str(state["kind"]))

    def to_dict(self) -> dict[str, object]:
        """Return JSON that `from_dict` reads."""
        return {"values": dict(self.values), "kind": self.kind}

    def covers(self, texts: np.ndarray) -> bool:
        """Return whether all of these labels are known."""
        return all(str(text) in self.values for text in texts)

    def typed(self, texts: np.ndarray | list[str | None]) -> np.ndarray:
        """Return labels (rows,) in the type they came in; with None among them as objects."""
        made = [None if text is None else self.values[str(text)] for text in texts]
        if any(value is None for value in made):
            return np.array([*made, None], dtype=object)[:-1]
        return np.array(made, dtype=np.dtype(self.kind))
