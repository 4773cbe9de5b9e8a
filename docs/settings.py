"""Write docs/settings.md, the table of all environment variables: `python docs/settings.py`.

Names, defaults, limits and meanings come from `service/settings.py`; a test compares the page with them.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from service.environment import OTHER_VARIABLES, variable_of
from service.settings import Settings

OUT = Path(__file__).with_suffix(".md")
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Serving": ("bundle", "host", "port", "workers", "cores", "engine", "precision", "batch"),
    "Private port": ("admin_port", "admin_host", "admin_token", "bundles", "prepare_timeout"),
    "Store and event log": (
        *("redis_url", "redis_timeout", "data_dir", "model", "prediction_ttl", "parked_ttl", "events_kept"),
        *("event_log", "event_log_bytes", "event_log_days"),
    ),
    "Limits of a request": (
        *("max_image_bytes", "max_pixels", "max_batch_images", "max_batch_bytes", "max_header_bytes"),
        *("header_timeout", "body_timeout", "queue_limit", "deadline"),
    ),
    "Quotas": ("quota_rate", "quota_burst", "quota_clients"),
    "Challengers": ("challengers", "experiment", "experiment_salt", "shadow_images", "shadow_bytes"),
    "Labels, stopping, log": ("audit_share", "drain", "stop_timeout", "log_level"),
}
OTHERS: Mapping[str, str] = {
    "DEMUR_DEBUG": "Any value: every verb ends with the traceback of an error instead of one line.",
    "DEMUR_LEDGER": "Folder of the ledger of calibration splits, which may be shared; by default one in the "
    "data folder of the user (`docs/promise.md`).",
    "DEMUR_SLOW": "`1`: the Monte Carlo and soak tests run in full (`make slow`).",
    "DEMUR_RECORD": "Folder into which the slow tests write their records (`docs/measurements`).",
}
"""Variables outside of the service's settings."""
_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}


def page() -> str:
    """Text of docs/settings.md."""
    meanings = _meanings()
    parts = [
        "# Settings and environment variables",
        "",
        "`demur serve` takes every setting from its options first and from the environment second; the "
        "variable of a setting `x_y` is `DEMUR_X_Y`. Empty variables count as not set; a variable that "
        "begins with `DEMUR_` and is no setting is named in the log at the start. A faulty value ends the "
        "start with one line that names the variable, its value and what is allowed. `python "
        "docs/settings.py` writes this page.",
    ]
    for title, names in SECTIONS.items():
        parts += ["", f"## {title}", "", "| variable | default | meaning | range |", "|---|---|---|---|"]
        for name in names:
            field = Settings.model_fields[name]
            limits = _limits(field)
            cells = (f"`{variable_of(name)}`", _default(field), _escaped(meanings[name]), _escaped(limits))
            parts.append(f"| {' | '.join(cells)} |")
    parts += ["", "## Other variables", "", "| variable | meaning |", "|---|---|"]
    parts += [f"| `{name}` | {_escaped(meaning)} |" for name, meaning in OTHERS.items()]
    return "\n".join(parts) + "\n"


def _meanings() -> dict[str, str]:
    """Setting -> the docstring below its field."""
    body = ast.parse(inspect.getsource(Settings)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            found[field.target.id] = " ".join(str(text.value.value).split()) if said else ""
    return {name: meaning.replace("None:", "not set:") for name, meaning in found.items()}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none; required"
    value: Any = field.default
    if value is None:
        return "not set"
    if value in ("", ()):
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 2**12 and value % 2**10 == 0:
        return (
            f"`{value}` ({value // 2**20} MiB)" if value % 2**20 == 0 else f"`{value}` ({value // 2**10} KiB)"
        )
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _limits(field: FieldInfo) -> str:
    """Bounds and lengths of a setting, in words."""
    found = []
    schema = Settings.model_json_schema()["properties"]
    own = next((schema[name] for name, other in Settings.model_fields.items() if other is field), {})
    for option in (own, *own.get("anyOf", ())):
        names = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
        found += [_BOUNDS[short].format(f"{option[key]:,}") for key, short in names.items() if key in option]
        if "minLength" in option:
            found.append(f"{option['minLength']} characters or more")
        if "enum" in option:
            found.append("one of " + ", ".join(f"`{value}`" for value in option["enum"]))
    return ", ".join(dict.fromkeys(found))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


assert set(OTHERS) <= OTHER_VARIABLES, "a variable that the service would call misspelt"

if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
