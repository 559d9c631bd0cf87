"""Sound recordings as a modality of Faultwise: levels in octave bands, compared with those of normal recordings.

A source is a WAV file (16 bits), or a folder of them; in a folder with folders below it, their names are labels, and
`normal` is the one that is learnt.
"""

from __future__ import annotations

import itertools
import json
import wave
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from faultwise.contracts.diagnosis import Case, Diagnosis, Evaluation, Sentence
from faultwise.contracts.errors import DataError, RunFolderError
from faultwise.contracts.findings import StatementFinding
from faultwise.contracts.settings import built, option, refuse_problems
from faultwise.contracts.verdicts import FaultSet, Verdict

NORMAL, UNUSUAL = "normal", "unusual"
_QUIET = 1e-12  # of full scale, squared: levels stay finite in silence
_NOTE = "No coverage is promised: a recording is compared with normal ones, and faults are not named."


@dataclass(frozen=True)
class SoundSettings:
    """What a fit on sounds can be told."""

    lowest: float = option(62.5, "lower edge of the lowest octave band in Hz", "HZ", above=0)
    bands: int = option(6, "octave bands", "N", low=1, high=10)
    sigmas: float = option(4.0, "deviation from normal levels above which a recording is unusual", "S", above=0)

    def __post_init__(self) -> None:
        refuse_problems(self)


@dataclass(frozen=True)
class Nothing:
    """Sounds are read and asked without any options."""


@dataclass
class SoundModel:
    """Mean and standard deviation of the level (dB) of normal recordings in each band."""

    settings: SoundSettings
    mean: np.ndarray
    spread: np.ndarray
    files: int
    notes: list[str] = field(default_factory=list)

    def summary(self) -> Evaluation:
        """Return the normal levels."""
        rows = [{"band": name, "level": level} for name, level in zip(self._names(), self.mean.tolist(), strict=True)]
        title = f"Mean level of {self.files} normal recordings, dB"
        return Evaluation({"recordings": self.files, "levels": rows}, ((title, tuple(rows)),))

    def write(self, folder: Path) -> Mapping[str, object]:
        """Write the normal levels."""
        state = {"mean": self.mean.tolist(), "spread": self.spread.tolist(), "files": self.files}
        (folder / "levels.json").write_text(json.dumps(state), encoding="utf-8")
        return {"labels": [NORMAL, UNUSUAL]}

    def evaluate(self, source: object, reading: object, query: object) -> Evaluation:
        """Compare the verdicts with the names of folders: `normal`, or any other."""
        files = recordings(source)
        faulty = np.array([file.parent.name != NORMAL for file in files])
        if not faulty.any() or faulty.all():
            raise DataError(f"`{source}` has no labels: expected a folder `normal` and one of faults in it.")
        flagged = np.array([self._sigmas(file).max() > self.settings.sigmas for file in files])
        figures: dict[str, float] = {"recordings": len(files), "accuracy": float((flagged == faulty).mean())}
        figures |= {"fdr": float(flagged[faulty].mean()), "far": float(flagged[~faulty].mean())}
        return Evaluation(figures, (("On labelled recordings", (figures,)),))

    def diagnose(self, source: object, reading: object, query: object) -> Diagnosis:
        """Return a case for each recording."""
        cases = tuple(self._case(file) for file in recordings(source))
        return Diagnosis(
            str(source), (), cases, tuple(self.notes), {"settings": asdict(self.settings)}, modality="sounds"
        )

    def _case(self, file: Path) -> Case:
        levels, sigmas, most = levels_of(file, self.settings), self._sigmas(file), self.settings.sigmas
        findings = tuple(
            StatementFinding(
                id=f"S{number}",
                expert="band levels",
                about=f"level at {self._names()[at]}",
                value=float(levels[at]),
                normal_low=float(self.mean[at] - most * self.spread[at]),
                normal_high=float(self.mean[at] + most * self.spread[at]),
                unit="dB",
                place=file.name,
                direction="high" if levels[at] > self.mean[at] else "low",
                contribution=float(sigmas[at] - most),
            )
            for number, at in enumerate(np.argsort(-sigmas)[:3], start=1)
            if sigmas[at] > most
        )
        label = UNUSUAL if findings else NORMAL
        verdict = Verdict(
            label=label,
            probability=float("nan"),
            probabilities={},
            detected=bool(findings),
            fault_score=float(sigmas.max()),
            threshold=most,
            false_alarm_rate=None,
            fault_set=FaultSet((label,), note=_NOTE),
            false_alarm_per="recording",
        )
        head = f"{file.name} is {label}: its largest deviation is {sigmas.max():.1f} sigma."
        others = [Sentence(f"The {one.about} is {one.value:.1f} dB, {one.direction}.", (one.id,)) for one in findings]
        return Case(file.name, verdict, findings, (Sentence(head), *others))

    def _sigmas(self, file: Path) -> np.ndarray:
        return np.abs(levels_of(file, self.settings) - self.mean) / self.spread

    def _names(self) -> list[str]:
        return [f"{self.settings.lowest * 2**at:g} Hz" for at in range(self.settings.bands)]


