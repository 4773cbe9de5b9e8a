"""The rendered files of k8s/, read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from deploy.manifests.rendering import FOLDER, OVERLAYS

WORKLOADS = ("Deployment", "StatefulSet")


@cache
def resources(overlay: str) -> tuple[dict[str, Any], ...]:
    """Every resource of an overlay's rendered file."""
    text = (FOLDER / "rendered" / f"{overlay}.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load_all(text))


def one(overlay: str, kind: str, name: str = "demur") -> dict[str, Any]:
    (found,) = [
        resource
        for resource in resources(overlay)
        if resource["kind"] == kind and resource["metadata"]["name"] == name
    ]
    return found


def workloads(overlay: str) -> list[dict[str, Any]]:
    return [resource for resource in resources(overlay) if resource["kind"] in WORKLOADS]


def services_of_demur() -> Iterator[tuple[str, dict[str, Any]]]:
    """(overlay and name, pod template's spec) of every workload that runs `demur serve`."""
    for overlay in OVERLAYS:
        for workload in workloads(overlay):
            if workload["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == "demur":
                yield f"{overlay}-{workload['metadata']['name']}", workload["spec"]["template"]["spec"]


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    return dict(container)


def variables_of(overlay: str) -> dict[str, str]:
    """Variables of the overlay's ConfigMap."""
    (found,) = [resource for resource in resources(overlay) if resource["kind"] == "ConfigMap"]
    return dict(found["data"])
