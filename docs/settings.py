"""Write docs/settings.md, the table of all environment variables: `python docs/settings.py`.

Names, defaults, limits and meanings come from `service/settings.py`; a test compares the page with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pages.fields import default, limits, meanings, row

from service.environment import OTHER_VARIABLES, variable_of
from service.settings import Settings

OUT = Path(__file__).with_suffix(".md")
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Serving": ("bundle", "host", "port", "workers", "cores", "engine", "precision", "batch"),
    "Fleet": ("registry", "follow", "keep_previous", "service_name"),
    "Private port": ("admin_port", "admin_host", "admin_token", "bundles", "prepare_timeout"),
    "Signatures": ("signatures", "trusted_keys"),
    "Store and event log": (
        *("redis_url", "redis_timeout", "data_dir", "model", "windows", "prediction_ttl", "parked_ttl"),
        *("events_kept", "event_log", "event_log_bytes", "event_log_days"),
    ),
    "Limits of a request": (
        *("max_image_bytes", "max_pixels", "max_batch_images", "max_batch_bytes", "max_header_bytes"),
        *("header_timeout", "body_timeout", "queue_limit", "deadline", "compute_timeout"),
        "live_listeners",
    ),
    "Alerts": ("alerts",),
    "Quotas": ("quota_rate", "quota_burst", "quota_clients"),
    "Challengers": ("challengers", "experiment", "experiment_salt", "shadow_images", "shadow_bytes"),
    "Drift": ("drift_images", "drift_false_alarms", "drift_season"),
    "Labels, stopping, log": (
        *("feedback_tokens", "trust_open_labels", "audit_share", "audit_gap", "audit_wait"),
        *("missing_audits", "on_broken_promise", "baseline_risk"),
        *("drain", "stop_timeout"),
        *("log_level", "log_format", "log_stream", "log_file", "log_bytes", "log_files"),
    ),
}
OTHERS: Mapping[str, str] = {
    "DEMUR_DEBUG": "Any value: every verb ends with the traceback of an error instead of one line.",
    "DEMUR_LEDGER": "Ledger of calibration splits: a folder or the URL of a Redis server, which may be "
    "shared; by default a folder in the data folder of the user (`docs/promise.md`).",
    "DEMUR_WEIGHTS": "Folder of pretrained weights that `demur train` may choose for stage B "
    "(`docs/backbones.md`).",
    "DEMUR_SLOW": "`1`: the Monte Carlo and soak tests run in full (`make slow`).",
    "DEMUR_RECORD": "Folder into which the slow tests write their records (`docs/measurements`).",
}
"""Variables outside of the service's settings."""


def page() -> str:
    """Text of docs/settings.md."""
    said = meanings(Settings)
    parts = [
        "# Settings and environment variables",
        "",
        "`demur serve` takes every setting from its options first, from the environment second and from "
        "the file of `--env-file` third, which `demur init --serve serve.env` writes with all of them; the "
        "variable of a setting `x_y` is `DEMUR_X_Y`. Empty variables count as not set; a variable that "
        "begins with `DEMUR_` and is no setting is named in the log at the start. A faulty value ends the "
        "start with one line that names the variable, its value and what is allowed. `python "
        "docs/settings.py` writes this page.",
    ]
    for title, names in SECTIONS.items():
        parts += ["", f"## {title}", "", "| variable | default | meaning | range |", "|---|---|---|---|"]
        for name in names:
            shown = default(Settings.model_fields[name])
            parts.append(row(f"`{variable_of(name)}`", shown, said[name], limits(Settings, name)))
    parts += ["", "## Other variables", "", "| variable | meaning |", "|---|---|"]
    parts += [row(f"`{name}`", meaning) for name, meaning in OTHERS.items()]
    return "\n".join(parts) + "\n"


assert set(OTHERS) <= OTHER_VARIABLES, "a variable that the service would call misspelt"

if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
