"""Cleaning of texts before an expert reads them: letters, marks for what identifies and does not describe, spellings.

Tags of assets, dates and numbers become marks, so that a model learns what happened and not to which pump. Rare words
are taken for misspellings of frequent ones that differ in one letter; the list (`synonyms`) is learnt from the texts of
a fit, kept as `synonyms.csv` in the run folder, and can be given by hand (abbreviations belong there, too).
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faultwise.contracts.errors import DataError

__all__ = ["Cleaner", "one_letter_apart", "read_synonyms"]

_SPACES = re.compile(r"\s+")
_DATE = re.compile(r"\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b|\b\d{1,2}:\d{2}(:\d{2})?\b")
# Letters and digits in one word, perhaps with dashes: P-101A, CWC04701, TT_3305.
_TAG = re.compile(r"\b[a-z]{1,6}[-_]?\d[\w-]*\b")
_NUMBER = re.compile(r"(?<![\w-])[+-]?\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]+")
_FREQUENT, _LEAST_LETTERS, _MOST_SPELT = 3, 5, 25
_MOST_LETTERS = 100_000  # of a text: beyond, nothing is read


@dataclass(frozen=True, slots=True)
class Cleaner:
    """What is done to a text: nothing (`on` False), or all of it. `synonyms` maps words to those that stand for them,
    `known` counts the words of the fit's texts.
    """

    on: bool = True
    synonyms: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def fit(cls, texts: Iterable[str], on: bool = True, given: Mapping[str, str] | None = None) -> Cleaner:
        """Learn spellings from texts; a list that is `given` takes the place of the learnt one.

        >>> made = Cleaner.fit(["pump failure", "failure of seal", "valve failure", "pump falure"])
        >>> made("Pump P-101A falure on 3/4/2021, 12.5 bar")
        'pump <tag> failure on <date>, <number> bar'
        """
        plain = cls(on)
        counts = Counter(word for text in texts for word in _WORD.findall(plain(text)))
        synonyms = dict(given) if given is not None else _misspellings(counts) if on else {}
        return cls(on, synonyms, dict(counts))

    def __call__(self, text: str) -> str:
        """Return the text as an expert reads it."""
        text = text[:_MOST_LETTERS]
        if not self.on:
            return _SPACES.sub(" ", text).strip()
        plain = _SPACES.sub(" ", unicodedata.normalize("NFKC", text).lower()).strip()
        for pattern, mark in ((_DATE, "<date>"), (_TAG, "<tag>"), (_NUMBER, "<number>")):
            plain = pattern.sub(mark, plain)
        return _WORD.sub(lambda found: self._spelt(found.group()), plain)

    def _spelt(self, word: str) -> str:
        """Return a word as the fit's texts spell it: by the list, or as the commonest known word one letter away."""
        if word in self.synonyms:
            return self.synonyms[word]
        if not self.known or word in self.known or not _LEAST_LETTERS <= len(word) <= _MOST_SPELT:
            return word
        near = [other for other in one_letter_apart(word) if other in self.known]
        return max(near, key=lambda other: (self.known[other], other), default=word)


def one_letter_apart(word: str) -> set[str]:
    """Return the spellings that one letter more, less, another or two exchanged make, but for another first letter.

    >>> {"valve", "vlve", "vavle"} <= one_letter_apart("vavlve") | one_letter_apart("valve")
    True
    """
    cuts = [(word[:at], word[at:]) for at in range(1, len(word) + 1)]
    letters = "abcdefghijklmnopqrstuvwxyzäöüßéèñ"
    return {
        *(a + b[1:] for a, b in cuts if b),
        *(a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1),
        *(a + c + b[1:] for a, b in cuts if b for c in letters),
        *(a + c + b for a, b in cuts for c in letters),
    }


def _misspellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Return rare words with the frequent word that they differ from in one letter; forms of a word are kept apart."""
    made = {}
    for word, count in counts.items():
        if count > 1 or not _LEAST_LETTERS <= len(word) <= _MOST_SPELT:
            continue
        near = [
            other for other in one_letter_apart(word) if counts.get(other, 0) >= _FREQUENT and not _forms(word, other)
        ]
        if near:
            made[word] = max(near, key=lambda other: (counts[other], other))
    return made


def _forms(a: str, b: str) -> bool:
    """Tell whether two words differ in their ending alone: `leak` and `leaks` are both words."""
    short, long = sorted((a, b), key=len)
    same = len(short) == len(long)
    return long.startswith(short) or (same and a[:-1] == b[:-1])


def read_synonyms(path: str | Path) -> dict[str, str]:
    """Read a list of words and what stands for them: two columns, `word` and `for`. Raises DataError."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as opened:
            rows = [row for row in csv.reader(opened) if row]
    except FileNotFoundError:
        raise DataError(f"There is no file `{path}`: check the path of --synonyms.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"`{path}` cannot be read as a list of synonyms ({error}): expected CSV in UTF-8.") from None
    wrong = next((at for at, row in enumerate(rows, 1) if len(row) != 2 or not row[0].strip()), None)
    if wrong is not None:
        raise DataError(f"Line {wrong} of `{path}` is no pair; expected `word,for`, such as `brg,bearing`.")
    header = rows[:1] == [["word", "for"]]
    made = {word.strip().lower(): other.strip().lower() for word, other in rows[header:]}
    return {word: _end_of(word, made) for word in made}


def _end_of(word: str, synonyms: Mapping[str, str]) -> str:
    """Follow a chain of synonyms to its end. Raises DataError for a circle."""
    seen = [word]
    while (after := synonyms.get(seen[-1])) is not None and after != seen[-1]:
        if after in seen:
            raise DataError(f"The synonyms lead in a circle: {' to '.join([*seen, after])}. Remove one of them.")
        seen.append(after)
    return seen[-1]
