"""A memory of good patches: how far a patch is from the nearest good one, by exact search in a bank of bounded size.

After PatchCore (Roth et al. 2022). The bank is a cover of all good patches (`coreset`), kept in half precision, so that
scores are the same before and after saving. What counts as too far is not decided here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.contracts.progress import ProgressBar
from faultwise.images.detection.coreset import spread_out

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TOP", "MemoryBank", "image_score"]

_ROWS, _COLUMNS = 2_048, 8_192  # of a block of distances: 64 MB
TOP = 0.03  # share of an image's patches that its score is the mean of


class MemoryBank:
    """Good patches (`size` at most). `points` (patches, components; float16)."""

    def __init__(self, size: int = 32_000) -> None:
        self.size = size
        self.points = np.empty((0, 0), np.float16)
        self.owners = np.empty(0, np.int64)
        self._parts: list[tuple[Tensor, Tensor]] = []  # blocks of the points and their squared lengths, as tensors

    def fit(
        self, patches: np.ndarray, seed: int = 0, progress: bool = False, owners: np.ndarray | None = None
    ) -> MemoryBank:
        """Keep a cover of good patches (patches, components); `owners` (patches,) are the numbers of their images.

        Raises UserError for no patches, or what is no number.
        """
        if not len(patches):
            raise UserError("There are no good patches to remember: give one good image at least.")
        if not np.isfinite(patches).all():
            raise UserError("Some patches of the good images are no numbers: check the backbone's files.")
        hide = not progress or len(patches) <= self.size
        with ProgressBar(total=len(patches), desc="memory bank", disable=hide) as bar:
            at = spread_out(np.asarray(patches, np.float32), self.size, seed, bar.update)
        self.owners = np.asarray(owners)[at] if owners is not None else self.owners
        self._keep(patches[at].astype(np.float16))
        return self

    def distances(self, patches: np.ndarray, own: int | None = None) -> np.ndarray:
        """Return how far each of the patches (patches, components) is from the nearest in the bank, (patches,).

        With `own`, the number of an image that was learnt from, its own patches do not count.
        """
        import torch

        whole = torch.from_numpy(np.ascontiguousarray(patches, np.float32))
        mine = self.owners == own if own is not None else np.zeros(len(self.points), bool)
        if mine.all():  # the others are duplicates of this image, or the bank is too small to hold any of them
            mine[:] = False
        left_out = torch.split(torch.from_numpy(mine), _COLUMNS)
        made = []
        for rows in torch.split(whole, _ROWS):
            nearest = torch.full((len(rows),), torch.inf)
            for (part, square), out in zip(self._parts, left_out, strict=True):
                apart = torch.addmm(square, rows, part.T, alpha=-2)
                if own is not None:
                    apart[:, out] = torch.inf
                nearest = torch.minimum(nearest, apart.amin(dim=1))
            made.append((nearest + (rows * rows).sum(dim=1)).clamp_min(0).sqrt())
        return np.asarray(torch.cat(made).numpy()) if made else np.empty(0, np.float32)

    def save(self, folder: Path) -> None:
        """Write `bank.safetensors`."""
        from safetensors.numpy import save_file

        save_file({"points": self.points}, folder / "bank.safetensors")

    def load(self, folder: Path) -> MemoryBank:
        """Read what `save` wrote. Raises RunFolderError for anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            points = load_file(folder / "bank.safetensors")["points"]
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise RunFolderError(f"`{folder}` holds no memory bank that can be read ({error}): fit again.") from error
        self._keep(points)
        return self

    def _keep(self, points: np.ndarray) -> None:
        import torch

        self.points = points
        whole = torch.from_numpy(points.astype(np.float32))
        self._parts = [(part, (part * part).sum(dim=1)) for part in torch.split(whole, _COLUMNS)]


def image_score(distances: np.ndarray) -> float:
    """Return the score of an image from its patches' distances (any shape): the mean of the highest 3%.

    >>> image_score(np.r_[np.zeros(99), 6.0])
    2.0
    """
    flat = np.sort(distances.ravel())
    return float(flat[-max(1, round(TOP * len(flat))) :].mean())
