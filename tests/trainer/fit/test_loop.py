"""The loop: it learns, repeats, resumes, keeps the best epoch, keeps to its time, and stops on NaN."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.scores import StageOutputs
from trainer.choices import Precision
from trainer.errors import TrainingError
from trainer.fit.augment import level
from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.checkpoint import ResumeMismatch, load_checkpoint
from trainer.fit.checkpoint_selection import (
    EpochMetrics,
    StepMetrics,
    best_epoch,
    has_stalled,
    measure_outputs,
)
from trainer.fit.config import LoopConfig
from trainer.fit.device import EXACT, ComputeConfig
from trainer.fit.gradient_accumulation import GradientAccumulator
from trainer.fit.loop import Callbacks, FitResult, NonFiniteLoss, StepProgress, fit
from trainer.fit.loss import LossConfig
from trainer.fit.optimizer import kernel_optimizer
from trainer.fit.schedule import Schedule
from trainer.fit.state import TrainingState
from trainer.fit.weight_average import WeightAverage
from trainer.models import ModelConfig, StageModel, build_model

MEAN_STD = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
CONFIG = LoopConfig(epochs=3, batch_size=32, augment=level("colour"), ema_decay=0.9)
TINY = ModelConfig(name="resnet-small", width=4, dropout=0.1)


def squares(n: int, seed: int, size: int = 16) -> LabelledPixels:
    """Noise; images of class 1 hold a red square."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (n,), generator=generator)
    pixels = torch.randint(0, 200, (n, size, size, 3), generator=generator, dtype=torch.uint8)
    third = size // 3
    pixels[labels == 1, third : 2 * third, third : 2 * third] = torch.tensor([255, 0, 0], dtype=torch.uint8)
    return LabelledPixels(pixels, labels)


TRAIN, SELECT = squares(192, 1), squares(96, 2)
DATA = FitData(TRAIN, SELECT, MEAN_STD)


def train(
    config: LoopConfig = CONFIG,
    *,
    out: Path | None = None,
    stop_after: int | None = None,
    compute: ComputeConfig = EXACT,
) -> FitResult | None:
    """None where it was killed after `stop_after` epochs."""

    def kill(metrics: EpochMetrics) -> None:
        if metrics.epoch == stop_after:
            raise KeyboardInterrupt

    try:
        model = build_model(TINY, 16, 2)
        return fit(model, DATA, config, compute=compute, out=out, callbacks=Callbacks(on_epoch=kill))
    except KeyboardInterrupt:
        return None


def same_weights(first: StageModel, second: StageModel) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def reference() -> FitResult:
    result = train()
    assert result is not None
    return result


def test_it_learns(reference: FitResult) -> None:
    assert reference.history[-1].train_loss < reference.history[0].train_loss
    assert not reference.model.training
    assert not reference.shortened


@pytest.fixture(scope="module")
def learned() -> FitResult:
    """Enough epochs to tell the squares well."""
    config = CONFIG.model_copy(update={"epochs": 8, "ema_decay": 0.5})
    return fit(build_model(TINY, 16, 2), FitData(squares(384, 1), SELECT, MEAN_STD), config)


def test_it_tells_squares_from_noise(learned: FitResult) -> None:
    best = learned.history[learned.best_epoch - 1]
    assert best.balanced_mcc > 0.9
    assert best.augrc < 0.01


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_seed_repeats_metrics_and_weights_to_the_bit(precision: Precision) -> None:
    config = CONFIG.model_copy(update={"epochs": 2})
    compute = ComputeConfig(device="cpu", precision=precision)
    first, second = train(config, compute=compute), train(config, compute=compute)
    other = train(config.model_copy(update={"seed": 1}), compute=compute)
    assert first is not None
    assert second is not None
    assert other is not None
    assert first.history == second.history
    assert same_weights(first.model, second.model)
    assert not same_weights(first.model, other.model)


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_run_resumes_to_the_same_weights(
    reference: FitResult, tmp_path: Path, killed_after: int
) -> None:
    assert train(out=tmp_path, stop_after=killed_after) is None
    resumed = train(out=tmp_path)
    assert resumed is not None
    assert resumed.history == reference.history
    assert same_weights(resumed.model, reference.model)
    again = train(out=tmp_path)
    assert again is not None
    assert same_weights(again.model, reference.model)


