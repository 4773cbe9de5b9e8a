"""The rules of Prometheus that demur ships."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from fakes.promql import query_of

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))


@cache
def rules() -> tuple[dict[str, Any], ...]:
    """Every rule, recording and alerting, in the order of the files."""
    documents = [yaml.safe_load(path.read_text()) for path in RULE_FILES]
    return tuple(rule for document in documents for group in document["groups"] for rule in group["rules"])


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@cache
def recorded() -> Mapping[str, frozenset[str]]:
    """Recording rule -> its labels."""
    return {rule["record"]: query_of(rule["expr"]).groupings for rule in rules() if "record" in rule}
