"""Where and how exactly training computes: device, precision, TF32, determinism.

The one place that sets torch's global switches. The defaults of torch itself are mixed: on a GPU its
convolutions round to TF32 and its matrix products do not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self, cast

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from bundle.system.malloc import TENSOR_BYTES, keep_freed_memory
from trainer.choices import Device, Precision
from trainer.errors import RunError


class NoSuchDevice(RunError):
    """The configured device is not there."""


class ComputeConfig(BaseModel):
    """How a stage is trained on this machine. What is exported and served computes in float32."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Device = "auto"
    """`auto`: the GPU, where torch sees one."""
    precision: Precision = "auto"
    """Of the activations; weights, loss and every measurement stay float32. `auto`: bf16 where the
    device has it in hardware, which takes about half the time."""
    tf32: bool = False
    """On a GPU, round the factors of float32 products to 10 bits: faster, and less exact."""
    deterministic: bool = True
    """Only algorithms that give the same bits again on the same machine; on a GPU some are slower."""

    def resolved(self) -> Self:
        """With `auto` decided for this machine; `NoSuchDevice` where there is no GPU and one was named."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise NoSuchDevice(
                f"compute.device is 'cuda', but torch {torch.__version__} sees no GPU; use `auto` or `cpu`"
            )
        precision = self.precision
        if precision == "auto":
            precision = "bf16" if has_bf16(device) else "fp32"
        return self.model_copy(update={"device": device, "precision": precision})

    def autocast(self) -> torch.autocast:
        """For the forward passes of training; of a resolved config."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


EXACT = ComputeConfig(device="cpu", precision="fp32")
"""As serving computes."""


def has_bf16(device: Literal["cpu", "cuda"]) -> bool:
    """Whether the device multiplies bfloat16 in hardware: a GPU since Ampere, AMX or AVX512-BF16."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@contextmanager
def computing(config: ComputeConfig) -> Iterator[torch.device]:
    """Set the switches for the block and put the old ones back; yields the device of a resolved config.

    Raises RuntimeError (torch's own, naming the operation) where `deterministic` is asked for and an
    operation has no such algorithm.
    """
    keep_freed_memory(TENSOR_BYTES)
    on_gpu = config.device == "cuda"
    if on_gpu and config.deterministic:
        # Read by cuBLAS when it starts; without it torch refuses to be deterministic.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn, debugging = torch.backends.cudnn, cast(Any, torch.utils.deterministic)
    before = (
        torch.get_float32_matmul_precision(),
        cudnn.allow_tf32,
        cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        debugging.fill_uninitialized_memory,
    )
    try:
        torch.set_float32_matmul_precision("high" if on_gpu and config.tf32 else "highest")
        cudnn.allow_tf32 = on_gpu and config.tf32
        # Trying algorithms out picks by the clock, so another run may pick others.
        cudnn.benchmark = not config.deterministic
        torch.use_deterministic_algorithms(config.deterministic)
        # Finds reads of memory that nobody wrote; costs a pass over every new tensor.
        debugging.fill_uninitialized_memory = False
        yield torch.device(config.device)
    finally:
        matmul, cudnn.allow_tf32, cudnn.benchmark, deterministic, warns, fills = before
        torch.set_float32_matmul_precision(matmul)
        torch.use_deterministic_algorithms(deterministic, warn_only=warns)
        debugging.fill_uninitialized_memory = fills


@contextmanager
def placed(device: torch.device, *models: nn.Module | None) -> Iterator[None]:
    """The models on `device` for the block, and on the CPU after it."""
    present = [model for model in models if model is not None]
    try:
        for model in present:
            model.to(device)
        yield
    finally:
        for model in present:
            model.to("cpu")


def describe(config: ComputeConfig) -> dict[str, str]:
    """The resolved switches in words, for the record of a run."""
    gpu = config.device == "cuda"
    name = torch.cuda.get_device_name() if gpu else f"{torch.get_num_threads()} threads"
    return {
        "compute.device": f"{config.device} ({name})",
        "compute.precision": config.precision,
        "compute.tf32": "on" if gpu and config.tf32 else "off",
        "compute.deterministic": "yes" if config.deterministic else "no",
    }
