"""Rules of Prometheus: sound for promtool, unit-tested, about metrics that exist, and explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.programs import run_program
from fakes.promql import faults_of, queries_in
from fakes.rule_files import PROMETHEUS, RULE_FILES, alerts, recorded, rules

ROOT = Path(__file__).resolve().parents[2]
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOK = re.compile(r"https://demur\.example/runbooks/([a-z-]+)\.html")
SEVERITIES = {"critical", "warning", "none"}


def name_of(rule: dict[str, Any]) -> str:
    return f"{rule.get('alert') or rule['record']}-{rule.get('labels', {}).get('severity', '')}"


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    for arguments in (["rules", *RULE_FILES], ["config", PROMETHEUS / "prometheus.yml"]):
        done = run_program("promtool", "check", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_unit_tests_of_the_rules(path: Path) -> None:
    done = run_program("promtool", "test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_firing_and_silent() -> None:
    """By the unit tests; the watchdog alone is never silent. Two rules may share a name."""
    firing: set[str] = set()
    silent: set[str] = set()
    for path in UNIT_TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for seen in test["alert_rule_test"]:
                (firing if seen.get("exp_alerts") else silent).add(seen["alertname"])
    expected = {rule["alert"] for rule in alerts()}
    assert firing == expected
    assert silent == expected - {"DemurWatchdog"}


@pytest.mark.parametrize("rule", rules(), ids=name_of)
def test_an_expression_names_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    queries = [query for text in rule.get("annotations", {}).values() for query in queries_in(text)]
    faults = [fault for query in (rule["expr"], *queries) for fault in faults_of(query, recorded())]
    assert faults == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("demur_no_such_metric == 1", "no metric demur_no_such_metric"),
        ('demur_redis_up{bundle="x"}', "demur_redis_up has no label bundle"),
        ("sum by (bundle) (rate(demur_workers_lost_total[5m]))", "nothing to group by bundle"),
        ('rate(demur_refusals_total{problem="queue-is-full"}[5m])', "no problem queue-is-full"),
        ("demur_inference_duration_seconds > 1", "no metric demur_inference_duration_seconds"),
    ],
)
def test_an_expression_with_a_fault_is_found(expression: str, fault: str) -> None:
    assert list(faults_of(expression, recorded())) == [fault]


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_an_alert_says_how_grave_it_is_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert not said["summary"].endswith(".")
    assert said["description"].endswith((".", "{{ end }}"))
    page = RUNBOOK.fullmatch(said["runbook_url"])
    assert page is not None
    assert (ROOT / "docs" / "runbooks" / f"{page[1]}.md").is_file()


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_a_description_has_figures(rule: dict[str, Any]) -> None:
    if rule["alert"] != "DemurWatchdog":
        assert re.search(r"\$value|\| query|\d+ minutes|a minute", rule["annotations"]["description"])
