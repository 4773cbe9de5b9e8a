"""Every Prometheus metric of demur: its name, kind, unit, labels and meaning. No other file names a metric.

Base units, `_total` for counters, and bounded labels only: a route template, never a path or an id. A new
name ends in its base unit, as in `_seconds`, `_bytes` and `_ratio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bucket bounds that OpenTelemetry recommends for the duration of HTTP requests."""

STEP_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

AcrossWorkers = Literal["sum", "latest"]

BaseUnit = Literal["seconds", "bytes", "ratio"]
Unit = (
    BaseUnit
    | Literal["flag", "number"]
    | Literal["images", "requests", "refusals", "workers", "predictions", "events", "audits"]
    | Literal["units", "alerts", "notifications", "messages", "heartbeats", "withdrawals"]
)
"""What a value counts or measures: `ratio` a share from 0 to 1, `flag` 0 or 1, `number` any other figure
without a dimension (a correlation, an e-value)."""


@dataclass(frozen=True, slots=True)
class Counter:
    name: str
    unit: Unit
    help: str
    labels: tuple[str, ...] = ()
    in_store: bool = False
    """Whether the store counts for all workers, which only show its figure."""


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    unit: Unit
    help: str
    labels: tuple[str, ...] = ()
    across_workers: AcrossWorkers = "latest"
    """How the values of several workers are combined."""


@dataclass(frozen=True, slots=True)
class Histogram:
    name: str
    unit: Unit
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS


Metric = Counter | Gauge | Histogram


def by_name() -> dict[str, Metric]:
    """Every metric of this file."""
    return {spec.name: spec for spec in globals().values() if isinstance(spec, Metric)}


HTTP_DURATION = Histogram(
    "http_server_request_duration_seconds",
    "seconds",
    "Time from the head of the request to the last byte of the response.",
    ("method", "route", "status"),
)
INFERENCE_DURATION = Histogram(
    "demur_inference_duration_seconds",
    "seconds",
    "Time of one step for one image: queue, read, decode, stage_a, stage_b.",
    ("step",),
    STEP_SECONDS,
)
DECISIONS = Counter(
    "demur_decisions_total",
    "images",
    "Images decided; `stage` is the last stage that was computed.",
    ("bundle", "stage", "decision"),
)
BUNDLE_SHARE = Gauge(
    "demur_bundle_share",
    "ratio",
    "Share of the units that a bundle answers; 0 for a shadow, or after it has stopped serving.",
    ("bundle",),
)
ENGINE_INFO = Gauge(
    "demur_engine_info",
    "flag",
    "1 for the engine, precision, provider and runtime, as obtained, that compute a bundle.",
    ("bundle", "engine", "precision", "provider", "runtime"),
)
ABSTENTIONS = Counter(
    "demur_abstentions_total",
    "images",
    "Images not answered: ambiguous, atypical, suspended, or no-promise if the bundle may not answer at all.",
    ("bundle", "reason"),
)
BUNDLE_PROMISE = Gauge(
    "demur_bundle_promise",
    "flag",
    "1 if a bundle has a feasible certificate here; 0 if it may not answer at all.",
    ("bundle",),
)
SHADOWS = Counter(
    "demur_shadows_total",
    "images",
    "Images offered to a shadow bundle: answer, abstain, shed (no thread was free) or failed.",
    ("bundle", "outcome"),
)
DRIFT_SAMPLES = Counter(
    "demur_drift_samples_total",
    "images",
    "Images drawn for the drift signals: kept, shed (no thread was free) or failed.",
    ("outcome",),
)
DRIFT_ALARM = Gauge(
    "demur_drift_alarm",
    "flag",
    "1 while the last window of images has moved away from its reference.",
    ("bundle",),
)
DRIFT_PSI = Gauge(
    "demur_drift_psi",
    "number",
    "Population stability index of a signal in the last window; descriptive.",
    ("bundle", "signal"),
)
DRIFT_P_VALUE = Gauge(
    "demur_drift_p_value",
    "number",
    "P value of a signal in the last window, adjusted for all signals; `joint` is the test of all numbers "
    "together.",
    ("bundle", "signal"),
)
DRIFT_IMAGES = Gauge(
    "demur_drift_images", "images", "Images in the last window that was compared.", ("bundle",)
)
EXPECTED_ACCURACY = Gauge(
    "demur_expected_accuracy",
    "ratio",
    "Accuracy in the last window by the model's own probabilities, without labels.",
    ("bundle",),
)
EXPECTED_RISK = Gauge(
    "demur_expected_risk",
    "ratio",
    "Share of wrong answers in the last window by the model's own probabilities, without labels.",
    ("bundle",),
)
REFUSALS = Counter(
    "demur_refusals_total",
    "refusals",
    "Requests and images refused, by the type of the problem document.",
    ("problem",),
)
ADMIN_REFUSALS = Counter(
    "demur_admin_refusals_total",
    "requests",
    "Admin requests refused because their token was missing or wrong.",
    ("token",),
)
FEEDBACK_REFUSALS = Counter(
    "demur_feedback_refusals_total",
    "requests",
    "Requests with labels refused because their token was missing or wrong.",
    ("token",),
)
OVERRUNS = Counter(
    "demur_compute_overruns_total",
    "images",
    "Images on which a bundle's model computed for too long; each costs a thread, or a restart of a worker.",
    ("bundle",),
)
WORKERS_LOST = Counter(
    "demur_workers_lost_total",
    "workers",
    "Workers that ended unasked, or were replaced after a computation without end: died, compute_overrun.",
    ("why",),
)
QUEUE_DEPTH = Gauge(
    "demur_queue_depth", "images", "Images waiting for a worker thread.", across_workers="sum"
)
STAGE_QUEUE_DEPTH = Gauge(
    "demur_stage_queue_depth",
    "images",
    "Decoded images waiting for the next batch of a stage.",
    ("stage",),
    "sum",
)
BATCH_SIZE = Histogram(
    "demur_batch_size",
    "images",
    "Images in a batch of one stage; not counted if the stage computes images one by one.",
    ("stage",),
    (1, 2, 4, 8, 16, 32, 64),
)
IN_FLIGHT = Gauge("demur_images_in_flight", "images", "Images being computed now.", across_workers="sum")

