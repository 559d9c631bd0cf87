"""Cleaning of texts: what identifies becomes a mark, misspelt words find the fit's own spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise.texts.cleaning import Cleaner, one_letter_apart, read_synonyms
from faultwise.texts.near_duplicates import groups_of
from faultwise.texts.writing import csv_text


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_cleaned_and_stays_clean(text: str) -> None:
    cleaner = Cleaner.fit([text])
    once = cleaner(text)
    assert cleaner(once) == once or "<" in once
    assert Cleaner(on=False)(text) == " ".join(text.split())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("abc ", max_size=12), min_size=1, max_size=25))
def test_equal_texts_are_always_in_one_group(texts: list[str]) -> None:
    groups = groups_of(texts + texts)
    known = [at for at, text in enumerate(texts) if text.split()]
    assert all(groups[at] == groups[len(texts) + at] for at in known)


@pytest.mark.parametrize("typed", ["bering", "bearnig", "beraing", "bearinng", "beering"])
def test_a_typing_error_is_read_as_the_known_word(typed: str) -> None:
    cleaner = Cleaner.fit(["bearing worn", "bearing noisy", "bearing hot"])
    assert cleaner(f"{typed} worn") == "bearing worn"
    assert typed in one_letter_apart("bearing") or "bearing" in one_letter_apart(typed)


def test_words_of_the_fit_are_never_changed_but_by_the_list() -> None:
    cleaner = Cleaner.fit(["leak here", "leaks there", "leak again", "leak once more"])
    assert cleaner("leaks") == "leaks"
    assert Cleaner.fit(["brg worn"], given={"brg": "bearing"})("BRG worn") == "bearing worn"


def test_the_list_is_written_and_read(tmp_path: Path) -> None:
    file = tmp_path / "synonyms.csv"
    file.write_text(csv_text([("word", "for"), ("brg", "bearing"), ("bearng", "brg")]))
    assert read_synonyms(file) == {"brg": "bearing", "bearng": "bearing"}
