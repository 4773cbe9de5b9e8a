"""Dashboard *service*: is it there, does it answer in time, and does it keep its events."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.expressions import Chosen
from deploy.dashboards.panel import WORKS, Dashboard, Panel, Query, Row, number
from monitoring.metrics import names

_HERE: Final = Chosen(("job", "instance"))
_PREDICTIONS: Final = 'route=~"/predict|/predict/batch|/v2/.*/infer"'
_FAILED: Final = 'status=~"5.."'
_HTTP: Final = names.HTTP_DURATION

_NOW: Final = (
    number("Services up", "Targets that Prometheus reaches.", 'sum(up{job=~"$job", instance=~"$instance"})'),
    number(
        "Predictions",
        "Requests for a prediction per second.",
        _HERE.observed(_HTTP, _PREDICTIONS),
        "per second",
    ),
    number(
        "Failed",
        "Share of the requests for a prediction that ended with a 5xx status.",
        f"({_HERE.observed(_HTTP, _PREDICTIONS, _FAILED)} or vector(0))"
        f" / {_HERE.observed(_HTTP, _PREDICTIONS)}",
        "ratio",
        warn=0.01,
        alarm=0.1,
    ),
    number(
        "Slowest hundredth",
        "Time within which 99 % of the requests for a prediction were answered.",
        _HERE.quantile(0.99, _HTTP, _PREDICTIONS),
        "seconds",
        warn=1.0,
    ),
    number("Images waiting", "Images in the queues of all workers.", _HERE.total(names.QUEUE_DEPTH)),
    number(
        "Events waiting",
        "Events that the store does not have yet.",
        _HERE.total(names.EVENTS_WAITING),
        warn=1000,
    ),
)

_REQUESTS: Final = (
    Panel(
        "Requests by route",
        "Requests per second.",
        (Query(_HERE.observed(_HTTP, by=("route",)), "{{route}}"),),
        "stack",
        "per second",
    ),
    Panel(
        "Answers by status",
        "Answers per second; 499 is a client that went away before its answer.",
        (Query(_HERE.observed(_HTTP, by=("status",)), "{{status}}"),),
        "stack",
        "per second",
    ),
    Panel(
        "Time of a prediction",
        "Median, 95 and 99 % of the requests for a prediction.",
        tuple(Query(_HERE.quantile(q, _HTTP, _PREDICTIONS), f"{100 * q:g} %") for q in (0.5, 0.95, 0.99)),
        unit="seconds",
        alarm=1.0,
    ),
    Panel(
        "Refused",
        "Requests and images refused per second, by the kind of the problem document.",
        (Query(_HERE.rate(names.REFUSALS, by=("problem",)), "{{problem}}"),),
        "stack",
        "per second",
    ),
)

_LOAD: Final = (
    Panel(
        "Images at work and waiting",
        "Images being computed, and images that wait for a thread.",
        (
            Query(_HERE.total(names.IN_FLIGHT), "computed"),
            Query(_HERE.total(names.QUEUE_DEPTH), "waiting for a thread"),
            Query(_HERE.total(names.STAGE_QUEUE_DEPTH, by=("stage",)), "waiting for stage {{stage}}"),
        ),
        width=8,
    ),
    Panel(
        "Workers lost",
        "Workers that died or were replaced, per hour.",
        (Query(_HERE.hourly(names.WORKERS_LOST, by=("instance", "why")), "{{instance}} {{why}}"),),
        width=8,
        alarm=3,
    ),
    Panel(
        "Images computed without end",
        "Images that took a bundle's model longer than its time limit, per hour.",
        (Query(_HERE.hourly(names.OVERRUNS, by=("bundle",)), "{{bundle}}"),),
        width=8,
        alarm=3,
    ),
)

_EVENTS: Final = (
    Panel(
        "Store and event log",
        "Without the store rolling figures stand still; without the log events are safe only in the store.",
        (
            Query(_HERE.series(names.REDIS_UP), "store, {{instance}}"),
            Query(_HERE.series(names.EVENT_LOG_UP), "log, {{instance}}"),
        ),
        "states",
        states=WORKS,
    ),
    Panel(
        "Events delivered and lost",
        "Events per second that reached the store by outcome, and those that were dropped.",
        (
            Query(_HERE.rate(names.EVENTS_DELIVERED, by=("kind", "outcome")), "{{kind}} {{outcome}}"),
            Query(_HERE.rate(names.EVENTS_DROPPED), "dropped"),
            Query(_HERE.rate(names.EVENTS_UNLOGGED), "not in the log"),
        ),
        unit="per second",
    ),
    Panel(
        "Events waiting",
        "They pile up while the store is away, and go down to 0 afterwards.",
        (Query(_HERE.series(names.EVENTS_WAITING), "{{instance}}"),),
        alarm=1000,
    ),
    Panel(
        "Free space",
        "Of the file system that holds the data folder.",
        (Query(_HERE.series(names.DATA_AVAILABLE), "{{instance}}"),),
        unit="bytes",
    ),
)

_EVALUATED: Final = _HERE.shared(names.ALERT_EVALUATED)

_ALERTS: Final = (
    Panel(
        "Alerts of demur's own engine",
        "Alerts by rule, severity and state. An acknowledged one has somebody who sees to it.",
        (
            Query(
                f"{_HERE.shared(names.ALERTS, by=names.ALERTS.labels)} > 0",
                "{{rule}}, {{severity}}, {{state}}",
            ),
        ),
    ),
    Panel(
        "Messages",
        "Tries per second by channel and outcome, and signs of life.",
        (
            Query(
                _HERE.rate(names.ALERT_NOTIFICATIONS, by=("channel", "outcome")), "{{channel}} {{outcome}}"
            ),
            Query(_HERE.rate(names.ALERT_HEARTBEATS, by=("outcome",)), "heartbeat {{outcome}}"),
        ),
        unit="per second",
    ),
    Panel(
        "Messages waiting",
        "Messages that no receiver has yet.",
        (Query(_HERE.series(names.ALERT_OUTBOX), "{{instance}}"),),
    ),
    Panel(
        "Last evaluation",
        "Time since the alerts were evaluated for the last time.",
        (Query(f"time() - ({_EVALUATED} > 0)", "since the last evaluation"),),
        unit="seconds",
        alarm=120,
    ),
)

_DOORS: Final = (
    Panel(
        "Tokens refused",
        "Requests per second with a wrong token or none, to the private port and with labels.",
        (
            Query(_HERE.rate(names.ADMIN_REFUSALS, by=("token",)), "private port, {{token}}"),
            Query(_HERE.rate(names.FEEDBACK_REFUSALS, by=("token",)), "labels, {{token}}"),
        ),
        unit="per second",
    ),
    Panel(
        "What computes",
        "Engine, precision and provider of each bundle, as obtained.",
        (Query(f"{_HERE.shared(names.ENGINE_INFO, by=names.ENGINE_INFO.labels)} == 1"),),
        "table",
    ),
)

_FLEET: Final = (
    Panel(
        "Generation",
        "Number of the record that each service of a fleet serves. One that stays below the others cannot "
        "serve the newest record, or does not reach the registry: its /health says which.",
        (
            Query(
                _HERE.shared(names.CHAMPION_GENERATION, by=("instance", "fleet")), "{{fleet}}: {{instance}}"
            ),
        ),
    ),
    Panel(
        "Without the registry",
        "1 while the registry does not answer a service, so that it may lag.",
        (Query(_HERE.shared(names.FLEET_STALE, by=("instance", "fleet")), "{{fleet}}: {{instance}}"),),
        top=1.0,
        alarm=1.0,
    ),
    Panel(
        "Promotion",
        "The phase of each fleet's promotion, running or last, as the services that follow the registry "
        "read it. It ends in promoted or rolled-back and stays there until the next one begins.",
        (Query(_HERE.shared(names.PROMOTION_PHASE, by=("fleet", "phase")), "{{fleet}}: {{phase}}"),),
        "stack",
        width=24,
    ),
)

SERVICE: Final = Dashboard(
    "service",
    "Is demur there, does it answer in time, and does it keep its events?",
    _HERE.variables,
    (
        Row("Now", _NOW),
        Row("Requests", _REQUESTS),
        Row("Load", _LOAD),
        Row("Events", _EVENTS),
        Row("Alerts", _ALERTS),
        Row("Doors and engines", _DOORS),
        Row("Fleet", _FLEET),
    ),
)
