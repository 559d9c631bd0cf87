"""Signs of a broken sensor in the columns themselves: held values, lone jumps, two that fit better when exchanged."""

from __future__ import annotations

import warnings

import numpy as np

__all__ = ["exchange_gains", "jumps", "levels_of", "longest_holds", "normal_range", "spikes"]

_NORMAL = 2 * 2.5758  # central 99% of a normal distribution in standard deviations


def longest_holds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the longest run of equal values of each column of values (rows, variables), and its first and last row.

    Missing values neither end a run nor count; all three are of shape (variables,), 0 without any value.
    """
    found = np.zeros((3, values.shape[1]), dtype=int)
    for j, column in enumerate(values.T):
        rows = np.flatnonzero(np.isfinite(column))
        if not len(rows):
            continue
        starts = np.flatnonzero(np.r_[True, np.diff(column[rows]) != 0])
        lengths = np.diff(np.r_[starts, len(rows)])
        at = int(lengths.argmax())
        found[:, j] = lengths[at], rows[starts[at]], rows[starts[at] + lengths[at] - 1]
    return found[0], found[1], found[2]


def spikes(values: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return how far each sample of values (rows, variables) jumps away from both its neighbours, alone.

    The jump is the smaller of the two steps if they go opposite ways, else 0, so a lasting step is none. It is divided
    by `noise` (variables,), or by what a tenth of the samples of this stretch reach if that is more (while a machine
    fault makes a variable swing, no single swing is a spike), and then by the highest jump of another variable in this
    sample or beside it, if that is above 1: what hits the machine is seen by several. A missing value makes no jump.
    """
    height = jumps(values)
    height /= np.maximum(noise, np.quantile(height, 0.9, axis=0))
    if height.shape[1] < 2 or len(height) < 3:
        return height
    near = height.copy()
    near[1:] = np.maximum(near[1:], height[:-1])
    near[:-1] = np.maximum(near[:-1], height[1:])
    first = near.argmax(axis=1)
    here = np.arange(len(near))
    rivals = np.repeat(near[here, first][:, None], near.shape[1], axis=1)
    near[here, first] = 0.0
    rivals[here, first] = near.max(axis=1)
    return np.asarray(height / np.maximum(rivals, 1.0))


def jumps(values: np.ndarray) -> np.ndarray:
    """Return the smaller step to and from each sample, shape (rows, variables); 0 unless they go opposite ways."""
    height = np.zeros(values.shape)
    before, after = values[1:-1] - values[:-2], values[1:-1] - values[2:]
    with np.errstate(invalid="ignore"):
        height[1:-1] = np.where(before * after > 0, np.minimum(np.abs(before), np.abs(after)), 0.0)
    return height


def exchange_gains(
    level: np.ndarray, center: np.ndarray, spread: np.ndarray, middle: np.ndarray, precision: np.ndarray
) -> np.ndarray:
    """Return by how much exchanging each two sensors brings a stretch nearer to training, shape (variables, variables).

    `level` (variables,) is where the stretch lies in normal spreads, `center` and `spread` (variables,) give it its
    units back, `middle` and `precision` describe the levels of training stretches. The gain is the fall of the squared
    Mahalanobis distance, or 0.
    """
    units = level * spread + center
    step = (units[None, :] - units[:, None]) / spread[:, None]  # of sensor i when it gets the value of sensor j
    pull = precision @ (level - middle)
    diagonal = np.diag(precision)
    change = step * (2 * pull[:, None] + step * diagonal[:, None])
    after = change + change.T + 2 * precision * step * step.T
    gains = np.maximum(-after, 0.0)
    np.fill_diagonal(gains, 0.0)
    return np.asarray(gains)


def normal_range(numbers: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return median and spread of each variable over the rows `used`; over all rows where those hold no information.

    `numbers` is (rows, variables), `used` (rows,). The spread is the standard deviation of a normal distribution whose
    central 99% is as wide as theirs.
    """

    def of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # columns without a value give NaN, which is meant
            low, middle, high = np.nanquantile(rows, [0.005, 0.5, 0.995], axis=0)
        return middle, (high - low) / _NORMAL

    center, spread = of(numbers)
    if used.any():
        mine, narrow = of(numbers[used])
        known = np.isfinite(narrow) & (narrow > 1e-9 * np.maximum(1.0, np.abs(mine)))
        center, spread = np.where(known, mine, center), np.where(known, narrow, spread)
    # A variable that leaves one value in less than 1% of the rows has no width at all.
    width = np.nanmax(numbers, axis=0) - np.nanmin(numbers, axis=0)
    return center, np.where(spread > 0, spread, width)


def levels_of(stretches: np.ndarray) -> np.ndarray:
    """Return the median of each variable over each stretch, (stretches, variables); 0 (normal) without a value."""
    known = np.isfinite(stretches).any(axis=1)
    filled = np.where(known[:, None, :], stretches, 0.0)
    return np.asarray(np.nanmedian(filled, axis=1))
