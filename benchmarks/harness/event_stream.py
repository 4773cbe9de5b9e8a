"""A stream of predictions and labels over HTTP that outlives every fault, and knows what was accepted."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from monitoring.events import FeedbackEvent, PredictionEvent, forced_label

_CAMERAS = 20
_REQUESTS_PER_CONNECTION = 10
"""So that every worker gets some"""
_PAUSE = 0.02
"""Seconds before a request that was not answered is sent again"""
_LATE = 0.1
"""Share of the labels that are sent at the end of the stream"""
_WRONG = 0.002
"""Share of the labels that differ from the answer"""


@dataclass(slots=True)
class Sent:
    """What the service has answered."""

    predictions: dict[str, PredictionEvent] = field(default_factory=dict)
    """By request id, as far as the answer tells them; the time is that of the answer's arrival"""
    labels: dict[str, FeedbackEvent] = field(default_factory=dict)
    """Accepted labels, by request id"""
    retried: int = 0
    """Requests that got no answer, or a refusal"""


class EventStream(threading.Thread):
    """Sends images and, after each, its label, one after the other, to several services in turn."""

    def __init__(
        self, addresses: Sequence[tuple[str, int]], images: Sequence[tuple[bytes, int]], seed: int
    ) -> None:
        """`images`: with their true class."""
        super().__init__(name="event-stream")
        self.sent = Sent()
        self._addresses = addresses
        self._images = images
        self._rng = random.Random(seed)
        self._done = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._requests = 0

    def finish(self) -> None:
        """Send the late labels, and end."""
        self._done.set()
        self.join()

    def run(self) -> None:
        late: list[tuple[str, int]] = []
        number = 0
        while not self._done.is_set():
            image, truth = self._images[number % len(self._images)]
            request_id, number = f"r{number:06}", number + 1
            if self._predict(request_id, image, f"camera-{self._rng.randrange(_CAMERAS)}"):
                label = 1 - truth if self._rng.random() < _WRONG else truth
                if self._rng.random() < _LATE:
                    late.append((request_id, label))
                else:
                    self._label(request_id, label)
        for request_id, label in late:
            self._label(request_id, label)
        self._close()

    def _predict(self, request_id: str, image: bytes, unit: str) -> bool:
        """Whether it was answered; one that was not is sent once only, because it may have been counted."""
        headers = {"Content-Type": "image/jpeg", "X-Request-Id": request_id, "X-Unit-Id": unit}
        status, body = self._post("/predict", image, headers)
        if status != 200:
            self.sent.retried += 1
            time.sleep(_PAUSE)
            return False
        self.sent.predictions[request_id] = PredictionEvent(
            request_id=request_id,
            bundle=f"{body['bundle']['name']}:{body['bundle']['version']}",
            predicted=forced_label([1 - body["probability"], body["probability"]]),
            answer=body["label"],
            stage=body["stage"],
            confidence=body["confidence"],
            probability=body["probability"],
            at=time.time(),
            unit_id=unit,
            audit=body["audit"],
        )
        return True

    def _label(self, request_id: str, label: int) -> None:
        """Send a label until it is accepted."""
        content = json.dumps({"request_id": request_id, "label": label}).encode()
        headers = {"Content-Type": "application/json"}
        while self._post("/feedback", content, headers)[0] != 202:
            self.sent.retried += 1
            time.sleep(_PAUSE)
        self.sent.labels[request_id] = FeedbackEvent(request_id, label, time.time())

    def _post(self, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        """(status, body); (0, None) without an answer."""
        self._requests += 1
        if self._connection is None or self._requests % _REQUESTS_PER_CONNECTION == 0:
            self._close()
            turn = self._requests // _REQUESTS_PER_CONNECTION % len(self._addresses)
            self._connection = http.client.HTTPConnection(*self._addresses[turn], timeout=20)
        try:
            self._connection.request("POST", path, content, headers)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self._close()
            return 0, None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
