"""Written texts as a modality: work orders and notes, with labels such as failure modes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.texts.settings import TextQuery, TextReading, TextSettings

if TYPE_CHECKING:
    from faultwise.texts.model import TextModel

__all__ = ["TextModality", "texts"]


class TextModality:
    """See `contracts.modality.Modality`."""

    name = "texts"
    traces = "texts"
    fallback = False
    settings: type = TextSettings
    reading: type = TextReading
    query: type = TextQuery

    def recognise(self, source: object) -> str | None:
        """Return in words why a source is one of texts; None for others."""
        from faultwise.texts.recognising import why_texts

        return why_texts(source)

    def fit(self, source: object, settings: object, reading: object, progress: bool = False) -> TextModel:
        """Learn from labelled texts. Raises DataError or UserError before any expensive work."""
        from faultwise.texts.fitting import fit_texts
        from faultwise.texts.model import TextModel
        from faultwise.texts.reading import read_texts

        assert isinstance(settings, TextSettings)
        assert isinstance(reading, TextReading)
        texts = read_texts(source, reading, labelled=True)
        return TextModel(settings, reading, fit_texts(texts, settings, reading, progress), progress)

    def load(self, folder: Path, manifest: Mapping[str, object], progress: bool = False) -> TextModel:
        """Read what a model wrote. Raises RunFolderError when it cannot be understood."""
        from faultwise.contracts.errors import RunFolderError
        from faultwise.contracts.settings import built
        from faultwise.texts.model import TextModel

        stored, how = manifest.get("settings"), manifest.get("reading")
        if not isinstance(stored, Mapping) or not isinstance(how, Mapping):
            raise RunFolderError(f"`{folder}` holds no settings: fit again.")
        settings = built(TextSettings, stored, str(folder))
        reading = built(TextReading, {name: value for name, value in how.items() if value is not None}, str(folder))
        return TextModel.read(folder, manifest, settings, reading, progress)


texts = TextModality()
