"""Cost of serving beyond the model, compared with other servers: interleaved runs over one session.

    python benchmarks/serving.py --prepare            once: a virtual environment per peer
    python benchmarks/serving.py [--runs 5] [--seconds 3] [--models tiny,small,two-stage]
                                 [--peers litserve,bentoml,mlserver] [--workers] [--shadow]
                                 [--record [FOLDER]] [--out DIR]
    python benchmarks/serving.py --bundle RUN/bundle=1.4 [--bundle RUN/bundle=3] [--images 400]
                                 [--data SOURCE] [--runs 5] [--seconds 10] [--record [FOLDER]]

The second form compares the certified cascade of finished runs with the other servers, which run stage B
alone on every image of the runs' val_test; the number behind a folder is the factor that is aimed at.

Needs Linux and two cores: the server runs on the first, the load generator on the second. Raw is the
same decode and session in a plain loop in one process, measured just before each run. demur runs with
log, metrics and events into its Valkey switched on. CPU time is that of all processes of a
server. Figures are medians with the smallest and largest run. Writes serving.md, serving.csv and
serving.png.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import all_cores, certified_cascade, one_core
from harness.certified_cascade import ServedRun
from harness.figures import Measured, Subject, Target
from harness.models import MODELS, write_model_bundle
from harness.options import names_among
from harness.photographs import photographs
from harness.pictures import draw_servers
from harness.record import Claim, Recording, add_record_option
from harness.servers import DEMUR, PEERS
from harness.trial import Trial, usable_cores
from harness.venvs import CACHE, prepare_peer

from trainer.run.console import RunConsole

IMAGES, HEIGHT, WIDTH, MOST_BYTES = 16, 720, 1280, 181_000
WITH_PEERS = ("tiny", "small")
"""Models that the peers also serve."""


@dataclass(frozen=True, slots=True)
class Plan:
    runs: int
    seconds: float
    models: tuple[str, ...]
    peers: tuple[str, ...]
    workers: bool
    shadow: bool

    def peers_of(self, model: str) -> tuple[str, ...]:
        return self.peers if model in WITH_PEERS else ()

    def steps(self) -> int:
        single = sum(1 + len(self.peers_of(model)) for model in self.models)
        return self.runs * (single + len(self.models) * (self.workers + self.shadow))

    def targets(self) -> list[Target]:
        cores = len(usable_cores())
        found = [target for model in self.models for target in one_core.targets(model, DEMUR.name)]
        return found + [target for model in self.models for target in all_cores.worker_targets(model, cores)]

    def targets_of(self, part: str) -> list[Target]:
        return [target for target in self.targets() if target.subject.part == part]


def main(arguments: Sequence[str] | None = None) -> None:
    given = _options().parse_args(arguments)
    console = RunConsole()
    if given.prepare:
        for name in given.peers:
            with console.console.status(f"installing {name}"):
                prepare_peer(name)
            console.note(f"{name} is installed")
        return
    if len(usable_cores()) < 2:
        sys.exit("two cores are needed: one for the server, one for the load generator")
    recording = Recording.begin(given.record)
    load = os.getloadavg()[0]
    if load > 0.5:
        console.warn(f"other programs keep {load:.1f} cores busy; figures count from a quiet machine")
    if given.bundle:
        _compare(given, recording, load, console)
        return
    plan = Plan(given.runs, given.seconds, given.models, given.peers, given.workers, given.shadow)
    measured = _measure(plan, console)
    text = _write(plan, measured, load, given.out, console)
    _record(recording, plan, measured, text)


def _measure(plan: Plan, console: RunConsole) -> Measured:
    measured = Measured()
    images = photographs(IMAGES, HEIGHT, WIDTH, MOST_BYTES)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        with console.console.status("writing the bundles"):
            bundles = {
                model: write_model_bundle(model, scratch, images, CACHE / "onnx") for model in plan.models
            }
        with console.bar("Starting", plan.steps(), unit="runs") as bar:
            begun = iter(range(plan.steps()))

            def step(what: str) -> None:
                bar.at(next(begun), plan.steps(), what)

            for model, bundle in bundles.items():
                trial = Trial(model, bundle, images, measured, scratch, plan.runs, plan.seconds, step)
                frameworks = [DEMUR, *(PEERS[name] for name in plan.peers_of(model))]
                one_core.measure_one_core(trial, frameworks)
                if plan.workers:
                    all_cores.measure_workers(trial)
                if plan.shadow:
                    all_cores.measure_shadow(trial)
            bar.finish("Measured")
    return measured


def _compare(given: argparse.Namespace, recording: Recording, load: float, console: RunConsole) -> None:
    """The second form: demur's certified cascades beside servers of stage B alone."""
    measured, claims = Measured(), []
    frameworks = [DEMUR, *(PEERS[name] for name in given.peers)]
    served: list[ServedRun] = given.bundle
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for run in served:
            images = run.images(given.images, given.data, console)
            scratch = Path(folder) / run.name
            trial = Trial(
                run.name, run.bundle, images, measured, scratch, given.runs, given.seconds, console.note
            )
            certified_cascade.measure_cascade(trial, frameworks)
            certified_cascade.compare(measured, run.name, [PEERS[name].name for name in given.peers])
            claims += certified_cascade.claims(measured, run.name, run.least)
    table = measured.table(certified_cascade.PART, certified_cascade.COLUMNS)
    text = "\n".join([table, *(f"{claim.claim}: {claim.value} {claim.target}" for claim in claims)])
    console.console.print(text, markup=False, highlight=False, soft_wrap=True)
    recording.save(
        "serving-cascade",
        "serving",
        "The certified cascade beside servers of stage B alone",
        about=f"{given.runs} interleaved runs of {given.seconds:g} s at {certified_cascade.CLIENTS} clients, "
        f"on one core; up to {given.images} images of each run's val_test, in turn. demur serves the bundle "
        "on the fastest engine and precision that it is certified on; the other servers compute stage B at "
        "full precision on ONNX Runtime, for every image and without a threshold. The factor is that of each "
        f"run's demur against the best other server of the same run. Load of the machine before: {load:.2f}.",
        claims=claims,
        detail=table,
        raw=text,
    )


