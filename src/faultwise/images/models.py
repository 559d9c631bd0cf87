"""The fitted models of images: learnt from good images, from pairs with templates, or judging by texts.

Each has its inspector, which knows nothing of run folders or commands; here are what a command asks of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from faultwise.contracts.diagnosis import Diagnosis, Evaluation
from faultwise.contracts.errors import DataError, UserError
from faultwise.contracts.settings import built
from faultwise.images.cases import diagnosis_of, write_lines
from faultwise.images.conversation import ImageConversation
from faultwise.images.data.image_folders import read_image_set
from faultwise.images.data.image_sets import FolderReading, ImageSet
from faultwise.images.data.images import Pixels
from faultwise.images.data.sources import ToInspect, labelled_images, name_of, to_inspect
from faultwise.images.evaluation import evaluated, evaluated_pairs
from faultwise.images.inspector import Inspector
from faultwise.images.pair_inspector import PairInspector
from faultwise.images.settings import ImageReading, ImageSettings
from faultwise.images.text_inspector import TextInspector

__all__ = ["GOOD_IMAGES", "PAIRS", "TEXTS", "GoodImagesModel", "PairsModel", "TextsModel", "fitted_on"]

GOOD_IMAGES, PAIRS, TEXTS = "good-images", "pairs", "texts"


class GoodImagesModel:
    """Learnt from good images; it also converses, and can be exported."""

    def __init__(
        self,
        settings: ImageSettings,
        inspector: Inspector,
        notes: Sequence[str] = (),
        reading: ImageReading | None = None,
        learnt: frozenset[str] = frozenset(),
    ) -> None:
        self.settings: object = settings
        self.inspector = inspector
        self._settings, self._notes = settings, tuple(notes)
        self._reading, self._learnt = reading or ImageReading(), learnt

    @property
    def notes(self) -> list[str]:
        """What a person should know after the fit."""
        return [*self._notes, *self.inspector.notes]

    def summary(self) -> Evaluation:
        """Return the threshold, what it promises, and training outliers."""
        learnt, threshold = self.inspector.learnt, self.inspector.threshold
        held_out = len(learnt.held_out)
        row = {
            "good_images": learnt.images + held_out,
            "held_out": held_out,
            "threshold": threshold.value,
            "false_alarms_promised": threshold.promised,
        }
        figures = {"threshold": asdict(threshold), "training_outliers": list(learnt.training_outliers)}
        return Evaluation(figures, (("", (row,)),), notes=tuple(self.notes))

    def write(self, folder: Path) -> Mapping[str, object]:
        """Write what was learnt; see `Inspector.write`."""
        made = {"detector": GOOD_IMAGES, **self.inspector.write(folder), "source_notes": list(self._notes)}
        how = {"normal": self._reading.normal, "layout": self._reading.layout}
        return {**made, "reading": how, "learnt_files": sorted(self._learnt)}

    def evaluate(self, source: object, reading: object, query: object = None) -> Evaluation:
        """Return figures on labelled images. Raises DataError where there are no labels."""
        images = labelled_images(source, self._how(reading), self.inspector.progress)
        return evaluated(self.inspector, images, self.inspector.types.names)

    def diagnose(self, source: object, reading: object, query: object = None) -> Diagnosis:
        """Return a verdict for each image of a source."""
        images = self._to_inspect(source, reading)
        made = self.inspector.inspect_all(images.images)
        more = {"detector": GOOD_IMAGES, "backbone": self._settings.backbone}
        return diagnosis_of(made, self.inspector, self._settings, name_of(source), images.notes, more)

    def write_rows(
        self, source: object, out: Path, reading: object, query: object, every: bool = True, progress: bool = False
    ) -> Mapping[str, object]:
        """Write a line per image; there are no probabilities to leave out."""
        images = self._to_inspect(source, reading)
        return write_lines(self.inspector.inspect_all(images.images), out, images.notes)

    def conversation(self, source: object, reading: object) -> ImageConversation:
        """Begin a conversation about one image. Raises UserError where the fit did not prepare for it."""
        if self.inspector.reply_model is None:
            raise UserError("This run cannot answer questions: fit again with --talk.")
        images = self._to_inspect(source, reading).images
        if len(images) != 1:
            raise UserError(f"`{name_of(source)}` holds {len(images)} images: a conversation is about one of them.")
        return ImageConversation(self.inspector, images[0])

    def export(self, out: Path) -> Mapping[str, object]:
        """Write an ONNX file; see `exporting.export`."""
        from faultwise.images.exporting import export

        return export(self.inspector, out)

    def _to_inspect(self, source: object, reading: object) -> ToInspect:
        return to_inspect(source, self._how(reading), self.inspector.progress)

    def _how(self, reading: object) -> FolderReading:
        """Return how a later source is read: what the fit was told holds where nothing else is."""
        given = reading if isinstance(reading, ImageReading) else ImageReading()
        normal = given.normal if given.normal is not None else self._reading.normal
        return FolderReading(given.category, given.layout, normal, self._reading.layout, self._learnt)


class PairsModel:
    """Compares images with their own templates; `count` pairs were given to the fit, with boxes beside some."""

    def __init__(
        self, settings: ImageSettings, inspector: PairInspector, count: int = 0, notes: Sequence[str] = ()
    ) -> None:
        self.settings: object = settings
        self.inspector, self.count = inspector, count
        self._settings, self._notes = settings, tuple(notes)

    @property
    def notes(self) -> list[str]:
        """What a person should know after the fit."""
        return [*self._notes, self.inspector.threshold.note]

    def summary(self) -> Evaluation:
        """Return the rule."""
        rule = asdict(self.inspector.rule)
        row = {"pairs": self.count, "with_boxes": self.inspector.learnt, **rule}
        return Evaluation({"rule": rule}, (("", (row,)),), notes=tuple(self.notes))

    def write(self, folder: Path) -> Mapping[str, object]:
        """Write the rule and the examples of defect types; see `PairInspector.write`."""
        entries = self.inspector.write(folder)
        return {"detector": PAIRS, **entries, "pairs": self.count, "source_notes": list(self._notes)}

    def evaluate(self, source: object, reading: object, query: object = None) -> Evaluation:
        """Return figures on pairs with marked boxes. Raises DataError where there are none."""
        return evaluated_pairs(self.inspector, _pairs_in(source, reading))

    def diagnose(self, source: object, reading: object, query: object = None) -> Diagnosis:
        """Return a verdict for each pair of image and template. Raises DataError for a source without templates."""
        images = _pairs_in(source, reading)
        more = {"detector": PAIRS, "rule": asdict(self.inspector.rule)}
        made = self.inspector.inspect_all(_pairs(images))
        return diagnosis_of(made, self.inspector, self._settings, name_of(source), images.notes, more)

    def write_rows(
        self, source: object, out: Path, reading: object, query: object, every: bool = True, progress: bool = False
    ) -> Mapping[str, object]:
        """Write a line per pair; there are no probabilities to leave out."""
        images = _pairs_in(source, reading)
        return write_lines(self.inspector.inspect_all(_pairs(images)), out, images.notes)


class TextsModel:
    """Compares images with texts about a part; nothing is learnt."""

    def __init__(self, settings: ImageSettings, inspector: TextInspector) -> None:
        self.settings: object = settings
        self.inspector = inspector
        self._settings = settings

    @property
    def notes(self) -> list[str]:
        """What a person should know after the fit."""
        return [self.inspector.threshold.note]

    def summary(self) -> Evaluation:
        """Return the threshold."""
        return Evaluation({"threshold": asdict(self.inspector.threshold)}, notes=tuple(self.notes))

    def write(self, folder: Path) -> Mapping[str, object]:
        """Return the manifest's entries; there is nothing to write."""
        return {"detector": TEXTS}

    def evaluate(self, source: object, reading: object, query: object = None) -> Evaluation:
        """Return figures on labelled images. Raises DataError where there are no labels."""
        return evaluated(self.inspector, labelled_images(source, _how(reading), self.inspector.progress))

    def diagnose(self, source: object, reading: object, query: object = None) -> Diagnosis:
        """Return a verdict for each image of a source."""
        images = to_inspect(source, _how(reading), self.inspector.progress)
        more = {"detector": TEXTS, "backbone": self._settings.backbone}
        made = self.inspector.inspect_all(images.images)
        return diagnosis_of(made, self.inspector, self._settings, name_of(source), images.notes, more)

    def write_rows(
        self, source: object, out: Path, reading: object, query: object, every: bool = True, progress: bool = False
    ) -> Mapping[str, object]:
        """Write a line per image; there are no probabilities to leave out."""
        images = to_inspect(source, _how(reading), self.inspector.progress)
        return write_lines(self.inspector.inspect_all(images.images), out, images.notes)


def fitted_on(manifest: Mapping[str, object]) -> tuple[ImageReading, frozenset[str]]:
    """Return from a manifest how the fit read its source, and the fingerprints of the files that were drawn for it."""
    how, learnt = manifest.get("reading"), manifest.get("learnt_files")
    known = how if isinstance(how, Mapping) else {}
    reading = built(ImageReading, {name: known.get(name) for name in ("normal", "layout")}, "manifest")
    return reading, frozenset(map(str, learnt)) if isinstance(learnt, list) else frozenset()


def _how(reading: object) -> FolderReading:
    return reading.for_folder() if isinstance(reading, ImageReading) else FolderReading()


def _pairs_in(source: object, reading: object) -> ImageSet:
    """Return the pairs of a folder. Raises DataError for a source without templates."""
    images = read_image_set(source, _how(reading)) if isinstance(source, str | Path) else None
    if images is None or images.layout != "pairs":
        raise DataError(
            f"The run compares images with templates, and `{name_of(source)}` holds no templates: expected a folder "
            "with files NAME_test and NAME_temp, or with folders `query` and `template`."
        )
    return images


def _pairs(images: ImageSet) -> list[tuple[Pixels, Pixels]]:
    return [(item.path, item.template) for item in images.test if item.template is not None]
