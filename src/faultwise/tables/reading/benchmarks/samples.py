"""The sample that ships with the package, and where to get the data sets that do not.

The Tennessee Eastman sample was simulated (`simulate`, `bench/make_sample.py`), so that a first run needs no network.
Nothing is downloaded here: for data sets that may not be passed on, or that are behind a form, the address is given.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypedDict

from faultwise.contracts.errors import DataError, closest, listing

__all__ = ["DataSet", "available", "companion_path", "get", "sample_path"]


class DataSet(TypedDict):
    """A data set: what it is (`provenance`), `where` to get it ("" if it is shipped), how to cite it."""

    name: str
    title: str
    rows: int
    licence: str
    provenance: str
    where: str
    cite: str
    shipped: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """One data set. `file` is its name among the shipped files, None when it has to be obtained elsewhere."""

    name: str
    title: str
    rows: int
    licence: str
    provenance: str
    cite: str
    where: str = ""
    file: str | None = None
    companion: str | None = None


_MODEL = (
    "J. J. Downs, E. F. Vogel: A plant-wide industrial process control problem, Computers & Chemical "
    "Engineering 17(3), 1993; A. Bathelt, N. L. Ricker, M. Jelali: Revision of the Tennessee Eastman Process "
    "Model, IFAC-PapersOnLine 48(8), 2015"
)
_KNOWN = (
    _Known(
        name="tep-sample",
        title="Tennessee Eastman process, simulated",
        rows=20160,
        licence="Apache-2.0",
        provenance=(
            "Faults 0 (normal) to 20, 6 runs each of 8 h at one row in 3 min, onset between 1 h and 2 h; simulated "
            "with tep-studio (a BSD-3-Clause wrapper around the model of Downs and Vogel as revised by Bathelt, Ricker "
            "and Jelali) and rounded to four or five significant digits."
        ),
        cite=_MODEL,
        file="tep-sample.parquet",
        companion="tep.yaml",
    ),
    _Known(
        name="tep-rieth",
        title="Tennessee Eastman process, edition of Rieth",
        rows=15_330_000,
        licence="see the page of the data set",
        provenance=(
            "500 training and 500 test runs of each of 21 classes. The four RData files "
            '(pip install "faultwise[rieth]") and CSV or Parquet editions with their columns are read, one file or the '
            "folder. Tested on generated files of that layout only."
        ),
        where=("faultwise does not download it: get it from https://doi.org/10.7910/DVN/6C3JR1 (Harvard Dataverse)."),
        cite=(
            "C. A. Rieth, B. D. Amsel, R. Tran, M. B. Cook: Additional Tennessee Eastman Process Simulation "
            "Data for Anomaly Detection Evaluation, Harvard Dataverse, 2017"
        ),
    ),
    _Known(
        name="hst",
        title="Braking of a high-speed train",
        rows=22_368,
        licence="not known",
        provenance=(
            "46 unnamed features, normal and anomalous rows. A file with `hst` in its name and 47 columns is "
            "recognised and its labels are counted. Tested on generated files only."
        ),
        where=(
            "faultwise does not download it: get it from the authors of the results you compare with (no public "
            "address is known to us)."
        ),
        cite="the publication that your file came with",
    ),
    _Known(
        name="ai4i",
        title="AI4I 2020 predictive maintenance (synthetic milling machine)",
        rows=10_000,
        licence="CC BY 4.0",
        provenance="Recognised by its columns, with the label `Machine failure` unless another one is named.",
        where=(
            "faultwise does not download it: get it from https://doi.org/10.24432/C5HS5C (UCI Machine Learning "
            "Repository)."
        ),
        cite=("S. Matzka: Explainable Artificial Intelligence for Predictive Maintenance Applications, AI4I 2020"),
    ),
)


def available() -> list[DataSet]:
    """Return the known data sets, shipped or not."""
    return [
        DataSet(
            name=known.name,
            title=known.title,
            rows=known.rows,
            licence=known.licence,
            provenance=known.provenance,
            where=known.where,
            cite=known.cite,
            shipped=known.file is not None,
        )
        for known in _KNOWN
    ]


def sample_path(name: str) -> Path:
    """Return the path of a shipped sample inside the installed package.

    Raises DataError for an unknown name, and for a data set that is not shipped, with the place to get it.

    >>> sample_path("tep-sampel")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    faultwise.contracts.errors.DataError: There is no sample `tep-sampel`; ...
    """
    return _shipped(str(_find(name).file))


def companion_path(name: str) -> Path | None:
    """Return the path of the sample's companion file (names, units, faults), None without one.

    Raises DataError like `sample_path`.
    """
    companion = _find(name).companion
    return None if companion is None else _shipped(companion)


def get(name: str, out: str | Path) -> list[Path]:
    """Copy a sample and its companion file out of the package and return the paths written.

    `out` is a folder (made if absent) or, with the sample's own suffix, the file to write; the companion goes
    beside it. Raises DataError for unknown names, where a file exists already, and where nothing can be written.
    """
    source, companion = sample_path(name), companion_path(name)
    out = Path(out).expanduser()
    is_file = out.suffix == source.suffix and not out.is_dir()
    folder = out.parent if is_file else out
    pairs = [(source, out if is_file else folder / source.name)]
    if companion is not None:
        pairs.append((companion, folder / companion.name))
    there = [str(target) for _, target in pairs if target.exists()]
    if there:
        raise DataError(f"There is already {listing(there)}: remove it or choose another place.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for origin, target in pairs:
            shutil.copyfile(origin, target)
    except OSError as error:
        raise DataError(f"`{name}` cannot be written to `{out}` ({error}): choose another place.") from error
    return [target for _, target in pairs]


def _find(name: str) -> _Known:
    """Return the shipped sample. Raises DataError."""
    for known in _KNOWN:
        if known.name == name:
            if known.file is None:
                raise DataError(f"`{name}` does not come with faultwise. {known.where}")
            return known
    near = closest(name, [known.name for known in _KNOWN])
    shipped = listing(known.name for known in _KNOWN if known.file)
    hint = f"did you mean `{near}`?" if near else "choose one of them."
    raise DataError(f"There is no sample `{name}`; shipped: {shipped}: {hint}")


def _shipped(file: str) -> Path:
    """Return the path of a shipped file; the package is always installed as real files."""
    return Path(str(resources.files("faultwise.tables.reading.benchmarks") / "shipped" / file))
