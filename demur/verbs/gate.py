"""The verb `gate`."""

from __future__ import annotations

from typing import Annotated

import typer

from demur.verbs.options import Run
from trainer.choices import ScoreChoice


def gate(
    run: Run,
    score: Annotated[
        ScoreChoice | None,
        typer.Option(
            help="Score that ranks the images; `best` compares all of them by cross-fitting. "
            "[default: as in the run]"
        ),
    ] = None,
) -> None:
    """Fit the gate and the temperature on val_select, and compare the scores that can rank the images.

    Example: `demur gate runs/first --score best`

    Writes gateparams.json and metrics/gate_training.csv. The bundle keeps its policy until
    `demur calibrate` certifies a new one.
    """
    from trainer.bundling.rerun import refit_gate

    for sentence in refit_gate(run, score).sentences():
        print(sentence)
