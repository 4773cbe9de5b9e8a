"""Dispatch: who is told what now. A pure function over the state, as the evaluation is.

What is to be sent becomes a part of the state, together with the note that it was told. A message has an id
that follows from what it is about, so whoever sends it after a kill sends it under the same id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from monitoring.alerts.alert import Alert, Receiver
from monitoring.alerts.engine_state import EngineState, Outgoing, key_of
from monitoring.alerts.evaluation import Moment
from monitoring.alerts.ladders import Step
from monitoring.alerts.message import AlertLine, Message, MessageKind
from monitoring.alerts.rules import AlertRules, Rule, group_of
from monitoring.alerts.wording import alert_line, title_of

GROUP_WAIT: Final = 2.0
"""Seconds for which a first message waits for others of its group"""
_MOST_LINES: Final = 50
"""Alerts in one message; further ones are counted"""


@dataclass(frozen=True, slots=True)
class Due:
    """One alert that one receiver must be told of."""

    kind: MessageKind
    receiver: Receiver
    alert: Alert
    stage: int
    """Which of the messages of this kind it is"""


def dispatch(state: EngineState, rules: AlertRules, moment: Moment) -> EngineState:
    """The state with everything that is due now among `outgoing`, and noted as told."""
    state = _aged(state, rules, moment)
    found = list(_all_due(state, rules, moment))
    waiting: dict[Receiver, list[Due]] = {}
    for kind, receiver, group in _groups(found, rules):
        if _room(state, receiver, rules.budget.per_hour):
            state = _told(state, kind, receiver, group, rules, moment)
        else:
            waiting.setdefault(receiver, []).extend(group)
    for receiver, group in waiting.items():
        # One summary beyond the budget; what comes after it waits until there is room.
        if _room(state, receiver, rules.budget.per_hour + 1):
            state = _told(state, "summary", receiver, group, rules, moment)
    return state


def receiver_of(step: Step, rules: AlertRules) -> Receiver:
    """Who is told at a step."""
    needed = rules.channels[step.channel].address
    person = rules.people.get(step.person or "")
    address = "" if needed is None or person is None else getattr(person, needed) or ""
    return Receiver(step.channel, address, step.person or "")


def _aged(state: EngineState, rules: AlertRules, moment: Moment) -> EngineState:
    """With the waits of each alert counted on, and the silences over them noted."""
    alerts = {}
    in_force = [one for one in state.silences.values() if one.holds(moment.now)]
    for fingerprint, alert in state.alerts.items():
        rule = rules.rule(alert.rule)
        silence = next((one.id for one in in_force if one.matches(alert)), None)
        if silence is not None and alert.active:
            alert = replace(alert, silenced=silence)
        held = silence is not None or (rule is not None and rules.quiet(rule.severity, moment.now))
        # One that has fired in this very evaluation has not waited yet.
        counts = alert.active and alert.fired_at != moment.now
        if counts and not held and alert.state != "acknowledged":
            alert = replace(alert, waited=alert.waited + moment.elapsed, untold=alert.untold + moment.elapsed)
        alerts[fingerprint] = alert
    return replace(state, alerts=alerts)


def _all_due(state: EngineState, rules: AlertRules, moment: Moment) -> Iterator[Due]:
    in_force = [one for one in state.silences.values() if one.holds(moment.now)]
    open_groups: set[tuple[str, ...]] = set()
    first: list[tuple[tuple[str, ...], Due, bool]] = []
    for alert in state.alerts.values():
        rule = rules.rule(alert.rule) or _without_rule(alert)
        if any(one.matches(alert) for one in in_force) or rules.quiet(rule.severity, moment.now):
            continue
        if alert.resolved_at is not None:
            rest = [receiver for receiver in alert.told if receiver not in alert.closed]
            yield from (Due("resolved", receiver, alert, 0) for receiver in rest)
        elif alert.active:
            for due, waits in _due(alert, rule, rules):
                group = group_of(rule, alert.labels)
                if due.kind != "firing":
                    yield due
                    continue
                first.append((group, due, waits))
                open_groups |= set() if waits else {group}
    yield from (due for group, due, _ in first if group in open_groups)


def _due(alert: Alert, rule: Rule, rules: AlertRules) -> Iterator[tuple[Due, bool]]:
    """(what is due, whether it waits for others of its group) of one open alert."""
    steps = rules.steps(rule)
    if alert.silenced is not None:
        again = alert.told or tuple(receiver_of(step, rules) for step in steps[:1])
        yield from ((Due("silence-ended", one, alert, _number(alert.silenced)), False) for one in again)
        return
    if alert.state == "acknowledged":
        return
    if alert.rung < len(steps):
        step = steps[alert.rung]
        due = Due("escalated" if alert.rung else "firing", receiver_of(step, rules), alert, alert.rung)
        waits = not alert.rung and alert.waited < max(step.wait, GROUP_WAIT)
        if alert.waited >= step.wait:
            yield due, waits
            return
    if alert.told and alert.untold >= rules.repeat(rule):
        yield from ((Due("reminder", one, alert, alert.reminders), False) for one in alert.told)


def _without_rule(alert: Alert) -> Rule:
    """What stands for the rule of an alert that the file has lost: it is told to be resolved."""
    return Rule.model_construct(name=alert.rule, signal="signal_silent", above=0.0, group_by=("rule",))


def _number(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big")


def _groups(found: Sequence[Due], rules: AlertRules) -> Iterator[tuple[MessageKind, Receiver, list[Due]]]:
    groups: dict[tuple[MessageKind, Receiver, tuple[str, ...]], list[Due]] = {}
    for due in found:
        rule = rules.rule(due.alert.rule) or _without_rule(due.alert)
        groups.setdefault((due.kind, due.receiver, group_of(rule, due.alert.labels)), []).append(due)
    for (kind, receiver, _), group in sorted(groups.items(), key=lambda item: repr(item[0])):
        yield kind, receiver, group


def _room(state: EngineState, receiver: Receiver, most: int) -> bool:
    return len(state.sent.get(_address(receiver), ())) < most


def _told(
    state: EngineState,
    kind: MessageKind,
    receiver: Receiver,
    group: Sequence[Due],
    rules: AlertRules,
    moment: Moment,
) -> EngineState:
    """The state with one message among those to send, and its alerts noted as told."""
    lines = [line_of(due.alert, rules) for due in group]
    message = Message(
        id=_id(kind, receiver, group),
        kind=kind,
        title=title_of(kind, lines),
        alerts=tuple(lines[:_MOST_LINES]),
        at=moment.now,
    )
    outgoing = Outgoing(message, receiver)
    sent = state.sent.get(_address(receiver), ())
    return replace(
        state,
        alerts={**state.alerts, **{due.alert.fingerprint: _noted(state, due) for due in group}},
        outgoing={**state.outgoing, key_of(outgoing): outgoing},
        sent={**state.sent, _address(receiver): (*sent, 0.0)},
    )


def line_of(alert: Alert, rules: AlertRules) -> AlertLine:
    """An alert as a message shows it."""
    rule = rules.rule(alert.rule) or _without_rule(alert)
    return alert_line(alert, rule, rules.runbook(rule))


def _noted(state: EngineState, due: Due) -> Alert:
    # Several receivers may be told of one alert in one round: its latest version is in the state.
    alert = state.alerts[due.alert.fingerprint]
    if due.kind == "resolved":
        return replace(alert, closed=(*alert.closed, due.receiver))
    alert = alert.told_to(due.receiver)
    if due.kind == "reminder":
        return replace(alert, reminders=due.stage + 1)
    if due.kind == "silence-ended":
        return replace(alert, silenced=None, rung=max(alert.rung, 1), waited=0.0)
    return replace(alert, rung=due.stage + 1, waited=0.0)


def _id(kind: MessageKind, receiver: Receiver, group: Iterable[Due]) -> str:
    about = sorted((due.alert.fingerprint, due.alert.opened, due.kind, due.stage) for due in group)
    return sha256(repr((kind, receiver.channel, receiver.to, about)).encode()).hexdigest()[:24]


def _address(receiver: Receiver) -> str:
    return f"{receiver.channel} {receiver.to}"
