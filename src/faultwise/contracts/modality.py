"""A modality is one kind of trace: it recognises its sources, reads them, fits, judges and explains.

Commands, reports and `Diagnoser` know modalities only through this protocol. Built-in ones and those of other packages
come in by the same door, the entry points of the group `faultwise.modalities`. What not every modality can do
(calibrate, converse, export, follow, write every row) is a protocol of its own, and a command asks a model for it with
`able`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from faultwise.contracts.diagnosis import Diagnosis, Evaluation
from faultwise.contracts.errors import DataError, UserError, closest, listing

__all__ = [
    "Calibrates",
    "Conversation",
    "Converses",
    "Exports",
    "Following",
    "Follows",
    "Items",
    "Modality",
    "Model",
    "Recognised",
    "WritesRows",
    "able",
    "modalities",
    "modality",
    "recognised",
]

_GROUP = "faultwise.modalities"
Ability = TypeVar("Ability")


class Model(Protocol):
    """A fitted model of one modality.

    `settings` is the modality's dataclass of a fit; `notes` are sentences that a person should know after the fit.
    """

    @property
    def settings(self) -> object:
        """The settings that it was fitted with."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know after the fit, in sentences."""
        ...

    def summary(self) -> Evaluation:
        """Return how the fit went: figures for JSON, the same as tables for people."""
        ...

    def write(self, folder: Path) -> Mapping[str, object]:
        """Write what `Modality.load` needs into an empty folder, without pickle; return entries of the manifest."""
        ...

    def evaluate(self, source: object, reading: object, query: object) -> Evaluation:
        """Judge labelled items that the fit has not seen. Raises DataError where there are no labels."""
        ...

    def diagnose(self, source: object, reading: object, query: object) -> Diagnosis:
        """Return verdicts with typed findings for a source. Raises DataError for one that cannot be read."""
        ...


class Modality(Protocol):
    """One kind of trace.

    `settings`, `reading` and `query` are frozen dataclasses whose fields are made with `contracts.settings.option`:
    settings of a fit, how a source is read (roles of columns, a category), and what can be asked of a diagnosis.
    `traces` says in the plural what it reads, such as "tables". One modality is the `fallback`: it takes what no other
    one recognises, and says what is wrong with it.
    """

    name: str
    traces: str
    fallback: bool
    settings: type
    reading: type
    query: type

    def recognise(self, source: object) -> str | None:
        """Return in words why a source (a path, or something in memory) is one of this modality; None if it is not."""
        ...

    def fit(self, source: object, settings: object, reading: object, progress: bool = False) -> Model:
        """Learn from a source. Raises DataError or UserError saying what is wrong with it."""
        ...

    def load(self, folder: Path, manifest: Mapping[str, object], progress: bool = False) -> Model:
        """Read what a model wrote, from a checked run folder. Raises RunFolderError when it cannot be understood."""
        ...


@runtime_checkable
class Calibrates(Protocol):
    """A model whose promises can be learnt anew from later items; `changeable` names the settings that may differ."""

    changeable: tuple[str, ...]

    def calibrate(self, source: object, reading: object, changes: Mapping[str, object]) -> Evaluation:
        """Calibrate with changed settings (by dotted name); return figures and notes."""
        ...


class Conversation(Protocol):
    """Questions and answers about one item. `verdict` is the verdict in words; `record` holds what JSON shows of it."""

    verdict: str
    record: Mapping[str, object]

    def ask(self, question: str) -> str:
        """Return the answer; earlier questions are remembered."""
        ...


@runtime_checkable
class Converses(Protocol):
    """A model that answers questions about one item."""

    def conversation(self, source: object, reading: object) -> Conversation:
        """Begin a conversation about a source. Raises UserError where the fit did not prepare for it."""
        ...


@runtime_checkable
class Exports(Protocol):
    """A model that can be written as one file for other engines."""

    def export(self, out: Path) -> Mapping[str, object]:
        """Write the file; return what was checked."""
        ...


@runtime_checkable
class WritesRows(Protocol):
    """A model that writes a line per item, also for sources larger than memory."""

    def write_rows(
        self, source: object, out: Path, reading: object, query: object, every: bool = True, progress: bool = False
    ) -> Mapping[str, object]:
        """Write `.parquet` or `.csv`; interrupted, the same call goes on. `every`: all probabilities too."""
        ...


class Following(Protocol):
    """Lines of a growing source as they come. `rows` counts what was read so far, `left_out` what could not be read."""

    @property
    def rows(self) -> int:
        """How many items were read."""
        ...

    @property
    def left_out(self) -> int:
        """How many broken lines were left out."""
        ...

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        """Yield a line for each diagnosed item."""
        ...


@runtime_checkable
class Follows(Protocol):
    """A model that judges a source while it grows."""

    def follow(
        self, source: object, query: object, state: Path | None, out: Path | None, poll: float, idle: float | None
    ) -> Following:
        """Return the lines of diagnosed items as they come, until nothing new came for `idle` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Items:
    """Items in memory: X of any form that a modality takes, with a label, a group (run) and a weight in a fit for each,
    where known.
    """

    X: object
    y: object = None
    groups: object = None
    weights: object = None


@dataclass(frozen=True, slots=True)
class Recognised:
    """The modality of a source, and why it is one of it."""

    modality: Modality
    why: str


@cache
def modalities() -> dict[str, Modality]:
    """Return all installed modalities by name; one whose package cannot be imported is left out with a warning."""
    made: dict[str, Modality] = {}
    for point in sorted(entry_points(group=_GROUP), key=lambda one: one.name):
        try:
            one: Modality = point.load()
            made[one.name] = one
        except Exception as error:  # somebody else's package must not stop every command
            warnings.warn(
                f"The modality `{point.name}` cannot be loaded ({type(error).__name__}: {error}): it is left out.",
                stacklevel=2,
            )
    return made


def modality(name: str) -> Modality:
    """Return a modality by name. Raises UserError for one that is not installed."""
    known = modalities()
    if name in known:
        return known[name]
    near = closest(name, known)
    hint = f"did you mean `{near}`?" if near else "install the package that provides it."
    raise UserError(f"There is no modality `{name}`; there are {listing(list(known), 20)}: {hint}")


def recognised(source: object, name: str | None = None) -> Recognised:
    """Return the modality that knows a source, or the one that is named.

    Raises DataError where several know it, or none does and there is no fallback.
    """
    if name is not None:
        return Recognised(modality(name), "it was asked for")
    known = modalities().values()
    found = [Recognised(one, why) for one in known if not one.fallback and (why := one.recognise(source))]
    found = found or [
        Recognised(one, one.recognise(source) or "nothing else knows it") for one in known if one.fallback
    ]
    shown = f"`{source}`" if isinstance(source, str | Path) else f"A {type(source).__name__}"
    if not found:
        traces = listing([one.traces for one in known], 20)
        raise DataError(f"{shown} is none of what can be read here ({traces}): look at the path and at its files.")
    if len(found) > 1:
        names = listing([one.modality.name for one in found], 20)
        raise DataError(f"{shown} can be read as {names}: say which with --kind NAME.")
    return found[0]


def able(model: Model, ability: type[Ability], what: str) -> Ability:
    """Return a model as one that has an ability. Raises UserError saying `what` it cannot do."""
    if isinstance(model, ability):
        return model
    raise UserError(f"This run cannot {what}: runs of this kind do not offer it.")
