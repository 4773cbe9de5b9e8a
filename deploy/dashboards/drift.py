"""Dashboard *drift*: are the images still those of the reference, by which signal not, and what it costs."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.expressions import Chosen
from deploy.dashboards.panel import ALARM, Dashboard, Panel, Query, Row, number
from monitoring.metrics import names

_HERE: Final = Chosen(("job", "instance", "bundle", "window"))
_BY_SIGNAL: Final = ("bundle", "signal")
_PLAIN: Final = 'signal!="joint"'

_NOW: Final = (
    number("Alarms", "Bundles in alarm.", _HERE.total(names.DRIFT_ALARM), alarm=1),
    number("Images", "Images in the last window that was compared.", _HERE.shared(names.DRIFT_IMAGES)),
    number(
        "Smallest p value",
        "Of all signals of the last window, adjusted for their number.",
        f"min({_HERE.series(names.DRIFT_P_VALUE)})",
    ),
    number(
        "Furthest moved",
        "Largest population stability index of the signals; above .25 is far.",
        _HERE.shared(names.DRIFT_PSI),
        warn=0.25,
    ),
    number(
        "Expected accuracy",
        "By the model's own probabilities, without labels.",
        f"min({_HERE.series(names.EXPECTED_ACCURACY)})",
        "ratio",
    ),
    number(
        "Expected risk",
        "Share of wrong answers by the model's own probabilities, without labels.",
        _HERE.shared(names.EXPECTED_RISK),
        "ratio",
    ),
)

_WINDOWS: Final = (
    Panel(
        "Alarms",
        "While the last window has moved away from its reference. It says nothing about right and wrong.",
        (Query(_HERE.shared(names.DRIFT_ALARM, by=("bundle",)), "{{bundle}}"),),
        "states",
        states=ALARM,
    ),
    Panel(
        "Images drawn",
        "Per second: kept for the next window, shed because no core was free, or failed.",
        (Query(_HERE.rate(names.DRIFT_SAMPLES, by=("outcome",)), "{{outcome}}"),),
        "stack",
        "per second",
    ),
)

_SIGNALS: Final = (
    Panel(
        "Surprise",
        "P value of each signal, adjusted for all of them; `joint` tests all numbers together. Small is far.",
        (Query(f"min by (bundle, signal) ({_HERE.series(names.DRIFT_P_VALUE)})", "{{signal}}, {{bundle}}"),),
        log=True,
        top=1.0,
        height=10,
    ),
    Panel(
        "How far each signal moved",
        "Population stability index: below .1 hardly, above .25 far. It has no error rate.",
        (Query(_HERE.shared(names.DRIFT_PSI, _PLAIN, by=_BY_SIGNAL), "{{signal}}, {{bundle}}"),),
        alarm=0.25,
        height=10,
    ),
)

_COST: Final = (
    Panel(
        "Accuracy",
        "Expected by the model's own probabilities, beside that of the labelled predictions in the window.",
        (
            Query(_HERE.shared(names.EXPECTED_ACCURACY, by=("bundle",)), "{{bundle}}, expected"),
            Query(
                _HERE.shared(names.WINDOW_ACCURACY, 'series="all"', by=("bundle", "bound")),
                "{{bundle}}, labelled, {{bound}}",
            ),
        ),
        unit="ratio",
        top=1.0,
    ),
    Panel(
        "Risk of an answer",
        "Expected by the model's own probabilities, beside the interval that the audits prove. If it lies "
        "outside, the probabilities no longer mean what they did.",
        (
            Query(_HERE.shared(names.EXPECTED_RISK, by=("bundle",)), "{{bundle}}, expected"),
            Query(_HERE.shared(names.PROMISE_RISK_LOW, by=("bundle",)), "{{bundle}}, audited, low"),
            Query(_HERE.shared(names.PROMISE_RISK_HIGH, by=("bundle",)), "{{bundle}}, audited, high"),
        ),
        unit="ratio",
    ),
)

DRIFT: Final = Dashboard(
    "drift",
    "Are the images still those of the reference, by which signal not, and what does it cost?",
    _HERE.variables,
    (
        Row("Last window", _NOW),
        Row("Windows", _WINDOWS),
        Row("Signals", _SIGNALS),
        Row("What it costs", _COST),
    ),
)
