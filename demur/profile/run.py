"""Measurement of a bundle: latency per step, the service against the hardware's limit, savings of stage A."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from bundle.images.errors import ImageError
from bundle.loader import LoadedBundle, load_bundle
from bundle.runner import CascadeRunner
from bundle.selection.choice import EngineChoice, EnginePreference, choose_engine
from bundle.selection.issued import IssuedCertificates
from bundle.selection.timing_cache import TimingCache
from calibration.decision import STAGE_NAMES, Decision, decide_stage, to_decision
from demur.profile.figures import Cascade, Latency, Memory, Profile, Repeated, Throughput
from demur.profile.load import requests_for, run_load
from demur.profile.processes import ProfileFailed, RunningService, raw_loops, running_service
from service.settings import Settings
from trainer.data.images import ImageSource
from trainer.run.console import Bar, RunConsole

RUNS = 6
"""Number of interleaved runs, see `figures.Repeated`"""
CLIENTS_A_CORE = 4
Part = Literal["steps", "one_client", "raw", "served"]
_PARTS: Mapping[Part, tuple[str, float]] = {
    "steps": ("Step by step", 0.3),
    "one_client": ("One client", 0.2),
    "raw": ("Plain loops", 0.25),
    "served": ("Full load", 0.25),
}
"""Title of each part, and its share of the measuring time"""
_MOST_IMAGES = 512


@dataclass(frozen=True, slots=True)
class _Images:
    name: str
    encoded: list[bytes]
    read_ms: list[float]


def profile_bundle(
    folder: Path,
    source: ImageSource | None = None,
    *,
    seconds: float = 60.0,
    processes: int | None = None,
    wish: EnginePreference | None = None,
    console: RunConsole | None = None,
) -> Profile:
    """Measure the bundle in `folder` on this machine, for about `seconds`.

    Images are those of `source`, some hundreds of them, or the bundle's golden cases. `processes`: None
    for one a core. `wish`: the engine; None for what the service would choose. Raises BundleError,
    EngineUnavailable or ProfileFailed.
    """
    with tempfile.TemporaryDirectory(prefix="demur-profile-") as scratch:
        return _profile(
            folder,
            source,
            wish or EnginePreference(),
            console or RunConsole(),
            Path(scratch),
            seconds,
            processes,
        )


def _profile(
    folder: Path,
    source: ImageSource | None,
    wish: EnginePreference,
    console: RunConsole,
    scratch: Path,
    seconds: float,
    processes: int | None,
) -> Profile:
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    # The service finds there what was found out here.
    found_out, issued = TimingCache(scratch), IssuedCertificates(scratch)
    choice = choose_engine(folder, wish, found_out, issued, say=console.note)
    key = choice.key
    loaded = load_bundle(folder, key=key, threads=1, issued_here=choice.issued_here)
    images = _from_source(source, loaded) if source is not None else _golden(loaded)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = processes or cores
    names = [f"stage {stage.name}" for stage in loaded.manifest.stages]
    steps: dict[str, list[list[float]]] = {
        step: [] for step in ("read", "decode", *names, "decide", "http request")
    }
    steps["read"].append(images.read_ms)
    raw: list[tuple[float, float]] = []
    served: list[tuple[float, float | None]] = []
    refused = 0
    clients = CLIENTS_A_CORE * processes
    requests = requests_for(images.encoded)
    with console.bar("Starting", len(_PARTS) * RUNS, unit="runs") as bar:
        settings = Settings.read(
            {},
            bundle=folder,
            port=0,
            workers=processes,
            engine=key.engine,
            precision=key.precision,
            batch=choice.batch_sizes[0] if len(set(choice.batch_sizes)) == 1 else None,
            data_dir=scratch,
            drain=0.0,
        )
        with (
            raw_loops(settings, choice, images.encoded, processes) as loops,
            running_service(settings, scratch / "service.log") as service,
        ):
            turn = _Turns(seconds, bar)
            run_load(service.address, requests, clients=clients, seconds=0.5)
            for _ in range(RUNS):
                for step, spent in _time_steps(loaded, images.encoded, turn("steps")).items():
                    steps[step].append(spent)
                one = run_load(service.address, requests, clients=1, seconds=turn("one_client"))
                steps["http request"].append(one.latencies)
                raw.append(loops.run(turn("raw")))
                rate, cpu_ms, unanswered = _full_load(service, requests, clients, turn("served"))
                served.append((rate, cpu_ms))
                refused += unanswered + one.refused
            memory = Memory(loops.resident, service.resident())
            turn.finish()
    if not all(steps["http request"]):
        raise ProfileFailed("the service answered no request within a run; give it more --seconds")
    cpu = [spent for _, spent in served if spent is not None]
    return Profile(
        bundle=f"{loaded.manifest.name}:{loaded.manifest.version}",
        engine=loaded.key,
        choice=_choice(loaded, choice),
        images=f"{len(images.encoded)} images: {images.name}",
        cores=cores,
        load_before=load_before,
        latencies=tuple(Latency.of(step, runs) for step, runs in steps.items()),
        throughput=Throughput(
            processes=processes,
            clients=clients,
            raw_images_per_second=Repeated.of([rate for rate, _ in raw]),
            served_images_per_second=Repeated.of([rate for rate, _ in served]),
            share_of_raw=Repeated.of(
                [ours / limit for (ours, _), (limit, _) in zip(served, raw, strict=True)]
            ),
            raw_cpu_ms=Repeated.of([spent for _, spent in raw]),
            served_cpu_ms=Repeated.of(cpu) if cpu else None,
            refused=refused,
        ),
        memory=memory,
        cascade=_cascade(loaded, images.encoded, steps, measured=source is not None),
    )


def _choice(loaded: LoadedBundle, choice: EngineChoice) -> str:
    providers = dict.fromkeys(provider for model in loaded.models for provider in model.providers)
    sizes = zip(STAGE_NAMES, choice.batch_sizes, strict=False)
    batches = ", ".join(f"{name} {size}" for name, size in sizes)
    return f"{choice.key} ({', '.join(providers)}): {choice.why}; images a batch: {batches}"


class _Turns:
    """Shows which part runs, and says for how long it may."""

    def __init__(self, seconds: float, bar: Bar) -> None:
        self._seconds = seconds
        self._bar = bar
        self._begun = 0

    def __call__(self, part: Part) -> float:
        title, share = _PARTS[part]
        self._bar.at(self._begun, len(_PARTS) * RUNS, title)
        self._begun += 1
        return share * self._seconds / RUNS

    def finish(self) -> None:
        self._bar.at(self._begun, self._begun, "Measured")


def _time_steps(loaded: LoadedBundle, images: Sequence[bytes], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each step, image after image on one thread; every stage computes every image."""
    spent: dict[str, list[float]] = defaultdict(list)
    runner, point = loaded.runner, loaded.operating_point
    until = perf_counter() + seconds
    for image in _round_and_round(images):
        mark = perf_counter()
        pixels = runner.pixels(image)
        mark = _lap(spent["decode"], mark)
        for index, rule in enumerate(point.stages):
            outputs = runner.score(index, [pixels])
            mark = _lap(spent[f"stage {STAGE_NAMES[index]}"], mark)
            to_decision(decide_stage(outputs, rule), 0, STAGE_NAMES[index])
            mark = _lap(spent["decide"], mark)
        if mark > until:
            return spent
    raise AssertionError("unreachable: the images go round without end")


