"""Fine-tuning methods, on a random two-layer LLaMA: what is trained, what is kept, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.contracts.language import METHODS
from faultwise.language import nf4
from faultwise.language.adapters import MethodConfig, TunedModel, attach

IDS = [[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]]
LABELS = [20, 21, 22]  # rows of the output embedding
TRAINED = [method for method in METHODS if method != "context"]
FILES = {"context": set(), "adapter": {"trained.safetensors"}, "partial": {"trained.safetensors"}}
FILES["full"] = FILES["partial"]


def _wide(seed: int = 0, tied: bool = False) -> Any:
    """A LLaMA whose linear modules are wide enough for bitsandbytes to repack, which a narrow one crashes on."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, tie_word_embeddings=tied, **shape)).eval()


def _small(seed: int, dtype: str) -> Any:
    """A random LLaMA of the tiny one's size: a start of its own for every seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, **shape)).to(getattr(torch, dtype)).eval()


def _config(method: str, **more: Any) -> MethodConfig:
    return MethodConfig(method, **{"rank": 4, "alpha": 8, "width": 8, "virtual_tokens": 3, **more})


def _logits(tuned: TunedModel) -> Any:
    """Logits (2, 3) of the labels by the inner decoder and three rows of the output embedding."""
    import torch

    ids = torch.tensor(IDS)
    embeds = tuned.embeddings(ids)
    if tuned.soft_prompt is not None:
        embeds = torch.cat([tuned.soft_prompt.expand(len(ids), -1, -1), embeds], dim=1)
    hidden = tuned.backbone()(inputs_embeds=embeds).last_hidden_state[:, -1]
    return (hidden @ tuned.output_layer.weight[LABELS].T).float()


def _loss(tuned: TunedModel) -> Any:
    import torch

    return torch.nn.functional.cross_entropy(_logits(tuned), torch.tensor([0, 2]))


def _plain(model: Any) -> Any:
    """The same logits by the whole model, without any fine-tuning method."""
    import torch

    with torch.no_grad():
        return model(torch.tensor(IDS)).logits[:, -1, LABELS].float()


def _train(tuned: TunedModel, steps: int, rate: float = 1e-2) -> list[float]:
    import torch

    optimiser = torch.optim.AdamW(tuned.groups(rate), weight_decay=0.0)
    losses = []
    for _ in range(steps):
        loss = _loss(tuned)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses


def _dtypes() -> Any:
    return pytest.mark.parametrize("dtype", ["float32", "bfloat16"])


# --- what is trained -----------------------------------------------------------------------------------------


@_dtypes()
@pytest.mark.parametrize("method", METHODS)
def test_outputs_begin_as_the_base_models(tiny: Any, method: str, dtype: str) -> None:
    import torch

    model = tiny(dtype)
    before = _plain(model)
    tuned = attach(model, _config(method))
    with torch.no_grad():
        if method == "prompt":  # vectors that are words' own embeddings are these words
            words = [30, 31, 32]
            tuned = attach(model, _config(method), words)
            longer = torch.tensor([words + row for row in IDS])
            before = model(longer).logits[:, -1, LABELS].float()
        after = _logits(tuned)
    if method == "qlora":
        assert 0 < (after - before).abs().max() < 0.1 * before.abs().max() + 0.05
    else:
        # Three rows of the output layer are summed in another order than all of them.
        torch.testing.assert_close(after, before, atol=1e-6 if dtype == "float32" else 5e-3, rtol=0)


@_dtypes()
@pytest.mark.parametrize("method", METHODS)
def test_gradients_reach_what_is_trained_and_nothing_else(tiny: Any, method: str, dtype: str) -> None:
    import torch

    tuned = attach(tiny(dtype), _config(method))
    with torch.no_grad():  # the half that starts at zero keeps the other from its gradient
        for parameter in tuned.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    if method == "context":
        assert tuned.parameters() == []
        assert tuned.groups(1e-3) == []
        assert not _logits(tuned).requires_grad
        return
    _loss(tuned).backward()
    for name, parameter in tuned.trained.items():
        assert parameter.dtype == torch.float32
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
    mine = {id(parameter) for parameter in tuned.parameters()}
    others = [name for name, p in tuned.model.named_parameters() if id(p) not in mine and p.grad is not None]
    assert others == []


TOUCHED = {
    "lora": ["layers.1.mlp.", "layers.1.self_attn."],
    "qlora": ["layers.1.mlp.", "layers.1.self_attn."],
    "adapter": ["layers.1.mlp.bottleneck.", "layers.1.self_attn.bottleneck."],
    "partial": ["layers.1.", "model.norm."],
}


@pytest.mark.parametrize("method", TOUCHED)
def test_only_upper_layers_are_touched(tiny: Any, method: str) -> None:
    tuned = attach(tiny(), _config(method, upper_layers=0.5))
    names = list(tuned.weights())
    assert [name for name in names if not any(part in name for part in TOUCHED[method])] == []
    assert [part for part in TOUCHED[method] if not any(part in name for name in names)] == []


def test_a_small_share_is_still_a_layer(tiny: Any) -> None:
    names = attach(tiny(), _config("partial", upper_layers=0.01)).weights()
    assert any("layers.1." in name for name in names)
    assert not any("layers.0." in name for name in names)


@_dtypes()
@pytest.mark.parametrize("method", TRAINED)
def test_every_method_learns(method: str, dtype: str) -> None:
    """On average over three starts, because a single one may be unlucky with another machine's rounding. Nothing falls
    where nothing moves, so a method whose gradient is broken cannot pass.
    """
    falls = []
    for seed in range(3):
        tuned = attach(_small(seed, dtype), _config(method))
        tuned.model.train()
        still = _train(tuned, 3, 0.0)
        assert still == pytest.approx(still[:1] * 3, abs=1e-6)
        losses = _train(tuned, 25, 3e-3)
        falls.append(1 - losses[-1] / losses[0])
    # A random model's attention is weak, and so is what enters the bottlenecks.
    assert np.mean(falls) > {"prompt": 0.03, "adapter": 0.1}.get(method, 0.2)


@pytest.mark.parametrize("method", ["lora", "qlora", "adapter"])
def test_added_modules_compute_in_the_dtype_of_the_base(tiny: Any, tmp_path: Path, method: str) -> None:
    """Float32 additions to a bfloat16 model run at a third of the speed; also after loading, and a float32 file."""
    import torch

    attach(tiny(), _config(method)).save(tmp_path)
    for tuned in (
        attach(tiny("bfloat16"), _config(method)),
        TunedModel.load(tiny("bfloat16"), tmp_path),
    ):
        added = [p.dtype for name, p in tuned.model.named_parameters() if "lora_" in name or "bottleneck" in name]
        assert added
        assert set(added) == {torch.bfloat16}


@pytest.mark.parametrize("method", ["lora", "partial", "full"])
def test_small_steps_are_not_rounded_away_in_bfloat16(tiny: Any, method: str) -> None:
    """A step of 1e-5 is below what bfloat16 tells apart in a weight of 0.02; twenty of them have to show."""
    tuned = attach(tiny("bfloat16"), _config(method))
    before = tuned.weights()
    _train(tuned, 20, 1e-5 / tuned.groups(1.0)[0]["lr"])
    after = tuned.weights()
    large = [name for name in before if before[name].abs().mean() > 0.01]
    assert large
    for name in large:
        assert (after[name] - before[name]).abs().max() > 1e-4, name


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_model_takes_over_what_the_optimiser_did(tiny: Any, method: str) -> None:
    """Calling the embeddings alone, before the decoder, must give the newest ones too."""
    import torch

    tuned = attach(tiny("bfloat16"), _config(method))
    _train(tuned, 3)
    newest = {name: parameter.bfloat16() for name, parameter in tuned.weights().items()}
    if method == "full":
        embeds = tuned.embeddings(torch.tensor(IDS))
        torch.testing.assert_close(embeds, newest["model.embed_tokens.weight"][torch.tensor(IDS)], atol=0, rtol=0)
    _logits(tuned)
    for name, parameter in tuned.model.named_parameters():
        if name in newest:
            torch.testing.assert_close(parameter.detach(), newest[name], atol=0, rtol=0)


def test_tied_embeddings_are_trained_once() -> None:
    tuned = attach(_wide(tied=True), _config("full"))
    names = list(tuned.weights())
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names
    before = _plain(tuned.model)
    _train(tuned, 2)
    assert tuned.model.get_output_embeddings().weight is tuned.model.get_input_embeddings().weight
    assert (_plain(tuned.model) - before).abs().max() > 0


RATES = {"prompt": {0.05}, "lora": {1e-3, 8e-3}, "qlora": {1e-3, 8e-3}, "adapter": {1e-3, 8e-3}}


@pytest.mark.parametrize("method", TRAINED)
def test_groups_hold_every_parameter_once_at_the_forms_rate(tiny: Any, method: str) -> None:
    tuned = attach(tiny(), _config(method))
    groups = tuned.groups(1e-3)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(map(id, tuned.parameters()))
    assert {round(group["lr"], 9) for group in groups} == RATES.get(method, {5e-5})
    assert [group["full_lr"] for group in groups] == [group["lr"] for group in groups]


@pytest.mark.parametrize("method", ["lora", "adapter"])
def test_the_half_that_starts_at_zero_learns_faster(tiny: Any, method: str) -> None:
    tuned = attach(tiny(), _config(method))
    fast = max(tuned.groups(1e-3), key=lambda group: group["lr"])["params"]
    assert {id(p) for p in fast} == {id(p) for p in tuned.parameters() if not p.any()}


# --- keeping, merging, files -----------------------------------------------------------------------------------


@_dtypes()
@pytest.mark.parametrize("method", TRAINED)
def test_weights_come_back(tiny: Any, method: str, dtype: str) -> None:
    import torch

    tuned = attach(tiny(dtype), _config(method))
    _train(tuned, 2)
    kept, before = tuned.weights(), _logits(tuned)
    _train(tuned, 2)
    assert not torch.equal(_logits(tuned), before)
    tuned.restore(kept)
    assert torch.equal(_logits(tuned), before)


@_dtypes()
@pytest.mark.parametrize("method", METHODS)
def test_merging_changes_no_output(tiny: Any, tmp_path: Path, method: str, dtype: str) -> None:
    """Nor what is saved: the base's weights are not written."""
    import torch

    tuned = attach(tiny(dtype), _config(method))
    if method != "context":
        _train(tuned, 3)
    with torch.inference_mode():
        before = _logits(tuned)
        tuned.merge()
        tuned.merge()  # a second time must not add it twice
        after = _logits(tuned)
    exact = dtype == "float32" or method != "lora"
    torch.testing.assert_close(after, before, atol=1e-5 if exact else 2e-2, rtol=0)
    with pytest.raises(ValueError, match="merged"):
        tuned.restore({})
    tuned.save(tmp_path)
    loaded = TunedModel.load(tiny(dtype), tmp_path)
    loaded.merge()
    torch.testing.assert_close(_logits(loaded), after, atol=0 if dtype == "float32" else 4e-3, rtol=0)


