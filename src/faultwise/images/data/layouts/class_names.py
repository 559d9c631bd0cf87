"""Which label means a good part: words that people give to folders and classes of images."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["good_names", "is_bad", "is_good", "is_part", "part_of"]

_GOOD = {
    *("good", "ok", "okay", "normal", "norm", "pass", "passed", "accept", "accepted", "healthy", "intact", "perfect"),
    *("flawless", "clean", "undamaged", "unbroken", "conforming", "conform", "nominal", "free", "faultless", "fine"),
    *("nondefective", "nodefect", "nodefects", "defectfree", "faultfree", "errorfree", "anomalyfree"),
    *("io", "gut", "gutteil", "gutteile", "fehlerfrei", "bon", "conforme", "bueno", "buono", "goed"),
}
_BAD = {
    *("bad", "ng", "nok", "nio", "abnormal", "anomaly", "anomalies", "anomalous", "defect", "defects", "defective"),
    *("def", "fail", "failed", "failure", "reject", "rejected", "rejects", "fault", "faults", "faulty", "damaged"),
    *("damage", "broken", "scrap", "notgood", "notok", "nonconforming", "ausschuss", "schlecht", "schlechtteil"),
    *("fehler", "fehlerhaft", "mauvais", "malo", "cracked", "unhealthy", "nogood", "ungood", "positive"),
}
_VIEWS = {
    *("front", "back", "rear", "side", "top", "bottom", "left", "right", "upper", "lower", "inner", "outer", "view"),
    *("camera", "cam", "part", "parts", "image", "images", "samples"),
}
_NOT = ("no", "not", "non", "without", "un", "kein", "keine", "ohne", "sans", "sin")
_PARTS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "testset", "val", "valid", "validation", "eval"), "test"),
}


def is_good(name: str) -> bool:
    """Whether a label means good by its name.

    >>> [is_good(name) for name in ("OK", "ok_front", "Non-defective", "MT_Free", "without crack")]
    [True, True, True, True, True]
    >>> [is_good(name) for name in ("NG", "not ok", "abnormal", "crack", "negative", "")]
    [False, False, False, False, False, False]
    """
    words = _words(name)
    joined = "".join(words)
    if joined in _GOOD:
        return True
    if joined in _BAD or not words:
        return False
    if len(words) > 1 and words[0] in _NOT:
        return not any(word in _GOOD for word in words[1:])
    return any(word in _GOOD for word in words) and not any(word in _BAD or word in _NOT for word in words)


def is_bad(name: str) -> bool:
    """Whether a label means defective in general and names no type.

    >>> is_bad("NG"), is_bad("def_front"), is_bad("crack")
    (True, True, False)
    """
    words = _words(name)
    return "".join(words) in _BAD or (bool(words) and words[0] in _BAD and len(words) == 2 and words[1] not in _GOOD)


def good_names(names: Iterable[str], normal: str | None = None) -> list[str]:
    """Return those of all labels that mean good: the one that is named (whatever its case), or by their names.

    "negative" beside "positive" is good: a test for defects found none.

    >>> good_names(["Negative", "Positive"]), good_names(["a", "B"], "b"), good_names(["a", "b"])
    (['Negative'], ['B'], [])
    >>> good_names(["ok", "ok_front", "fine_scratch", "dent"])
    ['ok', 'ok_front']
    """
    names = list(names)
    if normal is not None:
        return [name for name in names if name.strip().lower() == normal.strip().lower()]
    found = [name for name in names if is_good(name)]
    if any("".join(_words(name)) in _GOOD for name in found):  # then `fine_scratch` beside `ok` is a kind of defect
        found = [name for name in found if _plain(name)]
    if not found and {"negative", "positive"} <= {name.lower() for name in names}:
        found = [name for name in names if name.lower() == "negative"]
    return found


def _plain(name: str) -> bool:
    """Whether a name means good and says no more than from where the part was seen, or which one it is."""
    words = _words(name)
    rest = [word for word in words if word not in _GOOD]
    return words[0] in _NOT or all(word in _VIEWS or word.isdigit() or len(word) < 3 for word in rest)


def part_of(name: str) -> str:
    """Return "train" or "test" for the name of such a part of a set, "" for others.

    >>> part_of("Train"), part_of("valid"), part_of("instances_val2017"), part_of("good")
    ('train', 'test', 'test', '')
    """
    words = _words(name)
    return next((_PARTS[word] for word in words if word in _PARTS), "")


def is_part(name: str) -> bool:
    """Whether a name is that of a part of a set and nothing else: `train`, `val`, `test`."""
    return "".join(_words(name)) in _PARTS


def _words(name: str) -> list[str]:
    """Return a name's words in lower case, without digits and signs: `okFront_2` is ok, front."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", apart)]
