"""A search of the language model's settings on a table: its folds, what is fixed, and its record.

The trials are run by `evaluate.search`; nothing is printed or written here but what a search keeps in its folder.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from faultwise import hub
from faultwise.contracts.settings import flattened
from faultwise.evaluate.record import Entry
from faultwise.evaluate.search import Job, Search
from faultwise.evaluate.search_space import Space, plain_space
from faultwise.evaluate.search_store import grid_size
from faultwise.runs.folders import commit
from faultwise.tables.evaluate.search_folds import LanguageBuild, folded
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Table
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["LanguageSearch", "language_search"]

# A fit uses its folds to fit the fusion, and the rows to score bound a command: neither is that of a search.
_NOT_OF_A_FIT = ("folds", "language.score_rows")


@dataclass(frozen=True)
class LanguageSearch:
    """A search that is ready to run: its job, the settings that it started from, the table's name, and notes."""

    job: Job
    settings: TableSettings
    source: str
    notes: list[str]

    def record(self, found: Search) -> Entry:
        """Return the search and its trials as plain values; `settings` are those of a fit with the best trial."""
        best, job = found.best, self.job
        return {
            "expert": LANGUAGE_MODEL,
            "best": None if best is None else {"number": best.number, "params": best.params},
            "value": None if best is None else best.value,
            "trials": found.count("complete") + found.count("pruned"),
            "pruned": found.count("pruned"),
            "settings": self._for_a_fit({} if best is None else best.params),
            "importance": found.importance,
            "history": [asdict(one) for one in found.trials],
            "sampler": job.sampler,
            "space": plain_space(job.space),
            "seed": job.seed,
            "median": job.median,
            **job.head,
            "source": self.source,
            "commit": commit(),
            "versions": {name: version(name) for name in ("faultwise", "optuna")},
            "notes": self.notes,
        }

    def _for_a_fit(self, params: Entry) -> Entry:
        """Return settings that differ from the defaults, and those that were found, nested as in a YAML file."""
        default = flattened(TableSettings())
        given = {name: value for name, value in flattened(self.settings).items() if value != default[name]}
        given |= {f"language.{name}": value for name, value in params.items()}
        made: Entry = {}
        for name in [one for one in given if one not in _NOT_OF_A_FIT]:
            value, (outer, _, inner) = given[name], name.rpartition(".")
            settings = made.setdefault(outer, {}) if outer else made
            settings[inner] = list(value) if isinstance(value, tuple) else value
        return made


def language_search(
    table: Table, settings: TableSettings, space: Space, folder: Path, trials: int, sampler: str, median: bool
) -> LanguageSearch:
    """Prepare a search of `space` in `folder`, of at most `trials` trials (with the sampler "grid": of its points).

    Raises DataError or UserError as a comparison does, HubError for a missing model.
    """
    language = settings.language
    build = LanguageBuild(language, settings.seed)
    build.check(space)
    made = folded(table, settings)
    hub.resolve(language.model)
    fixed = {name: value for name, value in asdict(language).items() if name not in space}
    head = {"fixed": fixed, "config": made.config}
    count = min(trials, grid_size(space)) if sampler == "grid" else trials
    job = Job(space, made.parts, build, folder, count, sampler, settings.seed, median, head)
    notes = list(made.notes)
    if language.steps is None and "steps" not in space:
        notes.append(
            "The time budget makes values depend on the machine; with --set language.steps=N they are repeatable."
        )
    return LanguageSearch(job, settings, Path(table.source).name, notes)