EVENTS_DELIVERED = Counter(
    "demur_events_delivered_total",
    "events",
    "Events that reached the rolling windows, by outcome.",
    ("kind", "outcome"),
)
EVENTS_DROPPED = Counter(
    "demur_events_dropped_total",
    "events",
    "Events lost: there was no room left for them, or they could not be stored.",
    ("kind",),
)
EVENTS_UNLOGGED = Counter(
    "demur_events_unlogged_total",
    "events",
    "Events that reached the windows but not the log, so a store that loses its memory loses them.",
    ("kind",),
)
EVENT_LOG_UP = Gauge("demur_event_log_up", "flag", "0 while events cannot be written to the log on disk.")
DATA_AVAILABLE = Gauge(
    "demur_data_available_bytes", "bytes", "Free space of the file system that holds the data folder."
)
EVENTS_WAITING = Gauge(
    "demur_events_waiting", "events", "Events that the store does not have yet.", across_workers="sum"
)
REDIS_UP = Gauge(
    "demur_redis_up",
    "flag",
    "1 while the store of the rolling windows answers; NaN for a service that has none.",
)

ROLLING_MCC = Gauge(
    "demur_rolling_mcc",
    "number",
    "Matthews correlation of the last 100 labelled predictions; 0 if it is undefined.",
    ("bundle", "series"),
)
ROLLING_MCC_UNDEFINED = Gauge(
    "demur_rolling_mcc_undefined",
    "flag",
    "1 if the denominator of the Matthews correlation is zero, so that its 0 means nothing.",
    ("bundle", "series"),
)
ROLLING_ACC = Gauge(
    "demur_rolling_acc",
    "ratio",
    "Accuracy of the last 10 labelled predictions.",
    ("bundle", "series"),
)
ROLLING_ACC_LOW = Gauge(
    "demur_rolling_acc_low",
    "ratio",
    "Lower end of the Wilson 95 % interval of the rolling ACC.",
    ("bundle", "series"),
)
ROLLING_ACC_HIGH = Gauge(
    "demur_rolling_acc_high",
    "ratio",
    "Upper end of the Wilson 95 % interval of the rolling ACC.",
    ("bundle", "series"),
)
ROLLING_REWARD = Gauge(
    "demur_rolling_reward",
    "number",
    "Reward of the roadwork task, (0.5 MCC@100 + 0.5 ACC@10)^3, of its bundles.",
    ("bundle", "series"),
)
ROLLING_N = Gauge(
    "demur_rolling_n", "predictions", "Labelled predictions in the window of 100.", ("bundle", "series")
)
WINDOW_LABELLED = Gauge(
    "demur_window_labelled",
    "predictions",
    "Labelled predictions in a window.",
    ("bundle", "series", "window"),
)
_OF_WINDOW = ("bundle", "series", "window", "bound")
WINDOW_ACCURACY = Gauge(
    "demur_window_accuracy",
    "ratio",
    "Accuracy of the labelled predictions in a window; `bound` is value, low or high, the ends of its "
    "95 % interval. `bundle` is `total` for all bundles together.",
    _OF_WINDOW,
)
WINDOW_MCC = Gauge(
    "demur_window_mcc",
    "number",
    "Matthews correlation of the labelled predictions in a window; 0 if it is undefined.",
    _OF_WINDOW,
)
WINDOW_PRECISION = Gauge(
    "demur_window_precision",
    "ratio",
    "Precision of class 1 in a window; of more than two classes the mean over the predicted ones.",
    _OF_WINDOW,
)
WINDOW_RECALL = Gauge(
    "demur_window_recall",
    "ratio",
    "Recall of class 1 in a window; of more than two classes the mean over the labelled ones.",
    _OF_WINDOW,
)
WINDOW_SPECIFICITY = Gauge(
    "demur_window_specificity",
    "ratio",
    "Specificity of class 1 in a window; of more than two classes the mean, each against the rest.",
    _OF_WINDOW,
)
WINDOW_COVERAGE = Gauge(
    "demur_window_coverage",
    "ratio",
    "Share answered of the last predictions, labelled or not.",
    ("bundle", "window", "bound"),
)
WINDOW_STAGE_B = Gauge(
    "demur_window_stage_b",
    "ratio",
    "Share of the last predictions that went to stage B.",
    ("bundle", "window", "bound"),
)
LABEL_COVERAGE = Gauge(
    "demur_label_coverage",
    "ratio",
    "Share labelled of the predictions since the oldest in the window of 100.",
    ("bundle",),
)
LABEL_LAG = Gauge(
    "demur_label_lag_seconds",
    "seconds",
    "Median time from prediction to label, of the last 100 labels.",
    ("bundle",),
)

