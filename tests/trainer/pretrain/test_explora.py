"""What ExPLoRA trains, counted by hand, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.tiny_vit import TINY
from torch import nn

from trainer.models.adapters import merge
from trainer.models.backbones import FAMILIES, TransformerConfig, build_transformer
from trainer.models.pretrained import BackboneError, open_weights
from trainer.pretrain.decoder import DecoderConfig, build_decoder, load_decoder, save_decoder
from trainer.pretrain.explora import ExploraConfig, ShareOutOfRange, explore, trained_share

DEEP = {**TINY, "layers": 12}


def net(name: str = "vit", layers: int = 12) -> nn.Module:
    torch.manual_seed(0)
    return build_transformer(name, TransformerConfig(**{**DEEP, "layers": layers}), 32).net


def test_the_share_by_hand() -> None:
    plain = net()
    whole = sum(p.numel() for p in plain.parameters())
    block = sum(p.numel() for p in plain.layers[-1].parameters())
    width, rank = 48, 1
    adapters = 11 * 2 * rank * (width + width)
    norms = 11 * 2 * 2 * width + 2 * width
    found = trained_share(explore(plain, ExploraConfig(rank=rank)))
    assert found.trained == block + adapters + norms
    assert found.parameters == whole + adapters
    assert 0.001 <= found.share <= 0.10
    without = trained_share(explore(net(), ExploraConfig(rank=rank, norms=False)))
    assert without.trained == block + adapters


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_block_learns_whole_and_the_others_through_queries_and_values(name: str) -> None:
    adapted = explore(net(name), ExploraConfig(rank=1, norms=False))
    learning = {n for n, p in adapted.named_parameters() if p.requires_grad}
    last = {n for n in learning if ".11." in n}
    assert learning
    assert not any("lora" in n for n in last)
    assert all("lora_A" in n or "lora_B" in n for n in learning - last)
    assert len(learning - last) == 11 * 2 * 2
    assert all(p.requires_grad for n, p in adapted.named_parameters() if ".11." in n)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_starts_where_the_backbone_is_and_merges_to_what_it_learned(name: str) -> None:
    images = torch.randn(2, 3, 32, 32)
    plain = net(name).eval()
    with torch.no_grad():
        before = plain(pixel_values=images).last_hidden_state
        adapted = explore(plain, ExploraConfig(rank=1)).eval()
        torch.testing.assert_close(
            adapted(pixel_values=images).last_hidden_state, before, atol=1e-5, rtol=0.0
        )
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
        learned = adapted(pixel_values=images).last_hidden_state
        merged = merge(adapted).eval()(pixel_values=images).last_hidden_state
    assert not torch.allclose(learned, before, atol=1e-2)
    torch.testing.assert_close(merged, learned, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize(
    ("layers", "values", "way_out"),
    [
        (12, {"rank": 16}, r"lower explora.rank \(16\) or explora.blocks \(1 of 12"),
        (12, {"blocks": 2}, r"explora.blocks \(2 of 12"),
        (4, {}, "one of so few may be too much by itself: then use 0"),
        (12, {"blocks": 0, "rank": 48}, r"lower explora.rank \(48\)$"),
    ],
)
def test_a_share_out_of_range_is_refused_with_the_way_out(
    layers: int, values: dict[str, int], way_out: str
) -> None:
    with pytest.raises(ShareOutOfRange, match="ExPLoRA trains 0.1 to 10 %: .*" + way_out):
        explore(net(layers=layers), ExploraConfig(**values))


def test_too_small_a_share_is_refused_too() -> None:
    torch.manual_seed(0)
    wide = TransformerConfig(patch_size=8, hidden_size=768, layers=2, heads=2)
    with pytest.raises(ShareOutOfRange, match=r"raise explora\.rank or explora\.blocks"):
        explore(build_transformer("vit", wide, 32).net, ExploraConfig(rank=1, blocks=0, norms=False))


def test_no_block_is_left_to_lora() -> None:
    with pytest.raises(ShareOutOfRange, match=r"explora\.blocks is 2, and the backbone has 2"):
        explore(net(layers=2), ExploraConfig(blocks=2))


SHAPE = {"hidden_size": 48, "patch_size": 8, "image_size": 32}


def test_a_decoder_is_found_beside_its_backbone(tmp_path: Path) -> None:
    net(layers=2).save_pretrained(tmp_path)
    assert load_decoder(open_weights(f"folder:{tmp_path}"), **SHAPE) is None
    config = DecoderConfig(hidden_size=32, layers=2)
    decoder = build_decoder(config, **SHAPE)
    save_decoder(decoder, config, tmp_path)
    found = load_decoder(open_weights(f"folder:{tmp_path}"), **SHAPE)
    assert found is not None
    assert found[1] == config
    for name, tensor in decoder.state_dict().items():
        assert torch.equal(tensor, found[0].state_dict()[name]), name
    # Positions follow from the size: the same decoder serves larger images.
    larger = load_decoder(open_weights(f"folder:{tmp_path}"), **{**SHAPE, "image_size": 64})
    assert larger is not None
    assert larger[0].decoder_pos_embed.shape[1] == 65
    with pytest.raises(BackboneError, match=r"the decoder of .* does not fit its backbone"):
        load_decoder(open_weights(f"folder:{tmp_path}"), **{**SHAPE, "hidden_size": 96})


def test_a_published_autoencoder_brings_its_decoder(tmp_path: Path) -> None:
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    torch.manual_seed(0)
    whole = ViTMAEForPreTraining(
        ViTMAEConfig(
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=96,
            patch_size=8,
            image_size=32,
            decoder_hidden_size=32,
            decoder_num_hidden_layers=2,
            decoder_num_attention_heads=4,
            decoder_intermediate_size=64,
        )
    )
    whole.save_pretrained(tmp_path)
    found = load_decoder(open_weights(f"folder:{tmp_path}"), **SHAPE)
    assert found is not None
    assert found[1] == DecoderConfig(hidden_size=32, layers=2, mlp_ratio=2)
    for name, tensor in whole.decoder.state_dict().items():
        torch.testing.assert_close(tensor, found[0].state_dict()[name])
