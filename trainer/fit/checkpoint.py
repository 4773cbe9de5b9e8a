"""The state of a running training on disk, one safetensors file, so that a killed run can go on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainer.errors import TrainingError


class ResumeMismatch(TrainingError):
    """A checkpoint was written by a run with another configuration, model or data."""


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and JSON state as one file; a crash leaves the old file or the new one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".partial")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, half, metadata={"state": json.dumps(state)})
    os.replace(half, path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state as `save_checkpoint` was given them."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return tensors, json.loads(file.metadata()["state"])


def check_fingerprint(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Refuse to resume a different run, naming the first field that differs."""
    for field, value in expected.items():
        if found.get(field) != value:
            raise ResumeMismatch(
                f"{path} belongs to another run: its {field} is {found.get(field)!r}, now it is {value!r}; "
                f"remove the file to start afresh"
            )


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`{"a": t}` -> `{"prefix/a": t}`"""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix/`, without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`{"0/momentum": ..., "1/step": ...}`, by the parameters' positions."""
    states = optimizer.state_dict()["state"]
    return {f"{index}/{key}": value for index, state in states.items() for key, value in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Inverse of `optimizer_tensors`, each moment laid out in memory as its parameter is."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        laid_out = tensor if tensor.ndim == 0 else torch.empty_like(parameters[int(index)]).copy_(tensor)
        states.setdefault(int(index), {})[key] = laid_out
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of the values, by name: two networks of one shape are told apart."""
    hasher = hashlib.sha256()
    for name, tensor in tensors.items():
        hasher.update(name.encode())
        hasher.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()
