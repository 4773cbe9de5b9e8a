"""Low-rank adapters beside the frozen weights of a network, by the peft library.

LoRA (Hu et al., arXiv 2106.09685) adds alpha / r * B A to a frozen matrix W; DoRA (Liu et al., arXiv
2402.09353) also learns the length of each of its rows. Both start as exactly W, and both can be merged
into W afterwards, so the exported network costs no more than one without adapters.
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
"""Files that `save_adapter` writes"""

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
    """Size of an adapter and the matrices that get one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=0, le=512)
    """r; 0 attaches no adapter and leaves the network frozen."""
    alpha: float | None = Field(default=None, gt=0.0)
    """The adapter is scaled by alpha / rank; by default 2 for every rank."""
    targets: AdapterTargets = "qv"
    """`qv`: queries and values of the attention; `all-linear`: every matrix of every block."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout of the adapter's input, in training only."""


def attach(
    net: nn.Module, method: AdapterMethod, config: AdapterConfig, *, exclude: str | None = None
) -> nn.Module:
    """Freeze `net` and put an adapter beside each target, in place; returns the peft model around it.

    `exclude`: pattern of the full names of modules without adapter. Outputs do not change until the adapter
    is trained. At rank 0 the result is `net` itself, frozen. Raises `AdapterError` if the network has no
    target with these names.
    """
    net.requires_grad_(False)
    if config.rank == 0:
        return net
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.rank,
        # peft declares an integer and uses it as a factor.
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
    """Write only the adapter to `folder`, its matrices as safetensors and its config; returns the files.

    base: name of its base weights, for the config.
    """
    model: Any = _adapted(net)
    for config in model.peft_config.values():
        config.base_model_name_or_path = base
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    # The model card that peft writes is an empty form.
    (folder / "README.md").unlink(missing_ok=True)
    return tuple(folder / name for name in ADAPTER_FILES)


def load_adapter(net: nn.Module, folder: Path) -> nn.Module:
    """Attach a saved adapter to `net`, in place; returns the peft model around it."""
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
    """Add the adapter to its base weights, in place; returns the plain network."""
    model: Any = _adapted(net)
    merged: nn.Module = model.merge_and_unload()
    return merged


def _adapted(net: nn.Module) -> nn.Module:
    if not is_adapted(net):
        raise AdapterError(f"{type(net).__name__} has no adapter: none was attached, or it is merged already")
    return net


@contextlib.contextmanager
def _as_peft_expects() -> Iterator[None]:
    """Suppress the warning that peft reads an attribute of transformers by a deprecated name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`is_gradient_checkpointing` is deprecated")
        yield
