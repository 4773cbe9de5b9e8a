"""The shipped rules and routes on a real Prometheus and Alertmanager, with seconds for minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from fakes.programs import installed
from fakes.rule_files import PROMETHEUS, RULE_FILES
from harness.prometheus import MonitoringServer, prometheus

ALERTMANAGER = PROMETHEUS.parent / "alertmanager" / "alertmanager.yml"
EVERY = "1s"


def quick_prometheus(folder: Path, target: str, alertmanager: str) -> MonitoringServer:
    """A Prometheus with the shipped configuration and rules: every `for` and interval is a second."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    rules = folder / "rules"
    rules.mkdir(parents=True)
    for path in RULE_FILES:
        document = yaml.safe_load(path.read_text())
        for rule in (rule for group in document["groups"] for rule in group["rules"]):
            rule.update({"for": EVERY} if "for" in rule else {})
        (rules / path.name).write_text(yaml.safe_dump(document))
    return prometheus(folder, config, installed("prometheus"))


def quick_alertmanager(folder: Path, webhook: str) -> MonitoringServer:
    """An Alertmanager with the shipped routes, which tells `webhook`/RECEIVER everything at once."""
    config = yaml.safe_load(ALERTMANAGER.read_text())
    config["global"] = {}
    _hurry(config["route"])
    config["receivers"] = [
        {"name": one["name"], "webhook_configs": [{"url": f"{webhook}/{one['name']}", **_resolved(one)}]}
        for one in config["receivers"]
    ]
    folder.mkdir(parents=True)
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    program = installed("prometheus-alertmanager", "alertmanager")
    command = (program, "--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address=")
    return MonitoringServer((*command, "--log.level=warn"), folder)


def _hurry(route: dict[str, Any]) -> None:
    beats = route["receiver"] == "heartbeat"
    route |= {"group_wait": "0s", "group_interval": EVERY, "repeat_interval": EVERY if beats else "1h"}
    for child in route.get("routes", ()):
        _hurry(child)


def _resolved(receiver: dict[str, Any]) -> dict[str, bool]:
    (shipped, *_) = receiver.get("webhook_configs") or receiver["email_configs"]
    return {"send_resolved": shipped["send_resolved"]}
