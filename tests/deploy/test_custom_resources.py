"""Resources of the Prometheus operator and of KEDA, by the schemas and types of their own definitions."""

from __future__ import annotations

import json
import os
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from fakes.manifests import container_of, one, resources
from fakes.programs import installed
from fakes.promql import faults_of
from fakes.rule_files import recorded

from deploy.manifests.rendering import OVERLAYS

FOLDER = Path(__file__).with_name("custom_resources")


def custom_resources() -> list[dict[str, Any]]:
    """Each that some overlay has, once."""
    found = {
        json.dumps(resource, sort_keys=True): resource
        for overlay in OVERLAYS
        for resource in resources(overlay)
        if resource["apiVersion"].split("/")[0] in ("monitoring.coreos.com", "keda.sh")
    }
    return list(found.values())


def faults(checked: list[dict[str, Any]]) -> list[str]:
    node = installed("node", "nodejs")
    if not (FOLDER / "node_modules").is_dir():
        missing = "the schemas are not installed: make custom-resources"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run(
        [node, FOLDER / "check.mjs"],
        input=json.dumps(checked),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_their_definitions_take_them_and_refuse_faults() -> None:
    checked = custom_resources()
    assert {each["kind"] for each in checked} == {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
    assert faults(checked) == []
    faulty = {each["kind"]: each for each in deepcopy(checked)}
    faulty["ServiceMonitor"]["spec"]["endpoints"][0]["pathh"] = "/metrics"
    faulty["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["exp"] = "1"
    faulty["ScaledObject"]["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] = False
    found = "\n".join(faults(list(faulty.values())))
    assert "'\"pathh\"' does not exist in type" in found
    assert "'\"exp\"' does not exist in type" in found
    assert "ignoreNullValues must be string" in found


def test_the_scaler_asks_for_metrics_that_exist_and_never_takes_silence_for_zero() -> None:
    (trigger,) = one("keda", "ScaledObject")["spec"]["triggers"]
    asked = trigger["metadata"]
    assert list(faults_of(asked["query"], recorded())) == []
    assert "demur_queue_depth" in asked["query"]
    assert "demur_images_in_flight" in asked["query"]
    assert asked["ignoreNullValues"] == "false"
    pod = one("keda", "Deployment")["spec"]["template"]["spec"]
    cores = int(container_of(pod)["resources"]["limits"]["cpu"])
    assert 0 < float(asked["threshold"]) < cores, "a pod whose cores all compute must count as busy"
    assert "HorizontalPodAutoscaler" not in {each["kind"] for each in resources("keda")}
