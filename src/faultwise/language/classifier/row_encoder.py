"""Rows of numbers as vectors: piecewise linear embeddings of every feature, marks of missing values, a small network.

The tabular counterpart of an image encoder: `fit` trains it alone, on soft labels; `projector` then writes its vectors
into a language model's prompt. Piecewise linear encoding after Gorishniy, Rubachev and Babenko, "On Embeddings for
Numerical Features in Tabular Deep Learning" (NeurIPS 2022). It knows neither prompts nor teachers. torch is imported
with this module: import it where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

__all__ = ["RowEncoder", "RowScale", "fit", "hide", "variables"]

_FEWEST_BINS, _MOST_BINS, _CELLS = 8, 16, 1600
_BATCH, _CHUNK = 256, 4096
_FAR = 50.0  # interquartile ranges


@dataclass(frozen=True, slots=True)
class RowScale:
    """How features become comparable numbers: `(x - center) / scale`, then arcsinh; or the logarithm where `logged`.

    The scale is the spread *within* a class, because the spread over all classes is that of the largest fault, beside
    which small faults vanish (accuracy on simulated Tennessee Eastman windows: 0.857 to 0.868). arcsinh keeps large
    values apart without letting them rule. `edges` (features, bins + 1) are quantiles of the scaled training values.
    """

    center: list[float]
    scale: list[float]
    logged: list[bool]
    edges: list[list[float]]

    @classmethod
    def of(cls, X: np.ndarray, codes: np.ndarray, logged: Sequence[bool]) -> RowScale:
        """Learn from training rows X (rows, features) without gaps and their classes (rows,)."""
        center = np.median(X, axis=0)
        made = _tamed(X.astype(np.float64), center)
        within = np.array([made[codes == code].std(axis=0) for code in np.unique(codes) if (codes == code).sum() > 1])
        whole = made.std(axis=0)
        # Some classes do not vary at all in a column: the lower third of those that do is what small faults show up by.
        spread = whole.copy()
        for at, of_class in enumerate(within.T):
            varying = of_class[of_class > 1e-6 * whole[at]]
            spread[at] = np.quantile(varying, 0.33) if len(varying) else whole[at]
        scale = np.where(spread > 0, spread, 1.0)
        plain = cls(center.tolist(), scale.tolist(), [bool(one) for one in logged], [])
        bins = int(np.clip(_CELLS // X.shape[1], _FEWEST_BINS, _MOST_BINS))
        edges = np.maximum.accumulate(np.quantile(plain.apply(X), np.linspace(0, 1, bins + 1), axis=0).T, axis=1)
        return cls(plain.center, plain.scale, plain.logged, edges.tolist())

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Return scaled numbers (rows, features), NaN where X has NaN."""
        center, scale = np.array(self.center), np.array(self.scale)
        plain = np.arcsinh((X - center) / scale)
        logs = np.log(np.maximum(X, 0) / scale + 1e-2)
        made: np.ndarray = np.where(np.array(self.logged), logs, plain).astype(np.float32)
        return made


