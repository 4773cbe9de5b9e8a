"""Open load: requests arrive at random moments, whether or not earlier ones have been answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from demur.profile.load import Load
from harness.connection import KeepAlive


def run_arrivals(address: tuple[str, int], requests: Sequence[bytes], *, rate: float, seconds: float) -> Load:
    """Poisson arrivals, `rate` per second; a latency counts from the moment at which its request was due."""
    return asyncio.run(_run(address, requests, rate, seconds))


async def _run(address: tuple[str, int], requests: Sequence[bytes], rate: float, seconds: float) -> Load:
    rng = np.random.default_rng(0)
    due = np.cumsum(rng.exponential(1.0 / rate, round(rate * seconds)))
    load = Load()
    idle: list[KeepAlive] = []
    began = perf_counter()

    async def one(turn: int, at: float) -> None:
        connection = idle.pop() if idle else await KeepAlive.open(address)
        answer = await connection.ask(requests[turn % len(requests)])
        idle.append(connection)
        if answer.status == 200:
            load.latencies.append(1e3 * (perf_counter() - began - at))
        else:
            load.refused += 1

    tasks = []
    for turn, at in enumerate(due):
        await asyncio.sleep(max(0.0, began + at - perf_counter()))
        tasks.append(asyncio.create_task(one(turn, at)))
    await asyncio.gather(*tasks)
    load.seconds = perf_counter() - began
    for connection in idle:
        connection.close()
    return load