def test_a_checkpoint_of_another_run_is_refused_by_field(tmp_path: Path) -> None:
    train(out=tmp_path, stop_after=1)
    with pytest.raises(ResumeMismatch, match="belongs to another run: its config"):
        train(CONFIG.model_copy(update={"lr": 1e-3}), out=tmp_path)


def test_another_teacher_of_the_same_shape_makes_another_run(tmp_path: Path) -> None:
    teachers = [build_model(TINY, 16, 2, seed=seed) for seed in (1, 2)]
    config = CONFIG.model_copy(update={"epochs": 1, "objective": LossConfig(teacher_weight=0.5)})

    def taught_by(teacher: StageModel) -> FitResult:
        student = build_model(TINY, 16, 2)
        return fit(student, DATA, config, teacher=teacher, out=tmp_path)

    taught_by(teachers[0])
    taught_by(teachers[0])
    with pytest.raises(ResumeMismatch, match="belongs to another run: its teacher"):
        taught_by(teachers[1])


def test_the_checkpoint_is_one_safetensors_file_and_no_half_remains(tmp_path: Path) -> None:
    train(out=tmp_path, stop_after=2)
    assert [path.name for path in tmp_path.iterdir()] == ["training.safetensors"]
    _, state = load_checkpoint(tmp_path / "training.safetensors")
    assert len(state["history"]) == 2


def test_the_best_epoch_s_weights_are_kept_when_later_ones_are_worse() -> None:
    model = build_model(TINY, 16, 2)
    average = WeightAverage(model, 0.0)
    optimizer = kernel_optimizer(model, lr=1e-3, weight_decay=0.0)
    schedule = Schedule(10, lr=1e-3, warmup=0.1, time_budget_s=None)
    state = TrainingState(model, average, optimizer, schedule, GradientAccumulator(32))
    for epoch, augrc in ((1, 0.02), (2, 0.01), (3, 0.03)):
        torch.nn.init.constant_(average.model.classifier.bias, epoch)
        state.close_epoch(metrics(epoch, augrc=augrc), CONFIG)
    assert state.best["classifier.bias"].tolist() == [2.0, 2.0]


def test_the_kept_weights_are_the_ones_returned(reference: FitResult, tmp_path: Path) -> None:
    assert train(CONFIG, out=tmp_path, stop_after=reference.best_epoch) is None
    tensors, _ = load_checkpoint(tmp_path / "training.safetensors")
    weights = reference.model.state_dict()
    assert all(torch.equal(tensors[f"best/{name}"], tensor) for name, tensor in weights.items())


def test_a_loss_that_is_no_number_names_step_and_batch() -> None:
    weights = torch.ones(len(TRAIN))
    weights[17] = float("nan")
    poisoned = LabelledPixels(TRAIN.pixels, TRAIN.labels, weights)
    config = CONFIG.model_copy(update={"batch_size": 192})
    with pytest.raises(NonFiniteLoss, match=r"loss is nan at step 0 \(epoch 1\), on the batch of 192"):
        fit(build_model(TINY, 16, 2), FitData(poisoned, SELECT, MEAN_STD), config)


def test_a_student_learns_from_its_teacher_alone_and_at_its_own_size(learned: FitResult) -> None:
    """With all the weight on the teacher, wrong labels do no harm."""
    large = squares(384, 3, size=24)
    lying = LabelledPixels(large.pixels, 1 - large.labels)
    teacher_before = {name: t.clone() for name, t in learned.model.state_dict().items()}
    config = CONFIG.model_copy(
        update={
            "epochs": 8,
            "ema_decay": 0.5,
            "objective": LossConfig(teacher_weight=1.0),
            "augment": level("none"),
        }
    )
    student = build_model(ModelConfig(name="cnn-tiny", width=8), 20, 2)
    result = fit(student, FitData(lying, squares(96, 4, 24), MEAN_STD), config, teacher=learned.model)
    assert result.history[result.best_epoch - 1].accuracy > 0.8
    assert all(torch.equal(teacher_before[n], t) for n, t in learned.model.state_dict().items())


