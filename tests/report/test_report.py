"""Reports: the same words in HTML, Markdown, text and JSON; hostile data stays text; files are whole or old.

The golden file is compared exactly. Regenerate it with FAULTWISE_REGEN=1 pytest tests/test_report.py.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise.contracts.diagnosis import Case, Diagnosis, Picture, RunSummary, Sentence, Series
from faultwise.contracts.errors import UserError
from faultwise.contracts.findings import (
    Finding,
    Interval,
    NeighbourFinding,
    RegionFinding,
    RuleFinding,
    SensorFinding,
    StatementFinding,
    VariableFinding,
    WordFinding,
)
from faultwise.contracts.verdicts import FaultSet, Verdict
from faultwise.evidence.sentences import sentence_of
from faultwise.report import plots, words
from faultwise.report.html import render_html
from faultwise.report.markdown import escape, render_markdown
from faultwise.report.save import render_json, save_report
from faultwise.report.text import render_text
from faultwise.runs import files as save
from faultwise.runs.files import write_atomic
from faultwise.runs.tables import write_csv

GOLDEN = Path(__file__).parents[1] / "golden" / "report.md"
INTERVAL = Interval("run 7", 141, 160, "2024-03-05 14:00", "2024-03-05 14:57")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=1>',
    "javascript:alert(1)",
    '=HYPERLINK("http://evil.example","x")',
    "{{7*7}}",
    "</svg></style></title>",
    "\x1b[31mred\x1b[0m",
    "abc\u202edcba",
    "![x](http://evil.example/a.png) www.evil.example me@evil.example",
    "| # `code` **bold**",
    "\ud800 lone",
)


def _verdict() -> Verdict:
    return Verdict(
        label="4",
        probability=0.931,
        probabilities={"0": 0.012, "4": 0.931, "11": 0.038, **{str(i): 0.019 / 7 for i in range(12, 19)}},
        detected=True,
        fault_score=0.988,
        threshold=0.62,
        false_alarm_rate=0.01,
        fault_set=FaultSet(("4", "11")),
        label_description="step in the cooling water temperature",
        by_expert={"random-forest": {"4": 0.88, "0": 0.12}, "svm": {"11": 0.6, "4": 0.4}},
    )


def _findings() -> tuple[VariableFinding, ...]:
    flow = VariableFinding("F1", "fusion", "XMV(10)", "mean", 45.6, 39.8, 42.4, 9.04, "high", 3.41, INTERVAL)
    flow = replace(flow, name="Cooling water flow", unit="%", description="Opens when it gets warmer")
    narrow = VariableFinding("F2", "fusion", "XMEAS(9)", "value", 120.52, 120.32, 120.48, -4.0, "low", -1.9, INTERVAL)
    empty = VariableFinding("F3", "fusion", "valve", "category", None, None, None, None, "missing", 0.1, INTERVAL)
    return (
        flow,
        narrow,
        replace(empty, name=None),
        replace(empty, id="F4", value="open", direction="unusual"),
    )


def _series() -> tuple[Series, ...]:
    values = tuple(41 + math.sin(i / 5) + (5 if i > 120 else 0) for i in range(200))
    flow = Series("XMV(10)", "Cooling water flow", "%", tuple(range(200)), values, 39.8, 42.4)
    return (flow, Series("XMEAS(9)", "XMEAS(9)", None, (0, 1, 2), (math.nan, 120.5, math.inf), None, 120.48))


def make_diagnosis() -> Diagnosis:
    """Return a small diagnosis that uses every field of the records."""
    story = (
        Sentence("The plant is not normal: fault 4 is the most likely cause."),
        Sentence("The cooling water flow is far above its normal range.", ("F1",)),
    )
    case = Case("run 7", _verdict(), _findings(), story, 160, INTERVAL, _series())
    runs = (
        RunSummary("run 7", 200, 181, 60, "4", 0.9, 121, "2024-03-05 13:00"),
        RunSummary("run 8", 200, 181, 0, None, math.nan, None),
    )
    leaderboard = (
        {"expert": "fused", "accuracy": 0.9, "log_loss": 0.61234, "rows": 16800},
        {"expert": "svm", "accuracy": 0.875, "rows": 16800, "mean_recall": math.nan},
    )
    provenance = {"seed": 20240305, "versions": {"numpy": "2.1.0"}, "commit": None, "hash": "9f86d0"}
    return Diagnosis("plant.csv", runs, (case,), ("XMV(5) is constant.",), provenance, leaderboard)


def make_images(count: int) -> Diagnosis:
    """Return a diagnosis of images, every third one with a defect, in no order of scores."""
    rng = np.random.default_rng(5)
    cases = []
    for at in range(count):
        pixels = rng.integers(120, 150, (90, 140, 3), dtype=np.uint8)
        scores = rng.uniform(0, 1.2, (9, 14))
        defective, score = at % 3 == 0, 1.0 + at / 100
        findings: tuple[RegionFinding, ...] = ()
        if defective:
            pixels[10:40, 4:16] = 90
            scores[1:4, 0:2], score = 6.0, 3.0 + at / 100
            box = (4, 10, 16, 40)
            findings = (RegionFinding("R1", "memory bank", box, 0.029, 4.4, 2.1, -44.0, "top left", (20, 9)),)
        picture = Picture(partial(np.copy, pixels), scores, 2.1, "Colour marks what differs from good images.")
        label = "defective" if defective else "good"
        verdict = Verdict(label, math.nan, {}, defective, score, 1.5, 0.02, FaultSet((label,), note="One label."))
        verdict = replace(verdict, false_alarm_per="image", p_known=0.01)
        story = (Sentence(f"{label.capitalize()}: part {at}."), *(Sentence(sentence_of(f), (f.id,)) for f in findings))
        cases.append(Case(f"hole/{at}.png", verdict, findings, story, picture=picture))
    return Diagnosis("parts", (), tuple(cases), ("No note.",), {"seed": 0}, modality="images")


def other_kinds(text: str, interval: Interval) -> tuple[Finding, ...]:
    """Return a finding of each kind but of variables, with this text in every place for one."""
    about: dict[str, Any] = {"expert": text, "name": text, "unit": text, "description": text}
    about |= {"variable": text, "measure": "value", "value": 1.5, "normal_low": None, "normal_high": 1.0}
    about |= {"direction": "high", "interval": interval}
    return (
        RuleFinding(f"rule {text}", rule=text, **about),
        SensorFinding(f"sensor {text}", sensor=text, **about),
        RegionFinding(f"region {text}", text, (1, 2, 3, 4), 0.1, 2.0, 1.0, -5.0, text, (2, 2), text, 0.5),
        StatementFinding(f"statement {text}", text, text, text, 0.0, 1.0, text, text, contribution=0.2),
        WordFinding(f"word {text}", text, text, (3, 7), 0.7),
        NeighbourFinding(f"neighbour {text}", text, text, text, 0.8, text),
    )


def make_hostile_items() -> Diagnosis:
    """Return a diagnosis of two images in which every free text is hostile."""
    text = " ".join(HOSTILE)
    case = make_images(1).cases[0]
    assert case.picture is not None
    verdict = replace(case.verdict, label=text, label_description=text, reason=text, false_alarm_per=text)
    findings = other_kinds(text, Interval(text, 3, 4, text, text))
    picture = replace(case.picture, meaning=text)
    story = tuple(Sentence(sentence_of(one), (one.id,)) for one in findings)
    case = replace(case, name=text, verdict=verdict, findings=findings, narrative=story, picture=picture)
    return Diagnosis(text, (), (case,) * 26, HOSTILE, {text: text}, modality=text)


def make_hostile() -> Diagnosis:
    """Return a diagnosis in which every free text is hostile."""
    text = " ".join(HOSTILE)
    verdict = replace(
        _verdict(),
        label=text,
        label_description=text,
        probabilities={bad: 1 / len(HOSTILE) for bad in HOSTILE} | {text: 0.5},
        by_expert={text: {text: 0.5}},
        reason=text,
        fault_set=FaultSet(HOSTILE, None, text),
    )
    interval = Interval(text, 3, 4, text, text)
    findings: tuple[Finding, ...] = tuple(
        replace(_findings()[0], id=bad, expert=text, variable=bad, name=text, unit=bad, description=text)
        for bad in HOSTILE
    )
    findings += (replace(_findings()[3], id=text, value=text, direction=text, interval=interval),)  # type: ignore[arg-type]
    findings += other_kinds(text, interval)
    series = tuple(replace(_series()[0], variable=bad, label=bad, unit=bad) for bad in HOSTILE)
    story = (Sentence(text, HOSTILE), Sentence(text, ("unknown",)))
    case = Case(text, verdict, findings, story, 4, interval, series)
    unknown = replace(case, verdict=replace(verdict, label=None, detected=None))
    runs = (RunSummary(text, 5, 5, 1, text, 0.5, 3, text), RunSummary("b", 5, 5, 1, text, 0.5, 3, text))
    nested = {text: {text: [text, {text: text}]}}
    return Diagnosis(text, runs, (case, unknown), HOSTILE, nested, ({text: text, "a_b": text},))


class Page(HTMLParser):
    """Collects tags, attributes and visible text, and checks that elements are closed in order."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


