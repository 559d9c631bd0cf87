"""An engineer's own rules: what fires, what never may, messages about wrong files, and streams as batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise.contracts.about import About, Variable
from faultwise.contracts.errors import DataError
from faultwise.tables.checks.rules import Condition, Reason, Rule, Rules, from_limits, read_rules
from faultwise.verdicts.stretches import stretches

NAN = float("nan")
EXAMPLE = """
rules:
  - name: Reactor pressure high
    variable: XMEAS(7)
    above: 2895
    for: 5
  - name: Level falls fast
    variable: XMEAS(8)
    falls_by: 10
    within: 20
  - name: Hot although cooled
    all:
      - {variable: XMEAS(9), above: 121}
      - {variable: XMV(10), above: 60, for: 2}
    for: 3
    note: Check the cooling water valve.
"""


def rules(*entries: dict[str, Any]) -> Rules:
    return Rules.from_dict({"rules": [{"name": f"R{at}", **entry} for at, entry in enumerate(entries)]})


def fires(entry: dict[str, Any], cells: list[Any], runs: str | None = None) -> list[int]:
    """Positions at which one rule about `v` (unless it says otherwise) fires; `runs` has a letter for each row."""
    frame = pd.DataFrame({"v": cells})
    ids = stretches(np.array(list(runs or "a" * len(cells))))
    entry = entry if {"all", "any"} & set(entry) else {"variable": "v", **entry}
    return np.flatnonzero(rules(entry).fired(frame, ids)[:, 0]).tolist()


def refusal(*entries: Any) -> str:
    with pytest.raises(DataError) as refused:
        Rules.from_dict({"rules": list(entries)}, "plant.yaml")
    return str(refused.value)


@pytest.mark.parametrize(
    ("entry", "cells", "where"),
    [
        ({"above": 5}, [5, 5.1, NAN, 6], [1, 3]),
        ({"below": -1}, [-1, -2, NAN, 0], [1]),
        ({"outside": [1, 2]}, [0.9, 1, 1.5, 2, 2.1, NAN], [0, 4]),
        ({"above": 5}, ["5", " 6 ", "7,5", "bad", None, "1e2"], [1, 5]),
        ({"above": 5}, [np.inf, -np.inf, 6], [2]),
        ({"missing": True}, [1.0, NAN, np.inf], [1, 2]),
        ({"missing": True}, ["a", None, " ", "n/a", "None"], [1, 2, 3]),
        ({"is": "open"}, ["open", " open ", "Open", None, "opened"], [0, 1]),
        ({"is": 4}, [4, 4.0, 4.1, NAN], [0, 1]),
        ({"is": 4}, ["4", "4.0", "four", None], [0, 1]),
        ({"is": "4"}, [4.0, 5.0, NAN], [0]),
        ({"is": "open"}, [1.0, NAN], []),
        ({"is": True}, ["True", "true", "YES", "on", "On ", "1", "off", "open", None], [0, 1, 2, 3, 4, 5]),
        ({"is": False}, ["False", "NO", "off", "0", "none", None], [0, 1, 2, 3]),
        ({"is": True}, [1, 0, NAN, 2], [0]),
        ({"is": False}, [True, False], [1]),
        ({"is": "nan"}, ["a", None], []),
        ({"rises_by": 2, "within": 1}, [0, 2, 3, 5.5, NAN, 9, 11], [1, 3, 6]),
        ({"falls_by": 2, "within": 2}, [5, 4, 3, 3, 1], [2, 4]),
        ({"changes_by": 2, "within": 1}, [0, 2, 0, 1, 3], [1, 2, 4]),
        ({"changes_by": 1, "within": 9}, [0, 5, 10], []),
        ({"rises_by": 1, "within": 1}, [-1e308, 1e308], [1]),
        ({"above": 5, "for": 2}, [6, 6, 6, 1, 6, NAN, 6, 6], [1, 2, 7]),
        ({"missing": True, "for": 2}, [NAN, NAN, 1, NAN], [1]),
        ({"rises_by": 1, "within": 1, "for": 2}, [0, 1, 2, 2, 3], [2]),
    ],
)
def test_each_condition(entry: dict[str, Any], cells: list[Any], where: list[int]) -> None:
    assert fires(entry, cells) == where


def test_dates_and_unusual_types_are_no_numbers() -> None:
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime(["2024-01-01", None]),
            "nullable": pd.array([7, None], dtype="Int64"),
            "kinds": pd.Categorical(["open", None]),
            "switch": pd.array([True, None], dtype="boolean"),
        }
    )
    made = rules(
        {"variable": "date", "outside": [-1, 1]},
        {"variable": "date", "missing": True},
        {"variable": "nullable", "above": 5},
        {"variable": "nullable", "missing": True},
        {"variable": "kinds", "is": "open"},
        {"variable": "kinds", "missing": True},
        {"variable": "switch", "is": True},
    )
    fired = made.fired(frame, np.zeros(2, dtype=int))
    assert fired.T.astype(int).tolist() == [[0, 0], [0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0]]


def test_nothing_reaches_over_the_edge_of_a_run() -> None:
    assert fires({"above": 5, "for": 2}, [6, 6, 6, 6], "abbb") == [2, 3]
    assert fires({"rises_by": 1, "within": 1}, [0, 9, 0, 9], "aabb") == [1, 3]
    assert fires({"rises_by": 1, "within": 2}, [0, 0, 9, 9], "aabb") == []


def test_interleaved_runs_are_judged_each_by_itself() -> None:
    assert fires({"above": 5, "for": 2}, [6, 1, 6, 1, 1, 6], "ababab") == [2]
    assert fires({"falls_by": 3, "within": 1}, [9, 0, 8, 0, 5, 0], "ababab") == [4]


def test_combinations() -> None:
    hot, cold = {"variable": "v", "above": 5}, {"variable": "v", "below": 0}
    assert fires({"any": [hot, cold]}, [6, 1, -1, NAN]) == [0, 2]
    assert fires({"any": [hot, cold], "for": 2}, [6, -1, 1, 6]) == [1]
    assert fires({"any": [{**hot, "for": 2}, cold], "for": 2}, [6, 6, -1, 6]) == [2]
    assert fires({"all": [hot, {"variable": "v", "rises_by": 1, "within": 1}]}, [6, 6, 7]) == [2]
    assert fires({"all": [hot, {**hot, "for": 2}], "for": 2}, [6, 6, 6, 1, 6]) == [2]


def test_shapes() -> None:
    made = rules({"variable": "v", "above": 1, "for": 3}, {"variable": "v", "falls_by": 1, "within": 2})
    assert made.fired(pd.DataFrame({"v": []}), np.zeros(0, dtype=int)).shape == (0, 2)
    assert Rules().fired(pd.DataFrame({"v": [1, 2]}), np.zeros(2, dtype=int)).shape == (2, 0)
    with pytest.raises(DataError, match="2 rows and runs of shape"):
        made.fired(pd.DataFrame({"v": [1, 2]}), np.zeros(3, dtype=int))


CELLS = st.sampled_from([0.0, 1.0, 2.0, 3.0, NAN])
SAMPLES = st.integers(1, 4)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    entry: dict[str, Any] = {"variable": draw(st.sampled_from(["v", "w", "text"]))}
    test = draw(st.sampled_from(["above", "below", "outside", "rises_by", "falls_by", "changes_by", "is", "missing"]))
    if test in ("rises_by", "falls_by", "changes_by"):
        entry["within"] = draw(SAMPLES)
    entry[test] = {"outside": [0.5, 2.5], "missing": True, "is": draw(st.sampled_from([1, "on", True]))}.get(test, 1)
    return {**entry, "for": draw(SAMPLES)}


RULES = st.one_of(
    entries(),
    st.builds(
        lambda how, inner, lasting: {how: inner, "for": lasting},
        st.sampled_from(["all", "any"]),
        st.lists(entries(), min_size=1, max_size=3),
        SAMPLES,
    ),
)
ROWS = st.tuples(st.sampled_from("ab"), CELLS, CELLS, st.sampled_from(["on", "1", "2", "true", None]))


def table(rows: list[tuple[Any, ...]]) -> tuple[pd.DataFrame, np.ndarray]:
    frame = pd.DataFrame(rows, columns=["run", "v", "w", "text"])
    return frame, np.array([ord(run) for run in frame["run"]], dtype=int)


@settings(deadline=None)
@given(st.lists(RULES, min_size=1, max_size=4), st.lists(ROWS, min_size=1, max_size=24), st.data())
def test_a_stream_with_memory_gives_what_the_batch_gives(
    drawn: list[dict[str, Any]], rows: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    made = rules(*drawn)
    frame, ids = table(rows)
    whole = made.fired(frame, ids)
    kept: dict[int, list[int]] = {}
    start = 0
    while start < len(frame):
        stop = data.draw(st.integers(start + 1, len(frame)))
        earlier = sorted(at for run in kept.values() for at in run)
        chunk = [*earlier, *range(start, stop)]
        # A chunk's columns may be of other types than the whole's: all missing, or numbers only.
        part = table([rows[at] for at in chunk])[0]
        np.testing.assert_array_equal(made.fired(part, ids[chunk])[len(earlier) :], whole[start:stop])
        for at in range(start, stop):
            run = kept.setdefault(ids[at], [])
            run.append(at)
            del run[: max(0, len(run) - made.memory)]
        start = stop


@settings(deadline=None)
@given(RULES, st.lists(ROWS, min_size=1, max_size=12))
def test_a_rule_that_fired_has_reasons(drawn: dict[str, Any], rows: list[tuple[Any, ...]]) -> None:
    made = rules(drawn)
    frame, ids = table([("a", *row[1:]) for row in rows])
    for position, fired in enumerate(made.fired(frame, ids)[:, 0]):
        found = made.reasons(0, frame, position)
        assert all(reason.samples <= min(made.memory, position) + 1 for reason in found)
        assert bool(found) >= fired
        if made.rules[0].how == "all":
            assert fired == (len(found) == len(made.rules[0].conditions))


@settings(deadline=None)
@given(st.lists(RULES, max_size=4))
def test_round_trip(drawn: list[dict[str, Any]]) -> None:
    made = rules(*drawn)
    again = Rules.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again.to_dict() == made.to_dict()
    assert (again.memory, again.variables) == (made.memory, made.variables)


def test_the_example_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    made = read_rules(path)
    assert made.variables == ("XMEAS(7)", "XMEAS(8)", "XMEAS(9)", "XMV(10)")
    assert [rule.memory for rule in made.rules] == [4, 20, 3]
    assert made.memory == 20
    assert made.rules[0] == Rule("Reactor pressure high", (Condition("XMEAS(7)", "above", 2895.0, lasting=5),))
    assert made.rules[2].note == "Check the cooling water valve."
    assert Rules.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_reasons() -> None:
    made = rules(
        {"variable": "p", "above": 5, "for": 2},
        {"variable": "p", "falls_by": 3, "within": 2},
        {"any": [{"variable": "valve", "is": True}, {"variable": "t", "missing": True}], "for": 2},
        {"all": [{"variable": "p", "outside": [1, 5]}, {"variable": "valve", "is": "on"}], "for": 2},
    )
    frame = pd.DataFrame({"p": [9, 8, 6], "valve": ["off", "on", "on"], "t": [1, 1, NAN]})
    assert made.fired(frame, np.zeros(3, dtype=int))[2].all()
    assert made.reasons(0, frame, 2) == (Reason("p", 6.0, None, 5.0, "limit", 2, "above 5 for 2 samples"),)
    assert made.reasons(1, frame, 2) == (
        Reason("p", -3.0, -3.0, None, "rate", 3, "falls by 3 or more within 2 samples"),
    )
    assert made.reasons(2, frame, 2) == (
        Reason("valve", "on", None, None, "category", 1, "is true"),
        Reason("t", None, None, None, "missing", 1, "missing"),
    )
    assert [reason.text for reason in made.reasons(3, frame, 2)] == [
        "outside 1 to 5 for 2 samples",
        "is on for 2 samples",
    ]
    assert made.reasons(0, frame, 0) == ()
    with pytest.raises(IndexError):
        made.reasons(0, frame, 3)


def test_missing_columns_are_named_with_the_nearest() -> None:
    made = rules({"variable": "XMEAS(7)", "above": 1}, {"variable": "level", "above": 1})
    with pytest.raises(DataError, match=r"`xmeas\(7\)`.*`level`") as refused:
        made.fired(pd.DataFrame({"xmeas(7)": [1], "q": [2]}), np.zeros(1, dtype=int))
    assert "did you mean `xmeas(7)`?" in str(refused.value)
    made.check(["level", "XMEAS(7)", "other"])


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"variable": "v", "abvoe": 1, "above": 2}, "unknown key `abvoe` (did you mean `above`?)"),
        ({"variable": "v", "above": 1, "zzz": 1}, "unknown key `zzz` (known: `name`, `variable`"),
        ({"variable": "v", "above": 1, "below": 2}, "`above` and `below`, expected one of"),
        ({"variable": "v"}, "no condition, expected one of"),
        ({"above": 1}, "no variable"),
        ({"variable": True, "above": 1}, "no variable"),
        ({"variable": "v", "above": 1, "for": 0}, "`for` is 0, expected a whole number"),
        ({"variable": "v", "above": 1, "for": 2.5}, "`for` is 2.5"),
        ({"variable": "v", "above": 1, "for": True}, "`for` is True"),
        ({"variable": "v", "above": 1, "for": "5 min"}, "`for` is '5 min'"),
        ({"variable": "v", "above": 1, "for": 10**9}, "`for` is 1000000000"),
        ({"variable": "v", "rises_by": 1, "within": 0}, "`within` is 0"),
        ({"variable": "v", "rises_by": 1}, "add `within:`"),
        ({"variable": "v", "above": 1, "within": 2}, "leave `within` out"),
        ({"variable": "v", "above": "hot"}, "`above` is 'hot', expected a number"),
        ({"variable": "v", "above": "1,5"}, "`above` is '1,5', expected a number"),
        ({"variable": "v", "above": None}, "`above` is None, expected a number"),
        ({"variable": "v", "below": True}, "`below` is True, expected a number"),
        ({"variable": "v", "below": NAN}, "`below` is nan, expected a number"),
        ({"variable": "v", "below": 10**400}, "expected a number"),
        ({"variable": "v", "falls_by": -1, "within": 1}, "`falls_by` is -1, expected a number above 0"),
        ({"variable": "v", "outside": [2, 1]}, "expected two ascending numbers"),
        ({"variable": "v", "outside": [1, "x"]}, "expected two ascending numbers"),
        ({"variable": "v", "outside": 3}, "expected two ascending numbers"),
        ({"variable": "v", "missing": False}, "`missing` is False, expected true"),
        ({"variable": "v", "is": " "}, "`is` is ' ', expected a word or a number"),
        ({"variable": "v", "is": ["a"]}, "expected a word or a number"),
        ({"all": []}, "`all` is [], expected a list of conditions"),
        ({"any": "hot"}, "`any` is 'hot', expected a list of conditions"),
        ({"any": ["hot"]}, "entry 1 of `any` is 'hot', expected"),
        ({"all": [{"variable": "v", "above": 1}], "any": []}, "`all` beside `any`"),
        ({"all": [{"variable": "v", "above": 1}], "above": 2}, "`all` beside `above`"),
        ({"all": [{"any": [{"variable": "v", "above": 1}]}]}, "entry 1 of `all`: unknown key `any`"),
        ({"all": [{"variable": "v", "above": 1, "note": "x"}]}, "entry 1 of `all`: unknown key `note`"),
        ({"variable": "v", "above": 1, "note": True}, "`note` holds no words"),
    ],
)
def test_bad_entries(entry: dict[str, Any], words: str) -> None:
    message = refusal({"name": "R", **entry})
    assert message.startswith("`plant.yaml`: rule `R`")
    assert words in message


def test_all_errors_are_named_together() -> None:
    message = refusal(
        {"variable": "v", "above": 1},
        {"name": "A", "variable": "v", "above": "x", "for": 0},
        {"name": "A", "above": 1},
        "text",
    )
    for words in (
        "rule 1 has no name",
        "`above` is 'x'",
        "`for` is 0",
        "no variable",
        "2 rules are named `A`",
        "rule 4",
    ):
        assert words in message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "is empty; expected `rules:`"),
        ({}, "is empty"),
        ({"rules": None}, "expected `rules:`"),
        ([1], "holds [1]; expected"),
        ({"rules": [], "rule": 1}, "unknown key `rule` (did you mean `rules`?)"),
    ],
)
def test_bad_files_as_data(raw: object, words: str) -> None:
    with pytest.raises(DataError) as refused:
        Rules.from_dict(raw)
    assert words in str(refused.value)
    assert Rules.from_dict({"rules": []}) == Rules()


def read(folder: Path, text: str | bytes) -> Rules:
    path = folder / "rules.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_rules(path)


def test_yaml_quirks(tmp_path: Path) -> None:
    head = "rules:\n- {name: %s, variable: v, %s}"
    for word, meant in (("on", True), ("yes", True), ("No", False), ("'on'", "on"), ("1e5", 1e5), ("open", "open")):
        assert read(tmp_path, head % ("A", f"is: {word}")).rules[0].conditions[0].limit == meant
    assert read(tmp_path, head % ("7", "above: 1e-3")).rules[0].name == "7"
    with pytest.raises(DataError, match="no name"):
        read(tmp_path, head % ("on", "above: 1"))
    with pytest.raises(DataError, match="expected a word or a number"):
        read(tmp_path, head % ("A", "is: 2024-01-01"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("rules: [", "is not a readable YAML file"),
        ("rules:\n\t- name: A", "line 2: "),
        (b"\xff\xfe\x00", "is not a readable YAML file"),
        ("!!python/object/apply:os.system [echo]", "is not a readable YAML file"),
        ("rules: !!bool maybe", "is not a readable YAML file"),
        ("a: 1\n---\nb: 2", "is not a readable YAML file"),
        ("[" * 5000, "is not a readable YAML file"),
        ("rules: &a\n- *a", "...]]]]]]], expected keys like"),
        (f"rules:\n- name: 0x{'F' * 6000}", "is not a readable YAML file"),
        ("rules:\n- {name: A, variable: v, above: 1, above: 2}", "line 2 on has `above` more than once"),
    ],
)
def test_bad_files(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, text)
    assert words in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no rules file"):
        read_rules(tmp_path / "none.yaml")
    with pytest.raises(DataError, match="is not a readable"):
        read_rules(tmp_path)


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["name", "variable", "above", "outside", "is", "for", "within", "all", "any", "x"]), inner),
    max_leaves=12))  # fmt: skip
def test_any_mapping_is_read_or_refused(raw: object) -> None:
    try:
        made = Rules.from_dict({"rules": [raw]})
    except DataError:
        return
    assert Rules.from_dict(made.to_dict()) == made


def test_limits_of_the_companion() -> None:
    about = About(
        variables={
            "p": Variable(name="Reactor pressure", high=2895),
            "a": Variable(name="Level", low=2.0, high=5.0),
            "b": Variable(name="Level", low=1.0),
            "c": Variable(unit="Nm", low=float("-inf")),
        }
    )
    made = from_limits(about)
    assert [rule.name for rule in made.rules] == [
        "Reactor pressure above its operating limit",
        "Level (a) below its operating limit",
        "Level (a) above its operating limit",
        "Level (b) below its operating limit",
    ]
    assert made.memory == 0
    assert Rules.from_dict(made.to_dict()) == made
    assert from_limits(About()) == Rules()


def test_merged_lets_the_other_win() -> None:
    first = rules({"variable": "v", "above": 1}, {"variable": "v", "above": 2})
    other = Rules.from_dict({"rules": [{"name": "R0", "variable": "w", "below": 1}]}, "mine.yaml")
    both = first.merged(other)
    assert [rule.name for rule in both.rules] == ["R0", "R1"]
    assert both.rules[0] == other.rules[0]
    assert both.source == "rules and mine.yaml"
    assert first.merged(Rules()) == first
