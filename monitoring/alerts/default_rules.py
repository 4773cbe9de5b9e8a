"""Default rules: what is watched where the file names no rules, or says `built_in: true`."""

from __future__ import annotations

from typing import Any, Final

from monitoring.alerts.rules import Rule

_DEFAULTS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "promise-broken",
        "signal": "promise_broken",
        "above": 0.5,
        "severity": "critical",
        "action": "Look at the audits that were wrong. Roll the bundle back, or reset its promise with a "
        "reason once the cause is mended.",
    },
    {
        "name": "promise-worse",
        "signal": "promise_worse",
        "above": 0.5,
        "action": "Compare the latest audits with those of the beginning; the promise may break next.",
    },
    {
        "name": "promise-coverage",
        "signal": "promise_coverage",
        "above": 0.5,
        "action": "See which images are not answered and why; more people may be needed for them.",
    },
    {
        "name": "drift",
        "signal": "drift",
        "above": 0.5,
        "action": "Look at what moved, and have fresh images labelled.",
    },
    {
        "name": "labels-missing",
        "signal": "audits_unlabelled",
        "above": 0.2,
        "of": "low",
        "for": "10m",
        "resolve": 0.1,
        "action": "Ask those who label: audits without a label count as wrong, and break the promise.",
    },
    {
        "name": "store-away",
        "signal": "store_away",
        "above": 0.5,
        "for": "30s",
        "severity": "critical",
        "group_by": ("rule", "service"),
        "action": "Start the store again. Predictions go on; events wait in the log and are sent later.",
    },
    {
        "name": "alerts-without-store",
        "signal": "alerts_without_store",
        "above": 0.5,
        "for": "1m",
        "group_by": ("rule", "service"),
        "action": "Start the store again. Alerts go on from the disk; several services may tell the same.",
    },
    {
        "name": "events-waiting",
        "signal": "events_waiting",
        "above": 1000,
        "for": "2m",
        "resolve": 100,
        "group_by": ("rule", "service"),
        "action": "See whether the store keeps up; beyond its bounds events are dropped and counted.",
    },
    {
        "name": "event-log-failing",
        "signal": "event_log_failing",
        "above": 0.5,
        "for": "30s",
        "severity": "critical",
        "group_by": ("rule", "service"),
        "action": "Make room on the disk of the data folder, or mend its rights.",
    },
    {
        "name": "errors",
        "signal": "error_share",
        "above": 0.01,
        "of": "low",
        "for": "1m",
        "resolve": 0.005,
        "resolve_after": "2m",
        "severity": "critical",
        "group_by": ("rule", "service"),
        "action": "Read the log of the service for the requests that failed.",
    },
    {
        "name": "latency",
        "signal": "latency",
        "above": 5,
        "for": "5m",
        "resolve": 2.5,
        "group_by": ("rule", "service"),
        "action": "Add workers or cores, or send fewer images at a time.",
    },
    {
        "name": "sample-ratio-mismatch",
        "signal": "sample_ratio",
        "above": 1000,
        "severity": "critical",
        "group_by": ("rule", "experiment"),
        "action": "Conclude nothing from the experiment; find out why units are lost or dealt otherwise.",
    },
    {
        "name": "experiment-withdrawn",
        "signal": "experiment_withdrawn",
        "above": 0.5,
        "group_by": ("rule", "experiment"),
        "action": "Read the experiment's report: a guardrail has withdrawn an arm.",
    },
    {
        "name": "promotion-rolled-back",
        "signal": "promotion_rolled_back",
        "above": 0.5,
        "group_by": ("rule", "fleet"),
        "action": "Read the report of the promotion: a gate, a step or a person has ended it; the champion "
        "before it serves.",
    },
    {
        "name": "messages-undelivered",
        "signal": "messages_undelivered",
        "above": 300,
        "resolve": 60,
        "group_by": ("rule", "channel"),
        "action": "Try the channel with `demur alerts test`; messages wait and are sent when it works again.",
    },
)

DEFAULT_RULES: Final[tuple[Rule, ...]] = tuple(Rule.model_validate(rule) for rule in _DEFAULTS)
"""The built-in rules"""


def own_rules(silent_after: float) -> tuple[Rule, Rule]:
    """The rules over the alerts themselves, which every engine has: signals that have gone silent, and a
    rules file that was changed and has faults."""
    silent = Rule.model_validate(
        {
            "name": "signal-silent",
            "signal": "signal_silent",
            "above": silent_after,
            "resolve_after": 0,
            "group_by": ("rule",),
            "action": "Find out why the signal has no data; until then its rule neither fires nor resolves.",
        }
    )
    refused = Rule.model_validate(
        {
            "name": "rules-refused",
            "signal": "rules_refused",
            "above": 0.5,
            "resolve_after": 0,
            "group_by": ("rule", "service"),
            "action": "Try the file with `demur alerts check`; it is taken as soon as it has no fault.",
        }
    )
    return silent, refused
