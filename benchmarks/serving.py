"""What serving costs beyond the model: the service beside a plain loop over the same session.

    python benchmarks/serving.py [--runs 5] [--seconds 4] [--models vit-tiny,small] [--out serving.json]

Needs Linux and two cores: the server has the first to itself, the load generator the second. Everything
observable is switched on: log, metrics, events into an embedded Valkey. Runs are interleaved; figures
are medians with the smallest and largest run. Models have random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from bundle.decode import decode
from bundle.draft import BundleDraft, StageDraft
from bundle.golden import GoldenCandidate
from bundle.preprocess import PreprocessSpec, normalise
from bundle.store import load_bundle, write_bundle
from demur.profile.figures import Repeated
from demur.profile.load import Load, requests_for, run_load
from demur.profile.processes import RunningService, running_service
from service.settings import Settings

SERVER_CORE, CLIENT_CORE = 0, 1
CLIENTS = (8, 32)
SPEC = PreprocessSpec(height=224, width=224)
TARGET_BYTES = 181_000
ARCHITECTURES = {
    "vit-tiny": {
        "hidden_size": 192,
        "num_hidden_layers": 12,
        "num_attention_heads": 3,
        "intermediate_size": 768,
    },
    "small": {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96},
}
_SPAWN = get_context("spawn")


@dataclass
class Runs:
    """What the interleaved runs of one number of clients gave, run by run."""

    per_second: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    efficiency: list[float] = field(default_factory=list)
    overhead_ms: list[float] = field(default_factory=list)
    tail: list[float] = field(default_factory=list)
    """p99 x requests a second / clients: 1 where every request waits its turn and no longer"""
    health_p99: list[float] = field(default_factory=list)

    def add(self, load: Load, health: Load, cpu_ms: float, raw_ms: float, clients: int) -> None:
        p50, p99 = np.percentile(load.latencies, (50, 99))
        self.per_second.append(load.per_second)
        self.p50.append(float(p50))
        self.p99.append(float(p99))
        self.cpu_ms.append(cpu_ms)
        self.efficiency.append(raw_ms / cpu_ms)
        self.overhead_ms.append(cpu_ms - raw_ms)
        self.tail.append(float(p99) / 1e3 * load.per_second / clients)
        self.health_p99.append(float(np.percentile(health.latencies, 99)))

    def figures(self) -> dict[str, Repeated]:
        return {name: Repeated.of(values) for name, values in asdict(self).items()}


def street(height: int, width: int, size: int | None = None) -> bytes:
    """A JPEG with the grain of a photograph; of about `size` bytes where given."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = rng.normal(0, 6, (height, width, 1)).astype(np.int16)
    image = Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))
    qualities = range(95, 20, -5) if size is not None else (90,)
    for quality in qualities:
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if size is None or buffer.tell() <= size:
            break
    return buffer.getvalue()


def write_model_bundle(name: str, folder: Path, image: bytes) -> Path:
    """A one-stage bundle of this architecture; it abstains on everything, which costs the same."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    from trainer.export import export_onnx

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.model = ViTForImageClassification(ViTConfig(**ARCHITECTURES[name], num_labels=2))

        def forward(self, pixels: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.model(pixels).logits, gate=None)

    export_onnx(Logits(), SPEC.size, folder / f"{name}.onnx")
    draft = BundleDraft(
        name=name,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        task="Serve as a load.",
        classes=("0", "1"),
        stages=(StageDraft(models={"fp32": folder / f"{name}.onnx"}, preprocess=SPEC),),
        certificates=(),
        golden_candidates=[GoldenCandidate(image, 0)],
    )
    write_bundle(draft, folder / name)
    return folder / name


def _loader(conn, address, requests, clients, seconds) -> None:  # type: ignore[no-untyped-def]
    os.sched_setaffinity(0, {CLIENT_CORE})
    conn.send(run_load(address, requests, clients=clients, seconds=seconds))


@contextmanager
def load_on_the_other_core(
    address: tuple[str, int], requests: Sequence[bytes], clients: int, seconds: float
) -> Iterator[list[Load]]:
    """A load that runs while the block does; its result is in the list afterwards."""
    found: list[Load] = []
    ours, theirs = _SPAWN.Pipe()
    child = _SPAWN.Process(target=_loader, args=(theirs, address, requests, clients, seconds), daemon=True)
    child.start()
    theirs.close()
    yield found
    found.append(ours.recv())
    child.join()


def measure(
    service: RunningService, requests: Sequence[bytes], clients: int, seconds: float
) -> tuple[Load, Load, float]:
    """(load, /health beside such a load, CPU milliseconds a request)

    /health has a run of its own: asked without pause it takes CPU that is no cost of a prediction.
    """
    before = service.cpu_seconds()
    with load_on_the_other_core(service.address, requests, clients, seconds) as loads:
        pass
    after = service.cpu_seconds()
    assert before is not None
    assert after is not None
    health = [b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    with (
        load_on_the_other_core(service.address, requests, clients, seconds / 2),
        load_on_the_other_core(service.address, health, 1, seconds / 2) as asked,
    ):
        pass
    return loads[0], asked[0], 1e3 * (after - before) / len(loads[0].latencies)


def raw_cpu_ms(bundle: Path, image: bytes, seconds: float) -> float:
    """CPU milliseconds an image in a plain loop: bytes, decode, session, decision."""
    runner = load_bundle(bundle, threads=1).runner
    runner.decide([image])
    began, cpu, images = perf_counter(), process_time(), 0
    while perf_counter() < began + seconds:
        runner.decide([image])
        images += 1
    return 1e3 * (process_time() - cpu) / images


def serve_and_measure(bundle: Path, image: bytes, runs: int, seconds: float) -> dict[str, object]:
    """All figures of one bundle."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = Settings(bundle=bundle, port=0, cores=1, data_dir=scratch, drain=0.0, queue_limit=256)
        began = perf_counter()
        service = stack.enter_context(running_service(settings, scratch / "log"))
        ready = perf_counter() - began
        requests = requests_for([image])
        by_clients = {clients: Runs() for clients in CLIENTS}
        raw = []
        for _ in range(runs):
            for clients, found in by_clients.items():
                raw.append(raw_cpu_ms(bundle, image, seconds / 2))
                load, health, cpu_ms = measure(service, requests, clients, seconds)
                assert load.refused == 0, f"{load.refused} requests were refused"
                found.add(load, health, cpu_ms, raw[-1], clients)
        return {
            "start_to_ready_seconds": ready,
            "resident_mb": service.resident()[0],
            "raw_cpu_ms": asdict(Repeated.of(raw)),
            "clients": {n: {k: asdict(v) for k, v in r.figures().items()} for n, r in by_clients.items()},
        }


