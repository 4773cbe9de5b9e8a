"""Alertmanager's configuration: sound for amtool, and each alert reaches whom it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fakes.programs import run_program
from fakes.rule_files import PROMETHEUS, alerts

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
RECEIVERS = {"critical": "on-call", "warning": "team", "none": "heartbeat"}
CASES = sorted({(rule["alert"], rule["labels"]["severity"]) for rule in alerts()})


def test_amtool_takes_the_configuration() -> None:
    done = run_program("amtool", "check-config", CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_linter_finds_nothing_in_routes_and_inhibitions() -> None:
    """Also not that a route or an inhibition waits for labels that no rule gives."""
    rules = PROMETHEUS / "rules" / "*.yml"
    meant = "alert-hits-default-receiver"  # warnings go to the team, whose route is the root
    amlint = Path(sys.executable).with_name("amlint")
    done = subprocess.run(
        [amlint, "check", "--format", "json", "--ignore", meant, "--rules", str(rules), CONFIG],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"code"' not in done.stdout, done.stdout


@pytest.mark.parametrize(("alert", "severity"), CASES)
def test_an_alert_reaches_its_receiver(alert: str, severity: str) -> None:
    labels = (f"alertname={alert}", f"severity={severity}", "job=demur")
    receiver = f"--verify.receivers={RECEIVERS[severity]}"
    done = run_program("amtool", "config", "routes", "test", f"--config.file={CONFIG}", receiver, *labels)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_watchdog_has_a_receiver_of_its_own() -> None:
    """Nothing else beats there, it beats often, and its end is the absence of messages, not one more."""
    config = yaml.safe_load(CONFIG.read_text())
    routes = config["route"]["routes"]
    (own,) = [route for route in routes if route["receiver"] == "heartbeat"]
    assert own["matchers"] == ["alertname = DemurWatchdog"]
    assert own["repeat_interval"] == "1m"
    (receiver,) = [one for one in config["receivers"] if one["name"] == "heartbeat"]
    assert receiver["webhook_configs"][0]["send_resolved"] is False


def test_inhibition_names_alerts_that_exist() -> None:
    names = {rule["alert"] for rule in alerts()}
    rules = yaml.safe_load(CONFIG.read_text())["inhibit_rules"]
    matchers = [matcher for rule in rules for matcher in rule["source_matchers"] + rule["target_matchers"]]
    named = {
        name
        for matcher in matchers
        if matcher.startswith("alertname")
        for name in matcher.split("=")[1].strip(' ~"').split("|")
    }
    assert named
    assert named <= names


def test_no_secret_is_written_out() -> None:
    assert "password:" not in CONFIG.read_text()
