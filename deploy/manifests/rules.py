"""The rules of Prometheus as the resource that the Prometheus operator reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

RULES: Final = Path(__file__).resolve().parents[1] / "prometheus" / "rules"
_HEAD: Final = "# Made from deploy/prometheus/rules by `python -m deploy.manifests.write`.\n"


def rules_resource() -> dict[str, Any]:
    """One PrometheusRule with the groups of every file, in the order of the files' names."""
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RULES.glob("*.yml"))]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "demur", "labels": {"app.kubernetes.io/component": "service"}},
        "spec": {"groups": [group for document in documents for group in document["groups"]]},
    }


def rules_text() -> str:
    """Text of k8s/base/prometheus-rules.yaml."""
    return _HEAD + yaml.safe_dump(rules_resource(), sort_keys=False, width=110, allow_unicode=True)
