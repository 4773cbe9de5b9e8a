"""The verb `gate`."""

from __future__ import annotations

from typing import Annotated

import typer

from demur.verbs.options import AsJson, Run
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
    as_json: AsJson = False,
) -> None:
    """Fit the gate and the temperature on val_select, and compare the scores that can rank the images.

    Example: `demur gate runs/first --score best`

    Writes gateparams.json and metrics/gate_training.csv. The bundle keeps its policy until
    `demur calibrate` certifies a new one.
    """
    from demur.commands.results import gate_values
    from demur.output import write_json
    from trainer.bundling.rerun import refit_gate

    fit = refit_gate(run, score)
    if as_json:
        write_json(gate_values(fit, run))
        return
    for sentence in fit.sentences():
        print(sentence)