def test_merging_adds_lora_to_the_base(tiny: Any) -> None:
    import torch

    model = tiny()
    query = model.model.layers[0].self_attn.q_proj
    before = query.weight.detach().clone()
    tuned = attach(model, _config("lora"))
    _train(tuned, 2)
    assert torch.equal(query.weight, before)
    tuned.merge()
    assert not torch.equal(query.weight, before)


@_dtypes()
@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_gives_equal_outputs(tiny: Any, tmp_path: Path, method: str, dtype: str) -> None:
    import torch

    tuned = attach(tiny(dtype), _config(method, upper_layers=0.5))
    if method != "context":
        _train(tuned, 2)
    expected = _logits(tuned)
    tuned.save(tmp_path, "some/base")
    peft = {"adapter_config.json", "adapter_model.safetensors"}
    made = {path.name for path in tmp_path.iterdir()} - {"README.md"}
    assert made == {"method.json"} | FILES.get(method, peft)
    if method not in FILES:
        noted = json.loads((tmp_path / "adapter_config.json").read_text())
        assert noted["base_model_name_or_path"] == "some/base"
    loaded = TunedModel.load(tiny(dtype), tmp_path)
    assert loaded.config == tuned.config
    torch.testing.assert_close(_logits(loaded), expected, atol=0 if dtype == "float32" else 4e-3, rtol=0)