def check_harmless(page: Page, pictures: bool = False) -> None:
    """Assert that nothing in the page runs, loads or leads outside; of images only our own pictures, as data."""
    assert not page.open
    active = {"script", "img", "iframe", "object", "embed", "link", "form", "base", "a"} & set(page.tags)
    assert active <= ({"a", "img"} if pictures else {"a"})
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    for tag, name, value in page.attributes:
        if tag == "img" and name == "src":
            assert re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*", value)
            continue
        if name in ("href", "src", "xlink:href", "action", "srcset", "poster", "data"):
            assert value.startswith("#"), (tag, name, value)
        if name == "style":
            assert "url(" not in value.replace("url(#", "")
        if name not in ("aria-label", "alt"):  # texts
            assert "javascript:" not in value
            assert "evil" not in value
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.values("href")} <= set(ids)


def test_html_says_the_verdict_first_and_everything_else() -> None:
    html = render_html(make_diagnosis())
    page = Page(html)
    check_harmless(page)
    assert page.tags.count("h1") == 1
    assert '<h1 class="verdict">Fault 4: step in the cooling water temperature — 93%</h1>' in html
    assert "The fault score is 99%, above the threshold of 62%" in page.text
    assert "false-alarm rate of 1% on rows that were held out" in page.text
    for expected in (
        "Cooling water flow",
        "45.6 %",
        "39.8 to 42.4",
        "+9.0 σ ↑ high",
        "+3.41",
        "run 8",
        "120.52",
    ):
        assert expected in page.text
    assert page.values("role").count("img") == 3  # the meter and one plot for each variable with a series
    assert page.values("scope")
    assert not re.search(r"\b(None|nan|inf)\b", page.text)
    assert "url(http" not in html
    assert "@import" not in html


