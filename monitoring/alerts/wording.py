"""Wording of the alerts: titles, lines of messages, and who is told when, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from monitoring.alerts.alert import Alert
from monitoring.alerts.durations import in_words
from monitoring.alerts.message import AlertLine, MessageKind
from monitoring.alerts.rules import AlertRules, Rule
from monitoring.alerts.signals import SIGNALS

_KINDS: Final[dict[MessageKind, str]] = {
    "firing": "FIRING",
    "escalated": "ESCALATED",
    "reminder": "STILL FIRING",
    "resolved": "RESOLVED",
    "summary": "SUMMARY",
    "silence-ended": "STILL FIRING, silence over",
    "test": "TEST",
}


def alert_line(alert: Alert, rule: Rule, runbook: str) -> AlertLine:
    """An alert as a message shows it. One that is resolved repeats what it was about."""
    shown = alert.fired_with if alert.resolved_at is not None else alert.reading
    since = alert.opened if shown is None or shown.since is None else shown.since
    text = "" if shown is None else shown.text + _ending(alert)
    return AlertLine(
        fingerprint=alert.fingerprint,
        rule=alert.rule,
        severity=rule.severity,
        state=alert.state,
        labels=alert.labels,
        value=None if shown is None else shown.value,
        low=None if shown is None else shown.low,
        high=None if shown is None else shown.high,
        n=None if shown is None else shown.n,
        since=since,
        bundle=alert.label("bundle") or None,
        text=text,
        action=rule.action,
        runbook=runbook,
    )


def _ending(alert: Alert) -> str:
    """What is said behind the figures: why it has ended, or for how long it has not been seen."""
    if alert.resolved_at is not None:
        last = alert.reading
        return "" if last is None or not last.over else f" (ended, since {last.text})"
    minutes = alert.unseen // 60
    return f" (no data for {in_words(60 * minutes)})" if minutes else ""


def title_of(kind: MessageKind, lines: Sequence[AlertLine]) -> str:
    """Title of a message: what it is, of how many alerts, and of what."""
    first = lines[0]
    rules = ", ".join(dict.fromkeys(line.rule for line in lines))
    labels = ", ".join(value for name, value in first.labels if name in ("bundle", "service", "experiment"))
    many = f"{len(lines)} alerts: " if len(lines) > 1 else ""
    where = f" ({labels})" if labels and len(lines) == 1 else ""
    return f"[{_KINDS[kind]}] {many}{rules}{where}"


def rules_in_words(rules: AlertRules) -> Iterator[str]:
    """What is watched, one sentence per rule."""
    for rule in rules.rules:
        ladder = rule.ladder or rules.defaults.ladder
        told = f"ladder {ladder}" if ladder else "shown, told to nobody"
        yield f"{rule.name} ({rule.severity}): {_condition(rule)}; {told}."


def ladders_in_words(rules: AlertRules) -> Iterator[str]:
    """Who is told when, one sentence per ladder that a rule uses."""
    used: dict[str, Rule] = {}
    for rule in rules.rules:
        used.setdefault(rule.ladder or rules.defaults.ladder or "", rule)
    for name, rule in used.items():
        if name:
            yield f"Ladder {name}: {_ladder(rules, rule)}"
        else:
            yield "Alerts without a ladder are shown by `demur alerts list` and on the private page."


def options_in_words(rules: AlertRules) -> Iterator[str]:
    """What holds for all rules."""
    yield f"Each receiver gets at most {rules.budget.per_hour} messages per hour, and one summary beyond."
    for hours in rules.quiet_hours:
        yield (
            f"From {hours.begin} to {hours.end} ({hours.zone}; {', '.join(hours.days)}) alerts of severity "
            f"{' and '.join(hours.severities)} wait."
        )
    yield (
        "A heartbeat is sent every " + in_words(rules.heartbeat.every) + "."
        if rules.heartbeat is not None
        else "No heartbeat is sent, so nobody notices when the alerts themselves stop."
    )


def _condition(rule: Rule) -> str:
    of = " and ".join(f"{name} {pattern}" for name, pattern in rule.labels.items())
    return (
        f"fires when {rule.condition()}"
        + (f" for {in_words(rule.hold)}" if rule.hold else "")
        + (f", of {of}" if of else "")
        + f" ({SIGNALS[rule.signal].about}); resolved after {in_words(rule.resolve_after)}"
        + ("" if rule.resolve is None else f" beyond {rule.resolve:g}")
    )


def _ladder(rules: AlertRules, rule: Rule) -> str:
    told, after = [], 0.0
    for step in rules.steps(rule):
        after += step.wait
        who = f"{step.person} by {step.channel}" if step.person else step.channel
        told.append(f"{'at once' if not after else 'after ' + in_words(after)} {who}")
    return (
        f"{', then '.join(told)}, until somebody acknowledges; what nobody acknowledges is repeated every "
        f"{in_words(rules.repeat(rule))}."
    )
