"""Dashboard *promise*: does the certificate still hold, how sure is that, and do the labels come."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.expressions import Chosen
from deploy.dashboards.panel import ALARM, Dashboard, Panel, Query, Row, Unit, number
from monitoring.metrics import names

_HERE: Final = Chosen(("job", "instance", "bundle", "window"))
_ALARM_AT: Final = 20.0
"""E-value of an alarm where a promise has one part; with more parts 20 times their number"""
_BOUNDS: Final = ("bundle", "bound")
_LEGEND: Final = "{{bundle}}, {{bound}}"
_EXPIRED, _LABELLED = (
    f"max(increase({_HERE.series(names.AUDITS, matcher)}[1d]))"
    for matcher in ('outcome="expired"', 'outcome="labelled"')
)

_NOW: Final = (
    number(
        "Alarms",
        "Signals of the monitors that stand in alarm; each until a person resets it.",
        _HERE.total(names.PROMISE_ALARM),
        alarm=1,
    ),
    number(
        "Risk at most",
        "Upper end of the 95 % interval of the share of wrong answers; missing labels count as wrong.",
        _HERE.shared(names.PROMISE_RISK_HIGH),
        "ratio",
    ),
    number("Audits", "Audits that count in the monitors.", _HERE.shared(names.PROMISE_AUDITS)),
    number(
        "Labelled",
        "Share labelled of the predictions since the oldest of the last 100 labelled ones.",
        _HERE.shared(names.LABEL_COVERAGE),
        "ratio",
    ),
    number(
        "A label takes",
        "Median time from the prediction to its label.",
        _HERE.shared(names.LABEL_LAG),
        "seconds",
    ),
    number(
        "Audits lost",
        "Share of the audits that ended within a day without a label; each counts as wrong.",
        f"{_EXPIRED} / ({_EXPIRED} + {_LABELLED})",
        "ratio",
        warn=0.1,
    ),
)

_MONITORS: Final = (
    Panel(
        "Evidence",
        "E-value of each signal. It may be read at every moment; an alarm begins at 20 times the parts.",
        (
            Query(
                _HERE.shared(names.PROMISE_E_VALUE, by=("bundle", "part", "signal")),
                "{{signal}} {{part}}, {{bundle}}",
            ),
        ),
        log=True,
        alarm=_ALARM_AT,
    ),
    Panel(
        "Alarms",
        "Broken: the promise is not kept. Worse: than at the beginning. Coverage: fewer answers than proven.",
        (
            Query(
                _HERE.shared(names.PROMISE_ALARM, by=("bundle", "part", "signal")),
                "{{signal}} {{part}}, {{bundle}}",
            ),
        ),
        "states",
        states=ALARM,
    ),
    Panel(
        "Risk of an answer",
        "The share of wrong answers lies between both lines, at every look, with 95 % confidence.",
        (
            Query(_HERE.shared(names.PROMISE_RISK_LOW, by=("bundle",)), "{{bundle}}, low"),
            Query(_HERE.shared(names.PROMISE_RISK_HIGH, by=("bundle",)), "{{bundle}}, high"),
        ),
        unit="ratio",
    ),
    Panel(
        "Audits",
        "Audits that count in the monitor of each bundle since it began.",
        (Query(_HERE.shared(names.PROMISE_AUDITS, by=("bundle",)), "{{bundle}}"),),
    ),
)

_LABELS: Final = (
    Panel(
        "What becomes of audits",
        "Per second: drawn, replaced by another frame of the unit, labelled, or expired without a label.",
        (Query(_HERE.rate(names.AUDITS, by=("bundle", "outcome")), "{{outcome}}, {{bundle}}"),),
        unit="per second",
        width=8,
    ),
    Panel(
        "Share labelled",
        "Of the predictions since the oldest in the window of 100.",
        (Query(_HERE.shared(names.LABEL_COVERAGE, by=("bundle",)), "{{bundle}}"),),
        unit="ratio",
        width=8,
        top=1.0,
    ),
    Panel(
        "Time to a label",
        "Median of the last 100 labels.",
        (Query(_HERE.shared(names.LABEL_LAG, by=("bundle",)), "{{bundle}}"),),
        unit="seconds",
        width=8,
    ),
)


def _window(title: str, about: str, metric: names.Gauge, top: float | None = 1.0) -> Panel:
    """A figure of the answered images in the window; an undefined one is a gap."""
    expression = _HERE.shared(metric, 'series="answered"', by=_BOUNDS)
    unit: Unit = "number" if metric.unit == "number" else "ratio"
    return Panel(title, about, (Query(expression, _LEGEND),), unit=unit, top=top)


_WINDOWS: Final = (
    _window(
        "Accuracy of the answers",
        "In the window of labelled answers, with the ends of its 95 % interval. Labels that clients choose "
        "to send are no random sample: the audits are the evidence.",
        names.WINDOW_ACCURACY,
    ),
    _window(
        "Matthews correlation",
        "1 if every answer is right, 0 if they are worth no more than chance.",
        names.WINDOW_MCC,
    ),
    _window(
        "Precision",
        "Of the images answered as class 1, the share that is; of more classes the mean.",
        names.WINDOW_PRECISION,
    ),
    _window(
        "Recall",
        "Of the images of class 1, the share answered as it; of more classes the mean.",
        names.WINDOW_RECALL,
    ),
)

PROMISE: Final = Dashboard(
    "promise",
    "Does the certificate still hold, how sure is that, and do the labels come?",
    _HERE.variables,
    (
        Row("Now", _NOW),
        Row("Monitors", _MONITORS),
        Row("Labels", _LABELS),
        Row("Window of labelled answers", _WINDOWS),
    ),
)
