"""The metrics of `/metrics`: kind, unit, labels and meaning, from the one file that names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitoring.metrics import names
from pages.fields import row

_HEAD = """# Metrics

`GET /metrics` shows these in Prometheus' text format. A counter only grows, until the service restarts; a
gauge has the value of now; a histogram has a `_bucket`, a `_sum` and a `_count`. `ratio` is a share from 0 to
1, `flag` is 0 or 1, and `number` any other figure without a dimension. One scrape of any worker covers all
workers of the service.
"""
_SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Windows and labels": ("demur_rolling", "demur_window", "demur_label"),
    "Promise and audits": ("demur_promise", "demur_audits"),
    "Drift": ("demur_drift", "demur_expected"),
    "Alerts": ("demur_alert",),
    "Experiments": ("demur_experiment",),
    "Events and store": ("demur_event", "demur_redis"),
    "Requests, images and bundles": ("http_", "demur_"),
}
"""Section -> beginnings of its names; the first section that fits has the metric"""


def page() -> str:
    sections: dict[str, list[names.Metric]] = {title: [] for title in _SECTIONS}
    for metric in names.by_name().values():
        sections[_section(metric.name)].append(metric)
    parts = [_HEAD]
    for title, metrics in reversed(sections.items()):
        if metrics:
            parts += [f"\n## {title}\n", "| metric | kind, unit | labels | meaning |", "|---|---|---|---|"]
            parts += [_row(metric) for metric in metrics]
    return "\n".join(parts) + "\n"


def _section(name: str) -> str:
    return next(title for title, beginnings in _SECTIONS.items() if name.startswith(beginnings))


def _row(metric: names.Metric) -> str:
    kind = type(metric).__name__.lower()
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return row(f"`{metric.name}`", f"{kind}, {metric.unit}", labels, metric.help)
