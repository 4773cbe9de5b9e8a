"""Checkpoints: the state of a running training in one safetensors file, from which a killed run resumes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainer.errors import TrainingError


class ResumeMismatch(TrainingError):
    """A checkpoint was written by a run with another configuration, model or data."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint file and the run that it belongs to."""

    path: Path
    fingerprint: Mapping[str, Any]
    """Field -> plain value; all must agree for a resumed run to be the same run"""

    def bound_to(self, field: str, value: Any) -> Self:
        """The same file with one more field in its fingerprint."""
        return replace(self, fingerprint={**self.fingerprint, field: value})

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write tensors and plain state beside the fingerprint."""
        save_checkpoint(self.path, tensors, {"fingerprint": dict(self.fingerprint), **state})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What `save` wrote, None if there is no file; raises `ResumeMismatch` if another run wrote it."""
        if not self.path.exists():
            return None
        tensors, state = load_checkpoint(self.path)
        check_fingerprint(self.path, state["fingerprint"], self.fingerprint)
        return tensors, state


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and JSON state as one file; a crash leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".partial")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, half, metadata={"state": json.dumps(state)})
    os.replace(half, path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state as `save_checkpoint` wrote them."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return tensors, json.loads(file.metadata()["state"])


def check_fingerprint(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
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
    """sha256 of names and values, which distinguishes two networks of one shape."""
    hasher = hashlib.sha256()
    for name, tensor in tensors.items():
        hasher.update(name.encode())
        hasher.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()
