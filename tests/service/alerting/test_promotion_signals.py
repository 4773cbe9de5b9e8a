"""A promotion that was rolled back as a signal of the alerts."""

from __future__ import annotations

from typing import Any

from fakes.generations import generation, promotion, ref

from monitoring.alerts.alert import Alert
from monitoring.alerts.signals import SIGNALS, Reading, labels_of
from service.alerting.promotion_signals import SIGNAL, promotion_readings
from service.following.followed_file import Followed

NOW = 1_790_000_000.0


def reading(**fields: Any) -> Reading:
    state = promotion(ref("b"), **fields) if fields else None
    (found,) = promotion_readings(Followed("signs", generation(promotion=state)), [], NOW)
    return found


def test_a_rollback_is_an_alarm_for_a_day_or_until_the_next_promotion() -> None:
    ended = {"phase": "rolled-back", "why": "canary: the guardrail risk is beyond its limit"}
    fresh = reading(**ended, since=NOW - 60)
    assert (fresh.value, fresh.since, fresh.label("fleet")) == (1.0, NOW - 60, "signs")
    assert fresh.text.endswith("is rolled-back: canary: the guardrail risk is beyond its limit")
    assert reading(**ended, since=NOW - 90_000).value == 0.0
    assert reading(phase="gates", since=NOW).value == 0.0
    assert reading(phase="promoted", since=NOW).value == 0.0
    assert reading().value == 0.0
    assert set(dict(fresh.labels)) == set(SIGNALS[SIGNAL].labels)


def test_a_service_that_follows_nothing_ends_what_was_open() -> None:
    assert list(promotion_readings(None, [], NOW)) == []
    other = reading(phase="rolled-back", since=NOW)
    alert = Alert("f", "r", labels_of({"fleet": "cones"}), 1, NOW, fired_at=NOW, reading=other)
    own, gone = promotion_readings(Followed("signs", generation()), [alert], NOW)
    assert (own.label("fleet"), own.over) == ("signs", False)
    assert (gone.label("fleet"), gone.over) == ("cones", True)
    (gone,) = promotion_readings(None, [alert], NOW)
    assert gone.over
