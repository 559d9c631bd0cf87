"""What is learnt on simulated defects: the decoder, the prompt learner, and the language model's replies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise import UserError
from faultwise.contracts.errors import RunFolderError
from faultwise.images.data.simulated_marks import DEFECT_TYPES, marked, simulated_set
from faultwise.images.dialogue.dialogues import PLACES, QUESTIONS, answer, read_reply, shares_of_places
from faultwise.images.dialogue.replies import ReplyModel


def _picture(seed: int = 0, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(90, 160, (side, side, 1), dtype=np.uint8).repeat(3, axis=2)


# --- simulated defects -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(DEFECT_TYPES), seed=st.integers(0, 10_000), high=st.integers(16, 90), wide=st.integers(16, 90)
)
def test_marks_change_what_they_label(kind: str, seed: int, high: int, wide: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(60, 200, (high, wide, 3), dtype=np.uint8)
    made, labels = marked(kind, picture, picture[::-1, ::-1].copy(), rng)
    assert made.shape == picture.shape
    assert made.dtype == np.uint8
    assert labels.shape == (high, wide)
    assert labels.min() >= 0
    assert labels.max() <= 1
    changed = np.abs(made.astype(int) - picture).max(axis=2) > 0
    assert changed[labels > 0.5].mean() > 0.8 if (labels > 0.5).any() else True


def test_sets_hold_every_type_as_often() -> None:
    made = list(simulated_set([_picture(n) for n in range(3)], 5, seed=1))
    assert [kind for _, _, kind in made] == list(DEFECT_TYPES) * 5
    again = list(simulated_set([_picture(n) for n in range(3)], 5, seed=1))
    assert all((one[0] == two[0]).all() for one, two in zip(made, again, strict=True))
    plain = [np.full((32, 32, 3), 120, np.uint8)]
    assert {kind for _, _, kind in simulated_set(plain, 5)} == {"stained", "scratched"}  # nothing to cut out
    with pytest.raises(UserError, match="no type of simulated defect"):
        marked("rust", _picture(), _picture(), np.random.default_rng(0))


# --- decoder ---------------------------------------------------------------------------------------------------


def _maps(seed: int, defect: bool) -> tuple[np.ndarray, np.ndarray | None]:
    rng = np.random.default_rng(seed)
    made = rng.normal(size=(8, 8, 6)).astype(np.float32)
    if not defect:
        return made, None
    row, column = rng.integers(0, 7, 2)
    made[row : row + 2, column : column + 2, :3] += 3
    labels = np.zeros((64, 64), np.float32)
    labels[8 * row : 8 * row + 16, 8 * column : 8 * column + 16] = 1
    return made, labels


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"focal": "weighted"},
        {"focal": "adaptive"},
        {"norm": "batch", "dropout": 0.2},
        {"norm": "layer", "residual": True},
    ],
)
def test_decoders_point_at_defects(tmp_path: Path, options: dict[str, Any]) -> None:
    from faultwise.images.detection.decoder import DecoderSettings, load_decoder, trained

    samples = [_maps(seed, seed % 2 == 0) for seed in range(120)]
    chosen = DecoderSettings(hidden=16, steps=150, **options)
    model = trained([one for one, _ in samples], [label for _, label in samples], chosen)
    hits = 0
    for seed in range(500, 520):
        maps, labels = _maps(seed, True)
        assert labels is not None
        peak = np.unravel_index(model.logits(maps).argmax(), (8, 8))
        hits += bool(labels[8 * peak[0], 8 * peak[1]])
    assert hits >= 19
    model.save(tmp_path)
    again = load_decoder(tmp_path, chosen)
    np.testing.assert_array_equal(again.logits(maps), model.logits(maps))


def test_decoders_of_images_of_two_sizes_and_bad_input(tmp_path: Path) -> None:
    from faultwise.images.detection.decoder import DecoderSettings, load_decoder, trained

    short = DecoderSettings(hidden=4, steps=3)
    one, label = _maps(0, True)
    model = trained([one, one[:4], one], [label, None, None], short)
    assert model.logits(one[:3]).shape == (3, 8)
    with pytest.raises(UserError, match="no label marks a defect"):
        trained([one], [None], short)
    with pytest.raises(UserError, match="focal is `hard`"):
        DecoderSettings(focal="hard")
    with pytest.raises(UserError, match="dropout"):
        DecoderSettings(dropout=1)
    with pytest.raises(RunFolderError, match="no decoder that can be read"):
        load_decoder(tmp_path)


# --- dialogues -------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(PLACES), max_size=2, unique=True))
def test_replies_are_read_as_they_are_written(places: list[str]) -> None:
    read = read_reply(answer("whether", places))
    assert read.defective == bool(places)
    assert read.places == tuple(places)
    assert read.count == len(places)
    assert read_reply(answer("where", places)).places == tuple(places)
    assert read_reply("I like trains.").defective is None


def test_places_of_labels() -> None:
    labels = np.zeros((90, 90))
    labels[2:12, 2:12] = 1
    labels[50:70, 20:40] = 0.9
    labels[80, 80] = 1  # a speck
    first, second = shares_of_places(labels)
    assert max(first, key=first.__getitem__) == "left"
    assert set(first) == {"left", "center", "bottom left", "bottom"}
    assert second == {"top left": 1.0}
    assert shares_of_places(np.zeros((9, 9))) == []


def _seen(count: int, seed: int = 0) -> tuple[np.ndarray, list[list[dict[str, float]]]]:
    """Vectors whose maps are high in one ninth, for every second image."""
    from faultwise.images.dialogue.prompt_learner import SIDE

    rng = np.random.default_rng(seed)
    vectors, places = [], []
    for n in range(count):
        maps = rng.normal(size=(SIDE, SIDE))
        where = []
        if n % 2:
            ninth = int(rng.integers(9))
            row, column = (SIDE // 3 * one for one in divmod(ninth, 3))
            maps[row + 2 : row + 6, column + 2 : column + 6] += 8
            where = [{PLACES[ninth]: 1.0}]
        vectors.append(np.r_[maps.ravel(), rng.normal(size=5)])
        places.append(where)
    return np.array(vectors, np.float32), places


def test_readers_learn_places(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from faultwise.images.dialogue import prompt_learner
    from faultwise.images.dialogue.prompt_learner import PromptLearner, taught

    vectors, places = _seen(200)
    words = {name: torch.randn(12) for name in ("yes", "no", "none", *PLACES)}
    cells = torch.tensor([[float(any(name in one for one in of)) for name in PLACES] for of in places])
    found = torch.tensor([float(bool(of)) for of in places])
    monkeypatch.setattr(prompt_learner, "_STEPS", 160)
    learner = taught(PromptLearner(5, words), torch.from_numpy(vectors), found, cells)
    fresh, where = _seen(60, seed=1)
    any_, ninths, _ = learner.read(torch.from_numpy(fresh))
    assert ((any_ > 0).tolist() == np.array([bool(of) for of in where])).mean() > 0.95
    bad = [at for at, of in enumerate(where) if of]
    right = [PLACES[int(ninths[at].argmax())] in where[at][0] for at in bad]
    assert np.mean(right) > 0.95
    assert learner(torch.from_numpy(fresh)).shape == (60, *learner.shape[::2])


def test_replies_come_back(tiny_lm: Path, brief_replies: None, tmp_path: Path) -> None:
    vectors, places = _seen(20)
    model = ReplyModel(str(tiny_lm), steps=3).fit(vectors, places)
    ask = QUESTIONS["whether"][0]
    first = model.reply(vectors[0], ask)
    assert first == ReplyModel(str(tiny_lm), steps=3).fit(vectors, places).reply(vectors[0], ask)
    assert model.replies(vectors[:3], [ask] * 3)[0] == first
    turns = [(ask, "Yes."), (QUESTIONS["where"][0], "At the top.")]
    assert isinstance(model.reply(vectors[0], "How many?", turns), str)
    assert isinstance(model.reply(None, "Hello!"), str)
    assert model.log.constant  # three steps teach a random model nothing, which the note says
    assert "gives one reply to every image" in model.note
    model.save(tmp_path)
    again = ReplyModel(str(tiny_lm)).load(tmp_path)
    assert again.reply(vectors[0], ask) == first


def test_talking_takes_images(tiny_lm: Path, tmp_path: Path) -> None:
    vectors, places = _seen(10)
    with pytest.raises(UserError, match="give both"):
        ReplyModel(str(tiny_lm)).fit(vectors, [[] for _ in places])
    with pytest.raises(UserError, match="has not learnt to answer"):
        ReplyModel(str(tiny_lm)).reply(vectors[0], "Hello!")
    with pytest.raises(RunFolderError, match="holds no replies"):
        ReplyModel(str(tiny_lm)).load(tmp_path)
