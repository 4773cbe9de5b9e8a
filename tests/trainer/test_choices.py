"""Each set of choices is one list: command line, configurations and the code that acts on it agree."""

from __future__ import annotations

import subprocess
import sys

from trainer import choices
from trainer.choices import names
from trainer.config import TrainConfig
from trainer.fit.augment import LEVELS
from trainer.fit.checkpoint_selection import CRITERIA
from trainer.models import BACKBONES, FAMILIES, VARIANTS
from trainer.models.adapters import TARGETS
from trainer.transfer.methods import METHODS


def test_every_choice_is_acted_on_and_nothing_else() -> None:
    assert names(choices.CheckpointSelection) == tuple(CRITERIA)
    assert names(choices.AugmentLevel) == tuple(LEVELS)
    assert names(choices.ComparedMethod) == tuple(METHODS)
    assert names(choices.AdapterTargets) == tuple(TARGETS)
    assert {method.adapt for method in METHODS.values()} == set(names(choices.Adapt))
    assert names(choices.ImageModel) == (*BACKBONES, *FAMILIES, *VARIANTS)


def test_the_configuration_takes_the_same_names() -> None:
    fields = TrainConfig.model_fields
    assert fields["checkpoint_selection"].annotation == choices.CheckpointSelection
    assert fields["augment"].annotation == choices.AugmentLevel
    assert fields["adapt"].annotation == choices.Adapt | None


def test_the_command_line_knows_the_choices_without_torch() -> None:
    code = "import sys, demur.cli; assert 'trainer.choices' in sys.modules; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
