"""Which columns X of a fit had, so that later arrays and frames are read by them, as scikit-learn does.

By name where both have names; by position where one has none, with scikit-learn's warning if the other has some.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.memory.frames import as_frame, has_names

__all__ = ["GivenColumns"]


@dataclass(frozen=True, slots=True)
class GivenColumns:
    """Names of the measured columns of X, and whether they came with it: those of an array are x0, x1, ...

    >>> import numpy as np
    >>> GivenColumns(("flow", "level"), named=False).frame(np.array([[1.0, 2.0]])).columns.tolist()
    ['flow', 'level']
    """

    names: tuple[str, ...]
    named: bool

    @classmethod
    def of(cls, X: object, frame: pd.DataFrame, roles: Collection[object] = ()) -> GivenColumns:
        """Return the columns of X, whose `frame` was made by `as_frame`, but those that play `roles`."""
        named = has_names(X)
        return cls(tuple(name for name in map(str, frame.columns) if name not in roles), named)

    @classmethod
    def from_dict(cls, state: Mapping[str, object]) -> GivenColumns:
        """Read what `to_dict` returned."""
        names = state["names"]
        assert isinstance(names, list)
        return cls(tuple(map(str, names)), bool(state["named"]))

    def to_dict(self) -> dict[str, object]:
        """Return JSON that `from_dict` reads."""
        return {"names": list(self.names), "named": self.named}

    def frame(self, X: object) -> pd.DataFrame:
        """Return later X (rows, variables) as a frame with the names of the fit. Raises DataError for another number of
        columns where they have no names.
        """
        frame, named = as_frame(X), has_names(X)
        by_name = isinstance(X, pd.DataFrame) or named  # numbers as names of a pandas frame are names, too
        if (named and self.named) or (by_name and set(self.names) <= set(frame.columns)):
            return frame
        if frame.shape[1] != len(self.names):
            if named:
                return frame  # what is missing is said where the columns are encoded
            raise DataError(
                f"X has {frame.shape[1]} features, but Diagnoser is expecting {len(self.names)} features as input: "
                "give the columns of the fit, or a dataframe with their names."
            )
        # In scikit-learn's words, which its users filter by.
        if named:
            warnings.warn("X has feature names, but Diagnoser was fitted without feature names", stacklevel=2)
        elif self.named:
            words = "X does not have valid feature names, but Diagnoser was fitted with feature names"
            warnings.warn(words, stacklevel=2)
        return frame.set_axis(list(self.names), axis=1)