def test_the_same_diagnosis_gives_the_same_page() -> None:
    for make in (make_diagnosis, partial(make_images, 2)):
        assert render_html(make()) == render_html(make())


@pytest.mark.parametrize("make", [make_hostile, make_hostile_items])
def test_hostile_texts_are_shown_and_do_nothing(make: Callable[[], Diagnosis]) -> None:
    html = render_html(make())
    page = Page(html)
    check_harmless(page, pictures=make is make_hostile_items)
    for bad in HOSTILE[:6]:
        assert bad in page.text
    assert "49" not in page.text
    assert "red" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", page.text)
    html.encode("utf-8")


@pytest.mark.parametrize("make", [make_hostile, make_hostile_items])
def test_hostile_texts_in_markdown_are_inert(make: Callable[[], Diagnosis]) -> None:
    text = render_markdown(make())
    assert "\x1b" not in text
    assert "\u202e" not in text
    outside_code = re.sub(r"`[^`\n]*`", "", text.replace("\\`", ""))
    assert "<" not in outside_code
    assert not re.search(r"://|www\.|javascript:|@", outside_code)
    assert not re.search(r"(?<!\\)[\[\]!]", outside_code)
    # Every row of a table still has the cells of its head.
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 3
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_escape_at_the_start_of_a_line() -> None:
    assert escape("- x", start=True) == "\\- x"
    assert escape("# x") == "\\# x"
    assert escape("&lt;script&gt;") == "&amp;lt;script&amp;gt;"


