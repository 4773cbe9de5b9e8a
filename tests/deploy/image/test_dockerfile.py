"""The Dockerfile: no finding of hadolint, and what every image promises whoever runs it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from demur.cli import PANELS
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "Dockerfile").read_text()
TARGETS = ("service", "service-gpu", "trainer")


@cache
def stages() -> dict[str, list[str]]:
    """Stage -> its instructions; the first line is FROM."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.M))
    found: dict[str, list[str]] = {}
    for block in re.split(r"^(?=FROM )", joined, flags=re.M)[1:]:
        lines = [line for line in block.splitlines() if line]
        found[lines[0].rsplit(" AS ", 1)[1]] = lines
    return found


def instructions(target: str, word: str) -> list[str]:
    """The instructions of a target and of the stage that it begins with."""
    lines = [*stages()["runtime"], *stages()[target]]
    return [line.removeprefix(word + " ") for line in lines if line.startswith(word + " ")]


def environment(target: str) -> dict[str, str]:
    pairs = (pair for line in instructions(target, "ENV") for pair in line.split())
    return dict(pair.split("=", 1) for pair in pairs)


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_number_on_a_base_that_is_given(target: str) -> None:
    assert stages()[target][0] == f"FROM runtime AS {target}"
    assert stages()["runtime"][0] == "FROM ${BASE} AS runtime"
    assert re.search(r"^ARG BASE$", TEXT, re.M), "BASE has no default: a tag moves"
    assert instructions(target, "USER") == ["10001:10001"]
    assert instructions(target, "VOLUME") == ['["/data"]']
    assert instructions(target, "STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("target", TARGETS)
def test_labels_are_those_of_oci(target: str) -> None:
    (labels,) = instructions(target, "LABEL")
    names = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))
    assert names == {"title", "description", "licenses", "version", "revision", "created"}


@pytest.mark.parametrize("target", TARGETS)
def test_variables_are_settings_of_the_service(target: str) -> None:
    found = {name: value for name, value in environment(target).items() if name.startswith("DEMUR_")}
    settings = Settings.read({"DEMUR_BUNDLE": "/bundle", **found})
    assert settings.data_dir == Path("/data")
    assert {name.removeprefix("DEMUR_").lower() for name in found} <= set(Settings.model_fields)
    if target != "trainer":
        assert (settings.host, settings.bundle) == ("0.0.0.0", Path("/bundle"))


@pytest.mark.parametrize("target", TARGETS)
def test_verbs_and_ports_are_those_of_demur(target: str) -> None:
    verbs = {verb.__name__ for verbs in PANELS.values() for verb in verbs} | {"--help"}
    assert instructions(target, "ENTRYPOINT") == ['["demur"]']
    (command,) = instructions(target, "CMD")
    assert command.strip('["]') in verbs
    checks = instructions(target, "HEALTHCHECK")
    assert len(checks) == (target != "trainer")
    for check in checks:
        assert check.endswith('CMD ["demur", "health"]')
    assert instructions(target, "EXPOSE") == [str(Settings.model_fields["port"].default)] * len(checks)


def test_an_image_takes_its_files_from_build_stages_alone() -> None:
    for target in TARGETS:
        copies = instructions(target, "COPY")
        assert copies == [f"--from={target}-packages /opt/demur /opt/demur", "--from=demur /app/ /"]


def test_a_build_gets_every_package_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    wanted = {*packages, "pyproject.toml", "README.md"}
    copied = re.search(r"for part in (.+); do", (ROOT / "deploy" / "image" / "install.sh").read_text())
    assert copied is not None
    assert set(copied[1].split()) == wanted
    context = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert set(context) == {*wanted, "locks", "wheels"}
