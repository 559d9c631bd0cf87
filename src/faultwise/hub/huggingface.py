"""What a model hub gives: one file that must have a known hash, or the snapshot of a whole model.

Snapshots are not pinned by a hash of ours, and pickled weights are not downloaded.
"""

from __future__ import annotations

from pathlib import Path

from faultwise.contracts.errors import HubError
from faultwise.hub.registry import Artifact
from faultwise.hub.verified import copy_checked

__all__ = ["from_hub", "snapshot"]

# Formats of other frameworks, pickles, and GGUF files, of which one repository may hold dozens of sizes.
_NOT_WANTED = ["*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.gguf"]
_NOT_WANTED += ["*.onnx", "*.onnx_data", "onnx/*", "openvino/*", "coreml/*", "original/*"]


def from_hub(artifact: Artifact, out: Path) -> Path:
    """Fetch the file of the same content from Hugging Face to `out`. Raises HubError."""
    assert artifact.hub_file is not None
    repo, name = artifact.hub_file
    try:
        from huggingface_hub import hf_hub_download

        got = Path(hf_hub_download(repo, name, local_dir=out.parent / "hub"))
    except Exception as error:  # the library raises what its many transports raise
        raise HubError(f"Hugging Face did not give `{repo}/{name}` ({_first_line(error)}).") from error
    with got.open("rb") as source:
        return copy_checked(artifact, source, out, f"`{name}` of `{repo}`")


def snapshot(hub_id: str, offline: bool) -> Path:
    """Return the folder of a Hugging Face model (`owner/name` or `owner/name@revision`). Raises HubError."""
    repo, _, revision = hub_id.partition("@")
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
