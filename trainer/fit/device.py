"""Device, precision, TF32 and determinism of training.

This is the only module that sets torch's global switches. Torch's own defaults are mixed: on a GPU its
convolutions round to TF32 and its matrix products do not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from bundle.system.malloc import TENSOR_BYTES, keep_freed_memory
from trainer.choices import Device, Precision
from trainer.errors import RunError


class NoSuchDevice(RunError):
    """The configured device does not exist on this machine."""


class ComputeConfig(BaseModel):
    """Device and precision of training. Exported and served models always compute in float32."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Device = "auto"
    """`auto`: the GPU if torch finds one."""
    precision: Precision = "auto"
    """Precision of the activations; weights, loss and every measurement stay float32. `auto`: bf16 if the
    device has it in hardware, which takes about half the time."""
    tf32: bool = False
    """On a GPU, round the factors of float32 products to 10 bits: faster and less exact."""
    deterministic: bool = True
    """Use only algorithms that repeat their bits on the same machine; on a GPU some are slower."""

    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads of the CPU; None: the fastest number, by measuring (see `trainer.fit.threads`). One seed and
    one number give one result."""

    def resolved(self) -> Self:
        """The same with `auto` decided for this machine; `NoSuchDevice` if it names a missing GPU."""
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

    def with_threads(self, counts: Iterable[int]) -> Self:
        """The same with the number of threads that computed, if it was one number throughout, on the CPU."""
        distinct = set(counts)
        if self.device != "cpu" or len(distinct) != 1:
            return self
        return self.model_copy(update={"threads": distinct.pop()})

    def autocast(self) -> torch.autocast:
        """Context of the forward passes of training; needs a resolved config."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


EXACT = ComputeConfig(device="cpu", precision="fp32")
"""The device and precision of serving"""


def has_bf16(device: Literal["cpu", "cuda"]) -> bool:
    """Whether the device multiplies bfloat16 in hardware: a GPU since Ampere, AMX or AVX512-BF16."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@contextmanager
def computing(config: ComputeConfig) -> Iterator[torch.device]:
    """Set the switches inside the block and restore them after it; yields the device of a resolved config.

    Torch raises `RuntimeError`, naming the operation, if `deterministic` is set and an operation has no
    deterministic algorithm.
    """
    keep_freed_memory(TENSOR_BYTES)
    on_gpu = config.device == "cuda"
    if on_gpu and config.deterministic:
        # cuBLAS reads this when it starts; without it torch refuses to be deterministic.
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
    threads = torch.get_num_threads()
    try:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        torch.set_float32_matmul_precision("high" if on_gpu and config.tf32 else "highest")
        cudnn.allow_tf32 = on_gpu and config.tf32
        # Benchmarking picks algorithms by the clock, so another run may pick others.
        cudnn.benchmark = not config.deterministic
        torch.use_deterministic_algorithms(config.deterministic)
        # Finds reads of uninitialised memory, at the cost of a pass over every new tensor.
        debugging.fill_uninitialized_memory = False
        yield torch.device(config.device)
    finally:
        torch.set_num_threads(threads)
        matmul, cudnn.allow_tf32, cudnn.benchmark, deterministic, warns, fills = before
        torch.set_float32_matmul_precision(matmul)
        torch.use_deterministic_algorithms(deterministic, warn_only=warns)
        debugging.fill_uninitialized_memory = fills


def fixed_threads(config: ComputeConfig) -> int | None:
    """The number of threads that measuring must not change; None: measured. A GPU keeps the present one."""
    return config.threads if config.device == "cpu" else torch.get_num_threads()


@contextmanager
def placed(device: torch.device, *models: nn.Module | None) -> Iterator[None]:
    """Place the models on `device` inside the block, and on the CPU after it."""
    present = [model for model in models if model is not None]
    try:
        for model in present:
            model.to(device)
        yield
    finally:
        for model in present:
            model.to("cpu")


def describe(config: ComputeConfig) -> dict[str, str]:
    """The resolved switches as text, for the record of a run."""
    gpu = config.device == "cuda"
    threads = torch.get_num_threads() if config.threads is None else config.threads
    name = torch.cuda.get_device_name() if gpu else f"{threads} threads"
    return {
        "compute.device": f"{config.device} ({name})",
        "compute.precision": config.precision,
        "compute.tf32": "on" if gpu and config.tf32 else "off",
        "compute.deterministic": "yes" if config.deterministic else "no",
    }
