"""Where memory runs out, the batch is halved until it fits, and a note on stderr tells it once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from faultwise.contracts.errors import UserError

__all__ = ["in_halves", "is_out_of_memory"]

Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on a GPU or in RAM."""
    import torch

    words = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)
    )


def in_halves(rows: np.ndarray, work: Callable[[np.ndarray], Result]) -> Iterator[tuple[np.ndarray, Result]]:
    """Yield parts of the positions `rows` (rows,) with the result of `work` on them: all at once, or in halves where
    memory is short.

    Raises UserError when even one row does not fit.
    """
    import torch

    todo = [rows]
    while todo:
        part = todo.pop(0)
        result = _result(part, work)
        if result is None:  # outside the handler: the error would keep the memory that is to be freed
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            print(f"Memory is short: {len(part)} rows at a time become {len(part) // 2}.", file=sys.stderr)
            todo[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
            continue
        yield part, result


def _result(part: np.ndarray, work: Callable[[np.ndarray], Result]) -> Result | None:
    """Return the result of `work`, None where memory ran out and the part can be halved."""
    try:
        return work(part)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(part) < 2:
            raise UserError(
                "The language model does not fit into memory even with one row: take a smaller model "
                "(--set language.model=NAME), the short text or tokens (--set language.input=tokens), or a machine "
                "with more memory."
            ) from error
        return None
