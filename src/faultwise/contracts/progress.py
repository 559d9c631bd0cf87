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
    items: Iterable[Item], *, total: int | None = None, desc: str = "", unit: str = "", disable: bool = False
) -> Iterator[Item]:
    """Yield items and move a bar on with each; `total` is how many there are, where the items do not tell it.

    >>> list(tracked("abc", desc="letters", disable=True))
    ['a', 'b', 'c']
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with ProgressBar(total=total, desc=desc, unit=unit, disable=disable) as bar:
        for item in items:
            yield item
            bar.update()


class ProgressBar:
    """A bar that `update` moves on inside a `with` block; it disappears at the end.

    `total` is the number of steps, None where nobody knows it; `n` is how many are done. With unit "B" the steps are
    bytes and are shown as such, with unit "%" as a percentage.
    """

    def __init__(self, *, total: int | None = None, desc: str = "", unit: str = "", disable: bool = False) -> None:
        self.n = 0
        self._total, self._desc, self._unit, self._disable = total, desc, unit, disable
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if not self._disable:
            self._progress = _drawn(self._unit)
            self._progress.start()
            self._task = self._progress.add_task(self._desc, total=self._total, detail="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

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


def _drawn(unit: str) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    count = DownloadColumn() if unit == "B" else TaskProgressColumn() if unit == "%" else MofNCompleteColumn()
    console = Console(stderr=True)
    words = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[detail]}", markup=False)
    return Progress(words[0], BarColumn(), count, TimeRemainingColumn(), words[1], console=console, transient=True)
