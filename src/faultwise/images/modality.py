"""The modality of images: recognises their sources, and fits by good images, by pairs with templates, or by texts.

Importing it is light: what needs numpy, torch or Pillow is imported inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.contracts.errors import DataError, RunFolderError, UserError, listing
from faultwise.contracts.settings import built, flattened
from faultwise.images.settings import ImageQuery, ImageReading, ImageSettings

if TYPE_CHECKING:
    from faultwise.contracts.modality import Model
    from faultwise.images.data.image_sets import ImageSet

__all__ = ["ImageModality", "images"]

_OF_TEXTS, _OF_PAIRS = ("zero_shot", "backbone"), ("seed",)


class ImageModality:
    """Files, folders and arrays of images; see `contracts.modality.Modality`."""

    name = "images"
    traces = "images"
    fallback = False
    settings: type = ImageSettings
    reading: type = ImageReading
    query: type = ImageQuery

    def recognise(self, source: object) -> str | None:
        """Return in words why a source is one of images; None for others.

        Images are a file, a folder (plain, in the MVTec layout, or of pairs), or a sequence of arrays (height, width,
        3; uint8) or of files. A folder of tables stays one with some plots in it.
        """
        from faultwise.images.data.sources import why_source

        return why_source(source)

    def fit(self, source: object, settings: object, reading: object, progress: bool = False) -> Model:
        """Learn good images, or the rule for pairs; with `zero_shot` nothing is learnt.

        Raises DataError for a source without good images, UserError for settings that do not belong to it.
        """
        chosen = settings if isinstance(settings, ImageSettings) else ImageSettings()
        how = reading if isinstance(reading, ImageReading) else ImageReading()
        if chosen.zero_shot is not None:
            return _fit_texts(chosen, how, progress)
        from faultwise.images.data.sources import fingerprints, holds_arrays, in_memory, name_of, read_checked
        from faultwise.images.inspector import Inspector
        from faultwise.images.models import GoodImagesModel

        if holds_arrays(source):
            inspector = Inspector(chosen, progress).fit(in_memory(source) or ())
            return GoodImagesModel(chosen, inspector, ("All images of the sequence are taken to be good.",))
        found, white = read_checked(source, how.for_folder(), progress)
        if found.layout == "pairs":
            return _fit_pairs(found, chosen, progress)
        if found.unclear:
            raise DataError(found.unclear)
        if not found.train and found.layout == "labelled":
            raise DataError(f"`{name_of(source)}` has no good images to learn from: add some. {' '.join(found.notes)}")
        if not found.train:
            raise DataError(
                f"`{name_of(source)}` has nothing in `train/good`, so there are no good images to learn from: give a "
                f"folder of them, or the MVTec layout. {' '.join(found.notes)}"
            )
        defects = [(item.path, item.label) for item in found.defects]
        inspector = Inspector(chosen, progress).fit([item.path for item in found.train], white, defects)
        return GoodImagesModel(chosen, inspector, found.notes, how, fingerprints(found))

    def load(self, folder: Path, manifest: Mapping[str, object], progress: bool = False) -> Model:
        """Read what a model wrote. Raises RunFolderError when it cannot be understood."""
        from faultwise.images import models

        stored = manifest.get("settings")
        if not isinstance(stored, Mapping):
            raise RunFolderError(f"`{folder}` holds no settings: fit again.")
        try:
            settings = built(ImageSettings, stored, str(folder))
        except UserError as error:
            raise RunFolderError(f"{error} Fit again.") from None
        detector, notes = manifest.get("detector"), manifest.get("source_notes")
        kept = [str(one) for one in notes] if isinstance(notes, list) else []
        if detector == models.GOOD_IMAGES:
            from faultwise.images.inspector import Inspector

            inspector = Inspector.load(folder, manifest, settings, progress)
            return models.GoodImagesModel(settings, inspector, kept, *models.fitted_on(manifest))
        if detector == models.PAIRS:
            from faultwise.images.pair_inspector import PairInspector

            count = manifest.get("pairs")
            pairs = PairInspector.load(folder, manifest, progress)
            return models.PairsModel(settings, pairs, count if isinstance(count, int) else 0, kept)
        if detector == models.TEXTS:
            return _texts(settings, progress)
        raise RunFolderError(f"`{folder}` has the detector `{detector}`, which is not known here: fit again.")


def _fit_texts(settings: ImageSettings, reading: ImageReading, progress: bool) -> Model:
    """Return a model that compares with texts: no image of the source is learnt from."""
    changed = [*_changed(settings, _OF_TEXTS), *_changed(reading, ())]
    if changed:
        raise UserError(f"{_flags(changed)} changes nothing without good images (--zero-shot): leave it out.")
    return _texts(settings, progress)


def _texts(settings: ImageSettings, progress: bool) -> Model:
    from faultwise.images.models import TextsModel
    from faultwise.images.text_inspector import TextInspector

    return TextsModel(settings, TextInspector(settings.zero_shot or "", settings.backbone, progress))


def _fit_pairs(images: ImageSet, settings: ImageSettings, progress: bool) -> Model:
    """Choose the rule for marked boxes and learn their types; without boxes, keep the plain rule."""
    from faultwise.images.evaluation import labelled_pairs
    from faultwise.images.models import PairsModel
    from faultwise.images.pair_inspector import PairInspector

    if changed := _changed(settings, _OF_PAIRS):
        raise UserError(
            f"{_flags(changed)} is for single images, and `{images.source}` holds pairs with templates: leave it out."
        )
    inspector = PairInspector(progress=progress, seed=settings.seed)
    pairs, boxes = labelled_pairs(images)
    if any(boxes):
        inspector.fit(pairs, boxes)
        note = f"The rule was chosen for the boxes of {len(pairs)} pairs."
    else:
        note = (
            "No boxes lie beside the images (NAME.txt with x1 y1 x2 y2 type), so the plain rule is kept and no types "
            "of defects are named."
        )
    return PairsModel(settings, inspector, len(images.test), (*images.notes, note))


def _changed(settings: ImageSettings | ImageReading, kept: tuple[str, ...]) -> list[str]:
    """Return the names of settings that are not their defaults, without those that may be changed."""
    defaults = flattened(type(settings)())
    return [name for name, value in flattened(settings).items() if name not in kept and value != defaults[name]]


def _flags(names: list[str]) -> str:
    return listing(names, 20)


images = ImageModality()
