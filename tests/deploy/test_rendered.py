"""What is generated in k8s/ is what its sources say, and Kubernetes takes it."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest
import yaml
from fakes.manifests import resources
from kubernetes_validate import SchemaNotFoundError, ValidationError, validate

from deploy.manifests.rendering import FOLDER, OVERLAYS, build, rendered
from deploy.manifests.rules import RULES, rules_resource, rules_text
from service.settings import Settings

VERSIONS = ("1.35", "1.36", "1.37")
"""The last three of Kubernetes"""
CUSTOM = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1")
SAID = "run `python -m deploy.manifests.write`"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_rendered_file_is_what_the_overlay_says(overlay: str) -> None:
    committed = (FOLDER / "rendered" / f"{overlay}.yaml").read_text(encoding="utf-8")
    assert committed == rendered(overlay), SAID


def test_every_overlay_is_rendered() -> None:
    folders = {path.name for path in (FOLDER / "overlays").iterdir()}
    assert folders == set(OVERLAYS) == {path.stem for path in (FOLDER / "rendered").iterdir()}


def test_the_rules_of_the_operator_are_those_of_prometheus() -> None:
    committed = (FOLDER / "base" / "prometheus-rules.yaml").read_text(encoding="utf-8")
    assert committed == rules_text(), SAID
    groups = [
        group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert yaml.safe_load(committed)["spec"]["groups"] == groups
    names = [group["name"] for group in rules_resource()["spec"]["groups"]]
    assert len(names) == len(set(names)), "the operator refuses two groups of one name"


@pytest.mark.parametrize(("overlay", "version"), list(product(OVERLAYS, VERSIONS)))
def test_kubernetes_takes_the_rendered_file(overlay: str, version: str) -> None:
    """Strictly: a field that the version does not know is a fault."""
    for resource in resources(overlay):
        try:
            validate(resource, version, strict=True)
        except SchemaNotFoundError:
            assert resource["apiVersion"] in CUSTOM, resource["kind"]


def test_a_misspelt_probe_is_found() -> None:
    (deployment,) = [one for one in resources("cpu") if one["kind"] == "Deployment"]
    text = yaml.safe_dump(deployment).replace("readinessProbe", "readynessProbe")
    with pytest.raises(ValidationError, match="readynessProbe"):
        validate(yaml.safe_load(text), VERSIONS[-1], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_signatures_are_required_of_every_pod_by_one_component(overlay: str, tmp_path: Path) -> None:
    own = {
        "resources": [os.path.relpath(FOLDER / "overlays" / overlay, tmp_path.resolve())],
        "components": [os.path.relpath(FOLDER / "components" / "signatures", tmp_path.resolve())],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    built = list(yaml.safe_load_all(build(tmp_path)))
    (config,) = [one for one in built if one["kind"] == "ConfigMap"]
    assert config["data"]["DEMUR_SIGNATURES"] == "require"
    (keys,) = config["data"]["DEMUR_TRUSTED_KEYS"].split(",")
    workloads = [one for one in built if one["kind"] in ("Deployment", "StatefulSet")]
    pods = [one["spec"]["template"] for one in workloads]
    serving = [
        pod["spec"] for pod in pods if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "service"
    ]
    assert serving
    for pod in serving:
        (container,) = pod["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted["keys"] == str(Path(keys).parent)
        assert {"name": "keys", "configMap": {"name": "demur-keys"}} in pod["volumes"]
    for resource in workloads:
        validate(resource, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_follows_a_registry_by_one_component(overlay: str, tmp_path: Path) -> None:
    own = {
        "resources": [os.path.relpath(FOLDER / "overlays" / overlay, tmp_path.resolve())],
        "components": [os.path.relpath(FOLDER / "components" / "registry", tmp_path.resolve())],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    built = list(yaml.safe_load_all(build(tmp_path)))
    (config,) = [one for one in built if one["kind"] == "ConfigMap"]
    workloads = [one for one in built if one["kind"] in ("Deployment", "StatefulSet")]
    pods = [one["spec"]["template"] for one in workloads]
    serving = [
        pod["spec"] for pod in pods if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "service"
    ]
    assert serving
    for pod in serving:
        (container,) = pod["containers"]
        assert "bundle" not in {volume["name"] for volume in pod["volumes"]}
        assert "bundle" not in {mount["name"] for mount in container["volumeMounts"]}
        assert {"secretRef": {"name": "demur-registry"}} in container["envFrom"]
        names = [one for one in container["env"] if one["name"] == "DEMUR_SERVICE_NAME"]
        assert names == [
            {"name": "DEMUR_SERVICE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        ]
    secrets = {
        "DEMUR_REDIS_URL": "redis://store:6379/0",
        "DEMUR_ADMIN_TOKEN": "t" * 32,
        "DEMUR_FEEDBACK_TOKENS": f"anna={'f' * 32}",
        "DEMUR_CORES": "2",
        "DEMUR_SERVICE_NAME": "demur-7d9f",
    }
    settings = Settings.read({**config["data"], **secrets})
    assert (settings.registry, settings.follow) == ("s3://set-this/in-your-overlay", "champion")
    for resource in built:
        if resource["apiVersion"] not in CUSTOM:
            validate(resource, VERSIONS[-1], strict=True)
