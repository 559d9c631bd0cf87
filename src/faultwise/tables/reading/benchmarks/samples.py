"""The sample that ships with the package, and where to get the data sets that do not.

The Tennessee Eastman sample was simulated (`simulate`, `bench/make_sample.py`), so a first run needs no
network. What it does not do: it downloads nothing; data sets that may not be passed on, or that live behind a
form, are only named here with their address.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from faultwise.contracts.errors import DataError, closest, listing

__all__ = ["available", "companion_path", "get", "sample_path"]


@dataclass(frozen=True, slots=True)
class _Known:
    """One data set. `file` is its name among the shipped files, None when it has to be got elsewhere."""

    name: str
    rows: int
    licence: str
    provenance: str
    cite: str
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
        rows=20160,
        licence="Apache-2.0",
        provenance=(
            "Tennessee Eastman process: faults 0 (normal) to 20, 6 runs each of 8 h at one row in 3 min, onset "
            "between 1 h and 2 h; simulated with tep-studio (a BSD-3-Clause wrapper around the model of Downs "
            "and Vogel as revised by Bathelt, Ricker and Jelali), rounded to four or five significant digits"
        ),
        cite=_MODEL,
        file="tep-sample.parquet",
        companion="tep.yaml",
    ),
    _Known(
        name="tep-rieth",
        rows=15_330_000,
        licence="see the data set's page",
        provenance=(
            "Tennessee Eastman process, 500 training and 500 test runs of each of 21 classes; not fetched by "
            "faultwise: get it from https://doi.org/10.7910/DVN/6C3JR1 (Harvard Dataverse); the four RData files "
            '(pip install "faultwise[rieth]") and CSV or Parquet editions with their columns are read, one file or '
            "the folder; tested on generated files of that layout only"
        ),
        cite=(
            "C. A. Rieth, B. D. Amsel, R. Tran, M. B. Cook: Additional Tennessee Eastman Process Simulation "
            "Data for Anomaly Detection Evaluation, Harvard Dataverse, 2017"
        ),
    ),
    _Known(
        name="hst",
        rows=22_368,
        licence="not known",
        provenance=(
            "high-speed train braking, 46 unnamed features, normal and anomalous rows; not fetched by "
            "faultwise: get it from whoever published the results you compare with (no public address is "
            "known to us); a file with `hst` in its name and 47 columns is recognised and its labels are counted; "
            "tested on generated files only"
        ),
        cite="the publication your copy came with",
    ),
    _Known(
        name="ai4i",
        rows=10_000,
        licence="CC BY 4.0",
        provenance=(
            "AI4I 2020 predictive maintenance (synthetic milling machine); not fetched by faultwise: get it "
            "from https://doi.org/10.24432/C5HS5C (UCI Machine Learning Repository); recognised by its columns, "
            "with the label `Machine failure` unless another is named"
        ),
        cite=("S. Matzka: Explainable Artificial Intelligence for Predictive Maintenance Applications, AI4I 2020"),
    ),
)


def available() -> list[dict[str, Any]]:
    """Return one dict per data set: name, rows, licence, provenance, cite, shipped (bool).

    Where `shipped` is False the provenance says where to get it.
    """
    lines = []
    for known in _KNOWN:
        line = asdict(known)
        del line["companion"]
        line["shipped"] = line.pop("file") is not None
        lines.append(line)
    return lines


def sample_path(name: str) -> Path:
    """Return the path of a shipped sample inside the installed package.

    Raises DataError for an unknown name, and for a data set that is not shipped (saying where to get it).

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
    beside it. Files that are there are kept: DataError, as for unknown names or a place that cannot be
    written.
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
        raise DataError(f"{listing(there)} is there already: remove it or choose another place.")
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
                raise DataError(f"`{name}` is not shipped: {known.provenance}.")
            return known
    near = closest(name, [known.name for known in _KNOWN])
    shipped = listing(known.name for known in _KNOWN if known.file)
    hint = f"did you mean `{near}`?" if near else "choose one of them."
    raise DataError(f"There is no sample `{name}`; shipped: {shipped}: {hint}")


def _shipped(file: str) -> Path:
    """Return the path of a shipped file; a package is always installed as real files here."""
    return Path(str(resources.files("faultwise.tables.reading.benchmarks") / "shipped" / file))
