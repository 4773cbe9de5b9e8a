"""The heartbeat tells of each completed evaluation once, and stops with them."""

from __future__ import annotations

import structlog
from fakes.http_receiver import answers, hangs, http_receiver

from monitoring.alerts.heartbeat import Heartbeat
from monitoring.alerts.notifiers.secrets import Secret


class Evaluation:
    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self) -> float | None:
        return self.at


def test_a_beat_names_the_last_evaluation_and_none_is_sent_without_a_new_one() -> None:
    evaluation = Evaluation()
    with http_receiver(answers()) as receiver:
        url = Secret("${BEAT}", f"{receiver.url}/ping/0a1b2c3d", (f"{receiver.url}/ping/0a1b2c3d",))
        heartbeat = Heartbeat(url, 5, evaluation)
        assert heartbeat.beat() == "withheld"
        evaluation.at = 1_790_000_000.25
        assert heartbeat.beat() == "delivered"
        assert heartbeat.beat() == "withheld"
        # The clock is set back: a new evaluation all the same.
        evaluation.at = 1_790_000_000.25 - 3600
        assert heartbeat.beat() == "delivered"
    assert [request.json()["evaluated_at"] for request in receiver.requests] == [
        "2026-09-21T14:13:20.250+00:00",
        "2026-09-21T13:13:20.250+00:00",
    ]
    assert receiver.requests[0].headers["X-Demur-Evaluated-At"] == "2026-09-21T14:13:20.250+00:00"


def test_a_receiver_that_hangs_or_is_gone_is_said_once_and_its_url_never() -> None:
    evaluation = Evaluation()
    with structlog.testing.capture_logs() as logs:
        with http_receiver(hangs) as receiver:
            url = Secret("${BEAT}", f"{receiver.url}/ping/0a1b2c3d", (f"{receiver.url}/ping/0a1b2c3d",))
            heartbeat = Heartbeat(url, 1.0, evaluation)
            outcomes = []
            for evaluation.at in (1.0, 2.0):
                outcomes.append(heartbeat.beat())
        for evaluation.at in (3.0, 4.0):
            outcomes.append(heartbeat.beat())
    assert outcomes == ["unknown", "unknown", "refused", "refused"]
    assert [log["outcome"] for log in logs] == ["unknown", "refused"]
    assert "0a1b2c3d" not in str(logs)
