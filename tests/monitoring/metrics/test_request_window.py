"""Errors and latency of the last minutes, from counters that only grow."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

from monitoring.metrics import names
from monitoring.metrics.request_window import WINDOW, RequestWindow


def test_the_requests_of_the_window_count_and_no_earlier_ones() -> None:
    registry, now = CollectorRegistry(), [0.0]
    spec = names.HTTP_DURATION
    histogram = Histogram(spec.name, spec.help, spec.labels, registry=registry, buckets=spec.buckets)
    window = RequestWindow(registry.collect, lambda: now[0])

    def send(count: int, seconds: float, status: str = "200", route: str = "/predict") -> None:
        for _ in range(count):
            histogram.labels("POST", route, status).observe(seconds)

    send(50, 0.02)
    assert window.recent().n == 0
    send(95, 0.02)
    send(5, 3.0)
    send(10, 0.1, "503")
    send(99, 9.0, route="/rolling")
    now[0] = 10.0
    recent = window.recent()
    assert (recent.n, recent.failed) == (110, 10)
    assert recent.slowest_percent is not None
    assert 2.5 <= recent.slowest_percent <= 5.0

    for step in range(1, 100):
        now[0] = 10.0 + step * 5.0
        recent = window.recent()
    assert now[0] > WINDOW + 10
    assert (recent.n, recent.failed, recent.slowest_percent) == (0, 0, None)