def test_a_loaded_model_can_be_tuned_on(tiny: Any, tmp_path: Path) -> None:
    for method in TRAINED:
        attach(tiny("bfloat16"), _config(method)).save(tmp_path / method)
        tuned = TunedModel.load(tiny("bfloat16"), tmp_path / method)
        losses = _train(tuned, 10)
        assert losses[-1] < losses[0], method


def test_only_trained_parameters_are_written(tiny: Any, tmp_path: Path) -> None:
    from safetensors import safe_open

    attach(tiny(), _config("partial", upper_layers=0.5)).save(tmp_path)
    with safe_open(tmp_path / "trained.safetensors", "pt") as file:
        assert {name.split(".")[1] for name in file.keys()} == {"layers", "norm"}  # noqa: SIM118
        assert not any("layers.0." in name for name in file.keys())  # noqa: SIM118


def test_peft_reads_our_prompt(tiny: Any, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    tuned = attach(tiny(), _config("prompt"))
    _train(tuned, 3)
    tuned.save(tmp_path)
    theirs = PeftModel.from_pretrained(tiny(), tmp_path)
    with torch.no_grad():
        made = theirs(input_ids=torch.tensor(IDS)).logits[:, -1, LABELS]
    torch.testing.assert_close(made, _logits(tuned), atol=1e-5, rtol=0)


def test_peft_reads_our_lora_and_we_read_theirs(tiny: Any, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    tuned = attach(tiny(), _config("lora"))
    _train(tuned, 3)
    tuned.save(tmp_path)
    theirs = PeftModel.from_pretrained(tiny(), tmp_path)
    torch.testing.assert_close(_plain(theirs), _logits(tuned), atol=1e-5, rtol=0)
    (tmp_path / "method.json").unlink()
    ours = TunedModel.load(tiny(), tmp_path)
    assert (ours.config.method, ours.config.rank, ours.config.alpha) == ("lora", 4, 8)
    torch.testing.assert_close(_logits(ours), _logits(tuned), atol=0, rtol=0)


# --- four bits -------------------------------------------------------------------------------------------------


def _dequantised(model: Any) -> Any:
    """Replace 4-bit modules by torch's own, with the same values."""
    import bitsandbytes as bnb
    import torch

    for name, module in list(model.named_modules()):
        if isinstance(module, bnb.nn.Linear4bit):
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=False)
            state = module.weight.quant_state
            plain.weight = torch.nn.Parameter(bnb.functional.dequantize_4bit(module.weight.data, state), False)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, plain)
    return model


