"""Run folders: self-describing, without pickle, never half-written, and checked before they are believed.

`manifest.json` names format, version, commit, settings, seed, data hash and labels, and carries the SHA-256 of
every other file and of itself. An edited or incomplete folder is refused, and so is a newer format.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from faultwise import __version__
from faultwise.contracts.errors import RunFolderError
from faultwise.contracts.modality import Model
from faultwise.contracts.settings import flattened

__all__ = ["FORMAT", "check_target", "commit", "located", "read_manifest", "write_model", "write_run"]

FORMAT = 2
MANIFEST = "manifest.json"


def check_target(folder: Path) -> None:
    """Refuse a target that is something else than a run folder or nothing. Raises RunFolderError."""
    if folder.exists() and not (folder / MANIFEST).is_file():
        if folder.is_dir() and not any(folder.iterdir()):
            return
        raise RunFolderError(f"`{folder}` exists and is no run folder: choose another --out, nothing was written.")
    parent = next(p for p in folder.absolute().parents if p.exists())
    if not os.access(parent, os.W_OK):
        raise RunFolderError(f"`{parent}` cannot be written to: choose another --out.")


def write_run(folder: Path, manifest: Mapping[str, object], write: Callable[[Path], Mapping[str, object]]) -> Path:
    """Write a run folder: `write` fills a temporary one, which replaces `folder` in one step at the end, and returns
    entries of the manifest beside those of `manifest`.
    """
    folder = folder.resolve()  # a link stays; the run that it leads to is replaced
    if located(folder) != folder:
        os.replace(located(folder), folder)
    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        making.chmod(0o755)
        own = write(making)
        files = {str(f.relative_to(making)): _sha256(f) for f in sorted(making.rglob("*")) if f.is_file()}
        # What a model tells must not overwrite what is known of this run.
        whole: dict[str, object] = {**own, **manifest, "format": FORMAT, "version": __version__, "commit": commit()}
        whole["files"] = files
        whole["checksum"] = _checksum(whole)
        (making / MANIFEST).write_text(json.dumps(whole, indent=1, allow_nan=False), encoding="utf-8")
        # A folder cannot be exchanged for another in one step everywhere. Between these two the run is under its
        # second name, where `located` finds it, should the process end just then.
        old = _second_name(folder)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(folder, old)
        try:
            os.replace(making, folder)
        except BaseException:  # an interrupt too must not leave the older run under another name
            if old.exists():
                os.replace(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def write_model(folder: Path, modality: str, model: Model) -> Path:
    """Write the run folder of a fitted model, with its modality and settings in the manifest."""
    return write_run(folder, {"modality": modality, "settings": flattened(model.settings)}, model.write)


def located(folder: Path) -> Path:
    """Return where the run is: `folder`, or its second name if a process was killed while replacing it."""
    second = _second_name(folder.resolve())
    return second if not folder.exists() and (second / MANIFEST).is_file() else folder


def _second_name(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.replaced"


def read_manifest(folder: Path) -> dict[str, object]:
    """Read and check a run folder. Raises RunFolderError saying what is wrong with it."""
    path = folder / MANIFEST
    if not folder.is_dir():
        if folder.exists():
            raise RunFolderError(
                f"`{folder}` is a file and no run folder: the run folder comes first, then the source."
            )
        raise RunFolderError(f"There is no run folder `{folder}`: make one with `faultwise fit ... --out {folder}`.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        made_with = int(manifest["format"])
    except FileNotFoundError:
        raise RunFolderError(f"`{folder}` holds no {MANIFEST}: it is no run folder.") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise RunFolderError(f"`{path}` cannot be read ({type(error).__name__}): fit again.") from None
    if made_with > FORMAT:
        raise RunFolderError(
            f"`{folder}` has run format {made_with}, made by faultwise {manifest.get('version', 'unknown')}; "
            f"this is {__version__} and reads up to {FORMAT}: update with `pip install -U faultwise`."
        )
    if made_with < FORMAT:
        raise RunFolderError(
            f"`{folder}` was made by an earlier faultwise (run format {made_with}, this one reads {FORMAT}): "
            f"make it anew with `faultwise fit SOURCE --out {folder}`."
        )
    _check_edited(folder, manifest)
    return dict(manifest)


def _check_edited(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuse a manifest or files that were changed after the fit. Raises RunFolderError."""
    claimed = manifest.pop("checksum", None)
    try:
        right = claimed == _checksum(manifest)
    except ValueError:  # a NaN, which no fit writes
        right = False
    if not right:
        raise RunFolderError(f"`{folder / MANIFEST}` was edited after the fit: its checksum does not match. Fit again.")
    for name, expected in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            raise RunFolderError(f"`{folder}` is incomplete: `{name}` is missing. Fit again.")
        if _sha256(file) != expected:
            raise RunFolderError(f"`{file}` was edited after the fit: its SHA-256 does not match. Fit again.")


def commit() -> str | None:
    """Return the commit of the source tree this code runs from, with `+` when edited; None elsewhere."""
    here = Path(__file__).resolve().parent
    try:
        top = subprocess.run(
            ["git", "-C", str(here), "ls-files", "--error-unmatch", __file__],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
        if top.returncode:
            return None
        command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(manifest: Mapping[str, object]) -> str:
    text = json.dumps(manifest, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