def _tamed(X: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Return rows with what lies absurdly far out, such as a sentinel for "no value", brought nearer: one such cell
    would set the scale of its column, and all else in it would vanish.
    """
    spread = np.quantile(X, 0.75, axis=0) - np.quantile(X, 0.25, axis=0)
    reach = np.where(spread > 0, _FAR * spread, np.inf)
    return np.asarray(np.clip(X, center - reach, center + reach))


class RowEncoder(nn.Module):
    """Scaled rows (rows, features), NaN where a value is missing, to vectors (rows, width), and to logits by `head`."""

    low: torch.Tensor
    step: torch.Tensor
    middle: torch.Tensor

    def __init__(
        self, scale: RowScale, classes: int, hidden: int = 256, width: int = 128, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.scale = scale
        edges = torch.tensor(scale.edges, dtype=torch.float32)
        self.register_buffer("low", edges[:, :-1], persistent=False)
        self.register_buffer("step", (edges[:, 1:] - edges[:, :-1]).clamp(min=1e-6), persistent=False)
        self.register_buffer("middle", edges.mean(1), persistent=False)
        features, bins = edges.shape[0], edges.shape[1] - 1
        self.sizes = {"classes": classes, "hidden": hidden, "width": width}
        self.body = nn.Sequential(
            nn.Linear(features * (bins + 2), hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.GELU(),
        )
        self.head = nn.Linear(width, classes)

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        """Return the vectors (rows, width)."""
        missing = scaled.isnan()
        x = torch.where(missing, self.middle, scaled)
        bins = ((x[:, :, None] - self.low) / self.step).clamp(0, 1) * (~missing)[:, :, None]
        centred = torch.where(missing, torch.zeros_like(x), (x - self.middle).clamp(-8, 8))
        made: torch.Tensor = self.body(torch.cat([bins.flatten(1), centred, missing.float()], dim=1))
        return made

    def vectors(self, X: np.ndarray) -> torch.Tensor:
        """Return the vectors of unscaled rows X (rows, features), NaN where a value is missing."""
        with torch.inference_mode():
            scaled = torch.from_numpy(self.scale.apply(X)).to(self.low.device)
            return torch.cat([self(part) for part in torch.split(scaled, _CHUNK)])

    def proba(self, X: np.ndarray) -> np.ndarray:
        """Return the encoder's own probabilities (rows, classes)."""
        with torch.inference_mode():
            return np.asarray(self.head(self.vectors(X)).softmax(1).double().cpu().numpy())

    def state(self) -> dict[str, object]:
        """Return its configuration for JSON; the weights are `state_dict()`."""
        return {"scale": asdict(self.scale), "sizes": self.sizes}


def variables(names: Sequence[str]) -> np.ndarray:
    """Return the number of the variable behind each feature name: all measures of a sensor are missing together.

    A category may hold "=" itself, and so may a column: neighbours that could be of one column are of one column.

    >>> variables(["mean(T1)", "slope(T1)", "is(state=on)", "is(state=off)"]).tolist()
    [0, 0, 1, 1]
    >>> variables(["is(a=b)", "is(a=x=y)", "is(b=1)", "is(b=2)"]).tolist()
    [0, 0, 1, 1]
    """
    made: list[Hashable] = []
    shared: set[str] = set()
    for at, name in enumerate(names):
        measure, _, rest = name.partition("(")
        if measure != "is":
            shared = set()
            made.append(rest[:-1] if rest else name)
            continue
        columns = {rest[:end] for end, letter in enumerate(rest) if letter == "=" and end}
        shared = (shared & columns) or columns
        made.append(made[-1] if at and shared is not columns else at)
    first = {name: at for at, name in enumerate(dict.fromkeys(made))}
    return np.array([first[name] for name in made])


def hide(values: np.ndarray, of: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return values (rows, features) with NaN for variables drawn anew in each row, each with its row's `share` (rows,)
    as its probability; `of` (features,) says which features are of one variable (see `variables`).
    """
    hidden = rng.random((len(values), int(of.max()) + 1)) < share[:, None]
    return np.where(hidden[:, of], np.float32(np.nan), values)


def fit(
    X: np.ndarray,
    soft: np.ndarray,
    scale: RowScale,
    groups: np.ndarray,
    steps: int = 1500,
    missing_share: float = 0.6,
    missing_rows: float = 0.3,
    to_hide: np.ndarray | None = None,
    learning_rate: float = 2e-3,
    seed: int = 0,
    step: Callable[[], object] | None = None,
) -> RowEncoder:
    """Train an encoder on rows X (rows, features) and soft labels (rows, classes).

    In a share `missing_rows` of each batch up to a share `missing_share` of the variables is hidden, each anew; these
    rows are drawn from the positions `to_hide` (all): rows mixed of several classes would teach that the remaining
    variables say little.
    `groups` (features,) says which features belong to one variable. `step` is called after every step.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    encoder = RowEncoder(scale, soft.shape[1])
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.1)
    scaled, targets = scale.apply(X), soft.astype(np.float32)
    hiding = round(missing_rows * _BATCH)
    to_hide = np.arange(len(scaled)) if to_hide is None else to_hide
    for _ in range(steps):
        at = rng.integers(len(scaled), size=_BATCH)
        at[:hiding] = to_hide[rng.integers(len(to_hide), size=hiding)]
        x = scaled[at]
        share = np.where(np.arange(_BATCH) < hiding, rng.random(_BATCH) * missing_share, 0.0)
        x = hide(x, groups, share, rng)
        logs = encoder.head(encoder(torch.from_numpy(x))).log_softmax(1)
        loss = -(torch.from_numpy(targets[at]) * logs).sum(1).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step is not None:
            step()
    return encoder.eval()
