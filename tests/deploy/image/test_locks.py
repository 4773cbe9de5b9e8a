"""The locks of the images: what pyproject.toml asks for, at the versions of constraints.txt, with digests."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ROOT / "locks"
ENTRY = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?P<digests>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)$",
    re.MULTILINE,
)
BASE = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}
"""Environment of the oldest base: Debian 12"""


@cache
def extras_of_locks() -> Mapping[str, tuple[str, ...]]:
    """Lock -> extras of demur, as deploy/image/lock.sh says."""
    script = (ROOT / "deploy" / "image" / "lock.sh").read_text()
    return {name: tuple(extras.split()) for name, extras in re.findall(r"^lock (\S+) (.+)$", script, re.M)}


def locked(name: str) -> dict[str, Version]:
    """Package -> version."""
    found = ENTRY.finditer((LOCKS / f"{name}.txt").read_text())
    return {canonicalize_name(one["name"]): Version(one["version"]) for one in found}


def constraints() -> dict[str, Version]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    pairs = (line.split("==") for line in lines if line)
    return {canonicalize_name(name): Version(number) for name, number in pairs}


def asked_for(extras: Iterable[str]) -> Iterator[Requirement]:
    """Requirements of demur with extras, those of further extras of demur included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    queue = [*project["dependencies"], *(one for e in extras for one in project["optional-dependencies"][e])]
    for one in map(Requirement, queue):
        if canonicalize_name(one.name) == "demur":
            yield from asked_for(sorted(one.extras))
        else:
            yield one


ALL = [*extras_of_locks(), "build"]


def test_every_lock_is_written_by_the_script() -> None:
    assert {path.stem for path in LOCKS.iterdir()} == set(ALL)
    assert {"service", "service-gpu", "trainer"} < set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_lock_holds_names_versions_and_digests_alone(name: str) -> None:
    """No index, no host and no path of the machine that wrote it."""
    text = (LOCKS / f"{name}.txt").read_text()
    rest = ENTRY.sub("", text)
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []
    assert not re.search(r"https?:|file:|/|--index|--find", rest)


@pytest.mark.parametrize("name", ALL)
def test_versions_are_those_of_the_constraints(name: str) -> None:
    """A build for the CPU, such as torch's, has a local version besides."""
    known = constraints()
    assert {package: known.get(package) for package in locked(name)} == {
        package: Version(number.public) for package, number in locked(name).items()
    }


@pytest.mark.parametrize("name", extras_of_locks())
def test_a_lock_holds_what_the_project_asks_for(name: str) -> None:
    found = locked(name)
    for one in asked_for(extras_of_locks()[name]):
        assert canonicalize_name(one.name) in found, f"{one} is not in locks/{name}.txt: run `make lock`"
        assert one.specifier.contains(found[canonicalize_name(one.name)].public, prereleases=True), one


@pytest.mark.parametrize("name", ALL)
def test_a_lock_is_whole(name: str) -> None:
    """pip installs it without looking for more (--no-deps)."""
    found = locked(name)
    missing = {
        f"{package} needs {one}"
        for package in found
        for one in _needs_of(package)
        if canonicalize_name(one.name) not in found
    }
    assert missing == set()


def test_no_training_library_is_in_the_image_of_the_service() -> None:
    unwanted = {
        "torch",
        "transformers",
        "peft",
        "scipy",
        "pyarrow",
        "matplotlib",
        "onnx",
        "pip",
        "setuptools",
    }
    assert not unwanted & set(locked("service"))
    assert set(locked("service-certify")) - set(locked("service")) == {"scipy"}
    assert {"torch", "scipy"} <= set(locked("trainer"))
    assert "onnxruntime-gpu" in locked("service-gpu")
    assert "onnxruntime" not in locked("service-gpu")


def test_torch_is_the_build_for_the_cpu() -> None:
    assert locked("trainer")["torch"].local == "cpu"
    assert not any(package.startswith("nvidia") for package in locked("trainer"))


def _needs_of(package: str) -> list[Requirement]:
    try:
        needed = [Requirement(text) for text in requires(package) or ()]
    except PackageNotFoundError:  # of another image than the tests'
        return []
    return [one for one in needed if one.marker is None or one.marker.evaluate({**BASE, "extra": ""})]