@pytest.mark.parametrize("make", [make_hostile, make_hostile_items])
def test_hostile_texts_in_the_terminal(make: Callable[[], Diagnosis]) -> None:
    text = render_text(make())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "[31m" not in text


def test_markdown_golden() -> None:
    text = render_markdown(make_diagnosis())
    if os.environ.get("FAULTWISE_REGEN") == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_bytes(text.encode("utf-8"))
    assert text == GOLDEN.read_bytes().decode("utf-8")


def test_text_view() -> None:
    text = render_text(make_diagnosis(), width=100)
    assert text.startswith("Fault 4: step in the cooling water temperature — 93%\n")
    assert "███" in text
    assert max(map(len, text.splitlines())) <= 100
    assert not re.search(r"\b(None|nan)\b", text)


def test_json_is_strict_and_complete() -> None:
    def refuse(word: str) -> float:
        raise AssertionError(word)

    diagnosis = replace(make_diagnosis(), provenance={"n": np.int64(3), "x": np.float32("nan"), 1: Path("a")})
    back = json.loads(render_json(diagnosis), parse_constant=refuse)
    assert back["provenance"] == {"n": 3, "x": None, "1": "a"}
    assert back["cases"][0]["verdict"]["label"] == "4"
    assert back["cases"][0]["series"][1]["values"] == [None, 120.5, None]
    assert back["cases"][0]["findings"][0]["interval"]["first"] == 141
    assert json.loads(render_json(make_hostile()))["notes"] == list(HOSTILE)
    kinds = [one["kind"] for one in json.loads(render_json(make_hostile()))["cases"][0]["findings"]]
    assert set(kinds) == {"variable", "rule", "sensor", "region", "statement", "word", "neighbour"}
    assert "picture" not in json.loads(render_json(make_images(1)))["cases"][0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"detected": False, "label": "0", "fault_score": 0.1}, "Normal"),
        ({"label": None, "detected": None, "reason": "too many gaps"}, "No verdict: too many gaps"),
        ({"label": None, "detected": None}, "No verdict: no reason was given"),
        ({"detected": None, "label_description": None}, "Class 4 — 93%"),
        ({"label": "fault_4", "label_description": None}, "fault_4 — 93%"),
        ({"label": "leak", "probability": math.nan}, "Fault leak: step in the cooling water temperature — –"),
        (
            {
                "label": "leak",
                "label_description": None,
                "probability": 0.003,
                "fault_score": 0.003,
                "threshold": 0.002,
            },
            "Alarm, although normal is likelier; likeliest fault: leak — 0.3%",
        ),
    ],
)
def test_headlines(change: dict[str, object], expected: str) -> None:
    verdict = replace(_verdict(), **change)  # type: ignore[arg-type]
    assert words.headline(verdict) == expected
    case = replace(make_diagnosis().cases[0], verdict=verdict, series=())
    diagnosis = replace(make_diagnosis(), cases=(case,))
    page = Page(render_html(diagnosis))
    assert expected in page.text
    assert expected.split(" — ")[0].replace("_", "\\_") in render_markdown(diagnosis)
    assert not re.search(r"\b(None|nan)\b", page.text)


def test_score_next_to_the_threshold_is_told_apart() -> None:
    verdict = replace(_verdict(), fault_score=0.6199, threshold=0.62, detected=False)
    assert "0.619900, below the threshold of 0.620000" in words.meaning(verdict)
    tie = replace(verdict, fault_score=0.62)
    assert "0.620000, at the threshold of 0.620000: no fault is detected" in words.meaning(tie)


def test_nothing_at_all() -> None:
    empty = Diagnosis("x.csv", (), (), (), {})
    check_harmless(Page(render_html(empty)))
    bare = Verdict(None, 0.0, {}, None, None, None, None, FaultSet(()))
    case = Case("r", bare, (), (), 0, Interval("r", 0, 0))
    for diagnosis in (empty, replace(empty, cases=(case,)), replace(empty, cases=(case, case))):
        page = Page(render_html(diagnosis))
        check_harmless(page)
        assert not re.search(r"\b(None|nan)\b", page.text + render_markdown(diagnosis) + render_text(diagnosis))
        json.loads(render_json(diagnosis))


