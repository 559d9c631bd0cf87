"""Progress bars on stderr, drawn by rich; nothing is drawn, and rich not loaded, where nobody watches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["ProgressBar", "tracked"]

Item = TypeVar("Item")


def tracked(
    items: Iterable[Item], *, total: int | None = None, desc: str = "", disable: bool = False
) -> Iterator[Item]:
    """Yield items and move a bar on with each; `total` is how many there are, where the items do not tell it.

    >>> list(tracked("abc", desc="letters", disable=True))
    ['a', 'b', 'c']
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with ProgressBar(total=total, desc=desc, disable=disable) as bar:
        for item in items:
            yield item
            bar.update()


class ProgressBar:
    """A bar that `update` moves on inside a `with` block; it disappears at the end.

    `total` is the number of steps, None where nobody knows it; `n` is how many are done. Bars inside bars are
    drawn below each other.
    """

    def __init__(self, *, total: int | None = None, desc: str = "", disable: bool = False) -> None:
        self.n = 0
        self._total, self._desc, self._disable = total, desc, disable
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if not self._disable:
            self._progress = _opened()
            self._task = self._progress.add_task(self._desc, total=self._total, detail="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
            _closed(self._progress)

    def update(self, steps: int = 1) -> None:
        """Move on by so many steps."""
        self.n += steps
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.n)

    def describe(self, desc: str) -> None:
        """Change what is written before the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=desc)

    def detail(self, text: str) -> None:
        """Change what is written behind the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, detail=text)


# Bars inside bars share one display: (the display, how many bars are on it).
_open: list[tuple[Progress, int]] = []


def _opened() -> Progress:
    if _open:
        progress, bars = _open.pop()
    else:
        progress, bars = _drawn(), 0
        progress.start()
    _open.append((progress, bars + 1))
    return progress


def _closed(progress: Progress) -> None:
    _, bars = _open.pop()
    if bars > 1:
        _open.append((progress, bars - 1))
    else:
        progress.stop()


def _drawn() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    words = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[detail]}", markup=False)
    columns = words[0], BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), words[1]
    # Results on stdout must not pass through the display.
    return Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
