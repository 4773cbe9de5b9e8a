"""Stage queues: which images are computed together, which wait, and which are dropped."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A, ANSWERED_BY_B, colour_image, colour_model
from numpy.typing import NDArray

from bundle.engines.model import open_model
from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec
from bundle.runner import CascadeStage, compute_stage
from calibration.scores import StageOutputs
from monitoring.metrics.instruments import Instruments
from service.app import create_app
from service.compute.admission import Admission, Lane
from service.compute.predictor import Predictor
from service.compute.stage_queue import StageQueue
from service.errors import DeadlinePassed, QueueFull
from service.lineup.deployment import deployment_for
from service.settings import Settings

SPEC = PreprocessSpec(height=16, width=16)
FAR = 60.0


class WaitingEngine:
    """A real engine that computes when released, and records the sizes of its batches."""

    def __init__(self, model: bytes | None = None) -> None:
        self._engine = open_model(model or colour_model(16, 5.0))
        self.name = self._engine.name
        self.classes = self._engine.classes
        self.image_size = self._engine.image_size
        self.has_gate = self._engine.has_gate
        self.released = threading.Semaphore(0)
        self.sizes: list[int] = []

    def run(self, batch: NDArray[np.float32]) -> StageOutputs:
        self.sizes.append(len(batch))
        assert self.released.acquire(timeout=150)
        return self._engine.run(batch)


class Stage:
    """A queue in front of a stage, with one thread."""

    def __init__(self, size: int, limit: int = 64) -> None:
        self.engine = WaitingEngine()
        self.stage = CascadeStage(SPEC, self.engine)
        self.admission = Admission(1, 64)
        self.upstream = 0
        self.queue = StageQueue(
            "B",
            self.stage,
            size,
            self.admission,
            owner="tiny:1",
            limit=limit,
            upstream=lambda: self.upstream,
            observe=lambda _: None,
        )
        self.results: list[asyncio.Future[Any]] = []

    def add(self, *numbers: int, lane: Lane = Lane.SINGLE, seconds: float = FAR) -> None:
        for number in numbers:
            self.results.append(self.queue.score(image(number), perf_counter() + seconds, lane))

    async def begun(self, batches: int) -> None:
        async with asyncio.timeout(150):
            while len(self.engine.sizes) < batches:
                await asyncio.sleep(0.001)

    async def finish(self) -> list[Any]:
        for _ in range(100):
            self.engine.released.release()
        results = await asyncio.gather(*self.results, return_exceptions=True)
        assert (self.queue.waiting, self.queue.present) == (0, 0)
        self.admission.close()
        return results


def image(number: int) -> NDArray[np.uint8]:
    return decode(colour_image(number % 2, 0.1 + 0.05 * number, number, size=(20, 24)))


def scenario(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 300))


def test_waiting_images_are_computed_together_and_get_their_own_outputs() -> None:
    async def work() -> None:
        stage = Stage(size=4)
        stage.add(0)
        await stage.begun(1)
        stage.add(1, 2, 3, 4, 5)
        results = await stage.finish()
        assert stage.engine.sizes == [1, 4, 1]
        for number, result in enumerate(results):
            alone = compute_stage(stage.stage, [image(number)])
            np.testing.assert_allclose(result.outputs.logits, alone.logits, atol=1e-6)
            assert result.waited >= 0.0

    scenario(work)


def test_a_lone_image_does_not_wait_for_others() -> None:
    async def work() -> None:
        stage = Stage(size=4)
        stage.add(0)
        assert stage.queue.waiting == 0
        await stage.finish()

    scenario(work)


def test_a_batch_waits_for_upstream_images_but_not_for_long() -> None:
    async def work() -> None:
        stage = Stage(size=4)
        stage.upstream = 2
        stage.add(0)
        assert stage.queue.waiting == 1
        stage.add(1)
        await stage.begun(1)
        assert stage.engine.sizes == [2]
        # A full batch does not wait.
        stage.engine.released.release()
        stage.add(2, 3, 4, 5)
        await stage.finish()
        assert stage.engine.sizes == [2, 4]

    scenario(work)


def test_a_batch_goes_before_images_that_are_not_decoded_yet() -> None:
    async def work() -> None:
        stage = Stage(size=4)
        busy = threading.Semaphore(0)
        first = stage.admission.run(Lane.SINGLE, perf_counter() + FAR, busy.acquire)
        second = stage.admission.run(Lane.SINGLE, perf_counter() + FAR, lambda: list(stage.engine.sizes))
        stage.add(0)
        busy.release()
        stage.engine.released.release()
        await first
        assert await second == [1]
        await stage.finish()

    scenario(work)


def test_singles_and_batches_share_a_batch() -> None:
    async def work() -> None:
        stage = Stage(size=2)
        stage.add(0)
        await stage.begun(1)
        stage.add(1, 2, 3, lane=Lane.BATCH)
        stage.add(4)
        stage.engine.released.release()
        await stage.begun(2)
        stage.engine.released.release()
        await asyncio.wait_for(stage.results[4], 150)
        assert [result.done() for result in stage.results] == [True, True, False, False, True]
        await stage.finish()

    scenario(work)


def test_late_and_cancelled_images_are_not_computed() -> None:
    async def work() -> None:
        stage = Stage(size=4)
        stage.add(0)
        await stage.begun(1)
        stage.add(1, seconds=0.02)
        stage.add(2, 3)
        stage.results[2].cancel()
        with pytest.raises(DeadlinePassed):
            await stage.results[1]
        with pytest.raises(DeadlinePassed):
            stage.add(4, seconds=-0.001)
        results = await stage.finish()
        assert stage.engine.sizes == [1, 1]
        assert [type(result).__name__ for result in results] == [
            "StageResult",
            "DeadlinePassed",
            "CancelledError",
            "StageResult",
        ]

    scenario(work)


def test_a_full_queue_refuses_at_once() -> None:
    async def work() -> None:
        stage = Stage(size=2, limit=3)
        stage.add(0)
        await stage.begun(1)
        stage.add(1, 2, 3)
        with pytest.raises(QueueFull, match="3 images for stage B are waiting; at most 3 may") as full:
            stage.add(4)
        assert full.value.retry_after is not None
        assert full.value.retry_after >= 1
        # The rest of an accepted request may still wait.
        rest = stage.queue.score(image(5), perf_counter() + FAR, Lane.BATCH, bounded=False)
        await stage.finish()
        assert len((await rest).outputs) == 1

    scenario(work)


def test_an_image_that_cannot_be_computed_does_not_fail_its_batch() -> None:
    async def work() -> None:
        stage = Stage(size=2)
        stage.add(0)
        await stage.begun(1)
        stage.results.append(stage.queue.score(np.zeros((4, 4), np.uint8), perf_counter() + FAR))
        stage.add(1, 2)
        results = await stage.finish()
        assert [isinstance(result, Exception) for result in results] == [False, True, False, False]
        alone = compute_stage(stage.stage, [image(1)])
        np.testing.assert_allclose(results[2].outputs.logits, alone.logits, atol=1e-6)
        assert stage.admission.running == 0


def test_images_that_all_fail_get_an_error_each() -> None:
    async def work() -> None:
        stage = Stage(size=2)
        stage.add(0)
        await stage.begun(1)
        no_image = np.zeros((4, 4), np.uint8)
        stage.results += [stage.queue.score(no_image, perf_counter() + FAR) for _ in range(2)]
        _, first, second = await stage.finish()
        assert isinstance(first, Exception)
        assert isinstance(second, Exception)
        assert first is not second

    scenario(work)


# Over HTTP ---------------------------------------------------------------------------------------


@contextmanager
def served(bundle: Path, batch: int) -> Iterator[str]:
    """URL of a service with two threads and batches of this size."""
    app = create_app(Settings.read({}, bundle=bundle, redis_url="off", cores=2, batch=batch))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", loop="uvloop"))
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def predict_all(url: str, images: Sequence[bytes], clients: int, **headers: str) -> list[httpx.Response]:
    sent = {"Content-Type": "image/jpeg", **headers}
    with (
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
        ThreadPoolExecutor(clients) as pool,
    ):
        return list(pool.map(lambda data: client.post("/predict", content=data, headers=sent), images))


IMAGES = [
    colour_image(label, strength, seed, size=(60, 80))
    for seed in range(8)
    for label in (0, 1)
    for strength in (ANSWERED_BY_A, ANSWERED_BY_B, ABSTAINED)
]


def decided(answer: httpx.Response) -> tuple[Any, ...]:
    body = answer.json()
    return tuple(
        body[name] for name in ("decision", "label", "stage", "reason", "prediction_set", "confidence")
    )


def test_batches_and_single_images_get_the_same_answers(tiny_bundle: Path) -> None:
    with served(tiny_bundle, 1) as url:
        alone = [decided(answer) for answer in predict_all(url, IMAGES, 1)]
    with served(tiny_bundle, 4) as url:
        answers = predict_all(url, IMAGES, 16)
        together = [decided(answer) for answer in answers]
        metrics = httpx.get(f"{url}/metrics", trust_env=False).text
        whole = httpx.post(
            f"{url}/predict/batch",
            files=[("files", (f"{n}.jpg", data)) for n, data in enumerate(IMAGES)],
            timeout=120,
            trust_env=False,
        ).json()["results"]
    assert [row[:-1] for row in together] == [row[:-1] for row in alone]
    assert [row[-1] for row in together] == pytest.approx([row[-1] for row in alone], abs=1e-5)
    assert [row["decision"] for row in whole] == [row[0] for row in alone]
    for stage, images in (("A", 48), ("B", 32)):
        assert f'demur_batch_size_sum{{stage="{stage}"}} {images}.0' in metrics
        (line,) = [
            line for line in metrics.splitlines() if f'demur_batch_size_count{{stage="{stage}"}}' in line
        ]
        assert float(line.split()[-1]) < images
        assert f'demur_stage_queue_depth{{stage="{stage}"}} 0.0' in metrics
    steps = answers[2].json()["timing_ms"]
    assert set(steps) == {"queue", "read", "decode", "stage_a", "stage_b", "total"}
    assert sum(steps.values()) - steps["total"] <= steps["total"] + 0.5


def test_stage_b_is_not_computed_after_the_deadline(tiny_bundle: Path) -> None:
    deployment = replace(deployment_for(Settings.read({}, bundle=tiny_bundle)), batch_sizes=(4, 4))
    slow, second = WaitingEngine(colour_model(16, 5.0)), WaitingEngine(colour_model(32, 8.0, gate=True))
    second.released = threading.Semaphore(100)
    deployment.runner.stages = tuple(
        replace(stage, model=engine)
        for stage, engine in zip(deployment.runner.stages, (slow, second), strict=True)
    )
    data = colour_image(1, ANSWERED_BY_B)

    async def work() -> None:
        predictor = Predictor(1, 2, Instruments())
        hasty = asyncio.create_task(predictor.predict(deployment, lambda: data, perf_counter() + 3.0))
        async with asyncio.timeout(150):
            while not slow.sizes:
                await asyncio.sleep(0.001)
        await asyncio.sleep(3.0)
        slow.released.release()
        with pytest.raises(DeadlinePassed):
            await hasty
        slow.released.release()
        patient = await predictor.predict(deployment, lambda: data, perf_counter() + FAR)
        assert patient.decision.stage == "B"
        assert (slow.sizes, second.sizes) == ([1, 1], [1])
        predictor.close()

    scenario(work)


def test_stage_b_computes_only_the_images_that_stage_a_leaves(tiny_bundle: Path) -> None:
    deployment = replace(deployment_for(Settings.read({}, bundle=tiny_bundle)), batch_sizes=(2, 4))
    first, second = WaitingEngine(colour_model(16, 5.0)), WaitingEngine(colour_model(32, 8.0, gate=True))
    second.released = threading.Semaphore(100)
    deployment.runner.stages = tuple(
        replace(stage, model=engine)
        for stage, engine in zip(deployment.runner.stages, (first, second), strict=True)
    )

    async def work() -> None:
        predictor = Predictor(3, 8, Instruments())
        images = [colour_image(1, strength) for strength in (ANSWERED_BY_B, ABSTAINED, ANSWERED_BY_A)]
        tasks = [
            asyncio.create_task(predictor.predict(deployment, partial(bytes, data), perf_counter() + FAR))
            for data in images
        ]
        async with asyncio.timeout(150):
            while sum(first.sizes) < len(images):
                await asyncio.sleep(0.001)
        for _ in images:
            first.released.release()
        stages = [(await task).decision.stage for task in tasks]
        assert stages == ["B", "B", "A"]
        assert sum(second.sizes) == 2
        predictor.close()

    scenario(work)
