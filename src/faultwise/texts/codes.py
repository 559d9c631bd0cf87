"""Lists of codes: the labels that may be given, what they mean, and which wider label each belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faultwise.contracts.errors import DataError, closest, listing
from faultwise.contracts.labels import label_of

__all__ = ["Codes", "read_codes"]

_CODE = ("code", "label", "failure_mode", "failure mode", "mode", "secondary_code")
_DESCRIPTION = ("description", "meaning", "definition", "secondary_code_description")
_PARENT = ("parent", "group", "category", "class")


@dataclass(frozen=True, slots=True)
class Codes:
    """What is known of labels: `descriptions` and `parents` by label, both perhaps empty."""

    descriptions: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def check(self, labels: Iterable[str]) -> None:
        """Raises DataError naming labels of the texts that the list does not have."""
        known = set(self.descriptions)
        unknown = sorted(set(labels) - known)
        if self.source and unknown:
            near = closest(unknown[0], known)
            hint = f" Did you mean `{near}` for `{unknown[0]}`?" if near else ""
            raise DataError(
                f"`{self.source}` has no code for {listing(unknown)}, which the texts are labelled with: add "
                f"{'it' if len(unknown) == 1 else 'them'} to the list, or mend the labels.{hint}"
            )

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `Codes(**state)` takes back."""
        return asdict(self)


def read_codes(path: str | Path) -> Codes:
    """Read a table of codes. Raises DataError where no column holds codes, or a code occurs twice."""
    from faultwise.tables.reading.formats.formats import read_file

    frame = read_file(Path(path)).frame
    names = {str(name).strip().lower(): name for name in frame.columns}

    def column(candidates: tuple[str, ...]) -> object | None:
        return next((names[one] for one in candidates if one in names), None)

    code, description, parent = column(_CODE), column(_DESCRIPTION), column(_PARENT)
    if code is None:
        raise DataError(
            f"`{path}` has no column of codes; expected one of {listing(_CODE)}, and has {listing(frame.columns)}: "
            "rename its columns to code, description and parent."
        )
    labels = [label_of(one) or "" for one in frame[code]]
    twice = sorted({one for one in labels if one and labels.count(one) > 1})
    if twice:
        raise DataError(f"`{path}` has {listing(twice)} more than once: leave one line of each.")

    def cells(name: object | None) -> dict[str, str]:
        if name is None:
            return {}
        pairs = zip(labels, frame[name], strict=True)
        return {label: text for label, cell in pairs if label and (text := label_of(cell))}

    described = cells(description)
    return Codes({label: described.get(label, "") for label in labels if label}, cells(parent), str(path))