class Sounds:
    """See `faultwise.contracts.modality.Modality`."""

    name, traces, fallback = "sounds", "sound recordings", False
    settings, reading, query = SoundSettings, Nothing, Nothing

    def recognise(self, source: object) -> str | None:
        """Return why a source is a recording, or a folder of them."""
        found = recordings(source) if isinstance(source, str | Path) else []
        return f"it holds {len(found)} WAV files" if found else None

    def fit(self, source: object, settings: object, reading: object, progress: bool = False) -> SoundModel:
        """Learn the levels of normal recordings."""
        assert isinstance(settings, SoundSettings)
        files = recordings(source)
        normal = [file for file in files if file.parent.name == NORMAL] or files
        if len(normal) < 3:
            raise DataError(f"`{source}` has {len(normal)} normal recordings: give 3 at least.")
        levels = np.stack([levels_of(file, settings) for file in normal])
        notes = [f"{len(files) - len(normal)} recordings of faults were not learnt from."] if normal != files else []
        return SoundModel(settings, levels.mean(axis=0), levels.std(axis=0) + 0.5, len(normal), notes)

    def load(self, folder: Path, manifest: Mapping[str, object], progress: bool = False) -> SoundModel:
        """Read what `SoundModel.write` wrote."""
        try:
            state = json.loads((folder / "levels.json").read_text(encoding="utf-8"))
            settings = built(SoundSettings, manifest["settings"], str(folder))  # type: ignore[arg-type]
            return SoundModel(settings, np.array(state["mean"]), np.array(state["spread"]), state["files"])
        except (KeyError, ValueError) as error:
            raise RunFolderError(f"`{folder}` cannot be understood ({error}): fit again.") from None


def recordings(source: object) -> list[Path]:
    """Return the WAV files of a source, in order."""
    path = Path(str(source))
    files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    return [file for file in files if file.suffix.lower() == ".wav"]


def levels_of(file: Path, settings: SoundSettings) -> np.ndarray:
    """Return the level in each octave band (bands,), in dB of full scale. Raises DataError."""
    try:
        with wave.open(str(file)) as sound:
            rate, channels, frames = sound.getframerate(), sound.getnchannels(), sound.readframes(sound.getnframes())
        samples = np.frombuffer(frames, "<i2").reshape(-1, channels).mean(axis=1) / 32768
    except (wave.Error, EOFError, ValueError) as error:
        raise DataError(f"`{file}` is no WAV file of 16 bits ({error}).") from None
    power = np.abs(np.fft.rfft(samples)) ** 2 / max(1, len(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    edges = settings.lowest * 2.0 ** np.arange(settings.bands + 1)
    within = [power[(hertz >= low) & (hertz < high)].sum() for low, high in itertools.pairwise(edges)]
    return np.asarray(10 * np.log10(np.array(within) + _QUIET))


sounds = Sounds()
