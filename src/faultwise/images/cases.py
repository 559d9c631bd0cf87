"""From inspections to a diagnosis: one case an image, and a table with a line an image."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from faultwise import __version__
from faultwise.contracts.diagnosis import Case, Diagnosis, Picture
from faultwise.contracts.findings import RegionFinding
from faultwise.contracts.verdicts import FaultSet, Verdict
from faultwise.images.detection.regions import Region
from faultwise.images.detection.thresholds import Threshold
from faultwise.images.inspection import Inspection
from faultwise.images.settings import ImageSettings
from faultwise.runs.folders import commit

__all__ = ["Detector", "case_of", "diagnosis_of", "write_lines"]

_NOTE = "No coverage is promised: an image's score is compared with a threshold, and no probability is computed."


class Detector(Protocol):
    """What compares images with a threshold: good images, templates or texts. Findings have its `name` as expert."""

    name: str

    @property
    def threshold(self) -> Threshold:
        """The threshold of images' scores, and what it promises."""
        ...

    @property
    def region_threshold(self) -> float:
        """The threshold of regions, on the map."""
        ...

    @property
    def learnt_from(self) -> str:
        """What was learnt from, in words."""
        ...

    @property
    def map_words(self) -> str:
        """What the map's colour means."""
        ...


def case_of(found: Inspection, detector: Detector) -> Case:
    """Return an image's verdict with its regions as findings. Pixels are not kept: the picture reads them anew."""
    threshold = found.threshold
    verdict = Verdict(
        label=found.label,
        probability=float("nan"),
        probabilities={},
        detected=found.defective,
        fault_score=found.score,
        threshold=threshold.value,
        false_alarm_rate=threshold.promised,
        fault_set=FaultSet((found.label,), None, _NOTE),
        false_alarm_per="image",
        p_known=found.p_value,
    )
    findings = tuple(
        _finding(number, region, detector.name, found.region_threshold)
        for number, region in enumerate(found.regions, 1)
    )
    picture = Picture(found.read, found.scores, found.region_threshold, detector.map_words)
    return Case(found.name, verdict, findings, found.sentences, picture=picture)


def _finding(number: int, region: Region, expert: str, threshold: float) -> RegionFinding:
    return RegionFinding(
        id=f"R{number}",
        expert=expert,
        box=region.box,
        area=region.area,
        value=region.score,
        normal_high=threshold,
        contrast=region.contrast,
        place=region.place,
        peak=region.peak,
        defect=region.defect,
        probability=region.probability,
    )


def diagnosis_of(
    made: Iterable[Inspection],
    detector: Detector,
    settings: ImageSettings,
    source: str,
    notes: Iterable[str] = (),
    more: Mapping[str, object] | None = None,
) -> Diagnosis:
    """Return inspections as a diagnosis, in their order; `more` goes into the provenance."""
    cases = tuple(case_of(one, detector) for one in made)
    bad = sum(bool(case.verdict.detected) for case in cases)
    summary = f"{bad} of {len(cases)} images are flagged as defective. {detector.threshold.note}"
    provenance = {
        "faultwise": __version__,
        "commit": commit(),
        "learnt_from": detector.learnt_from,
        "settings": asdict(settings),
        "threshold": asdict(detector.threshold),
        "region_threshold": detector.region_threshold,
        **(more or {}),
    }
    return Diagnosis(source, (), cases, (*notes, summary), provenance, modality="images")


def write_lines(made: Iterable[Inspection], out: Path, notes: Iterable[str] = ()) -> dict[str, object]:
    """Write a line per image to `out` (.csv or .parquet); return counts and seconds.

    Raises UserError for another ending, or a file that cannot be written.
    """
    import pandas as pd

    from faultwise.runs.files import check_place
    from faultwise.runs.tables import write_table

    check_place(out, (".csv", ".parquet"))
    started = time.monotonic()
    lines = [
        {
            "image": one.name,
            "defective": one.defective,
            "score": one.score,
            "threshold": one.threshold.value,
            "p_value": one.p_value,
            "regions": len(one.regions),
            "place": one.regions[0].place if one.regions else "",
            "defect_type": one.defect or "",
        }
        for one in made
    ]
    write_table(pd.DataFrame(lines), out)
    bad = sum(bool(line["defective"]) for line in lines)
    return {
        "file": str(out),
        "rows": len(lines),
        "judged": len(lines),
        "flagged": bad,
        "labels": {"defective": bad, "good": len(lines) - bad},
        "seconds": round(time.monotonic() - started, 2),
        "notes": list(notes),
    }
