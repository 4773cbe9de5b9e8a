"""Drift in a service of two workers: what both look at comes together, and outlives them."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from fakes.referenced_bundle import usual_image, write_referenced_bundle
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import colour_image


def drift(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/health").json()["drift"]
    return found


def send(url: str, images: list[bytes], name: str) -> None:
    def one(number: int) -> int:
        headers = {"Content-Type": "image/jpeg", "X-Unit-Id": f"{name}-{number}"}
        return httpx.post(f"{url}/predict", content=images[number], headers=headers, timeout=120).status_code

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(one, range(len(images)))) == {200}


def eventually(url: str, state: str, seconds: float = 300.0) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while (found := drift(url))["state"] != state:
        assert time.monotonic() < end, found
        time.sleep(0.5)
    return found


def test_two_workers_conclude_together_and_a_restart_remembers(tmp_path: Path) -> None:
    bundle = write_referenced_bundle(tmp_path / "bundle")
    # Enough room that no image is shed, however busy the machine is.
    options: dict[str, Any] = {
        "workers": 2,
        "redis_url": "off",
        "drift_images": 1_000_000,
        "shadow_images": 1_000,
        "shadow_bytes": 10**8,
    }
    with ServiceProcess(bundle, tmp_path / "service", **options) as service:
        send(service.url, [usual_image(1_000 + number) for number in range(130)], "usual")
        send(service.url, [colour_image(0, 0.9, number) for number in range(130)], "blue")
        found = eventually(service.url, "moved")
        assert found["images"] >= 250
        assert "predicted" in found["moved"]
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
    with ServiceProcess(bundle, tmp_path / "service", **options) as service:
        again = eventually(service.url, "moved")
        assert again["at"] == found["at"]
        assert len(os.listdir(tmp_path / "service" / "drift")) == 1
