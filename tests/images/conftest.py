"""Fixtures of the tests on images: parts as files, a fast backbone, and a reply model that is trained briefly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from faultwise.images.detection.backbones import Backbone


@pytest.fixture
def brief_replies() -> Iterator[None]:
    """Train the prompt learner for a few steps, and write a few tokens a reply: the code is the same."""
    from faultwise.images.dialogue import prompt_learner, replies

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_learner, "_STEPS", 10)
        patch.setattr(replies, "_LONGEST", 6)
        yield


@pytest.fixture
def fast_backbone(monkeypatch: pytest.MonkeyPatch, edges: Backbone) -> Backbone:
    """Let every inspector see with `edges`, whatever the settings name."""
    monkeypatch.setattr("faultwise.images.inspector.load_backbone", lambda *_, **__: edges)
    return edges


def _part(seed: int, hole: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lines = rng.normal(120, 9, (1, 128, 1)) + rng.normal(0, 3, (128, 128, 1))
    lines[84:104, 20:40] -= 90 * hole
    return np.clip(lines, 0, 255).astype(np.uint8).repeat(3, axis=2)


@pytest.fixture(scope="session")
def part() -> Callable[..., np.ndarray]:
    """Make a brushed part, with a dark hole at the lower left if wanted: `part(seed, hole)`."""
    return _part


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of parts in the MVTec layout: 24 good ones to learn from, 6 good and 6 with a hole to judge."""
    folder = tmp_path_factory.mktemp("images") / "part"
    for place, count, hole in (("train/good", 24, False), ("test/good", 6, False), ("test/hole", 6, True)):
        (folder / place).mkdir(parents=True)
        for n in range(count):
            Pillow.fromarray(_part(100 * len(place) + n, hole)).save(folder / place / f"{n}.png")
    mask = np.zeros((128, 128), np.uint8)
    mask[84:104, 20:40] = 255
    (folder / "ground_truth/hole").mkdir(parents=True)
    for n in range(6):
        Pillow.fromarray(mask).save(folder / f"ground_truth/hole/{n}_mask.png")
    return folder
