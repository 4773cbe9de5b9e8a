"""Measurement of a bundle: latency per step, the service against the hardware's limit, savings of stage A."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bundle.loader import LoadedBundle, load_bundle
from bundle.selection.choice import EngineChoice, EnginePreference, choose_engine
from bundle.selection.issued import IssuedCertificates
from bundle.selection.timing_cache import TimingCache
from calibration.decision import STAGE_NAMES
from demur.profile.figures import Latency, Memory, Profile, Repeated, Throughput
from demur.profile.images import ProfileImages, golden_images, source_images
from demur.profile.load import requests_for, run_load
from demur.profile.processes import ProfileFailed, RunningService, raw_loops, running_service
from demur.profile.steps import cascade_savings, time_steps
from service.settings import Settings
from trainer.data.images import ImageSource
from trainer.run.console import Bar, RunConsole

RUNS = 6
"""Number of interleaved runs, see `figures.Repeated`"""
CLIENTS_PER_PROCESS = 4
WARM_UP = 0.5
"""Seconds of load before the first run"""
Part = Literal["steps", "one_client", "raw", "served"]
_PARTS: Mapping[Part, tuple[str, float]] = {
    "steps": ("Step by step", 0.3),
    "one_client": ("One client", 0.2),
    "raw": ("Plain loops", 0.25),
    "served": ("Full load", 0.25),
}
"""Title of each part, and its share of the measuring time"""


@dataclass(slots=True)
class _Samples:
    """Results of the runs so far."""

    steps: dict[str, list[list[float]]]
    """Step -> milliseconds of each run"""
    raw: list[tuple[float, float]] = field(default_factory=list)
    """(images per second, CPU milliseconds per image) of the plain loops, per run"""
    served: list[tuple[float, float | None]] = field(default_factory=list)
    """(requests per second, CPU milliseconds per request) of the service, per run"""
    refused: int = 0
    memory: Memory | None = None


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

    The images are some hundreds of `source`, or the bundle's golden cases. `processes`: number of workers
    and of plain loops; None for one per core. `wish`: engine and precision; None for what the service would
    choose. Raises BundleError, EngineUnavailable or ProfileFailed.
    """
    console = console or RunConsole()
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = processes or cores
    with tempfile.TemporaryDirectory(prefix="demur-profile-") as scratch:
        # Timings and issued certificates go to the folder in which the service looks for them.
        timings, issued = TimingCache(Path(scratch)), IssuedCertificates(Path(scratch))
        choice = choose_engine(folder, wish or EnginePreference(), timings, issued, say=console.note)
        loaded = load_bundle(folder, key=choice.key, threads=1, issued_here=choice.issued_here)
        images = golden_images(loaded) if source is None else source_images(source, loaded)
        settings = _service_settings(folder, choice, Path(scratch), processes)
        with console.bar("Starting", len(_PARTS) * RUNS, unit="runs") as bar:
            samples = _measure(settings, choice, loaded, images, _Schedule(seconds, bar))
    return Profile(
        bundle=f"{loaded.manifest.name}:{loaded.manifest.version}",
        engine=loaded.key,
        choice=_choice(loaded, choice),
        images=f"{len(images.encoded)} images: {images.name}",
        cores=cores,
        load_before=load_before,
        latencies=tuple(Latency.of(step, runs) for step, runs in samples.steps.items()),
        throughput=_throughput(samples, processes),
        memory=samples.memory or Memory(0.0, ()),
        cascade=cascade_savings(loaded, images.encoded, samples.steps, measured=source is not None),
    )