def test_four_bits_give_right_gradients_after_an_evaluation() -> None:
    """On CPUs with AVX512-BF16 bitsandbytes repacks in evaluation mode, and its gradients are lost from then on."""
    import torch

    def gradients(dequantise: bool) -> dict[str, Any]:
        model = _wide()
        nf4.quantise(model)
        if dequantise:
            model = _dequantised(model)
        torch.manual_seed(1)
        tuned = attach(model, _config("lora"))
        with torch.no_grad():
            for parameter in tuned.parameters():
                parameter.normal_(std=0.05)
        tuned.model.eval()
        with torch.no_grad():
            _logits(tuned)
        tuned.model.train()
        _loss(tuned).backward()
        return {name: p.grad for name, p in tuned.trained.items()}

    ours, exact = gradients(False), gradients(True)
    assert ours.keys() == exact.keys()
    for name in exact:
        torch.testing.assert_close(ours[name], exact[name], atol=1e-6, rtol=1e-4)


def test_four_bits_take_a_fifth_of_the_memory_and_leave_the_ends_alone() -> None:
    import torch

    model = _wide()
    before = sum(p.numel() * p.element_size() for p in model.model.layers.parameters())
    ends = model.model.embed_tokens.weight, model.lm_head.weight
    nf4.quantise(model)
    after = sum(p.numel() * p.element_size() for p in model.model.layers.parameters())
    assert after < before / 5
    assert (model.model.embed_tokens.weight, model.lm_head.weight) == ends
    assert all(end.dtype == torch.float32 for end in ends)


def test_bitsandbytes_missing(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"pip install 'faultwise\[qlora\]'"):
        attach(tiny(), _config("qlora"))


