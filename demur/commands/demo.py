"""`demur demo`: a whole run on synthetic scenes, from rendering to a running service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundle.verify import verify_bundle
from demur.commands.serve import request_line, serve_until_stopped
from trainer.bundling.finish import RunResult
from trainer.certify.user_ledger import ledger_in
from trainer.config import TrainConfig, load_config
from trainer.pipeline import train
from trainer.reports.summary import percent
from trainer.run.console import RunConsole
from trainer.run.folder import write_bytes
from trainer.scenes import SceneOptions, render

HOST, PORT = "127.0.0.1", 8000
SAMPLES = 6
"""Number of scenes written as files to try the service with."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """Size of the demo: numbers of scenes, and minutes of training."""

    train: int = 6_000
    """Number of training scenes. Every scene is a sequence of its own, because another frame of the same
    sequence teaches little and proves nothing."""
    select: int = 1_200
    calib: int = 3_000
    """Twice as many as there are test scenes: with 1,500, one model was certified for .66 to .95 of the
    scenes, by the draw."""
    test: int = 1_500
    minutes: float = 2.5
    """Planned minutes of training, on two cores"""
    difficulty: float = 0.35

    @property
    def scenes(self) -> int:
        return self.train + self.select + self.calib + self.test


def run_demo(out: Path, *, serve: bool = True, seed: int = 0, plan: DemoPlan | None = None) -> RunResult:
    """Render, train, certify, verify the bundle, write samples and, with `serve`, serve until stopped.

    A second call with the same folder resumes the run.
    """
    plan = plan or DemoPlan()
    console = RunConsole()
    console.console.print(
        "[bold]demur demo[/bold]: is there roadwork in this street? Trains a two-stage classifier on "
        "synthetic scenes,\nproves how often it is wrong, and serves it. A few minutes on two cores.\n"
    )
    # Scenes have labels without limit, and another demo of the same seed must end in a certificate too.
    with ledger_in(out / "ledger"):
        result = train(demo_config(plan, seed), out, console)
    verify_bundle(result.run.bundle)
    samples = write_samples(out / "samples", plan, seed)
    print_result(result, samples, console, serve=serve)
    if serve:
        _serve(result, samples[0])
    return result


def demo_config(plan: DemoPlan, seed: int) -> TrainConfig:
    """Configuration of the demo, as of an ordinary training run."""
    return load_config(
        None,
        {
            "name": "demo-roadwork",
            "seed": seed,
            "minutes": plan.minutes,
            "mirror": False,
            "task": "roadwork",
            # Random weights reach the demo's promise in its minutes, and its bundle serves fast.
            "backbone": "none",
            "data.source": "scenes",
            "data.scenes.sequences": plan.scenes,
            "data.scenes.seed": seed,
            "data.scenes.difficulty": plan.difficulty,
            "splits.val_select": plan.select,
            "splits.val_calib": plan.calib,
            "splits.val_test": plan.test,
        },
    )


def write_samples(folder: Path, plan: DemoPlan, seed: int) -> list[Path]:
    """Write a few scenes that are in no split, as JPEG files with the label in their name."""
    options = SceneOptions(sequences=SAMPLES, seed=seed + 1_000_003, difficulty=plan.difficulty)
    paths = []
    for index, frame in enumerate(render(options, processes=1)):
        truth = "roadwork" if frame.label else "no-roadwork"
        paths.append(folder / f"scene-{index}-{truth}.jpg")
        write_bytes(paths[-1], frame.jpeg)
    return paths


def print_result(result: RunResult, samples: list[Path], console: RunConsole, *, serve: bool) -> None:
    """Print certificate, figures and files of the demo, and a request to try."""
    certificate, report = result.policy.certificate, result.report
    console.heading("What you have now")
    console.note(certificate.sentence())
    if report is not None and certificate.feasible:
        console.note(
            f"On {report.n:,} scenes never seen before it answers {percent(report['coverage'])}; wrong among "
            f"them: {percent(report['selective_error'], 2)}. Stage A, the fast one, gives "
            f"{percent(report['stage_a_share'])} of the answers. The rest are for a person."
        )
    console.note(f"Picture:  {result.run.metrics / 'risk_coverage_curve.png'}")
    console.note(f"Bundle:   {result.run.bundle} (demur inspect {result.run.bundle})")
    console.note(f"Images:   {samples[0].parent} (scenes that are in no split, to send to the service)")
    console.note(f"Serve it: demur serve --bundle {result.run.bundle}")
    if not serve:
        console.note("Try it:")
        console.note(f"  {request_line(samples[0], f'http://{HOST}:{PORT}')}")


def _serve(result: RunResult, sample: Path) -> None:
    from service.settings import Settings

    settings = Settings(
        bundle=result.run.bundle, host=HOST, port=PORT, data_dir=result.run.root / "service-data"
    )
    serve_until_stopped(settings, sample)