def _measure(
    settings: Settings,
    choice: EngineChoice,
    loaded: LoadedBundle,
    images: ProfileImages,
    schedule: _Schedule,
) -> _Samples:
    """All parts in turn, RUNS times, so that a change of the machine's speed affects every part."""
    stages = [f"stage {stage.name}" for stage in loaded.manifest.stages]
    samples = _Samples({step: [] for step in ("read", "decode", *stages, "decide", "http request")})
    samples.steps["read"].append(images.read_ms)
    requests = requests_for(images.encoded)
    clients = CLIENTS_PER_PROCESS * settings.workers
    with (
        raw_loops(settings, choice, images.encoded, settings.workers) as loops,
        running_service(settings, settings.data_dir / "service.log") as service,
    ):
        run_load(service.address, requests, clients=clients, seconds=WARM_UP)
        for _ in range(RUNS):
            for step, spent in time_steps(loaded, images.encoded, schedule.begin("steps")).items():
                samples.steps[step].append(spent)
            one = run_load(service.address, requests, clients=1, seconds=schedule.begin("one_client"))
            samples.steps["http request"].append(one.latencies)
            samples.raw.append(loops.run(schedule.begin("raw")))
            rate, cpu_ms, refused = _full_load(service, requests, clients, schedule.begin("served"))
            samples.served.append((rate, cpu_ms))
            samples.refused += refused + one.refused
        samples.memory = Memory(loops.resident, service.resident())
        schedule.finish()
    if not all(samples.steps["http request"]):
        raise ProfileFailed("the service answered no request within a run; give it more --seconds")
    return samples


def _throughput(samples: _Samples, processes: int) -> Throughput:
    raw, served = samples.raw, samples.served
    cpu = [spent for _, spent in served if spent is not None]
    return Throughput(
        processes=processes,
        clients=CLIENTS_PER_PROCESS * processes,
        raw_images_per_second=Repeated.of([rate for rate, _ in raw]),
        served_images_per_second=Repeated.of([rate for rate, _ in served]),
        share_of_raw=Repeated.of([ours / limit for (ours, _), (limit, _) in zip(served, raw, strict=True)]),
        raw_cpu_ms=Repeated.of([spent for _, spent in raw]),
        served_cpu_ms=Repeated.of(cpu) if cpu else None,
        refused=samples.refused,
    )


def _service_settings(folder: Path, choice: EngineChoice, scratch: Path, processes: int) -> Settings:
    same_size = len(set(choice.batch_sizes)) == 1
    return Settings.read(
        {},
        bundle=folder,
        port=0,
        workers=processes,
        engine=choice.key.engine,
        precision=choice.key.precision,
        batch=choice.batch_sizes[0] if same_size else None,
        data_dir=scratch,
        drain=0.0,
    )


def _choice(loaded: LoadedBundle, choice: EngineChoice) -> str:
    providers = dict.fromkeys(provider for model in loaded.models for provider in model.providers)
    sizes = zip(STAGE_NAMES, choice.batch_sizes, strict=False)
    batches = ", ".join(f"{name} {size}" for name, size in sizes)
    return f"{choice.key} ({', '.join(providers)}): {choice.why}; images per batch: {batches}"


class _Schedule:
    """Durations of the parts, shown on a bar as they begin."""

    def __init__(self, seconds: float, bar: Bar) -> None:
        self._seconds = seconds
        self._bar = bar
        self._begun = 0

    def begin(self, part: Part) -> float:
        """Show that `part` begins; its duration in seconds."""
        title, share = _PARTS[part]
        self._bar.at(self._begun, len(_PARTS) * RUNS, title)
        self._begun += 1
        return share * self._seconds / RUNS

    def finish(self) -> None:
        self._bar.at(self._begun, self._begun, "Measured")


def _full_load(
    service: RunningService, requests: Sequence[bytes], clients: int, seconds: float
) -> tuple[float, float | None, int]:
    """(requests per second, CPU milliseconds per request, number of refused requests)."""
    before = service.cpu_seconds()
    load = run_load(service.address, requests, clients=clients, seconds=seconds)
    after = service.cpu_seconds()
    if not load.latencies:
        raise ProfileFailed("the service answered no request within a run; give it more --seconds")
    cpu = None if before is None or after is None else 1e3 * (after - before) / len(load.latencies)
    return load.per_second, cpu, load.refused