def test_importing_bitsandbytes_is_quiet_and_fetches_nothing() -> None:
    """A package `kernels`, were it there, would be asked for compiled code from the net."""
    code = """
        import sys, types
        fetched = []
        spy = types.ModuleType("kernels")
        spy.get_kernel = lambda *args, **more: fetched.append(args)
        class Finder:
            def find_spec(self, name, path=None, target=None):
                assert name != "kernels", "looked for"
        sys.meta_path.insert(0, Finder())
        from faultwise.language import nf4
        assert nf4.import_quietly() is not None
        assert "kernels" not in sys.modules
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


# --- other architectures ---------------------------------------------------------------------------------------


def _gpt2() -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    # Every GPT-2 starts with its output projections small and its biases at zero.
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=64, **shape)).eval()


def _opt() -> Any:
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return OPTForCausalLM(OPTConfig(vocab_size=64, word_embed_proj_dim=32, **shape)).eval()


@pytest.mark.parametrize("build", [_gpt2, _opt])
@pytest.mark.parametrize("method", TRAINED)
def test_other_architectures(build: Any, method: str, tmp_path: Path) -> None:
    """GPT-2's linear modules are transposed Conv1D; OPT's MLP is no module of its own."""
    import torch

    model = build()
    before = _plain(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tuned = attach(model, _config(method))
    if method not in ("prompt", "qlora"):
        torch.testing.assert_close(_logits(tuned), before, atol=1e-5, rtol=0)
    _train(tuned, 3)
    assert not torch.allclose(_logits(tuned), before, atol=1e-4)
    expected = _logits(tuned)
    tuned.save(tmp_path)
    tuned.merge()
    torch.testing.assert_close(_logits(tuned), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(_logits(TunedModel.load(build(), tmp_path)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("build", [_gpt2, _opt])
def test_adapters_come_after_attention_and_after_the_mlp(build: Any) -> None:
    names = attach(build(), _config("adapter", upper_layers=0.5)).weights()
    assert len({name.rpartition(".bottleneck.")[0] for name in names}) == 2
    assert len({name.rpartition("layers.")[2] for name in names if name.endswith("up.weight")}) == 2


@pytest.mark.parametrize("build", [_gpt2, _opt])
def test_the_last_norm_is_part_of_partial(build: Any) -> None:
    names = attach(build(), _config("partial", upper_layers=0.5)).weights()
    assert sum("ln_f." in name or "decoder.final_layer_norm." in name for name in names) == 2
    assert not any("wte" in name or "embed" in name for name in names)


# --- refusals --------------------------------------------------------------------------------------------------

BAD = [
    ({"method": "loar"}, "no fine-tuning method `loar`: choose one of context, prompt, lora.* Did you mean `lora`"),
    ({"rank": 0}, "`rank` is 0: give 1 or more"),
    ({"alpha": 0}, "`alpha` is 0"),
    ({"virtual_tokens": 0}, "`virtual_tokens` is 0"),
    ({"width": -1}, "`width` is -1"),
    ({"dropout": 1.0}, "`dropout` is 1"),
    ({"upper_layers": 0.0}, "`upper_layers` is 0"),
    ({"upper_layers": 1.5}, "`upper_layers` is 1.5"),
    ({"upper_layers": float("nan")}, "`upper_layers` is nan"),
    ({"lr_ratio": 0.0}, "`lr_ratio` is 0"),
    ({"rank": 0, "lr_ratio": -1.0}, "`rank` is 0.*`lr_ratio` is -1"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_bad_settings_are_refused_all_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MethodConfig(**wrong)


@pytest.mark.parametrize("method", ["lora", "qlora", "adapter"])
def test_a_model_without_linear_layers(tiny: Any, method: str) -> None:
    import torch

    model = tiny()
    model.model.layers = torch.nn.ModuleList([torch.nn.LayerNorm(32), torch.nn.LayerNorm(32)])
    with pytest.raises(UserError, match="No linear layers were found in the layers of LlamaForCausalLM"):
        attach(model, _config(method))


def test_a_model_whose_layers_are_not_found(tiny: Any) -> None:
    model = tiny()
    model.config.num_hidden_layers = 5
    with pytest.raises(UserError, match="layers of LlamaForCausalLM were not found"):
        attach(model, _config("partial"))


def test_no_words(tiny: Any) -> None:
    with pytest.raises(UserError, match="at least one token id"):
        attach(tiny(), _config("prompt"), [])


@pytest.mark.parametrize("method", ["lora", "prompt", "partial"])
def test_another_base_is_refused(tiny: Any, tmp_path: Path, method: str) -> None:
    attach(tiny(), _config(method)).save(tmp_path)
    with pytest.raises(RunFolderError, match="base model that"):
        TunedModel.load(_wide(), tmp_path)


@pytest.mark.parametrize("method", ["lora", "prompt", "partial"])
def test_damaged_weights_are_refused(tiny: Any, tmp_path: Path, method: str) -> None:
    attach(tiny(), _config(method)).save(tmp_path)
    weights = next(tmp_path.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(RunFolderError, match="damaged"):
        TunedModel.load(tiny(), tmp_path)
    weights.unlink()
    with pytest.raises(RunFolderError, match=f"has no `{weights.name}`"):
        TunedModel.load(tiny(), tmp_path)


EDITS = [
    ("not json", "is not JSON"),
    ("[]", "holds a list"),
    ('{"method": "lora", "r": 3}', "`r` in .* is not understood"),
    ('{"method": "lora", "rank": "3"}', "`rank` in .* is not understood"),
]


@pytest.mark.parametrize(("text", "message"), EDITS)
def test_an_edited_configuration_is_refused(tiny: Any, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "method.json").write_text(text)
    with pytest.raises(RunFolderError, match=message):
        TunedModel.load(tiny(), tmp_path)


def test_an_empty_folder_is_refused(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"neither `method\.json` nor `adapter_config\.json`"):
        TunedModel.load(tiny(), tmp_path)


def test_an_adapter_of_another_kind_is_refused(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(RunFolderError, match="`IA3`: only LORA and PROMPT_TUNING"):
        TunedModel.load(tiny(), tmp_path)