def _lap(into: list[float], mark: float) -> float:
    now = perf_counter()
    into.append(1e3 * (now - mark))
    return now


def _round_and_round(images: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from images


def _full_load(
    service: RunningService, requests: Sequence[bytes], clients: int, seconds: float
) -> tuple[float, float | None, int]:
    """(requests a second, CPU milliseconds a request, requests refused)"""
    before = service.cpu_seconds()
    load = run_load(service.address, requests, clients=clients, seconds=seconds)
    after = service.cpu_seconds()
    if not load.latencies:
        raise ProfileFailed("the service answered no request within a run; give it more --seconds")
    cpu = None if before is None or after is None else 1e3 * (after - before) / len(load.latencies)
    return load.per_second, cpu, load.refused


def _golden(loaded: LoadedBundle) -> _Images:
    encoded, read_ms = [], []
    for case in loaded.manifest.golden:
        mark = perf_counter()
        encoded.append((loaded.folder / case.file).read_bytes())
        read_ms.append(1e3 * (perf_counter() - mark))
    return _Images("the bundle's golden cases", encoded, read_ms)


def _from_source(source: ImageSource, loaded: LoadedBundle) -> _Images:
    """Evenly spaced images of the source, without those that the service would refuse."""
    encoded, read_ms = [], []
    for row in np.unique(np.linspace(0, len(source) - 1, min(len(source), _MOST_IMAGES)).astype(np.int64)):
        mark = perf_counter()
        image = source.read(int(row))
        spent = 1e3 * (perf_counter() - mark)
        try:
            loaded.runner.pixels(image)
        except ImageError:
            continue
        encoded.append(image)
        read_ms.append(spent)
    if not encoded:
        raise ProfileFailed(f"{source.name} has no image that can be decoded")
    return _Images(source.name, encoded, read_ms)


def _cascade(
    loaded: LoadedBundle, images: Sequence[bytes], steps: dict[str, list[list[float]]], *, measured: bool
) -> Cascade | None:
    """What stage A spares; golden cases are chosen to be hard, so without a source the bundle's report
    says how many it answers."""
    if len(loaded.manifest.stages) < 2:
        return None
    macs = [stage.macs for stage in loaded.manifest.stages]
    # A stage that can answer nothing is not computed.
    asked = loaded.operating_point.stages[0].threshold is not None
    if not asked:
        by_a = 0.0
    elif measured:
        by_a = float(
            np.mean([decision.stage == STAGE_NAMES[0] for decision in _decide(loaded.runner, images)])
        )
    else:
        share, coverage = loaded.manifest.stage_a_share, loaded.manifest.evaluation.get("coverage")
        if share is None or coverage is None:
            return None
        by_a = share * coverage
    mean = {step: float(np.mean(np.concatenate(runs))) for step, runs in steps.items() if step != "read"}
    without = mean["decode"] + mean["stage B"] + mean["decide"]
    passed_on = 1.0 - by_a
    return Cascade(
        images=len(images) if measured else 0,
        answered_by_a=by_a,
        macs_saved=1.0 - (asked * macs[0] + passed_on * macs[1]) / macs[1] if macs[1] else None,
        mean_ms=mean["decode"]
        + asked * (mean["stage A"] + mean["decide"])
        + passed_on * (mean["stage B"] + mean["decide"]),
        mean_ms_without=without,
    )


def _decide(runner: CascadeRunner, images: Sequence[bytes]) -> list[Decision]:
    return [decision for image in images for decision in runner.decide([image])]
