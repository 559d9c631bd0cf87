"""How a table is to be read: which column plays which role, which shape it has, where its labels are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from faultwise.contracts.settings import option, refuse_problems

__all__ = ["TableReading", "kept", "later"]

_ALL = ("fit", "evaluate", "diagnose", "calibrate")


@dataclass(frozen=True, slots=True)
class TableReading:
    """How a table is to be read. What the fit was told is kept with it and holds for later files, too."""

    target: str | None = option(None, "column with the label (fault)", "COL", flags=("fit", "evaluate", "calibrate"))
    group: str | None = option(None, "column with the run, batch or machine of each row", "COL", flags=("fit",))
    time: str | None = option(
        None, "column with the time of each row: rows are sorted by it, and windows end at gaps", "COL", flags=("fit",)
    )
    ignore: tuple[str, ...] = option((), "columns to leave out", "A,B", flags=("fit",))
    events: str | None = option(
        None,
        "table of events (asset, start, end or duration, fault) that gives rows their labels",
        "FILE",
        flags=("fit", "evaluate", "calibrate"),
    )
    before: str | None = option(
        None, "rows this long before an event get its label (such as 24h): a forecast", "SPAN", flags=("fit",)
    )
    join: tuple[str, ...] = option(
        (), "other tables: attributes of assets, maintenance, errors, slow measurements", "FILE,FILE", flags=_ALL
    )
    max_age: str | None = option(
        None,
        "oldest value that a slow measurement, or a tag between its lines, may have (such as 8h)",
        "SPAN",
        quiet=("fit",),
    )
    query: str | None = option(
        None,
        "SQL that reads the rows from the source (which is called `source` in it)",
        "SQL",
        flags=("fit",),
        quiet=("evaluate", "diagnose", "calibrate"),
    )
    sheet: str | None = option(
        None, "sheet of a workbook, or table, group or variable of a file that holds several", "NAME", quiet=_ALL
    )
    long: tuple[str, ...] = option(
        (),
        "columns of tag and value of a table with a line per measurement, or none (default: recognised)",
        "TAG,VALUE",
        quiet=_ALL,
    )
    variants: str = option(
        "merge",
        "what becomes of labels that differ in case or spaces alone: one label, or kept apart",
        "KIND",
        choices=("merge", "keep"),
        quiet=("fit",),
    )
    fill_labels: str = option(
        "no",
        "whether a label holds for the rows after it in its run, until the next label",
        "KIND",
        choices=("no", "forward"),
        quiet=("fit", "evaluate", "calibrate"),
    )
    about: str | None = option(None, "companion YAML: names, units, limits, fault descriptions", "FILE", flags=("fit",))
    rules: str | None = option(
        None, "YAML file of your own rules, checked on every diagnosed row", "FILE", quiet=("fit",)
    )

    def __post_init__(self) -> None:
        refuse_problems(self)


def kept(reading: TableReading) -> dict[str, object]:
    """Return what holds for later files, too, as JSON: not the files of labels, other tables and companions.

    >>> kept(TableReading(time="t", events="failures.csv"))
    {'time': 't'}
    """
    of_one_source = ("events", "join", "about", "rules", "query", "sheet")
    default = asdict(TableReading())
    given = {name: value for name, value in asdict(reading).items() if name not in of_one_source}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value != default[name]
    }


def later(of_fit: TableReading, now: TableReading | None) -> TableReading:
    """Return how a file after the fit is to be read: as the fit's, where nothing else is value for now.

    >>> made = later(TableReading(time="t", join=("errors.csv",)), TableReading(long=("none",)))
    >>> made.time, made.join, made.long
    ('t', (), ('none',))
    """
    default, given = TableReading(), now or TableReading()
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in kept(of_fit).items()}
    values |= {
        one.name: value for one in fields(given) if (value := getattr(given, one.name)) != getattr(default, one.name)
    }
    return replace(default, **values)  # type: ignore[arg-type]
