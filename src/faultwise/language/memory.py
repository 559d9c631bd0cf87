"""Out of memory is no reason to stop: the batch is halved until it fits, and that is said once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from faultwise.contracts.errors import UserError

__all__ = ["is_out_of_memory", "shrinking"]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a GPU or in RAM."""
    import torch

    words = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)
    )


def shrinking(rows: np.ndarray, work: Callable[[np.ndarray], Any]) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield parts of the rows with what `work` made of them: all at once, or in halves where memory is short.

    Raises UserError when even one row does not fit.
    """
    import torch

    todo = [rows]
    while todo:
        part = todo.pop(0)
        try:
            made = work(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(part) < 2:
                raise UserError(
                    "The language model does not fit into memory even with one row: take a smaller --model, the short "
                    "text or tokens (--lm-text), or a machine with more memory."
                ) from error
            made = None
        if made is None:  # outside the handler: the error would keep the memory that is to be freed
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            print(f"Memory is short: {len(part)} rows at a time become {len(part) // 2}.", file=sys.stderr)
            todo[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
            continue
        yield part, made
