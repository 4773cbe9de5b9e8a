"""Which patches are hidden, and that a backbone really sees the others alone."""

from __future__ import annotations

import pytest
import torch
from fakes.tiny_vit import TINY
from hypothesis import given
from hypothesis import strategies as st

from trainer.models.adapters import AdapterConfig, attach
from trainer.models.backbones import FAMILIES, TransformerBackbone, TransformerConfig, build_transformer
from trainer.pretrain.autoencoder import MaskedAutoencoder, from_patches, to_patches
from trainer.pretrain.decoder import DecoderConfig, build_decoder
from trainer.pretrain.masking import Masking, draw_masking, only_visible

SIZE, PATCH = 32, TINY["patch_size"]
PATCHES = (SIZE // PATCH) ** 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def backbone(name: str) -> TransformerBackbone:
    torch.manual_seed(0)
    return build_transformer(name, TransformerConfig(**TINY), SIZE).eval()


@given(
    images=st.integers(1, 5), patches=st.integers(2, 60), share=st.floats(0.1, 0.95), seed=st.integers(0, 99)
)
def test_every_patch_is_either_visible_or_hidden(images: int, patches: int, share: float, seed: int) -> None:
    masking = draw_masking(images, patches, share, generator(seed))
    visible = masking.visible.shape[1]
    assert 1 <= visible <= patches - 1
    assert abs(visible - (1.0 - share) * patches) <= 1.0
    seen = torch.zeros(images, patches, dtype=torch.bool).scatter(1, masking.visible, True)
    assert torch.equal(seen, ~masking.hidden)
    # The places are those of the visible patches first, in their order.
    expected = torch.arange(visible).expand(images, -1)
    assert torch.equal(masking.restore.gather(1, masking.visible), expected)


def test_a_seed_repeats_the_choice_and_images_differ() -> None:
    first, again = (draw_masking(4, 16, 0.75, generator(3)) for _ in range(2))
    assert torch.equal(first.restore, again.restore)
    assert len({tuple(row) for row in first.visible.tolist()}) == 4


@pytest.mark.parametrize("name", FAMILIES)
def test_hidden_patches_change_nothing_that_is_computed(name: str) -> None:
    model = backbone(name)
    masking = draw_masking(2, PATCHES, 0.5, generator())
    images = torch.randn(2, 3, SIZE, SIZE)
    hidden = masking.hidden.unsqueeze(-1)
    noise = to_patches(torch.randn(2, 3, SIZE, SIZE), PATCH)
    changed = from_patches(torch.where(hidden, noise, to_patches(images, PATCH)), PATCH, SIZE)
    with torch.no_grad():
        with only_visible(model.net, masking.visible, model.first_patch):
            seen = [model.net(pixel_values=x).last_hidden_state for x in (images, changed)]
        whole = [model.net(pixel_values=x).last_hidden_state for x in (images, changed)]
    assert seen[0].shape[1] == model.first_patch + masking.visible.shape[1]
    assert torch.equal(seen[0], seen[1])
    # Outside of the block the network reads every patch again.
    assert whole[0].shape[1] == model.first_patch + PATCHES
    assert not torch.allclose(whole[0], whole[1], atol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_seeing_all_patches_in_another_order_is_seeing_the_image(name: str) -> None:
    """Positions go with their patches, rotations among them; so does an adapter's network."""
    model = backbone(name)
    images = torch.randn(2, 3, SIZE, SIZE)
    order = torch.stack([torch.randperm(PATCHES, generator=generator(seed)) for seed in range(2)])
    with torch.no_grad():
        expected = model.net(pixel_values=images).last_hidden_state
        model.net = attach(model.net, "lora", AdapterConfig(rank=2)).eval()
        with only_visible(model.net, order, model.first_patch):
            shuffled = model.net(pixel_values=images).last_hidden_state
    index = order.unsqueeze(-1).expand(-1, -1, expected.shape[2])
    patches = expected[:, model.first_patch :].gather(1, index)
    torch.testing.assert_close(shuffled[:, model.first_patch :], patches, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(shuffled[:, 0], expected[:, 0], atol=1e-5, rtol=0.0)


def test_patches_and_back() -> None:
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8)
    patches = to_patches(images, 4)
    assert patches.shape == (2, 4, 48)
    # The second patch is the upper right one; its first three numbers are its first pixel's colours.
    assert torch.equal(patches[0, 1, :3], images[0, :, 0, 4])
    assert torch.equal(from_patches(patches, 4, 8), images)


def test_the_loss_by_hand() -> None:
    model = MaskedAutoencoder(
        backbone("vit"),
        build_decoder(DecoderConfig(hidden_size=32), hidden_size=48, patch_size=PATCH, image_size=SIZE),
        patch_size=PATCH,
        normalise_patches=True,
    ).eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    masking = draw_masking(2, PATCHES, 0.75, generator())
    with torch.no_grad():
        loss, told = model(images, masking), model.predict(images, masking)
    patches = to_patches(images, PATCH)
    expected = []
    for image in range(2):
        for patch in torch.nonzero(masking.hidden[image]).flatten().tolist():
            own = patches[image, patch]
            wanted = (own - own.mean()) / (own.var() + 1e-6).sqrt()
            expected.append(float(((told[image, patch] - wanted) ** 2).mean()))
    assert float(loss) == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_a_reconstruction_keeps_what_was_visible() -> None:
    model = MaskedAutoencoder(
        backbone("vit"),
        build_decoder(DecoderConfig(hidden_size=32), hidden_size=48, patch_size=PATCH, image_size=SIZE),
        patch_size=PATCH,
        normalise_patches=True,
    ).eval()
    images = torch.randn(1, 3, SIZE, SIZE)
    masking = draw_masking(1, PATCHES, 0.5, generator())
    with torch.no_grad():
        whole = to_patches(model.reconstruct(images, masking), PATCH)
    patches = to_patches(images, PATCH)
    torch.testing.assert_close(whole[~masking.hidden], patches[~masking.hidden])
    # Hidden ones are invented, at the brightness and contrast of the image.
    torch.testing.assert_close(
        whole[masking.hidden].mean(dim=-1), patches[masking.hidden].mean(dim=-1), atol=0.5, rtol=0.0
    )
    assert not torch.allclose(whole[masking.hidden], patches[masking.hidden], atol=0.1)


def test_masks_move_together() -> None:
    masking = draw_masking(1, 4, 0.5, generator())
    assert isinstance(masking.to(torch.device("cpu")), Masking)
