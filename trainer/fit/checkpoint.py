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
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainer.errors import TrainingError
from trainer.run.digests import MISMATCH, DamagedFile, damage
from trainer.run.disk import explain_disk_errors


class ResumeMismatch(TrainingError):
    """A checkpoint was written by a run with another configuration, model or data."""


_WAY_OUT = "remove the file to train from the start, or restore it from a backup"

STATE, DIGEST = "state", "sha256"
"""Keys of the metadata; a single entry of the file, since safetensors writes several in random order"""


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
        """What `save` wrote, None if there is no file.

        Raises `DamagedFile`, or `ResumeMismatch` if another run wrote it.
        """
        if not self.path.exists():
            return None
        tensors, state = load_checkpoint(self.path)
        check_fingerprint(self.path, state["fingerprint"], self.fingerprint)
        return tensors, state


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and JSON state as one file with a digest; a crash leaves the old file or the new one."""
    partial = path.with_suffix(".partial")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = json.dumps({DIGEST: content_digest(whole, state), STATE: state})
    with explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(whole, partial, metadata={STATE: metadata})
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state as `save_checkpoint` wrote them; raises `DamagedFile` if they have changed.

    Files without any digest, which earlier versions wrote, are read as they are.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            found = json.loads(file.metadata()[STATE])
        if "fingerprint" in found and STATE not in found:
            return tensors, found
        if found[DIGEST] != content_digest(tensors, found[STATE]):
            raise DamagedFile(damage(path, MISMATCH, _WAY_OUT))
        return tensors, found[STATE]
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedFile(damage(path, str(error).strip().split("\n", 1)[0], _WAY_OUT)) from error


def content_digest(tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> str:
    """sha256 of plain values and of every tensor's name, type, shape and bytes."""
    hasher = hashlib.sha256(json.dumps(state).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        hasher.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


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
