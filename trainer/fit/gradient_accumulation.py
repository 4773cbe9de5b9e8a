"""Gradient accumulation: the gradient of a whole batch from as many images at a time as fit memory.

If memory runs out, the micro-batch is halved and the step is computed again from the same views. The
gradients of the parts are added up, so the step is that of the whole batch, up to rounding; only batch
normalisation sees one part at a time.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from bundle.system.limits import ALLOCATION_FAILURES
from trainer.errors import TrainingError
from trainer.models import HeadOutputs

Forward = Callable[[slice], HeadOutputs]
"""Part of the batch -> the model's outputs on these images"""
Loss = Callable[[HeadOutputs, slice], Tensor]
"""(outputs, part) -> the mean loss of these images"""

T = TypeVar("T")

EVALUATION_BATCH = 256
"""Images per forward pass if no gradient is kept."""

_MEMORY_WORDS = (
    *ALLOCATION_FAILURES,
    "defaultcpuallocator",
    # oneDNN does not say why; shapes and types are checked before, so memory for its code is what is left.
    "could not create a primitive",
)


class OutOfMemory(TrainingError):
    """Not even one image at a time fits memory, or a part that does not depend on their number."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU, torch's CPU allocator or Python itself found no memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _MEMORY_WORDS)


@contextmanager
def explain_out_of_memory(activity: str) -> Iterator[None]:
    """Turn a failed allocation during `activity` into `OutOfMemory`, whose message says what helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"memory ran out while {activity} ({_first_line(error)}); use a smaller batch_size, image_size "
            "or model"
        ) from error


@dataclass
class _Attempt:
    """One try at some work with so many images at a time."""

    size: int

    @property
    def next_size(self) -> int:
        return math.ceil(self.size / 2)


@contextmanager
def _attempt_with(size: int) -> Iterator[_Attempt]:
    """Suppress a failed allocation, so that the caller can try half the size; raise it at one image."""
    try:
        yield _Attempt(size)
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        if size == 1:
            raise OutOfMemory(
                f"memory ran out with a single image at a time ({_first_line(error)}); use a smaller "
                "image_size, a smaller model, or compute.precision bf16"
            ) from error
        # The traceback holds references to the tensors that did not fit.
        error.__traceback__ = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:200] or type(error).__name__


class GradientAccumulator:
    """Splits batches into micro-batches that fit memory and adds up their gradients."""

    def __init__(self, batch_size: int, *, on_note: Callable[[str], None] = lambda _: None) -> None:
        """`on_note` gets a sentence every time memory runs out."""
        self.micro_batch = batch_size
        """Most images per forward pass; halved if memory runs out, and never raised again."""
        self._batch_size = batch_size
        self._evaluation_batch = EVALUATION_BATCH
        self._on_note = on_note

    def backward(
        self, n: int, forward: Forward, loss: Loss, *, couples_images: bool, model: nn.Module
    ) -> Tensor:
        """Compute the gradient of the loss of n images in the parameters of `model`; returns the loss.

        `couples_images`: the loss is no mean over single images, so all outputs must be known before any
        gradient is; if the batch is computed in parts, each part then goes through the network twice.
        Earlier gradients of `model` are discarded. Raises `OutOfMemory`.
        """

        def gradient() -> Tensor:
            if couples_images and n > self.micro_batch:
                return _coupled(n, self._parts(n), forward, loss)
            return self._summed(n, lambda part: loss(forward(part), part))

        return self._halved_until_it_fits(n, gradient, model)

    def backward_mean(self, n: int, loss: Callable[[slice], Tensor], *, model: nn.Module) -> Tensor:
        """As `backward`, of a loss that is a mean over single images: part of the batch -> its mean loss."""
        return self._halved_until_it_fits(n, lambda: self._summed(n, loss), model)

    def _halved_until_it_fits(self, n: int, gradient: Callable[[], Tensor], model: nn.Module) -> Tensor:
        states = _random_states()
        while True:
            model.zero_grad(set_to_none=True)
            tried = min(self.micro_batch, n)
            with _attempt_with(tried) as attempt:
                return gradient()
            self.micro_batch = attempt.next_size
            _set_random_states(states)
            self._on_note(
                f"Memory ran out with {tried} images at a time; going on with {self.micro_batch}, gradients "
                f"added up to the same batches of {n}"
                + ("; batch normalisation sees the smaller ones" if _normalises_batches(model) else "")
            )

    def evaluate(self, work: Callable[[int], T]) -> T:
        """Run `work(images per forward pass)` without gradients, on fewer images if memory ran out."""
        while True:
            most = self.micro_batch if self.micro_batch < self._batch_size else EVALUATION_BATCH
            with _attempt_with(min(most, self._evaluation_batch)) as attempt:
                return work(attempt.size)
            self._evaluation_batch = attempt.next_size

    def _parts(self, n: int) -> list[slice]:
        count = math.ceil(n / self.micro_batch)
        ends = [round(n * (index + 1) / count) for index in range(count)]
        return [slice(start, end) for start, end in pairwise([0, *ends])]

    def _summed(self, n: int, loss: Callable[[slice], Tensor]) -> Tensor:
        """The gradient of the mean loss of n images, part by part; returns the loss."""
        total = torch.zeros(())
        for part in self._parts(n):
            share = loss(part) * ((part.stop - part.start) / n)
            share.backward()
            total = total.to(share.device) + share.detach()
        return total


def _coupled(n: int, parts: list[slice], forward: Forward, loss: Loss) -> Tensor:
    """All outputs first, then their gradients, then every part again with its own (arXiv 2101.06983)."""
    seen, states = [], []
    for part in parts:
        states.append(_random_states())
        with torch.no_grad():
            seen.append(forward(part))
    after = _random_states()
    outputs = HeadOutputs(*(torch.cat(columns).requires_grad_() for columns in zip(*seen, strict=True)))
    whole = loss(outputs, slice(0, n))
    gradients = torch.autograd.grad(whole, tuple(outputs))
    for part, state in zip(parts, states, strict=True):
        _set_random_states(state)
        torch.autograd.backward(tuple(forward(part)), [gradient[part] for gradient in gradients])
    _set_random_states(after)
    return whole.detach()


def _random_states() -> tuple[Tensor, ...]:
    """States of the generators that dropout draws from."""
    gpu = (torch.cuda.get_rng_state(),) if torch.cuda.is_available() else ()
    return (torch.get_rng_state(), *gpu)


def _set_random_states(states: tuple[Tensor, ...]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)


def _normalises_batches(model: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
