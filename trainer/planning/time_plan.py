"""Time of a run after its images are decoded: said before training, and compared with what was used.

`minutes` of a configuration are those of the two training loops. Everything else is little beside them, and
follows from the number of images: the outputs of a pretrained stage B on the training images, the exports,
the scores of the evaluation splits, certificate, report and bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from trainer.models import ResolvedModel
from trainer.planning.pretrained_recipe import forward_seconds
from trainer.planning.recipe import Recipe

BEFORE: Final = ("Opening the images", "Rendering", "Decoding")
TRAINING: Final = "Training stage"
TEACHER: Final = "Computing the outputs of stage B"
SCORING: Final = "Scoring"
"""Beginnings of the titles of bars, as `trainer.data.opening`, `trainer.stages` and
`trainer.scoring.collect` name them"""
SECONDS_OF_THE_REST: Final = 8.0
"""Both exports, certificate, report, pictures and bundle, on two cores"""
TOLERANCE: Final = 1.1


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a run after decoding."""

    name: str
    title: str
    """Beginning of the titles of its bars"""
    seconds: float

    def used(self, steps: Mapping[str, float]) -> float:
        """Seconds that its bars took; `steps`: title -> seconds."""
        return _spent(steps, self.title)


@dataclass(frozen=True, slots=True)
class TimePlan:
    """Planned seconds of the steps after decoding."""

    training: tuple[PlannedStep, ...]
    further: tuple[PlannedStep, ...]
    rest: float = SECONDS_OF_THE_REST

    def sentence(self) -> str:
        """`Training takes at most 12.0 minutes (...), and what follows it about .4 more: ...`"""
        loops = ", ".join(f"{step.name} {minutes(step.seconds)}" for step in self.training)
        further = ", ".join(step.name for step in self.further)
        more = self.rest + sum(step.seconds for step in self.further)
        return (
            f"Training takes at most {minutes(sum(step.seconds for step in self.training))} minutes by plan "
            f"({loops}); {further}, exports, certificate and report take about {minutes(more)} more"
        )

    def comparison(self, steps: Mapping[str, float], total: float) -> tuple[str, ...]:
        """Planned and used minutes, one line per step. `steps`: title of a bar -> seconds; `total`: seconds
        of the whole run."""
        rows = [(step.name, step.seconds, step.used(steps)) for step in (*self.training, *self.further)]
        before = _spent(steps, *BEFORE)
        rest = max(0.0, total - before - sum(used for _, _, used in rows))
        trained = sum(step.used(steps) for step in self.training)
        planned = sum(step.seconds for step in self.training)
        return (
            "Minutes (planned, used):",
            f"  images opened and decoded: -, {minutes(before)}",
            *(f"  {name}: {minutes(seconds)}, {minutes(used)}" for name, seconds, used in rows),
            f"  all else: {minutes(self.rest)}, {minutes(rest)}",
            *_why_longer(trained, planned),
        )


def plan_time(
    recipe: Recipe,
    models: tuple[ResolvedModel, ResolvedModel],
    *,
    n_train: int,
    n_scored: int,
    decode_seconds: float,
) -> TimePlan:
    """The plan of a run. models: stages A, B; n_scored: images of the evaluation splits; decode_seconds: per
    image, as measured."""
    stages = (recipe.stage_a, recipe.stage_b)
    forward = [forward_seconds(model, stage.image_size) for model, stage in zip(models, stages, strict=True)]
    training = [
        PlannedStep(f"stage {name}", f"{TRAINING} {name}", stage.loop.time_budget_s)
        for name, stage in (("B", recipe.stage_b), ("A", recipe.stage_a))
        if stage.loop.time_budget_s is not None
    ]
    further = []
    if models[1].is_pretrained:
        views = 1 + recipe.stage_b.views
        further.append(PlannedStep("outputs of stage B", TEACHER, views * n_train * forward[1]))
    further.append(PlannedStep("scores", SCORING, n_scored * (decode_seconds + sum(forward))))
    return TimePlan(tuple(training), tuple(further))


def _spent(steps: Mapping[str, float], *titles: str) -> float:
    return sum(spent for title, spent in steps.items() if title.startswith(titles))


def minutes(seconds: float) -> str:
    """`1.5` for 90 seconds."""
    return f"{seconds / 60:.1f}"


def _why_longer(trained: float, planned: float) -> Iterable[str]:
    if planned and trained > TOLERANCE * planned:
        yield (
            f"Training took {trained / planned:.1f} times its plan: every stage keeps its least number of "
            "epochs, and this machine was slower or busier than the plan assumes"
        )
