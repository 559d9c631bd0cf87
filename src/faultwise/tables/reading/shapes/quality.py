"""Quality of measurements as historians note it: words, OPC codes, and states that stand where a value should."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["NO_VALUE", "bad_lines", "is_quality"]

_BAD = (
    "bad",
    "invalid",
    "error",
    "fail",
    "not good",
    "no data",
    "timeout",
    "i/o timeout",
    "io timeout",
    "not connected",
    "offline",
    "comm fail",
    "questionable bad",
)
_WHOLE_BAD = ("false", "no")  # "normal" and "no alarm" begin like them
_GOOD = ("good", "ok", "valid", "uncertain", "questionable", "substituted", "annotated", "true", "yes", "normal")
# What a PI server writes in place of a value.
NO_VALUE = frozenset(
    (
        "bad",
        "bad input",
        "bad data",
        "bad total",
        "bad quality",
        "i/o timeout",
        "io timeout",
        "no data",
        "no sample",
        "no result",
        "pt created",
        "shutdown",
        "configure",
        "scan off",
        "scan timeout",
        "calc failed",
        "over range",
        "under range",
        "intf shut",
        "comm fail",
        "arc off-line",
        "not connect",
        "out of serv",
        "equip fail",
        "dcs failed",
        "invalid data",
        "error",
        "invalid",
    )
)
_OPC_GOOD, _OPC_KNOWN = 0xC0, (0x40, 0xC0)  # the two highest of eight bits: bad, uncertain, good
_UA_BAD = 0x80000000


def is_quality(values: pd.Series) -> bool:
    """Tell whether a column holds words or codes of quality and nothing else."""
    distinct = values.dropna().unique()
    if not 1 <= len(distinct) <= 40:
        return False
    if pd.api.types.is_bool_dtype(values.dtype):
        return True
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = np.asarray(distinct, dtype=float)
        whole = bool(((numbers % 1 == 0) & (numbers >= 0)).all())
        return whole and bool(set(numbers) <= {0.0, 1.0} or (numbers >= _OPC_GOOD).any())
    return all(_word(text) is not None for text in distinct)


def bad_lines(values: pd.Series) -> np.ndarray:
    """Return which lines are of bad quality, shape (rows,); uncertain values and lines without a quality are not.

    Numbers are OPC codes: of eight bits (192 is good, 0 bad) or of 32 bits (0 is good); 1 and 0 are good and bad.
    """
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        codes = np.nan_to_num(numbers, nan=_OPC_GOOD).astype(np.int64)
        if codes.max() > 0xFFFF:
            return np.asarray(codes >= _UA_BAD)
        if not codes.any():
            return np.zeros(len(codes), bool)  # of a system whose 0 is good
        return np.asarray(codes == 0) if codes.max() == 1 else np.asarray((codes & _OPC_GOOD) == 0)
    codes, distinct = pd.factorize(values)
    bad = np.array([*(_word(text) is False for text in distinct), False], dtype=bool)
    return bad[codes]


def _word(text: object) -> bool | None:
    """Return whether a word means good, None where it is no word of quality."""
    plain = str(text).strip().lower()
    if plain in _WHOLE_BAD or any(plain.startswith(word) for word in _BAD):
        return False
    return True if any(plain.startswith(word) for word in _GOOD) else None