def test_progress_counts_every_step_and_comes_to_an_end() -> None:
    seen: list[StepProgress] = []
    fit(build_model(TINY, 16, 2), DATA, CONFIG, callbacks=Callbacks(on_step=seen.append))
    assert [p.step for p in seen] == list(range(1, 19))
    assert {p.steps for p in seen} == {18}
    assert seen[-1].seconds_left == 0.0
    assert all(p.images_per_second > 0 for p in seen)


def test_a_tight_budget_shortens_the_plan_and_still_cools_down(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr("trainer.fit.state.time.monotonic", lambda: float(next(clock)))
    config = CONFIG.model_copy(update={"epochs": 50, "time_budget_s": 40.0})  # a second per step
    result = fit(build_model(TINY, 16, 2), DATA, config)
    assert result.shortened
    assert 1 < len(result.history) < 10
    assert result.history[-1].learning_rate == 0.0


def test_a_slow_spell_shortens_the_plan_only_while_it_lasts() -> None:
    schedule = Schedule(1000, lr=1.0, warmup=0.1, time_budget_s=100.0)
    schedule.keep_to_budget(100, 50.0)
    assert schedule.steps == 200
    schedule.keep_to_budget(200, 60.0)
    assert schedule.steps == 600
    schedule.keep_to_budget(600, 62.0)
    assert schedule.steps == 1000
    assert schedule.was_shortened


def test_a_spent_budget_ends_the_plan_at_once() -> None:
    schedule = Schedule(1000, lr=1.0, warmup=0.1, time_budget_s=100.0)
    schedule.keep_to_budget(100, 120.0)
    assert schedule.steps == 100


def test_the_clock_never_takes_the_least_epochs() -> None:
    schedule = Schedule(1000, lr=1.0, warmup=0.1, time_budget_s=100.0, least_steps=400)
    schedule.keep_to_budget(10, 99.0)
    assert schedule.steps == 400
    assert schedule.was_shortened
    schedule.keep_to_budget(390, 5000.0)
    assert schedule.steps == 400
    config = CONFIG.model_copy(update={"epochs": 6, "least_epochs": 3, "time_budget_s": 1e-6})
    result = fit(build_model(TINY, 16, 2), DATA, config)
    assert [m.epoch for m in result.history] == [1, 2, 3]
    assert result.history[-1].learning_rate == 0.0


def test_epochs_without_a_gain_end_the_training_over_one_that_cools_down(tmp_path: Path) -> None:
    """Images that show nothing of their class: no epoch gains; interrupted or not, the end is the same."""
    blank = LabelledPixels(torch.zeros_like(SELECT.pixels), SELECT.labels)
    data = FitData(LabelledPixels(torch.zeros_like(TRAIN.pixels), TRAIN.labels), blank, MEAN_STD)
    config = CONFIG.model_copy(update={"epochs": 40, "patience": 2, "augment": level("none")})

    def kill(metrics: EpochMetrics) -> None:
        if metrics.epoch == 3:
            raise KeyboardInterrupt

    whole = fit(build_model(TINY, 16, 2), data, config)
    assert whole.ended_early
    assert not whole.shortened
    assert len(whole.history) < 10
    assert whole.history[-1].learning_rate == 0.0
    with pytest.raises(KeyboardInterrupt):
        fit(build_model(TINY, 16, 2), data, config, callbacks=Callbacks(on_epoch=kill), out=tmp_path)
    resumed = fit(build_model(TINY, 16, 2), data, config, out=tmp_path)
    assert resumed.history == whole.history


def test_without_patience_the_plan_is_trained_in_full() -> None:
    history = [metrics(epoch, augrc=0.01) for epoch in range(1, 9)]
    assert not has_stalled(history, CONFIG)
    patient = CONFIG.model_copy(update={"patience": 3})
    assert has_stalled(history[:4], patient)
    assert not has_stalled(history[:3], patient)
    gained = [*history[:3], metrics(4, augrc=0.009)]
    assert not has_stalled(gained, patient)
    learning = [*history[:3], replace(metrics(4, augrc=0.01), loss=history[0].loss - 0.01)]
    assert not has_stalled(learning, patient)


def test_a_loose_budget_changes_no_bit(reference: FitResult) -> None:
    result = train(CONFIG.model_copy(update={"time_budget_s": 1e6}))
    assert result is not None
    assert same_weights(result.model, reference.model)


def test_the_learning_rate_warms_up_and_cools_down() -> None:
    schedule = Schedule(100, lr=1.0, warmup=0.1, time_budget_s=None)
    rates = [schedule.rate(step) for step in range(100)]
    assert max(rates) == rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == 0.0


def metrics(epoch: int, **values: float) -> EpochMetrics:
    base = {
        "learning_rate": 0.0,
        "train_loss": 1.0,
        "loss": 1.0,
        "accuracy": 0.9,
        "balanced_mcc": 0.8,
        "augrc": 0.01,
        "certifiable_coverage": 0.5,
        "loss_error": 0.0,
        "balanced_mcc_error": 0.0,
        "augrc_error": 0.0,
    }
    return EpochMetrics(epoch=epoch, **{**base, **values})


@pytest.mark.parametrize(
    ("rule", "kept"),
    [("augrc", 2), ("loss", 3), ("mcc", 4)],
)
def test_each_rule_keeps_its_own_epoch(rule: str, kept: int) -> None:
    history = [
        metrics(1),
        metrics(2, augrc=0.005),
        metrics(3, loss=0.5),
        metrics(4, balanced_mcc=0.9),
    ]
    assert best_epoch(history, rule).epoch == kept


def test_of_epochs_as_good_as_the_best_the_last_is_kept() -> None:
    history = [
        metrics(1, augrc=0.0),  # perfect by luck, on a split too small to tell
        metrics(2, augrc=0.004, augrc_error=0.0021),
        metrics(3, augrc=0.004, augrc_error=0.0019),
    ]
    assert [best_epoch(history[:n], "augrc").epoch for n in (1, 2, 3)] == [1, 2, 2]


def test_standard_errors_shrink_with_the_images_and_match_their_definition() -> None:
    rng = np.random.default_rng(0)
    margin = rng.normal(1.0, 1.0, 4_000)
    outputs = StageOutputs(np.stack([-margin / 2, margin / 2], axis=-1), None)
    labels = np.ones(4_000, dtype=np.int64)
    labels[::2], outputs.logits[::2] = 0, outputs.logits[::2, ::-1]

    def measured(n: int) -> EpochMetrics:
        part = StageOutputs(outputs.logits[:n], None)
        return measure_outputs(part, torch.from_numpy(labels[:n]), StepMetrics(1, 0.0, 0.0))

    small, large = measured(1_000), measured(4_000)
    for name in ("loss_error", "balanced_mcc_error", "augrc_error"):
        assert getattr(small, name) / getattr(large, name) == pytest.approx(2.0, rel=0.25), name
    # sd of MCC = 2 x balanced accuracy - 1 with about equal shares right: 2 sqrt(p q / n)
    p = large.accuracy
    assert large.balanced_mcc_error == pytest.approx(2 * np.sqrt(p * (1 - p) / 4_000), rel=0.15)


def test_views_that_grow_train_as_well_and_only_where_any_size_will_do() -> None:
    config = CONFIG.model_copy(update={"first_views": 0.5, "epochs": 4})
    assert train(config).history[-1].accuracy > 0.8
    rigid = build_model(TINY, 16, 2)
    rigid.backbone.any_size = False
    with pytest.raises(TrainingError, match="one size only"):
        fit(rigid, FitData(squares(64, 0), squares(32, 1), MEAN_STD), config)
