"""Names in the files that ship demur exist in its code: Dockerfile, compose, Kubernetes, deploy/.

Metrics and their labels in rules, dashboards and the scaler of KEDA are held in tests/deploy.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fakes.compose_file import services
from fakes.manifests import container_of, one, resources, services_of_demur, variables_of

from demur.cli import app
from deploy.manifests.rendering import OVERLAYS
from service.environment import OTHER_VARIABLES, variable_of
from service.routes.status import router
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile"
SHIPPED = [
    ROOT / "docker-compose.yml",
    ROOT / ".env.example",
    *(path for folder in ("k8s", "deploy") for path in sorted((ROOT / folder).rglob("*.y*ml"))),
    DOCKERFILE,
]
KNOWN = {variable_of(name) for name in Settings.model_fields} | OTHER_VARIABLES
GET = {route.path for route in router.routes if "GET" in route.methods}  # type: ignore[attr-defined]


def dockerfile() -> str:
    """Text of the Dockerfile, a line for each instruction."""
    return DOCKERFILE.read_text().replace("\\\n", " ")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_variable_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"(?<![\w$])DEMUR_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    assert named - KNOWN == set()


def test_a_misspelt_variable_is_found() -> None:
    assert "DEMUR_REDIS_ULR" not in KNOWN


def command_lines() -> Iterator[list[str]]:
    """Words after `demur` in every command of a container that runs it."""
    for instruction in re.findall(r"^(?:HEALTHCHECK .*)?CMD (\[.*\])$", dockerfile(), re.MULTILINE):
        words = json.loads(instruction)
        yield words[1:] if words[0] == "demur" else words
    for name in ("service", "service-gpu", "trainer"):
        service = services()[name]
        yield list(service.get("command", []))
        yield service["healthcheck"].get("test", [])[2:]
    for _, pod in services_of_demur():
        yield list(container_of(pod).get("args", []))


def test_every_verb_exists() -> None:
    verbs = getattr(typer.main.get_command(app), "commands", {})
    named = {words[0] for words in command_lines() if words and not words[0].startswith("-")}
    assert {"serve", "health"} <= named <= set(verbs)


def ports_of(pod: dict[str, Any]) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container_of(pod)["ports"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_and_paths_of_kubernetes(overlay: str) -> None:
    """Ports are those that the settings listen on, each name leads to one of them, each path is a route."""
    variables = variables_of(overlay)
    expected = {"http": int(variables["DEMUR_PORT"]), "private": int(variables["DEMUR_ADMIN_PORT"])}
    for name, pod in services_of_demur():
        if name.startswith(f"{overlay}-"):
            assert ports_of(pod) == expected
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container_of(pod)[kind]["httpGet"]
                assert probe["port"] in expected
                assert probe["path"] in GET
    for service in ("demur", "demur-private"):
        for port in one(overlay, "Service", service)["spec"]["ports"]:
            assert expected[port["targetPort"]] == port["port"]
    for resource in resources(overlay):
        if resource["kind"] == "ServiceMonitor":
            assert {endpoint["path"] for endpoint in resource["spec"]["endpoints"]} <= GET
    bundle = variables["DEMUR_BUNDLE"]
    for name, pod in services_of_demur():
        if name.startswith(f"{overlay}-"):
            places = {mount["mountPath"] for mount in container_of(pod)["volumeMounts"]}
            assert {bundle, variables["DEMUR_DATA_DIR"]} <= places


def test_ports_of_compose_and_of_the_image() -> None:
    service = services()["service"]
    inside = {int(port.split(":")[2]) for port in service["ports"]}
    environment = service["environment"]
    assert inside == {int(environment["DEMUR_PORT"]), int(environment["DEMUR_ADMIN_PORT"])}
    exposed = {int(port) for port in re.findall(r"^EXPOSE (\d+)$", dockerfile(), re.MULTILINE)}
    assert exposed == {Settings.model_fields["port"].default}


def test_the_image_is_what_the_others_expect_of_it() -> None:
    """User, data folder and address, as compose and Kubernetes take them from the image or set them."""
    text = dockerfile()
    assert set(re.findall(r"^USER (\S+)$", text, re.MULTILINE)) == {services()["service"]["user"]}
    assert set(re.findall(r"DEMUR_DATA_DIR=(\S+)", text)) == {
        services()["service"]["environment"]["DEMUR_DATA_DIR"]
    }
    assert set(re.findall(r"DEMUR_HOST=(\S+)", text)) == {services()["service"]["environment"]["DEMUR_HOST"]}


def test_each_setting_is_documented_once() -> None:
    rows = re.findall(r"^\| `(DEMUR_[A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    counted = Counter(rows)
    assert {variable_of(name) for name in Settings.model_fields} <= set(counted)
    assert {name: times for name, times in counted.items() if times != 1} == {}
