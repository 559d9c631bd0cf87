"""A fitted model of texts: it classifies, explains, evaluates, and is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from faultwise.contracts.diagnosis import Case, Diagnosis, Evaluation
from faultwise.contracts.errors import DataError, RunFolderError, UserError
from faultwise.evidence.sentences import narrate
from faultwise.texts.cleaning import Cleaner
from faultwise.texts.codes import Codes
from faultwise.texts.fitting import FittedTexts, context_of, framed
from faultwise.texts.likeness import Likeness
from faultwise.texts.reading import Texts, read_texts
from faultwise.texts.reasons import reasons_of
from faultwise.texts.settings import TextQuery, TextReading, TextSettings
from faultwise.texts.verdicts import TextJudgements, judged, text_verdict
from faultwise.texts.writing import csv_text, write_lines
from faultwise.verdicts.calibration import Calibration
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.ensemble import Ensemble
from faultwise.verdicts.fusion import Fusion
from faultwise.verdicts.metrics import figures_by_expert, leaderboard, metrics
from faultwise.verdicts.registry import make

__all__ = ["TextModel"]

_NAMED = 70  # letters of a text in the name of its case
_ALL_EXPLAINED = 10  # so many texts are all explained
_STATE, _KNOWN = "state.json", "known.json"


class TextModel:
    """What was fitted on texts, with how their columns were read."""

    def __init__(
        self, settings: TextSettings, reading: TextReading, fitted: FittedTexts, progress: bool = False
    ) -> None:
        self.settings, self.reading, self.fitted, self.progress = settings, reading, fitted, progress

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know after the fit."""
        return self.fitted.notes

    @property
    def classes(self) -> np.ndarray:
        """The labels, ascending: the order of probabilities."""
        return self.fitted.classes

    def summary(self) -> Evaluation:
        """Return the figures of the texts that folds held out, and the first label issues."""
        record = self.fitted.record
        board = tuple(leaderboard({**record["validation"], "chosen": record["chosen"]}))
        tables = [("On texts held out in turn", board)]
        if self.fitted.label_issues:
            tables.append(("Label issues (the first ones)", tuple(self.fitted.label_issues[:5])))
        figures = {**record, "label_issues": self.fitted.label_issues}
        return Evaluation(figures, tuple(tables), notes=tuple(self.fitted.notes))  # type: ignore[arg-type]

    def write(self, folder: Path) -> Mapping[str, object]:
        """Write experts, texts and lists into an empty folder; return entries of the manifest."""
        fitted = self.fitted
        for name, expert in fitted.ensemble.experts.items():
            (folder / "experts" / name).mkdir(parents=True)
            expert.save(folder / "experts" / name)
        save_file({"vectors": np.ascontiguousarray(fitted.likeness.vectors)}, folder / "known.safetensors")
        known = fitted.known
        assert known.labels is not None
        own = {"texts": known.texts, "labels": known.labels.tolist(), "rows": known.rows.tolist(), "names": known.names}
        (folder / _KNOWN).write_text(json.dumps(own), encoding="utf-8")
        (folder / "synonyms.csv").write_text(
            csv_text([("word", "for"), *sorted(fitted.cleaner.synonyms.items())]), encoding="utf-8"
        )
        if issues := fitted.label_issues:
            (folder / "label_issues.csv").write_text(
                csv_text([list(issues[0]), *(list(one.values()) for one in issues)]), encoding="utf-8"
            )
        state = {
            "fusion": fitted.ensemble.fusion.to_dict(),
            "detector": asdict(fitted.ensemble.detector),
            "alone": fitted.ensemble.alone,
            "cleaner": asdict(fitted.cleaner),
            "codes": fitted.codes.to_dict(),
            "likeness": fitted.likeness.source,
            "calibration": None if fitted.calibration is None else fitted.calibration.to_dict(),
            "notes": fitted.notes,
            "column": known.column,
            "source": known.source,
        }
        (folder / _STATE).write_text(json.dumps(state, allow_nan=False), encoding="utf-8")
        return {"experts": list(fitted.ensemble.experts), "reading": asdict(self.reading), **fitted.record}

    @classmethod
    def read(
        cls, folder: Path, manifest: Mapping[str, object], settings: TextSettings, reading: TextReading, progress: bool
    ) -> TextModel:
        """Read what `write` wrote. Raises RunFolderError when it cannot be understood."""
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            own = json.loads((folder / _KNOWN).read_text(encoding="utf-8"))
            detector, fusion = Detector(**state["detector"]), Fusion(**state["fusion"])
            labels = np.array(manifest["labels"], dtype=str)
            ensemble = Ensemble(labels, detector, fusion=fusion, alone=state["alone"])
            context = context_of(settings, progress)
            for name in manifest["experts"]:  # type: ignore[attr-defined]
                ensemble.experts[name] = make(name, context).load(folder / "experts" / name)
            labels_of = np.array(own["labels"], dtype=object)
            rows, names = np.array(own["rows"]), tuple(own["names"])
            known = Texts(own["texts"], rows, state["source"], labels_of, None, names, state["column"])
            vectors = load_file(folder / "known.safetensors")["vectors"]
            fitted = FittedTexts(
                ensemble,
                Cleaner(**state["cleaner"]),
                Codes(**state["codes"]),
                Likeness(state["likeness"], vectors, settings.language.device),
                known,
                state["calibration"] and Calibration.from_dict(state["calibration"]),
                state["notes"],
                dict(manifest),
            )
        except (KeyError, TypeError, ValueError, OSError) as error:
            if isinstance(error, UserError):
                raise
            raise RunFolderError(f"`{folder}` cannot be understood ({error}): fit again.") from error
        return cls(settings, reading, fitted, progress)

    def evaluate(self, source: object, reading: object, query: object) -> Evaluation:
        """Judge every expert and the fused verdict on labelled texts. Raises DataError without labels."""
        assert isinstance(reading, TextReading)
        assert isinstance(query, TextQuery)
        texts = read_texts(source, self._later(reading, labels=True), labelled=True)
        assert texts.labels is not None
        made, classes, y = self._judged(texts.texts, query.score_rows), self.classes, texts.labels.astype(str)
        normal = self.fitted.ensemble.detector.normal
        experts = figures_by_expert(made.by_expert, made.scored, y, classes, normal)
        verdict = metrics(y, made.labels, made.p, classes, normal)
        if made.sets is not None:
            verdict.update(made.sets.figures(y, classes))  # type: ignore[typeddict-item]
        seen = set(self.fitted.known.texts)
        again = sum(text in seen for text in texts.texts)
        notes = [*texts.notes, *([f"{again} of {len(y)} texts were learnt from, word for word."] if again else [])]
        never = sorted(set(y) - set(classes))
        if never:
            notes.append(f"Labels that no text of the fit has count as wrong: {', '.join(never[:12])}.")
        figures = {"rows": len(y), "experts": experts, "verdict": verdict, "notes": notes, "seen_again": again}
        board = tuple(leaderboard({"experts": experts, "verdict": verdict, "chosen": self.fitted.record.get("chosen")}))
        return Evaluation(figures, (("On labelled texts", board),), notes=tuple(notes))

    def diagnose(self, source: object, reading: object, query: object) -> Diagnosis:
        """Return verdicts with findings and narrative: of the text asked for, of all of a few, or of the least sure."""
        assert isinstance(reading, TextReading)
        assert isinstance(query, TextQuery)
        texts = read_texts(source, self._later(reading))
        if query.row is not None:
            texts = texts.part(texts.rows == query.row)
            if not texts.texts:
                raise DataError(f"Text {query.row} was asked for, and there is none with this number.")
        made = self._judged(texts.texts, query.score_rows)
        sure = made.p.max(axis=1)
        chosen = np.arange(len(sure))
        if len(sure) > _ALL_EXPLAINED:
            chosen = np.argsort(sure, kind="stable")[: query.cases]
        cases = tuple(self._case(texts, made, int(at)) for at in chosen)
        notes = list(texts.notes)
        if len(chosen) < len(sure):
            counts = ", ".join(f"{label} {count}" for label, count in Counter(made.labels.tolist()).most_common(8))
            more = ", ..." if len(set(made.labels)) > 8 else ""
            notes.append(
                f"{len(sure)} texts: {counts}{more}. The {len(chosen)} least sure ones are explained; --out FILE "
                "writes the label of each."
            )
        return Diagnosis(texts.source, (), cases, tuple(notes), self._provenance(), modality="texts")

    def write_rows(
        self, source: object, out: Path, reading: object, query: object, every: bool = True, progress: bool = False
    ) -> Mapping[str, object]:
        """Write a line per text: its row, label, probability, status, and with `every` all probabilities."""
        assert isinstance(reading, TextReading)
        assert isinstance(query, TextQuery)
        texts = read_texts(source, self._later(reading))
        return write_lines(texts, self._judged(texts.texts, query.score_rows), self.classes, out, every)

    def predict_proba(self, X: object, groups: object = None) -> np.ndarray:
        """Return fused probabilities (texts, classes) in the order of `classes`."""
        return self._judged(read_texts(X, self._later(TextReading())).texts, None).p

    def predict(self, X: object, groups: object = None) -> np.ndarray:
        """Return labels (texts,)."""
        return self._judged(read_texts(X, self._later(TextReading())).texts, None).labels

    def _judged(self, texts: list[str], score_rows: int | None) -> TextJudgements:
        most = self.settings.language.score_rows if score_rows is None else score_rows
        return judged(self.fitted, texts, most)

    def _case(self, texts: Texts, made: TextJudgements, at: int) -> Case:
        text, label = texts.texts[at], str(made.labels[at])
        verdict = text_verdict(self.fitted, made, at)
        findings = () if not text.strip() else reasons_of(self.fitted, text, label, self._fused)
        name = texts.names[at] if texts.names else f"row {texts.rows[at]}"
        shown = text if len(text) <= _NAMED else f"{text[: _NAMED - 1]}…"
        first, *others = narrate(verdict, findings)
        first = replace(first, text=f"“{shown}” ({name}): {first.text}")
        return Case(f"{name}: {shown}", verdict, findings, (first, *others))

    def _fused(self, texts: list[str]) -> np.ndarray:
        """Return fused probabilities (texts, classes) without the language model: it is too slow to be asked often."""
        return self.fitted.ensemble.classical(framed([self.fitted.cleaner(text) for text in texts]))

    def _later(self, now: TextReading, labels: bool = False) -> TextReading:
        """Return how a later source is read: its columns are those of the fit, where nothing else is named."""
        own = self.reading
        target = (now.target or own.target) if labels else None
        text = now.text or (self.fitted.known.column if self.fitted.known.column != "the notes" else None)
        return TextReading(target=target, text=text or own.text, sheet=now.sheet)

    def _provenance(self) -> dict[str, object]:
        from faultwise import __version__

        record = self.fitted.record
        kept: dict[str, object] = {name: record[name] for name in ("rows", "labels", "column") if name in record}
        return {
            "version": __version__,
            "seed": self.settings.seed,
            "experts": list(self.fitted.ensemble.experts),
            **kept,
        }
