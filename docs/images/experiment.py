"""Draws docs/images/experiment-*.png: the pictures of an experiment's report, from an invented event log.

`PYTHONPATH=tests python docs/images/experiment.py`
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from fakes.experiment_log import LoggedExperiment

from demur.commands.experiment_reading import read_experiment
from demur.commands.experiment_report import draw_report

HERE = Path(__file__).parent


def main() -> None:
    """Write the pictures."""
    with TemporaryDirectory() as folder:
        LoggedExperiment().write(Path(folder))
        for picture in draw_report(read_experiment(None, [Path(folder)], None), Path(folder) / "out"):
            shutil.copy(picture, HERE / f"experiment-{picture.name}")


if __name__ == "__main__":
    main()
