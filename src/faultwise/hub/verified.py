"""Files whose content is known: hashing, copying under a hash, and remembering the last check.

Nothing here fetches or decides where a file lies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import IO

from faultwise.contracts.errors import HubError
from faultwise.hub.registry import Artifact

__all__ = ["copy_checked", "is_right", "sha256", "size_of", "write_stamp"]

_CHUNK = 1 << 20


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_of(file: Path) -> int | None:
    """Return the size in bytes, or None where there is no such file."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def is_right(artifact: Artifact, target: Path, trust_stamp: bool) -> bool:
    """Return whether the file is there with the right content, hashing it when the stamp does not fit."""
    try:
        seen = target.stat()
    except OSError:
        return False
    if seen.st_size != artifact.size:
        return False
    expected = {"sha256": artifact.member_sha256, "size": seen.st_size, "mtime_ns": seen.st_mtime_ns}
    if trust_stamp:
        with contextlib.suppress(OSError, ValueError):
            if json.loads(_stamp(target).read_text(encoding="utf-8")) == expected:
                return True
    if sha256(target) != artifact.member_sha256:
        return False
    write_stamp(artifact, target)
    return True


def write_stamp(artifact: Artifact, target: Path) -> None:
    """Record the check; where the folder is read-only the file is hashed each time."""
    seen = target.stat()
    content = {"sha256": artifact.member_sha256, "size": seen.st_size, "mtime_ns": seen.st_mtime_ns}
    new = target.with_name(f".stamp-{os.getpid()}")
    try:
        new.write_text(json.dumps(content), encoding="utf-8")
        os.replace(new, _stamp(target))
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()


def _stamp(target: Path) -> Path:
    """Return the file beside `target` that records the last successful check."""
    return target.with_name(target.name + ".verified.json")


def copy_checked(artifact: Artifact, source: IO[bytes], out: Path, what: str) -> Path:
    """Write the stream to `out` while counting and hashing it; a wrong one is removed and refused."""
    digest, size = hashlib.sha256(), 0
    with out.open("wb") as sink:
        while size <= artifact.size and (chunk := source.read(min(_CHUNK, artifact.size + 1 - size))):
            size += len(chunk)
            digest.update(chunk)
            sink.write(chunk)
        sink.flush()
        os.fsync(sink.fileno())
    if size == artifact.size and digest.hexdigest() == artifact.member_sha256:
        return out
    out.unlink()
    if size > artifact.size:
        raise HubError(f"{what} is larger than the expected {artifact.size} bytes: nothing was kept.")
    raise HubError(
        f"{what} has {size} bytes and SHA-256 {digest.hexdigest()}, expected {artifact.size} bytes and "
        f"{artifact.member_sha256}: nothing was kept."
    )
