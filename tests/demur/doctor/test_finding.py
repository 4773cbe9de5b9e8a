"""Probes that fail or hang become findings and hold up nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from demur.doctor.finding import Finding, Probe, examine


def works() -> Iterator[Finding]:
    yield Finding("first", "ok", "works")


def fails() -> Iterator[Finding]:
    yield Finding("second", "ok", "lost")
    raise RuntimeError("no such thing")


def hangs() -> Iterator[Finding]:
    threading.Event().wait()
    yield Finding("third", "ok", "never")


def test_findings_keep_the_order_of_the_probes() -> None:
    probes = [Probe("third", hangs), Probe("first", works), Probe("second", fails)]
    found = examine(probes, limit=2.0)
    assert [(one.topic, one.status) for one in found] == [
        ("third", "note"),
        ("first", "ok"),
        ("second", "note"),
    ]
    assert "no answer within 2 s" in found[0].text
    assert "RuntimeError: no such thing" in found[2].text