def test_several_cases_get_a_table_of_contents() -> None:
    case = make_diagnosis().cases[0]
    case = replace(case, series=case.series[:1])
    page = Page(render_html(replace(make_diagnosis(), cases=(case,) * 3)))
    check_harmless(page)
    assert page.tags.count("article") == 3
    assert page.tags.count("h1") == 1
    assert "nav" in page.tags
    assert "3 cases: 3 with a fault" in page.text


def test_many_images() -> None:
    """Those with the highest scores in full, the others as a table; in a terminal their sentences."""
    made = make_images(30)
    html = render_html(made)
    page = Page(html)
    check_harmless(page, pictures=True)
    assert "10 of 30 images are flagged as defective" in page.text
    assert page.tags.count("article") == 24
    assert page.tags.count("img") == 48
    assert page.tags.count("h1") == 1
    names = re.findall(r'<h2 class="verdict">(.*?)</h2>', html)
    assert names[:11] == [f"hole/{at}.png" for at in (27, 24, 21, 18, 15, 12, 9, 6, 3, 0, 29)]
    assert "Other images" in page.text
    assert "hole/1.png" in page.text
    assert page.text.count("Colour marks what differs") == 1
    assert page.text.count("false-alarm rate of 2% on images that were held out") == 1
    assert "top left" in page.text
    assert "2.1" in page.text
    assert page.values("type") == ["radio"] * 4
    assert html.count('<rect class="rim" x="4" y="10" width="12" height="30"/>') == 10
    text = render_text(made)
    lines = text.splitlines()
    assert lines[0].startswith("Defective: part 27. At the top left, 12 x 30 pixels from (4, 10), 44 grey levels")
    assert sum(line.startswith(("Defective: ", "Good: ")) for line in lines) == 20
    assert "... and 10 more; --out FILE.csv has them all." in lines
    assert "10 of 30 images are flagged as defective." in lines
    markdown = render_markdown(made)
    assert markdown.startswith("# 10 of 30 images are flagged as defective\n")
    assert markdown.count("\n## hole/") == 24
    assert "data:image" not in markdown


def test_one_image() -> None:
    made = make_images(1)
    html = render_html(made)
    assert '<h1 class="verdict">Defective (hole/0.png)</h1>' in html
    assert "The fault score is 3, above the threshold of 1.5" in html
    assert "1% of the normal examples that were held out score as high or higher." in html
    assert "false-alarm rate of 2% on images that were held out" in html
    assert "stay possible" not in html
    assert render_text(made).startswith("Defective (hole/0.png)\n")


def test_whatever_a_case_holds_is_shown() -> None:
    """A modality of another package: statements, series without findings about them, no interval, no rows."""
    found = StatementFinding("S1", "spectrum", "Bearing 3", 7.25, None, 4.0, "g", "at 120 Hz", "high", 0.8)
    series = replace(_series()[0], label="Vibration")
    case = Case("rec1", _verdict(), (found,), (Sentence(sentence_of(found), ("S1",)),), series=(series,))
    made = Diagnosis("recordings", (), (case, replace(case, name="rec2")), (), {}, modality="signals")
    page = Page(render_html(made))
    check_harmless(page)
    for expected in ("2 of 2 signals are flagged", "Bearing 3", "7.25 g", "≤ 4", "at 120 Hz", "+0.8", "Vibration"):
        assert expected in page.text
    assert sum(name.startswith("Vibration over the run") for name in page.values("aria-label")) == 2
    assert "| S1 | Bearing 3 | 7.25 g | ≤ 4 | at 120 Hz | +0.8 |" in render_markdown(made)
    assert "Bearing 3 is 7.25 g (at 120 Hz); normal is at most 4." in render_text(made)


def test_thousands_of_runs() -> None:
    runs = tuple(RunSummary(f"r{i}", 100, 90, i % 91, "4", 0.9, 3) for i in range(5000))
    diagnosis = replace(make_diagnosis(), runs=runs, cases=())
    start = time.perf_counter()
    html, markdown = render_html(diagnosis), render_markdown(diagnosis)
    assert time.perf_counter() - start < 5
    assert "4800 more runs" in html
    assert "4800 more runs" in markdown
    assert Page(html).text.count("100%") >= 50  # those with the most flagged rows come first
    assert "4990 more runs" in render_text(diagnosis)


