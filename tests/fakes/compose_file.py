"""docker-compose.yml with the variables of a filled .env."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")
DIGEST = "sha256:" + "a" * 64
FILLED: Mapping[str, str] = {
    "SERVICE_IMAGE": f"demur/service@{DIGEST}",
    "VALKEY_IMAGE": f"valkey/valkey@{DIGEST}",
    "PROMETHEUS_IMAGE": f"prom/prometheus@{DIGEST}",
    "ALERTMANAGER_IMAGE": f"prom/alertmanager@{DIGEST}",
    "GRAFANA_IMAGE": f"grafana/grafana@{DIGEST}",
    "BUNDLES_FOLDER": "./bundles",
    "BUNDLE": "july",
    "DEMUR_ADMIN_TOKEN": "t" * 32,
    "DEMUR_FEEDBACK_TOKENS": f"anna={'f' * 32}",
    "GRAFANA_PASSWORD": "g" * 16,
    "SMTP_PASSWORD_FILE": "./smtp-password",
}


def variables() -> dict[str, tuple[str, str]]:
    """Variable of the file -> ("?", what is said if it is missing) or ("-", its default)."""
    found: dict[str, tuple[str, str]] = {}
    for match in _VARIABLE.finditer(_without_comments()):
        assert match["kind"] is not None, f"{match['name']} has neither a default nor an error"
        found[match["name"]] = (match["kind"], match["rest"])
    return found


def composed(values: Mapping[str, str] = FILLED) -> dict[str, Any]:
    """The file as a compose program reads it. Raises KeyError for a missing variable."""

    def value(match: re.Match[str]) -> str:
        given = values.get(match["name"], "")
        if given:
            return given
        if match["kind"] == "?":
            raise KeyError(match["name"])
        return str(match["rest"])

    return dict(yaml.safe_load(_VARIABLE.sub(value, _without_comments())))


def services() -> dict[str, dict[str, Any]]:
    return dict(composed()["services"])


def example() -> dict[str, str]:
    """Variable -> value of .env.example; those in comments are left out."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _without_comments() -> str:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
