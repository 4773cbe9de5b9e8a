"""Low-rank adapters beside the frozen weights of a network, through the peft library.

LoRA (Hu et al., arXiv 2106.09685) adds alpha / r * B A to a frozen matrix W; DoRA (Liu et al., arXiv
2402.09353) also learns the length of each of its rows. Both start as exactly W, and both can be merged
into W afterwards, so that what is exported costs no more than the network without them.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from trainer.choices import AdapterMethod, AdapterTargets
from trainer.errors import RunError

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""What `save_adapter` leaves in its folder."""

_ATTENTION, _MLP = r".*\.attention", r".*\.mlp"
TARGETS: Mapping[AdapterTargets, str] = MappingProxyType(
    {
        "qv": rf"{_ATTENTION}\.(q_proj|v_proj)",
        "all-linear": rf"{_ATTENTION}\.(q_proj|k_proj|v_proj|o_proj)"
        rf"|{_MLP}\.(fc1|fc2|up_proj|down_proj|gate_proj|weights_in|weights_out)",
    }
)
"""Full names of the adapted matrices in ViT, DINOv2 and DINOv3 of transformers 5."""


class AdapterError(RunError):
    """An adapter does not fit the network, or its folder holds none."""


class AdapterConfig(BaseModel):
    """How large an adapter is and which matrices get one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=0, le=512)
    """r; 0 attaches nothing and leaves the network frozen."""
    alpha: float | None = Field(default=None, gt=0.0)
    """The adapter is scaled by alpha / rank; by default 2, whatever the rank."""
    targets: AdapterTargets = "qv"
    """`qv`: queries and values of the attention; `all-linear`: every matrix of every block."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Of the adapter's input, in training only."""


def attach(
    net: nn.Module, method: AdapterMethod, config: AdapterConfig, *, exclude: str | None = None
) -> nn.Module:
    """Freeze `net` and put an adapter beside each target, in place; returns the peft model around it.

    `exclude`: pattern of the full names of modules that get none. The outputs do not change until the
    adapter is trained. At rank 0 `net` itself comes back, frozen. Raises `AdapterError` where the
    network has no target of these names.
    """
    net.requires_grad_(False)
    if config.rank == 0:
        return net
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.rank,
        # Typed as an integer, used as a factor.
        lora_alpha=2.0 * config.rank if config.alpha is None else config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=TARGETS[config.targets],
        exclude_modules=exclude,
        use_dora=method == "dora",
        bias="none",
    )
    try:
        with _as_peft_expects():
            model: nn.Module = get_peft_model(net, lora)
    except ValueError as error:
        raise AdapterError(
            f"no {config.targets!r} matrices to adapt in {type(net).__name__}: {error}"
        ) from error
    return model


def is_adapted(net: nn.Module) -> bool:
    """Whether `net` is a network with an adapter that is not merged."""
    if not hasattr(net, "peft_config"):
        return False
    from peft import PeftModel

    return isinstance(net, PeftModel)


def save_adapter(net: nn.Module, folder: Path, *, base: str) -> tuple[Path, ...]:
    """Write the adapter alone to `folder`: its matrices (safetensors) and its config; returns the files.

    base: name of the weights that it belongs to, for the config.
    """
    model: Any = _adapted(net)
    for config in model.peft_config.values():
        config.base_model_name_or_path = base
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    # peft's own model card is an empty form.
    (folder / "README.md").unlink(missing_ok=True)
    return tuple(folder / name for name in ADAPTER_FILES)


def load_adapter(net: nn.Module, folder: Path) -> nn.Module:
    """Put a saved adapter beside the weights of `net`, in place; returns the peft model around it."""
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing:
        raise AdapterError(f"{folder} holds no adapter: {' and '.join(missing)} missing")
    from peft import PeftModel

    try:
        with _as_peft_expects():
            model: nn.Module = PeftModel.from_pretrained(net, folder)
    except (ValueError, RuntimeError) as error:
        raise AdapterError(f"the adapter in {folder} does not fit {type(net).__name__}: {error}") from error
    return model


def merge(net: nn.Module) -> nn.Module:
    """Add the adapter to the weights it stands beside, in place; returns the plain network."""
    model: Any = _adapted(net)
    merged: nn.Module = model.merge_and_unload()
    return merged


def _adapted(net: nn.Module) -> nn.Module:
    if not is_adapted(net):
        raise AdapterError(f"{type(net).__name__} has no adapter: none was attached, or it is merged already")
    return net


@contextlib.contextmanager
def _as_peft_expects() -> Iterator[None]:
    """Without the warning that peft asks transformers for an attribute by its older name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`is_gradient_checkpointing` is deprecated")
        yield