def test_long_series_are_thinned_without_losing_the_spike() -> None:
    values = np.zeros(100_000)
    values[54_321] = 9.0
    values[70_000:70_500] = np.nan
    series = Series("a", "a", None, tuple(range(100_000)), tuple(values), -1.0, 1.0)
    x, y = plots.series_points(series)
    assert len(x) <= 700
    assert x[np.nanargmax(y)] == 54_321
    assert np.isnan(y).any()


def test_plots_are_deterministic_escaped_and_survive_extreme_values() -> None:
    extreme = Series("a", "a", None, (0, 1, 2, 3), (1e308, -math.inf, math.nan, 5.0), math.nan, None)
    empty = replace(extreme, values=(math.nan,) * 4)
    for series in (extreme, empty, *_series()):
        first = plots.series_svg(series, INTERVAL, "k1", '"><script>')
        assert first == plots.series_svg(series, INTERVAL, "k1", '"><script>')
        assert "<script" not in first
        assert "http" not in first
        assert "<style" not in first


@pytest.mark.parametrize("suffix", [".html", ".md", ".json", ".HTML"])
def test_save_by_suffix(tmp_path: Path, suffix: str) -> None:
    path = save_report(make_diagnosis(), tmp_path / f"report{suffix}")
    assert path.stat().st_size > 1000
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    save_report(replace(make_hostile(), cases=()), path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "words_expected"),
    [
        ("a.pdf", "expected one of .html, .md, .json"),
        ("a", "no suffix"),
        ("no/a.md", "create it"),
        ("d.md", "a file"),
    ],
)
def test_save_refuses_with_a_next_step(tmp_path: Path, name: str, words_expected: str) -> None:
    (tmp_path / "d.md").mkdir()
    with pytest.raises(UserError, match=words_expected):
        save_report(make_diagnosis(), tmp_path / name)


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.md"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(save.os, broken, full)
            with pytest.raises(UserError, match="No space left on device"):
                save_report(make_diagnosis(), path)
            with pytest.raises(UserError, match="No space left on device"):
                write_csv(pd.DataFrame({"a": [1]}), path)
        assert path.read_text() == "old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["report.md"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
def test_permissions_and_links_survive(tmp_path: Path) -> None:
    path, link = tmp_path / "a.md", tmp_path / "link.md"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_csv_cells_start_no_formula(tmp_path: Path) -> None:
    starts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "=HYPERLINK(1)"]
    frame = pd.DataFrame({"=head": starts, "n": [-1.5, 2, 3, 4, 5, 6, np.nan], "mixed": [-1, "-1", None, 0, 1, 2, 3]})
    frame["kind"] = pd.Categorical(starts)
    frame["when"] = pd.Timestamp("2024-01-01")
    frame["safe"] = 'a;=b"c'
    before = frame.copy()
    path = write_csv(frame, tmp_path / "a.csv")
    pd.testing.assert_frame_equal(frame, before)
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    assert rows[0] == ["'=head", "n", "mixed", "kind", "when", "safe"]
    assert [row[0] for row in rows[1:]] == [f"'{start}" for start in starts]
    assert [row[3] for row in rows[1:]] == [f"'{start}" for start in starts]
    assert [row[1] for row in rows[1:]] == ["-1.5", "2.0", "3.0", "4.0", "5.0", "6.0", ""]
    assert [row[2] for row in rows[1:4]] == ["-1", "'-1", ""]
    assert rows[1][5] == 'a;=b"c'


def test_csv_with_index_and_repeated_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame([[1, "=x"]], index=["=i"], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "b")]))
    text = write_csv(frame, tmp_path / "a.csv", index=True).read_text()
    assert text.splitlines()[1] == '"\'=i",1,"\'=x"'
    assert write_csv(pd.DataFrame(), tmp_path / "b.csv").exists()


def test_importing_loads_no_matplotlib_and_no_jinja2() -> None:
    code = (
        "import sys, faultwise.report.html, faultwise.runs.files, faultwise.report.plots;"
        "sys.exit(bool({'matplotlib', 'jinja2', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
