"""Evaluation: from the state before and the readings of now to the state after. Nothing else goes in or out.

Durations are counted by the seconds between two evaluations, which the engine bounds, and never by the
difference of two times of day: a clock that is set back or jumps forward neither fires nor resolves anything.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitoring.alerts.alert import Alert, fingerprint_of
from monitoring.alerts.durations import in_words
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.rules import AlertRules, Rule
from monitoring.alerts.signals import Reading, labels_of

LONGEST_STEP: Final = 10.0
"""Seconds that one evaluation counts at most: what came before a longer pause was not seen"""
_GAP: Final = 60.0
"""Seconds without data after which what has not fired begins anew, and what is in service no more ends"""
_REOPEN: Final = 300.0
"""Seconds for which a fault must still hold before it fires again after a person has resolved it"""
GIVEN_UP: Final = 86_400.0
"""Seconds without data after which an alert of a service that nothing is heard of ends, and says so"""
_REMEMBERED: Final = 86_400.0
"""Seconds for which a resolved alert is shown"""
_MOST_ALERTS: Final = 1000

_Seen = tuple[Rule, Reading]


@dataclass(frozen=True, slots=True)
class Moment:
    """When an evaluation takes place."""

    now: float
    """Unix time, seconds: shown to people, and compared with the ends of silences and quiet hours"""
    elapsed: float
    """Seconds since the evaluation before it, at most `LONGEST_STEP`"""


def evaluate(
    state: EngineState, rules: AlertRules, readings: Sequence[Reading], moment: Moment
) -> EngineState:
    """The state after one look at all readings."""
    seen = dict(_matched(rules, readings))
    silent = _silent(state, seen, moment)
    for fingerprint, found in _matched(rules, list(_silent_readings(state, seen, silent, moment))):
        seen.setdefault(fingerprint, found)
    heard = {reading.label("service") for reading in readings}
    alerts: dict[str, Alert] = {}
    for fingerprint in sorted(state.alerts.keys() | seen.keys()):
        before = state.alerts.get(fingerprint)
        if fingerprint in seen:
            after = _with_reading(before, fingerprint, *seen[fingerprint], moment)
        else:
            after = before and _without_reading(before, rules.rule(before.rule), heard, moment)
        if after is not None and not _forgotten(after, moment):
            alerts[fingerprint] = after
    return replace(
        state,
        alerts=dict(list(_bounded(alerts))),
        silences={name: one for name, one in state.silences.items() if moment.now < one.until + _REMEMBERED},
        silent=silent,
        sent=state.aged(moment.elapsed),
        evaluated_at=moment.now,
    )


def _matched(rules: AlertRules, readings: Sequence[Reading]) -> Iterator[tuple[str, _Seen]]:
    by_signal: dict[str, list[Reading]] = {}
    for reading in readings:
        by_signal.setdefault(reading.signal, []).append(reading)
    for rule in rules.rules:
        for reading in by_signal.get(rule.signal, ()):
            if rule.watches(reading):
                yield fingerprint_of(rule.name, reading.labels), (rule, reading)


def _with_reading(
    before: Alert | None, fingerprint: str, rule: Rule, reading: Reading, moment: Moment
) -> Alert | None:
    if reading.over:
        return before and _of_over(before, reading, moment)
    verdict = rule.verdict(reading)
    over = before is None or before.resolved_at is not None
    if verdict == "no data":
        return before if before is None or over else _unseen(before, rule, moment)
    if verdict == "bad":
        if over:
            opened = _opened(before, fingerprint, rule, reading, moment)
            return _fired_if_due(opened, reading, moment)
        assert before is not None  # noqa: S101 - it is not over
        seen = replace(before, reading=reading, unseen=0.0, cleared=0.0, held=before.held + moment.elapsed)
        return seen if seen.active else _fired_if_due(seen, reading, moment)
    if before is None or over:
        return before and replace(before, cleared=before.cleared + moment.elapsed)
    if not before.active:
        return replace(before, resolved_at=moment.now)  # It has not fired, so nobody has to know.
    cleared = before.cleared + moment.elapsed if verdict == "good" else 0.0
    after = replace(before, reading=reading, unseen=0.0, cleared=cleared)
    rests = verdict == "good" and cleared >= rule.resolve_after
    return replace(after, resolved_at=moment.now) if rests else after


def _of_over(alert: Alert, reading: Reading, moment: Moment) -> Alert:
    """What is in service no more, as far as the services that are heard of know; one that starts anew may be
    away for a moment."""
    if alert.resolved_at is not None:
        return alert
    unseen = replace(alert, unseen=alert.unseen + moment.elapsed)
    return _ended(unseen, reading, moment) if not alert.active or unseen.unseen >= _GAP else unseen


def _ended(alert: Alert, reading: Reading, moment: Moment) -> Alert:
    return replace(alert, reading=reading, resolved_at=moment.now)


def _opened(before: Alert | None, fingerprint: str, rule: Rule, reading: Reading, moment: Moment) -> Alert:
    """A new episode."""
    wait = rule.hold
    closed_by_hand = before is not None and bool(before.acts) and before.acts[-1].kind == "resolve"
    if before is not None and closed_by_hand and not before.cleared:
        wait = max(wait, _REOPEN)
    episode = 1 if before is None else before.episode + 1
    return Alert(fingerprint, rule.name, reading.labels, episode, moment.now, wait=wait, reading=reading)


def _fired_if_due(alert: Alert, reading: Reading, moment: Moment) -> Alert:
    if alert.held < alert.wait:
        return alert
    return replace(alert, fired_at=moment.now, fired_with=reading, waited=0.0, untold=0.0)


def _unseen(alert: Alert, rule: Rule | None, moment: Moment) -> Alert:
    """No data: it neither fires nor resolves."""
    unseen = alert.unseen + moment.elapsed
    begins_anew = not alert.active and unseen > max(_GAP, 0.0 if rule is None else rule.hold)
    return replace(alert, unseen=unseen, resolved_at=moment.now if begins_anew else None)


def _without_reading(alert: Alert, rule: Rule | None, heard: Container[str | None], moment: Moment) -> Alert:
    """What is not watched any more: its bundle or service is gone, or its rule. `heard`: services that have
    given any reading."""
    if alert.resolved_at is not None:
        return alert
    if rule is None or (rule.signal == "signal_silent" and alert.active):
        return replace(alert, resolved_at=moment.now)
    after, service = _unseen(alert, rule, moment), alert.label("service")
    if after.active and after.unseen >= GIVEN_UP and service and service not in heard:
        text = f"nothing has been heard of {service} for a day, and it is not known how it is there now"
        gone = Reading(rule.signal, alert.labels, None, None, None, None, None, moment.now, text, over=True)
        return _ended(after, gone, moment)
    return after


def _silent(state: EngineState, seen: Mapping[str, _Seen], moment: Moment) -> dict[str, float]:
    """Fingerprint of what had data once -> seconds without; of what is not watched any more only while an
    alert of it is open."""
    found = {}
    for fingerprint, (rule, reading) in seen.items():
        if rule.signal == "signal_silent":
            continue
        if rule.verdict(reading) != "no data":
            found[fingerprint] = 0.0
        elif fingerprint in state.silent:
            found[fingerprint] = state.silent[fingerprint] + moment.elapsed
    for fingerprint, alert in state.alerts.items():
        if fingerprint not in seen and alert.active and not alert.rule.startswith("signal-silent"):
            found[fingerprint] = state.silent.get(fingerprint, alert.unseen) + moment.elapsed
    return found


def _silent_readings(
    state: EngineState, seen: Mapping[str, _Seen], silent: Mapping[str, float], moment: Moment
) -> Iterator[Reading]:
    for fingerprint, seconds in silent.items():
        kept = ""
        if fingerprint in seen:
            rule, labels = seen[fingerprint][0].name, seen[fingerprint][1].labels
        else:
            rule, labels = state.alerts[fingerprint].rule, state.alerts[fingerprint].labels
            kept = "; its alert stands as it was then"
        of = ", ".join(f"{name}={value}" for name, value in labels)
        said = f"what {rule} watches has had no data for {in_words(seconds)}" + (f" ({of})" if of else "")
        since = moment.now - seconds
        named = labels_of({"rule": rule, "of": of})
        yield Reading("signal_silent", named, seconds, None, None, None, since, moment.now, said + kept)


def _forgotten(alert: Alert, moment: Moment) -> bool:
    """Whether a resolved alert has been shown for long enough."""
    if alert.resolved_at is None:
        return False
    # A clock that was set back must not keep it for ever, nor one that jumped drop an unsent notice.
    return moment.now - alert.resolved_at > _REMEMBERED and set(alert.told) <= set(alert.closed)


def _bounded(alerts: Mapping[str, Alert]) -> Iterator[tuple[str, Alert]]:
    """The open alerts, and as many of the others as fit, the latest first."""
    ranked = sorted(alerts.items(), key=lambda item: (not item[1].active, -item[1].opened))
    yield from ranked[:_MOST_ALERTS]
