"""`demur profile`: a bundle measured, printed and written."""

from __future__ import annotations

from pathlib import Path

from bundle.selection.choice import EnginePreference
from demur.output import run_console, write_json
from demur.profile.report import profile_tables, summary, write_profile
from demur.profile.run import profile_bundle
from trainer.data.config import DataConfig
from trainer.data.images import ImageSource
from trainer.data.source import open_source
from trainer.run.disk import explain_disk_errors
from trainer.scenes import SceneOptions

SCENES = 256
"""Number of scenes rendered if the source is `scenes`"""


def profile_and_report(
    bundle: Path,
    source: str | None,
    out: Path,
    *,
    image_column: str,
    seconds: float,
    processes: int | None,
    wish: EnginePreference,
    as_json: bool,
) -> None:
    """Measure `bundle` on the images of `source` (None: its golden cases); tables to the terminal, files
    to the folder `out`. Raises as `profile_bundle` and `open_source` do."""
    console = run_console(as_json)
    with explain_disk_errors(out):
        # Before the measurement, which would be lost.
        out.mkdir(parents=True, exist_ok=True)
    images = None if source is None else _open(source, image_column)
    measured = profile_bundle(
        bundle, images, seconds=seconds, processes=processes, wish=wish, console=console
    )
    console.console.print(profile_tables(measured))
    for sentence in summary(measured):
        console.note(sentence)
    for warning in measured.warnings:
        console.warn(warning)
    with explain_disk_errors(out):
        written = write_profile(measured, out)
    for path in written:
        console.note(f"written: {path}")
    if as_json:
        write_json(measured.to_dict())


def _open(source: str, image_column: str) -> ImageSource:
    return open_source(
        DataConfig(source=source, image_column=image_column, scenes=SceneOptions(sequences=SCENES))
    )
