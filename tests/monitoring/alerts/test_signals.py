"""Readings survive JSON; the catalogue of signals is complete."""

from __future__ import annotations

import json
import re

from monitoring.alerts.signals import SIGNALS, Reading, labels_of


def test_a_reading_survives_json() -> None:
    labels = labels_of({"part": "1", "bundle": "demur:abc", "arm": ""})
    reading = Reading("promise_risk", labels, None, 0.01, 0.02, 300, 1.5, 2.5, "between 1 and 2 %")

    assert Reading.from_dict(json.loads(json.dumps(reading.to_dict()))) == reading
    assert labels == (("bundle", "demur:abc"), ("part", "1"))
    assert reading.label("part") == "1"
    assert reading.label("arm") is None


def test_every_signal_says_what_it_is() -> None:
    for name, kind in SIGNALS.items():
        assert re.fullmatch(r"[a-z_]+", name)
        assert re.fullmatch(r"[a-z-]+", kind.runbook)
        assert kind.about
        assert kind.source
        low, high = kind.range
        assert low < high
