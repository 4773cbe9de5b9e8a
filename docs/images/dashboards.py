"""Draw docs/images/dashboard-*.png: the dashboards of deploy/grafana/ over some minutes of a real service.

make demo                                         # writes demo-run/bundle
PYTHONPATH=benchmarks python docs/images/dashboards.py demo-run/bundle

Needs Debian's package `prometheus`. Synthetic scenes arrive at random moments and their labels come back.
An experiment compares the bundle with a twin, the store stops for a while, a burst is too much for the queue,
and later scenes are harder than those of the certificate. Panels show Prometheus' answers to their
expressions.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from dashboard_picture import draw
from harness.processes import command, free_ports, tree
from harness.prometheus import MonitoringServer, prometheus

from bundle.manifest import MANIFEST_FILE, canonical_bytes, sealed
from bundle.verify import read_manifest
from demur.client import Client
from demur.client.client import ClientError
from trainer.scenes.generate import render
from trainer.scenes.options import Frame, SceneOptions

OUT = Path(__file__).parent
GRAFANA = OUT.parents[1] / "deploy" / "grafana"
TOKEN = "a-token-for-the-pictures"
SECONDS, RATE, STEP = 150, 8.0, 2
EXPERIMENT_AT, STORE_STOPS_AT, STORE_RETURNS_AT, HARDER_AT, BURST_AT = 20, 60, 72, 80, 120
SCENES = 250
"""Of each kind; they repeat"""
LABELLED = 0.8
"""Share of the labels that come back; those of audits always do"""
SETTINGS = {
    "DEMUR_AUDIT_SHARE": "1",
    "DEMUR_AUDIT_GAP": "1",
    "DEMUR_DRIFT_IMAGES": "3000",
    "DEMUR_QUEUE_LIMIT": "12",
    "DEMUR_REDIS_TIMEOUT": "0.3",
    "DEMUR_WINDOWS": "10,100",
    "DEMUR_ADMIN_TOKEN": TOKEN,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    given = parser.parse_args()
    scenes = [render(SceneOptions(sequences=SCENES, seed=seed, difficulty=hard)) for seed, hard in KINDS]
    with tempfile.TemporaryDirectory(prefix="dashboards-") as folder:
        bundles = Path(folder) / "bundles"
        shutil.copytree(given.bundle, bundles / "champion")
        write_twin(given.bundle, bundles / "twin")
        with (
            service(bundles / "champion", Path(folder) / "data") as (url, admin, process),
            prometheus(Path(folder) / "prometheus", scraping(url)) as watching,
        ):
            began = time.time()
            live(url, admin, process, scenes)
            picture_all(watching, began)


KINDS = ((2_000_011, 0.35), (2_000_023, 0.9))
"""Seed and difficulty of the scenes: at first as in the demo, then harder"""


def write_twin(bundle: Path, folder: Path) -> None:
    """The same bundle under another version, since an experiment needs two."""
    shutil.copytree(bundle, folder)
    manifest = read_manifest(bundle)
    origin = manifest.provenance
    other = origin.model_copy(update={"versions": {**origin.versions, "twin": "1"}})
    twin = sealed(manifest.model_copy(update={"provenance": other}))
    (folder / MANIFEST_FILE).write_bytes(canonical_bytes(twin))


@contextmanager
def service(bundle: Path, data: Path) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    """Addresses of a `demur serve` and of its private port, and its process."""
    port, admin_port = free_ports(2)
    arguments = ["--bundle", str(bundle), "--port", str(port), "--admin-port", str(admin_port)]
    environment = os.environ | SETTINGS | {"DEMUR_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"}
    demur = Path(sys.executable).with_name("demur")
    process = subprocess.Popen([demur, "serve", "--workers", "2", *arguments], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: urllib.request.urlopen(f"{url}/readyz", timeout=2).status == 200)
        yield url, f"http://127.0.0.1:{admin_port}", process
    finally:
        process.terminate()
        process.wait()


def until(holds: Callable[[], bool], patience: float = 120.0) -> None:
    give_up = time.monotonic() + patience
    while True:
        try:
            if holds():
                return
        except OSError:
            pass
        if time.monotonic() > give_up:
            raise TimeoutError
        time.sleep(0.2)


def scraping(url: str) -> dict[str, Any]:
    target = {"targets": [url.removeprefix("http://")]}
    return {
        "global": {"scrape_interval": "2s"},
        "scrape_configs": [{"job_name": "demur", "static_configs": [target]}],
    }


def live(url: str, admin: str, process: subprocess.Popen[bytes], scenes: Sequence[Sequence[Frame]]) -> None:
    """The traffic, and what happens meanwhile."""
    chance = random.Random(0)
    (store,) = [pid for pid in tree(process.pid) if "valkey-server" in command(pid)]
    happenings = [
        (EXPERIMENT_AT, lambda: begin_experiment(admin)),
        (STORE_STOPS_AT, lambda: os.kill(store, signal.SIGSTOP)),
        (STORE_RETURNS_AT, lambda: os.kill(store, signal.SIGCONT)),
    ]
    for at, happens in happenings:
        threading.Timer(at, happens).start()
    began = time.monotonic()
    due = np.cumsum(np.random.default_rng(0).exponential(1 / RATE, round(RATE * SECONDS)))
    burst = np.full(120, float(BURST_AT))
    with ThreadPoolExecutor(48) as pool:
        for number, at in enumerate(np.sort(np.concatenate([due, burst]))):
            time.sleep(max(0.0, began + at - time.monotonic()))
            frame = scenes[int(at > HARDER_AT)][number % SCENES]
            labelled = chance.random() < LABELLED
            pool.submit(ask, url, frame, number, labelled)


def ask(url: str, frame: Frame, number: int, labelled: bool) -> None:
    """One image, in its turn something that is none, and its label after a while."""
    with Client(url, retries=0) as client:
        try:
            content = b"not an image" if number % 40 == 7 else frame.jpeg
            answer = client.predict(content, unit_id=f"camera-{number % 400}")
            if labelled or answer.audit:
                time.sleep(1.0)
                client.feedback(answer.request_id, int(frame.label))
        except ClientError:
            pass  # refused: the dashboards show it


def begin_experiment(admin: str) -> None:
    """The twin gets a third of the units; it can be neither better nor worse."""
    order = {
        "name": "twins",
        "arms": {"twin": 0.33},
        "metrics": ["accuracy", "coverage"],
        "by": "Ada",
        "reason": "a picture of the dashboard",
    }
    body = json.dumps(order).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{admin}/experiments", body, headers)
    urllib.request.urlopen(request, timeout=120).close()


def picture_all(watching: MonitoringServer, began: float) -> None:
    start = int(began) + 5
    moments = np.arange(start, int(time.time()), STEP)

    def answer(expression: str) -> list[dict[str, Any]]:
        filled = expression.replace("$__rate_interval", "15s")
        filled = re.sub(r'"\$window"', '"100"', filled)
        filled = re.sub(r'"\$\w+"', '".*"', filled)
        found = watching.get(
            "/api/v1/query_range", query=filled, start=str(start), end=str(moments[-1]), step=str(STEP)
        )
        series: list[dict[str, Any]] = found["data"]["result"]
        return series

    for path in sorted(GRAFANA.glob("*.json")):
        draw(json.loads(path.read_text()), answer, moments, OUT / f"dashboard-{path.stem}.png")


if __name__ == "__main__":
    main()