def decode_and_normalise(runs: int) -> dict[str, Repeated]:
    """CPU milliseconds of a 12 megapixel JPEG to pixels, and of one normalisation at 224."""
    image = street(3000, 4000)
    pixels = np.zeros((224, 224, 3), dtype=np.uint8)
    found: dict[str, list[float]] = {"decode_12_mp_ms": [], "normalise_ms": []}
    for _ in range(runs):
        found["decode_12_mp_ms"].append(_cpu_ms(lambda: decode(image, target=SPEC.size), 5))
        found["normalise_ms"].append(_cpu_ms(lambda: normalise(pixels, SPEC), 500))
    return {name: Repeated.of(values) for name, values in found.items()}


def _cpu_ms(work, times: int) -> float:  # type: ignore[no-untyped-def]
    began = process_time()
    for _ in range(times):
        work()
    return 1e3 * (process_time() - began) / times


def shown(found: dict[str, dict[str, object]]) -> Table:
    table = Table(title="median (smallest to largest run)", box=None)
    for column in (
        "model",
        "clients",
        "efficiency",
        "overhead ms",
        "req/s",
        "p50 ms",
        "p99 ms",
        "p99 x rate / clients",
        "/health p99 ms",
    ):
        table.add_column(column, justify="right")
    names = ("efficiency", "overhead_ms", "per_second", "p50", "p99", "tail", "health_p99")
    for model, figures in found.items():
        for clients, values in figures["clients"].items():  # type: ignore[attr-defined]
            cells = ("{median:.3g} ({low:.3g} to {high:.3g})".format(**values[name]) for name in names)
            table.add_row(model, str(clients), *cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--models", default=",".join(ARCHITECTURES))
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for the server, one for the load generator")
    console = Console()
    console.print(f"load of this machine before the start: {os.getloadavg()[0]:.2f} (quiet: below 0.5)")
    image = street(720, 1280, TARGET_BYTES)
    console.print(f"a 1280 x 720 JPEG of {len(image):,} bytes, {given.runs} runs of {given.seconds:g} s")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        bundles = {name: write_model_bundle(name, Path(folder), image) for name in given.models.split(",")}
        # Inherited by every server started from here.
        os.sched_setaffinity(0, {SERVER_CORE})
        for name, bundle in bundles.items():
            with console.status(f"measuring {name}"):
                found[name] = serve_and_measure(bundle, image, given.runs, given.seconds)
            console.print(
                f"{name}: ready after {found[name]['start_to_ready_seconds']:.2f} s, "
                f"{found[name]['resident_mb']:.0f} MB resident"
            )
        image_work = decode_and_normalise(given.runs)
    console.print(shown(found))
    for name, value in image_work.items():
        console.print(f"{name}: {value.median:.3g} ({value.low:.3g} to {value.high:.3g})")
    if given.out is not None:
        work = {name: asdict(value) for name, value in image_work.items()}
        given.out.write_text(json.dumps({**found, **work}, indent=2))


if __name__ == "__main__":
    main()
