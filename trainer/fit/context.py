"""The surroundings of a training run, which every step of it shares."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.fit.device import EXACT, ComputeConfig
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder


@dataclass(frozen=True, slots=True)
class RunContext:
    """Folder, console, device and seed of one run."""

    run: RunFolder
    console: RunConsole
    compute: ComputeConfig = EXACT
    seed: int = 0
