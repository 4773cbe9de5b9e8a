"""Random masking of image patches, and a transformer that reads only the visible ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.models.adapters import is_adapted


@dataclass(frozen=True, slots=True)
class Masking:
    """A random choice of V visible patches for each of B images with N patches."""

    visible: Tensor
    """int64 [B, V], indices of patches in row-major order"""
    restore: Tensor
    """int64 [B, N], position of each patch in the sequence of visible, then hidden patches"""

    @property
    def hidden(self) -> Tensor:
        """bool [B, N]"""
        return self.restore >= self.visible.shape[1]

    def __getitem__(self, images: slice) -> Masking:
        return Masking(self.visible[images], self.restore[images])

    def to(self, device: torch.device) -> Masking:
        return Masking(self.visible.to(device), self.restore.to(device))


def draw_masking(images: int, patches: int, hidden_share: float, generator: torch.Generator) -> Masking:
    """Hide about `hidden_share` of the patches of each image; at least one stays visible and one is hidden.

    The same generator state gives the same choice.
    """
    visible = min(max(1, round((1.0 - hidden_share) * patches)), patches - 1)
    order = torch.rand(images, patches, generator=generator).argsort(dim=1)
    return Masking(order[:, :visible], order.argsort(dim=1))


@contextmanager
def only_visible(net: nn.Module, visible: Tensor, first_patch: int) -> Iterator[None]:
    """Make `net` drop the hidden patches right after their embedding, inside the block.

    Every block of the transformer then works on the visible tokens only, which makes masked autoencoders
    cheap (He et al., arXiv 2111.06377, section 3). Positions are added before the drop; rotary positions
    are dropped with their patches. `net`: one of `FAMILIES`, with an adapter or without;
    `first_patch`: tokens before the patches.
    """
    plain: Any = net.get_base_model() if is_adapted(net) else net  # type: ignore[operator]

    def keep_tokens(_module: nn.Module, _inputs: Any, tokens: Tensor) -> Tensor:
        index = visible.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
        return torch.cat([tokens[:, :first_patch], tokens[:, first_patch:].gather(1, index)], dim=1)

    def keep_rotations(_module: nn.Module, _inputs: Any, rotations: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # [N, d] each; one choice per image, the same for all heads.
        return tuple(part[visible].unsqueeze(1) for part in rotations)

    handles = [plain.embeddings.register_forward_hook(keep_tokens)]
    if hasattr(plain, "rope_embeddings"):
        handles.append(plain.rope_embeddings.register_forward_hook(keep_rotations))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
