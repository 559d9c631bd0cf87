"""What plants call the columns of their exports: words by which a role is recognised before the content is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

__all__ = [
    "ASSET",
    "END",
    "FAILURE",
    "MAINTENANCE",
    "OUTCOME",
    "QUALITY",
    "START",
    "TAG",
    "TIME",
    "UNIT",
    "VALUE",
    "named",
]

TIME = (
    "time",
    "timestamp",
    "time stamp",
    "datetime",
    "date time",
    "date",
    "ts",
    "t",
    "utc",
    "event time",
    "eventtime",
    "sample time",
    "sampled at",
    "created at",
    "recorded at",
    "zeit",
    "zeitstempel",
    "datum",
)
ASSET = (
    "asset",
    "asset id",
    "asset name",
    "machine",
    "machine id",
    "machineid",
    "unit id",
    "unit number",
    "unit",
    "equipment",
    "equipment id",
    "equipment name",
    "device",
    "device id",
    "engine",
    "engine id",
    "pump",
    "pump id",
    "turbine",
    "turbine id",
    "vehicle",
    "vehicle id",
    "plant",
    "line",
    "station",
    "run",
    "run id",
    "batch",
    "batch id",
    "serial",
    "serial number",
    "maschine",
    "anlage",
)
TAG = (
    "tag",
    "tag name",
    "tagname",
    "tag id",
    "variable",
    "parameter",
    "param",
    "measurement",
    "measurement name",
    "measure",
    "signal",
    "signal name",
    "sensor",
    "sensor id",
    "sensor name",
    "point",
    "point name",
    "channel",
    "metric",
    "kpi",
    "item",
    "item id",
    "node",
    "node id",
    "attribute",
    "field",
    "key",
    "feature",
    "messstelle",
)
VALUE = (
    "value",
    "val",
    "values",
    "reading",
    "measured value",
    "measurement value",
    "tag value",
    "sensor value",
    "pv",
    "v",
    "wert",
    "messwert",
    "result",
)
QUALITY = (
    "quality",
    "quality code",
    "qual",
    "q",
    "status",
    "status code",
    "opc quality",
    "good",
    "is good",
    "state",
    "confidence",
)
UNIT = (
    "unit",
    "units",
    "uom",
    "eng units",
    "engunits",
    "engineering unit",
    "engineering units",
    "unit of measure",
    "einheit",
)
START = ("start", "from", "begin", "start time", "started", "started at", "start date", "starttime", "beginn", "von")
END = (
    "end",
    "to",
    "until",
    "end time",
    "ended",
    "ended at",
    "finish",
    "finished",
    "end date",
    "endtime",
    "ende",
    "bis",
)
FAILURE = ("fail", "fault", "breakdown", "incident", "outage", "ausfall", "störung")
MAINTENANCE = ("maint", "repair", "service", "servic", "replac", "overhaul", "comp", "wartung", "instandhaltung")
# Of an attribute: known only when the record is over.
OUTCOME = (
    "fail",
    "fault",
    "breakdown",
    "rul",
    "remaining",
    "lifetime",
    "end of life",
    "died",
    "death",
    "scrapp",
    "outcome",
)


def plain(name: object) -> str:
    """Return a column's name in small letters, with spaces between its words and without a unit in brackets.

    >>> plain("Time_Stamp [UTC]"), plain("MachineID")
    ('time stamp', 'machine id')
    """
    text = re.sub(r"\s*[\[(][^\])]*[\])]\s*$", "", str(name))
    text = re.sub(r"(?<=[a-zäöü])(?=[A-Z])", " ", text)
    return " ".join(re.split(r"[\s_\-.]+", text.strip().lower()))


def named(columns: Iterable[object], words: Collection[str]) -> list[str]:
    """Return the columns whose name is one of the words, in the order of the words.

    >>> named(["flow", "Timestamp", "time"], TIME)
    ['time', 'Timestamp']
    """
    order = {word: at for at, word in enumerate(words)}
    found = [(order[plain(name)], at, str(name)) for at, name in enumerate(columns) if plain(name) in order]
    return [name for _, _, name in sorted(found)]


def hints(name: object, words: Collection[str]) -> bool:
    """Tell whether a word of a name begins with one of the words.

    >>> hints("total_failures", FAILURE), hints("default", FAILURE)
    (True, False)
    """
    text = plain(name)
    return any(re.search(rf"(?<![a-z]){re.escape(word)}", text) for word in words)
