"""No good image at all: images are compared with texts, and nothing is promised."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from faultwise.contracts.errors import UserError
from faultwise.contracts.settings import flattened
from faultwise.images.detection.regions import place_of
from faultwise.images.modality import images
from faultwise.images.settings import ImageReading, ImageSettings
from faultwise.images.text_inspector import TextInspector
from faultwise.images.text_judge import DAMAGED, FINE, load_text_judge


@pytest.fixture(scope="module", params=["clip", "siglip"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of images and texts with random weights, and a tokenizer that knows words."""
    import torch
    import transformers as hf
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp(request.param)
    words = sorted({word for text in (*FINE, *DAMAGED, "a photo of the part", "nut .") for word in text.split()})
    known = {word: at for at, word in enumerate(["<pad>", "<end>", "<unk>", *words])}
    made = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A <end>", special_tokens=[("<end>", 1)])
    hf.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<end>", unk_token="<unk>"
    ).save_pretrained(folder)
    small: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    }
    eyes = {**small, "image_size": 32, "patch_size": 8, "projection_dim": 16}
    text = {**small, "vocab_size": len(known), "max_position_embeddings": 16, "eos_token_id": 1, "pad_token_id": 0}
    torch.manual_seed(0)
    if request.param == "clip":
        config = hf.CLIPConfig(vision_config=eyes, text_config={**text, "projection_dim": 16}, projection_dim=16)
        hf.CLIPModel(config).save_pretrained(folder)
    else:
        hf.SiglipModel(hf.SiglipConfig(vision_config=eyes, text_config=text)).save_pretrained(folder)
    return folder


def _picture() -> np.ndarray:
    return np.random.default_rng(0).integers(90, 110, (90, 60, 3), dtype=np.uint8)


def test_texts_of_a_model_of_the_hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sides of unit length, a likelihood for each picture that does not depend on what stands beside it."""
    judge = load_text_judge(str(model), "nut")
    np.testing.assert_allclose(judge.sides.norm(dim=1).numpy(), 1, rtol=1e-5)
    pictures = [_picture(), np.full((40, 40, 3), 250, np.uint8)]
    both = judge.damaged(pictures)
    assert both.shape == (2,)
    assert ((both > 0) & (both < 1)).all()
    np.testing.assert_allclose(judge.damaged(pictures[1:]), both[1:], rtol=1e-4)
    # The side that a picture lies nearer to decides.
    monkeypatch.setattr(judge.model, "get_image_features", lambda **_: SimpleNamespace(pooler_output=judge.sides))
    fine, damaged = judge.damaged(pictures)
    assert fine < 0.5 < damaged
    monkeypatch.undo()
    assert not np.allclose(load_text_judge(str(model), "part").damaged(pictures), both)


def test_windows_show_where(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where dark windows are likely damaged, the dark corner is found; a picture without one is below the threshold."""
    inspector = TextInspector("nut", str(model))
    monkeypatch.setattr(
        inspector.judge, "damaged", lambda windows: np.array([0.9 if one.min() < 50 else 0.05 for one in windows])
    )
    fine, dark = _picture(), _picture()
    dark[4:12, 48:58] = 10
    first, second = inspector.inspect_all([fine, dark])
    assert (first.defective, second.defective) == (False, True)
    assert second.threshold.promised is None
    values = next(inspector.maps([dark]))
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    assert place_of((int(row), int(column)), (12, 12)) == "top right"
    assert second.regions[0].place == "top right"


def test_the_whole_way(cli: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    for kind in ("good", "dent"):
        (tmp_path / "nuts/test" / kind).mkdir(parents=True)
        for n in range(3):
            Pillow.fromarray(_picture() // (n + 1)).save(tmp_path / f"nuts/test/{kind}/{n}.png")
    run = tmp_path / "run"
    ran = cli("fit", tmp_path / "nuts", "--zero-shot", "nut", "--backbone", model, "--out", run)
    assert ran.code == 0
    assert "no false-alarm rate is promised" in ran.err
    made = cli("diagnose", run, tmp_path / "nuts", "--json", "--report", tmp_path / "r.html")
    cases = json.loads(made.out)["cases"]
    assert len(cases) == 6
    assert all(0 < one["verdict"]["fault_score"] < 1 for one in cases)
    assert all(one["verdict"]["false_alarm_rate"] is None for one in cases)
    assert "windows over a place show damage" in (tmp_path / "r.html").read_text()
    assert "image_auroc" in json.loads(cli("evaluate", run, tmp_path / "nuts", "--json").out)
    ran = cli("export", run, "--out", tmp_path / "x.onnx")
    assert (ran.code, "cannot be exported" in ran.err) == (2, True)


def test_wrong_use(model: Path, tmp_path: Path, tiny_lm: Path) -> None:
    with pytest.raises(UserError, match="does not know images and texts"):
        load_text_judge(str(tiny_lm), "nut")
    silent = tmp_path / "silent"
    shutil.copytree(model, silent, ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(UserError, match=r"tokenizer|cannot be loaded"):
        load_text_judge(str(silent), "nut")
    with pytest.raises(UserError, match="it is empty"):
        ImageSettings(zero_shot=" ", backbone=str(model))
    Pillow.fromarray(_picture()).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="give --backbone a CLIP or SigLIP model"):
        images.fit(tmp_path, ImageSettings(zero_shot="nut"), ImageReading())
    for settings, category, named in (({"talk": True}, None, "`talk`"), ({}, "a", "`category`")):
        wanted = ImageSettings(zero_shot="nut", backbone=str(model), **settings)
        with pytest.raises(UserError, match=f"{named} changes nothing without good images"):
            images.fit(tmp_path, wanted, ImageReading(category))


def test_deep_images_have_one_white(model: Path, tmp_path: Path) -> None:
    """One bright pixel in one of them must not make the others' scores depend on their own brightest."""
    rows = np.random.default_rng(0).integers(8_000, 30_000, (40, 40), dtype=np.uint16)
    hot = rows.copy()
    hot[0, 0] = 65_000
    for name, one in (("a", rows), ("b", hot)):
        Pillow.fromarray(one).save(tmp_path / f"{name}.png")
    made = images.fit(tmp_path, ImageSettings(zero_shot="nut", backbone=str(model)), ImageReading())
    again = images.load(tmp_path, {"settings": flattened(made.settings), **made.write(tmp_path)})
    first, second = again.diagnose(tmp_path, ImageReading(), None).cases
    assert first.verdict.fault_score == pytest.approx(second.verdict.fault_score, abs=0.01)
    assert first.picture is not None
    assert first.picture.read().max() < 130
