"""Dashboard *cascade*: what is answered, by which stage, why not, and where the time goes."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.expressions import Chosen
from deploy.dashboards.panel import Dashboard, Panel, Query, Row, State, number
from monitoring.metrics import names

_HERE: Final = Chosen(("job", "instance", "bundle", "window"))
_STEP: Final = names.INFERENCE_DURATION
_IMAGES: Final = _HERE.rate(names.DECISIONS)
_ANSWERED: Final = _HERE.rate(names.DECISIONS, 'decision="answer"')
_BY_B: Final = _HERE.rate(names.DECISIONS, 'stage="B"')
_BOUNDS: Final = ("bundle", "bound")
_LEGEND: Final = "{{bundle}}, {{bound}}"
_CERTIFIED: Final[tuple[State, ...]] = ((0, "answers nothing", "red"), (1, "certified", "green"))

_NOW: Final = (
    number("Images", "Images decided per second.", _IMAGES, "per second"),
    number("Answered", "Share of the images that were answered.", f"{_ANSWERED} / {_IMAGES}", "ratio"),
    number("Stage B", "Share of the images that stage A passed on.", f"{_BY_B} / {_IMAGES}", "ratio"),
    number(
        "Stage A takes",
        "Mean time of stage A for one image.",
        _HERE.mean(_STEP, 'step="stage_a"'),
        "seconds",
    ),
    number(
        "Stage B takes",
        "Mean time of stage B for one image that reaches it.",
        _HERE.mean(_STEP, 'step="stage_b"'),
        "seconds",
    ),
    number("At work", "Images being computed now.", _HERE.total(names.IN_FLIGHT)),
)

_DECISIONS: Final = (
    Panel(
        "Decisions",
        "Images per second, by decision and by the last stage that was computed.",
        (Query(_HERE.rate(names.DECISIONS, by=("decision", "stage")), "{{decision}}, stage {{stage}}"),),
        "stack",
        "per second",
    ),
    Panel(
        "Why not answered",
        "Abstentions per second: ambiguous images are hard, atypical ones unlike those of the certificate.",
        (Query(_HERE.rate(names.ABSTENTIONS, by=("reason",)), "{{reason}}"),),
        "stack",
        "per second",
    ),
    Panel(
        "Answered of the last predictions",
        "Coverage in the window, with the ends of its 95 % interval.",
        (Query(_HERE.shared(names.WINDOW_COVERAGE, by=_BOUNDS), _LEGEND),),
        unit="ratio",
        top=1.0,
    ),
    Panel(
        "Stage B of the last predictions",
        "Share that stage A passed on, with the ends of its 95 % interval. More of them take more time.",
        (Query(_HERE.shared(names.WINDOW_STAGE_B, by=_BOUNDS), _LEGEND),),
        unit="ratio",
        top=1.0,
    ),
)

_TIME: Final = (
    Panel(
        "Time of each step",
        "95 % of the images take at most this long in a step.",
        (Query(_HERE.quantile(0.95, _STEP, by=("step",)), "{{step}}"),),
        unit="seconds",
        log=True,
    ),
    Panel(
        "Threads busy",
        "Seconds of each step per second: how many threads it keeps busy.",
        (
            Query(
                _HERE.spent(_STEP, 'step!="queue"', by=("step",)),
                "{{step}}",
            ),
        ),
        "stack",
    ),
    Panel(
        "Images in a batch",
        "Mean size of the batches of a stage; none if it computes images one by one.",
        (Query(_HERE.mean(names.BATCH_SIZE, by=("stage",)), "stage {{stage}}"),),
    ),
    Panel(
        "Waiting for a batch",
        "Decoded images that wait for the next batch of a stage.",
        (Query(_HERE.total(names.STAGE_QUEUE_DEPTH, by=("stage",)), "stage {{stage}}"),),
    ),
)

_BUNDLES: Final = (
    Panel(
        "Share of the units",
        "Which bundle answers how many of the units; 0 for shadows and for bundles that have left.",
        (Query(_HERE.shared(names.BUNDLE_SHARE, by=("bundle",)), "{{bundle}}"),),
        unit="ratio",
        top=1.0,
    ),
    Panel(
        "Certified here",
        "Whether a bundle has a feasible certificate for the engine of this machine.",
        (Query(_HERE.shared(names.BUNDLE_PROMISE, by=("bundle",)), "{{bundle}}"),),
        "states",
        states=_CERTIFIED,
    ),
)

CASCADE: Final = Dashboard(
    "cascade",
    "What is answered, by which stage, why not, and where does the time go?",
    _HERE.variables,
    (Row("Now", _NOW), Row("Decisions", _DECISIONS), Row("Time", _TIME), Row("Bundles", _BUNDLES)),
)
