"""Dashboard *experiment*: champion, challengers and shadows side by side."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.expressions import Chosen
from deploy.dashboards.panel import Dashboard, Panel, Query, Row
from monitoring.metrics import names

_HERE: Final = Chosen(("job", "instance", "bundle", "experiment", "window"))
_BOUNDS: Final = ("bundle", "bound")
_LEGEND: Final = "{{bundle}}, {{bound}}"

_ARMS: Final = (
    Panel(
        "Share of the units",
        "What each bundle is dealt; each change opens a stratum of its own.",
        (Query(_HERE.shared(names.BUNDLE_SHARE, by=("bundle",)), "{{bundle}}"),),
        "stack",
        "ratio",
        top=1.0,
    ),
    Panel(
        "Images of each bundle",
        "Images decided per second; shadows decide those that others have answered.",
        (Query(_HERE.rate(names.DECISIONS, by=("bundle",)), "{{bundle}}"),),
        unit="per second",
    ),
)

_OF_ARM: Final = ("experiment", "arm", "metric")

_EXPERIMENT: Final = (
    Panel(
        "Challenger minus control",
        "Difference of each metric by stratum; the interval is valid at every look. It says better or worse "
        "once it excludes 0.",
        (
            Query(_HERE.shared(names.EXPERIMENT_DIFFERENCE, by=_OF_ARM), "{{metric}} of {{arm}}, value"),
            Query(_HERE.shared(names.EXPERIMENT_DIFFERENCE_LOW, by=_OF_ARM), "{{metric}} of {{arm}}, low"),
            Query(_HERE.shared(names.EXPERIMENT_DIFFERENCE_HIGH, by=_OF_ARM), "{{metric}} of {{arm}}, high"),
        ),
        bottom=-0.25,
        top=0.25,
        width=24,
        height=10,
    ),
    Panel(
        "Units of each arm",
        "Units that each arm has had.",
        (Query(_HERE.shared(names.EXPERIMENT_UNITS, by=("experiment", "arm")), "{{experiment}}, {{arm}}"),),
        width=8,
    ),
    Panel(
        "Sample ratio",
        "Evidence that units are not dealt in the designed shares; from 1,000 on no conclusion is drawn.",
        (Query(_HERE.shared(names.EXPERIMENT_SAMPLE_RATIO, by=("experiment",)), "{{experiment}}"),),
        width=8,
        log=True,
        alarm=1000,
    ),
    Panel(
        "Withdrawn",
        "Challengers that have left within an hour, by the guardrail or the person that withdrew them.",
        (
            Query(
                _HERE.hourly(names.EXPERIMENT_WITHDRAWALS, by=("experiment", "reason")),
                "{{experiment}}, {{reason}}",
            ),
        ),
        width=8,
    ),
)

_SIDE_BY_SIDE: Final = (
    Panel(
        "Accuracy of the answers",
        "In the window of labelled answers, with the ends of its 95 % interval. Not a test: it may be that "
        "one bundle had the harder hour.",
        (Query(_HERE.shared(names.WINDOW_ACCURACY, 'series="answered"', by=_BOUNDS), _LEGEND),),
        unit="ratio",
        top=1.0,
    ),
    Panel(
        "Coverage",
        "Share answered of the last predictions, with the ends of its 95 % interval.",
        (Query(_HERE.shared(names.WINDOW_COVERAGE, by=_BOUNDS), _LEGEND),),
        unit="ratio",
        top=1.0,
    ),
    Panel(
        "Risk of an answer",
        "The interval that the audits of each bundle prove, valid at every look.",
        (
            Query(_HERE.shared(names.PROMISE_RISK_LOW, by=("bundle",)), "{{bundle}}, low"),
            Query(_HERE.shared(names.PROMISE_RISK_HIGH, by=("bundle",)), "{{bundle}}, high"),
        ),
        unit="ratio",
    ),
    Panel(
        "Shadows",
        "Images offered to each shadow per second; under load they are shed first.",
        (Query(_HERE.rate(names.SHADOWS, by=("bundle", "outcome")), "{{bundle}}, {{outcome}}"),),
        "stack",
        "per second",
    ),
)

EXPERIMENT: Final = Dashboard(
    "experiment",
    "Which bundle is better, and is the comparison sound?",
    _HERE.variables,
    (Row("Arms", _ARMS), Row("Comparison", _EXPERIMENT), Row("Side by side", _SIDE_BY_SIDE)),
)
