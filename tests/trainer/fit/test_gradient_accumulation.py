"""Out of memory: batches in smaller parts, the same result; a note, remembered, refused at one image."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainer.fit.augment import level
from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.fit.config import LoopConfig
from trainer.fit.gradient_accumulation import (
    GradientAccumulator,
    OutOfMemory,
    explain_out_of_memory,
    ran_out_of_memory,
)
from trainer.fit.loop import Callbacks, FitResult, fit
from trainer.fit.loss import LossConfig
from trainer.models import ModelConfig, StageModel, TransformerConfig, build_model

MEAN_STD = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
TRANSFORMER = ModelConfig(
    name="vit", transformer=TransformerConfig(patch_size=8, hidden_size=16, heads=2, layers=2)
)
"""Without batch normalisation"""
CONFIG = LoopConfig(epochs=2, batch_size=24, lr=1e-3, ema_decay=0.5, augment=level("colour"))
SELECTIVE = CONFIG.model_copy(update={"objective": LossConfig(kind="selective")})


def pictures(n: int, seed: int) -> LabelledPixels:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 16, 16, 3), generator=generator, dtype=torch.uint8)
    return LabelledPixels(pixels, torch.arange(n) % 2)


DATA = FitData(pictures(48, 1), pictures(24, 2), MEAN_STD)


@contextmanager
def memory_for(model: StageModel, images: int) -> Iterator[None]:
    """An allocator that has no room for more images than this in one pass of training."""

    def refuse(_: object, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs[0]) > images and torch.is_grad_enabled():
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 3221225472 bytes. Error code 12 (Cannot allocate memory)"
            )

    hook = model.classifier.register_forward_pre_hook(refuse)
    try:
        yield
    finally:
        hook.remove()


def train(
    config: LoopConfig, images: int, *, out: Path | None = None, kill: bool = False
) -> tuple[FitResult, list[str]]:
    model = build_model(TRANSFORMER, 16, 2)
    notes: list[str] = []

    def after_epoch(_: EpochMetrics) -> None:
        if kill:
            raise KeyboardInterrupt

    with memory_for(model, images):
        callbacks = Callbacks(on_epoch=after_epoch, on_note=notes.append)
        return fit(model, DATA, config, callbacks=callbacks, out=out), notes


@pytest.mark.parametrize("config", [CONFIG, SELECTIVE], ids=["cross entropy", "selective"])
def test_the_result_is_that_of_the_whole_batch(config: LoopConfig) -> None:
    whole, nothing = train(config, 24)
    parts, notes = train(config, 7)
    assert (whole.micro_batch, nothing) == (24, [])
    assert parts.micro_batch == 6
    assert [line.split(";")[0] for line in notes] == [
        "Memory ran out with 24 images at a time",
        "Memory ran out with 12 images at a time",
    ]
    assert "gradients added up to the same batches of 24" in notes[-1]
    for a, b in zip(whole.model.state_dict().values(), parts.model.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3)
    for one, other in zip(whole.history, parts.history, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-4)


def test_gradients_of_unequal_parts_add_up() -> None:
    """23 images, at most 5 at a time."""
    model = build_model(TRANSFORMER, 16, 2)
    x, labels = torch.randn(23, 3, 16, 16), torch.arange(23) % 2
    found = []
    for size in (23, 5):
        GradientAccumulator(size).backward(
            23,
            lambda part: model(x[part]),
            lambda outputs, part: torch.nn.functional.cross_entropy(outputs.logits, labels[part]),
            couples_images=False,
            model=model,
        )
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_the_note_mentions_batch_normalisation_if_the_model_has_it() -> None:
    model = build_model(ModelConfig(name="cnn-tiny", width=4), 16, 2)
    notes: list[str] = []
    with memory_for(model, 12):
        fit(model, DATA, CONFIG, callbacks=Callbacks(on_note=notes.append))
    assert "batch normalisation sees the smaller ones" in notes[0]


def test_a_killed_run_resumes_with_the_smaller_parts(tmp_path: Path) -> None:
    uninterrupted, _ = train(CONFIG, 12)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, 12, out=tmp_path, kill=True)
    resumed, notes = train(CONFIG, 24, out=tmp_path)
    assert notes == []
    assert resumed.micro_batch == 12
    for name, tensor in uninterrupted.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_a_single_image_that_does_not_fit_stops_training() -> None:
    with pytest.raises(OutOfMemory, match=r"with a single image at a time .*smaller image_size"):
        train(CONFIG, 0)


def test_other_errors_are_not_taken_for_it() -> None:
    assert ran_out_of_memory(MemoryError())
    assert ran_out_of_memory(RuntimeError("could not create a primitive"))
    assert ran_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not ran_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not ran_out_of_memory(ValueError("out of memory"))


LIMITED = """
import resource, torch
torch.set_num_threads(1)
from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.loop import Callbacks, LoopConfig, fit
from trainer.models import ModelConfig, TransformerConfig, build_model
transformer = TransformerConfig(patch_size=4, hidden_size=64, heads=2, layers=6)
model = build_model(ModelConfig(name="vit", transformer=transformer), 64, 2)
def pictures(n):
    return LabelledPixels(torch.zeros(n, 64, 64, 3, dtype=torch.uint8), torch.arange(n) % 2)
loop = LoopConfig(epochs=1, batch_size={batch}, lr=1e-3)
def data(n):
    return FitData(pictures(n), pictures(2), ((0.5,) * 3, (0.5,) * 3))
fit(model, data(2), loop)  # loads every library
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {room} * 2**20,) * 2)
result = fit(model, data({batch}), loop, callbacks=Callbacks(on_note=print))
print("micro-batch", result.micro_batch)
"""


def test_training_completes_within_a_real_memory_limit() -> None:
    """128 images of 257 tokens need about 3 GiB at once; there are 700 MiB."""
    script = LIMITED.format(batch=128, room=700)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, *_, last = done.stdout.strip().splitlines()
    assert first.startswith("Memory ran out with 128 images at a time; going on with 64")
    assert int(last.split()[-1]) in (1, 2, 4, 8, 16, 32, 64)  # how many fit depends on the allocator


def test_evaluation_uses_fewer_images_too() -> None:
    tried: list[int] = []

    def work(images: int) -> str:
        tried.append(images)
        if images > 40:
            raise MemoryError
        return "done"

    accumulator = GradientAccumulator(24)
    assert accumulator.evaluate(work) == "done"
    assert accumulator.evaluate(work) == "done"
    assert tried == [256, 128, 64, 32, 32]
    with pytest.raises(ValueError, match="something else"):
        accumulator.evaluate(lambda _: (_ for _ in ()).throw(ValueError("something else")))


def test_a_failed_allocation_that_smaller_parts_cannot_avoid_is_explained() -> None:
    explained = pytest.raises(
        OutOfMemory, match=r"memory ran out while augmenting \(MemoryError\); use a smaller"
    )
    with explained, explain_out_of_memory("augmenting"):
        raise MemoryError
    with pytest.raises(RuntimeError, match="shapes"), explain_out_of_memory("augmenting"):
        raise RuntimeError("shapes")


def test_a_step_that_fits_collects_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection takes as long as a step."""
    collected: list[None] = []
    monkeypatch.setattr("trainer.fit.gradient_accumulation.gc.collect", lambda: collected.append(None))
    train(CONFIG, 24)
    assert collected == []
    train(CONFIG, 12)
    assert len(collected) == 1