ALERTS = Gauge(
    "demur_alerts",
    "alerts",
    "Alerts of a rule that are pending, firing, acknowledged or escalated.",
    ("rule", "severity", "state"),
)
ALERT_NOTIFICATIONS = Counter(
    "demur_alert_notifications_total",
    "notifications",
    "Tries to deliver a message: delivered, refused, or unknown if no answer came.",
    ("channel", "outcome"),
)
ALERT_OUTBOX = Gauge(
    "demur_alert_outbox_messages", "messages", "Messages of the alerts that no receiver has yet."
)
ALERT_EVALUATED = Gauge(
    "demur_alert_evaluated_timestamp_seconds",
    "seconds",
    "Unix time of the last completed evaluation of the alerts.",
)
ALERT_HEARTBEATS = Counter(
    "demur_alert_heartbeats_total",
    "heartbeats",
    "Signs of life of the alerts: delivered, refused, or unknown if no answer came.",
    ("outcome",),
)

PROMISE_E_VALUE = Gauge(
    "demur_promise_e_value",
    "number",
    "Evidence of a signal (broken, worse, coverage) in a promised part; it alarms at 20 times the parts.",
    ("bundle", "part", "signal"),
)
PROMISE_ALARM = Gauge(
    "demur_promise_alarm",
    "flag",
    "1 from the alarm of a signal until a person resets it.",
    ("bundle", "part", "signal"),
)
PROMISE_RISK_LOW = Gauge(
    "demur_promise_risk_low",
    "ratio",
    "Lower end of the 95 % interval of the risk, valid at every look; missing labels count as wrong.",
    ("bundle",),
)
PROMISE_RISK_HIGH = Gauge(
    "demur_promise_risk_high",
    "ratio",
    "Upper end of the 95 % interval of the risk, valid at every look; missing labels count as wrong.",
    ("bundle",),
)
PROMISE_AUDITS = Gauge(
    "demur_promise_audits",
    "audits",
    "Audits that count in the monitor of a bundle since it began.",
    ("bundle",),
)
AUDITS = Counter(
    "demur_audits_total",
    "audits",
    "Answers that asked for a label: drawn, replaced (by another frame of the unit), labelled, expired.",
    ("bundle", "outcome"),
    in_store=True,
)
EXPERIMENT_UNITS = Gauge(
    "demur_experiment_units",
    "units",
    "Units that an arm of the running experiment has had.",
    ("experiment", "arm"),
)
EXPERIMENT_SAMPLE_RATIO = Gauge(
    "demur_experiment_sample_ratio_e_value",
    "number",
    "Highest e-value so far against the designed shares of the units; 1,000 blocks every conclusion.",
    ("experiment",),
)
EXPERIMENT_DIFFERENCE = Gauge(
    "demur_experiment_difference",
    "number",
    "Challenger minus control in a metric, by stratum; NaN without data.",
    ("experiment", "arm", "metric"),
)
EXPERIMENT_DIFFERENCE_LOW = Gauge(
    "demur_experiment_difference_low",
    "number",
    "Lower end of the interval of the difference, valid at every look; NaN without data.",
    ("experiment", "arm", "metric"),
)
EXPERIMENT_DIFFERENCE_HIGH = Gauge(
    "demur_experiment_difference_high",
    "number",
    "Upper end of the interval of the difference, valid at every look; NaN without data.",
    ("experiment", "arm", "metric"),
)
EXPERIMENT_WITHDRAWALS = Counter(
    "demur_experiment_withdrawals_total",
    "withdrawals",
    "Challengers that have left a running experiment: guardrail NAME, mismatch or request.",
    ("experiment", "reason"),
)
CHAMPION_GENERATION = Gauge(
    "demur_champion_generation",
    "number",
    "Generation of its fleet that this service serves: the number of the record in the registry.",
    ("fleet",),
)
FLEET_STALE = Gauge(
    "demur_fleet_stale",
    "flag",
    "1 while the registry of the fleet does not answer, so that this service may lag.",
    ("fleet",),
)
PROMOTION_PHASE = Gauge(
    "demur_promotion_phase",
    "flag",
    "1 for the phase of a fleet's promotion, running or last: gates, prepare, shadow, canary, approval, "
    "everything, promoted or rolled-back; 0 for the phases before it.",
    ("fleet", "phase"),
)