def _write(plan: Plan, measured: Measured, load: float, out: Path, console: RunConsole) -> str:
    out.mkdir(parents=True, exist_ok=True)
    parts = [
        f"{plan.runs} interleaved runs of {plan.seconds:g} s; median (smallest to largest run). "
        f"{IMAGES} JPEGs of {WIDTH} x {HEIGHT}, at most {MOST_BYTES:,} bytes. "
        f"Load of the machine before: {load:.2f}.\n",
        "### One core\n",
        measured.table(one_core.PART, one_core.COLUMNS),
    ]
    if plan.workers:
        parts += ["### A worker a core\n", measured.table(all_cores.WORKERS, all_cores.WORKERS_COLUMNS)]
    if plan.shadow:
        parts += [
            "### With a bundle in the shadow (0 clients: random arrivals at half the raw rate)\n",
            measured.table(all_cores.SHADOW, all_cores.SHADOW_COLUMNS),
        ]
    parts += ["### Targets\n", measured.verdicts(plan.targets())]
    text = "\n".join(parts)
    (out / "serving.md").write_text(text)
    measured.write_csv(out / "serving.csv")
    draw_servers(out / "serving.png", measured, one_core.PART, plan.targets())
    console.console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.note(f"written: serving.md, serving.csv and serving.png in {out}")
    return text


def _record(recording: Recording, plan: Plan, measured: Measured, text: str) -> None:
    runs = (
        f"{plan.runs} interleaved runs of {plan.seconds:g} s; {WIDTH} x {HEIGHT} JPEGs of at most "
        f"{MOST_BYTES:,} bytes."
    )
    one = measured.table(one_core.PART, one_core.COLUMNS)
    one += "\n" + measured.verdicts(plan.targets_of(one_core.PART))
    recording.save(
        "serving",
        "serving",
        "Beside other servers, on one core",
        about=f"{runs} ViT-tiny, a small model and a two-stage bundle of both, of which stage A answers 70 "
        "%. LitServe, BentoML and MLServer run the same function over the same session, each from a small "
        "app in `benchmarks/peers/` with pinned requirements: raw JPEG bodies, one worker, the batch size "
        "that was its fastest. `python benchmarks/serving.py --prepare` installs them once.",
        claims=[*measured.claims(plan.targets_of(one_core.PART)), *_ahead_of_peers(plan, measured)],
        detail=one,
        raw=text,
    )
    if not (plan.workers or plan.shadow):
        return
    detail = []
    if plan.workers:
        detail.append(measured.table(all_cores.WORKERS, all_cores.WORKERS_COLUMNS))
    if plan.shadow:
        detail += [
            "With a bundle in the shadow:\n",
            measured.table(all_cores.SHADOW, all_cores.SHADOW_COLUMNS),
        ]
    recording.save(
        "serving-workers",
        "serving",
        "A worker per core, and a bundle in the shadow",
        about=f"{runs} N workers beside N raw processes, each on a core of its own; the load generator "
        "needs a little of the same cores, so a second column takes its CPU time out. The shadow is tried "
        "at random arrivals of half the raw rate (0 clients), when it finds time to compute, and with "
        "eight clients that leave it none.",
        claims=measured.claims(plan.targets_of(all_cores.WORKERS)),
        detail="\n".join(detail),
        raw=text,
    )


def _ahead_of_peers(plan: Plan, measured: Measured) -> list[Claim]:
    """Whether demur's efficiency is above every peer's, for each model and number of clients."""
    behind, compared = [], 0
    for model in plan.models:
        for clients in one_core.CLIENTS:
            ours, *others = (
                measured.get(Subject(one_core.PART, model, name, clients), "efficiency")
                for name in (DEMUR.name, *(PEERS[peer].name for peer in plan.peers_of(model)))
            )
            for other in others:
                if ours is None or other is None:
                    continue
                compared += 1
                if ours.median <= other.median:
                    behind.append(f"{model} at {clients} clients")
    if not compared:
        return []
    value = f"behind for {', '.join(behind)}" if behind else f"ahead in all {compared} comparisons"
    return [Claim("CPU efficiency against every other server in the same run", value, "ahead", not behind)]


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prepare", action="store_true", help="install the peers and stop")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one load")
    parser.add_argument("--models", type=names_among(MODELS), default=tuple(MODELS), help=", ".join(MODELS))
    parser.add_argument(
        "--peers", type=names_among(PEERS), default=tuple(PEERS), help="an empty text for none"
    )
    parser.add_argument(
        "--workers", action="store_true", help="also measure one worker per core against raw processes"
    )
    parser.add_argument("--shadow", action="store_true", help="also with a challenger in the shadow")
    parser.add_argument(
        "--bundle",
        type=ServedRun.parse,
        action="append",
        metavar="DIR[=FACTOR]",
        help="bundle in the folder of its run, and the aim; may be repeated",
    )
    parser.add_argument("--images", type=int, default=400, help="of val_test, with --bundle")
    parser.add_argument("--data", help="where the images of the run are, if they have moved")
    parser.add_argument("--out", type=Path, default=CACHE / "serving")
    add_record_option(parser)
    return parser


if __name__ == "__main__":
    main()
