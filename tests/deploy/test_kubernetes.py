"""Manifests of Kubernetes: what holds in every overlay, checked in the rendered files."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from fakes.manifests import container_of, one, resources, services_of_demur, variables_of, workloads

from deploy.manifests.rendering import FOLDER, OVERLAYS
from service.settings import Settings

EVERY = pytest.mark.parametrize("overlay", OVERLAYS)
PODS = pytest.mark.parametrize(
    "pod", [pod for _, pod in services_of_demur()], ids=[name for name, _ in services_of_demur()]
)
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def settings_of(overlay: str) -> Settings:
    """The settings that a pod of the overlay reads, with a store and tokens as its Secret has them."""
    secrets = {
        "DEMUR_REDIS_URL": "redis://store:6379/0",
        "DEMUR_ADMIN_TOKEN": "t" * 32,
        "DEMUR_FEEDBACK_TOKENS": f"anna={'f' * 32}",
        "DEMUR_CORES": "2",
    }
    return Settings.read({**variables_of(overlay), **secrets})


@EVERY
def test_the_grace_period_covers_the_longest_stop(overlay: str) -> None:
    settings = settings_of(overlay)
    expected = settings.drain + 2 * settings.stop_timeout + 10
    for name, pod in services_of_demur():
        if name.startswith(f"{overlay}-"):
            assert pod["terminationGracePeriodSeconds"] == expected


@PODS
def test_probes_ask_for_readiness_and_for_life(pod: dict[str, Any]) -> None:
    container = container_of(pod)
    asked = {
        kind: (container[kind]["httpGet"]["path"], container[kind]["httpGet"]["port"])
        for kind in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert asked == {
        "startupProbe": ("/readyz", "http"),
        "readinessProbe": ("/readyz", "http"),
        "livenessProbe": ("/livez", "http"),
    }
    start = container["startupProbe"]
    assert (
        start["periodSeconds"] * start["failureThreshold"] > Settings.model_fields["prepare_timeout"].default
    )


@EVERY
def test_every_pod_is_restricted(overlay: str) -> None:
    """As the level `restricted` of Pod Security asks for, and without a token of the cluster."""
    for workload in workloads(overlay):
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == RESTRICTED
            for kind in ("requests", "limits"):
                assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"][kind])
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        kinds = [set(volume) - {"name"} for volume in pod.get("volumes", ())]
        assert all(kind <= {"image", "emptyDir", "persistentVolumeClaim"} for kind in kinds)


@PODS
def test_secrets_come_by_reference_and_none_is_optional(pod: dict[str, Any]) -> None:
    variables = {entry["name"]: entry["valueFrom"] for entry in container_of(pod)["env"]}
    references = {
        name: source["secretKeyRef"] for name, source in variables.items() if "secretKeyRef" in source
    }
    assert references == {
        "DEMUR_REDIS_URL": {"name": "demur", "key": "redis-url"},
        "DEMUR_ADMIN_TOKEN": {"name": "demur", "key": "admin-token"},
        "DEMUR_FEEDBACK_TOKENS": {"name": "demur", "key": "feedback-tokens"},
    }


@EVERY
def test_no_secret_and_no_token_is_written_out(overlay: str) -> None:
    assert [resource for resource in resources(overlay) if resource["kind"] == "Secret"] == []
    assert not [name for name in variables_of(overlay) if "TOKEN" in name or "URL" in name]


@PODS
def test_the_data_folder_is_the_one_that_is_written_to(pod: dict[str, Any]) -> None:
    container = container_of(pod)
    places = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert places == {"/bundles/current": True, "/data": False, "/tmp": False}
    (cores,) = [entry for entry in container["env"] if entry["name"] == "DEMUR_CORES"]
    assert cores["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"


@EVERY
def test_every_selector_finds_its_pods(overlay: str) -> None:
    """Workloads, Services, budgets and policies select by labels that pods of the overlay have."""
    labels = [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads(overlay)]
    for workload in workloads(overlay):
        wanted = workload["spec"]["selector"]["matchLabels"]
        assert [set(wanted.items()) <= set(have.items()) for have in labels].count(True) == 1
    for resource in resources(overlay):
        spec = resource.get("spec", {})
        chosen = {
            "Service": spec.get("selector"),
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels"),
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels"),
        }.get(resource["kind"])
        if chosen is not None and chosen.get(COMPONENT) != "promotion":
            assert any(set(chosen.items()) <= set(have.items()) for have in labels), resource["metadata"][
                "name"
            ]


@EVERY
def test_the_names_are_those_of_a_chart(overlay: str) -> None:
    version = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]["version"]
    for workload in workloads(overlay):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "demur"
        assert labels["app.kubernetes.io/managed-by"] == "kustomize"
        if labels[NAME] == "demur":
            assert labels["app.kubernetes.io/version"] == version
            image, _, tag = container_of(workload["spec"]["template"]["spec"])["image"].partition(":")
            assert (image, tag) == ("demur/service-gpu" if overlay == "gpu" else "demur/service", version)


@EVERY
def test_nothing_gets_through_that_no_policy_names(overlay: str) -> None:
    policies = {
        one["metadata"]["name"]: one["spec"] for one in resources(overlay) if one["kind"] == "NetworkPolicy"
    }
    closed = policies["demur-default-deny"]
    assert set(closed["policyTypes"]) == {"Ingress", "Egress"}
    assert not {"ingress", "egress"} & set(closed)
    for workload in workloads(overlay):
        have = workload["spec"]["template"]["metadata"]["labels"]
        assert set(closed["podSelector"]["matchLabels"].items()) <= set(have.items())
    openings = [
        (rule, source)
        for spec in policies.values()
        for rule in spec.get("ingress", ())
        for source in rule.get("from", [None])
        if {"private", 9000} & {port["port"] for port in rule["ports"]}
    ]
    ((_, source),) = openings
    assert source["podSelector"]["matchLabels"][COMPONENT] == "promotion"


def test_one_scrape_per_pod_whose_job_the_rules_find() -> None:
    for overlay in OVERLAYS:
        monitors = [one for one in resources(overlay) if one["kind"] == "ServiceMonitor"]
        assert len(monitors) == (overlay != "dev")
        for monitor in monitors:
            wanted = monitor["spec"]["selector"]["matchLabels"]
            chosen = [
                service
                for service in resources(overlay)
                if service["kind"] == "Service"
                and set(wanted.items()) <= set(service["metadata"]["labels"].items())
            ]
            assert [service["metadata"]["name"] for service in chosen] == ["demur"]
            job = chosen[0]["metadata"]["labels"][monitor["spec"]["jobLabel"]]
            assert "demur" in job
            (endpoint,) = monitor["spec"]["endpoints"]
            assert endpoint["port"] in {port["name"] for port in chosen[0]["spec"]["ports"]}


def test_autoscalers_and_budgets_leave_the_service_up() -> None:
    for overlay in ("cpu", "gpu", "canary", "persistent"):
        scaler = one(overlay, "HorizontalPodAutoscaler")["spec"]
        kind = "StatefulSet" if overlay == "persistent" else "Deployment"
        assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": kind, "name": "demur"}
        assert scaler["minReplicas"] >= 2
        assert "replicas" not in one(overlay, kind)["spec"]
        assert one(overlay, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_event_logs_of_persistent_pods_outlive_them() -> None:
    stateful = one("persistent", "StatefulSet")["spec"]
    assert stateful["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    (claim,) = stateful["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    assert "data" not in {volume["name"] for volume in stateful["template"]["spec"]["volumes"]}
    assert [kind["kind"] for kind in workloads("persistent")] == ["StatefulSet"]
    base = one("cpu", "Deployment")["spec"]["template"]["spec"]
    assert container_of(stateful["template"]["spec"])["image"] == container_of(base)["image"]


def test_the_canary_is_under_the_same_service_and_is_told_apart() -> None:
    stable, canary = one("canary", "Deployment"), one("canary", "Deployment", "demur-canary")
    selector = one("canary", "Service")["spec"]["selector"]
    for each in (stable, canary):
        assert set(selector.items()) <= set(each["spec"]["template"]["metadata"]["labels"].items())
    instance = "app.kubernetes.io/instance"
    assert stable["spec"]["template"]["metadata"]["labels"][instance] == "demur"
    assert canary["spec"]["template"]["metadata"]["labels"][instance] == "demur-canary"


def test_bundles_come_by_digest_or_from_a_volume() -> None:
    for name, pod in services_of_demur():
        (bundle,) = [volume for volume in pod["volumes"] if volume["name"] == "bundle"]
        if name.startswith("dev-"):
            assert bundle["persistentVolumeClaim"] == {"claimName": "demur-bundle", "readOnly": True}
        else:
            assert "@sha256:" in bundle["image"]["reference"]
